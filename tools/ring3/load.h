/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load on a block device: some queues, each filled by a thread of its own, which keeps
 * so many requests in flight and measures each. The thread that made the load dispatches
 * the block meanwhile, and disturbs the others by nothing: what it may look at they store
 * where nobody waits for it.
 */
#ifndef TOOLS_RING3_LOAD_H
#define TOOLS_RING3_LOAD_H

#include "histogram.h"
#include <ring3/block.h>
#include <stdbool.h>

struct load_opts {
	unsigned read_percent; /* of the requests; the others write */
	bool sequential;       /* each queue in a part of its own; else at random */
	uint64_t first, len;   /* where, in bytes; a block each queue at least */
	uint32_t block_size;   /* of a request */
	unsigned depth, queues;
	enum r3_blkq_mode mode;
	uint64_t seed;
};

/** What all queues together did while it was measured. */
struct load_result {
	uint64_t ns;                 /* from the first to the last */
	uint64_t cpu_ns;             /* that the threads ran */
	uint64_t errors;             /* requests that failed; none is a latency */
	struct histogram latency[2]; /* of R3_BLK_READ, R3_BLK_WRITE, in ns */
	int error;                   /* a negative errno: why the first one failed, or ended */
	char error_text[256];
};

struct load;

/** Open the queues and get memory for the requests; @opts is within the device's limits.
 *  Errors: those of r3_blkq_open() and r3_block_alloc(); ENOMEM. */
int load_open(struct r3_block *block, const struct load_opts *opts, struct load **out);
/** Start the threads, with signals blocked. Errors: EAGAIN. */
int load_start(struct load *load);
/** What has been done so far is forgotten: measure from now on. */
void load_measure(struct load *load);
/** Whether all threads do: on a busy host it takes a while until the last one knows. */
bool load_measures(const struct load *load);
/** End, the requests in flight too. Readable without asking: */
void load_stop(struct load *load);
/** Leave the requests in flight to load_close(). */
void load_abandon(struct load *load);
/** Polls readable when all threads have ended, which may be on their own: the device is
 *  gone. */
int load_fd(const struct load *load);
bool load_ended(const struct load *load);
/** So far, all threads: about right. */
void load_progress(const struct load *load, uint64_t *ios, uint64_t *errors);
/** Add up what was measured, once all have ended. */
void load_result(struct load *load, struct load_result *result);
/** The threads have ended, or never begun. NULL is allowed. */
void load_close(struct load *load);

#endif
