/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user front-end, which is a virtio device to its driver, against a back-end that
 * lies. An input says what the driver does, and what becomes of each answer. Whatever comes,
 * calls end, and no descriptor is left.
 */
#include "driver.h"

#include "backend/vhost_user/vhost_user.h"
#include "fake/memory_stream.h"

#include <errno.h>
#include <ring3/spec/virtio_pci.h>
#include <stdlib.h>

enum { ROOM = 1 << 16, MAPS = 3 };

struct backend {
	struct r3_stream stream; /* the front-end's */
	struct r3_stream *ends[2];
	struct input *in;
	unsigned char said[ROOM]; /* by the front-end */
	size_t nsaid;
	uint64_t iova[MAPS]; /* 0: not mapped */
};

static struct r3_mem *mem;

/* ---- what it says ---- */

static void hang_up(struct backend *backend)
{
	r3_stream_close(backend->ends[1]);
	backend->ends[1] = NULL;
}

/* The payload that an honest back-end would answer. */
static void honest(struct input *in, const struct r3_vhost_user_msg *asked,
		   struct r3_vhost_user_msg *msg)
{
	r3_vhost_user_begin(msg, asked->header.request, VHOST_USER_FLAG_REPLY, 8);
	switch (asked->header.request) {
	case VHOST_USER_GET_FEATURES:
		msg->payload.u64 = VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
				   VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES) |
				   VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC);
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		msg->payload.u64 = take8(in) < 200 ? UINT16_MAX : number(in);
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		msg->payload.u64 = 2;
		break;
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		msg->payload.u64 = take8(in) < 200 ? 8 : number(in);
		break;
	case VHOST_USER_GET_VRING_BASE:
		msg->payload.state = asked->payload.state;
		break;
	case VHOST_USER_GET_CONFIG:
		r3_vhost_user_begin(msg, asked->header.request, VHOST_USER_FLAG_REPLY,
				    asked->header.size);
		msg->payload.config = asked->payload.config;
		memset(msg->payload.config.payload, 1, sizeof(msg->payload.config.payload));
		break;
	default: /* done */
		break;
	}
}

static void answer(struct backend *backend, const struct r3_vhost_user_msg *asked)
{
	struct input *in = backend->in;
	struct r3_vhost_user_msg msg = {.nfds = 0};
	struct iovec iov[2] = {{.iov_base = &msg.header, .iov_len = sizeof(msg.header)},
			       {.iov_base = &msg.payload}};
	int fds[R3_STREAM_FDS];
	unsigned nfds = 0;
	uint8_t how = take8(in);

	if (how == 0xff) {
		hang_up(backend);
		return;
	}
	how = how < 160 ? 0 : how; /* most of them are honest */
	honest(in, asked, &msg);
	iov[1].iov_len = msg.header.size;
	if (how & 1)
		for (unsigned n = 1 + take8(in) % 3; n; n--)
			spoil(in, (unsigned char *)&msg.payload, iov[1].iov_len);
	if (how & 2)
		spoil(in, (unsigned char *)&msg.header, sizeof(msg.header));
	if (how & 4)
		iov[1].iov_len = number(in) % sizeof(msg.payload);
	if (how & 8)
		for (uint8_t what = take8(in); nfds < what % 12; nfds++)
			fds[nfds] = fd_of_kind(what / 12 + nfds);
	r3_stream_send(backend->ends[1], iov, 1, fds, nfds);
	if (iov[1].iov_len && how != 0xfe)
		r3_stream_send(backend->ends[1], iov + 1, 1, NULL, 0);
}

