/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that arrive, that do not fit, that nobody may have; peers that hang up or do
 * not read. No descriptor may be left over. */
#include "unit.h"
#include "util/stream.h"
#include "valgrind.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ring3/clock.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct r3_stream *near_end, *far_end;
static unsigned fds_before;

static int begin(void **state)
{
	int ends[2];

	fds_before = test_count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(r3_stream_open(ends[0], &near_end), 0);
	assert_int_equal(r3_stream_open(ends[1], &far_end), 0);
	return 0;
}

static int end(void **state)
{
	r3_stream_close(near_end);
	r3_stream_close(far_end);
	assert_int_equal(test_count_fds(), fds_before);
	return 0;
}

static void hang_up(struct r3_stream **stream)
{
	r3_stream_close(*stream);
	*stream = NULL;
}

static ssize_t send_text(const char *text, const int *fds, unsigned nfds)
{
	struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};

	return r3_stream_send(near_end, &iov, 1, fds, nfds);
}

static void make_fds(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(fds[i] >= 0);
	}
}

static void descriptors_come_with_their_bytes(void **state)
{
	struct iovec iov[] = {{.iov_base = "he", .iov_len = 2}, {.iov_base = "llo", .iov_len = 3}};
	int sent[3], came[8];
	unsigned n = 8;
	char text[16] = "";

	test_skip_passed_fds();
	make_fds(sent, 3);
	assert_int_equal(r3_stream_send(near_end, iov, 2, sent, 3), 5);
	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), came, &n), 5);
	assert_string_equal(text, "hello");
	assert_int_equal(n, 3);
	for (unsigned i = 0; i < n; i++) {
		uint64_t count = i + 1;

		assert_true(fcntl(came[i], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(write(came[i], &count, sizeof(count)), sizeof(count));
		count = 0;
		assert_int_equal(read(sent[i], &count, sizeof(count)), sizeof(count));
		assert_int_equal(count, i + 1);
	}
	r3_stream_close_fds(sent, 3);
	r3_stream_close_fds(came, 3);
}

static void a_receive_ends_behind_descriptors(void **state)
{
	char text[16] = "";
	int sent, came[4];
	unsigned n = 4;

	make_fds(&sent, 1);
	assert_int_equal(send_text("ab", NULL, 0), 2);
	assert_int_equal(send_text("cd", &sent, 1), 2);
	assert_int_equal(send_text("ef", NULL, 0), 2);
	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), came, &n), 4);
	assert_string_equal(text, "abcd");
	assert_int_equal(n, 1);
	r3_stream_close_fds(came, 1);
	memset(text, 0, sizeof(text));
	n = 4;
	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), came, &n), 2);
	assert_string_equal(text, "ef");
	assert_int_equal(n, 0);
	close(sent);
}

static void surplus_descriptors_are_closed(void **state)
{
	int sent[4], came[2];
	unsigned n = 2, before;
	char text[16];

	make_fds(sent, 4);
	before = test_count_fds();
	assert_int_equal(send_text("x", sent, 4), 1);
	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), came, &n), -EMFILE);
	assert_int_equal(n, 0);
	assert_int_equal(test_count_fds(), before);
	r3_stream_close_fds(sent, 4);
}

static void so_are_those_of_truncated_ancillary_data(void **state)
{
	union {
		char room[CMSG_SPACE((R3_STREAM_FDS + 20) * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = "x", .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.room,
			     .msg_controllen = sizeof(control.room)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int sent, many[R3_STREAM_FDS + 20], came[R3_STREAM_FDS];
	unsigned n = R3_STREAM_FDS, before;
	char text[16];

	test_skip_passed_fds();
	make_fds(&sent, 1);
	for (unsigned i = 0; i < R3_STREAM_FDS + 20; i++)
		many[i] = sent;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(many));
	memcpy(CMSG_DATA(cmsg), many, sizeof(many));
	before = test_count_fds();
	assert_int_equal(sendmsg(r3_stream_fd(near_end), &msg, 0), 1);
	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), came, &n), -EMFILE);
	assert_int_equal(n, 0);
	assert_int_equal(test_count_fds(), before);
	close(sent);
}

