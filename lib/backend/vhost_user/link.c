/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to the back-end, and what it answers. Every answer is waited for, for a bounded
 * time, but one: the configuration's, when the back-end said that it changed, since that
 * happens in a dispatch. Answers come in order, so whoever waits meets that one first.
 */
#include "backend/vhost_user/vhost_user.h"
#include "util/item.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* More time for GET_VRING_BASE, or a new table of memory, which finish what is in flight. */
#define DRAIN_TIMES 4u

#define WANTED \
	(VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_MQ) | \
	 VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
	 VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
	 VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG) | \
	 VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

/* Features that are the transport's, which this one does not have, or of no use here. */
#define HIDDEN \
	(VIRTIO_FEATURE(VIRTIO_F_NOTIFY_ON_EMPTY) | VIRTIO_FEATURE(VHOST_F_LOG_ALL) | \
	 VIRTIO_FEATURE(VIRTIO_F_ANY_LAYOUT) | VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES) | \
	 VIRTIO_FEATURE(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_FEATURE(VIRTIO_F_SR_IOV) | \
	 VIRTIO_FEATURE(VIRTIO_F_NOTIFICATION_DATA) | VIRTIO_FEATURE(VIRTIO_F_NOTIF_CONFIG_DATA) | \
	 VIRTIO_FEATURE(VIRTIO_F_RING_RESET))

/* ---- the end ---- */

void vuf_lose(struct vuf_device *vuf, const char *why)
{
	const uint64_t one = 1;

	if (vuf->lost)
		return;
	r3_log(R3_LOG_WARN, "%s: the back-end is lost: %s", vuf->name, why);
	vuf->lost = true;
	r3_vhost_user_port_close(&vuf->port);
	r3_vhost_user_port_close(&vuf->channel);
	(void)!write(vuf->event, &one, sizeof(one));
	r3_device_set_gone(&vuf->base);
}

static int lost(const struct vuf_device *vuf)
{
	return r3_error_set(ENODEV, "%s: the back-end is lost", vuf->name);
}

static int lose(struct vuf_device *vuf)
{
	vuf_lose(vuf, r3_error_text());
	return lost(vuf);
}

/* ---- asking ---- */

/** Wait until the stream can be read or written. Errors: ETIMEDOUT. */
static int wait_for(struct vuf_device *vuf, short events, uint64_t deadline)
{
	struct pollfd pfd = {.fd = r3_vhost_user_port_fd(&vuf->port), .events = events};
	uint64_t now = r3_clock_now(r3_clock_system());

	/* memory has all that it will ever have */
	if (pfd.fd >= 0 && now < deadline &&
	    (poll(&pfd, 1, (int)((deadline - now) / R3_NSEC_PER_MSEC) + 1) >= 0 || errno == EINTR))
		return 0;
	return r3_error_set(ETIMEDOUT, "it does not answer");
}

static void take_config(struct vuf_device *vuf, const struct vhost_user_config *config)
{
	uint16_t queues = R3_LE16(vuf->nqueues);

	memcpy(vuf->config, config->payload, vuf->config_len);
	/* not all of them may be in use */
	if (vuf->config_len >= VIRTIO_BLK_CONFIG(num_queues) + sizeof(queues))
		memcpy(vuf->config + VIRTIO_BLK_CONFIG(num_queues), &queues, sizeof(queues));
	vuf->generation++;
}

static void begin_get_config(struct r3_vhost_user_msg *msg, uint32_t len)
{
	r3_vhost_user_begin(msg, VHOST_USER_GET_CONFIG, 0, R3_VHOST_USER_CONFIG_SIZE(len));
	msg->payload.config.size = len;
}

static void ask_for_config(struct vuf_device *vuf)
{
	struct r3_vhost_user_msg msg;

	vuf->config_stale = vuf->config_asked;
	if (vuf->config_asked)
		return; /* what comes may be older than the change: ask again then */
	begin_get_config(&msg, vuf->config_len);
	if (r3_vhost_user_port_send(&vuf->port, &msg) < 0)
		vuf_lose(vuf, "it does not listen");
	else
		vuf->config_asked = true;
}

/* The answer that nobody waits for. */
static int take_asked_config(struct vuf_device *vuf)
{
	struct r3_vhost_user_msg asked;
	int rc;

	begin_get_config(&asked, vuf->config_len);
	rc = r3_vhost_user_check_answer(R3_VHOST_USER_FRONTEND, &asked, &vuf->port.in);
	if (rc < 0)
		return rc;
	vuf->config_asked = false;
	take_config(vuf, &vuf->port.in.payload.config);
	r3_vhost_user_port_done(&vuf->port);
	vuf_raise(vuf, vuf->config_vector);
	if (vuf->config_stale)
		ask_for_config(vuf);
	return 0;
}

