/* SPDX-License-Identifier: BSD-2-Clause */
/* Bounded waits, on a clock whose time passes only by sleeping. */
#include "fake/fake_clock.h"
#include "unit.h"

static void last_test_is_after_the_deadline(void **state)
{
	struct fake_clock clock = fake_clock(7);
	struct r3_wait wait = r3_wait_begin(&clock.base, 5 * R3_NSEC_PER_SEC);
	uint64_t tested_at = 0;
	unsigned steps = 0;

	do {
		tested_at = r3_clock_now(&clock.base);
		steps++;
	} while (r3_wait_step(&wait));
	assert_int_equal(tested_at, 7 + 5 * R3_NSEC_PER_SEC);
	assert_in_range(steps, 5000, 5100); /* a millisecond each, after a short beginning */
	assert_int_equal(r3_wait_left(&wait), 0);
	assert_false(r3_wait_step(&wait));
}

static void no_time_tests_twice(void **state)
{
	struct fake_clock clock = fake_clock(0);
	struct r3_wait wait = r3_wait_begin(&clock.base, 0);

	assert_true(r3_wait_step(&wait));
	assert_false(r3_wait_step(&wait));
	assert_int_equal(clock.now, 0);
}

static void endless_does_not_wrap(void **state)
{
	struct fake_clock clock = fake_clock(1000);
	struct r3_wait wait = r3_wait_begin(&clock.base, UINT64_MAX);

	for (unsigned i = 0; i < 1000; i++)
		assert_true(r3_wait_step(&wait));
	assert_true(r3_wait_left(&wait) > UINT64_MAX / 2);
}

static void system_clock_sleeps_long_enough(void **state)
{
	struct r3_clock *clock = r3_clock_system();

	for (uint64_t ns = 1000; ns <= 1000000; ns *= 10) {
		uint64_t begin = r3_clock_now(clock);

		clock->sleep(clock, ns);
		assert_true(r3_clock_now(clock) - begin >= ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_test_is_after_the_deadline),
		cmocka_unit_test(no_time_tests_twice),
		cmocka_unit_test(endless_does_not_wrap),
		cmocka_unit_test(system_clock_sleeps_long_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
