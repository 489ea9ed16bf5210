/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues of several threads while the control thread resets the device under them, and at
 * last loses it: for the unit tests of all block drivers. What the threads find wrong they
 * leave as a line number, for the control thread to fail with.
 */
#ifndef STUB_RESET_LOAD_H
#define STUB_RESET_LOAD_H

#include "stub/block_bed.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 3
#define DEPTH   16
#define RESETS  40

struct worker {
	pthread_t thread;
	struct r3_blkq *queue;
	unsigned char *mem; /* DEPTH blocks */
	uint64_t first;     /* byte of its part of the device */
	bool polls;
	atomic_uint done;
	unsigned failed;
	bool gone;
	atomic_bool ended;
	int wrong; /* line */
};

#define EXPECT(worker, what) \
	do { \
		if (!(what) && !(worker)->wrong) \
			(worker)->wrong = __LINE__; \
	} while (0)

static void wait_for(struct worker *w)
{
	struct pollfd pfd = {.fd = r3_blkq_fd(w->queue), .events = POLLIN};

	if (!w->polls && r3_blkq_arm(w->queue) == 0)
		EXPECT(w, poll(&pfd, 1, 10000) == 1);
}

static void check(struct worker *w, const struct r3_blk_req *req)
{
	const unsigned char *mem = req->sg->addr;

	w->done += !req->err;
	w->failed += req->err != 0;
	EXPECT(w, req->err == 0 || req->err == -EIO || req->err == -ENODEV);
	if (!req->err && req->op == R3_BLK_READ)
		EXPECT(w, mem[0] == mem[4095] && mem[0] == (uint8_t)(req->off / 4096 + 1));
}

/* Every block is written once with its number, and read from then on. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct r3_blk_req req[DEPTH], *idle[DEPTH], *reqs[DEPTH];
	struct r3_sg sg[DEPTH];
	unsigned nidle = 0, flying = 0;

	for (unsigned i = 0; i < DEPTH; i++) {
		sg[i] = (struct r3_sg){w->mem + i * 4096, 4096};
		req[i] = (struct r3_blk_req){.op = R3_BLK_WRITE,
					     .nsg = 1,
					     .sg = &sg[i],
					     .off = w->first + i * 4096,
					     .len = 4096};
		memset(sg[i].addr, (int)(req[i].off / 4096 + 1), 4096);
		idle[nidle++] = &req[i];
	}
	while (!w->gone && !w->wrong) {
		int n = nidle ? r3_blkq_submit(w->queue, idle, nidle) : 0;

		w->gone = n == -ENODEV;
		EXPECT(w, n >= 0 || n == -EAGAIN || n == -ENODEV);
		if (n > 0) {
			flying += (unsigned)n;
			nidle -= (unsigned)n;
			memmove(idle, idle + n, nidle * sizeof(idle[0]));
			(void)r3_blkq_kick(w->queue);
		} else if (!w->gone) {
			wait_for(w);
		}
		n = r3_blkq_reap(w->queue, reqs, DEPTH);
		while (n-- > 0) {
			check(w, reqs[n]);
			flying--;
			if (!reqs[n]->err && reqs[n]->op == R3_BLK_WRITE)
				reqs[n]->op = R3_BLK_READ;
			if (reqs[n]->op == R3_BLK_READ)
				memset(reqs[n]->sg->addr, 0, 4096);
			idle[nidle++] = reqs[n];
		}
	}
	/* It is gone: what was in flight is there to be reaped. */
	while (flying && !w->wrong) {
		int n = r3_blkq_reap(w->queue, reqs, DEPTH);

		if (!n)
			wait_for(w);
		flying -= (unsigned)n;
		while (n-- > 0)
			check(w, reqs[n]);
	}
	w->ended = true;
	return NULL;
}

static void start(struct worker *w, struct bed *bed, unsigned n)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts),
					  .depth = DEPTH,
					  .mode = n == 1 ? R3_BLKQ_POLL : R3_BLKQ_INTERRUPT};

	*w = (struct worker){
		.mem = bed->mem + n * DEPTH * 4096, .first = n * DEPTH * 4096, .polls = n == 1};
	assert_int_equal(r3_blkq_open(bed->block, &opts, &w->queue), 0);
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

/* Dispatch when there is something to do, as the control thread of a program. */
static unsigned dispatch(struct bed *bed)
{
	struct pollfd pfd = {.fd = r3_block_fd(bed->block), .events = POLLIN};
	struct r3_block_event event[8];
	unsigned seen = 0;
	int n;

	assert_int_equal(poll(&pfd, 1, 10000), 1);
	n = r3_block_dispatch(bed->block, event, 8);
	while (n-- > 0)
		seen |= 1u << event[n].type;
	return seen;
}

static unsigned progress(struct worker *worker)
{
	unsigned done = 0;

	for (unsigned n = 0; n < THREADS; n++)
		done += worker[n].done;
	return done;
}

/** The bed has a stub with two vectors and no queue: one thread has a vector of its own, one
 *  polls, one is forwarded to. @spoil lets the device ask for a reset. */
static void reset_load(struct bed *bed, struct r3_device *dev, const struct r3_driver_v1 *driver,
		       void (*spoil)(struct bed *bed))
{
	const struct r3_block_opts opts = {.size = sizeof(opts),
					   .timeout_ns = 80 * R3_NSEC_PER_MSEC};
	struct worker worker[THREADS];
	unsigned resets = 0;
	void *mem;

	assert_int_equal(driver->attach_block(dev, &opts, &bed->block), 0);
	assert_int_equal(r3_block_alloc(bed->block, THREADS * DEPTH * 4096, &mem), 0);
	bed->mem = mem;
	for (unsigned n = 0; n < THREADS; n++)
		start(&worker[n], bed, n);
	while (resets < RESETS) {
		unsigned seen = 0, before = progress(worker);

		spoil(bed);
		/* A reset without progress after it would be one of a few in vain. */
		while (!(seen & 1u << R3_BLOCK_EVENT_RESET) || progress(worker) == before)
			seen |= dispatch(bed);
		assert_false(seen & 1u << R3_BLOCK_EVENT_GONE);
		resets++;
	}
	fake_device_remove((struct fake_device *)dev);
	while (!(dispatch(bed) & 1u << R3_BLOCK_EVENT_GONE))
		;
	for (unsigned n = 0; n < THREADS; n++) {
		/* A queue whose thread was in the driver then loses its device by a later tick. */
		while (!worker[n].ended)
			(void)dispatch(bed);
		pthread_join(worker[n].thread, NULL);
		print_message("worker %u: %u done, %u failed\n", n, worker[n].done,
			      worker[n].failed);
		assert_int_equal(worker[n].wrong, 0);
		assert_true(worker[n].gone);
		assert_true(worker[n].done > DEPTH);
		assert_int_equal(r3_blkq_inflight(worker[n].queue), 0);
		r3_blkq_close(worker[n].queue);
	}
	r3_block_free(bed->block, bed->mem);
	r3_block_close(bed->block);
}

#endif