static int send_all(struct vuf_device *vuf, const struct r3_vhost_user_msg *msg, uint64_t deadline)
{
	int rc;

	while ((rc = r3_vhost_user_port_send(&vuf->port, msg)) == -EAGAIN) {
		rc = wait_for(vuf, POLLOUT, deadline);
		if (rc < 0)
			return rc;
	}
	while (rc == 0 && vuf->port.out_len) {
		rc = r3_vhost_user_port_flush(&vuf->port);
		if (rc == 0)
			rc = wait_for(vuf, POLLOUT, deadline);
	}
	return rc < 0 ? rc : 0;
}

static int receive(struct vuf_device *vuf, uint64_t deadline)
{
	int rc;

	for (;;) {
		rc = r3_vhost_user_port_recv(&vuf->port);
		if (rc > 0 && vuf->config_asked)
			rc = take_asked_config(vuf);
		else if (rc == 0)
			rc = wait_for(vuf, POLLIN, deadline);
		else
			return rc < 0 ? rc : 0;
		if (rc < 0)
			return rc;
	}
}

static uint64_t deadline_of(const struct vuf_device *vuf, uint32_t request)
{
	bool drains = request == VHOST_USER_GET_VRING_BASE || request == VHOST_USER_SET_MEM_TABLE ||
		      request == VHOST_USER_REM_MEM_REG;

	return r3_clock_now(r3_clock_system()) + vuf->timeout_ns * (drains ? DRAIN_TIMES : 1);
}

int vuf_ask(struct vuf_device *vuf, struct r3_vhost_user_msg *msg)
{
	uint32_t request = msg->header.request;
	uint64_t deadline = deadline_of(vuf, request);
	bool answered = r3_vhost_user_has_answer(R3_VHOST_USER_FRONTEND, request);
	int rc;

	if (vuf->lost)
		return lost(vuf);
	if (!answered && vuf_has(vuf, VHOST_USER_PROTOCOL_F_REPLY_ACK)) {
		msg->header.flags |= VHOST_USER_FLAG_NEED_REPLY;
		answered = true;
	}
	rc = send_all(vuf, msg, deadline);
	if (rc == 0 && answered)
		rc = receive(vuf, deadline);
	if (rc < 0) {
		r3_error_prefix(rc, "%s", r3_vhost_user_name(R3_VHOST_USER_FRONTEND, request));
		return lose(vuf);
	}
	if (!answered)
		return 0;
	rc = r3_vhost_user_check_answer(R3_VHOST_USER_FRONTEND, msg, &vuf->port.in);
	if (rc == -EPROTO)
		return lose(vuf);
	msg->payload = vuf->port.in.payload;
	r3_vhost_user_port_done(&vuf->port);
	return rc;
}

int vuf_ask_u64(struct vuf_device *vuf, uint32_t request, uint64_t *value)
{
	struct r3_vhost_user_msg msg;
	int rc;

	r3_vhost_user_begin(&msg, request, 0, 0);
	rc = vuf_ask(vuf, &msg);
	if (rc == 0)
		*value = msg.payload.u64;
	return rc;
}

int vuf_tell(struct vuf_device *vuf, uint32_t request)
{
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, request, 0, 0);
	return vuf_ask(vuf, &msg);
}

int vuf_tell_fd(struct vuf_device *vuf, uint32_t request, uint64_t value, int fd)
{
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, request, 0, sizeof(value));
	msg.payload.u64 = value;
	msg.nfds = fd >= 0;
	msg.fd[0] = fd;
	return vuf_ask(vuf, &msg);
}

int vuf_tell_u64(struct vuf_device *vuf, uint32_t request, uint64_t value)
{
	return vuf_tell_fd(vuf, request, value, -1);
}

int vuf_tell_state(struct vuf_device *vuf, uint32_t request, uint32_t index, uint32_t num)
{
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, request, 0, sizeof(msg.payload.state));
	msg.payload.state = (struct vhost_user_vring_state){.index = index, .num = num};
	return vuf_ask(vuf, &msg);
}

/* ---- the beginning ---- */

