/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost-user on the wire: every message of the specification, one row each, right and in all
 * the ways that it can be wrong; and a stream of them in pieces. */
#include "unit.h"
#include "wire/vhost_user_port.h"

#include <errno.h>
#include <fcntl.h>
#include <ring3/error.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- one row per message ---- */

enum { NO = -1 }; /* has no answer but to NEED_REPLY */

struct row {
	enum r3_vhost_user_asker asker;
	uint32_t request;
	const char *name;
	int size;   /* of the payload */
	int fds;    /* with it */
	int answer; /* bytes of it, or NO */
};

#define F(request, size, fds, answer) \
	{ \
		R3_VHOST_USER_FRONTEND, VHOST_USER_##request, #request, size, fds, answer \
	}
#define B(request, size, fds, answer) \
	{ \
		R3_VHOST_USER_BACKEND, VHOST_USER_BACKEND_##request, "BACKEND_" #request, size, \
			fds, answer \
	}

/* Payloads of zeroes: a table of no regions, a configuration of no bytes, ring 0 with an fd. */
static const struct row rows[] = {
	F(GET_FEATURES, 0, 0, 8),
	F(SET_FEATURES, 8, 0, NO),
	F(SET_OWNER, 0, 0, NO),
	F(RESET_OWNER, 0, 0, NO),
	F(SET_MEM_TABLE, 8, 0, NO),
	F(SET_LOG_BASE, 16, 1, NO),
	F(SET_LOG_FD, 0, 1, NO),
	F(SET_VRING_NUM, 8, 0, NO),
	F(SET_VRING_ADDR, 40, 0, NO),
	F(SET_VRING_BASE, 8, 0, NO),
	F(GET_VRING_BASE, 8, 0, 8),
	F(SET_VRING_KICK, 8, 1, NO),
	F(SET_VRING_CALL, 8, 1, NO),
	F(SET_VRING_ERR, 8, 1, NO),
	F(GET_PROTOCOL_FEATURES, 0, 0, 8),
	F(SET_PROTOCOL_FEATURES, 8, 0, NO),
	F(GET_QUEUE_NUM, 0, 0, 8),
	F(SET_VRING_ENABLE, 8, 0, NO),
	F(SEND_RARP, 8, 0, NO),
	F(NET_SET_MTU, 8, 0, NO),
	F(SET_BACKEND_REQ_FD, 0, 1, NO),
	F(IOTLB_MSG, 32, 0, 8),
	F(SET_VRING_ENDIAN, 8, 0, NO),
	F(GET_CONFIG, 12, 0, 12),
	F(SET_CONFIG, 12, 0, NO),
	F(CREATE_CRYPTO_SESSION, 100, 0, 100),
	F(CLOSE_CRYPTO_SESSION, 8, 0, NO),
	F(POSTCOPY_ADVISE, 0, 0, 0),
	F(POSTCOPY_LISTEN, 0, 0, NO),
	F(POSTCOPY_END, 0, 0, 8),
	F(GET_INFLIGHT_FD, 24, 0, 24),
	F(SET_INFLIGHT_FD, 24, 1, NO),
	F(GPU_SET_SOCKET, 0, 1, NO),
	F(RESET_DEVICE, 0, 0, NO),
	F(VRING_KICK, 8, 0, NO),
	F(GET_MAX_MEM_SLOTS, 0, 0, 8),
	F(ADD_MEM_REG, 40, 1, NO),
	F(REM_MEM_REG, 40, 0, NO),
	F(SET_STATUS, 8, 0, NO),
	F(GET_STATUS, 0, 0, 8),
	F(GET_SHARED_OBJECT, 16, 0, 0),
	F(SET_DEVICE_STATE_FD, 8, 1, 8),
	F(CHECK_DEVICE_STATE, 0, 0, 8),
	B(IOTLB_MSG, 32, 0, NO),
	B(CONFIG_CHANGE_MSG, 0, 0, NO),
	B(VRING_HOST_NOTIFIER_MSG, 24, 1, NO),
	B(VRING_CALL, 8, 0, NO),
	B(VRING_ERR, 8, 0, NO),
	B(SHARED_OBJECT_ADD, 16, 0, NO),
	B(SHARED_OBJECT_REMOVE, 16, 0, NO),
	B(SHARED_OBJECT_LOOKUP, 16, 0, 0),
};

#define EACH_ROW(row) \
	for (const struct row *row = rows; row < rows + sizeof(rows) / sizeof(*rows); row++)

/* Whose length or descriptors are not for us to judge. */
static bool is_opaque(const struct row *row)
{
	return strstr(row->name, "SHARED_OBJECT") || !strcmp(row->name, "CREATE_CRYPTO_SESSION") ||
	       !strcmp(row->name, "SET_DEVICE_STATE_FD");
}

