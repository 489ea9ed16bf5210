/* SPDX-License-Identifier: BSD-2-Clause */
/* A vfio-user server in a thread, for tests: see fake_server.h. */
#include "fake/fake_server.h"

#include "unit.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM (R3_VFIO_USER_MESSAGE_MAX(VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE))

/* ---- messages ---- */

void fake_server_send(struct fake_server *server, const void *bytes, size_t len, const int *fds,
		      unsigned nfds)
{
	const char *at = bytes;

	while (len) {
		struct iovec iov = {(void *)at, len};
		ssize_t n = r3_stream_send(server->stream, &iov, 1, fds, nfds);

		if (n == -EAGAIN) {
			sched_yield();
			continue;
		}
		if (n < 0)
			return; /* the client has gone, which is its right */
		at += n;
		len -= (size_t)n;
		nfds = 0;
	}
}

void fake_server_reply(struct fake_server *server, const struct r3_vfio_user_msg *msg,
		       const void *payload, size_t len, const int *fds, unsigned nfds)
{
	struct vfio_user_header header;
	unsigned char *whole;

	if (msg->header.flags & VFIO_USER_F_NO_REPLY)
		return;
	r3_vfio_user_reply(&header, &msg->header, len);
	whole = malloc(sizeof(header) + len);
	memcpy(whole, &header, sizeof(header));
	if (len)
		memcpy(whole + sizeof(header), payload, len);
	fake_server_send(server, whole, sizeof(header) + len, fds, nfds);
	free(whole);
}

void fake_server_error(struct fake_server *server, const struct r3_vfio_user_msg *msg, int err)
{
	struct vfio_user_header header;

	r3_vfio_user_error(&header, &msg->header, err);
	if (!(msg->header.flags & VFIO_USER_F_NO_REPLY))
		fake_server_send(server, &header, sizeof(header), NULL, 0);
}

int fake_server_fill(struct r3_vfio_user_inbox *inbox, struct r3_stream *stream)
{
	struct pollfd pfd = {.fd = r3_stream_fd(stream), .events = POLLIN};
	int rc;

	while ((rc = r3_vfio_user_inbox_fill(inbox, stream)) == -EAGAIN)
		poll(&pfd, 1, -1);
	return rc;
}

bool fake_server_receive(struct fake_server *server, struct r3_vfio_user_msg *msg,
			 int fds[R3_VFIO_USER_FDS])
{
	int rc;

	for (;;) {
		rc = r3_vfio_user_inbox_next(&server->inbox, msg, fds);
		if (rc)
			return rc > 0;
		rc = fake_server_fill(&server->inbox, server->stream);
		if (rc <= 0)
			return false;
	}
}

/* ---- the device ---- */

static void do_version(struct fake_server *server, const struct r3_vfio_user_msg *msg)
{
	struct {
		struct vfio_user_version version;
		char text[R3_VFIO_USER_CAPS_MAX];
	} reply = {.version = {VFIO_USER_MAJOR, VFIO_USER_MINOR}};
	size_t len = r3_vfio_user_caps_encode(&server->caps, reply.text);

	fake_server_reply(server, msg, &reply, sizeof(reply.version) + len, NULL, 0);
}

static void do_device_info(struct fake_server *server, const struct r3_vfio_user_msg *msg)
{
	struct vfio_user_device_info info = {sizeof(info), server->flags, server->nregions,
					     server->nirqs};

	fake_server_reply(server, msg, &info, sizeof(info), NULL, 0);
}

static void do_region_info(struct fake_server *server, const struct r3_vfio_user_msg *msg)
{
	unsigned char reply[R3_VFIO_USER_REGION_REPLY_MAX];
	struct vfio_region_info asked, info = {.argsz = sizeof(info)};
	const struct fake_server_region *region;
	size_t len;

	if (r3_vfio_user_get_region_info(msg, &asked) < 0 || asked.index >= server->nregions) {
		fake_server_error(server, msg, EINVAL);
		return;
	}
	region = &server->region[asked.index];
	info.index = asked.index;
	info.size = region->size;
	info.flags = region->flags;
	info.offset = region->fd_off;
	len = r3_vfio_user_put_region_info(reply, asked.argsz, &info, region->sparse);
	fake_server_reply(server, msg, reply, len, &region->fd,
			  region->flags & VFIO_REGION_INFO_FLAG_MMAP && region->fd >= 0);
}

