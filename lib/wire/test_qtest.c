/* SPDX-License-Identifier: BSD-2-Clause */
/* qtest and ivshmem on the wire: what is encoded, what is refused, and that no bytes
 * whatsoever make the decoder read where nothing is. */
#include "unit.h"
#include "wire/ivshmem.h"
#include "wire/qtest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void commands_are_what_qemu_parses(void **state)
{
	char out[R3_QTEST_COMMAND_MAX + 1];
	size_t n;

	n = r3_qtest_encode_read(out, R3_QTEST_MEMORY, 0xc0000000, 4);
	out[n] = '\0';
	assert_string_equal(out, "readl 0xc0000000\n");
	n = r3_qtest_encode_read(out, R3_QTEST_PORT, 0, 1);
	out[n] = '\0';
	assert_string_equal(out, "inb 0x0\n");
	n = r3_qtest_encode_write(out, R3_QTEST_MEMORY, UINT64_MAX - 7, 8, UINT64_MAX);
	out[n] = '\0';
	assert_string_equal(out, "writeq 0xfffffffffffffff8 0xffffffffffffffff\n");
	assert_true(n < R3_QTEST_COMMAND_MAX);
	n = r3_qtest_encode_write(out, R3_QTEST_PORT, 0xcf8, 2, 0x12345678);
	out[n] = '\0';
	assert_string_equal(out, "outw 0xcf8 0x5678\n");
}

static void what_qemu_lacks_is_not_encoded(void **state)
{
	char out[R3_QTEST_COMMAND_MAX];

	assert_int_equal(r3_qtest_encode_read(out, R3_QTEST_PORT, 0, 8), 0);
	assert_int_equal(r3_qtest_encode_read(out, R3_QTEST_PORT, 0xffff, 2), 0);
	assert_int_equal(r3_qtest_encode_read(out, R3_QTEST_MEMORY, 0, 3), 0);
	assert_int_equal(r3_qtest_encode_read(out, R3_QTEST_MEMORY, 0, 0), 0);
	assert_int_equal(r3_qtest_encode_write(out, R3_QTEST_MEMORY, UINT64_MAX, 2, 0), 0);
	assert_int_equal(r3_qtest_encode_write(out, (enum r3_qtest_space)7, 0, 1, 0), 0);
}

static int decode(const char *text, struct r3_qtest_line *line)
{
	return r3_qtest_decode(text, strlen(text), line);
}

static void replies_decode(void **state)
{
	struct r3_qtest_line line;

	assert_int_equal(decode("OK", &line), 0);
	assert_int_equal(line.kind, R3_QTEST_OK);
	assert_false(line.has_value);
	assert_int_equal(decode("OK 0x00000000deadbeef", &line), 0);
	assert_true(line.has_value);
	assert_int_equal(line.value, 0xdeadbeef);
	assert_int_equal(decode("IRQ raise 21", &line), 0);
	assert_int_equal(line.kind, R3_QTEST_IRQ);
	assert_true(line.raised);
	assert_int_equal(line.line, 21);
	assert_int_equal(decode("IRQ lower 0", &line), 0);
	assert_false(line.raised);
	assert_int_equal(decode("FAIL Unknown command", &line), 0);
	assert_int_equal(line.kind, R3_QTEST_FAILED);
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "O",
					  "OK ",
					  "OK 0x",
					  "OK 0xg",
					  "OK 0x11112222333344445",
					  "OKAY",
					  "IRQ raise",
					  "IRQ raise ",
					  "IRQ raise -1",
					  "IRQ raise 65536",
					  "IRQ raise 99999999999999999999999",
					  "IRQ toggle 1",
					  "hello"};
	struct r3_qtest_line line;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(decode(bad[i], &line), -EPROTO);
}

