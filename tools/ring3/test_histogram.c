/* SPDX-License-Identifier: BSD-2-Clause */
/* The histogram beside sorted values: how far its percentiles may be off. */
#include "histogram.h"
#include "unit.h"

#define VALUES 20000u

static struct histogram histogram, other;

static int clear(void **state)
{
	histogram = other = (struct histogram){0};
	return 0;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void an_empty_one_has_no_values(void **state)
{
	assert_int_equal(histogram_percentile(&histogram, 50), 0);
	assert_int_equal(histogram_percentile(&histogram, 100), 0);
	histogram_merge(&histogram, &other);
	assert_int_equal(histogram.n, 0);
}

static void buckets_follow_each_other(void **state)
{
	unsigned last = 0;

	assert_int_equal(histogram_bucket(0), 0);
	for (uint64_t value = 1; value < 1u << 16; value++) {
		unsigned bucket = histogram_bucket(value);

		assert_in_range(bucket, last, last + 1);
		last = bucket;
	}
	for (unsigned bit = 16; bit < 64; bit++) {
		uint64_t power = UINT64_C(1) << bit;
		unsigned bucket = histogram_bucket(power);

		assert_in_range(bucket, last, HISTOGRAM_BUCKETS - 1);
		assert_in_range(histogram_bucket(power - 1), last, bucket);
		last = bucket;
	}
	assert_int_equal(histogram_bucket((UINT64_C(1) << HISTOGRAM_TOP) - 1),
			 HISTOGRAM_BUCKETS - 1);
	assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void small_values_are_exact(void **state)
{
	for (uint64_t value = 0; value < 128; value++)
		histogram_add(&histogram, value);
	assert_int_equal(histogram.min, 0);
	assert_int_equal(histogram.max, 127);
	assert_int_equal(histogram.sum, 127 * 64);
	assert_int_equal(histogram_percentile(&histogram, 0), 0);
	assert_int_equal(histogram_percentile(&histogram, 50), 63);
	assert_int_equal(histogram_percentile(&histogram, 75), 95);
	assert_int_equal(histogram_percentile(&histogram, 100), 127);
}

static void one_value_is_all_percentiles(void **state)
{
	for (unsigned i = 0; i < 1000; i++)
		histogram_add(&histogram, 123456789);
	assert_int_equal(histogram_percentile(&histogram, 0), 123456789);
	assert_int_equal(histogram_percentile(&histogram, 99.9), 123456789);
	assert_int_equal(histogram.min, 123456789);
}

/* Values of all sizes, the same for the sorted list and the histogram. */
static void off_by_one_part_in_64_at_most(void **state)
{
	static const double percents[] = {0, 0.1, 1, 10, 50, 90, 99, 99.9, 99.99, 100};
	static uint64_t values[VALUES];
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < VALUES; i++) {
		values[i] = test_random(&seed) >> (64 - HISTOGRAM_TOP) >>
			    test_random_below(&seed, HISTOGRAM_TOP);
		histogram_add(i % 3 ? &histogram : &other, values[i]);
	}
	histogram_merge(&histogram, &other);
	qsort(values, VALUES, sizeof(*values), by_size);
	assert_int_equal(histogram.n, VALUES);
	assert_int_equal(histogram.min, values[0]);
	assert_int_equal(histogram.max, values[VALUES - 1]);
	for (unsigned i = 0; i < sizeof(percents) / sizeof(*percents); i++) {
		/* how many must not exceed it, rounded up */
		double rank = percents[i] / 100 * VALUES;
		unsigned n = (unsigned)rank + ((unsigned)rank < rank);
		uint64_t exact = values[n ? n - 1 : 0];
		uint64_t found = histogram_percentile(&histogram, percents[i]);

		assert_in_range(found, exact, exact + exact / 64);
	}
}

static void merging_is_adding(void **state)
{
	static struct histogram both;

	both = (struct histogram){0};
	for (uint64_t value = 1; value < 1000000; value = value * 3 + 1) {
		histogram_add(&histogram, value);
		histogram_add(&other, value * 7);
		histogram_add(&both, value);
		histogram_add(&both, value * 7);
	}
	histogram_merge(&histogram, &other);
	assert_memory_equal(&histogram, &both, sizeof(both));
}

static void what_is_beyond_counts_as_the_greatest(void **state)
{
	histogram_add(&histogram, 1000);
	histogram_add(&histogram, UINT64_C(1) << 50);
	histogram_add(&histogram, UINT64_C(1) << 40);
	assert_int_equal(histogram_percentile(&histogram, 33), 1007);
	assert_int_equal(histogram_percentile(&histogram, 50), UINT64_C(1) << 50);
	assert_int_equal(histogram_percentile(&histogram, 100), UINT64_C(1) << 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_one_has_no_values, clear),
		cmocka_unit_test_setup(buckets_follow_each_other, clear),
		cmocka_unit_test_setup(small_values_are_exact, clear),
		cmocka_unit_test_setup(one_value_is_all_percentiles, clear),
		cmocka_unit_test_setup(off_by_one_part_in_64_at_most, clear),
		cmocka_unit_test_setup(merging_is_adding, clear),
		cmocka_unit_test_setup(what_is_beyond_counts_as_the_greatest, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
