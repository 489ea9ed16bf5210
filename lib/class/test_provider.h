/* SPDX-License-Identifier: BSD-2-Clause */
/* A block provider that does what a test tells it, and remembers what it was told. */
#ifndef RING3_CLASS_TEST_PROVIDER_H
#define RING3_CLASS_TEST_PROVIDER_H

#include <ring3/driver.h>

#define PROVIDER_DEPTH 32

struct provider {
	struct r3_block base;
	int fd;                             /* of the block: an eventfd */
	unsigned room;                      /* most that one submit takes */
	int submit_rc;                      /* what submit returns instead, if not 0 */
	int kick_rc;                        /* and kick */
	bool done_in_kick;                  /* requests complete when they are kicked, */
	bool done_in_dispatch;              /* or when the block is dispatched */
	int err;                            /* how they complete */
	unsigned dispatched, closed, armed; /* calls */
	unsigned kept_events;               /* not asked for yet */
	uint64_t data_len;                  /* of all requests submitted */
	unsigned submitted;
};

struct provider_queue {
	struct r3_blkq base;
	enum r3_blkq_mode mode;
	struct r3_blk_req *req[PROVIDER_DEPTH];
	unsigned n, done; /* the first done ones can be reaped */
};

/** 1 MiB of blocks of 4096 bytes with all features. Closed by r3_block_close(); the
 *  memory is the test's, so that it can look afterwards. */
void provider_init(struct provider *p);

/** Complete all that is in flight, and wake the queue's fd. */
void provider_complete(struct provider_queue *q, int err);

/** Make the block's fd readable: there is something to dispatch. */
void provider_alert(struct provider *p);

#endif
