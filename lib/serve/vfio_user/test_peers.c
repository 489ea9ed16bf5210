/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections: one client at a time, and what the others, the slow, the silent and the hostile
 * cost. */
#include "serve/vfio_user/test_rig.h"
#include "util/socket.h"

#include <linux/pci_regs.h>
#include <poll.h>
#include <ring3/log.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define TIMEOUT (2 * R3_NSEC_PER_SEC)

static bool hung_up(struct rig *rig, int sock)
{
	return rig_receive(rig, sock) == -EPIPE;
}

/* ---- one at a time ---- */

static void a_second_client_is_told_that_it_is_busy(void **state)
{
	struct rig *rig = *state;
	int first = rig_client(rig), second = rig_connect(rig);
	unsigned fds;

	assert_int_equal(rig_version(rig, second, "{}"), -EBUSY);
	assert_true(hung_up(rig, second));
	assert_int_equal(rig_last(rig, R3_SERVE_REFUSED)->err, -EBUSY);
	assert_int_equal(rig_last(rig, R3_SERVE_REFUSED)->client, 2);
	close(second);
	rig_run(rig);
	/* the first has noticed nothing */
	fds = test_count_fds();
	for (unsigned i = 0; i < 20; i++) {
		second = rig_connect(rig);
		assert_int_equal(rig_version(rig, second, "{}"), -EBUSY);
		assert_int_equal(rig_read(rig, first, 7, 0, 4), 0);
		close(second);
		rig_run(rig);
	}
	assert_int_equal(test_count_fds(), fds);
	assert_int_equal(rig_told(rig, R3_SERVE_DISCONNECTED), 0);
	close(first);
	rig_run(rig);
	second = rig_client(rig);
	close(second);
}

static void silent_guests_keep_nobody_out(void **state)
{
	struct rig *rig = *state;
	int silent[20], sock;

	for (unsigned i = 0; i < 20; i++)
		silent[i] = rig_connect(rig);
	sock = rig_client(rig); /* although they came first */
	assert_int_equal(rig_read(rig, sock, 7, 0, 4), 0);
	/* a few wait on, until their time is over */
	rig->clock.now += TIMEOUT - 1;
	rig_run(rig);
	assert_int_equal(rig_receive(rig, silent[19]), -EAGAIN);
	rig->clock.now += 1;
	rig_run(rig);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(hung_up(rig, silent[i]));
		close(silent[i]);
	}
	assert_int_equal(rig_read(rig, sock, 7, 0, 4), 0);
	assert_int_equal(rig_told(rig, R3_SERVE_REFUSED), 20);
	close(sock);
}

static void who_knocks_and_leaves_is_no_event(void **state)
{
	struct rig *rig = *state;
	unsigned from = rig->nevents;

	close(rig_connect(rig));
	rig_run(rig);
	assert_int_equal(rig->nevents, from);
}

static void the_first_word_is_version(void **state)
{
	struct rig *rig = *state;
	int sock = rig_connect(rig);

	assert_int_equal(rig_read(rig, sock, 7, 0, 4), -EPIPE);
	assert_int_equal(rig_last(rig, R3_SERVE_REFUSED)->err, -EPROTO);
	assert_non_null(strstr(rig_last(rig, R3_SERVE_REFUSED)->text, "VFIO_USER_REGION_READ"));
	close(sock);
}

static void a_connected_socket_is_served_once(void **state)
{
	struct rig *rig = rig_new();
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	snprintf(rig->where, sizeof(rig->where), "fd:%d", pair[0]);
	rig_serve(rig);
	close(pair[0]);
	assert_string_equal(r3_serve_where(rig->serve), rig->where);
	assert_int_equal(rig_version(rig, pair[1], "{}"), 0);
	assert_int_equal(rig_run(rig), 1);
	close(pair[1]);
	assert_int_equal(rig_run(rig), 0);
	assert_int_equal(rig_last(rig, R3_SERVE_FREED)->err, 0);
	assert_int_equal(rig_told(rig, R3_SERVE_READY), 1); /* the first */
	rig_free(rig);
}

/* ---- slow ones ---- */

