/* SPDX-License-Identifier: BSD-2-Clause */
/* The grammar of addresses, and that printing and parsing undo each other, also for texts that
 * nobody meant. */
#include "unit.h"

#include <ring3/address.h>
#include <ring3/error.h>

#include <errno.h>
#include <string.h>

static struct r3_address *parse(const char *text)
{
	struct r3_address *address;

	if (r3_address_parse(text, &address))
		fail_msg("\"%s\": %s", text, r3_error_text());
	return address;
}

static void canonical(const char *text, const char *want)
{
	struct r3_address *address = parse(text);
	char buf[256];

	assert_int_equal(r3_address_print(address, buf, sizeof(buf)), strlen(want));
	assert_string_equal(buf, want);
	r3_address_free(address);
}

static void all_parts_are_found(void **state)
{
	struct r3_address *a =
		parse("delay,read=5us,write=1us+trace+qemu:nvme,size=1G,null,drive=/a:b%2Cc");

	assert_int_equal(a->nfilter, 2);
	assert_string_equal(a->filter[0].head, "delay");
	assert_int_equal(a->filter[0].nparam, 2);
	assert_string_equal(a->filter[0].param[1].key, "write");
	assert_string_equal(a->filter[0].param[1].value, "1us");
	assert_string_equal(a->filter[1].head, "trace");
	assert_int_equal(a->filter[1].nparam, 0);
	assert_string_equal(a->scheme, "qemu");
	assert_string_equal(a->rest.head, "nvme");
	assert_int_equal(a->rest.nparam, 3);
	assert_string_equal(a->rest.param[1].key, "null");
	assert_null(a->rest.param[1].value);
	assert_string_equal(a->rest.param[2].value, "/a:b,c");
	r3_address_free(a);
	r3_address_free(NULL);
}

static void canonical_forms(void **state)
{
	canonical("0000:01:00.0", "pci:0000:01:00.0");
	canonical("01:00.7", "pci:01:00.7");
	canonical("10000:e1:1f.0", "pci:10000:e1:1f.0");
	canonical("pci:0000:01:00.0", "pci:0000:01:00.0");
	canonical("delay,read=1us+01:00.0", "delay,read=1us+pci:01:00.0");
	canonical("vfio-user:unix:/run/x.sock", "vfio-user:unix:/run/x.sock");
	canonical("file:", "file:");
	canonical("file:/a=b", "file:/a=b");
	canonical("file:%41%2b%2c%3a%25", "file:A%2B%2C:%25");
	canonical("f,k=%3a%20=+file:x%0ay", "f,k=%3A =+file:x%0Ay");
	canonical("qemu:,k=,k", "qemu:,k=,k");
	canonical("qemu:nvme,prop.X_y-z=1", "qemu:nvme,prop.X_y-z=1");
}

static void malformed(const char *text, unsigned position)
{
	struct r3_address *address;
	char want[32];

	assert_int_equal(r3_address_parse(text, &address), -EINVAL);
	snprintf(want, sizeof(want), "at character %u", position);
	if (!strstr(r3_error_text(), want) || strstr(r3_error_text(), want)[strlen(want)] != '\0')
		fail_msg("\"%s\": wanted %s: %s", text, want, r3_error_text());
}

static void malformed_ones_say_where(void **state)
{
	malformed("", 1);
	malformed("nvme", 5);
	malformed(":x", 1);
	malformed("Qemu:x", 1);
	malformed("q_emu:x", 2);
	malformed("1qemu:x", 1);
	malformed("01:20.0", 1);
	malformed("01:00.8", 1);
	malformed("01:00.0,x", 1);
	malformed("001:01:00.0", 1);
	malformed("+qemu:x", 1);
	malformed("delay+", 7);
	malformed("a:b+qemu:x", 2);
	malformed("a,k=b:c+qemu:x", 6);
	malformed("file:/a+b", 5);
	malformed("qemu:nvme,", 11);
	malformed("qemu:nvme,=1", 11);
	malformed("qemu:nvme,,x", 11);
	malformed("qemu:nvme,a b=1", 12);
	malformed("qemu:%4", 6);
	malformed("qemu:x%zz", 7);
	malformed("qemu:x,k=a%0", 11);
	malformed("qemu:x%00y", 7);
	malformed("qemu:x,k=%00", 10);
}

static void length_is_bounded(void **state)
{
	struct r3_address *address;
	char text[4098];

	memset(text, 'a', sizeof(text));
	memcpy(text, "file:", 5);
	text[4097] = '\0';
	assert_int_equal(r3_address_parse(text, &address), -ENAMETOOLONG);
	text[4096] = '\0';
	address = parse(text);
	assert_int_equal(strlen(address->rest.head), 4091);
	r3_address_free(address);
}

