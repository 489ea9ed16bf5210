/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user back-end against a front-end that lies, by its messages and in the memory that
 * both sides share. An input is a list of steps: messages, made well and then spoilt; chains
 * of descriptors, likewise; scribbling. Whatever comes, every answer is well-formed, every
 * dispatch ends, and when the front-end has gone no descriptor is left.
 */
#include "peer.h"

#include "class/scheme.h"
#include "fake/memory_stream.h"
#include "serve/vhost_user/vhost_user.h"

#include <errno.h>
#include <ring3/spec/virtio_ring.h>

/* Where things are in the shared memory. */
enum { MEM = 0x4000, DESC = 0, AVAIL = 0x400, USED = 0x800, DATA = 0x1000, ENTRIES = 8 };
#define USER   UINT64_C(0x7f0000000000) /* its user addresses; guest addresses begin at 0 */
#define QUEUES 2

struct frontend {
	struct r3_stream *stream;
	struct r3_serve_block *serve;
	unsigned pushed;
};

static unsigned char *shared;
static struct r3_block *block;

static void prepare(void)
{
	const struct r3_params null = {.head = "64K"};
	const struct r3_block_opts opts = {.size = sizeof(opts)};

	if (block)
		return;
	/* not by its address: the rest of the library would only be in the fuzzer's way */
	MUST(r3_block_null.open(&null, &opts, &block) == 0);
	shared = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of_kind(FD_SEALED), 0);
	MUST(shared != MAP_FAILED);
}

/* ---- messages ---- */

static void say(struct frontend *fe, const struct r3_vhost_user_msg *msg, const int *fds,
		unsigned nfds)
{
	struct iovec iov[2] = {
		{.iov_base = (void *)&msg->header, .iov_len = sizeof(msg->header)},
		{.iov_base = (void *)&msg->payload, .iov_len = msg->header.size},
	};

	if (iov[1].iov_len > sizeof(msg->payload))
		iov[1].iov_len = sizeof(msg->payload);
	/* it may have hung up, with reason */
	r3_stream_send(fe->stream, iov, iov[1].iov_len ? 2 : 1, fds, nfds);
}

/* A message such as the request has; how many descriptors go with it, and of which kind. */
static void make(struct input *in, uint32_t request, struct r3_vhost_user_msg *msg, unsigned *nfds,
		 unsigned *kind)
{
	uint8_t what = take8(in);
	uint32_t queue = what % (QUEUES + 1);

	*nfds = 0;
	*kind = FD_EVENT;
	r3_vhost_user_begin(msg, request, 0, 8);
	switch (request) {
	case VHOST_USER_SET_FEATURES:
		msg->payload.u64 = what & 1 ? 0 : VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
		msg->payload.u64 |= what & 2 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0;
		msg->payload.u64 |= what & 4 ? VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) : 0;
		msg->payload.u64 |= what & 8 ? VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) : 0;
		msg->payload.u64 |= what & 16 ? VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES) : 0;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		msg->payload.u64 = what & 128 ? number(in) : vub_protocol_features;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		r3_vhost_user_begin(msg, request, 0, R3_VHOST_USER_MEMORY_SIZE(1));
		msg->payload.memory.nregions = 1;
		msg->payload.memory.region[0] =
			(struct vhost_user_memory_region){.size = MEM, .user_address = USER};
		*nfds = 1;
		*kind = FD_SEALED;
		break;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		r3_vhost_user_begin(msg, request, 0, sizeof(msg->payload.single));
		msg->payload.single.region = (struct vhost_user_memory_region){
			.guest_address = (what & 3) * (uint64_t)MEM,
			.size = MEM,
			.user_address = USER + (what & 3) * (uint64_t)MEM};
		*nfds = request == VHOST_USER_ADD_MEM_REG;
		*kind = FD_SEALED;
		break;
	case VHOST_USER_SET_VRING_NUM:
		msg->payload.state = (struct vhost_user_vring_state){queue, ENTRIES};
		break;
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
		msg->payload.state = (struct vhost_user_vring_state){queue, what >> 4};
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		msg->payload.state = (struct vhost_user_vring_state){queue, what < 128};
		break;
	case VHOST_USER_SET_VRING_ADDR:
		r3_vhost_user_begin(msg, request, 0, sizeof(msg->payload.addr));
		msg->payload.addr = (struct vhost_user_vring_addr){.index = queue,
								   .descriptor = USER + DESC,
								   .used = USER + USED,
								   .available = USER + AVAIL};
		break;
	case VHOST_USER_SET_VRING_KICK:
		*nfds = what < 0xf0;
		/* else it is polled, which is slow */
		msg->payload.u64 = queue | (*nfds ? 0 : VHOST_USER_VRING_NOFD);
		break;
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		msg->payload.u64 = queue;
		*nfds = 1;
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		r3_vhost_user_begin(msg, request, 0, 0);
		*nfds = 1;
		*kind = FD_SOCKET;
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		r3_vhost_user_begin(msg, request, 0, R3_VHOST_USER_CONFIG_SIZE(60));
		msg->payload.config.size = 60;
		break;
	case VHOST_USER_SET_STATUS:
	case VHOST_USER_SET_LOG_BASE:
	case VHOST_USER_IOTLB_MSG:
		msg->payload.u64 = what;
		break;
	default:
		r3_vhost_user_begin(msg, request, 0, 0);
		break;
	}
}

