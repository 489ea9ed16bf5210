/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs that a device is another process's: a register read and a posted write
 * beside bare messages of the same size over the same kind of socket, the way from nothing
 * to the first register, and reads of a disk beside the same disk in this process.
 *
 * The floors answer as soon as they can: a process that sits in recv() and sends back. What
 * a server adds to that is one look at who is there; what a client adds is the checks.
 *
 * Both sides of an exchange have one CPU, since they take turns, and then one each. Left to the
 * scheduler, one of the pairs that are compared has the former at times and the other the latter,
 * and where a CPU sleeps in between that is ten times as slow.
 */
#include "bench.h"
#include "options.h"
#include "result.h"
#include "served.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <ring3/device.h>
#include <ring3/error.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of REGION_READ and REGION_WRITE of four bytes: a header of 16, then offset, region and count
 * of 16, then the data where there are any (vfio-user 0.1). */
#define REQUEST 32u
#define REPLY   36u
#define WRITE   36u

#define CHUNK    100u /* exchanges */
#define CHUNKS   40u
#define CONNECTS 10u
#define REGISTER 0x800u /* of the fake device's BAR 4, which is never mapped */

#define FAKE   "fake:full"
#define STUB   "stub:nvme,thread,size=64M"
#define QEMU   "qemu:nvme,null,size=1G"
#define STORES 2 /* a disk here, and behind a broker */

enum pair { READ, APART, POST, PAIRS }; /* reads on one CPU, on two; posted writes */
enum { CONNECT = PAIRS, DISKS };        /* what is measured, beside the pairs */

static struct bench {
	const char *tool;    /* ring3, with the devices of the tests */
	const char *disk[3]; /* addresses; NULL: no more */
	uint64_t ns;         /* of a measurement of a disk */
	double goal;

	struct bench_rounds bare[PAIRS], there[PAIRS], connect;
	struct bench_rounds iops[2][STORES][2]; /* disk, where, depth */
} bench = {.ns = 300000000, .goal = 1.3, .disk = {STUB, QEMU}};

static const unsigned depths[] = {1, 32};
static const char *const disk_names[] = {"stub_nvme", "qemu_nvme"};

static double now(void)
{
	return (double)r3_clock_now(r3_clock_system());
}

/* ---- where they run ---- */

static cpu_set_t allowed;

/** Run on the first CPU, or on the last one, and so do the children from now on. */
static void run_on(bool last)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && (last || !CPU_COUNT(&one)); cpu++)
		if (CPU_ISSET(cpu, &allowed)) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
		}
	sched_setaffinity(0, sizeof(one), &one);
}

/* ---- the floors ---- */

static _Noreturn void answer(int fd)
{
	char message[WRITE];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (ssize_t n; (n = recv(fd, message, sizeof(message), 0)) > 0;)
		if (n == REQUEST && send(fd, message, REPLY, 0) != REPLY)
			break;
	_exit(0);
}

/** A process that answers requests at the other end of *fd. */
static int echo_start(int *fd, pid_t *pid)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return r3_error_set(errno, "socketpair: %s", strerror(errno));
	*pid = fork();
	if (*pid == 0) {
		close(fds[0]);
		answer(fds[1]);
	}
	close(fds[1]);
	*fd = fds[0];
	return *pid < 0 ? r3_error_set(errno, "fork: %s", strerror(errno)) : 0;
}

