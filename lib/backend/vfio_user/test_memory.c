/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory: what the server is given, and what it gets when it asks for bytes instead: while we
 * wait, in dispatch, on a twin socket; never what is not mapped for it. */
#include "backend/vfio_user/test_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <ring3/mem.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

static struct r3_mem *memory;

static int setup(void **state)
{
	rig_setup(state);
	return r3_mem_create("test", 64 << 10, 0, &memory) ? -1 : 0;
}

static int teardown(void **state)
{
	r3_device_close(rig.dev);
	rig.dev = NULL;
	r3_mem_unref(memory);
	return rig_teardown(state);
}

static int map(uint64_t iova, uint64_t off, uint64_t len, unsigned prot)
{
	struct r3_dma_extent extent = {.iova = iova};
	unsigned n = 1;
	int rc = rig.dev->ops->dma_map(rig.dev, memory, off, len, prot, &extent, &n);

	if (rc == 0) {
		assert_int_equal(n, 1);
		assert_int_equal(extent.iova, iova);
		assert_int_equal(extent.len, len);
	}
	return rc;
}

#define BOTH (R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE)

static void the_arena_is_the_servers_too(void **state)
{
	struct r3_arena *arena;
	uint64_t iova, left;
	uint32_t *seen;
	void *piece;

	rig_open();
	assert_int_equal(r3_device_arena(rig.dev, &arena), 0);
	assert_int_equal(rig.server.nmaps, 1);
	assert_int_equal(rig.server.map[0].map.flags,
			 VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE);
	assert_true(fcntl(rig.server.map[0].fd, F_GET_SEALS) & F_SEAL_SHRINK);
	assert_int_equal(r3_arena_alloc(arena, 64, 0, &piece), 0);
	assert_true(r3_device_iova(rig.dev, piece, &iova, &left));
	*(uint32_t *)piece = 0x1234;
	seen = mmap(NULL, rig.server.map[0].map.size, PROT_READ, MAP_SHARED, rig.server.map[0].fd,
		    (off_t)rig.server.map[0].map.offset);
	assert_true(seen != MAP_FAILED);
	assert_int_equal(seen[(iova - rig.server.map[0].map.addr) / 4], 0x1234);
	munmap(seen, rig.server.map[0].map.size);
}

static void what_is_mapped_is_described(void **state)
{
	rig_open();
	assert_int_equal(map(1 << 20, 8192, 4096, R3_DMA_DEVICE_READ), 0);
	assert_int_equal(rig.server.map[0].map.addr, 1 << 20);
	assert_int_equal(rig.server.map[0].map.size, 4096);
	assert_int_equal(rig.server.map[0].map.offset, r3_mem_fd_offset(memory) + 8192);
	assert_int_equal(rig.server.map[0].map.flags, VFIO_USER_F_DMA_REGION_READ);
	assert_int_equal(rig.dev->ops->dma_unmap(rig.dev, 1 << 20, 4096), 0);
	assert_int_equal(rig.server.nmaps, 0);
	/* the server has no such map, and says so */
	assert_int_equal(rig.dev->ops->dma_unmap(rig.dev, 1 << 20, 4096), -ENOENT);
	rig_text_has("VFIO_USER_DMA_UNMAP");
}

static void limits_are_the_servers(void **state)
{
	struct r3_dma_limits limits;

	rig.server.caps.max_dma_maps = 2;
	rig.server.caps.pgsizes = 0x10000 | 0x200000;
	rig.server.caps.ring3 = true;
	rig.server.caps.nwindows = 2;
	rig.server.caps.window[0].first = 0x100000;
	rig.server.caps.window[0].last = 0xfedfffff;
	rig.server.caps.window[1].first = UINT64_C(0x100000000);
	rig.server.caps.window[1].last = UINT64_C(0x7fffffffff);
	rig_open();
	assert_int_equal(rig.dev->ops->dma_limits(rig.dev, &limits), 0);
	assert_int_equal(limits.page_size, 0x10000);
	assert_int_equal(limits.nwindows, 2);
	assert_int_equal(limits.window[1].last, UINT64_C(0x7fffffffff));
	assert_int_equal(map(1 << 20, 0, 4096, BOTH), 0);
	assert_int_equal(map(2 << 20, 0, 4096, BOTH), 0);
	assert_int_equal(map(3 << 20, 0, 4096, BOTH), -ENOSPC);
	assert_int_equal(rig.server.nmaps, 2);
	assert_int_equal(rig.dev->ops->dma_unmap(rig.dev, 1 << 20, 4096), 0);
	assert_int_equal(map(3 << 20, 0, 4096, BOTH), 0);
}