static void a_process_that_may_have_no_more_loses_them(void **state)
{
	struct rlimit old, tight;
	int sent[4], came[4], lowest;
	unsigned n = 4, before;
	char text[16];
	ssize_t rc;

	test_skip_fd_limit();
	make_fds(sent, 4);
	before = test_count_fds();
	lowest = dup(sent[0]);
	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)lowest + 2; /* two of the four */
	assert_int_equal(send_text("x", sent, 4), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	rc = r3_stream_recv(far_end, text, sizeof(text), came, &n);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(rc, -EMFILE);
	assert_int_equal(n, 0);
	assert_int_equal(test_count_fds(), before);
	r3_stream_close_fds(sent, 4);
}

static void descriptors_under_way_die_with_the_stream(void **state)
{
	int ends[2], event;
	struct pollfd hung;

	/* the far end of a pipe that travels is closed when nobody receives it */
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	event = ends[1];
	assert_int_equal(send_text("x", &event, 1), 1);
	close(ends[1]);
	hang_up(&far_end);
	hung = (struct pollfd){.fd = ends[0], .events = POLLIN};
	assert_int_equal(poll(&hung, 1, 5000), 1);
	assert_true(hung.revents & POLLHUP);
	close(ends[0]);
}

static void a_peer_that_hangs_up_is_seen_after_its_bytes(void **state)
{
	char text[16] = "";
	int fds[1];
	unsigned n = 1;

	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), fds, &n), -EAGAIN);
	n = 1;
	assert_int_equal(send_text("last", NULL, 0), 4);
	hang_up(&near_end);
	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), fds, &n), 4);
	assert_string_equal(text, "last");
	n = 1;
	assert_int_equal(r3_stream_recv(far_end, text, sizeof(text), fds, &n), 0);
}

static void sending_to_a_peer_that_hung_up_is_epipe(void **state)
{
	hang_up(&far_end);
	assert_int_equal(send_text("x", NULL, 0), -EPIPE);
}

static void a_peer_that_does_not_read_fills_up(void **state)
{
	static char bulk[1 << 20];
	struct iovec iov = {.iov_base = bulk, .iov_len = sizeof(bulk)};
	size_t sent = 0, got = 0;
	bool partial = false;
	int fds[1];
	ssize_t n;

	for (size_t i = 0; i < sizeof(bulk); i++)
		bulk[i] = (char)(i % 251);
	while ((n = r3_stream_send(near_end, &iov, 1, NULL, 0)) > 0) {
		partial |= (size_t)n < iov.iov_len;
		sent += (size_t)n;
		iov.iov_base = bulk + sent % sizeof(bulk);
		iov.iov_len = sizeof(bulk) - sent % sizeof(bulk);
	}
	assert_int_equal(n, -EAGAIN);
	assert_true(partial);
	assert_true(sent > 0);
	while (got < sent) {
		static char back[70001];
		unsigned nfds = 1;

		n = r3_stream_recv(far_end, back, sizeof(back), fds, &nfds);
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(back[i], (char)(got % sizeof(bulk) % 251));
	}
	assert_int_equal(got, sent);
}

static void what_cannot_be_sent_or_received_is_refused(void **state)
{
	int fds[R3_STREAM_FDS + 1] = {0}, pipes[2];
	struct r3_stream *none;
	unsigned n = 1;
	char text[1];

	assert_int_equal(send_text("", NULL, 0), -EINVAL);
	assert_int_equal(send_text("x", fds, R3_STREAM_FDS + 1), -EINVAL);
	assert_int_equal(r3_stream_recv(far_end, text, 0, fds, &n), -EINVAL);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(r3_stream_open(pipes[0], &none), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pipes), 0);
	assert_int_equal(r3_stream_open(pipes[0], &none), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(descriptors_come_with_their_bytes),
		TEST(a_receive_ends_behind_descriptors),
		TEST(surplus_descriptors_are_closed),
		TEST(so_are_those_of_truncated_ancillary_data),
		TEST(a_process_that_may_have_no_more_loses_them),
		TEST(descriptors_under_way_die_with_the_stream),
		TEST(a_peer_that_hangs_up_is_seen_after_its_bytes),
		TEST(sending_to_a_peer_that_hung_up_is_epipe),
		TEST(a_peer_that_does_not_read_fills_up),
		TEST(what_cannot_be_sent_or_received_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
