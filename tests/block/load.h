/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load: random requests on one queue, compared with a copy in memory. Lengths,
 * offsets, kinds of memory and the cut into pieces are random; no two requests in
 * flight touch the same block, so the copy is exact at any time. Fit for a thread of
 * its own: what goes wrong is text in fault, for the test's thread to fail with.
 */
#ifndef RING3_TESTS_BLOCK_LOAD_H
#define RING3_TESTS_BLOCK_LOAD_H

#include <ring3/block.h>

struct slot;

struct load {
	/* the caller's */
	struct r3_blkq *queue;
	uint64_t first, len; /* the bytes of the device it may use */
	uint64_t longest;    /* request */
	unsigned slots;      /* most requests at once, at most the depth */
	uint64_t random;
	bool dispatch; /* the block too, when it sleeps: no other thread does */
	/* the load's */
	unsigned pieces; /* most of one request */
	struct slot *slot;
	struct r3_blk_req **list;
	unsigned char *copy;  /* of the bytes, */
	unsigned char *state; /* and what is known of each block */
	unsigned flying;
	char fault[256];
};

/** Allocate. To be called, as load_free(), by the thread of the block handle. */
void load_make(struct load *load);
void load_free(struct load *load);

/** Run @n requests, then read all of it. Returns false with a fault. */
bool load_run(struct load *load, unsigned n);

#endif