static void limits_of_one_who_says_nothing(void **state)
{
	struct r3_dma_limits limits;

	rig_open();
	assert_int_equal(rig.dev->ops->dma_limits(rig.dev, &limits), 0);
	assert_true(limits.page_size >= 4096);
	assert_int_equal(limits.nwindows, 1);
	assert_int_equal(limits.window[0].first, 0);
	assert_int_equal(limits.window[0].last, (UINT64_C(1) << 39) - 1);
}

static bool refuse_map(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	if (msg->header.cmd != VFIO_USER_DMA_MAP && msg->header.cmd != VFIO_USER_DMA_UNMAP)
		return false;
	fake_server_error(server, msg, msg->header.cmd == VFIO_USER_DMA_MAP ? EOPNOTSUPP : EIO);
	return true;
}

static void what_is_refused_is_not_in_reach(void **state)
{
	unsigned char byte;

	rig.server.hook = refuse_map;
	rig_open();
	assert_int_equal(map(1 << 20, 0, 4096, BOTH), -EOPNOTSUPP);
	assert_int_equal(r3_vfio_user_dma_read(rig.v, 1 << 20, &byte, 1), -EFAULT);
	assert_int_equal(rig.v->nmaps, 0);
	/* what cannot be taken back stays in reach */
	rig.server.hook = NULL;
	assert_int_equal(map(1 << 20, 0, 4096, BOTH), 0);
	rig.server.hook = refuse_map;
	assert_int_equal(rig.dev->ops->dma_unmap(rig.dev, 1 << 20, 4096), -EIO);
	assert_int_equal(r3_vfio_user_dma_read(rig.v, 1 << 20, &byte, 1), 0);
}

/* ---- bytes by messages ---- */

/* What the server asks for, and the answer. */
struct question {
	unsigned cmd;
	uint64_t addr, count;
	const char *data; /* of a write */
	/* the answer */
	bool answered;
	uint32_t error, len;
	unsigned char payload[256];
};

static void put_question(struct fake_server *server, struct r3_stream *stream, struct question *q)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
		char data[256];
	} request = {.access = {q->addr, q->count}};
	size_t data = q->cmd == VFIO_USER_DMA_WRITE ? q->count : 0;
	struct r3_stream *own = server->stream;

	if (data > sizeof(request.data))
		data = sizeof(request.data); /* a lie */
	if (data && q->data)
		memcpy(request.data, q->data, data);
	r3_vfio_user_request(&request.header, 4711, q->cmd, sizeof(request.access) + data);
	server->stream = stream;
	fake_server_send(server, &request, request.header.msg_size, NULL, 0);
	server->stream = own;
}

static void note_answer(struct question *q, const struct r3_vfio_user_msg *msg)
{
	assert_int_equal(msg->header.msg_id, 4711);
	assert_int_equal(msg->header.cmd, q->cmd);
	q->answered = true;
	q->error = msg->header.flags & VFIO_USER_F_ERROR ? msg->header.error_no : 0;
	q->len = msg->len;
	memcpy(q->payload, msg->payload,
	       msg->len < sizeof(q->payload) ? msg->len : sizeof(q->payload));
}

/* Before it answers a read of BAR 0 it asks. */
static bool ask_first(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	struct vfio_user_region_access access;
	struct question *q = server->user;
	struct r3_vfio_user_msg answer, asked = *msg;
	unsigned char kept[64];
	int afds[R3_VFIO_USER_FDS];

	if (msg->header.cmd != VFIO_USER_REGION_READ || !q ||
	    r3_vfio_user_get_region_read(msg, 8, &access) || access.region)
		return false;
	asked.payload = memcpy(kept, msg->payload, msg->len);
	put_question(server, server->stream, q);
	if (!fake_server_receive(server, &answer, afds))
		return true;
	note_answer(q, &answer);
	fake_server_do(server, &asked, fds);
	return true;
}

static void ask(struct question *q)
{
	q->answered = false;
	rig.server.user = q;
	r3_write32(rig_region(0), 0, 0xabcd);
	assert_int_equal(r3_read32(rig_region(0), 0), 0xabcd);
	assert_true(q->answered);
}

static void bytes_are_handed_over_while_we_wait(void **state)
{
	unsigned char *bytes = r3_mem_addr(memory);
	struct question read = {.cmd = VFIO_USER_DMA_READ, .addr = (1 << 20) + 100, .count = 8};
	struct question write = {.cmd = VFIO_USER_DMA_WRITE,
				 .addr = (1 << 20) + 4092,
				 .count = 8,
				 .data = "ABCDEFGH"};

	rig.server.hook = ask_first;
	rig_open();
	assert_int_equal(map(1 << 20, 0, 4096, BOTH), 0);
	assert_int_equal(map((1 << 20) + 4096, 16384, 4096, BOTH), 0);
	memcpy(bytes + 100, "12345678", 8);
	ask(&read);
	assert_int_equal(read.error, 0);
	assert_int_equal(read.len, sizeof(struct vfio_user_dma_region_access) + 8);
	assert_memory_equal(read.payload + 16, "12345678", 8);
	/* across two pieces that meet for the device only */
	ask(&write);
	assert_int_equal(write.error, 0);
	assert_memory_equal(bytes + 4092, "ABCD", 4);
	assert_memory_equal(bytes + 16384, "EFGH", 4);
}