/* Besides that of the row. */
static bool is_size(const struct row *row, uint32_t size)
{
	if (!strcmp(row->name, "SET_MEM_TABLE"))
		return size == sizeof(struct vhost_user_memory);
	if (!strcmp(row->name, "SET_LOG_BASE"))
		return size == 8;
	if (strstr(row->name, "INFLIGHT"))
		return size == 20;
	return false;
}

static bool may_do_without(const struct row *row)
{
	return !strcmp(row->name, "SET_LOG_BASE") || strstr(row->name, "HOST_NOTIFIER");
}

static struct r3_vhost_user_msg right(const struct row *row)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};

	r3_vhost_user_begin(&msg, row->request, 0, (uint32_t)row->size);
	msg.nfds = (uint32_t)row->fds;
	return msg;
}

static void every_message(void **state)
{
	EACH_ROW(row)
	{
		struct r3_vhost_user_msg msg = right(row);

		print_message("%s\n", row->name);
		assert_string_equal(r3_vhost_user_name(row->asker, row->request), row->name);
		assert_int_equal(r3_vhost_user_check(row->asker, &msg), 0);
		assert_int_equal(r3_vhost_user_has_answer(row->asker, row->request),
				 row->answer != NO);
		msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
		assert_int_equal(r3_vhost_user_check(row->asker, &msg), 0);
		msg.header.flags |= VHOST_USER_FLAG_REPLY;
		assert_int_equal(r3_vhost_user_check(row->asker, &msg), -EPROTO);
		for (unsigned version = 0; version < 4; version++) {
			msg.header.flags = version;
			assert_int_equal(r3_vhost_user_check(row->asker, &msg),
					 version == 1 ? 0 : -EPROTO);
		}
	}
}

static void every_size(void **state)
{
	EACH_ROW(row)
	{
		for (uint32_t size = 0; size < 512; size++) {
			struct r3_vhost_user_msg msg = right(row);
			bool ok = size == (uint32_t)row->size || is_size(row, size) ||
				  (is_opaque(row) && size <= sizeof(msg.payload));

			msg.header.size = size;
			assert_int_equal(r3_vhost_user_check(row->asker, &msg), ok ? 0 : -EPROTO);
		}
	}
}

static void every_number_of_descriptors(void **state)
{
	EACH_ROW(row)
	{
		for (uint32_t n = 0; n <= R3_VHOST_USER_FDS; n++) {
			struct r3_vhost_user_msg msg = right(row);
			bool ok = n == (uint32_t)row->fds || (n == 0 && may_do_without(row)) ||
				  (n == 1 && !strcmp(row->name, "REM_MEM_REG"));

			msg.nfds = n;
			assert_int_equal(r3_vhost_user_check(row->asker, &msg), ok ? 0 : -EPROTO);
		}
	}
}

/* The rows above are all there are: of the header, and of the rules. */
static void no_other_message(void **state)
{
	for (unsigned asker = 0; asker < 2; asker++) {
		for (uint32_t request = 0; request < 1000; request++) {
			struct r3_vhost_user_msg msg = {.nfds = 0};
			bool known = false;

			EACH_ROW(row)
			known |= row->asker == asker && row->request == request;
			if (known)
				continue;
			r3_vhost_user_begin(&msg, request, 0, 0);
			assert_int_equal(r3_vhost_user_check(asker, &msg), -EOPNOTSUPP);
			assert_string_equal(r3_vhost_user_name(asker, request), "unknown request");
			assert_false(r3_vhost_user_has_answer(asker, request));
		}
	}
	assert_int_equal(sizeof(rows) / sizeof(*rows),
			 VHOST_USER_CHECK_DEVICE_STATE + VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP);
}

static void answers(void **state)
{
	EACH_ROW(row)
	{
		struct r3_vhost_user_msg asked = right(row), answer = {.nfds = 0};
		uint32_t size = row->answer == NO ? 8 : (uint32_t)row->answer;

		r3_vhost_user_begin(&answer, row->request, VHOST_USER_FLAG_REPLY, size);
		assert_int_equal(r3_vhost_user_check_answer(row->asker, &asked, &answer), 0);
		answer.header.flags &= ~VHOST_USER_FLAG_REPLY;
		assert_int_equal(r3_vhost_user_check_answer(row->asker, &asked, &answer), -EPROTO);
		answer.header.flags |= VHOST_USER_FLAG_REPLY;
		answer.header.request++;
		assert_int_equal(r3_vhost_user_check_answer(row->asker, &asked, &answer), -EPROTO);
		answer.header.request--;
		if (row->answer == NO) { /* it says how it went */
			answer.payload.u64 = 1;
			assert_int_equal(r3_vhost_user_check_answer(row->asker, &asked, &answer),
					 -EREMOTEIO);
			assert_non_null(strstr(r3_error_text(), row->name));
		}
		if (row->answer && strcmp(row->name, "CREATE_CRYPTO_SESSION")) {
			answer.header.size--;
			assert_int_equal(r3_vhost_user_check_answer(row->asker, &asked, &answer),
					 -EPROTO);
		}
	}
}

