/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/vhost_user/test_rig.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- life ---- */

static void told(void *ctx, const struct r3_serve_block_event *event)
{
	struct rig *rig = ctx;

	assert_in_range(event->type, R3_SERVE_BLOCK_READY, R3_SERVE_BLOCK_EVENT);
	assert_non_null(event->text);
	rig->event[event->type]++;
	rig->code[event->type] = event->code;
}

void rig_open(struct rig *rig)
{
	struct r3_stream *stream;
	int pair[2];

	rig->fds = test_count_fds();
	if (!rig->opts.size)
		rig->opts = (struct r3_serve_block_opts){.size = sizeof(rig->opts)};
	rig->opts.event = told;
	rig->opts.ctx = rig;
	provider_init(&rig->provider);
	rig->provider.done_in_kick = true;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(r3_stream_open(pair[0], &stream), 0);
	r3_vhost_user_port_open(&rig->port, stream);
	assert_int_equal(r3_stream_open(pair[1], &stream), 0);
	assert_int_equal(vub_open_stream(&rig->provider.base, stream, &rig->opts, &rig->serve), 0);
	assert_int_equal(r3_mem_create("front-end", RIG_SIZE, 0, &rig->mem), 0);
	rig->base = r3_mem_addr(rig->mem);
	for (unsigned i = 0; i < RIG_QUEUES; i++) {
		rig->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rig->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rig->err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

void rig_close(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_QUEUES; i++) {
		close(rig->kick[i]);
		close(rig->call[i]);
		close(rig->err[i]);
		free(rig->slots[i]);
		rig->slots[i] = NULL;
	}
	r3_vhost_user_port_close(&rig->port);
	r3_serve_block_close(rig->serve);
	r3_block_close(&rig->provider.base);
	assert_int_equal(rig->provider.base.queues, 0);
	assert_int_equal(rig->provider.closed, 1);
	r3_mem_unref(rig->mem);
	assert_int_equal(test_count_fds(), rig->fds);
}

void rig_pump(struct rig *rig)
{
	for (unsigned i = 0; i < 4; i++) {
		int rc = r3_serve_block_dispatch(rig->serve);

		assert_true(rc >= 0);
		rig->over = !rc;
	}
}

/* ---- messages ---- */

void rig_send(struct rig *rig, const struct r3_vhost_user_msg *msg)
{
	(void)r3_vhost_user_port_send(&rig->port, msg); /* it may have hung up already */
}

int rig_hear(struct rig *rig)
{
	r3_vhost_user_port_done(&rig->port);
	rig_pump(rig);
	return r3_vhost_user_port_recv(&rig->port);
}

int rig_ask(struct rig *rig, struct r3_vhost_user_msg *msg)
{
	int rc;

	if (!r3_vhost_user_has_answer(R3_VHOST_USER_FRONTEND, msg->header.request))
		msg->header.flags |= VHOST_USER_FLAG_NEED_REPLY;
	rig_send(rig, msg);
	rc = rig_hear(rig);
	if (rc <= 0)
		return rc < 0 ? rc : -EINPROGRESS;
	rc = r3_vhost_user_check_answer(R3_VHOST_USER_FRONTEND, msg, &rig->port.in);
	msg->header = rig->port.in.header;
	msg->payload = rig->port.in.payload;
	return rc;
}

int rig_fd(struct rig *rig, uint32_t request, uint64_t value, int fd)
{
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, request, 0, 8);
	msg.payload.u64 = value;
	msg.nfds = fd >= 0;
	msg.fd[0] = fd;
	return rig_ask(rig, &msg);
}

int rig_u64(struct rig *rig, uint32_t request, uint64_t value)
{
	return rig_fd(rig, request, value, -1);
}

int rig_state(struct rig *rig, uint32_t request, uint32_t index, uint32_t num)
{
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, request, 0, sizeof(msg.payload.state));
	msg.payload.state = (struct vhost_user_vring_state){index, num};
	return rig_ask(rig, &msg);
}

/* ---- rings ---- */

int rig_set_memory(struct rig *rig)
{
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, VHOST_USER_SET_MEM_TABLE, 0, R3_VHOST_USER_MEMORY_SIZE(1));
	msg.payload.memory.nregions = 1;
	msg.payload.memory.region[0] =
		(struct vhost_user_memory_region){RIG_GUEST, RIG_SIZE, RIG_USER, 0};
	msg.nfds = 1;
	msg.fd[0] = r3_mem_fd(rig->mem);
	return rig_ask(rig, &msg);
}

int rig_set_addr(struct rig *rig, unsigned queue)
{
	struct r3_virtq_layout layout = {.len = 0};
	struct r3_vhost_user_msg msg;
	uint64_t at = RIG_USER + queue * RIG_QUEUE;

	assert_int_equal(r3_virtq_layout(RIG_RING, rig->features, &layout), 0);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_VRING_ADDR, 0, sizeof(msg.payload.addr));
	msg.payload.addr = (struct vhost_user_vring_addr){.index = queue,
							  .descriptor = at,
							  .used = at + layout.device,
							  .available = at + layout.driver};
	return rig_ask(rig, &msg);
}

