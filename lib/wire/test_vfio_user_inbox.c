/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages that come in pieces or several at once, and whose descriptors are whose. */
#include "fake/memory_stream.h"
#include "unit.h"
#include "wire/vfio_user_inbox.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 256

static unsigned char buf[SIZE];
static struct r3_vfio_user_inbox inbox;
static struct r3_stream *ends[2];
static unsigned fds_before;
static int marked[40]; /* each the read end of a pipe of its own */

static int begin_with(bool sockets)
{
	int pair[2];

	fds_before = test_count_fds();
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(pipe2(pair, 0), 0);
		marked[i] = pair[0];
		close(pair[1]);
	}
	if (sockets) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		assert_int_equal(r3_stream_open(pair[0], &ends[0]), 0);
		assert_int_equal(r3_stream_open(pair[1], &ends[1]), 0);
	} else {
		assert_true(memory_stream_pair(ends));
	}
	r3_vfio_user_inbox_init(&inbox, buf, SIZE);
	return 0;
}

static int begin(void **state)
{
	return begin_with(false);
}

static int begin_socket(void **state)
{
	return begin_with(true);
}

static int end(void **state)
{
	r3_vfio_user_inbox_empty(&inbox);
	r3_stream_close(ends[0]);
	r3_stream_close(ends[1]);
	r3_stream_close_fds(marked, 40);
	assert_int_equal(test_count_fds(), fds_before);
	return 0;
}

static void send_part(const void *bytes, size_t len, unsigned first, unsigned nfds)
{
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};

	assert_int_equal(r3_stream_send(ends[0], &iov, 1, marked + first, nfds), len);
}

/* A message with @payload bytes of its own id, and descriptors. */
static size_t make(unsigned char *out, uint16_t id, size_t payload)
{
	r3_vfio_user_request((struct vfio_user_header *)out, id, VFIO_USER_REGION_READ, payload);
	memset(out + 16, (int)id, payload);
	return 16 + payload;
}

static void send_whole(uint16_t id, size_t payload, unsigned first, unsigned nfds)
{
	_Alignas(8) unsigned char message[SIZE];

	send_part(message, make(message, id, payload), first, nfds);
}

/* Is the next message this one, with these descriptors? */
static void expect(uint16_t id, size_t payload, unsigned first, unsigned nfds)
{
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS];

	assert_int_equal(r3_vfio_user_inbox_next(&inbox, &msg, fds), 1);
	assert_int_equal(msg.header.msg_id, id);
	assert_int_equal(msg.len, payload);
	for (size_t i = 0; i < payload; i++)
		assert_int_equal(msg.payload[i], (unsigned char)id);
	assert_int_equal(msg.nfds, nfds);
	for (unsigned i = 0; i < nfds; i++) {
		struct stat is, want;

		assert_int_equal(fstat(fds[i], &is), 0);
		assert_int_equal(fstat(marked[first + i], &want), 0);
		assert_int_equal(is.st_ino, want.st_ino);
	}
	r3_stream_close_fds(fds, msg.nfds);
}

static void expect_none(void)
{
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS];

	assert_int_equal(r3_vfio_user_inbox_next(&inbox, &msg, fds), 0);
}

static void one_receive_takes_several_messages(void **state)
{
	send_whole(1, 8, 0, 0);
	send_whole(2, 0, 0, 0);
	send_whole(3, 40, 0, 3);
	send_whole(4, 4, 3, 1);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 24 + 16 + 56);
	expect(1, 8, 0, 0);
	expect(2, 0, 0, 0);
	expect(3, 40, 0, 3);
	expect_none();
	assert_false(r3_vfio_user_inbox_partial(&inbox));
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 20);
	expect(4, 4, 3, 1);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), -EAGAIN);
}

static void descriptors_belong_to_the_message_that_they_came_with(void **state)
{
	_Alignas(8) unsigned char a[SIZE], b[SIZE];
	size_t la = make(a, 1, 32), lb = make(b, 2, 16);

	/* the first in two pieces with one each, the second joins its end, with two */
	send_part(a, 10, 0, 1);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 10);
	expect_none();
	send_part(a + 10, 20, 1, 1);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 20);
	expect_none();
	assert_true(r3_vfio_user_inbox_partial(&inbox));
	send_part(a + 30, la - 30, 0, 0);
	send_part(b, 20, 2, 2);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), (int)la - 10);
	expect(1, 32, 0, 2);
	expect_none();
	send_part(b + 20, lb - 20, 0, 0);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), (int)lb - 20);
	expect(2, 16, 2, 2);
}

