/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client of vfio-user against a server that lies. An input says what the driver does with
 * the device, and what becomes of each reply: honest, spoilt, too late, none, with descriptors
 * that nobody asked for, or behind requests of the server's for memory. Whatever comes, calls
 * end, the server reaches no memory but what is mapped for it, and no descriptor is left.
 */
#include "driver.h"

#include "backend/vfio_user/backend.h"
#include "fake/memory_stream.h"
#include "wire/vfio_user.h"

#include <errno.h>
#include <ring3/error.h>
#include <stdlib.h>

enum { ROOM = 1 << 18, MEM = 0x3000, MAPS = 4 };

struct server {
	struct r3_stream stream; /* the client's */
	struct r3_stream *ends[2];
	struct input *in;
	int ready;
	unsigned char said[ROOM]; /* by the client */
	size_t nsaid;
	unsigned char late[4096]; /* a reply that is held back */
	size_t nlate;
	uint16_t id;   /* of its own requests */
	uint8_t shape; /* of its device */
	struct {
		uint64_t iova, len; /* len 0: not mapped */
		unsigned prot;
	} map[MAPS];
};

static struct r3_mem *mem;

/* ---- what it says ---- */

static void send_out(struct server *server, const void *bytes, size_t len, const int *fds,
		     unsigned nfds)
{
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};

	if (server->ends[1] && len)
		r3_stream_send(server->ends[1], &iov, 1, fds, nfds);
}

static void hang_up(struct server *server)
{
	r3_stream_close(server->ends[1]);
	server->ends[1] = NULL;
}

static size_t honest_version(struct server *server, unsigned char *out, unsigned *nfds, int *fds)
{
	static const char *const said[] = {
		"{}",
		"{\"capabilities\":{\"max_msg_fds\":8,\"write_multiple\":true}}",
		"{\"capabilities\":{\"max_msg_fds\":1,\"max_dma_maps\":2,\"pgsizes\":4096}}",
		"{\"capabilities\":{\"ring3\":{\"iova\":[[4096,1099511627775]]}}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}",
		"{\"capabilities\":{\"max_data_xfer_size\":8,\"write_multiple\":true}}",
	};
	unsigned which = take8(server->in) % 8;
	const struct vfio_user_version version = {0, 1};

	memcpy(out, &version, sizeof(version));
	if (which >= sizeof(said) / sizeof(*said))
		return sizeof(version);
	if (which == 4)
		fds[(*nfds)++] = fd_of_kind(FD_SOCKET);
	strcpy((char *)out + sizeof(version), said[which]);
	return sizeof(version) + strlen(said[which]) + 1;
}

static size_t honest_region(const struct vfio_region_info *asked, unsigned char *out,
			    unsigned *nfds, int *fds)
{
	static const struct r3_vfio_user_sparse sparse = {2, {{0, 0x1000}, {0x2000, 0x1000}}};
	struct vfio_region_info info = {.index = asked->index};

	switch (asked->index) {
	case 0:
		info.size = 0x4000;
		info.flags = 7;
		if (asked->argsz > 80)
			fds[(*nfds)++] = fd_of_kind(FD_SEALED);
		break;
	case 2:
		info.size = 0x1000;
		info.flags = 3;
		break;
	case 7:
		info.size = 0x1000;
		info.flags = 3;
		break;
	}
	return r3_vfio_user_put_region_info(out, asked->argsz, &info,
					    asked->index ? NULL : &sparse);
}

static size_t honest_io_fds(const struct vfio_user_region_io_fds *asked, unsigned char *out,
			    unsigned *nfds, int *fds)
{
	struct vfio_user_region_io_fds info = {sizeof(info), 0, asked->index, 0};
	const struct vfio_user_sub_region sub = {.offset = 0x100, .size = 4};

	if (asked->index == 2) {
		info.count = 1;
		info.argsz += (uint32_t)sizeof(sub);
		memcpy(out + sizeof(info), &sub, sizeof(sub));
		fds[(*nfds)++] = fd_of_kind(FD_EVENT);
	}
	memcpy(out, &info, sizeof(info));
	return info.argsz;
}

