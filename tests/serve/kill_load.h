/* SPDX-License-Identifier: BSD-2-Clause */
/* What a load that will be killed leaves behind, in memory that it shares with its killer. */
#ifndef KILL_LOAD_H
#define KILL_LOAD_H

#include <stdint.h>

/** All 64 bits, in the host's order; kills.py reads them by place. */
struct kill_load {
	uint64_t submitted, reaped; /* requests; their difference was in flight */
	uint64_t failed;            /* of those reaped */
	uint64_t opened_ns;         /* when it could use the device, */
	uint64_t lost_ns;           /* and when it was told that it has none; CLOCK_MONOTONIC */
	uint64_t begin_ns, end_ns;  /* of a load that ends by itself; CLOCK_REALTIME */
};

#endif
