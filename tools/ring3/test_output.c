/* SPDX-License-Identifier: BSD-2-Clause */
/* One object, in both formats, with everything that a device may put into it. */
#include "output_formats.h"
#include "unit.h"

#include <json-c/json.h>
#include <string.h>

struct row {
	struct hex offset;
	const char *name;
	uint64_t extra;
};

static const struct field row_fields[] = {
	FIELD(struct row, offset, HEX),
	FIELD(struct row, name, STRING),
	FIELD(struct row, extra, NUMBER, .json_only = true),
	{0},
};

struct inner {
	bool on_off;
};

static const struct field inner_fields[] = {
	FIELD(struct inner, on_off, BOOL),
	{0},
};

struct object {
	const char *name;
	struct hex id;
	uint64_t size;
	unsigned flags;
	const struct inner *inner;
	struct list rows;
	struct list dump;
};

static const char *const flag_names[] = {"one", "two", NULL};

static const struct field fields[] = {
	FIELD(struct object, name, STRING),
	FIELD(struct object, id, HEX),
	FIELD(struct object, size, NUMBER),
	FIELD(struct object, flags, FLAGS, .flags = flag_names),
	FIELD(struct object, inner, OBJECT, .fields = inner_fields),
	FIELD(struct object, rows, LIST, .fields = row_fields, .stride = sizeof(struct row)),
	FIELD(struct object, dump, BYTES),
	{0},
};

static const unsigned char dump[68] = {1, [16] = 2, [32] = 0, [64] = 3, 4, 5, 6};
static const struct row rows[] = {{{0x10, 4}, "a", 7}, {{0x123456, 4}, NULL, 8}};
static const struct inner inner = {true};
static const struct object full = {"x\033[1m", {0xab, 4},           1 << 20, 3, &inner,
				   {rows, 2},  {dump, sizeof(dump)}};
static const struct object empty;

static void assert_text(const struct object *object, const char *expected)
{
	char *text;
	size_t len;

	assert_int_equal(output_text(fields, object, &text, &len), 0);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(text));
	free(text);
}

static void test_text(void **state)
{
	assert_text(&full, "name   x?[1m\n"
			   "id     0x00ab\n"
			   "size   1048576\n"
			   "flags  one two\n"
			   "\n"
			   "inner:\n"
			   "  on off  yes\n"
			   "\n"
			   "rows:\n"
			   "  OFFSET    NAME\n"
			   "  0x0010    a\n"
			   "  0x123456  -\n"
			   "\n"
			   "dump:\n"
			   "  000: 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n"
			   "  010: 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n"
			   "  020: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n"
			   "  *\n"
			   "  040: 03 04 05 06\n");
	assert_text(&empty, "name   -\n"
			    "id     -\n"
			    "size   0\n"
			    "flags  -\n");
}

static void test_dump_ends_in_repetition(void **state)
{
	static const unsigned char zeroes[48];
	const struct object object = {.dump = {zeroes, sizeof(zeroes)}};
	static const struct field only_dump[] = {FIELD(struct object, dump, BYTES), {0}};
	char *text;
	size_t len;

	assert_int_equal(output_text(only_dump, &object, &text, &len), 0);
	assert_string_equal(text, "000: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n*\n030\n");
	free(text);
}

