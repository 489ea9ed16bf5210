/* SPDX-License-Identifier: BSD-2-Clause */
/* How long to wait for a server: a time that begins to run when it is first asked for, so that
 * an answer which is there at once costs no look at the clock. */
#ifndef RING3_BACKEND_VFIO_USER_PATIENCE_H
#define RING3_BACKEND_VFIO_USER_PATIENCE_H

#include <poll.h>
#include <stdint.h>
#include <time.h>

struct r3_patience {
	uint64_t time_ms;
	uint64_t deadline; /* ms of CLOCK_MONOTONIC; 0: it does not run yet */
};

/** Milliseconds that are left. */
uint64_t r3_patience_left(struct r3_patience *patience);

/** The moment of its end. */
struct timespec r3_patience_end(struct r3_patience *patience);

/** poll(), and poll() again after a signal. Returns 0 when the time is up, or at once where
 *  there is nothing to wait for, all descriptors being -1. */
int r3_patience_poll(struct r3_patience *patience, struct pollfd *fds, nfds_t n);

#endif