static void nothing_else_is_in_reach(void **state)
{
	struct question questions[] = {
		{.cmd = VFIO_USER_DMA_READ, .addr = 0, .count = 1},
		{.cmd = VFIO_USER_DMA_READ, .addr = (1 << 20) - 1, .count = 2},
		{.cmd = VFIO_USER_DMA_READ, .addr = (1 << 20) + 4095, .count = 2},
		{.cmd = VFIO_USER_DMA_READ, .addr = UINT64_MAX - 3, .count = 8},
		{.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = 0},
		{.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = UINT64_MAX},
		{.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = R3_VFIO_USER_LINK_XFER + 1},
		{.cmd = VFIO_USER_DMA_READ, .addr = 2 << 20, .count = 4},  /* for writes only */
		{.cmd = VFIO_USER_DMA_WRITE, .addr = 1 << 20, .count = 4}, /* for reads only */
		{.cmd = VFIO_USER_DMA_WRITE, .addr = (2 << 20) + 4094, .count = 4},
		{.cmd = VFIO_USER_DMA_WRITE, .addr = 2 << 20, .count = 257}, /* has not as much */
		{.cmd = VFIO_USER_DMA_MAP, .addr = 2 << 20, .count = 4},     /* is none of its */
		{.cmd = 9999, .addr = 2 << 20, .count = 4},
	};
	unsigned char *bytes = r3_mem_addr(memory);

	rig.server.hook = ask_first;
	rig_open();
	assert_int_equal(map(1 << 20, 0, 4096, R3_DMA_DEVICE_READ), 0);
	assert_int_equal(map(2 << 20, 4096, 4096, R3_DMA_DEVICE_WRITE), 0);
	memset(bytes, 0x5a, 64 << 10);
	for (unsigned i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		questions[i].data = "XXXX";
		if (questions[i].cmd == VFIO_USER_DMA_WRITE && questions[i].count > 4)
			questions[i].data = NULL;
		ask(&questions[i]);
		assert_int_not_equal(questions[i].error, 0);
		assert_int_equal(questions[i].len, 0);
	}
	for (unsigned i = 0; i < 64 << 10; i++)
		assert_int_equal(bytes[i], 0x5a);
}

static void what_was_taken_back_is_out_of_reach(void **state)
{
	struct question read = {.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = 8};

	rig.server.hook = ask_first;
	rig_open();
	assert_int_equal(map(1 << 20, 0, 4096, BOTH), 0);
	ask(&read);
	assert_int_equal(read.error, 0);
	assert_int_equal(rig.dev->ops->dma_unmap(rig.dev, 1 << 20, 4096), 0);
	ask(&read);
	assert_int_equal(read.error, EFAULT);
}

/* Whoever sleeps on the device hears of the question, and dispatch answers it. */
static bool take_answer(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	if (!r3_vfio_user_is_reply(&msg->header))
		return false;
	note_answer(server->user, msg);
	return true;
}

static void wait_for_news(void)
{
	struct pollfd pfd = {.fd = r3_device_fd(rig.dev), .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, 5000), 1);
}

static void bytes_are_handed_over_by_dispatch(void **state)
{
	struct question read = {.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = 8};

	rig.server.hook = take_answer;
	rig.server.user = &read;
	rig_open();
	assert_int_equal(map(1 << 20, 0, 4096, BOTH), 0);
	memcpy(r3_mem_addr(memory), "87654321", 8);
	put_question(&rig.server, rig.server.stream, &read);
	wait_for_news();
	assert_int_equal(r3_device_dispatch(rig.dev, NULL, 0), 0);
	/* the server reads in order: what it was told before, too */
	r3_read32(rig_region(0), 0);
	assert_true(read.answered);
	assert_memory_equal(read.payload + 16, "87654321", 8);
}

/* ---- the twin socket ---- */

struct twin {
	struct question *question;
	struct r3_stream *stream;
	struct r3_vfio_user_inbox inbox;
	unsigned char room[4096];
	int client;
};