static void test_units(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} times[] = {
		{0, "0 ns"},
		{999, "999 ns"},
		{1000, "1.00 us"},
		{9994, "9.99 us"},
		{9996, "10.0 us"},
		{999949, "999.9 us"},
		{999951, "1.00 ms"},
		{UINT64_C(1500000000), "1.50 s"},
		{UINT64_C(3600000000000), "3600.0 s"},
	};
	struct speed {
		uint64_t p50_ns, data_bytes_per_s;
	} speed = {.data_bytes_per_s = 1234567890};
	static const struct field speed_fields[] = {
		FIELD(struct speed, p50_ns, TIME),
		FIELD(struct speed, data_bytes_per_s, RATE),
		{0},
	};
	char *text, expected[64];
	size_t len;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		speed.p50_ns = times[i].ns;
		snprintf(expected, sizeof(expected), "p50   %s\ndata  1234.6 MB/s\n",
			 times[i].text);
		assert_int_equal(output_text(speed_fields, &speed, &text, &len), 0);
		assert_string_equal(text, expected);
		free(text);
	}
	speed.p50_ns = 12;
	assert_int_equal(output_json("test", speed_fields, &speed, &text, &len), 0);
	assert_non_null(strstr(text, "\"p50_ns\": 12,"));
	assert_non_null(strstr(text, "\"data_bytes_per_s\": 1234567890\n"));
	free(text);
}

static struct json_object *json_of(const struct object *object)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *json;
	char *text;
	size_t len;

	assert_non_null(tokener);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	assert_int_equal(output_json("test", fields, object, &text, &len), 0);
	assert_int_equal(len, strlen(text));
	json = json_tokener_parse_ex(tokener, text, (int)len + 1);
	assert_non_null(json);
	json_tokener_free(tokener);
	free(text);
	return json;
}

static void assert_member(struct json_object *json, const char *name, const char *expected)
{
	struct json_object *member;

	assert_true(json_object_object_get_ex(json, name, &member));
	assert_string_equal(json_object_to_json_string_ext(member, JSON_C_TO_STRING_PLAIN),
			    expected);
}

static void test_json(void **state)
{
	struct json_object *json = json_of(&full);

	assert_member(json, "schema", "\"ring3.test\"");
	assert_member(json, "version", "1");
	assert_member(json, "name", "\"x\\u001b[1m\"");
	assert_member(json, "id", "\"0x00ab\"");
	assert_member(json, "size", "1048576");
	assert_member(json, "flags", "[\"one\",\"two\"]");
	assert_member(json, "inner", "{\"on_off\":true}");
	assert_member(json, "rows",
		      "[{\"offset\":\"0x0010\",\"name\":\"a\",\"extra\":7},"
		      "{\"offset\":\"0x123456\",\"name\":null,\"extra\":8}]");
	json_object_put(json);

	json = json_of(&empty);
	assert_member(json, "name", "null");
	assert_member(json, "id", "null");
	assert_member(json, "inner", "null");
	assert_member(json, "rows", "null");
	assert_member(json, "dump", "null");
	json_object_put(json);
}

static void assert_name(const char *name, const char *expected)
{
	const struct object object = {.name = name};
	struct json_object *json = json_of(&object), *member;

	assert_true(json_object_object_get_ex(json, "name", &member));
	assert_string_equal(json_object_get_string(member), expected);
	json_object_put(json);
}

static void test_json_is_utf8(void **state)
{
	static const char *const valid[] = {
		"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};

	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		assert_name(valid[i], valid[i]);
	assert_name("a\xff", "a?");
	assert_name("\xc3", "?"); /* cut off */
	assert_name("\xe2\x82", "??");
	assert_name("\xc0\xaf", "??"); /* longer than need be */
	assert_name("\xe0\x80\x80", "???");
	assert_name("\xed\xa0\x80", "???");      /* a surrogate */
	assert_name("\xf4\x90\x80\x80", "????"); /* beyond Unicode */
	assert_name("\xf5z", "?z");
}

static void test_json_random(void **state)
{
	uint64_t seed = test_seed();

	for (int round = 0; round < 2000; round++) {
		char name[24];
		unsigned len = test_random_below(&seed, sizeof(name));
		const struct object object = {.name = name};

		for (unsigned i = 0; i < len; i++)
			name[i] = (char)(1 + test_random_below(&seed, 255));
		name[len] = 0;
		json_object_put(json_of(&object));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_dump_ends_in_repetition),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_is_utf8),
		cmocka_unit_test(test_json_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