/* Says something on the channel of its own that it was just given. */
static void use_channel(struct backend *backend, int sock)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};
	uint8_t what = take8(backend->in);

	r3_vhost_user_begin(&msg, what % 10, 0, what & 0x40 ? 8 : 0);
	msg.header.request = what & 0x20 ? VHOST_USER_BACKEND_CONFIG_CHANGE_MSG : what % 10;
	if (what & 0x80)
		spoil(backend->in, (unsigned char *)&msg, sizeof(msg.header) + 8);
	(void)!send(sock, &msg.header, sizeof(msg.header), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (msg.header.size == 8)
		(void)!send(sock, &msg.payload, 8, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- what it hears ---- */

static ssize_t hear(struct r3_stream *stream, const struct iovec *iov, unsigned niov,
		    const int *fds, unsigned nfds)
{
	struct backend *backend = (struct backend *)stream;
	size_t len = 0, at = 0;

	if (!backend->ends[1])
		return -EPIPE;
	for (unsigned i = 0; i < niov; i++) {
		MUST(backend->nsaid + iov[i].iov_len <= ROOM);
		memcpy(backend->said + backend->nsaid, iov[i].iov_base, iov[i].iov_len);
		backend->nsaid += iov[i].iov_len;
		len += iov[i].iov_len;
	}
	while (backend->nsaid - at >= sizeof(struct vhost_user_header) && backend->ends[1]) {
		struct r3_vhost_user_msg msg = {.nfds = nfds};
		uint32_t request;

		memcpy(&msg.header, backend->said + at, sizeof(msg.header));
		MUST(msg.header.size <= sizeof(msg.payload));
		if (backend->nsaid - at - sizeof(msg.header) < msg.header.size)
			break;
		memcpy(&msg.payload, backend->said + at + sizeof(msg.header), msg.header.size);
		at += sizeof(msg.header) + msg.header.size;
		request = msg.header.request;
		MUST(r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &msg) == 0);
		if (request == VHOST_USER_SET_BACKEND_REQ_FD)
			use_channel(backend, fds[0]);
		if (r3_vhost_user_has_answer(R3_VHOST_USER_FRONTEND, request) ||
		    msg.header.flags & VHOST_USER_FLAG_NEED_REPLY)
			answer(backend, &msg);
		nfds = 0;
	}
	backend->nsaid -= at;
	memmove(backend->said, backend->said + at, backend->nsaid);
	return (ssize_t)len;
}

static ssize_t pass(struct r3_stream *stream, void *buf, size_t len, int *fds, unsigned *nfds)
{
	return r3_stream_recv(((struct backend *)stream)->ends[0], buf, len, fds, nfds);
}

static int no_fd(const struct r3_stream *stream)
{
	return -1;
}

static void lose_frontend(struct r3_stream *stream)
{
	struct backend *backend = (struct backend *)stream;

	r3_stream_close(backend->ends[0]);
	backend->ends[0] = NULL;
}

static const struct r3_stream_ops ops = {
	.send = hear,
	.recv = pass,
	.fd = no_fd,
	.close = lose_frontend,
};

/* ---- what the driver does ---- */

static void map_memory(struct r3_device *dev, struct backend *backend, struct input *in)
{
	uint64_t *iova = &backend->iova[take8(in) % MAPS];
	struct r3_dma_extent extent = {.iova = 0x100000 +
					       (uint64_t)(iova - backend->iova) * 0x4000};
	unsigned n = 1;

	if (*iova) {
		if (dev->ops->dma_unmap(dev, *iova, 0x2000) == 0)
			*iova = 0;
	} else if (dev->ops->dma_map(dev, mem, 0, 0x2000, R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE,
				     &extent, &n) == 0) {
		*iova = extent.iova;
	}
}

/* A queue, as a driver of virtio sets it up. */
static void start_queue(struct r3_device *dev, struct input *in)
{
	uint8_t what = take8(in);
	struct r3_region *bar;

	if (r3_device_region(dev, R3_REGION_BAR0, &bar) < 0)
		return;
	r3_write8(bar, VIRTIO_PCI_COMMON(device_status), 0);
	r3_write8(bar, VIRTIO_PCI_COMMON(device_status), 3);
	r3_write32(bar, VIRTIO_PCI_COMMON(driver_feature_select), 1);
	r3_write32(bar, VIRTIO_PCI_COMMON(driver_feature), what & 1);
	r3_write8(bar, VIRTIO_PCI_COMMON(device_status), 11);
	r3_write16(bar, VIRTIO_PCI_COMMON(queue_select), what >> 1 & 3);
	r3_write16(bar, VIRTIO_PCI_COMMON(queue_size), 8);
	r3_write64(bar, VIRTIO_PCI_COMMON(queue_desc), 0x100000 + (what >> 4) * 0x1000u);
	r3_write64(bar, VIRTIO_PCI_COMMON(queue_driver), 0x100400);
	r3_write64(bar, VIRTIO_PCI_COMMON(queue_device), 0x100800);
	r3_write16(bar, VIRTIO_PCI_COMMON(queue_enable), 1);
	r3_write8(bar, VIRTIO_PCI_COMMON(device_status), what & 8 ? 15 : 11);
}

static void drive(struct r3_device *dev, struct backend *backend, struct input *in)
{
	struct r3_irq_set *irq = NULL;
	struct r3_event events[4];

	while (in->left) {
		switch (take8(in) % 6) {
		case 0:
			access_region(dev, in);
			break;
		case 1:
			map_memory(dev, backend, in);
			break;
		case 2:
			interrupts(dev, &irq, in);
			break;
		case 3:
			start_queue(dev, in);
			break;
		case 4:
			r3_device_dispatch(dev, events, 4);
			break;
		case 5:
			if (take8(in) & 1)
				r3_device_reset(dev, R3_RESET_ANY);
			break;
		}
	}
	r3_irq_disable(irq);
	for (unsigned i = 0; i < MAPS; i++)
		if (backend->iova[i])
			dev->ops->dma_unmap(dev, backend->iova[i], 0x2000);
	r3_device_close(dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct backend backend;
	const struct vuf_keys keys = {.queues = 2, .queue_size = 8, .timeout_ns = R3_NSEC_PER_MSEC};
	struct input in = {data, len};
	struct r3_device *dev;
	int before;

	if (!mem)
		MUST(r3_mem_create("fuzz", 0x2000, 0, &mem) == 0);
	for (unsigned i = 0; i < FD_KINDS; i++)
		fd_of_kind(i);
	before = lowest_fd();
	backend.stream.ops = &ops;
	backend.in = &in;
	backend.nsaid = 0;
	memset(backend.iova, 0, sizeof(backend.iova));
	MUST(memory_stream_pair(backend.ends));
	if (vuf_open_stream(&backend.stream, "fuzz", &keys, NULL, &dev) == 0 &&
	    r3_device_adopt(dev, "vhost-user:fd:99") == 0)
		drive(dev, &backend, &in);
	MUST(!backend.ends[0]);
	hang_up(&backend);
	MUST(lowest_fd() == before);
	return 0;
}
