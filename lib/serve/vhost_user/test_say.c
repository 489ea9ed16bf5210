/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said: features, configuration, changes of it, memory of all sorts, and messages
 * that cannot be right or are not for us. */
#include "serve/vhost_user/test_rig.h"
#include "valgrind.h"

#include <errno.h>
#include <fcntl.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int get_u64(struct rig *rig, uint32_t request, uint64_t *value)
{
	struct r3_vhost_user_msg msg;
	int rc;

	r3_vhost_user_begin(&msg, request, 0, 0);
	rc = rig_ask(rig, &msg);
	*value = msg.payload.u64;
	return rc;
}

static int get_config(struct rig *rig, uint32_t offset, uint32_t size,
		      struct r3_vhost_user_msg *msg)
{
	r3_vhost_user_begin(msg, VHOST_USER_GET_CONFIG, 0, R3_VHOST_USER_CONFIG_SIZE(size));
	msg->payload.config.offset = offset;
	msg->payload.config.size = size;
	return rig_ask(rig, msg);
}

/* ---- what is offered ---- */

static void features(void **state)
{
	struct rig rig = {
		.opts = {.size = sizeof(rig.opts), .hide = VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)}};
	uint64_t offered, protocol, n;

	rig_open(&rig);
	assert_int_equal(get_u64(&rig, VHOST_USER_GET_FEATURES, &offered), 0);
	assert_true(offered & VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
	assert_true(offered & VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES));
	assert_false(offered & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED));
	assert_int_equal(get_u64(&rig, VHOST_USER_GET_PROTOCOL_FEATURES, &protocol), 0);
	assert_int_equal(protocol, vub_protocol_features);
	rig_start(&rig, 0, 1);
	assert_int_equal(get_u64(&rig, VHOST_USER_GET_QUEUE_NUM, &n), 0);
	assert_int_equal(n, 2); /* of the block device */
	assert_int_equal(get_u64(&rig, VHOST_USER_GET_MAX_MEM_SLOTS, &n), 0);
	assert_int_equal(n, VUB_REGIONS);
	/* what was not offered, and what cannot change any more */
	assert_int_equal(rig_u64(&rig, VHOST_USER_SET_FEATURES, ~offered), -EREMOTEIO);
	assert_int_equal(rig_u64(&rig, VHOST_USER_SET_FEATURES, rig.features), 0);
	assert_int_equal(rig_u64(&rig, VHOST_USER_SET_FEATURES, 0), -EREMOTEIO);
	assert_int_equal(rig_u64(&rig, VHOST_USER_SET_PROTOCOL_FEATURES, ~protocol), -EREMOTEIO);
	assert_int_equal(rig_u64(&rig, VHOST_USER_SET_PROTOCOL_FEATURES, protocol), 0);
	rig_close(&rig);
}

static void configuration(void **state)
{
	struct virtio_blk_config config;
	struct r3_vhost_user_msg msg;
	struct rig rig = {.features = 0};

	rig_open(&rig);
	assert_int_equal(get_config(&rig, 0, sizeof(config), &msg), 0);
	memcpy(&config, msg.payload.config.payload, sizeof(config));
	assert_int_equal(R3_LE64(config.capacity), (1 << 20) / 512);
	assert_int_equal(R3_LE32(config.blk_size), 4096);
	assert_int_equal(R3_LE32(config.seg_max), 4);
	assert_int_equal(R3_LE16(config.num_queues), 2);
	assert_int_equal(R3_LE32(config.max_discard_sectors), 262144 / 512);
	assert_int_equal(R3_LE32(config.max_write_zeroes_sectors), 131072 / 512);
	assert_int_equal(config.writeback, 0);
	/* any part of it, and nothing behind */
	assert_int_equal(get_config(&rig, VIRTIO_BLK_CONFIG(blk_size), 4, &msg), 0);
	assert_memory_equal(msg.payload.config.payload, "\0\x10\0\0", 4);
	assert_int_equal(get_config(&rig, 0, 256, &msg), 0);
	assert_int_equal(msg.payload.config.payload[255], 0);
	assert_int_equal(get_config(&rig, 255, 1, &msg), 0);
	assert_int_equal(get_config(&rig, 255, 2, &msg), -EREMOTEIO);
	assert_int_equal(get_config(&rig, UINT32_MAX, 8, &msg), -EREMOTEIO);
	/* nothing can be written */
	rig_start(&rig, 0, 1);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_CONFIG, 0, R3_VHOST_USER_CONFIG_SIZE(1));
	msg.payload.config.offset = VIRTIO_BLK_CONFIG(writeback);
	msg.payload.config.size = 1;
	assert_int_equal(rig_ask(&rig, &msg), -EREMOTEIO);
	rig_close(&rig);
}

