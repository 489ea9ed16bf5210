/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/vhost_user/test_rig.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t all_protocol(void)
{
	return VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_MQ) |
	       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
	       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
	       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG) |
	       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
	       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_STATUS);
}

void rig_init(struct rig *rig)
{
	*rig = (struct rig){
		.features = VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
			    VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES) |
			    VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) |
			    VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) |
			    VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_FEATURE(VIRTIO_BLK_F_MQ),
		.protocol = all_protocol(),
		.queues = 2,
		.config = {.capacity = R3_LE64(2048),
			   .seg_max = R3_LE32(16),
			   .blk_size = R3_LE32(512),
			   .num_queues = R3_LE16(2)},
		.config_most = sizeof(struct virtio_blk_config),
		.kick = -1,
		.call = -1,
		.err = -1,
		.channel = -1,
	};
}

static void keep_fd(int *at, struct r3_vhost_user_port *port)
{
	if (*at >= 0)
		close(*at);
	*at = port->in.nfds ? r3_vhost_user_port_take(port, 0) : -1;
}

static void note(struct rig *rig, struct r3_vhost_user_port *port)
{
	uint32_t request = port->in.header.request;

	pthread_mutex_lock(&rig->lock);
	if (rig->nheard < sizeof(rig->heard) / sizeof(rig->heard[0]))
		rig->heard[rig->nheard++] = (struct heard){request, port->in.nfds, port->in};
	if (request == VHOST_USER_SET_VRING_KICK)
		keep_fd(&rig->kick, port);
	if (request == VHOST_USER_SET_VRING_CALL)
		keep_fd(&rig->call, port);
	if (request == VHOST_USER_SET_VRING_ERR)
		keep_fd(&rig->err, port);
	if (request == VHOST_USER_SET_BACKEND_REQ_FD)
		keep_fd(&rig->channel, port);
	pthread_mutex_unlock(&rig->lock);
}

/* The honest answer. */
static void answer_to(struct rig *rig, const struct r3_vhost_user_msg *asked,
		      struct r3_vhost_user_msg *answer)
{
	uint32_t request = asked->header.request, size = asked->payload.config.size;
	uint64_t value = 0;

	switch (request) {
	case VHOST_USER_GET_CONFIG:
		if (size > rig->config_most) {
			r3_vhost_user_begin(answer, request, VHOST_USER_FLAG_REPLY, 0);
			return;
		}
		r3_vhost_user_begin(answer, request, VHOST_USER_FLAG_REPLY,
				    R3_VHOST_USER_CONFIG_SIZE(size));
		answer->payload.config.size = size;
		memcpy(answer->payload.config.payload, &rig->config,
		       size < sizeof(rig->config) ? size : sizeof(rig->config));
		return;
	case VHOST_USER_GET_VRING_BASE:
		r3_vhost_user_begin(answer, request, VHOST_USER_FLAG_REPLY, 8);
		answer->payload.state = asked->payload.state;
		return;
	case VHOST_USER_GET_FEATURES:
		value = rig->features;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		value = rig->protocol;
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		value = rig->queues;
		break;
	default:
		break;
	}
	r3_vhost_user_begin(answer, request, VHOST_USER_FLAG_REPLY, sizeof(value));
	answer->payload.u64 = value;
}

