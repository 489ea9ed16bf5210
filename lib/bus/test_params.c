/* SPDX-License-Identifier: BSD-2-Clause */
/* Values with units, and keys that nobody knows. */
#include "unit.h"

#include <ring3/address.h>
#include <ring3/error.h>

#include <errno.h>
#include <string.h>

/* One parameter "k" of that value. */
#define PARAMS(text) \
	(&(const struct r3_params){ \
		.head = "nvme", .nparam = 1, .param = (const struct r3_param[]){{"k", text}}})

static void good_size(const char *text, uint64_t want)
{
	uint64_t out = 0;

	assert_int_equal(r3_params_size(PARAMS(text), "k", 0, UINT64_MAX, &out), 0);
	assert_int_equal(out, want);
}

static void sizes(void **state)
{
	static const char *const bad[] = {"",
					  "K",
					  "1k",
					  "1KB",
					  "1 K",
					  "-1",
					  "+1",
					  " 1",
					  "1.5G",
					  "0x",
					  "0x1G1",
					  "16777216T",
					  "18446744073709551616",
					  "1G ",
					  NULL};
	uint64_t out = 7;

	good_size("0", 0);
	good_size("512", 512);
	good_size("4K", 4096);
	good_size("1M", 1 << 20);
	good_size("1G", 1 << 30);
	good_size("2T", UINT64_C(2) << 40);
	good_size("0x10K", 16384);
	good_size("18446744073709551615", UINT64_MAX);
	for (const char *const *text = bad; *text; text++)
		if (!r3_params_size(PARAMS(*text), "k", 0, UINT64_MAX, &out))
			fail_msg("\"%s\" is a size", *text);
	assert_int_equal(r3_params_size(PARAMS(NULL), "k", 0, 9, &out), -EINVAL);
	assert_int_equal(r3_params_size(PARAMS("4K"), "k", 4097, 9999, &out), -EINVAL);
	assert_int_equal(r3_params_size(PARAMS("4K"), "k", 0, 4095, &out), -EINVAL);
	assert_non_null(strstr(r3_error_text(), "nvme: k=4K"));
	assert_non_null(strstr(r3_error_text(), "between 0 and 4095"));
	assert_int_equal(r3_params_size(PARAMS("4K"), "other", 0, 1, &out), 0);
	assert_int_equal(out, 7);
	assert_int_equal(r3_params_size(PARAMS("4K"), "k", 4096, 4096, &out), 0);
	assert_int_equal(out, 4096);
}

static void times(void **state)
{
	uint64_t out = 0;

	assert_int_equal(r3_params_time(PARAMS("5us"), "k", 0, 10000, &out), 0);
	assert_int_equal(out, 5000);
	assert_int_equal(r3_params_time(PARAMS("2s"), "k", 0, UINT64_MAX, &out), 0);
	assert_int_equal(out, UINT64_C(2000000000));
	assert_int_equal(r3_params_time(PARAMS("3ms"), "k", 0, UINT64_MAX, &out), 0);
	assert_int_equal(out, 3000000);
	assert_int_equal(r3_params_time(PARAMS("9ns"), "k", 0, UINT64_MAX, &out), 0);
	assert_int_equal(out, 9);
	assert_int_equal(r3_params_time(PARAMS("9"), "k", 0, UINT64_MAX, &out), -EINVAL);
	assert_int_equal(r3_params_time(PARAMS("99999999999999999999s"), "k", 0, UINT64_MAX, &out),
			 -EINVAL);
	assert_int_equal(r3_params_time(PARAMS("18446744074s"), "k", 0, UINT64_MAX, &out), -EINVAL);
}

static void numbers_and_flags(void **state)
{
	uint64_t out = 0;
	bool flag = false;

	assert_int_equal(r3_params_number(PARAMS("0x1F"), "k", 0, 31, &out), 0);
	assert_int_equal(out, 31);
	assert_int_equal(r3_params_number(PARAMS("1K"), "k", 0, UINT64_MAX, &out), -EINVAL);
	assert_int_equal(r3_params_flag(PARAMS(NULL), "k", &flag), 0);
	assert_true(flag);
	assert_int_equal(r3_params_flag(PARAMS("off"), "k", &flag), 0);
	assert_false(flag);
	assert_int_equal(r3_params_flag(PARAMS("on"), "k", &flag), 0);
	assert_true(flag);
	assert_int_equal(r3_params_flag(PARAMS("yes"), "k", &flag), -EINVAL);
	assert_int_equal(r3_params_flag(PARAMS(""), "k", &flag), -EINVAL);
	assert_int_equal(r3_params_flag(PARAMS("off"), "other", &flag), 0);
	assert_true(flag);
}

static void unknown_keys_are_named(void **state)
{
	static const char *const known[] = {"size", "prop.", NULL};
	static const char *const nothing[] = {NULL};
	const struct r3_param good[] = {{"size", "1"}, {"prop.a", "1"}, {"prop.b", "1"}};
	const struct r3_param twice[] = {{"size", "1"}, {"prop.a", "1"}, {"size", "2"}};

	assert_int_equal(r3_params_check(&(struct r3_params){"x", good, 3}, "qemu", known), 0);
	assert_int_equal(r3_params_check(&(struct r3_params){"x", good, 1}, "qemu", nothing),
			 -EINVAL);
	assert_int_equal(r3_params_check(&(struct r3_params){"x", twice, 3}, "qemu", known),
			 -EINVAL);
	assert_non_null(strstr(r3_error_text(), "\"size\" is given twice"));
	assert_int_equal(r3_params_check(PARAMS("1"), "qemu", known), -EINVAL);
	assert_string_equal(r3_error_text(), "qemu: unknown key \"k\"; it knows: size, prop.NAME");
	assert_int_equal(
		r3_params_check(&(struct r3_params){"x", &(struct r3_param){"prop.", ""}, 1},
				"qemu", known),
		-EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(times),
		cmocka_unit_test(numbers_and_flags),
		cmocka_unit_test(unknown_keys_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