/* Lines arrive in pieces of any size. */
static void the_stream_cuts_lines_wherever_bytes_end(void **state)
{
	static const char text[] = "OK\nIRQ raise 5\nOK 0x12\n";

	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct r3_qtest_stream stream = {0};
		struct r3_qtest_line line;
		unsigned lines = 0;

		for (size_t at = 0; at < sizeof(text) - 1;) {
			size_t room, n = sizeof(text) - 1 - at;
			char *to = r3_qtest_stream_room(&stream, &room);
			if (n > piece)
				n = piece;
			assert_true(n <= room);
			memcpy(to, text + at, n);
			r3_qtest_stream_add(&stream, n);
			at += n;
			while (r3_qtest_stream_next(&stream, &line) > 0)
				lines++;
		}
		assert_int_equal(lines, 3);
		assert_int_equal(line.value, 0x12);
	}
}

static void a_line_without_an_end_is_refused(void **state)
{
	struct r3_qtest_stream stream = {0};
	struct r3_qtest_line line;
	size_t room;
	char *to = r3_qtest_stream_room(&stream, &room);

	memset(to, 'O', room);
	r3_qtest_stream_add(&stream, room);
	assert_int_equal(r3_qtest_stream_next(&stream, &line), -EPROTO);
}

/* Bytes near the grammar, in random pieces, through the stream: ends or errs, always. */
static void random_bytes_are_survived(void **state)
{
	static const char alphabet[] = "OKIRQ raiselowerFAILx0123456789abcdef\n\n\n\0\377";
	uint64_t seed = test_seed();

	for (unsigned round = 0; round < 2000; round++) {
		struct r3_qtest_stream stream = {0};
		struct r3_qtest_line line;
		int rc = 0;

		for (unsigned piece = 0; piece < 20 && rc >= 0; piece++) {
			size_t room, n;
			char *to = r3_qtest_stream_room(&stream, &room);
			assert_true(room > 0);
			n = test_random_below(&seed, 64);
			n = n > room ? room : n;
			for (size_t i = 0; i < n; i++)
				to[i] = alphabet[test_random_below(&seed, sizeof(alphabet) - 1)];
			r3_qtest_stream_add(&stream, n);
			while ((rc = r3_qtest_stream_next(&stream, &line)) > 0)
				assert_true(line.kind <= R3_QTEST_IRQ);
		}
	}
}

static void ivshmem_messages_carry_the_descriptor(void **state)
{
	int pair[2], fd = eventfd(3, EFD_NONBLOCK);
	unsigned char bytes[16];
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.room,
			     .msg_controllen = sizeof(control.room)};
	int got;
	uint64_t count;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(r3_ivshmem_send(pair[0], 0x1234, fd, 0), 0);
	assert_int_equal(recvmsg(pair[1], &msg, 0), 8);
	assert_memory_equal(bytes, "\x34\x12\0\0\0\0\0\0", 8);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(got));
	/* the same object: read here, it is empty there */
	assert_int_equal(read(got, &count, sizeof(count)), 8);
	assert_int_equal(read(fd, &count, sizeof(count)), -1);

	assert_int_equal(r3_ivshmem_send(pair[0], R3_IVSHMEM_SHM, -1, 0), 0);
	assert_int_equal(read(pair[1], bytes, sizeof(bytes)), 8);
	assert_memory_equal(bytes, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);

	/* A reader that never reads costs the time given, not more. */
	int rc = 0;
	for (unsigned i = 0; i < 100000 && rc == 0; i++)
		rc = r3_ivshmem_send(pair[0], 1, -1, 1);
	assert_int_equal(rc, -ETIMEDOUT);
	close(pair[1]);
	assert_int_equal(r3_ivshmem_send(pair[0], 0, -1, 0), -EPIPE);
	close(pair[0]);
	close(got);
	close(fd);
	assert_int_equal(r3_ivshmem_ring(3, 64), 0x30040);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_what_qemu_parses),
		cmocka_unit_test(what_qemu_lacks_is_not_encoded),
		cmocka_unit_test(replies_decode),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(the_stream_cuts_lines_wherever_bytes_end),
		cmocka_unit_test(a_line_without_an_end_is_refused),
		cmocka_unit_test(random_bytes_are_survived),
		cmocka_unit_test(ivshmem_messages_carry_the_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
