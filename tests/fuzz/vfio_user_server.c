/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server of vfio-user against a client that lies. An input is a list of messages, each made
 * well and then spoilt as much as it says, with descriptors of any kind; in between, the client
 * stops reading or dies, and the device interrupts, faults or goes. Whatever comes, each command
 * has one reply, in order and well-formed; and when the client has gone the device is quiet,
 * holds no memory, and no descriptor is left.
 */
#include "peer.h"

#include "fake/fake_clock.h"
#include "fake/fake_device.h"
#include "fake/memory_stream.h"
#include "serve/vfio_user/server.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

enum { MOST_ASKED = 512, ROOM = 1 << 17 };

struct client {
	struct r3_stream *stream, *servers; /* its end, and the server's */
	struct r3_serve *serve;
	bool entered, broken; /* it has negotiated; it sent what nobody can make sense of */
	struct vfio_user_header asked[MOST_ASKED];
	unsigned nasked, nanswered;
	unsigned char got[ROOM];
	size_t ngot;
};

static struct fake_device *fake;
static uint8_t config[4096];
static struct fake_clock now;

static void have_device(void)
{
	if (fake && !fake->removed)
		return;
	if (fake)
		r3_device_close(&fake->base);
	fake = fake_device_new(NULL);
	MUST(fake);
	fake->bar[0].nareas = 1; /* of which a client must ask twice */
	fake->bar[0].area[0].off = fake->bar[0].area[0].len = 0x1000;
	MUST(fake_device_adopt(fake) == 0);
	memcpy(config, fake->config, sizeof(config));
}

/* ---- what the server says ---- */

