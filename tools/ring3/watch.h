/* SPDX-License-Identifier: BSD-2-Clause */
/* The main thread of a benchmark: it serves the block, keeps the time, shows how far things
 * are where somebody watches, and ends early when it is asked to. */
#ifndef TOOLS_RING3_WATCH_H
#define TOOLS_RING3_WATCH_H

#include "load.h"

struct watch_opts {
	uint64_t warmup_ns, time_ns;
	uint32_t block_size; /* of a request, for the progress */
};

struct watch_result {
	bool interrupted;         /* by a signal, before the time was over */
	uint64_t resets, resizes; /* of the device, meanwhile */
};

/** Start @load, and return when all its threads have ended. From here on SIGINT, SIGTERM,
 *  SIGHUP and SIGQUIT end it early; the second one does not wait for requests in flight.
 *  Errors: those of load_start() and signalfd(2). */
int watch_load(struct r3_block *block, struct load *load, const struct watch_opts *opts,
	       struct watch_result *result);

#endif
