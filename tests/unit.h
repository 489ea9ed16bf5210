/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every unit test begins with: cmocka with the headers it forgets, and random
 * numbers that can be had again: R3_SEED=N repeats the run that printed N.
 */
#ifndef RING3_TESTS_UNIT_H
#define RING3_TESTS_UNIT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/** The seed of this run, printed. */
static inline uint64_t test_seed(void)
{
	const char *text = getenv("R3_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec;
	fprintf(stderr, "R3_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

/** The next number of the sequence (splitmix64). */
static inline uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/** A number below @n. */
static inline unsigned test_random_below(uint64_t *state, unsigned n)
{
	return (unsigned)(test_random(state) % n);
}

/** Descriptors that this process has open. */
static inline unsigned test_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#endif