static void check_reply(struct client *client, const struct vfio_user_header *header)
{
	const struct vfio_user_header *asked;

	/* no reply comes for what was never said, nor in another order */
	MUST(client->nanswered < client->nasked || client->broken);
	if (client->broken)
		return;
	asked = &client->asked[client->nanswered++];
	MUST((header->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY);
	MUST(header->msg_id == asked->msg_id && header->cmd == asked->cmd);
	if (header->flags & VFIO_USER_F_ERROR)
		MUST(header->msg_size == sizeof(*header));
	else
		MUST(header->error_no == 0 &&
		     (client->entered || header->cmd == VFIO_USER_VERSION));
	if (header->cmd == VFIO_USER_VERSION && !(header->flags & VFIO_USER_F_ERROR))
		client->entered = true;
}

/* Takes what is there. Returns false when the server has hung up. */
static bool listen_to(struct client *client)
{
	for (;;) {
		int fds[R3_STREAM_FDS];
		unsigned nfds = R3_STREAM_FDS;
		ssize_t n = r3_stream_recv(client->stream, client->got + client->ngot,
					   ROOM - client->ngot, fds, &nfds);
		size_t at = 0;

		if (n == -EAGAIN)
			return true;
		if (n == 0)
			return false;
		MUST(n > 0 && nfds <= 1);
		r3_stream_close_fds(fds, nfds);
		client->ngot += (size_t)n;
		while (client->ngot - at >= sizeof(struct vfio_user_header)) {
			struct vfio_user_header header;

			memcpy(&header, client->got + at, sizeof(header));
			MUST(header.msg_size >= sizeof(header) && header.msg_size <= ROOM);
			if (client->ngot - at < header.msg_size)
				break;
			check_reply(client, &header);
			at += header.msg_size;
		}
		memmove(client->got, client->got + at, client->ngot - at);
		client->ngot -= at;
	}
}

/* ---- what the client says ---- */

/* A payload such as the command has. Returns its length. */
static size_t make_payload(struct input *in, unsigned cmd, unsigned char *out)
{
	struct vfio_user_dma_map map = {sizeof(map), 3, 0, 0x100000, 0x4000};
	struct vfio_user_dma_unmap unmap = {sizeof(unmap), 0, 0x100000, 0x4000};
	struct vfio_user_device_info device = {.argsz = sizeof(device)};
	struct vfio_region_info region = {.argsz = 96};
	struct vfio_user_region_io_fds io = {.argsz = 96};
	struct vfio_irq_info irq = {.argsz = sizeof(irq)};
	struct vfio_irq_set set = {.argsz = sizeof(set), .count = 1};
	struct vfio_user_region_access access = {.count = 4};
	struct vfio_user_write_multi multi = {.wr_cnt = 2};
	struct vfio_user_write_single single = {.count = 4};
	struct vfio_user_version version = {0, 1};
	uint8_t what = take8(in);
	size_t data = 0;

#define MADE(part) (memcpy(out, &(part), sizeof(part)), sizeof(part))
	switch (cmd) {
	case VFIO_USER_VERSION:
		data = what;
		memset(out + sizeof(version), '{', data);
		for (size_t i = 0; i < data && in->left; i++)
			out[sizeof(version) + i] = take8(in);
		return MADE(version) + data;
	case VFIO_USER_DMA_MAP:
		map.addr += (what & 7) * 0x2000u;
		map.size = (what >> 3 & 3) * 0x2000u;
		map.flags = what >> 5 & 3;
		return MADE(map);
	case VFIO_USER_DMA_UNMAP:
		unmap.addr += (what & 7) * 0x2000u;
		unmap.size = (what >> 3 & 3) * 0x2000u;
		if (what & 0x80) {
			unmap.flags = what >> 5 & 3;
			unmap.addr = unmap.size = 0;
		}
		return MADE(unmap);
	case VFIO_USER_DEVICE_GET_INFO:
		return MADE(device);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		region.index = what & 15;
		region.argsz = what & 16 ? 96 : 32;
		return MADE(region);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		io.index = what & 15;
		return MADE(io);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		irq.index = what & 7;
		return MADE(irq);
	case VFIO_USER_DEVICE_SET_IRQS:
		set.index = what & 7;
		set.flags = 1u << (what >> 3 & 3) % 3 | 8u << (what >> 5 & 3) % 3;
		set.start = take8(in) % 65;
		set.count = take8(in) % 18;
		if (set.flags & VFIO_IRQ_SET_DATA_BOOL) {
			data = set.count;
			memset(out + sizeof(set), 1, data);
		}
		set.argsz = (uint32_t)(sizeof(set) + data);
		return MADE(set) + data;
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
	case VFIO_USER_DMA_READ: /* not a client's to say */
	case VFIO_USER_DMA_WRITE:
		access.region = what & 15;
		access.count = 1 + (what >> 4);
		access.offset = take16(in);
		if (what == 0xff)
			access.count = take16(in);
		if (cmd == VFIO_USER_REGION_WRITE) {
			data = access.count;
			memset(out + sizeof(access), take8(in), data);
		}
		return MADE(access) + data;
	case VFIO_USER_REGION_WRITE_MULTI:
		single.region = what & 15;
		single.offset = take16(in);
		memcpy(out + sizeof(multi), &single, sizeof(single));
		single.offset += 4;
		memcpy(out + sizeof(multi) + sizeof(single), &single, sizeof(single));
		return MADE(multi) + 2 * sizeof(single);
	case VFIO_USER_DEVICE_RESET:
		return 0;
	default:
		memset(out, 0, what);
		memcpy(out, &what, 1);
		return what;
	}
#undef MADE
}

static void send_bytes(struct client *client, const void *bytes, size_t len, const int *fds,
		       unsigned nfds)
{
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};

	/* it may have hung up, with reason */
	if (len)
		r3_stream_send(client->stream, &iov, 1, fds, nfds);
}

/* One message: a command, and in which ways it is spoilt. */
static void say(struct client *client, struct input *in, unsigned cmd, uint8_t how)
{
	static unsigned char message[1 << 17];
	struct vfio_user_header header;
	size_t len = make_payload(in, cmd, message + sizeof(header));
	int fds[R3_STREAM_FDS];
	unsigned nfds = 0;

	if (how & 1)
		for (unsigned n = 1 + take8(in) % 4; n; n--)
			spoil(in, message + sizeof(header), len);
	if (how & 2)
		len = number(in) % 4096;
	if (how & 4 || cmd == VFIO_USER_DMA_MAP || cmd == VFIO_USER_DEVICE_SET_IRQS) {
		uint8_t what = take8(in);

		for (nfds = 0; nfds < what % 20; nfds++)
			fds[nfds] = fd_of_kind(what / 20 + (how & 8 ? nfds : 0));
	}
	r3_vfio_user_request(&header, (uint16_t)client->nasked, cmd, len);
	if (how & 16)
		header.flags |= VFIO_USER_F_NO_REPLY;
	if (how & 32) {
		spoil(in, (unsigned char *)&header, sizeof(header));
		client->broken = true; /* who knows what that is now */
	}
	memcpy(message, &header, sizeof(header));
	if (how & 16 && cmd == VFIO_USER_VERSION)
		client->entered = true; /* it may have */
	if (!(how & 16) && !client->broken && client->nasked < MOST_ASKED)
		client->asked[client->nasked++] = header;
	if (how & 64) { /* in two pieces */
		size_t first = 1 + take8(in) % (sizeof(header) + len);

		send_bytes(client, message, first, fds, nfds);
		r3_serve_dispatch(client->serve);
		send_bytes(client, message + first, sizeof(header) + len - first, NULL, 0);
	} else {
		send_bytes(client, message, sizeof(header) + len, fds, nfds);
	}
}

