/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A histogram of times. Its buckets are equal within each power of two, 64 of them, so
 * a value is known to one part in 64 whether it is a microsecond or a minute, adding
 * one costs a few instructions, and those of several threads add up exactly.
 */
#ifndef TOOLS_RING3_HISTOGRAM_H
#define TOOLS_RING3_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS    6u  /* of precision */
#define HISTOGRAM_TOP     37u /* values from 2^37 on, 137 s in ns, share the last bucket */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_TOP - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

/** Zeroed: empty. */
struct histogram {
	uint64_t n, sum, max; /* exact */
	uint64_t min;         /* exact; nothing where n is 0 */
	uint64_t count[HISTOGRAM_BUCKETS];
};

/** The bucket of @value: below 2^7 itself; then 64 to each power of two. */
static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value >> HISTOGRAM_TOP)
		return HISTOGRAM_BUCKETS - 1;
	/* so that HISTOGRAM_BITS + 1 bits are left, the highest of them set */
	shift = 63 - (unsigned)__builtin_clzll(value | 1u << HISTOGRAM_BITS) - HISTOGRAM_BITS;
	return (shift << HISTOGRAM_BITS) + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count[histogram_bucket(value)]++;
	histogram->sum += value;
	if (!histogram->n++ || value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
}

/** Add all of @from to @histogram. */
void histogram_merge(struct histogram *histogram, const struct histogram *from);

/** A value that at least @percent of all do not exceed, at most one part in 64 above the
 *  least such value; from 100 on, the greatest. 0: the histogram is empty. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