static void a_message_may_come_in_pieces(void **state)
{
	struct rig *rig = *state;
	struct {
		struct vfio_user_header header;
		struct vfio_user_region_access access;
	} ask = {{.msg_id = 5, .cmd = VFIO_USER_REGION_READ, .msg_size = 32}, {0, 7, 4}};
	int sock = rig_client(rig);

	for (unsigned i = 0; i < 32; i++) {
		assert_int_equal(rig_receive(rig, sock), -EAGAIN);
		rig_send(rig, sock, (char *)&ask + i, 1, NULL, 0);
		rig_run(rig);
		rig->clock.now += TIMEOUT / 33;
	}
	assert_int_equal(rig_receive(rig, sock), 0);
	assert_int_equal(rig->header.msg_id, 5);
	/* the time counts for a message, not for a client */
	rig->clock.now += 10 * TIMEOUT;
	rig_run(rig);
	assert_int_equal(rig_read(rig, sock, 7, 0, 4), 0);

	rig_send(rig, sock, &ask, 31, NULL, 0);
	rig_run(rig);
	rig->clock.now += TIMEOUT - 1;
	rig_run(rig);
	assert_int_equal(rig_receive(rig, sock), -EAGAIN);
	rig->clock.now += 1;
	rig_run(rig);
	assert_true(hung_up(rig, sock));
	assert_int_equal(rig_last(rig, R3_SERVE_DISCONNECTED)->err, -ETIMEDOUT);
	assert_int_equal(rig_last(rig, R3_SERVE_READY)->client, 0);
	close(sock);
}

static void one_that_does_not_read_is_not_written_to_for_ever(void **state)
{
	struct rig *rig = *state;
	const struct {
		struct vfio_user_header header;
		struct vfio_user_region_access access;
	} ask = {{.cmd = VFIO_USER_REGION_READ, .msg_size = 32}, {0, 0, 16384}};
	int sock = rig_client(rig);
	unsigned sent = 0, got = 0;

	/* both sides' buffers are full in the end, and so is ours, of one reply */
	for (unsigned i = 0; i < 100000; i++) {
		if (send(sock, &ask, sizeof(ask), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(ask))
			break;
		sent++;
		rig_run(rig);
	}
	assert_in_range(sent, 10, 99999);
	assert_in_range(rig->fake->reads, 0, sent - 1);
	/* when it reads on, nothing is lost */
	while (rig_receive(rig, sock) == 0)
		got++;
	assert_int_equal(got, sent);

	for (unsigned i = 0; i < 2000; i++)
		if (send(sock, &ask, sizeof(ask), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(ask))
			break;
	rig_run(rig);
	rig->clock.now += TIMEOUT;
	rig_run(rig);
	assert_int_equal(rig_last(rig, R3_SERVE_DISCONNECTED)->err, -ETIMEDOUT);
	assert_non_null(strstr(rig_last(rig, R3_SERVE_DISCONNECTED)->text, "replies"));
	close(sock);
}

static void a_flood_of_writes_lets_the_device_be_heard(void **state)
{
	struct rig *rig = *state;
	int irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), sock = rig_client(rig);
	unsigned sent = 0, turns = 0;
	eventfd_t count;

	rig->fake->base.info.caps |= R3_CAP_IRQ_DISPATCH;
	assert_int_equal(rig_irqs(rig, sock,
				  VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				  VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &irq, 1),
			 0);
	fake_device_raise(rig->fake, R3_IRQ_INTX, 0);
	while (eventfd_read(irq, &count)) {
		while (rig_post(sock, 4, 8, 1))
			sent++;
		assert_int_equal(r3_serve_dispatch(rig->serve), 1);
		assert_true(++turns <= 17);
	}
	assert_in_range(rig->fake->posted, turns > 1, sent - 1);
	rig_run(rig);
	assert_int_equal(rig->fake->posted, sent);
	close(irq);
	close(sock);
}

/* ---- hostile ones ---- */

static void streams_that_are_none_are_cut(void **state)
{
	static const struct vfio_user_header bad[] = {
		{.cmd = VFIO_USER_REGION_READ, .msg_size = 15},
		{.cmd = VFIO_USER_REGION_READ, .msg_size = 0},
		{.cmd = VFIO_USER_REGION_WRITE, .msg_size = (1 << 20) + 33},
		{.cmd = VFIO_USER_REGION_WRITE, .msg_size = UINT32_MAX},
		{.cmd = VFIO_USER_REGION_READ, .msg_size = 16, .flags = 2},
		{.cmd = VFIO_USER_REGION_READ, .msg_size = 16, .flags = VFIO_USER_F_TYPE_REPLY},
		{.cmd = VFIO_USER_DMA_READ, .msg_size = 16, .flags = VFIO_USER_F_TYPE_REPLY},
	};
	struct rig *rig = *state;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int sock = rig_client(rig);

		rig_send(rig, sock, &bad[i], sizeof(bad[i]), NULL, 0);
		rig_run(rig);
		assert_true(hung_up(rig, sock));
		assert_int_equal(rig_last(rig, R3_SERVE_DISCONNECTED)->err, -EPROTO);
		assert_string_not_equal(rig_last(rig, R3_SERVE_DISCONNECTED)->text, "");
		close(sock);
		/* and before it was a client */
		sock = rig_connect(rig);
		rig_send(rig, sock, &bad[i], sizeof(bad[i]), NULL, 0);
		rig_run(rig);
		assert_true(hung_up(rig, sock));
		close(sock);
	}
}