/* ---- changes ---- */

static unsigned changes;

static int dispatch_change(struct r3_block *block, struct r3_block_event *events, unsigned max)
{
	struct provider *p = (struct provider *)block;
	eventfd_t count;

	(void)eventfd_read(p->fd, &count);
	if (!changes)
		return 0;
	changes--;
	events[0] = (struct r3_block_event){.type = R3_BLOCK_EVENT_GEOMETRY};
	return 1;
}

static void a_change_is_told(void **state)
{
	struct r3_vhost_user_port channel;
	struct r3_vhost_user_msg msg;
	struct r3_block_ops ops;
	struct r3_stream *stream;
	struct rig rig = {.features = 0};
	int pair[2];

	rig_open(&rig);
	ops = *rig.provider.base.ops;
	ops.dispatch = dispatch_change;
	rig.provider.base.ops = &ops;
	rig_start(&rig, 0, 1);
	/* nobody to tell it to yet */
	changes = 1;
	provider_alert(&rig.provider);
	rig_pump(&rig);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(r3_stream_open(pair[0], &stream), 0);
	r3_vhost_user_port_open(&channel, stream);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_BACKEND_REQ_FD, 0, 0);
	msg.nfds = 1;
	msg.fd[0] = pair[1];
	assert_int_equal(rig_ask(&rig, &msg), 0);
	close(pair[1]);
	assert_int_equal(r3_vhost_user_port_recv(&channel), 0);
	changes = 1;
	rig.provider.base.limits.size = 2 << 20;
	provider_alert(&rig.provider);
	rig_pump(&rig);
	assert_int_equal(rig.code[R3_SERVE_BLOCK_EVENT], R3_BLOCK_EVENT_GEOMETRY);
	assert_int_equal(r3_vhost_user_port_recv(&channel), 1);
	assert_int_equal(r3_vhost_user_check(R3_VHOST_USER_BACKEND, &channel.in), 0);
	assert_int_equal(channel.in.header.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	r3_vhost_user_port_done(&channel);
	assert_int_equal(get_config(&rig, 0, 8, &msg), 0);
	assert_memory_equal(msg.payload.config.payload, "\0\x10\0\0\0\0\0\0", 8);
	/* it hangs up the channel, or talks nonsense there: that is its own loss */
	assert_int_equal(write(pair[0], "nonsense nonsense", 17), 17);
	rig_pump(&rig);
	changes = 1;
	provider_alert(&rig.provider);
	rig_pump(&rig);
	r3_vhost_user_port_close(&channel);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

/* ---- memory ---- */

static int add_memory(struct rig *rig, int fd, uint64_t guest, uint64_t user, uint64_t size,
		      uint64_t offset)
{
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, VHOST_USER_ADD_MEM_REG, 0, sizeof(msg.payload.single));
	msg.payload.single.region = (struct vhost_user_memory_region){guest, size, user, offset};
	msg.nfds = 1;
	msg.fd[0] = fd;
	return rig_ask(rig, &msg);
}