static void echo_end(int fd, pid_t pid)
{
	close(fd);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static bool exchange(int fd)
{
	char message[REPLY] = {0};

	return send(fd, message, REQUEST, 0) == REQUEST &&
	       recv(fd, message, REPLY, MSG_WAITALL) == REPLY;
}

static bool pour(int fd)
{
	char message[WRITE] = {0};

	return send(fd, message, WRITE, 0) == WRITE;
}

/* ---- registers behind a broker, beside the floors ---- */

static int open_register(const char *address, struct r3_device **dev, struct r3_region **bar)
{
	int rc = r3_device_open(address, NULL, dev);

	if (rc)
		return rc;
	rc = r3_device_region(*dev, R3_REGION_BAR4, bar);
	if (rc)
		r3_device_close(*dev);
	return rc;
}

/** What one of a chunk of @pair's bare messages takes. */
static double bare_chunk(enum pair pair, int fd)
{
	double begin = now();

	for (unsigned i = 0; i < CHUNK; i++)
		if (!(pair == POST ? pour(fd) : exchange(fd)))
			return NAN;
	return (now() - begin) / CHUNK;
}

static double register_chunk(enum pair pair, struct r3_region *bar)
{
	double begin;

	(void)r3_read32(bar, REGISTER); /* nothing is under way */
	begin = now();
	for (unsigned i = 0; i < CHUNK; i++) {
		if (pair == POST)
			r3_write32(bar, REGISTER, i);
		else
			(void)r3_read32(bar, REGISTER);
	}
	return (now() - begin) / CHUNK;
}

/* By turns, chunk by chunk, so that what disturbs one disturbs the other. */
static int measure_chunks(enum pair pair, struct r3_device *dev, struct r3_region *bar)
{
	struct bench_rounds bare = {0}, there = {0};
	pid_t pid = -1;
	int fd = -1, rc;

	run_on(pair == APART);
	rc = echo_start(&fd, &pid);
	run_on(false);
	if (rc)
		return rc;
	for (unsigned i = 0; i < CHUNKS; i++) {
		bench_rounds_add(&bare, bare_chunk(pair, fd));
		if (pair == POST && !exchange(fd)) /* nothing is under way */
			rc = r3_error_set(EIO, "no answer");
		bench_rounds_add(&there, register_chunk(pair, bar));
	}
	echo_end(fd, pid);
	if (rc == 0 && (r3_device_gone(dev) || isnan(bench_median(&bare))))
		rc = r3_error_set(EIO, "the other side has gone");
	bench_rounds_add(&bench.bare[pair], bench_median(&bare));
	bench_rounds_add(&bench.there[pair], bench_median(&there));
	return rc;
}

static int measure_register(enum pair pair, const char *address)
{
	struct r3_device *dev;
	struct r3_region *bar;
	int rc = open_register(address, &dev, &bar);

	if (rc)
		return rc;
	rc = measure_chunks(pair, dev, bar);
	r3_device_close(dev);
	return rc;
}

/* From nothing to the first register, each time after the client before it has left, of which
 * the broker has work that it does first. */
static int measure_connect(const char *address)
{
	struct bench_rounds each = {0};

	for (unsigned i = 0; i < CONNECTS; i++) {
		struct r3_device *dev;
		struct r3_region *bar;
		double begin = now();
		int rc = open_register(address, &dev, &bar);

		if (rc)
			return rc;
		(void)r3_read32(bar, REGISTER);
		bench_rounds_add(&each, now() - begin);
		r3_device_close(dev);
	}
	bench_rounds_add(&bench.connect, bench_median(&each));
	return 0;
}

static int measure_broker(unsigned subject)
{
	struct served served;
	int rc;

	if (subject != CONNECT)
		run_on(subject == APART);
	rc = served_start(&served, bench.tool, FAKE);
	if (rc == 0) {
		rc = subject == CONNECT ? measure_connect(served.address)
					: measure_register((enum pair)subject, served.address);
		served_end(&served);
	}
	sched_setaffinity(0, sizeof(allowed), &allowed);
	return rc;
}

/* ---- disks, here and there ---- */

static int measure_disk(const char *address, struct bench_rounds *iops)
{
	uint64_t ios, took;
	void *self;
	int rc = bench_driver.open(address, &self);

	if (rc)
		return rc;
	for (unsigned i = 0; rc == 0 && i < 2; i++) {
		rc = bench_driver.run(self, depths[i], bench.ns / 10, &ios, &took);
		if (rc == 0)
			rc = bench_driver.run(self, depths[i], bench.ns, &ios, &took);
		if (rc == 0)
			bench_rounds_add(&iops[i], (double)ios / (double)took * 1e9);
	}
	bench_driver.close(self);
	return rc;
}

static int measure_served_disk(const char *address, struct bench_rounds *iops)
{
	struct served served;
	int rc = served_start(&served, bench.tool, address);

	if (rc)
		return rc;
	rc = measure_disk(served.address, iops);
	served_end(&served);
	return rc;
}

static int measure(void *user, unsigned subject)
{
	unsigned disk = subject < DISKS ? 0 : (subject - DISKS) / STORES;
	int rc;

	if (subject < DISKS)
		rc = measure_broker(subject);
	else if ((subject - DISKS) % STORES)
		rc = measure_served_disk(bench.disk[disk], bench.iops[disk][1]);
	else
		rc = measure_disk(bench.disk[disk], bench.iops[disk][0]);
	if (rc)
		fprintf(stderr, "vfio_user: %s\n", r3_error_text());
	return rc ? 1 : 0;
}

/* ---- results ---- */

static bool report_pair(const char *name, enum pair pair, double budget)
{
	struct bench_result result = bench_result_of(name, "ns", &bench.there[pair]);
	struct bench_rounds ratios;
	char of_floor[64];

	result.floor = bench_median(&bench.bare[pair]);
	bench_print(&result);
	bench_ratios(&bench.there[pair], &bench.bare[pair], &ratios);
	snprintf(of_floor, sizeof(of_floor), "%s_of_bare", name);
	result = bench_result_of(of_floor, "ratio", &ratios);
	if (budget > 0) {
		result.goal = BENCH_AT_MOST;
		result.budget = budget;
	}
	bench_print(&result);
	return bench_result_pass(&result);
}

static bool report_connect(void)
{
	struct bench_result result = bench_result_of("connect_to_first_read", "ns", &bench.connect);

	result.goal = BENCH_AT_MOST;
	result.budget = 5e6;
	bench_print(&result);
	return bench_result_pass(&result);
}

static void report_disk(unsigned disk)
{
	for (unsigned i = 0; i < 2; i++) {
		struct bench_rounds *here = &bench.iops[disk][0][i];
		struct bench_rounds *there = &bench.iops[disk][1][i], ratios;
		struct bench_result result;
		char name[64];

		snprintf(name, sizeof(name), "%s_qd%u", disk_names[disk], depths[i]);
		result = bench_result_of(name, "IOPS", there);
		result.floor = bench_median(here);
		bench_print(&result);
		bench_ratios(there, here, &ratios);
		snprintf(name, sizeof(name), "%s_qd%u_of_here", disk_names[disk], depths[i]);
		result = bench_result_of(name, "ratio", &ratios);
		bench_print(&result);
	}
}

static bool report(void)
{
	bool met = report_pair("region_read", READ, bench.goal);

	met &= report_pair("region_read_apart", APART, bench.goal);
	report_pair("posted_write", POST, 0);
	met &= report_connect();
	for (unsigned i = 0; bench.disk[i]; i++)
		report_disk(i);
	return met;
}

static const char usage[] =
	"Usage: vfio_user [-r ROUNDS] [-t MILLISECONDS] [-g PERCENT] [-q] [-f] [-o FORM]\n"
	"Measure devices behind a broker beside bare messages, and beside devices in process.\n"
	"\n"
	"  -r ROUNDS        5 to 99 (7)\n"
	"  -t MILLISECONDS  of each measurement of a disk (300)\n"
	"  -g PERCENT       the goal: a register read in so much of a bare exchange (130)\n"
	"  -q               without QEMU's devices\n"
	"  -f               measure even while the host is busy\n"
	"  -o FORM          text, or json: an object a line\n"
	"\n"
	"Exit status: 0 the goals are met; 1 one is not, or something failed; 2 usage;\n"
	"77 the host is too busy.\n";

static bool take_option(int letter, void *user)
{
	if (letter == 't')
		bench.ns = (uint64_t)atoi(optarg) * 1000000;
	else if (letter == 'g')
		bench.goal = atoi(optarg) / 100.;
	else
		bench.disk[1] = NULL;
	return bench.ns != 0;
}

int main(int argc, char **argv)
{
	struct bench_plan plan = {.rounds = 7, .measure = measure};
	static char self[4096], tool[4200];
	int rc = bench_options(argc, argv, "t:g:q", take_option, &plan, usage);

	if (rc >= 0)
		return rc;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	snprintf(tool, sizeof(tool), "%s/ring3-stub", dirname(self));
	bench.tool = tool;
	sched_getaffinity(0, sizeof(allowed), &allowed);
	plan.subjects = DISKS;
	for (unsigned i = 0; bench.disk[i]; i++)
		plan.subjects += STORES;
	rc = bench_interleave(&plan);
	return rc ? rc : !report();
}