static void message(struct frontend *fe, struct input *in, uint32_t request, uint8_t how)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};
	int fds[R3_STREAM_FDS];
	unsigned nfds, kind;

	make(in, request, &msg, &nfds, &kind);
	if (how & 1)
		for (unsigned n = 1 + take8(in) % 3; n; n--)
			spoil(in, (unsigned char *)&msg.payload, msg.header.size);
	if (how & 2)
		spoil(in, (unsigned char *)&msg.header, sizeof(msg.header));
	if (how & 4) {
		uint8_t what = take8(in);

		nfds = what % 12;
		kind = what / 12;
	}
	if (how & 8)
		msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
	for (unsigned i = 0; i < nfds; i++)
		fds[i] = fd_of_kind(kind + (how & 16 ? i : 0));
	say(fe, &msg, fds, nfds);
}

/* What an honest front-end begins with, so that more than messages is looked at. */
static void set_up(struct frontend *fe, struct input *in)
{
	static const uint32_t order[] = {
		VHOST_USER_SET_OWNER,      VHOST_USER_SET_FEATURES,   VHOST_USER_SET_MEM_TABLE,
		VHOST_USER_SET_VRING_NUM,  VHOST_USER_SET_VRING_ADDR, VHOST_USER_SET_VRING_BASE,
		VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_ENABLE,
	};
	uint8_t features = take8(in);

	for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++) {
		struct input one = {&features, order[i] == VHOST_USER_SET_FEATURES};

		message(fe, &one, order[i], 0);
	}
}

/* ---- the ring ---- */

static void put16(size_t at, uint16_t value)
{
	memcpy(shared + at % (MEM - 1), &value, sizeof(value));
}

/* A request in a chain of three: header, data, status; spoilt a little, or not. */
static void push(struct frontend *fe, struct input *in)
{
	uint8_t what = take8(in);
	unsigned head = what % 2 * 4;
	struct virtio_blk_req header = {.type = what >> 1 & 15};
	struct virtq_desc desc[3] = {
		{DATA, sizeof(header), VIRTQ_DESC_F_NEXT, (uint16_t)(head + 1)},
		{DATA + 0x200, 512, VIRTQ_DESC_F_NEXT, (uint16_t)(head + 2)},
		{DATA + 0x100, 1, VIRTQ_DESC_F_WRITE, 0},
	};

	if (!(header.type & 1)) /* the device writes */
		desc[1].flags |= VIRTQ_DESC_F_WRITE;
	header.sector = what >> 5;
	if (what & 128)
		for (unsigned n = 1 + take8(in) % 4; n; n--)
			spoil(in, (unsigned char *)desc, sizeof(desc));
	memcpy(shared + DATA, &header, sizeof(header));
	memcpy(shared + DESC + head * sizeof(*desc), desc, sizeof(desc));
	put16(AVAIL + 4 + fe->pushed++ % ENTRIES * 2, (uint16_t)head);
	put16(AVAIL + 2, (uint16_t)fe->pushed);
	eventfd_write(fd_of_kind(FD_EVENT), 1);
}

/* ---- what it says ---- */

/* Takes what is there. Returns false when the back-end has hung up. */
static bool listen_to(struct frontend *fe)
{
	static unsigned char got[1 << 16];
	struct vhost_user_header header;
	int fds[R3_STREAM_FDS];
	unsigned nfds = R3_STREAM_FDS;
	ssize_t n = r3_stream_recv(fe->stream, got, sizeof(got), fds, &nfds);

	if (n == 0)
		return false;
	if (n == -EAGAIN)
		return true;
	MUST(n > 0 && nfds == 0);
	/* nobody limits what it sends, so answers are whole */
	for (size_t at = 0; at < (size_t)n; at += sizeof(header) + header.size) {
		MUST((size_t)n - at >= sizeof(header));
		memcpy(&header, got + at, sizeof(header));
		MUST((header.flags & VHOST_USER_VERSION_MASK) == VHOST_USER_VERSION);
		MUST(header.flags & VHOST_USER_FLAG_REPLY);
		MUST(header.size <= (size_t)n - at - sizeof(header));
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct r3_serve_block_opts opts = {.size = sizeof(opts), .queues = QUEUES};
	struct input in = {data, len};
	struct frontend fe = {.pushed = 0};
	struct r3_stream *ends[2];
	eventfd_t kicks;
	int before;

	for (unsigned i = 0; i < FD_KINDS; i++)
		fd_of_kind(i);
	prepare();
	memset(shared, 0, DATA + 0x400);
	before = lowest_fd();
	MUST(memory_stream_pair(ends));
	fe.stream = ends[0];
	MUST(vub_open_stream(block, ends[1], &opts, &fe.serve) == 0);
	while (in.left) {
		uint8_t step = take8(&in);

		if (step < 0x80)
			message(&fe, &in, step % 46, take8(&in));
		else if (step < 0xa0)
			set_up(&fe, &in);
		else if (step < 0xe0)
			push(&fe, &in);
		else
			put16(take16(&in) % DATA, take16(&in));
		r3_serve_block_dispatch(fe.serve);
		if (!listen_to(&fe))
			break;
	}
	r3_stream_close(fe.stream);
	r3_serve_block_dispatch(fe.serve);
	r3_serve_block_close(fe.serve);
	(void)!eventfd_read(fd_of_kind(FD_EVENT), &kicks);
	MUST(lowest_fd() == before);
	return 0;
}