static void print_cuts_as_snprintf(void **state)
{
	struct r3_address *address = parse("qemu:nvme");
	char buf[16] = "xxxxxxxx";

	assert_int_equal(r3_address_print(address, NULL, 0), 9);
	assert_int_equal(r3_address_print(address, buf, 1), 9);
	assert_string_equal(buf, "");
	assert_int_equal(r3_address_print(address, buf, 5), 9);
	assert_string_equal(buf, "qemu");
	assert_int_equal(r3_address_print(address, buf, 9), 9);
	assert_string_equal(buf, "qemu:nvm");
	assert_int_equal(r3_address_print(address, buf, 10), 9);
	assert_string_equal(buf, "qemu:nvme");
	r3_address_free(address);
}

/* ---- random ---- */

static void assert_same_params(const struct r3_params *a, const struct r3_params *b)
{
	assert_string_equal(a->head, b->head);
	assert_int_equal(a->nparam, b->nparam);
	for (unsigned i = 0; i < a->nparam; i++) {
		assert_string_equal(a->param[i].key, b->param[i].key);
		assert_int_equal(!a->param[i].value, !b->param[i].value);
		if (a->param[i].value)
			assert_string_equal(a->param[i].value, b->param[i].value);
	}
}

static void assert_same(const struct r3_address *a, const struct r3_address *b)
{
	assert_int_equal(a->nfilter, b->nfilter);
	for (unsigned i = 0; i < a->nfilter; i++)
		assert_same_params(&a->filter[i], &b->filter[i]);
	assert_string_equal(a->scheme, b->scheme);
	assert_same_params(&a->rest, &b->rest);
}

/* Print, parse, compare, print again. */
static void round_trip(const struct r3_address *address)
{
	struct r3_address *again;
	size_t n = r3_address_print(address, NULL, 0);
	char *text = malloc(n + 1), *text2 = malloc(n + 1);

	assert_non_null(text);
	assert_non_null(text2);
	assert_int_equal(r3_address_print(address, text, n + 1), n);
	assert_int_equal(strlen(text), n);
	if (n <= 4096) { /* escapes can make it longer than what parses */
		again = parse(text);
		assert_same(address, again);
		assert_int_equal(r3_address_print(again, text2, n + 1), n);
		assert_string_equal(text, text2);
		r3_address_free(again);
	}
	free(text);
	free(text2);
}

static void mutate(char *text, size_t room, uint64_t *random)
{
	static const char special[] = "%,+:=.-_%2B%2c%3A%00%zz0aZ \t\n\x7f\xff/";
	size_t len = strlen(text);
	size_t at = test_random_below(random, (unsigned)len + 1);
	char c = test_random_below(random, 4)
			 ? special[test_random_below(random, sizeof(special) - 1)]
			 : (char)(1 + test_random_below(random, 255));

	switch (test_random_below(random, 4)) {
	case 0: /* replace */
		if (at < len)
			text[at] = c;
		break;
	case 1: /* remove */
		if (at < len)
			memmove(text + at, text + at + 1, len - at);
		break;
	case 2: /* insert */
		if (len + 2 > room)
			break;
		memmove(text + at + 1, text + at, len - at + 1);
		text[at] = c;
		break;
	default: /* double the tail */
		if (len + (len - at) + 1 > room)
			break;
		memmove(text + len, text + at, len - at);
		text[len + len - at] = '\0';
	}
}

static void random_texts(void **state)
{
	static const char *const seeds[] = {
		"delay,read=5us,write=1us+qemu:nvme,size=1G,null",
		"0000:01:00.0",
		"a+b,c+d,e=f,g+vfio-user:unix:/run/%2Bx.sock",
		"file:%41%2b%2c%3a%25",
		"ring3:disk",
	};
	uint64_t random = test_seed();
	unsigned parsed = 0;

	for (unsigned i = 0; i < 60000; i++) {
		struct r3_address *address;
		char text[256];

		strcpy(text, seeds[test_random_below(&random, 5)]);
		for (unsigned n = 1 + test_random_below(&random, 6); n; n--)
			mutate(text, sizeof(text), &random);
		int rc = r3_address_parse(text, &address);
		if (rc) {
			assert_int_equal(rc, -EINVAL);
			continue;
		}
		parsed++;
		round_trip(address);
		r3_address_free(address);
	}
	assert_in_range(parsed, 1000, 59000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_parts_are_found),      cmocka_unit_test(canonical_forms),
		cmocka_unit_test(malformed_ones_say_where), cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(print_cuts_as_snprintf),   cmocka_unit_test(random_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