static void descriptors_that_nobody_wants_are_closed(void **state)
{
	struct rig *rig = *state;
	int sock = rig_client(rig), many[40];
	unsigned fds;

	for (unsigned i = 0; i < 40; i++)
		many[i] = eventfd(0, EFD_CLOEXEC);
	fds = test_count_fds();
	const struct vfio_user_region_access access = {0, 7, 4};
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_REGION_READ, &access, sizeof(access), many, 3),
		-EINVAL);
	assert_int_equal(test_count_fds(), fds);
	assert_int_equal(rig_call(rig, sock, 99, NULL, 0, many, 16), -ENOTSUP);
	assert_int_equal(test_count_fds(), fds);
	/* with every byte of one message */
	const struct vfio_user_header half = {.cmd = VFIO_USER_DMA_MAP, .msg_size = 48};
	for (unsigned i = 0; i < sizeof(half); i++) {
		rig_send(rig, sock, (const char *)&half + i, 1, &many[i], 1);
		rig_run(rig);
	}
	assert_in_range(test_count_fds(), fds - 1, fds + 16);
	rig_send(rig, sock, "12345678", 8, many, 8);
	rig_run(rig);
	rig_send(rig, sock, "12345678", 8, many, 8);
	rig_run(rig);
	assert_true(hung_up(rig, sock));
	assert_int_equal(test_count_fds(), fds - 1);
	close(sock);
	/* more than any message has */
	sock = rig_client(rig);
	fds = test_count_fds();
	rig_send(rig, sock, &half, sizeof(half), many, 40);
	rig_run(rig);
	assert_true(hung_up(rig, sock));
	assert_int_equal(test_count_fds(), fds - 1);
	close(sock);
	for (unsigned i = 0; i < 40; i++)
		close(many[i]);
}