/* ---- what is in payloads ---- */

static void tables_of_memory(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};

	for (uint32_t n = 0; n <= 10; n++) {
		r3_vhost_user_begin(&msg, VHOST_USER_SET_MEM_TABLE, 0,
				    R3_VHOST_USER_MEMORY_SIZE(n < 8 ? n : 8));
		msg.payload.memory.nregions = n;
		msg.nfds = n < 8 ? n : 8;
		assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg),
				 n <= 8 ? 0 : -EPROTO);
		msg.nfds++;
		assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg), -EPROTO);
		if (n < 8) { /* fewer bytes than regions */
			msg.nfds = ++msg.payload.memory.nregions;
			assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg),
					 -EPROTO);
		}
	}
	msg.payload.memory.nregions = UINT32_MAX;
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg), -EPROTO);
}

static void rings_without_descriptor(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};

	r3_vhost_user_begin(&msg, VHOST_USER_SET_VRING_CALL, 0, 8);
	msg.payload.u64 = 3 | VHOST_USER_VRING_NOFD;
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg), 0);
	msg.nfds = 1;
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg), -EPROTO);
}

static void configurations(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0}, answer = {.nfds = 0};

	r3_vhost_user_begin(&msg, VHOST_USER_GET_CONFIG, 0, R3_VHOST_USER_CONFIG_SIZE(60));
	msg.payload.config.size = 60;
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg), 0);
	msg.payload.config.size = 61;
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg), -EPROTO);
	msg.payload.config.size = 60u + UINT32_MAX - 11;
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg), -EPROTO);
	msg.payload.config.size = 60;

	/* no payload: the back-end refuses; another length than was asked for */
	r3_vhost_user_begin(&answer, VHOST_USER_GET_CONFIG, VHOST_USER_FLAG_REPLY, 0);
	assert_int_equal(r3_vhost_user_check_answer(R3_VHOST_USER_FRONTEND, &msg, &answer),
			 -EREMOTEIO);
	r3_vhost_user_begin(&answer, VHOST_USER_GET_CONFIG, VHOST_USER_FLAG_REPLY,
			    R3_VHOST_USER_CONFIG_SIZE(59));
	answer.payload.config.size = 59;
	assert_int_equal(r3_vhost_user_check_answer(R3_VHOST_USER_FRONTEND, &msg, &answer),
			 -EPROTO);
	/* descriptors that no answer has */
	r3_vhost_user_begin(&answer, VHOST_USER_GET_CONFIG, VHOST_USER_FLAG_REPLY,
			    R3_VHOST_USER_CONFIG_SIZE(60));
	answer.payload.config.size = 60;
	assert_int_equal(r3_vhost_user_check_answer(R3_VHOST_USER_FRONTEND, &msg, &answer), 0);
	answer.nfds = 1;
	assert_int_equal(r3_vhost_user_check_answer(R3_VHOST_USER_FRONTEND, &msg, &answer),
			 -EPROTO);
}

/* ---- a stream of them ---- */

struct pair {
	struct r3_vhost_user_port a, b;
	int sock[2];
	unsigned fds;
};

static void pair_open(struct pair *pair)
{
	struct r3_stream *stream;

	pair->fds = test_count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair->sock), 0);
	assert_int_equal(r3_stream_open(pair->sock[0], &stream), 0);
	r3_vhost_user_port_open(&pair->a, stream);
	assert_int_equal(r3_stream_open(pair->sock[1], &stream), 0);
	r3_vhost_user_port_open(&pair->b, stream);
}

static void pair_close(struct pair *pair)
{
	r3_vhost_user_port_close(&pair->a);
	r3_vhost_user_port_close(&pair->b);
	assert_int_equal(test_count_fds(), pair->fds);
}