/* The payload that an honest server would answer. Returns its length. */
static size_t honest(struct server *server, const struct vfio_user_header *header,
		     const unsigned char *asked, unsigned char *out, unsigned *nfds, int *fds)
{
	static const uint32_t vectors[] = {1, 32, 64, 1, 1};
	struct vfio_user_device_info device = {sizeof(device), 1, 9, server->shape % 8 % 6};
	struct vfio_region_info region;
	struct vfio_user_region_io_fds io;
	struct vfio_irq_info irq;
	struct vfio_user_region_access access;

	switch (header->cmd) {
	case VFIO_USER_VERSION:
		return honest_version(server, out, nfds, fds);
	case VFIO_USER_DMA_UNMAP:
		memcpy(out, asked, sizeof(struct vfio_user_dma_unmap));
		return sizeof(struct vfio_user_dma_unmap);
	case VFIO_USER_DEVICE_GET_INFO:
		if (server->shape & 8)
			device.flags |= VFIO_DEVICE_FLAGS_PCI;
		memcpy(out, &device, sizeof(device));
		return sizeof(device);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		memcpy(&region, asked, sizeof(region));
		return honest_region(&region, out, nfds, fds);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		memcpy(&io, asked, sizeof(io));
		return honest_io_fds(&io, out, nfds, fds);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		memcpy(&irq, asked, sizeof(irq));
		irq.count = vectors[irq.index % 5];
		irq.flags = irq.index ? 1 : 7;
		memcpy(out, &irq, sizeof(irq));
		return sizeof(irq);
	case VFIO_USER_REGION_READ:
		memcpy(&access, asked, sizeof(access));
		MUST(access.count <= 65536);
		memcpy(out, asked, sizeof(access));
		memset(out + sizeof(access), take8(server->in), access.count);
		return sizeof(access) + access.count;
	case VFIO_USER_REGION_WRITE:
		memcpy(out, asked, sizeof(access));
		return sizeof(access);
	case VFIO_USER_REGION_WRITE_MULTI:
		memcpy(out, asked, 8);
		return 8;
	default:
		return 0;
	}
}

/* A request for the client's memory. */
static void ask_memory(struct server *server)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
		unsigned char data[256];
	} request = {.access.count = 16};
	uint8_t what = take8(server->in);
	bool write = what & 1;

	request.access.addr = 0x100000 + (uint64_t)(what >> 2) * 0x800;
	request.access.addr += take8(server->in);
	if (what & 2)
		request.access.count = number(server->in) % 300;
	memset(request.data, 0xee, sizeof(request.data));
	r3_vfio_user_request(&request.header, server->id++,
			     write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
			     sizeof(request.access) + (write ? request.access.count % 257 : 0));
	if (take8(server->in) > 200)
		spoil(server->in, (unsigned char *)&request, 32);
	send_out(server, &request,
		 request.header.msg_size < sizeof(request) ? request.header.msg_size
							   : sizeof(request),
		 NULL, 0);
}

static void answer(struct server *server, const struct vfio_user_header *asked,
		   const unsigned char *payload)
{
	static unsigned char out[1 << 17];
	struct vfio_user_header header;
	int fds[R3_STREAM_FDS];
	unsigned nfds = 0;
	size_t len = honest(server, asked, payload, out + sizeof(header), &nfds, fds);
	uint8_t how = take8(server->in);

	if (how == 0xff) {
		hang_up(server);
		return;
	}
	how = how < 128 ? 0 : how; /* half of them are honest */
	if (how & 1)
		for (unsigned n = 1 + take8(server->in) % 4; n; n--)
			spoil(server->in, out + sizeof(header), len);
	if (how & 2 && how & 4)
		len = number(server->in) % 5000;
	r3_vfio_user_reply(&header, asked, len);
	if (how & 4 && !(how & 2)) {
		r3_vfio_user_error(&header, asked, take8(server->in));
		len = 0;
	}
	if (how & 8)
		for (uint8_t what = take8(server->in), n = what % 20; nfds < n; nfds++)
			fds[nfds] = fd_of_kind(what / 20 + nfds);
	if (how & 16)
		spoil(server->in, (unsigned char *)&header, sizeof(header));
	if (how & 32)
		for (unsigned n = take8(server->in) % 4; n; n--)
			ask_memory(server);
	memcpy(out, &header, sizeof(header));
	len += sizeof(header);
	if (how & 64 && !server->nlate && len <= sizeof(server->late)) {
		memcpy(server->late, out, len); /* its descriptors are never sent */
		server->nlate = len;
		return;
	}
	send_out(server, out, len, fds, nfds);
	send_out(server, server->late, server->nlate, NULL, 0);
	server->nlate = 0;
}

/* ---- what it hears ---- */

/* No two pieces touch: what is mapped at all lies in one. */
static bool mapped(const struct server *server, uint64_t addr, uint64_t len, unsigned prot)
{
	for (unsigned i = 0; i < MAPS; i++) {
		uint64_t at = addr - server->map[i].iova;

		if (at < server->map[i].len && len <= server->map[i].len - at)
			return server->map[i].prot & prot;
	}
	return false;
}

/* The client answers: it must have been honest. */
static void check_answer(const struct server *server, const struct vfio_user_header *header,
			 const unsigned char *payload)
{
	struct vfio_user_dma_region_access access;

	if (header->flags & VFIO_USER_F_ERROR) {
		MUST(header->msg_size == sizeof(*header));
		return;
	}
	MUST(header->cmd == VFIO_USER_DMA_READ || header->cmd == VFIO_USER_DMA_WRITE);
	memcpy(&access, payload, sizeof(access));
	MUST(mapped(server, access.addr, access.count,
		    header->cmd == VFIO_USER_DMA_READ ? R3_DMA_DEVICE_READ : R3_DMA_DEVICE_WRITE));
}