static void do_irq_info(struct fake_server *server, const struct r3_vfio_user_msg *msg)
{
	struct vfio_irq_info asked, info;

	if (r3_vfio_user_get_irq_info(msg, &asked) < 0 || asked.index >= server->nirqs) {
		fake_server_error(server, msg, EINVAL);
		return;
	}
	info = server->irq[asked.index];
	info.argsz = sizeof(info);
	info.index = asked.index;
	fake_server_reply(server, msg, &info, sizeof(info), NULL, 0);
}

static void do_set_irqs(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	const unsigned char *bools;
	struct vfio_irq_set set;

	if (r3_vfio_user_get_set_irqs(msg, &set, &bools) < 0 || set.index >= server->nirqs ||
	    set.start + set.count > server->irq[set.index].count) {
		fake_server_error(server, msg, EINVAL);
		return;
	}
	if (!set.count)
		for (unsigned i = 0; i < 64; i++)
			r3_fd_close(&server->vector[set.index][i]);
	for (unsigned i = 0; i < set.count; i++) {
		int *vector = &server->vector[set.index][set.start + i];
		unsigned char *masked = &server->masked[set.index][set.start + i];

		if (set.flags & VFIO_IRQ_SET_DATA_EVENTFD) {
			r3_fd_close(vector);
			*vector = msg->nfds ? fds[i] : -1;
			if (msg->nfds)
				fds[i] = -1;
		}
		if (set.flags & VFIO_IRQ_SET_ACTION_MASK)
			*masked = 1;
		if (set.flags & VFIO_IRQ_SET_ACTION_UNMASK)
			*masked = 0;
	}
	fake_server_reply(server, msg, NULL, 0, NULL, 0);
}

static void do_access(struct fake_server *server, const struct r3_vfio_user_msg *msg)
{
	unsigned char reply[sizeof(struct vfio_user_region_access) + 4096];
	bool write = msg->header.cmd == VFIO_USER_REGION_WRITE;
	struct vfio_user_region_access access;
	const unsigned char *data;
	int rc = write ? r3_vfio_user_get_region_write(msg, 4096, &access, &data)
		       : r3_vfio_user_get_region_read(msg, 4096, &access);

	if (rc < 0 || access.region >= server->nregions ||
	    access.offset + access.count > server->region[access.region].size) {
		fake_server_error(server, msg, EINVAL);
		return;
	}
	unsigned char *at = server->region[access.region].bytes + access.offset;
	memcpy(reply, &access, sizeof(access));
	if (write)
		memcpy(at, data, access.count);
	else
		memcpy(reply + sizeof(access), at, access.count);
	fake_server_reply(server, msg, reply, sizeof(access) + (write ? 0 : access.count), NULL, 0);
}

static void do_write_multi(struct fake_server *server, const struct r3_vfio_user_msg *msg)
{
	struct vfio_user_write_multi multi;

	if (r3_vfio_user_get_write_multi(msg, &multi.wr_cnt) < 0) {
		fake_server_error(server, msg, EINVAL);
		return;
	}
	for (uint64_t i = 0; i < multi.wr_cnt; i++) {
		struct vfio_user_write_single write;

		if (r3_vfio_user_get_write(msg, i, &write) == 0 &&
		    write.offset + write.count <= server->region[write.region].size)
			memcpy(server->region[write.region].bytes + write.offset, write.data,
			       write.count);
	}
	fake_server_reply(server, msg, &multi, sizeof(multi), NULL, 0);
}

static void do_dma_map(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	struct vfio_user_dma_map map;

	if (r3_vfio_user_get_dma_map(msg, &map) < 0 || server->nmaps == FAKE_SERVER_MAPS) {
		fake_server_error(server, msg, EINVAL);
		return;
	}
	server->map[server->nmaps].map = map;
	server->map[server->nmaps++].fd = msg->nfds ? fds[0] : -1;
	fds[0] = -1;
	fake_server_reply(server, msg, NULL, 0, NULL, 0);
}

static void do_dma_unmap(struct fake_server *server, const struct r3_vfio_user_msg *msg)
{
	struct vfio_user_dma_unmap unmap;
	unsigned i = 0;

	if (r3_vfio_user_get_dma_unmap(msg, &unmap) == 0)
		while (i < server->nmaps && server->map[i].map.addr != unmap.addr)
			i++;
	if (i == server->nmaps) {
		fake_server_error(server, msg, ENOENT);
		return;
	}
	r3_fd_close(&server->map[i].fd);
	server->map[i] = server->map[--server->nmaps];
	fake_server_reply(server, msg, &unmap, sizeof(unmap), NULL, 0);
}