/* ---- what happens beside ---- */

static void happen(struct client *client, struct input *in)
{
	uint8_t what = take8(in);
	uint64_t detail;

	switch (what & 7) {
	case 0:
		fake_device_raise(fake, what >> 3 & 3, what >> 5);
		break;
	case 1:
		fake_device_lower(fake);
		break;
	case 2:
		fake_device_event(fake, R3_EVENT_ERROR + (what >> 7), what);
		break;
	case 3: /* it reads nothing more, for a while or for ever */
		memory_stream_limit(client->servers, what >> 3);
		break;
	case 4:
		memory_stream_limit(client->servers, SIZE_MAX);
		break;
	case 5:
		now.now += (uint64_t)(what >> 3) * R3_NSEC_PER_SEC / 4;
		break;
	case 6: /* the device transfers */
		detail = 0x100000 + (uint64_t)(what >> 3) * 0x1000;
		if (fake_device_reach(fake, detail, 1, R3_DMA_DEVICE_WRITE))
			*(char *)fake_device_reach(fake, detail, 1, R3_DMA_DEVICE_WRITE) = 1;
		break;
	case 7:
		if (what == 0xff)
			fake_device_remove(fake);
		break;
	}
}

/* ---- after it ---- */

static void must_be_quiet(void)
{
	if (fake->removed)
		return;
	MUST(fake->nirqs == 0);
	MUST(!(fake->config[PCI_COMMAND] & PCI_COMMAND_MASTER));
	for (unsigned i = 0; i < FAKE_MAPS; i++)
		MUST(!fake->map[i].len);
	memcpy(fake->config, config, sizeof(config));
	fake->intx_up = false;
	for (unsigned i = 0; i < FAKE_VECTORS; i++)
		fake->vector[i].pending = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct client client;
	struct input in = {data, len};
	struct r3_serve_opts opts = {.size = sizeof(opts), .max_maps = 6, .max_fds = 20};
	struct r3_stream *ends[2];
	int before;

	have_device();
	for (unsigned i = 0; i < FD_KINDS; i++)
		fd_of_kind(i);
	before = lowest_fd();
	now = fake_clock(0);
	opts.clock = &now.base;
	opts.on_disconnect = take8(&in) & 1;
	memset(&client, 0, offsetof(struct client, asked));
	client.nasked = client.nanswered = 0;
	client.ngot = 0;
	MUST(memory_stream_pair(ends));
	client.stream = ends[0];
	client.servers = ends[1];
	MUST(r3_serve_open_stream(&fake->base, ends[1], "fuzz", &opts, &client.serve) == 0);
	if (len & 1) { /* most clients begin well */
		struct input empty = {NULL, 0};

		say(&client, &empty, VFIO_USER_VERSION, 0);
	}
	while (in.left) {
		uint8_t cmd = take8(&in);

		if (cmd >= 0xe0)
			happen(&client, &in);
		else
			say(&client, &in, cmd % 20, take8(&in));
		r3_serve_dispatch(client.serve);
		if (!listen_to(&client))
			break;
	}
	r3_stream_close(client.stream);
	r3_serve_dispatch(client.serve);
	r3_serve_dispatch(client.serve);
	if (!fake->removed)
		MUST(!r3_serve_dead(client.serve));
	r3_serve_close(client.serve);
	must_be_quiet();
	MUST(lowest_fd() == before);
	return 0;
}
