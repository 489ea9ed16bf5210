/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clock. Every wait of the library is bounded, and measured on a clock that can
 * be replaced, so that a test runs years of time-outs in a second.
 */
#ifndef RING3_CLOCK_H
#define RING3_CLOCK_H

#include <ring3/api.h>

R3_BEGIN

#define R3_NSEC_PER_USEC UINT64_C(1000)
#define R3_NSEC_PER_MSEC UINT64_C(1000000)
#define R3_NSEC_PER_SEC  UINT64_C(1000000000)

/** A clock: embed it to make your own. Both members are required. */
struct r3_clock {
	/** Nanoseconds since some fixed moment; never goes back. */
	uint64_t (*now)(struct r3_clock *clock);
	/** Let about @ns pass. May return early, never blocks for much longer. */
	void (*sleep)(struct r3_clock *clock, uint64_t ns);
};

/** CLOCK_MONOTONIC. */
R3_API struct r3_clock *r3_clock_system(void);

static inline uint64_t r3_clock_now(struct r3_clock *clock)
{
	return clock->now(clock);
}

static inline void r3_clock_sleep(struct r3_clock *clock, uint64_t ns)
{
	clock->sleep(clock, ns);
}

/** A bounded wait in progress: begin one, then loop
 *
 *      struct r3_wait w = r3_wait_begin(clock, timeout_ns);
 *      while (!condition())
 *              if (!r3_wait_step(&w))
 *                      return r3_error_set(ETIMEDOUT, ...);
 *
 *  The steps spin at first and then sleep ever longer, up to a millisecond. */
struct r3_wait {
	struct r3_clock *clock;
	uint64_t deadline; /* ns on that clock */
	uint64_t pause;    /* ns of the next sleep */
};

R3_API struct r3_wait r3_wait_begin(struct r3_clock *clock, uint64_t timeout_ns);

/** Let a little time pass. Returns false when the time is used up; the caller
 *  then has tested its condition at least once after the deadline. */
R3_API bool r3_wait_step(struct r3_wait *wait);

/** Nanoseconds left, 0 when the time is used up. */
R3_API uint64_t r3_wait_left(const struct r3_wait *wait);

R3_END
#endif