static void receive_answer(struct twin *twin)
{
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS], rc;

	while ((rc = r3_vfio_user_inbox_next(&twin->inbox, &msg, fds)) == 0)
		if (fake_server_fill(&twin->inbox, twin->stream) <= 0)
			return;
	if (rc > 0)
		note_answer(twin->question, &msg);
}

/* Gives the socket away; asks on it before it answers a read of BAR 0, and reads nothing of
 * the other one until it has its answer. */
static bool with_twin(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	struct vfio_user_region_access access;
	struct twin *twin = server->user;

	if (msg->header.cmd == VFIO_USER_VERSION) {
		struct {
			struct vfio_user_version version;
			char text[R3_VFIO_USER_CAPS_MAX];
		} reply = {.version = {VFIO_USER_MAJOR, VFIO_USER_MINOR}};
		size_t len = r3_vfio_user_caps_encode(&server->caps, reply.text);

		fake_server_reply(server, msg, &reply, sizeof(reply.version) + len, &twin->client,
				  1);
		return true;
	}
	bool read = msg->header.cmd == VFIO_USER_REGION_READ &&
		    r3_vfio_user_get_region_read(msg, 8, &access) == 0 && !access.region;
	if (twin->question && (read || msg->header.cmd == VFIO_USER_REGION_WRITE)) {
		put_question(server, twin->stream, twin->question);
		receive_answer(twin);
	}
	return false;
}

static struct twin *open_twin(void)
{
	static struct twin twin;
	int ends[2];

	twin.question = NULL;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(r3_stream_open(ends[0], &twin.stream), 0);
	twin.client = ends[1];
	r3_vfio_user_inbox_init(&twin.inbox, twin.room, sizeof(twin.room));
	rig.server.caps.twin_socket = true;
	rig.server.caps.twin_fd = 0;
	rig.server.hook = with_twin;
	rig.server.user = &twin;
	rig_open();
	close(twin.client);
	return &twin;
}

static void close_twin(struct twin *twin)
{
	r3_device_close(rig.dev);
	rig.dev = NULL;
	r3_stream_close(twin->stream);
}

static void a_twin_socket_asks_while_we_wait(void **state)
{
	struct question read = {.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = 8};
	struct twin *twin = open_twin();

	assert_int_equal(map(1 << 20, 0, 4096, BOTH), 0);
	memcpy(r3_mem_addr(memory), "twintwin", 8);
	rig_region(0);
	twin->question = &read;
	assert_int_equal(r3_read32(rig_region(0), 0), 0);
	assert_true(read.answered);
	assert_memory_equal(read.payload + 16, "twintwin", 8);
	close_twin(twin);
}

static void and_in_dispatch(void **state)
{
	struct question read = {.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = 8};
	struct twin *twin = open_twin();

	twin->question = &read;
	put_question(&rig.server, twin->stream, &read);
	wait_for_news();
	assert_int_equal(r3_device_dispatch(rig.dev, NULL, 0), 0);
	receive_answer(twin);
	assert_true(read.answered);
	assert_int_equal(read.error, EFAULT); /* nothing is mapped */
	twin->question = NULL;
	close_twin(twin);
}

/* Each write makes the server ask before it reads the next one: when the socket is full, only
 * the one who waits for room can answer. */
static void and_while_we_wait_for_room(void **state)
{
	struct question read = {.cmd = VFIO_USER_DMA_READ, .addr = 1 << 20, .count = 8};
	struct twin *twin = open_twin();

	assert_int_equal(map(1 << 20, 0, 4096, BOTH), 0);
	rig_region(0);
	twin->question = &read;
	for (uint32_t i = 0; i < 2000; i++)
		r3_write32(rig_region(0), 0, i);
	assert_int_equal(r3_read32(rig_region(0), 0), 1999);
	assert_false(r3_device_gone(rig.dev));
	close_twin(twin);
}

/* The end of the twin socket is the server's: it could not ask any more. */
static void and_ends(void **state)
{
	struct twin *twin = open_twin();
	struct r3_event event;

	r3_stream_close(twin->stream);
	twin->stream = NULL;
	wait_for_news();
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 1);
	assert_int_equal(event.type, R3_EVENT_SERVER_LOST);
	close_twin(twin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_arena_is_the_servers_too),
		TEST(what_is_mapped_is_described),
		TEST(limits_are_the_servers),
		TEST(limits_of_one_who_says_nothing),
		TEST(what_is_refused_is_not_in_reach),
		TEST(bytes_are_handed_over_while_we_wait),
		TEST(nothing_else_is_in_reach),
		TEST(what_was_taken_back_is_out_of_reach),
		TEST(bytes_are_handed_over_by_dispatch),
		TEST(a_twin_socket_asks_while_we_wait),
		TEST(and_in_dispatch),
		TEST(and_while_we_wait_for_room),
		TEST(and_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
