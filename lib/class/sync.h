/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queues of a block device whose requests are done by one synchronous call: the
 * kick does them all, in order. Slow and plain on purpose; it keeps every promise of
 * block.h with the least that can go wrong.
 */
#ifndef RING3_CLASS_SYNC_H
#define RING3_CLASS_SYNC_H

#include <ring3/address.h>
#include <ring3/driver.h>

#define R3_SYNC_MAX_QUEUES 64
#define R3_SYNC_MAX_DEPTH  1024

/** Embed first. The queue operations are below; the rest is the provider's. */
struct r3_sync_block {
	struct r3_block base;
	/** Do a checked request. Returns 0 or -errno. Called by several threads. */
	int (*run)(struct r3_sync_block *block, const struct r3_blk_req *req);
};

/** The block size that "lba=" asks for: 512, which it is without the key, or 4096. */
int r3_sync_lba(const struct r3_params *params, uint32_t *lba);

int r3_sync_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts,
		       struct r3_blkq **out);
void r3_sync_queue_close(struct r3_blkq *queue);
int r3_sync_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n);
int r3_sync_kick(struct r3_blkq *queue);
int r3_sync_reap(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max);
int r3_sync_arm(struct r3_blkq *queue);

#endif
