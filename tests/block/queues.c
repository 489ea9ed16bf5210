/* SPDX-License-Identifier: BSD-2-Clause */
/* Many requests at once, on one queue and on several. */
#include "load.h"
#include "suite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define QUEUES 4

/** A load over part @i of @n of the device, at most 4 MiB, at a random place in it. */
static struct load make(unsigned i, unsigned n, unsigned depth)
{
	const struct r3_block_limits *l = suite.limits;
	uint64_t blocks = l->size / l->block_size / n;
	uint64_t most = (UINT64_C(4) << 20) / l->block_size;
	uint64_t len = blocks < most ? blocks : most;
	uint64_t room = blocks - len;
	/* both ends of the device have their turn */
	unsigned where = test_random_below(&suite.random, 3);
	uint64_t skip = where == 0   ? 0
			: where == 1 ? room
				     : test_random(&suite.random) % (room + 1);
	struct load load = {
		.queue = suite_queue(depth),
		.first = (i * blocks + skip) * l->block_size,
		.len = len * l->block_size,
		.longest = 256 << 10,
		.random = test_random(&suite.random),
		.dispatch = true,
	};

	if (load.longest > l->max_len)
		load.longest = l->max_len;
	if (load.longest > load.len)
		load.longest = load.len;
	load.slots = r3_blkq_depth(load.queue) < 32 ? r3_blkq_depth(load.queue) : 32;
	load_make(&load);
	return load;
}

static void end(struct load *load)
{
	load_free(load);
	r3_blkq_close(load->queue);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

void test_integrity(void **state)
{
	const unsigned depth[] = {1, 2, 5, 0};

	for (unsigned i = 0; i < 4; i++) {
		struct load load = make(0, 1, least(depth[i], suite.limits->max_depth));
		if (!load_run(&load, suite_rounds(i == 3 ? 3000 : 300)))
			fail_msg("depth %u: %s", depth[i], load.fault);
		end(&load);
	}
}

/* All open, each in turn: completions come where they were asked for. */
void test_several_queues(void **state)
{
	const unsigned n = least(QUEUES, suite.limits->max_queues);
	struct load loads[QUEUES];

	for (unsigned i = 0; i < n; i++)
		loads[i] = make(i, n, 0);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < n; i++)
			if (!load_run(&loads[i], suite_rounds(100)))
				fail_msg("queue %u of %u: %s", i, n, loads[i].fault);
	for (unsigned i = 0; i < n; i++)
		end(&loads[i]);
}

struct worker {
	struct load load;
	pthread_t thread;
	bool good;
	atomic_bool done;
};

static void *work(void *ctx)
{
	struct worker *w = ctx;

	w->good = load_run(&w->load, suite_rounds(500));
	atomic_store(&w->done, true);
	return NULL;
}

