/* SPDX-License-Identifier: BSD-2-Clause */
/* A clock for tests: its time passes only when somebody sleeps. */
#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#include <ring3/clock.h>

struct fake_clock {
	struct r3_clock base;
	uint64_t now;
};

static uint64_t fake_clock_now(struct r3_clock *clock)
{
	return ((struct fake_clock *)clock)->now;
}

static void fake_clock_sleep(struct r3_clock *clock, uint64_t ns)
{
	((struct fake_clock *)clock)->now += ns;
}

static inline struct fake_clock fake_clock(uint64_t now)
{
	return (struct fake_clock){{fake_clock_now, fake_clock_sleep}, now};
}

#endif
