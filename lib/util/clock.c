/* SPDX-License-Identifier: BSD-2-Clause */
/* The system's clock, and bounded waits on any clock. */
#include <ring3/clock.h>

#include <time.h>

/* Waits spin while they are younger than some register reads, then sleep. */
#define PAUSE_FIRST 64
#define PAUSE_SPIN  2048
#define PAUSE_LAST  R3_NSEC_PER_MSEC
#define PAUSE_OVER  UINT64_MAX /* the deadline has passed: one last test */

#define SLEEP_LEAST (20 * R3_NSEC_PER_USEC)

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static uint64_t system_now(struct r3_clock *clock)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * R3_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* The kernel adds its timer slack to each sleep, so short ones are spun. */
static void system_sleep(struct r3_clock *clock, uint64_t ns)
{
	if (ns < SLEEP_LEAST) {
		for (uint64_t end = system_now(clock) + ns; system_now(clock) < end;)
			relax();
		return;
	}

	struct timespec ts = {
		.tv_sec = (time_t)(ns / R3_NSEC_PER_SEC),
		.tv_nsec = (long)(ns % R3_NSEC_PER_SEC),
	};

	nanosleep(&ts, NULL);
}

struct r3_clock *r3_clock_system(void)
{
	static struct r3_clock clock = {.now = system_now, .sleep = system_sleep};

	return &clock;
}

struct r3_wait r3_wait_begin(struct r3_clock *clock, uint64_t timeout_ns)
{
	uint64_t now = r3_clock_now(clock);

	return (struct r3_wait){
		.clock = clock,
		.deadline = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX,
		.pause = PAUSE_FIRST,
	};
}

bool r3_wait_step(struct r3_wait *wait)
{
	if (wait->pause == PAUSE_OVER)
		return false;

	uint64_t left = r3_wait_left(wait);
	if (left && wait->pause < PAUSE_SPIN) {
		relax();
		wait->pause += wait->pause / 4;
		return true;
	}
	if (left) {
		r3_clock_sleep(wait->clock, wait->pause < left ? wait->pause : left);
		wait->pause = wait->pause < PAUSE_LAST / 2 ? wait->pause * 2 : PAUSE_LAST;
		left = r3_wait_left(wait);
	}
	if (!left)
		wait->pause = PAUSE_OVER;
	return true;
}

uint64_t r3_wait_left(const struct r3_wait *wait)
{
	uint64_t now = r3_clock_now(wait->clock);

	return now < wait->deadline ? wait->deadline - now : 0;
}
