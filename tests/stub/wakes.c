/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wakes ADDRESS [--mistake]: no wake-up is ever lost. Queues of several threads, by
 * interrupt and adaptive, on a stub that takes its time, with random pauses at every
 * step of both: between reap, arm and sleep, and between completion and signal. Whoever
 * sleeps must be woken by the fd; a time-out is a wake-up lost.
 *
 * With --mistake the driver's arm is made to forget that it found something, and the run
 * succeeds only when that is caught: else its green would mean nothing.
 */
#include "stub/late.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <ring3/driver.h>
#include <ring3/error.h>
#include <stdatomic.h>
#include <string.h>

#define QUEUES     3
#define DEPTH      8
#define BLOCK      4096u
#define REQUESTS   4000 /* of each queue */
#define PATIENCE   10000
#define IMPATIENCE 500 /* where it is known that one will be lost */

static const struct r3_blkq_opts kinds[QUEUES] = {
	{.size = sizeof(kinds[0]), .depth = DEPTH, .mode = R3_BLKQ_INTERRUPT},
	{.size = sizeof(kinds[0]), .depth = DEPTH, .mode = R3_BLKQ_ADAPTIVE, .poll_ns = 1000},
	{.size = sizeof(kinds[0]), .depth = DEPTH, .mode = R3_BLKQ_ADAPTIVE, .poll_ns = 20000},
};

struct worker {
	pthread_t thread;
	struct r3_blkq *queue;
	uint64_t random;
	unsigned requests;
	int patience;
	struct r3_blk_req req[DEPTH], *idle[DEPTH];
	struct r3_sg sg[DEPTH];
	unsigned nidle;
	unsigned sleeps, again; /* how often arm let it sleep, and how often not */
	bool lost;              /* nobody woke it, and there was something to reap */
	char fault[160];
};

static atomic_uint running;

/* ---- the mistake ---- */

static struct r3_block_ops mistaken;
static int (*right_arm)(struct r3_blkq *queue);

static int forgetful_arm(struct r3_blkq *queue)
{
	(void)right_arm(queue);
	return 0;
}

static void make_mistake(struct r3_blkq *queue)
{
	mistaken = *queue->ops;
	right_arm = mistaken.arm;
	mistaken.arm = forgetful_arm;
	queue->ops = &mistaken;
}

/* ---- a queue's thread ---- */

static bool fault(struct worker *w, const char *what, int rc)
{
	if (!w->fault[0])
		snprintf(w->fault, sizeof(w->fault), "%s: %d, %u of %u in flight", what, rc,
			 DEPTH - w->nidle, r3_blkq_inflight(w->queue));
	return false;
}

/** Submit some: mostly one, so that nothing else would wake whoever missed it. */
static bool send_some(struct worker *w)
{
	unsigned n = test_random_below(&w->random, 4) ? 1 : DEPTH;
	int rc;

	if (!w->nidle || !w->requests || (w->nidle < DEPTH && test_random_below(&w->random, 2)))
		return true;
	n = 1 + test_random_below(&w->random, n < w->nidle ? n : w->nidle);
	if (n > w->requests)
		n = w->requests;
	for (unsigned i = 0; i < n; i++) {
		struct r3_blk_req *req = w->idle[w->nidle - 1 - i];

		req->off = (uint64_t)test_random_below(&w->random, 64) * BLOCK;
		rc = r3_blkq_submit(w->queue, &req, 1);
		if (rc != 1)
			return fault(w, "submit", rc);
	}
	w->nidle -= n;
	w->requests -= n;
	late_pause(&w->random);
	rc = r3_blkq_kick(w->queue);
	return rc ? fault(w, "kick", rc) : true;
}

static int take_some(struct worker *w)
{
	struct r3_blk_req *done[DEPTH];
	int n = r3_blkq_reap(w->queue, done, 1 + test_random_below(&w->random, DEPTH));

	for (int i = 0; i < n; i++) {
		if (done[i]->err)
			fault(w, "a request failed", done[i]->err);
		w->idle[w->nidle++] = done[i];
	}
	return n;
}

