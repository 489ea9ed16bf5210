/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The measured loop: reap, submit as many again, kick, and wait in the queue's way. The
 * clock is read once for all that completed together, and that moment begins those which
 * take their place.
 */
#include "load_thread.h"

#include <errno.h>
#include <poll.h>
#include <ring3/error.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 50 /* a sleeper sees its orders at least so often */

static uint64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * R3_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void keep_error(struct load_thread *thread, int error, const char *text)
{
	if (thread->error)
		return;
	thread->error = error;
	snprintf(thread->error_text, sizeof(thread->error_text), "%s", text);
}

static void count_error(struct load_thread *thread)
{
	__atomic_store_n(&thread->errors, thread->errors + 1, __ATOMIC_RELAXED);
}

static void request_failed(struct load_thread *thread, const struct r3_blk_req *req)
{
	char text[sizeof(thread->error_text)];

	count_error(thread);
	if (thread->error)
		return;
	snprintf(text, sizeof(text), "%s of %llu bytes at %llu: %s, detail 0x%x",
		 r3_blk_op_name(req->op), (unsigned long long)req->len,
		 (unsigned long long)req->off, strerror(-req->err), req->detail);
	keep_error(thread, req->err, text);
}

/* Follow the orders. What is measured begins and ends between two requests. */
static void look(struct load_thread *thread, enum load_phase phase)
{
	if (phase == thread->phase)
		return;
	if (phase == LOAD_MEASURE) {
		memset(thread->latency, 0, sizeof(thread->latency));
		__atomic_store_n(&thread->ios, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&thread->errors, 0, __ATOMIC_RELAXED);
		thread->error = 0;
		thread->cpu_ns = now(CLOCK_THREAD_CPUTIME_ID);
		thread->begin = now(CLOCK_MONOTONIC);
	} else if (thread->phase == LOAD_MEASURE) {
		thread->end = now(CLOCK_MONOTONIC);
		thread->cpu_ns = now(CLOCK_THREAD_CPUTIME_ID) - thread->cpu_ns;
	}
	__atomic_store_n(&thread->phase, phase, __ATOMIC_RELAXED);
}

/* What and where, for the next request. */
static void prepare(struct load_thread *thread, struct r3_blk_req *req)
{
	const struct load_opts *opts = thread->opts;
	uint64_t random = load_random(&thread->random), block;

	if (opts->sequential) {
		block = thread->next;
		thread->next = block + 1 < thread->part.blocks ? block + 1 : 0;
	} else {
		block = (uint64_t)(((unsigned __int128)random * thread->part.blocks) >> 64);
	}
	req->off = thread->part.first + block * opts->block_size;
	/* the low bits: the high ones have chosen the block */
	req->op = (random & 0xffffff) * 100 >> 24 < opts->read_percent ? R3_BLK_READ : R3_BLK_WRITE;
}

static void complete(struct load_thread *thread, unsigned n, uint64_t when)
{
	struct r3_blk_req **done = thread->ready + thread->nready;
	bool counts = thread->phase <= LOAD_MEASURE;

	for (unsigned i = 0; i < n; i++) {
		const struct load_slot *slot = (const struct load_slot *)done[i];

		/* one that was begun in time and fails late has failed */
		if (done[i]->err)
			request_failed(thread, done[i]);
		else if (counts)
			histogram_add(&thread->latency[done[i]->op], when - slot->begun);
		prepare(thread, done[i]);
	}
	thread->nready += n;
	__atomic_store_n(&thread->ios, thread->latency[0].n + thread->latency[1].n,
			 __ATOMIC_RELAXED);
}

/* Submit what is ready, as far as there is room. False: the device is gone. */
static bool submit(struct load_thread *thread, uint64_t when)
{
	unsigned at = 0;
	int rc = 0;

	for (unsigned i = 0; i < thread->nready; i++)
		((struct load_slot *)thread->ready[i])->begun = when;
	while (at < thread->nready && rc >= 0) {
		rc = r3_blkq_submit(thread->queue, thread->ready + at, thread->nready - at);
		at += rc > 0 ? (unsigned)rc : 0;
	}
	if (rc < 0 && rc != -EAGAIN) {
		/* the device has become smaller: another request in its place may do better */
		count_error(thread);
		keep_error(thread, rc, r3_error_text());
		prepare(thread, thread->ready[at]);
	}
	thread->nready -= at;
	memmove(thread->ready, thread->ready + at, thread->nready * sizeof(thread->ready[0]));
	/* what the device can no longer be told, the requests in flight will say */
	(void)r3_blkq_kick(thread->queue);
	return rc != -ENODEV;
}

/* Nothing is complete: let time pass as the mode has it. */
static void wait(struct load_thread *thread)
{
	struct pollfd fd = {.fd = r3_blkq_fd(thread->queue), .events = POLLIN};

	if (thread->opts->mode != R3_BLKQ_POLL && r3_blkq_arm(thread->queue) == 0)
		poll(&fd, 1, LOOK_MS);
}

/* @good: there is still a device. Requests in flight complete without one, too. */
static bool goes_on(const struct load_thread *thread, bool good)
{
	return (good && thread->phase < LOAD_STOP) ||
	       (thread->phase <= LOAD_STOP && r3_blkq_inflight(thread->queue) > 0);
}

void *load_thread_run(void *self)
{
	struct load_thread *thread = self;
	const unsigned depth = thread->opts->depth;
	const uint64_t one = 1;
	bool good = true;

	for (unsigned i = 0; i < depth; i++)
		prepare(thread, thread->ready[i]);
	thread->nready = depth;
	while (goes_on(thread, good)) {
		int n = r3_blkq_reap(thread->queue, thread->ready + thread->nready,
				     depth - thread->nready);
		uint64_t when = n > 0 || thread->nready ? now(CLOCK_MONOTONIC) : 0;

		if (n > 0)
			complete(thread, (unsigned)n, when);
		if (good && thread->nready && thread->phase < LOAD_STOP)
			good = submit(thread, when);
		if (n <= 0)
			wait(thread);
		look(thread, __atomic_load_n(&thread->orders->phase, __ATOMIC_RELAXED));
	}
	if (!good)
		look(thread, LOAD_ABANDON);
	if (__atomic_sub_fetch(&thread->orders->running, 1, __ATOMIC_RELEASE) == 0)
		(void)!write(thread->orders->ended_fd, &one, sizeof(one));
	return NULL;
}
