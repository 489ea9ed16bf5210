/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the interrupt to the reap. A device in a thread of its own completes a read and
 * signals; the program sleeps in poll() on the queue's fd, wakes, and reaps. Beside it,
 * in turns on the same two CPUs, the floor: the same thread writes an eventfd, and the
 * program wakes and reads it. What is between the two is the library's, and the ratio is
 * the goal.
 *
 * The device is the stub controller of the tests, which has no interrupt of its own to
 * wait for: the time begins when it writes the eventfd.
 */
#include "options.h"
#include "result.h"

#include "stub/nvme_stub.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <ring3/driver.h>
#include <ring3/error.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SAMPLES   BENCH_ROUNDS_MAX /* of which a round takes the median */
#define SETTLE_NS 50000            /* so that the program is asleep when it is woken */
#define BLOCK     4096u

enum subject { BARE, INTERRUPT, ADAPTIVE, NSUBJECTS };
static const char *const names[NSUBJECTS] = {"wake_bare", "wake_interrupt", "wake_adaptive"};

static struct bench {
	int fd; /* the floor's */
	struct nvme_stub *stub;
	struct r3_block *block;
	struct r3_blkq *queue[NSUBJECTS];
	struct r3_sg sg;
	struct bench_rounds ns[NSUBJECTS];

	/* between the two threads */
	atomic_uint asked, done; /* run freely */
	atomic_bool ends;
	enum subject subject; /* of what is asked */
	uint64_t rung;        /* when */

	double goal;
} bench = {.goal = 1.5};

static uint64_t now(void)
{
	return r3_clock_now(r3_clock_system());
}

/* ---- the device's side ---- */

static void raising(struct fake_device *fake)
{
	bench.rung = now();
}

static bool hold_reads(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	return sqid == 0;
}

static const struct nvme_stub_hooks hooks = {.fetch = hold_reads};

static void pin_to(unsigned n)
{
	cpu_set_t may, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(may), &may))
		return;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && n-- == 0)
			CPU_SET(cpu, &one);
	/* On a host with one CPU both share it, and so they do for the floor. */
	if (CPU_COUNT(&one))
		(void)sched_setaffinity(0, sizeof(one), &one);
}

static void *device(void *arg)
{
	pin_to(1);
	while (!bench.ends) {
		if (bench.asked == bench.done)
			continue;
		for (uint64_t end = now() + SETTLE_NS; now() < end;)
			;
		if (bench.subject == BARE) {
			bench.rung = now();
			(void)!eventfd_write(bench.fd, 1);
		} else {
			nvme_stub_release(bench.stub, 0);
		}
		bench.done++;
	}
	return NULL;
}

/* ---- the program's side ---- */

static int ask_bare(void)
{
	bench.asked++;
	return 0;
}

static int ask_read(struct r3_blkq *queue, struct r3_blk_req *req)
{
	*req = (struct r3_blk_req){.op = R3_BLK_READ, .nsg = 1, .sg = &bench.sg, .len = BLOCK};
	if (r3_blkq_submit(queue, &req, 1) != 1 || r3_blkq_kick(queue))
		return r3_error_prefix(-EIO, "submit");
	while (r3_blkq_arm(queue))
		;
	bench.asked++;
	return 0;
}

/* True: taken. */
static bool take(struct r3_blkq *queue)
{
	struct r3_blk_req *done;
	eventfd_t count;

	return queue ? r3_blkq_reap(queue, &done, 1) == 1 : eventfd_read(bench.fd, &count) == 0;
}

static int sample(enum subject subject, double *ns)
{
	struct r3_blkq *queue = bench.queue[subject];
	struct pollfd pfd = {.fd = queue ? r3_blkq_fd(queue) : bench.fd, .events = POLLIN};
	struct r3_blk_req req;
	uint64_t woken;
	int rc;

	bench.subject = subject;
	rc = queue ? ask_read(queue, &req) : ask_bare();
	if (rc)
		return rc;
	do {
		if (poll(&pfd, 1, 1000) != 1)
			return r3_error_set(ETIMEDOUT, "not woken");
	} while (!take(queue));
	woken = now();
	while (bench.done != bench.asked)
		;
	*ns = (double)(woken - bench.rung);
	return 0;
}

