/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rounds. A figure of one run means little on a host that other people use, so each
 * subject is measured once a round, the subjects in turns, and what counts is the median
 * over the rounds: of the figures, and of the ratios that each round gives, because a
 * slow moment seldom hits one half of a round only.
 */
#ifndef RING3_BENCH_ROUNDS_H
#define RING3_BENCH_ROUNDS_H

#include <stdbool.h>

#define BENCH_ROUNDS_MIN 5u
#define BENCH_ROUNDS_MAX 99u
#define BENCH_BUSY       77 /* what a program exits with on a busy host: "skipped" */

/** What a subject gave, a value a round. Zeroed: none yet. */
struct bench_rounds {
	unsigned n;
	double value[BENCH_ROUNDS_MAX];
};

/** Past BENCH_ROUNDS_MAX a value is dropped. */
void bench_rounds_add(struct bench_rounds *rounds, double value);

/** The value below which @percent of them lie, between neighbours by their distance;
 *  0 and 100 are the least and the greatest. NAN: there are none. */
double bench_percentile(const struct bench_rounds *rounds, double percent);

static inline double bench_median(const struct bench_rounds *rounds)
{
	return bench_percentile(rounds, 50);
}

/** @out: of each round, @a divided by @b. */
void bench_ratios(const struct bench_rounds *a, const struct bench_rounds *b,
		  struct bench_rounds *out);

struct bench_plan {
	unsigned rounds;   /* BENCH_ROUNDS_MIN .. BENCH_ROUNDS_MAX */
	unsigned subjects; /* measured in each, the next one first in the next round */
	bool anyway;       /* do not wait for a quiet host */
	/** Measure one subject; what it returns but 0 ends the run and is its result. */
	int (*measure)(void *user, unsigned subject);
	void *user;
};

/** Measure. Before each round the host has a while to become quiet: BENCH_BUSY, having
 *  said so on standard error, when it does not. */
int bench_interleave(const struct bench_plan *plan);

/** Give the host a while to become quiet. False, having said so on standard error: it did
 *  not. */
bool bench_await_quiet(void);

/** The share of two CPUs that two spinning processes get now, 0 to 1: less means that
 *  somebody else is using this host. */
double bench_free_cpus(void);

#endif