static bool sleep_on(struct worker *w)
{
	struct pollfd pfd = {.fd = r3_blkq_fd(w->queue), .events = POLLIN};

	w->sleeps++;
	if (poll(&pfd, 1, w->patience) == 1)
		return true;
	w->lost = take_some(w) > 0;
	return fault(w, "not woken; what could be reaped then", w->lost);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!w->fault[0] && (w->requests || w->nidle < DEPTH)) {
		if (!send_some(w))
			break;
		late_pause(&w->random);
		if (take_some(w) > 0)
			continue;
		late_pause(&w->random);

		int rc = r3_blkq_arm(w->queue);

		late_pause(&w->random);
		if (rc < 0)
			fault(w, "arm", rc);
		else if (rc)
			w->again++;
		else if (w->nidle < DEPTH)
			sleep_on(w);
	}
	running--;
	return NULL;
}

/* ---- the test ---- */

static void start(struct worker *w, struct r3_block *block, unsigned n, uint64_t random,
		  bool mistake)
{
	const char *effort = getenv("R3_EFFORT");
	void *mem;

	w->random = random;
	w->requests = REQUESTS * (effort ? (unsigned)strtoul(effort, NULL, 0) : 100) / 100;
	w->patience = mistake ? IMPATIENCE : PATIENCE;
	if (r3_blkq_open(block, &kinds[n], &w->queue) || r3_block_alloc(block, DEPTH * BLOCK, &mem))
		fail_msg("%s", r3_error_text());
	if (mistake)
		make_mistake(w->queue);
	for (unsigned i = 0; i < DEPTH; i++) {
		w->sg[i] = (struct r3_sg){(char *)mem + i * BLOCK, BLOCK};
		w->req[i] = (struct r3_blk_req){
			.op = R3_BLK_READ, .nsg = 1, .sg = &w->sg[i], .len = BLOCK};
		w->idle[w->nidle++] = &w->req[i];
	}
}

static void dispatch_all(struct r3_block *block)
{
	struct pollfd pfd = {.fd = r3_block_fd(block), .events = POLLIN};
	struct r3_block_event events[8];

	while (running)
		if (poll(&pfd, 1, 10) > 0)
			assert_true(r3_block_dispatch(block, events, 8) >= 0);
}

static const char *address;
static bool with_mistake;

static void test_no_wake_up_is_lost(void **state)
{
	static struct worker worker[QUEUES];
	uint64_t random = test_seed();
	struct r3_block *block;
	unsigned lost = 0, sleeps = 0, again = 0;

	if (r3_block_open(address, NULL, &block))
		fail_msg("%s: %s", address, r3_error_text());
	for (unsigned n = 0; n < QUEUES; n++)
		start(&worker[n], block, n, test_random(&random), with_mistake);
	late_begin(r3_block_device(block), test_random(&random));
	running = QUEUES;
	for (unsigned n = 0; n < QUEUES; n++)
		assert_int_equal(pthread_create(&worker[n].thread, NULL, work, &worker[n]), 0);
	dispatch_all(block);
	for (unsigned n = 0; n < QUEUES; n++)
		pthread_join(worker[n].thread, NULL);
	late_end();
	for (unsigned n = 0; n < QUEUES; n++) {
		struct worker *w = &worker[n];

		print_message("queue %u, %s: slept %u times, not %u times%s%s\n", n,
			      r3_blkq_mode_name(kinds[n].mode), w->sleeps, w->again,
			      w->fault[0] ? ": " : "", w->fault);
		lost += w->lost;
		sleeps += w->sleeps;
		again += w->again;
		r3_blkq_close(w->queue);
		r3_block_free(block, w->sg[0].addr);
	}
	r3_block_close(block);
	for (unsigned n = 0; n < QUEUES && !with_mistake; n++)
		assert_string_equal(worker[n].fault, "");
	/* or nothing was tried */
	assert_true(with_mistake || (sleeps > 20 && again > 20));
	assert_int_equal(!!lost, with_mistake);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_wake_up_is_lost),
	};

	with_mistake = argc == 3 && strcmp(argv[2], "--mistake") == 0;
	if (argc != 2 && !with_mistake) {
		fprintf(stderr, "Usage: wakes ADDRESS [--mistake]\n");
		return 2;
	}
	address = argv[1];
	return cmocka_run_group_tests_name(address, tests, NULL, NULL);
}