static void sent_and_received(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};
	int event = eventfd(0, EFD_CLOEXEC), got;
	struct pair pair;

	pair_open(&pair);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 0);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_VRING_KICK, 0, 8);
	msg.payload.u64 = 7;
	msg.nfds = 1;
	msg.fd[0] = event;
	assert_int_equal(r3_vhost_user_port_send(&pair.a, &msg), 0);
	r3_vhost_user_begin(&msg, VHOST_USER_GET_FEATURES, 0, 0);
	assert_int_equal(r3_vhost_user_port_send(&pair.a, &msg), 0);

	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 1);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 1); /* the same */
	assert_int_equal(pair.b.in.header.request, VHOST_USER_SET_VRING_KICK);
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &pair.b.in), 0);
	assert_int_equal(pair.b.in.payload.u64, 7);
	got = r3_vhost_user_port_take(&pair.b, 0);
	assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
	r3_vhost_user_port_done(&pair.b);
	close(got);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 1);
	assert_int_equal(pair.b.in.header.request, VHOST_USER_GET_FEATURES);
	assert_int_equal(pair.b.in.nfds, 0);
	r3_vhost_user_port_done(&pair.b);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 0);
	pair_close(&pair);
	close(event);
}

/* Descriptors that nobody takes are closed: with the message, and with the port. */
static void descriptors_that_nobody_takes(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};
	int event = eventfd(0, EFD_CLOEXEC);
	struct pair pair;

	pair_open(&pair);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_MEM_TABLE, 0, R3_VHOST_USER_MEMORY_SIZE(8));
	msg.payload.memory.nregions = 8;
	msg.nfds = 8;
	for (unsigned i = 0; i < 8; i++)
		msg.fd[i] = event;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(r3_vhost_user_port_send(&pair.a, &msg), 0);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 1);
	assert_int_equal(pair.b.in.nfds, 8);
	r3_vhost_user_port_done(&pair.b);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 1);
	pair_close(&pair);
	close(event);
}

static void in_pieces(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};
	unsigned char bytes[12 + 40];
	struct pair pair;

	pair_open(&pair);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_VRING_ADDR, 0, 40);
	msg.payload.addr.log = 0x1122334455667788;
	memcpy(bytes, &msg.header, 12);
	memcpy(bytes + 12, &msg.payload, 40);
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(r3_vhost_user_port_recv(&pair.b), 0);
		assert_int_equal(write(pair.sock[0], bytes + i, 1), 1);
	}
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), 1);
	assert_memory_equal(&pair.b.in.payload, &msg.payload, 40);
	r3_vhost_user_port_done(&pair.b);

	assert_int_equal(write(pair.sock[0], bytes, 30), 30);
	shutdown(pair.sock[0], SHUT_WR);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), -EPROTO);
	pair_close(&pair);
}

static void no_messages(void **state)
{
	struct vhost_user_header header = {VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 1 << 20};
	struct pair pair;

	pair_open(&pair);
	assert_int_equal(write(pair.sock[0], &header, 12), 12);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), -EPROTO);
	pair_close(&pair);

	pair_open(&pair);
	header = (struct vhost_user_header){VHOST_USER_GET_FEATURES, 2, 0};
	assert_int_equal(write(pair.sock[0], &header, 12), 12);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), -EPROTO);
	pair_close(&pair);

	pair_open(&pair);
	r3_vhost_user_port_close(&pair.a);
	assert_int_equal(r3_vhost_user_port_recv(&pair.b), -EPIPE);
	pair_close(&pair);
}

/* A peer that does not read costs one message, and no waiting. */
static void a_peer_that_does_not_read(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};
	unsigned sent = 0, received = 0;
	struct pair pair;
	int rc;

	pair_open(&pair);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_CONFIG, 0, R3_VHOST_USER_CONFIG_SIZE(256));
	msg.payload.config.size = 256;
	while ((rc = r3_vhost_user_port_send(&pair.a, &msg)) == 0)
		msg.payload.config.offset = ++sent;
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(r3_vhost_user_port_flush(&pair.a), 0);
	while (received < sent) {
		rc = r3_vhost_user_port_recv(&pair.b);
		assert_true(rc >= 0);
		if (!rc) {
			assert_int_equal(r3_vhost_user_port_flush(&pair.a), 1);
			continue;
		}
		assert_int_equal(pair.b.in.payload.config.offset, received++);
		r3_vhost_user_port_done(&pair.b);
	}
	r3_vhost_user_port_close(&pair.b);
	assert_int_equal(r3_vhost_user_port_send(&pair.a, &msg), -EPIPE);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message),
		cmocka_unit_test(every_size),
		cmocka_unit_test(every_number_of_descriptors),
		cmocka_unit_test(no_other_message),
		cmocka_unit_test(answers),
		cmocka_unit_test(tables_of_memory),
		cmocka_unit_test(rings_without_descriptor),
		cmocka_unit_test(configurations),
		cmocka_unit_test(sent_and_received),
		cmocka_unit_test(descriptors_that_nobody_takes),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(no_messages),
		cmocka_unit_test(a_peer_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