static void regions_that_cannot_be(void **state)
{
	const uint64_t g = RIG_GUEST + RIG_SIZE, u = RIG_USER + RIG_SIZE, top = UINT64_MAX - 4095;
	struct rig rig = {.features = 0};
	int fd;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	fd = r3_mem_fd(rig.mem);
	assert_int_equal(add_memory(&rig, fd, g, u, 0, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, g, u, RIG_SIZE + 4096, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, g, u, 4096, RIG_SIZE), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, g, u, 4096, top), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, top, u, 8192, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, g, top, 8192, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, g, u, top, 4096), -EREMOTEIO);
	/* over what is there, by either address */
	assert_int_equal(add_memory(&rig, fd, g - 1, u, 4096, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, g, u - 1, 4096, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, RIG_GUEST - 4095, u, 4096, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, fd, RIG_GUEST, RIG_USER, RIG_SIZE, 0), -EREMOTEIO);
	assert_int_equal(rig.serve->memory.n, 1);
	/* a flood: as many as it said that there may be */
	for (unsigned i = 1; i < VUB_REGIONS; i++)
		assert_int_equal(add_memory(&rig, fd, g + i * 4096, u + i * 4096, 4096, 4096), 0);
	assert_int_equal(add_memory(&rig, fd, g + RIG_SIZE, u + RIG_SIZE, 4096, 0), -EREMOTEIO);
	rig_close(&rig);
}

static void memory_that_may_shrink(void **state)
{
	const uint64_t g = RIG_GUEST + RIG_SIZE, u = RIG_USER + RIG_SIZE;
	int open_fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int closed_fd = memfd_create("closed", MFD_CLOEXEC); /* which nobody can seal */
	int file = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), null, pipes[2];
	struct rig rig = {.features = 0};

	test_skip_after_fault();
	null = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(ftruncate(open_fd, 8192), 0);
	assert_int_equal(ftruncate(closed_fd, 8192), 0);
	assert_int_equal(ftruncate(file, 8192), 0);
	rig_open(&rig);
	rig_start(&rig, 0, 1);
	/* sealed here, if it was not yet */
	assert_int_equal(add_memory(&rig, open_fd, g, u, 8192, 0), 0);
	assert_int_equal(ftruncate(open_fd, 0), -1);
	/* refused: we would die of it; it is no memory */
	assert_int_equal(add_memory(&rig, closed_fd, g + 8192, u + 8192, 8192, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, null, g + 8192, u + 8192, 8192, 0), -EREMOTEIO);
	assert_int_equal(add_memory(&rig, pipes[0], g + 8192, u + 8192, 8192, 0), -EREMOTEIO);
	assert_int_equal(rig.serve->memory.n, 2);
	/* unless the program can bear it */
	assert_int_equal(r3_sigbus_enable(), 0);
	assert_int_equal(add_memory(&rig, closed_fd, g + 8192, u + 8192, 8192, 0), 0);
	{
		const struct r3_dma_seg seg[] = {{.addr = {g + 8192 + 4096}, .len = 16},
						 rig_seg(16, 1)};
		uint32_t written;

		assert_int_equal(ftruncate(closed_fd, 0), 0);
		rig_push(&rig, 1, seg, 1, 1); /* a header of zeroes: a read of nothing */
		assert_int_equal(rig_pop(&rig, &written), 1);
		assert_int_equal(*(char *)rig_data(&rig, 16), VIRTIO_BLK_S_IOERR);
	}
	rig_close(&rig);
	close(open_fd);
	close(closed_fd);
	close(file);
	close(null);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- messages at fault ---- */

/* Each by a front-end of its own: it is sent away, or told no. */
static void messages_that_are_not_for_us(void **state)
{
	int event = eventfd(0, EFD_CLOEXEC);

	for (uint32_t request = 0; request < 50; request++) {
		for (unsigned acked = 0; acked < 2; acked++) {
			static const uint32_t sizes[] = {0, 8, 16, 20, 24, 32, 40};
			bool refused = false;

			for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
				struct r3_vhost_user_msg msg = {.nfds = 0};
				struct rig rig = {.features = 0};
				int rc;

				rig_open(&rig);
				rig_start(&rig, 0, 1);
				r3_vhost_user_begin(&msg, request, 0, sizes[i]);
				msg.header.flags |= acked ? VHOST_USER_FLAG_NEED_REPLY : 0;
				msg.fd[0] = event;
				msg.nfds = request == VHOST_USER_SET_INFLIGHT_FD ||
					   request == VHOST_USER_SET_LOG_FD;
				rig_send(&rig, &msg);
				rc = rig_hear(&rig);
				if (rc == -EPIPE)
					refused = true;
				else if (rc == 1 &&
					 !r3_vhost_user_has_answer(R3_VHOST_USER_FRONTEND, request))
					refused |= rig.port.in.payload.u64 != 0;
				assert_true(rc == 0 || rc == 1 || rc == -EPIPE);
				rig_close(&rig);
			}
			assert_true(refused); /* by its size, at the latest */
		}
	}
	close(event);
}