static ssize_t hear(struct r3_stream *stream, const struct iovec *iov, unsigned niov,
		    const int *fds, unsigned nfds)
{
	struct server *server = (struct server *)stream;
	size_t len = 0, at = 0;

	if (!server->ends[1])
		return -EPIPE;
	for (unsigned i = 0; i < niov; i++) {
		MUST(server->nsaid + iov[i].iov_len <= ROOM);
		memcpy(server->said + server->nsaid, iov[i].iov_base, iov[i].iov_len);
		server->nsaid += iov[i].iov_len;
		len += iov[i].iov_len;
	}
	while (server->nsaid - at >= sizeof(struct vfio_user_header)) {
		const unsigned char *payload = server->said + at + sizeof(struct vfio_user_header);
		struct vfio_user_header header;

		memcpy(&header, server->said + at, sizeof(header));
		MUST(header.msg_size >= sizeof(header) && header.msg_size <= ROOM);
		if (server->nsaid - at < header.msg_size)
			break;
		if (r3_vfio_user_is_reply(&header))
			check_answer(server, &header, payload);
		else if (!(header.flags & VFIO_USER_F_NO_REPLY))
			answer(server, &header, payload);
		at += header.msg_size;
	}
	server->nsaid -= at;
	memmove(server->said, server->said + at, server->nsaid);
	return (ssize_t)len;
}

static ssize_t pass(struct r3_stream *stream, void *buf, size_t len, int *fds, unsigned *nfds)
{
	return r3_stream_recv(((struct server *)stream)->ends[0], buf, len, fds, nfds);
}

/* Something to wait for, where waiting ends at once. */
static int ready_fd(const struct r3_stream *stream)
{
	const struct server *server = (const struct server *)stream;

	return !server->ends[1] || memory_stream_waiting(server->ends[0]) ? server->ready : -1;
}

static void lose_client(struct r3_stream *stream)
{
	struct server *server = (struct server *)stream;

	r3_stream_close(server->ends[0]);
	server->ends[0] = NULL;
}

static const struct r3_stream_ops ops = {
	.send = hear,
	.recv = pass,
	.fd = ready_fd,
	.close = lose_client,
};

/* ---- what the driver does ---- */

static void map_memory(struct r3_device *dev, struct server *server, struct input *in)
{
	uint8_t what = take8(in);
	unsigned i = what % MAPS, n = 1;
	struct r3_dma_extent extent = {.iova = 0x100000 + i * 0x2000u};

	if (server->map[i].len) {
		if (dev->ops->dma_unmap(dev, server->map[i].iova, server->map[i].len) == 0)
			server->map[i].len = 0;
		return;
	}
	/* it may be asked for at once */
	server->map[i].iova = extent.iova;
	server->map[i].len = 0x1000;
	server->map[i].prot = 1 + (what >> 2) % 3;
	if (dev->ops->dma_map(dev, mem, 0x1000, 0x1000, server->map[i].prot, &extent, &n) < 0)
		server->map[i].len = 0;
}

static void drive(struct r3_device *dev, struct server *server, struct input *in)
{
	struct r3_irq_set *irq = NULL;
	struct r3_event events[4];

	while (in->left) {
		switch (take8(in) % 7) {
		case 0:
		case 1:
			access_region(dev, in);
			break;
		case 2:
			map_memory(dev, server, in);
			break;
		case 3:
			interrupts(dev, &irq, in);
			break;
		case 4:
			r3_device_reset(dev, R3_RESET_ANY);
			break;
		case 5:
			r3_device_dispatch(dev, events, 4);
			break;
		case 6:
			ask_memory(server);
			break;
		}
	}
	r3_irq_disable(irq);
	for (unsigned i = 0; i < MAPS; i++)
		if (server->map[i].len)
			dev->ops->dma_unmap(dev, server->map[i].iova, server->map[i].len);
	r3_device_close(dev);
}

/* Only the second page of the memory was ever mapped. */
static void memory_must_be_whole(void)
{
	static const unsigned char zeroes[0x1000];
	const unsigned char *at = r3_mem_addr(mem);

	MUST(!memcmp(at, zeroes, 0x1000) && !memcmp(at + 0x2000, zeroes, 0x1000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct server server;
	struct input in = {data, len};
	struct r3_device *dev;
	int before;

	if (!mem)
		MUST(r3_mem_create("fuzz", MEM, 0, &mem) == 0);
	for (unsigned i = 0; i < FD_KINDS; i++)
		fd_of_kind(i);
	if (!server.ready)
		server.ready = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	before = lowest_fd();
	server.stream.ops = &ops;
	server.in = &in;
	server.shape = take8(&in);
	server.nsaid = server.nlate = server.id = 0;
	memset(server.map, 0, sizeof(server.map));
	MUST(memory_stream_pair(server.ends));
	if (r3_vfio_user_open_stream(&server.stream, "fuzz", 1, NULL, &dev) == 0 &&
	    r3_device_adopt(dev, "vfio-user:fd:99") == 0)
		drive(dev, &server, &in);
	MUST(!server.ends[0]);
	hang_up(&server);
	memory_must_be_whole();
	MUST(lowest_fd() == before);
	return 0;
}
