/* SPDX-License-Identifier: BSD-2-Clause */
/* The link against a QEMU that is a string: what it was told is read back afterwards. */
#include "backend/qemu/link.h"
#include "bus/ops.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct r3_qemu_link qlink;
static int qemu;
static unsigned up, down;

static void line_changed(void *ctx, unsigned line, bool raised)
{
	assert_int_equal(line, 21);
	*(raised ? &up : &down) += 1;
}

static int setup(void **state)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	r3_qemu_link_open(&qlink, pair[0], 50);
	qlink.irq = line_changed;
	qemu = pair[1];
	up = down = 0;
	return 0;
}

static int teardown(void **state)
{
	r3_qemu_link_close(&qlink);
	close(qemu);
	return 0;
}

static void answer(const char *text)
{
	assert_int_equal(write(qemu, text, strlen(text)), strlen(text));
}

static void expect(const char *text)
{
	char got[65536];
	ssize_t n = read(qemu, got, sizeof(got) - 1);

	got[n > 0 ? n : 0] = '\0';
	assert_string_equal(got, text);
}

static int read32(uint32_t *value, uint32_t n)
{
	return r3_qemu_link_rw(&qlink, R3_QTEST_MEMORY, 0x1000, value, 4, n, 0);
}

static int post(uint32_t value)
{
	return r3_qemu_link_rw(&qlink, R3_QTEST_MEMORY, 0x1000, &value, 4, 1,
			       R3_RW_WRITE | R3_RW_POSTED);
}

static void items_go_together_and_return_in_order(void **state)
{
	uint32_t value[3];

	answer("OK 0x1\nOK 0x2\nIRQ raise 21\nOK 0x3\nIRQ lower 21\n");
	assert_int_equal(read32(value, 3), 0);
	expect("readl 0x1000\nreadl 0x1004\nreadl 0x1008\n");
	assert_int_equal(value[0], 1);
	assert_int_equal(value[2], 3);
	assert_int_equal(up, 1);
	assert_int_equal(r3_qemu_link_drain(&qlink), 0);
	assert_int_equal(down, 1);
}

static void unaligned_memory_is_fine(void **state)
{
	unsigned char bytes[9] = {0};

	answer("OK 0x1122334455667788\nOK\n");
	assert_int_equal(r3_qemu_link_rw(&qlink, R3_QTEST_MEMORY, 0, bytes + 1, 8, 1, 0), 0);
	assert_memory_equal(bytes, "\0\x88\x77\x66\x55\x44\x33\x22\x11", 9);
	assert_int_equal(r3_qemu_link_rw(&qlink, R3_QTEST_PORT, 0x10, bytes + 1, 2, 1, R3_RW_WRITE),
			 0);
	expect("readq 0x0\noutw 0x10 0x7788\n");
}

static void a_posted_write_does_not_wait(void **state)
{
	uint32_t value;

	assert_int_equal(post(5), 0);
	assert_int_equal(post(6), 0);
	assert_int_equal(qlink.owed, 2);
	expect("writel 0x1000 0x5\nwritel 0x1000 0x6\n");
	answer("OK\nOK\nOK 0x7\n");
	assert_int_equal(read32(&value, 1), 0);
	assert_int_equal(value, 7);
	assert_int_equal(qlink.owed, 0);
}

static void a_write_that_fails_is_not_overlooked(void **state)
{
	for (unsigned posted = 0; posted < 2; posted++) {
		uint32_t value = 1;

		answer("FAIL Unknown command\n");
		int rc = posted ? post(value)
				: r3_qemu_link_rw(&qlink, R3_QTEST_MEMORY, 0x1000, &value, 4, 1,
						  R3_RW_WRITE);
		if (posted) {
			assert_int_equal(rc, 0);
			rc = r3_qemu_link_drain(&qlink);
		}
		assert_int_equal(rc, -ENODEV);
		assert_true(qlink.lost);
		teardown(NULL);
		setup(NULL);
	}
}

static void owed_replies_have_a_limit(void **state)
{
	int rc = 0;
	unsigned n;

	for (n = 0; n < 1000 && rc == 0; n++)
		rc = post(n);
	assert_int_equal(rc, -ETIMEDOUT);
	assert_int_equal(n, 129);
	assert_true(qlink.lost);
	assert_int_equal(post(0), -ENODEV);
}

static void settle_collects_all(void **state)
{
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(post(i), 0);
	answer("OK\nIRQ lower 21\nOK\nOK\n");
	assert_int_equal(r3_qemu_link_settle(&qlink), 0);
	assert_int_equal(qlink.owed, 0);
	assert_int_equal(down, 1);
}

static void what_qemu_lacks_is_refused_and_harmless(void **state)
{
	uint64_t value = 0;

	assert_int_equal(r3_qemu_link_rw(&qlink, R3_QTEST_PORT, 0x10, &value, 8, 1, 0), -EINVAL);
	assert_int_equal(r3_qemu_link_rw(&qlink, R3_QTEST_PORT, 0x10000, &value, 1, 1, 0), -EINVAL);
	assert_false(qlink.lost);
	expect("");
}

static void nonsense_loses_the_link(void **state)
{
	static const char *const nonsense[] = {"OK\n", "FAIL\n", "hello\n", "OK 0x1\nOK 0x2\n"};

	for (unsigned i = 0; i < 4; i++) {
		uint32_t value;

		answer(nonsense[i]);
		int rc = read32(&value, 1);
		if (i == 3) { /* the second reply is one too many */
			assert_int_equal(rc, 0);
			rc = r3_qemu_link_drain(&qlink);
		}
		assert_int_equal(rc, -ENODEV);
		assert_true(qlink.lost);
		assert_int_equal(read32(&value, 1), -ENODEV);
		teardown(NULL);
		setup(NULL);
	}
}

static void silence_is_bounded(void **state)
{
	uint32_t value;

	assert_int_equal(read32(&value, 1), -ETIMEDOUT);
	assert_int_equal(read32(&value, 1), -ENODEV);
}

static void the_end_is_noticed(void **state)
{
	uint32_t value;

	close(qemu);
	assert_int_equal(post(1), -ENODEV);
	assert_int_equal(read32(&value, 1), -ENODEV);
	qemu = -1;
}

static void a_command_may_be_refused(void **state)
{
	answer("OK\nFAIL Unknown device\n");
	assert_int_equal(r3_qemu_link_command(&qlink, R3_QTEST_INTERCEPT_IOAPIC), 0);
	assert_int_equal(r3_qemu_link_command(&qlink, R3_QTEST_INTERCEPT_IOAPIC), -EPROTO);
	assert_false(qlink.lost);
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINK_TEST(items_go_together_and_return_in_order),
		LINK_TEST(unaligned_memory_is_fine),
		LINK_TEST(a_posted_write_does_not_wait),
		LINK_TEST(a_write_that_fails_is_not_overlooked),
		LINK_TEST(owed_replies_have_a_limit),
		LINK_TEST(settle_collects_all),
		LINK_TEST(what_qemu_lacks_is_refused_and_harmless),
		LINK_TEST(nonsense_loses_the_link),
		LINK_TEST(silence_is_bounded),
		LINK_TEST(the_end_is_noticed),
		LINK_TEST(a_command_may_be_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
