/* SPDX-License-Identifier: BSD-2-Clause */
/* What rounds.h promises: turns, medians, ratios. */
#include "rounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void bench_rounds_add(struct bench_rounds *rounds, double value)
{
	if (rounds->n < BENCH_ROUNDS_MAX)
		rounds->value[rounds->n++] = value;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_percentile(const struct bench_rounds *rounds, double percent)
{
	double sorted[BENCH_ROUNDS_MAX], at;
	unsigned below;

	if (!rounds->n)
		return NAN;
	memcpy(sorted, rounds->value, rounds->n * sizeof(*sorted));
	qsort(sorted, rounds->n, sizeof(*sorted), by_size);
	at = percent / 100 * (rounds->n - 1);
	below = (unsigned)at;
	if (below + 1 >= rounds->n)
		return sorted[rounds->n - 1];
	return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

void bench_ratios(const struct bench_rounds *a, const struct bench_rounds *b,
		  struct bench_rounds *out)
{
	out->n = 0;
	for (unsigned i = 0; i < a->n && i < b->n; i++)
		bench_rounds_add(out, a->value[i] / b->value[i]);
}

int bench_interleave(const struct bench_plan *plan)
{
	for (unsigned round = 0; round < plan->rounds; round++) {
		if (!plan->anyway && !bench_await_quiet())
			return BENCH_BUSY;
		for (unsigned i = 0; i < plan->subjects; i++) {
			int rc = plan->measure(plan->user, (round + i) % plan->subjects);

			if (rc)
				return rc;
		}
	}
	return 0;
}