/** Say it as the lie wants it. False: hang up. */
static bool say(struct r3_vhost_user_port *port, struct r3_vhost_user_msg *answer, enum lie lie)
{
	int sock = r3_vhost_user_port_fd(port);

	switch (lie) {
	case HANG_UP:
		return false;
	case SILENCE:
		return true;
	case REFUSE:
		answer->payload.u64 = 1;
		break;
	case SHORT:
		answer->header.size -= 3;
		break;
	case LONG:
		answer->header.size += 5;
		break;
	case EMPTY:
		answer->header.size = 0;
		break;
	case OTHER:
		answer->header.request++;
		break;
	case NO_REPLY:
		answer->header.flags &= ~VHOST_USER_FLAG_REPLY;
		break;
	case VERSION:
		answer->header.flags ^= 3;
		break;
	case WITH_FD:
		answer->nfds = 1;
		answer->fd[0] = sock;
		break;
	case HALF:
		(void)!send(sock, &answer->header, sizeof(answer->header) / 2, MSG_NOSIGNAL);
		return false;
	case TWICE:
		(void)r3_vhost_user_port_send(port, answer);
		break;
	default:
		break;
	}
	return r3_vhost_user_port_send(port, answer) == 0;
}

static bool serve_one(struct rig *rig, struct r3_vhost_user_port *port)
{
	struct r3_vhost_user_msg answer = {.nfds = 0}, *in = &port->in;
	uint32_t request = in->header.request;
	bool acked = in->header.flags & VHOST_USER_FLAG_NEED_REPLY;

	note(rig, port);
	if (!acked && !r3_vhost_user_has_answer(R3_VHOST_USER_FRONTEND, request))
		return true;
	answer_to(rig, in, &answer);
	return say(port, &answer, request == rig->lie_about ? rig->lie : HONEST);
}

static void *serve(void *arg)
{
	struct r3_vhost_user_port port;
	struct rig *rig = arg;
	struct r3_stream *stream;
	struct pollfd pfd = {.fd = rig->sock[0], .events = POLLIN};
	bool going = r3_stream_open(rig->sock[0], &stream) == 0;

	if (!going)
		return NULL;
	r3_vhost_user_port_open(&port, stream);
	while (going) {
		int rc = r3_vhost_user_port_recv(&port);

		if (rc < 0)
			break;
		if (rc == 0) {
			poll(&pfd, 1, -1);
			continue;
		}
		if (r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &port.in) < 0)
			fprintf(stderr, "the front-end says nonsense\n"), abort();
		going = serve_one(rig, &port);
		r3_vhost_user_port_done(&port);
	}
	r3_vhost_user_port_close(&port);
	return NULL;
}

int rig_open(struct rig *rig, uint64_t timeout_ns)
{
	const struct vuf_keys keys = {16, 64, timeout_ns};
	struct r3_stream *stream;
	int rc;

	rig->fds = test_count_fds();
	pthread_mutex_init(&rig->lock, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, rig->sock), 0);
	assert_int_equal(r3_stream_open(rig->sock[1], &stream), 0);
	assert_int_equal(pthread_create(&rig->thread, NULL, serve, rig), 0);
	rc = vuf_open_stream(stream, "rig", &keys, NULL, &rig->dev);
	if (rc == 0)
		rc = r3_device_adopt(rig->dev, "vhost-user:rig");
	if (rc < 0)
		rig->dev = NULL;
	rig->vuf = (struct vuf_device *)rig->dev;
	return rc;
}

void rig_die(struct rig *rig)
{
	shutdown(rig->sock[0], SHUT_RDWR);
}

void rig_close(struct rig *rig)
{
	int *kept[] = {&rig->kick, &rig->call, &rig->err, &rig->channel};

	r3_device_close(rig->dev);
	pthread_join(rig->thread, NULL);
	for (unsigned i = 0; i < 4; i++)
		if (*kept[i] >= 0)
			close(*kept[i]);
	pthread_mutex_destroy(&rig->lock);
	assert_int_equal(test_count_fds(), rig->fds);
}

unsigned rig_heard(struct rig *rig, uint32_t request, struct r3_vhost_user_msg *last)
{
	unsigned n = 0;

	pthread_mutex_lock(&rig->lock);
	for (unsigned i = 0; i < rig->nheard; i++) {
		if (rig->heard[i].request != request)
			continue;
		n++;
		if (last)
			*last = rig->heard[i].msg;
	}
	pthread_mutex_unlock(&rig->lock);
	return n;
}