static void descriptors_that_are_none(void **state)
{
	struct rig rig = {.features = 0};
	int file = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), pipes[2], sock[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	rig_open(&rig);
	rig_start(&rig, 0, 1);
	for (uint32_t request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR;
	     request++) {
		assert_int_equal(rig_fd(&rig, request, 0, file), -EREMOTEIO);
		assert_int_equal(rig_fd(&rig, request, 0, pipes[0]), -EREMOTEIO);
		assert_int_equal(rig_fd(&rig, request, 0, pipes[1]), -EREMOTEIO);
		assert_int_equal(rig_fd(&rig, request, 0, sock[0]), -EREMOTEIO);
		assert_int_equal(rig_fd(&rig, request, 200, rig.kick[0]), -EREMOTEIO);
	}
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
	close(file);
	for (unsigned i = 0; i < 2; i++) {
		close(pipes[i]);
		close(sock[i]);
	}
}

/* A peer that asks and asks, and never reads: it is not heard any more. */
static void a_front_end_that_does_not_read(void **state)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};
	struct rig rig = {.features = 0};
	unsigned sent = 0, heard = 0;

	rig_open(&rig);
	r3_vhost_user_begin(&msg, VHOST_USER_GET_CONFIG, 0, R3_VHOST_USER_CONFIG_SIZE(256));
	msg.payload.config.size = 256;
	while (r3_vhost_user_port_send(&rig.port, &msg) == 0 && sent < 100000) {
		sent++;
		rig_pump(&rig);
	}
	assert_true(sent < 100000);
	while (heard < sent) {
		int rc = rig_hear(&rig);

		assert_true(rc >= 0);
		heard += rc > 0;
		(void)r3_vhost_user_port_flush(&rig.port);
	}
	rig_close(&rig);
}

/* Any bytes at all: no crash, and in the end nothing is left. */
static void nonsense(void **state)
{
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 300; round++) {
		struct rig rig = {.features = 0};
		int sock;

		rig_open(&rig);
		if (round & 1)
			rig_start(&rig, 0, 1);
		sock = r3_vhost_user_port_fd(&rig.port);
		for (unsigned i = 0; i < 20; i++) {
			unsigned char bytes[sizeof(struct r3_vhost_user_msg)];
			struct vhost_user_header header = {
				test_random_below(&random, 45),
				VHOST_USER_VERSION | (test_random_below(&random, 2) << 3),
				test_random_below(&random, 50) & ~3u};

			for (size_t at = 0; at < sizeof(bytes); at++)
				bytes[at] = test_random_below(&random, 3)
						    ? 0
						    : (unsigned char)test_random(&random);
			memcpy(bytes, &header, sizeof(header));
			(void)!send(sock, bytes, sizeof(header) + header.size, MSG_NOSIGNAL);
			rig_pump(&rig);
			assert_int_equal(eventfd_write(rig.kick[0], 1), 0);
		}
		rig_close(&rig);
	}
}

static void quiet(void *ctx, enum r3_log_level level, const char *text)
{
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features),
		cmocka_unit_test(configuration),
		cmocka_unit_test(a_change_is_told),
		cmocka_unit_test(regions_that_cannot_be),
		cmocka_unit_test(memory_that_may_shrink),
		cmocka_unit_test(messages_that_are_not_for_us),
		cmocka_unit_test(descriptors_that_are_none),
		cmocka_unit_test(a_front_end_that_does_not_read),
		cmocka_unit_test(nonsense),
	};

	r3_log_sink(R3_LOG_ERROR, quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