void test_threads(void **state)
{
	const unsigned n = least(QUEUES, suite.limits->max_queues);
	static struct worker workers[QUEUES];
	struct pollfd fd = {.fd = r3_block_fd(suite.block), .events = POLLIN};

	for (unsigned i = 0; i < n; i++) {
		workers[i].load = make(i, n, 0);
		workers[i].load.dispatch = false;
		atomic_store(&workers[i].done, false);
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);

	/* This thread has the handle. Their waiting is bounded, so this is. */
	for (unsigned i = 0; i < n;) {
		struct r3_block_event events[4];
		if (poll(&fd, 1, 1) > 0)
			assert_true(r3_block_dispatch(suite.block, events, 4) >= 0);
		while (i < n && atomic_load(&workers[i].done))
			i++;
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (unsigned i = 0; i < n; i++)
		if (!workers[i].good)
			fail_msg("thread %u of %u: %s", i, n, workers[i].load.fault);
	for (unsigned i = 0; i < n; i++)
		end(&workers[i].load);
}

/* ---- depth ---- */

struct crowd {
	struct r3_blk_req *req, **list;
	struct r3_sg sg;
	unsigned n;
};

/** @n reads of one block each, into the same memory. */
static struct crowd crowd_make(unsigned n)
{
	const uint32_t block = suite.limits->block_size;
	struct crowd crowd = {.n = n};
	void *mem;

	crowd.req = calloc(n, sizeof(*crowd.req));
	crowd.list = calloc(n, sizeof(struct r3_blk_req *));
	assert_non_null(crowd.req);
	assert_non_null(crowd.list);
	suite_expect(r3_block_alloc(suite.block, block, &mem), 0, "r3_block_alloc");
	crowd.sg = (struct r3_sg){mem, block};
	return crowd;
}

/* Not before the crowd has its last address: the requests point to its piece. */
static void crowd_ready(struct crowd *crowd)
{
	const uint32_t block = suite.limits->block_size;

	for (unsigned i = 0; i < crowd->n; i++) {
		crowd->req[i] = (struct r3_blk_req){
			.op = R3_BLK_READ,
			.nsg = 1,
			.sg = &crowd->sg,
			.off = i % (suite.limits->size / block) * block,
			.len = block,
			.err = 1,
		};
		crowd->list[i] = &crowd->req[i];
	}
}

static void crowd_free(struct crowd *crowd)
{
	r3_block_free(suite.block, crowd->sg.addr);
	free(crowd->req);
	free(crowd->list);
}

/** Reap exactly @n, each a request of the crowd that has not been reaped before. */
static void reap_exactly(struct r3_blkq *queue, struct crowd *crowd, unsigned n)
{
	struct r3_blk_req *done[32];

	while (n) {
		int rc = r3_blkq_reap(queue, done, least(n, 32));
		if (!rc && !suite_sleep(queue, true))
			fail_msg("%u requests did not complete", n);
		for (int i = 0; i < rc; i++) {
			assert_true(done[i] >= crowd->req && done[i] < crowd->req + crowd->n);
			suite_expect(done[i]->err, 0, "read");
			assert_null(done[i]->user);
			done[i]->user = crowd;
		}
		n -= (unsigned)rc;
	}
}

static void try_depth(unsigned depth)
{
	struct r3_blkq *queue = suite_queue(depth);
	struct crowd crowd = crowd_make(depth + 4);
	unsigned sent = 0;

	crowd_ready(&crowd);
	assert_int_equal(r3_blkq_depth(queue), depth);
	while (sent < depth) {
		int rc = r3_blkq_submit(queue, crowd.list + sent,
					1 + test_random_below(&suite.random, depth + 3 - sent));
		if (rc <= 0)
			suite_expect(rc, 1, "submit with room left");
		sent += (unsigned)rc;
		assert_true(sent <= depth);
		assert_int_equal(r3_blkq_inflight(queue), sent);
	}
	assert_int_equal(r3_blkq_submit(queue, crowd.list + sent, 1), -EAGAIN);
	assert_int_equal(r3_blkq_inflight(queue), depth);

	/* as many again as were reaped; all, in the end */
	suite_expect(r3_blkq_kick(queue), 0, "r3_blkq_kick");
	reap_exactly(queue, &crowd, 1);
	assert_int_equal(r3_blkq_submit(queue, crowd.list + sent, 2), 1);
	assert_int_equal(r3_blkq_submit(queue, crowd.list + sent + 1, 1), -EAGAIN);
	suite_expect(r3_blkq_kick(queue), 0, "r3_blkq_kick");
	reap_exactly(queue, &crowd, depth);
	assert_int_equal(r3_blkq_inflight(queue), 0);

	/* round and round, so that rings wrap at all places */
	for (unsigned round = 0; round < suite_rounds(20); round++) {
		crowd_ready(&crowd);
		suite_run_all(queue, crowd.req, 1 + test_random_below(&suite.random, crowd.n));
	}
	crowd_free(&crowd);
	r3_blkq_close(queue);
}

void test_depth(void **state)
{
	const unsigned max = suite.limits->max_depth;
	const struct r3_blkq_opts beyond = {.size = sizeof(beyond), .depth = max + 1};
	struct r3_blkq *queue = NULL;

	assert_int_equal(r3_blkq_open(suite.block, &beyond, &queue), -EINVAL);
	try_depth(1);
	if (max >= 2)
		try_depth(2);
	if (max >= 3)
		try_depth(3 + test_random_below(&suite.random, max - 2));
	try_depth(max);
}

/* ---- closing ---- */

void test_close_in_flight(void **state)
{
	const uint32_t block = suite.limits->block_size;

	for (unsigned round = 0; round < suite_rounds(8); round++) {
		struct r3_blkq *queue = suite_queue(0);
		unsigned n = least(r3_blkq_depth(queue), 16);
		struct crowd crowd = crowd_make(n);
		unsigned reaped = 0;

		crowd_ready(&crowd);
		assert_int_equal(r3_blkq_submit(queue, crowd.list, n), n);
		if (round % 4)
			suite_expect(r3_blkq_kick(queue), 0, "r3_blkq_kick");
		if (round % 4 == 2) {
			reaped = 1 + test_random_below(&suite.random, n);
			reap_exactly(queue, &crowd, reaped);
		}
		r3_blkq_close(queue);

		unsigned cancelled = 0;
		for (unsigned i = 0; i < n; i++)
			if (!crowd.req[i].user) {
				suite_expect(crowd.req[i].err, -ECANCELED, "request left behind");
				cancelled++;
			}
		assert_int_equal(cancelled, n - reaped);

		/* The memory is ours again: nothing of it changes under later traffic. */
		unsigned char *mem = crowd.sg.addr;
		memset(mem, 0xc5, block);
		queue = suite_queue(1);
		unsigned char *buf = malloc(block);
		assert_non_null(buf);
		for (unsigned i = 0; i < 4; i++)
			suite_do(queue, R3_BLK_READ, 0, 0, buf, block);
		for (unsigned i = 0; i < block; i++)
			assert_int_equal(mem[i], 0xc5);
		free(buf);
		r3_blkq_close(queue);
		crowd_free(&crowd);
	}
}