static int watch(struct vuf_device *vuf, const struct r3_vhost_user_port *port)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = r3_vhost_user_port_fd(port);

	if (fd >= 0 && epoll_ctl(vuf->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return r3_error_set(errno, "%s: the connection cannot be polled", vuf->name);
	return 0;
}

static int open_channel(struct vuf_device *vuf)
{
	struct r3_vhost_user_msg msg;
	struct r3_stream *stream;
	int pair[2], rc;

	if (!vuf_has(vuf, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return r3_error_set(errno, "%s: no socketpair", vuf->name);
	rc = r3_stream_open(pair[0], &stream);
	if (rc < 0) {
		close(pair[0]);
		close(pair[1]);
		return rc;
	}
	r3_vhost_user_port_open(&vuf->channel, stream);
	r3_vhost_user_begin(&msg, VHOST_USER_SET_BACKEND_REQ_FD, 0, 0);
	msg.nfds = 1;
	msg.fd[0] = pair[1];
	rc = vuf_ask(vuf, &msg);
	close(pair[1]);
	return rc < 0 ? rc : watch(vuf, &vuf->channel);
}

/* A back-end refuses to tell more of its configuration than it knows. */
static int read_config(struct vuf_device *vuf)
{
	static const uint32_t sizes[] = {
		sizeof(struct virtio_blk_config),
		VIRTIO_BLK_CONFIG(max_secure_erase_sectors),
		VIRTIO_BLK_CONFIG(max_discard_sectors),
	};
	struct r3_vhost_user_msg msg;
	int rc = -EREMOTEIO;

	for (unsigned i = 0; rc == -EREMOTEIO && i < sizeof(sizes) / sizeof(*sizes); i++) {
		begin_get_config(&msg, sizes[i]);
		vuf->config_len = sizes[i];
		rc = vuf_ask(vuf, &msg);
	}
	if (rc < 0)
		return rc;
	take_config(vuf, &msg.payload.config);
	/* qemu-storage-daemon, up to 7.2 at least, offers a limit of 0 and means none. */
	if (!r3_item_get_le(vuf->config + VIRTIO_BLK_CONFIG(size_max), 4))
		vuf->offered &= ~VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX);
	return 0;
}

static int agree_on_protocol(struct vuf_device *vuf)
{
	uint64_t protocol = 0;
	int rc = vuf_ask_u64(vuf, VHOST_USER_GET_PROTOCOL_FEATURES, &protocol);

	if (rc < 0)
		return rc;
	if (!(protocol >> VHOST_USER_PROTOCOL_F_CONFIG & 1))
		return r3_error_set(EOPNOTSUPP,
				    "%s: the back-end does not tell its configuration: it is no "
				    "vhost-user-blk device (protocol features 0x%" PRIx64 ")",
				    vuf->name, protocol);
	/* told before it holds: this message is not acknowledged */
	rc = vuf_tell_u64(vuf, VHOST_USER_SET_PROTOCOL_FEATURES, protocol & WANTED);
	vuf->protocol = protocol & WANTED;
	return rc;
}

static int count_queues(struct vuf_device *vuf, unsigned most)
{
	uint64_t n = 1;
	int rc = 0;

	if (vuf_has(vuf, VHOST_USER_PROTOCOL_F_MQ))
		rc = vuf_ask_u64(vuf, VHOST_USER_GET_QUEUE_NUM, &n);
	if (rc < 0)
		return rc;
	if (!n)
		return r3_error_set(EIO, "%s: the back-end has no queues", vuf->name);
	vuf->nqueues = n < most ? (unsigned)n : most;
	return 0;
}

int vuf_greet(struct vuf_device *vuf, unsigned most_queues)
{
	uint64_t features = 0;
	int rc = watch(vuf, &vuf->port);

	if (rc == 0)
		rc = vuf_ask_u64(vuf, VHOST_USER_GET_FEATURES, &features);
	if (rc < 0)
		return rc;
	if (!(features >> VHOST_USER_F_PROTOCOL_FEATURES & 1))
		return r3_error_set(EOPNOTSUPP,
				    "%s: the back-end is too old: it has no protocol features",
				    vuf->name);
	vuf->offered = features & ~HIDDEN;
	rc = agree_on_protocol(vuf);
	if (rc == 0)
		rc = vuf_tell(vuf, VHOST_USER_SET_OWNER);
	if (rc == 0)
		rc = count_queues(vuf, most_queues);
	if (rc == 0)
		rc = open_channel(vuf);
	return rc < 0 ? rc : read_config(vuf);
}

/* ---- what comes unasked ---- */

static void answer(struct vuf_device *vuf, const struct vhost_user_header *asked, bool done)
{
	struct r3_vhost_user_msg msg;

	if (!(asked->flags & VHOST_USER_FLAG_NEED_REPLY))
		return;
	r3_vhost_user_begin(&msg, asked->request, VHOST_USER_FLAG_REPLY, sizeof(uint64_t));
	msg.payload.u64 = !done;
	(void)r3_vhost_user_port_send(&vuf->channel, &msg);
}

static void listen_to_channel(struct vuf_device *vuf)
{
	int rc = 0;

	while (vuf->channel.stream && (rc = r3_vhost_user_port_recv(&vuf->channel)) > 0) {
		const struct r3_vhost_user_msg *in = &vuf->channel.in;
		bool known = in->header.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG;

		rc = r3_vhost_user_check(R3_VHOST_USER_BACKEND, in);
		if (rc == -EPROTO)
			break;
		if (known && rc == 0)
			ask_for_config(vuf);
		answer(vuf, &in->header, known);
		r3_vhost_user_port_done(&vuf->channel);
	}
	if (rc == -EPIPE) /* it may do without */
		r3_vhost_user_port_close(&vuf->channel);
	else if (rc < 0)
		vuf_lose(vuf, r3_error_text());
}

void vuf_listen(struct vuf_device *vuf)
{
	int rc;

	if (vuf->lost)
		return;
	rc = r3_vhost_user_port_recv(&vuf->port);
	if (rc > 0 && vuf->config_asked)
		rc = take_asked_config(vuf);
	else if (rc > 0)
		rc = r3_error_set(EPROTO, "an answer that nobody asked for");
	if (rc < 0)
		vuf_lose(vuf, r3_error_text());
	else
		listen_to_channel(vuf);
}
