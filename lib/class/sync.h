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

/** Embed first, then call r3_sync_init(). */
struct r3_sync_block {
	struct r3_block base;
	/** Do a checked request. Returns 0 or -errno. Called by several threads. */
	int (*run)(struct r3_sync_block *block, const struct r3_blk_req *req);
	/** Free everything, the struct too. */
	void (*close)(struct r3_sync_block *block);
};

/** Fill the base part, except for its name and what limits depend on the provider. */
void r3_sync_init(struct r3_sync_block *block, const struct r3_block_opts *opts);

/** The block size that "lba=" asks for: 512, which it is without the key, or 4096. */
int r3_sync_lba(const struct r3_params *params, uint32_t *lba);

#endif