static int measure(void *user, unsigned subject)
{
	struct bench_rounds samples = {0};

	for (unsigned i = 0; i < SAMPLES; i++) {
		double ns = 0;

		if (sample((enum subject)subject, &ns)) {
			fprintf(stderr, "wake: %s: %s\n", names[subject], r3_error_text());
			return 1;
		}
		bench_rounds_add(&samples, ns);
	}
	bench_rounds_add(&bench.ns[subject], bench_median(&samples));
	return 0;
}

static bool report(void)
{
	struct bench_result bare = bench_result_of(names[BARE], "ns", &bench.ns[BARE]);
	bool met = true;

	bench_print(&bare);
	for (unsigned i = INTERRUPT; i < NSUBJECTS; i++) {
		struct bench_result wake = bench_result_of(names[i], "ns", &bench.ns[i]), ratio;
		struct bench_rounds ratios;
		char name[40];

		wake.floor = bare.value;
		bench_print(&wake);
		bench_ratios(&bench.ns[i], &bench.ns[BARE], &ratios);
		snprintf(name, sizeof(name), "%s_of_bare", names[i]);
		ratio = bench_result_of(name, "ratio", &ratios);
		ratio.goal = BENCH_AT_MOST;
		ratio.budget = bench.goal;
		bench_print(&ratio);
		met &= bench_result_pass(&ratio);
	}
	return met;
}

static int open_queue(enum subject subject, enum r3_blkq_mode mode)
{
	/* Polling would never end in a sleep with a device that waits for one. */
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = mode, .poll_ns = 1000};

	return r3_blkq_open(bench.block, &opts, &bench.queue[subject]);
}

static int open_all(void)
{
	const struct nvme_stub_opts stub_opts = {.null = true, .vectors = 4};
	const struct r3_block_opts opts = {.size = sizeof(opts)};
	const struct r3_driver_v1 *driver;
	struct r3_device *dev;
	int rc;

	bench.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bench.fd < 0)
		return r3_error_set(errno, "eventfd: %m");
	bench.stub = nvme_stub_new(&stub_opts, NULL);
	bench.stub->hooks = &hooks;
	dev = nvme_stub_device(bench.stub);
	rc = r3_driver_find(dev, NULL, &driver);
	if (rc == 0)
		rc = driver->attach_block(dev, &opts, &bench.block);
	if (rc == 0)
		rc = r3_block_alloc(bench.block, BLOCK, &bench.sg.addr);
	if (rc == 0)
		rc = open_queue(INTERRUPT, R3_BLKQ_INTERRUPT);
	if (rc == 0)
		rc = open_queue(ADAPTIVE, R3_BLKQ_ADAPTIVE);
	bench.sg.len = BLOCK;
	bench.stub->fake->raising = raising;
	return rc;
}

static void close_all(void)
{
	for (unsigned i = INTERRUPT; i < NSUBJECTS; i++)
		r3_blkq_close(bench.queue[i]);
	r3_block_free(bench.block, bench.sg.addr);
	r3_block_close(bench.block);
	close(bench.fd);
}

static const char usage[] =
	"Usage: wake [-r ROUNDS] [-g PERCENT] [-f] [-o FORM]\n"
	"Measure the way from an interrupt to the reap beside a bare wake-up.\n"
	"\n"
	"  -r ROUNDS   5 to 99 (15)\n"
	"  -g PERCENT  the goal: at most so much of the bare wake-up's time (150)\n"
	"  -f          measure even while the host is busy\n"
	"  -o FORM     text, or json: an object a line\n"
	"\n"
	"Exit status: 0 the goal is met; 1 it is not, or something failed; 2 usage;\n"
	"77 the host is too busy.\n";

static bool take_option(int letter, void *user)
{
	bench.goal = atoi(optarg) / 100.;
	return true;
}

int main(int argc, char **argv)
{
	struct bench_plan plan = {.rounds = 15, .subjects = NSUBJECTS, .measure = measure};
	pthread_t thread;
	int rc = bench_options(argc, argv, "g:", take_option, &plan, usage);

	if (rc >= 0)
		return rc;
	if (open_all()) {
		fprintf(stderr, "wake: %s\n", r3_error_text());
		return 1;
	}
	if (pthread_create(&thread, NULL, device, NULL))
		return 1;
	pin_to(0);
	rc = bench_interleave(&plan);
	bench.ends = true;
	pthread_join(thread, NULL);
	close_all();
	return rc ? rc : !report();
}
