/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block suite: what block.h promises, asked of any block device by its address
 * alone. It looks at nothing but the public interface.
 */
#ifndef RING3_TESTS_BLOCK_SUITE_H
#define RING3_TESTS_BLOCK_SUITE_H

#include "unit.h"

#include <ring3/block.h>

/* Far longer than anything takes: to tell "slow" from "never". */
#define PATIENCE_NS (20 * R3_NSEC_PER_SEC)
#define PATIENCE_MS 20000

struct suite {
	const char *address;
	struct r3_block_opts opts;
	enum r3_blkq_mode mode;
	bool forgets;    /* contents are not kept: null: and its like */
	bool persistent; /* contents are there again when it is opened again */
	unsigned effort; /* percent of the usual number of rounds */
	uint64_t random; /* state of test_random() */
	/* the device as it is open now */
	struct r3_block *block;
	const struct r3_block_limits *limits;
};

extern struct suite suite;

/** Open and close suite.block. A test that closes it opens it again. */
void suite_open(void);
void suite_close(void);

/** A queue of suite.mode; depth 0 is the default. Fails the test when there is none. */
struct r3_blkq *suite_queue(unsigned depth);

/** @n rounds, scaled by the effort; at least one. */
unsigned suite_rounds(unsigned n);

/** Fail the test unless @rc is @want, with the library's text. */
void suite_expect(int rc, int want, const char *what);

/** One request on an idle queue, which must succeed. */
void suite_do(struct r3_blkq *queue, enum r3_blk_op op, unsigned flags, uint64_t off, void *buf,
	      uint64_t len);

/** Wait until @queue has something to reap, as a program with its own event loop does:
 *  arm, poll, and dispatch the block unless another thread does. Returns false when
 *  nothing comes, which is a wake-up lost. */
bool suite_sleep(struct r3_blkq *queue, bool dispatch);

/** Submit @n requests, kick, and reap them all; every one must complete once. */
void suite_run_all(struct r3_blkq *queue, struct r3_blk_req *reqs, unsigned n);

/** Fill with a pattern that differs for each @seed, at any alignment. */
void suite_fill(void *buf, size_t len, uint64_t seed);

/* The tests, by file. */
void test_limits(void **state);
void test_each_operation(void **state);
void test_long_requests(void **state);
void test_zeroes_and_discard(void **state);
void test_flush_and_fua(void **state);
void test_integrity(void **state);
void test_several_queues(void **state);
void test_threads(void **state);
void test_depth(void **state);
void test_wake_ups(void **state);
void test_close_in_flight(void **state);
void test_requests_at_fault(void **state);
void test_read_only(void **state);
void test_life(void **state);

#endif
