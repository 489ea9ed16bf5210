/* SPDX-License-Identifier: BSD-2-Clause */
/* What is asked of a histogram when all is measured. */
#include "histogram.h"

#include <stdbool.h>

void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
	if (!from->n)
		return;
	if (!histogram->n || from->min < histogram->min)
		histogram->min = from->min;
	if (from->max > histogram->max)
		histogram->max = from->max;
	histogram->n += from->n;
	histogram->sum += from->sum;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		histogram->count[i] += from->count[i];
}

/* The greatest value that has this bucket. */
static uint64_t bucket_top(unsigned bucket)
{
	unsigned shift = bucket >> HISTOGRAM_BITS;
	uint64_t first = bucket & ((1u << HISTOGRAM_BITS) - 1);

	if (shift <= 1)
		return bucket;
	shift--; /* the first two rows are of single values */
	return ((first + (1u << HISTOGRAM_BITS) + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
	uint64_t below = 0, top;

	/* past the last bucket's edge nothing but the greatest is known */
	for (unsigned i = 0; percent < 100 && i < HISTOGRAM_BUCKETS - 1; i++) {
		below += histogram->count[i];
		if (below && (double)below >= percent / 100 * (double)histogram->n) {
			top = bucket_top(i);
			return top < histogram->max ? top : histogram->max;
		}
	}
	return histogram->max;
}