int rig_start_queue(struct rig *rig, unsigned queue, uint32_t base)
{
	int rc = rig_state(rig, VHOST_USER_SET_VRING_NUM, queue, RIG_RING);

	if (rc == 0)
		rc = rig_state(rig, VHOST_USER_SET_VRING_BASE, queue, base);
	if (rc == 0)
		rc = rig_set_addr(rig, queue);
	if (rc == 0)
		rc = rig_fd(rig, VHOST_USER_SET_VRING_CALL, queue, rig->call[queue]);
	if (rc == 0)
		rc = rig_fd(rig, VHOST_USER_SET_VRING_ERR, queue, rig->err[queue]);
	if (rc == 0)
		rc = rig_fd(rig, VHOST_USER_SET_VRING_KICK, queue, rig->kick[queue]);
	return rc ? rc : rig_state(rig, VHOST_USER_SET_VRING_ENABLE, queue, 1);
}

void rig_start(struct rig *rig, uint64_t features, unsigned n)
{
	bool packed = features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	struct r3_virtq_layout layout;
	struct r3_vhost_user_msg msg;

	rig->features = features | VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
			VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES);
	/* this one comes before there are acknowledgements */
	r3_vhost_user_begin(&msg, VHOST_USER_SET_PROTOCOL_FEATURES, 0, 8);
	msg.payload.u64 = vub_protocol_features;
	rig_send(rig, &msg);
	assert_int_equal(rig_u64(rig, VHOST_USER_SET_FEATURES, rig->features), 0);
	assert_int_equal(rig_set_memory(rig), 0);
	assert_int_equal(r3_virtq_layout(RIG_RING, features, &layout), 0);
	assert_true(layout.len <= RIG_QUEUE);
	for (unsigned i = 0; i < n; i++) {
		rig->slots[i] = malloc(layout.slots);
		const struct r3_virtq_config config = {
			.name = "front-end",
			.index = (uint16_t)i,
			.size = RIG_RING,
			.features = features,
			.mem = rig->base + i * RIG_QUEUE,
			.slots = rig->slots[i],
		};

		assert_int_equal(r3_virtq_init(&rig->q[i], &config), 0);
		(void)r3_virtq_arm(&rig->q[i]);
		assert_int_equal(rig_start_queue(rig, i, packed ? 0x80008000 : 0), 0);
	}
}

/* ---- requests ---- */

void *rig_data(struct rig *rig, uint64_t off)
{
	return rig->base + RIG_DATA + off;
}

struct r3_dma_seg rig_seg(uint64_t off, uint64_t len)
{
	return (struct r3_dma_seg){.addr = {RIG_GUEST + RIG_DATA + off}, .len = len};
}

void rig_header(struct rig *rig, uint64_t off, uint32_t type, uint64_t sector)
{
	const struct virtio_blk_req header = {.type = R3_LE32(type), .sector = R3_LE64(sector)};

	memcpy(rig_data(rig, off), &header, sizeof(header));
}

void rig_kick(struct rig *rig, unsigned queue)
{
	(void)r3_virtq_publish(&rig->q[queue]);
	assert_int_equal(eventfd_write(rig->kick[queue], 1), 0);
	rig_pump(rig);
}

void rig_push(struct rig *rig, uint16_t id, const struct r3_dma_seg *seg, unsigned nout,
	      unsigned nin)
{
	assert_int_equal(r3_virtq_push(&rig->q[0], id, seg, nout, nin), 0);
	rig_kick(rig, 0);
}

int rig_pop(struct rig *rig, uint32_t *len)
{
	uint16_t id = 0;
	int rc = r3_virtq_pop(&rig->q[0], &id, len);

	assert_true(rc >= 0);
	return rc ? id : -1;
}

int rig_do(struct rig *rig, uint32_t type, uint64_t sector, uint64_t len)
{
	const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, len), rig_seg(16, 1)};
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	unsigned char *status = rig_data(rig, 16);
	uint32_t written;

	rig_header(rig, 0, type, sector);
	*status = 0xff;
	if (len) {
		rig_push(rig, 0, seg, in ? 1 : 2, in ? 2 : 1);
	} else {
		const struct r3_dma_seg none[] = {seg[0], seg[2]};

		rig_push(rig, 0, none, 1, 1);
	}
	assert_int_equal(rig_pop(rig, &written), 0);
	assert_int_equal(written, in ? len + 1 : 1);
	return *status;
}

struct provider_queue *rig_block_queue(struct rig *rig, unsigned queue)
{
	return (struct provider_queue *)rig->serve->queue[queue].blkq;
}

bool rig_signalled(int fd)
{
	eventfd_t count;

	return eventfd_read(fd, &count) == 0;
}