void fake_server_do(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	switch (msg->header.cmd) {
	case VFIO_USER_VERSION:
		do_version(server, msg);
		break;
	case VFIO_USER_DEVICE_GET_INFO:
		do_device_info(server, msg);
		break;
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		do_region_info(server, msg);
		break;
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		do_irq_info(server, msg);
		break;
	case VFIO_USER_DEVICE_SET_IRQS:
		do_set_irqs(server, msg, fds);
		break;
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		do_access(server, msg);
		break;
	case VFIO_USER_REGION_WRITE_MULTI:
		do_write_multi(server, msg);
		break;
	case VFIO_USER_DMA_MAP:
		do_dma_map(server, msg, fds);
		break;
	case VFIO_USER_DMA_UNMAP:
		do_dma_unmap(server, msg);
		break;
	case VFIO_USER_DEVICE_RESET:
		fake_server_reply(server, msg, NULL, 0, NULL, 0);
		break;
	default:
		fake_server_error(server, msg, ENOTSUP);
	}
}

/* ---- life ---- */

void fake_server_init(struct fake_server *server)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

	memset(server, 0, sizeof(*server));
	r3_vfio_user_caps_default(&server->caps);
	server->caps.max_msg_fds = 8;
	server->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	server->nregions = FAKE_SERVER_REGIONS;
	server->nirqs = FAKE_SERVER_IRQS;
	for (unsigned i = 0; i < FAKE_SERVER_REGIONS; i++)
		server->region[i].fd = -1;
	server->region[0].size = 16384;
	server->region[0].flags = rw;
	server->region[2].size = 32;
	server->region[2].flags = rw;
	server->region[7].size = 4096;
	server->region[7].flags = rw;
	memset(server->vector, 0xff, sizeof(server->vector));
	server->irq[0] = (struct vfio_irq_info){
		.count = 1,
		.flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED};
	server->irq[1] = (struct vfio_irq_info){.count = 32, .flags = VFIO_IRQ_INFO_EVENTFD};
	server->irq[2] = (struct vfio_irq_info){
		.count = 64, .flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE};
	server->irq[3] = server->irq[4] =
		(struct vfio_irq_info){.count = 1, .flags = VFIO_IRQ_INFO_EVENTFD};
}

static void *serve(void *arg)
{
	struct fake_server *server = arg;
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS];

	while (fake_server_receive(server, &msg, fds)) {
		if (msg.header.cmd < VFIO_USER_COMMANDS)
			atomic_fetch_add(&server->seen[msg.header.cmd], 1);
		if (!server->hook || !server->hook(server, &msg, fds))
			fake_server_do(server, &msg, fds);
		for (unsigned i = 0; i < msg.nfds; i++)
			r3_fd_close(&fds[i]);
	}
	fake_server_hang_up(server);
	return NULL;
}

static const uint32_t bars[6] = {
	R3_LE32(PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH),
	R3_LE32(1),
	R3_LE32(PCI_BASE_ADDRESS_SPACE_IO),
	0,
	0,
	0};

int fake_server_start(struct fake_server *server)
{
	int ends[2];

	for (unsigned i = 0; i < FAKE_SERVER_REGIONS; i++)
		if (server->region[i].size && !server->region[i].bytes)
			server->region[i].bytes = calloc(1, server->region[i].size);
	if (server->flags & VFIO_DEVICE_FLAGS_PCI && server->region[7].bytes)
		memcpy(server->region[7].bytes + PCI_BASE_ADDRESS_0, bars, sizeof(bars));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(r3_stream_open(ends[0], &server->stream), 0);
	server->room = malloc(ROOM);
	assert_non_null(server->room);
	r3_vfio_user_inbox_init(&server->inbox, server->room, ROOM);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	return ends[1];
}

void fake_server_hang_up(struct fake_server *server)
{
	shutdown(r3_stream_fd(server->stream), SHUT_RDWR);
}

void fake_server_stop(struct fake_server *server)
{
	pthread_join(server->thread, NULL);
	r3_vfio_user_inbox_empty(&server->inbox);
	r3_stream_close(server->stream);
	free(server->room);
	for (unsigned i = 0; i < FAKE_SERVER_REGIONS; i++) {
		free(server->region[i].bytes);
		r3_fd_close(&server->region[i].fd);
	}
	for (unsigned i = 0; i < FAKE_SERVER_IRQS; i++)
		for (unsigned j = 0; j < 64; j++)
			r3_fd_close(&server->vector[i][j]);
	while (server->nmaps)
		r3_fd_close(&server->map[--server->nmaps].fd);
}