static void a_single_byte_brings_those_of_its_message(void **state)
{
	_Alignas(8) unsigned char b[SIZE];
	size_t len = make(b, 2, 16);

	send_whole(1, 8, 0, 0);
	send_part(b, 1, 0, 2);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 25);
	expect(1, 8, 0, 0);
	expect_none();
	send_part(b + 1, len - 1, 0, 0);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), (int)len - 1);
	expect(2, 16, 0, 2);
}

static void a_byte_at_a_time_is_enough(void **state)
{
	_Alignas(8) unsigned char a[SIZE];

	for (uint16_t id = 1; id < 20; id++) {
		size_t len = make(a, id, id * 11u);

		for (size_t i = 0; i < len; i++) {
			expect_none();
			send_part(a + i, 1, 0, 0);
			assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 1);
		}
		expect(id, id * 11u, 0, 0);
	}
}

static void random_pieces_make_the_same_messages(void **state)
{
	uint64_t seed = test_seed();
	unsigned char sent[64 * SIZE];
	size_t starts[64], len = 0, at = 0;
	uint16_t taken = 0;

	for (uint16_t id = 0; id < 64; id++) {
		_Alignas(8) unsigned char one[SIZE];

		starts[id] = test_random_below(&seed, SIZE - 16 + 1);
		memcpy(sent + len, one, make(one, id, starts[id]));
		len += 16 + starts[id];
	}
	while (at < len) {
		size_t n = 1 + test_random_below(&seed, 300);

		n = n < len - at ? n : len - at;
		send_part(sent + at, n, 0, 0);
		at += n;
		while (r3_vfio_user_inbox_fill(&inbox, ends[1]) > 0) {
			struct r3_vfio_user_msg msg;
			int fds[R3_VFIO_USER_FDS];

			while (r3_vfio_user_inbox_next(&inbox, &msg, fds) == 1) {
				assert_int_equal(msg.header.msg_id, taken);
				assert_int_equal(msg.len, starts[taken]);
				taken++;
			}
		}
	}
	assert_int_equal(taken, 64);
	assert_false(r3_vfio_user_inbox_partial(&inbox));
}

static void what_is_no_message_ends_it(void **state)
{
	struct vfio_user_header header = {.cmd = 1, .msg_size = 15};
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS];

	send_part(&header, sizeof(header), 0, 2);
	assert_true(r3_vfio_user_inbox_fill(&inbox, ends[1]) > 0);
	assert_int_equal(r3_vfio_user_inbox_next(&inbox, &msg, fds), -EPROTO);
	r3_vfio_user_inbox_empty(&inbox);
	header.msg_size = SIZE + 1;
	send_part(&header, sizeof(header), 0, 0);
	assert_true(r3_vfio_user_inbox_fill(&inbox, ends[1]) > 0);
	assert_int_equal(r3_vfio_user_inbox_next(&inbox, &msg, fds), -EPROTO);
}

static void descriptors_without_end_end_it(void **state)
{
	_Alignas(8) unsigned char a[SIZE];
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS];
	size_t len = make(a, 1, 100);

	/* more at once than a message may have */
	send_part(a, 4, 0, R3_VFIO_USER_FDS + 1);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), -EMFILE);
	/* more in all */
	send_part(a, 4, 0, R3_VFIO_USER_FDS);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 4);
	send_part(a + 4, len - 4, 0, 1);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), (int)len - 4);
	assert_int_equal(r3_vfio_user_inbox_next(&inbox, &msg, fds), -EPROTO);
	r3_vfio_user_inbox_empty(&inbox);
	/* and more yet, drop by drop */
	send_part(a, 4, 0, R3_VFIO_USER_FDS);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 4);
	send_part(a + 4, 4, 0, R3_VFIO_USER_FDS);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 4);
	send_part(a + 8, 4, 0, R3_VFIO_USER_FDS);
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), -EPROTO);
}

static void a_peer_that_hangs_up_is_told(void **state)
{
	_Alignas(8) unsigned char a[SIZE];

	make(a, 1, 100);
	send_part(a, 50, 0, 1);
	r3_stream_close(ends[0]);
	ends[0] = NULL;
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 50);
	expect_none();
	assert_true(r3_vfio_user_inbox_partial(&inbox));
	assert_int_equal(r3_vfio_user_inbox_fill(&inbox, ends[1]), 0);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, begin, end), \
		cmocka_unit_test_setup_teardown(name, begin_socket, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_receive_takes_several_messages),
		TEST(descriptors_belong_to_the_message_that_they_came_with),
		TEST(a_single_byte_brings_those_of_its_message),
		TEST(a_byte_at_a_time_is_enough),
		TEST(random_pieces_make_the_same_messages),
		TEST(what_is_no_message_ends_it),
		TEST(descriptors_without_end_end_it),
		TEST(a_peer_that_hangs_up_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