static void no_descriptor_left_is_survived(void **state)
{
	struct rig *rig = *state;
	int sock = rig_client(rig), guest[3], spare;
	struct rlimit limit, low;

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(r3_socket_connect(rig->where, &guest[i]), 0);
	spare = dup(0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)spare + 1;
	close(spare);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	rig_run(rig); /* room for one; and then it does not spin */
	assert_int_equal(rig_read(rig, sock, 7, 0, 4), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	/* after a while the others are heard */
	rig->clock.now += R3_NSEC_PER_SEC;
	rig_run(rig);
	assert_int_equal(rig_version(rig, guest[2], "{}"), -EBUSY);
	for (unsigned i = 0; i < 3; i++)
		close(guest[i]);
	close(sock);
}

static void noise_is_survived(void **state)
{
	struct rig *rig = *state;
	uint64_t seed = test_seed();
	unsigned fds = test_count_fds();

	for (unsigned round = 0; round < 60; round++) {
		int sock = rig_client(rig), some[2] = {eventfd(0, EFD_CLOEXEC), rig_memfd(4096, 0)};

		rig->nevents = 0;
		for (unsigned i = 0; i < 60; i++) {
			struct {
				struct vfio_user_header header;
				uint32_t words[16];
			} msg;
			unsigned len = test_random_below(&seed, 65), nfds = 0;

			for (unsigned k = 0; k < 16; k++) /* mostly small numbers */
				msg.words[k] = test_random_below(&seed, 3)
						       ? test_random_below(&seed, 70)
						       : (uint32_t)test_random(&seed);
			msg.header = (struct vfio_user_header){
				.cmd = (uint16_t)test_random_below(&seed, 20),
				.msg_size = 16 + len,
				.flags = test_random_below(&seed, 8) ? 0 : VFIO_USER_F_NO_REPLY};
			if (!test_random_below(&seed, 4))
				nfds = test_random_below(&seed, 3);
			rig_send(rig, sock, &msg, 16 + len, some, nfds);
			if (!test_random_below(&seed, 8))
				while (rig_receive(rig, sock) != -EAGAIN)
					if (!rig->header.msg_size || hung_up(rig, sock))
						break;
		}
		rig_run(rig);
		close(sock);
		close(some[0]);
		close(some[1]);
		rig_run(rig);
		assert_int_equal(test_count_fds(), fds);
	}
}

static unsigned logged;

static void count_lines(void *ctx, enum r3_log_level level, const char *text)
{
	logged += strstr(text, "VFIO_USER_REGION_READ") != NULL;
}

static void complaints_are_logged_and_bounded(void **state)
{
	struct rig *rig = *state;
	int sock = rig_client(rig);

	logged = 0;
	r3_log_sink(R3_LOG_WARN, count_lines, NULL);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(rig_read(rig, sock, 99, 0, 4), -EINVAL);
	r3_log_sink(R3_LOG_NONE, NULL, NULL);
	assert_int_equal(logged, 32);
	close(sock);
}

/* ---- opts ---- */

static void absurd_opts_are_refused(void **state)
{
	struct rig *rig = rig_new();

	assert_int_equal(fake_device_adopt(rig->fake), 0);
	rig->opts.size = 4;
	assert_int_equal(r3_serve_open(rig->dev, rig->where, &rig->opts, &rig->serve), -EINVAL);
	rig->opts.size = sizeof(rig->opts);
	rig->opts.on_disconnect = 2;
	assert_int_equal(r3_serve_open(rig->dev, rig->where, &rig->opts, &rig->serve), -EINVAL);
	assert_int_equal(r3_serve_open(rig->dev, "tcp:1", NULL, &rig->serve), -EINVAL);
	assert_int_equal(r3_serve_open(rig->dev, "unix:/nowhere/s", NULL, &rig->serve), -ENOENT);
	assert_int_equal(r3_serve_open(rig->dev, rig->where, NULL, &rig->serve), 0);
	struct r3_serve *second;
	assert_int_equal(r3_serve_open(rig->dev, rig->where, NULL, &second), -EADDRINUSE);
	fake_device_remove(rig->fake);
	r3_serve_close(rig->serve);
	rig->serve = NULL;
	assert_int_equal(r3_device_dispatch(rig->dev, NULL, 0), 0);
	assert_int_equal(r3_serve_open(rig->dev, rig->where, NULL, &rig->serve), -ENODEV);
	rig_free(rig);
}

static void the_systems_clock_wakes_by_itself(void **state)
{
	struct rig *rig = rig_new();
	struct pollfd pfd = {.events = POLLIN};
	int sock;

	rig->opts.clock = NULL;
	rig->opts.timeout_ns = R3_NSEC_PER_MSEC;
	rig_serve(rig);
	sock = rig_connect(rig);
	pfd.fd = r3_serve_fd(rig->serve);
	/* nobody says anything */
	while (rig_receive(rig, sock) != -EPIPE)
		assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_int_equal(rig_last(rig, R3_SERVE_REFUSED)->err, -ETIMEDOUT);
	close(sock);
	rig_free(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_second_client_is_told_that_it_is_busy),
		TEST(silent_guests_keep_nobody_out),
		TEST(who_knocks_and_leaves_is_no_event),
		TEST(the_first_word_is_version),
		cmocka_unit_test(a_connected_socket_is_served_once),
		TEST(a_message_may_come_in_pieces),
		TEST(one_that_does_not_read_is_not_written_to_for_ever),
		TEST(a_flood_of_writes_lets_the_device_be_heard),
		TEST(streams_that_are_none_are_cut),
		TEST(descriptors_that_nobody_wants_are_closed),
		TEST(no_descriptor_left_is_survived),
		TEST(noise_is_survived),
		TEST(complaints_are_logged_and_bounded),
		cmocka_unit_test(absurd_opts_are_refused),
		cmocka_unit_test(the_systems_clock_wakes_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
