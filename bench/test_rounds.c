/* SPDX-License-Identifier: BSD-2-Clause */
/* Medians, ratios and turns of hand-made rounds. */
#include "rounds.h"

#include "unit.h"
#include <math.h>

static void between_neighbours(void **state)
{
	struct bench_rounds rounds = {0};

	assert_true(isnan(bench_median(&rounds)));
	bench_rounds_add(&rounds, 7);
	assert_float_equal(bench_median(&rounds), 7, 0);
	assert_float_equal(bench_percentile(&rounds, 100), 7, 0);
	bench_rounds_add(&rounds, 1);
	assert_float_equal(bench_median(&rounds), 4, 0);
	bench_rounds_add(&rounds, 100);
	assert_float_equal(bench_median(&rounds), 7, 0);
	assert_float_equal(bench_percentile(&rounds, 0), 1, 0);
	assert_float_equal(bench_percentile(&rounds, 25), 4, 1e-9);
	assert_float_equal(bench_percentile(&rounds, 100), 100, 0);
}

static void no_more_than_fit(void **state)
{
	struct bench_rounds rounds = {0};

	for (unsigned i = 0; i < BENCH_ROUNDS_MAX + 10; i++)
		bench_rounds_add(&rounds, i);
	assert_int_equal(rounds.n, BENCH_ROUNDS_MAX);
	assert_float_equal(bench_percentile(&rounds, 100), BENCH_ROUNDS_MAX - 1, 0);
}

static void a_ratio_per_round(void **state)
{
	struct bench_rounds a = {.n = 3, .value = {2, 30, 4}}, b = {.n = 2, .value = {1, 10}}, out;

	bench_ratios(&a, &b, &out);
	assert_int_equal(out.n, 2);
	assert_float_equal(out.value[0], 2, 0);
	assert_float_equal(out.value[1], 3, 0);
}

struct turns {
	char order[16];
	unsigned n, fail_at;
};

static int turn(void *user, unsigned subject)
{
	struct turns *turns = user;

	turns->order[turns->n++] = (char)('a' + subject);
	return turns->n == turns->fail_at ? 5 : 0;
}

static void subjects_take_turns(void **state)
{
	struct turns turns = {0};
	struct bench_plan plan = {
		.rounds = 4, .subjects = 3, .anyway = true, .measure = turn, .user = &turns};

	assert_int_equal(bench_interleave(&plan), 0);
	assert_string_equal(turns.order, "abcbcacababc");

	turns = (struct turns){.fail_at = 2};
	assert_int_equal(bench_interleave(&plan), 5);
	assert_string_equal(turns.order, "ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(between_neighbours),
		cmocka_unit_test(no_more_than_fit),
		cmocka_unit_test(a_ratio_per_round),
		cmocka_unit_test(subjects_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
