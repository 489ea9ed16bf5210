/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the front-end says. Some messages take from under a queue what its requests stand
 * on: its ring, or memory. Those wait until nothing of it is in flight, and with them all
 * that the front-end says after them.
 */
#include "serve/vhost_user/vhost_user.h"
#include "util/eventfd.h"

#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <string.h>

/* ---- queues ---- */

/** NULL, with a text: there is none. */
static struct vub_queue *find_queue(struct r3_serve_block *serve, uint64_t index)
{
	if (index < serve->device.nqueues)
		return &serve->queue[index];
	r3_error_set(EINVAL, "there is no queue %" PRIu64 " of %u", index, serve->device.nqueues);
	return NULL;
}

/** Have nothing in flight in these queues, and keep it so. */
static int drain(struct r3_serve_block *serve, unsigned first, unsigned n, bool force)
{
	bool busy = false;

	for (unsigned i = first; i < first + n; i++) {
		struct vub_queue *q = &serve->queue[i];

		q->paused = true;
		if (vub_queue_busy(q) && force)
			vub_queue_cancel(q);
		busy |= vub_queue_busy(q);
	}
	return busy ? -EINPROGRESS : 0;
}

static void go_on(struct r3_serve_block *serve, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++)
		serve->queue[i].paused = false;
}

static int set_num(struct r3_serve_block *serve, const struct vhost_user_vring_state *state)
{
	struct vub_queue *q = find_queue(serve, state->index);

	if (!q)
		return -EINVAL;
	if (q->open)
		return r3_error_set(EBUSY, "queue %u is in use", q->index);
	if (!state->num || state->num > VIRTQ_SIZE_MAX)
		return r3_error_set(EINVAL, "queue %u of %u entries", q->index, state->num);
	q->num = state->num;
	return 0;
}

static int set_addr(struct r3_serve_block *serve, const struct vhost_user_vring_addr *addr,
		    bool force)
{
	struct vub_queue *q = find_queue(serve, addr->index);
	int rc = q ? drain(serve, addr->index, 1, force) : -EINVAL;

	if (rc < 0)
		return rc;
	q->addr = *addr;
	vub_queue_move(q);
	go_on(serve, addr->index, 1);
	if (q->open && q->broken)
		return -EINVAL;
	return 0;
}

static int set_base(struct r3_serve_block *serve, const struct vhost_user_vring_state *state)
{
	struct vub_queue *q = find_queue(serve, state->index);
	uint32_t used = state->num >> VHOST_USER_PACKED_USED;

	if (!q)
		return -EINVAL;
	if (q->open)
		return r3_error_set(EBUSY, "queue %u is in use", q->index);
	if (used && used != (state->num & UINT16_MAX))
		return r3_error_set(EINVAL, "queue %u: chains from 0x%x to 0x%x have no owner",
				    q->index, used, state->num & UINT16_MAX);
	q->place = (uint16_t)state->num;
	q->placed = true;
	return 0;
}

static int get_base(struct r3_serve_block *serve, uint32_t index, bool force,
		    struct r3_vhost_user_msg *answer)
{
	struct vub_queue *q = find_queue(serve, index);
	int rc = q ? drain(serve, index, 1, force) : -EINVAL;

	if (rc < 0)
		return rc;
	vub_queue_stop(q);
	r3_vhost_user_begin(answer, VHOST_USER_GET_VRING_BASE, VHOST_USER_FLAG_REPLY,
			    sizeof(answer->payload.state));
	answer->payload.state =
		(struct vhost_user_vring_state){.index = index, .num = vub_queue_base(q)};
	return 0;
}

static int set_enable(struct r3_serve_block *serve, const struct vhost_user_vring_state *state)
{
	struct vub_queue *q = find_queue(serve, state->index);

	if (!q)
		return -EINVAL;
	q->enabled = state->num & 1;
	return 0;
}

/* ---- descriptors of queues ---- */

/* Whatever else it is might block when it is written, whatever it says of itself: that flag
 * is the front-end's, too. Of an eventfd it is known when it would. */
static int check_eventfd(int fd)
{
	return r3_is_eventfd(fd) ? 0 : r3_error_set(EINVAL, "a descriptor that is no eventfd");
}

static int take_kick(struct r3_serve_block *serve, struct vub_queue *q)
{
	int rc = 0, fd = serve->port.in.nfds ? serve->port.in.fd[0] : -1;

	if (!q->open)
		rc = vub_queue_open(q);
	if (rc == 0 && fd >= 0) {
		rc = vub_watch(serve, fd, VUB_KICK, q->index);
		if (rc < 0)
			r3_error_set(-rc, "queue %u: its kick cannot be polled", q->index);
	}
	if (rc < 0)
		return rc;
	if (q->kick >= 0)
		vub_unwatch(serve, q->kick);
	r3_stream_close_fds(&q->kick, q->kick >= 0);
	q->polled = fd < 0;
	q->kick = fd < 0 ? -1 : r3_vhost_user_port_take(&serve->port, 0);
	return 0;
}

static int set_fd(struct r3_serve_block *serve)
{
	const struct r3_vhost_user_msg *msg = &serve->port.in;
	struct vub_queue *q = find_queue(serve, msg->payload.u64 & VHOST_USER_VRING_INDEX);
	int *fd;

	if (!q || (msg->nfds && check_eventfd(msg->fd[0]) < 0))
		return -EINVAL;
	if (msg->header.request == VHOST_USER_SET_VRING_KICK)
		return take_kick(serve, q);
	fd = msg->header.request == VHOST_USER_SET_VRING_CALL ? &q->call : &q->err;
	r3_stream_close_fds(fd, *fd >= 0);
	*fd = msg->nfds ? r3_vhost_user_port_take(&serve->port, 0) : -1;
	return 0;
}

/* ---- memory ---- */

static void move_queues(struct r3_serve_block *serve)
{
	for (unsigned i = 0; i < serve->device.nqueues; i++)
		vub_queue_move(&serve->queue[i]);
	go_on(serve, 0, serve->device.nqueues);
}

static int set_memory(struct r3_serve_block *serve, bool force)
{
	const struct r3_vhost_user_msg *msg = &serve->port.in;
	const struct vhost_user_memory *memory = &msg->payload.memory;
	int rc = drain(serve, 0, serve->device.nqueues, force);

	if (rc < 0)
		return rc;
	vub_memory_clear(&serve->memory);
	for (uint32_t i = 0; rc == 0 && i < memory->nregions; i++)
		rc = vub_memory_add(&serve->memory, &memory->region[i], msg->fd[i]);
	if (rc < 0)
		vub_memory_clear(&serve->memory);
	move_queues(serve);
	return rc;
}

static int remove_memory(struct r3_serve_block *serve, bool force)
{
	int rc = drain(serve, 0, serve->device.nqueues, force);

	if (rc < 0)
		return rc;
	rc = vub_memory_remove(&serve->memory, &serve->port.in.payload.single.region);
	move_queues(serve);
	return rc;
}

/* ---- features, configuration ---- */

static bool any_open(const struct r3_serve_block *serve)
{
	for (unsigned i = 0; i < serve->device.nqueues; i++)
		if (serve->queue[i].open)
			return true;
	return false;
}

static int set_features(struct r3_serve_block *serve, uint64_t features)
{
	uint64_t unknown = features & ~vub_features(&serve->device);

	if (unknown)
		return r3_error_set(EINVAL, "features 0x%" PRIx64 " were not offered", unknown);
	if (features != serve->features && any_open(serve))
		return r3_error_set(EBUSY, "features cannot change while queues are in use");
	serve->features = features;
	return 0;
}

static int set_protocol(struct r3_serve_block *serve, uint64_t features)
{
	uint64_t unknown = features & ~vub_protocol_features;

	if (unknown)
		return r3_error_set(EINVAL, "protocol features 0x%" PRIx64 " were not offered",
				    unknown);
	serve->protocol = features;
	return 0;
}

static int set_channel(struct r3_serve_block *serve)
{
	struct r3_stream *stream;
	int rc = r3_stream_open(serve->port.in.fd[0], &stream);

	if (rc < 0)
		return rc;
	(void)r3_vhost_user_port_take(&serve->port, 0); /* it is the stream's */
	if (serve->channel.stream)
		vub_unwatch(serve, r3_vhost_user_port_fd(&serve->channel));
	r3_vhost_user_port_close(&serve->channel);
	r3_vhost_user_port_open(&serve->channel, stream);
	rc = vub_watch(serve, r3_stream_fd(stream), VUB_CHANNEL, 0);
	return rc < 0 ? r3_error_set(-rc, "the channel cannot be polled") : 0;
}

void vub_tell_config(struct r3_serve_block *serve)
{
	struct r3_vhost_user_msg msg = {.nfds = 0};

	if (!serve->config_changed)
		return;
	r3_vhost_user_begin(&msg, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, 0);
	serve->config_changed =
		serve->channel.stream && r3_vhost_user_port_send(&serve->channel, &msg) == -EAGAIN;
}

/* No payload says that there is an error. What lies behind our configuration is zero, since
 * the front-end's may be of a later version. */
static int get_config(struct r3_serve_block *serve, struct r3_vhost_user_msg *answer)
{
	const struct vhost_user_config *asked = &serve->port.in.payload.config;
	const struct virtio_blk_config config = vub_config(&serve->device);
	struct vhost_user_config *got = &answer->payload.config;
	uint32_t n = asked->size;

	if (asked->offset > VHOST_USER_CONFIG_SIZE_MAX ||
	    n > VHOST_USER_CONFIG_SIZE_MAX - asked->offset) {
		r3_vhost_user_begin(answer, VHOST_USER_GET_CONFIG, VHOST_USER_FLAG_REPLY, 0);
		return 0;
	}
	r3_vhost_user_begin(answer, VHOST_USER_GET_CONFIG, VHOST_USER_FLAG_REPLY,
			    R3_VHOST_USER_CONFIG_SIZE(n));
	got->offset = asked->offset;
	got->size = n;
	if (asked->offset >= sizeof(config))
		return 0;
	if (n > sizeof(config) - asked->offset)
		n = (uint32_t)sizeof(config) - asked->offset;
	memcpy(got->payload, (const unsigned char *)&config + asked->offset, n);
	return 0;
}

/* ---- all of them ---- */

static int answer_u64(struct r3_vhost_user_msg *answer, uint32_t request, uint64_t value)
{
	r3_vhost_user_begin(answer, request, VHOST_USER_FLAG_REPLY, sizeof(value));
	answer->payload.u64 = value;
	return 0;
}

static int act(struct r3_serve_block *serve, bool force, struct r3_vhost_user_msg *answer)
{
	const struct r3_vhost_user_msg *msg = &serve->port.in;
	uint32_t request = msg->header.request;

	switch (request) {
	case VHOST_USER_SET_OWNER:
	case VHOST_USER_RESET_OWNER:
		return 0;
	case VHOST_USER_GET_FEATURES:
		return answer_u64(answer, request, vub_features(&serve->device));
	case VHOST_USER_SET_FEATURES:
		return set_features(serve, msg->payload.u64);
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		return answer_u64(answer, request, vub_protocol_features);
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		return set_protocol(serve, msg->payload.u64);
	case VHOST_USER_GET_QUEUE_NUM:
		return answer_u64(answer, request, serve->device.nqueues);
	case VHOST_USER_SET_MEM_TABLE:
		return set_memory(serve, force);
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		return answer_u64(answer, request, VUB_REGIONS);
	case VHOST_USER_ADD_MEM_REG:
		return vub_memory_add(&serve->memory, &msg->payload.single.region, msg->fd[0]);
	case VHOST_USER_REM_MEM_REG:
		return remove_memory(serve, force);
	case VHOST_USER_SET_VRING_NUM:
		return set_num(serve, &msg->payload.state);
	case VHOST_USER_SET_VRING_ADDR:
		return set_addr(serve, &msg->payload.addr, force);
	case VHOST_USER_SET_VRING_BASE:
		return set_base(serve, &msg->payload.state);
	case VHOST_USER_GET_VRING_BASE:
		return get_base(serve, msg->payload.state.index, force, answer);
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		return set_fd(serve);
	case VHOST_USER_SET_VRING_ENABLE:
		return set_enable(serve, &msg->payload.state);
	case VHOST_USER_SET_BACKEND_REQ_FD:
		return set_channel(serve);
	case VHOST_USER_GET_CONFIG:
		return get_config(serve, answer);
	case VHOST_USER_SET_CONFIG:
		return r3_error_set(EPERM, "nothing in the configuration can be written");
	default:
		return r3_error_set(EOPNOTSUPP, "it was not offered");
	}
}

int vub_message(struct r3_serve_block *serve, bool force)
{
	const struct vhost_user_header *header = &serve->port.in.header;
	struct r3_vhost_user_msg answer = {.nfds = 0};
	const char *name = r3_vhost_user_name(R3_VHOST_USER_FRONTEND, header->request);
	bool answered = r3_vhost_user_has_answer(R3_VHOST_USER_FRONTEND, header->request);
	bool acked = (header->flags & VHOST_USER_FLAG_NEED_REPLY) &&
		     serve->protocol & VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_REPLY_ACK);
	int rc = r3_vhost_user_check(R3_VHOST_USER_FRONTEND, &serve->port.in);

	if (rc == -EPROTO)
		return rc;
	if (rc == 0)
		rc = act(serve, force, &answer);
	if (rc == -EINPROGRESS)
		return rc;
	if (rc < 0)
		r3_error_prefix(rc, "vhost-user: %s", name);
	if (rc < 0 && (answered || !acked))
		return rc; /* there is no way to say it */
	if (!answered && !acked)
		return 0;
	if (!answered) {
		if (rc < 0)
			r3_log(R3_LOG_WARN, "%s: %s", r3_block_name(serve->device.block),
			       r3_error_text());
		answer_u64(&answer, header->request, rc < 0);
	}
	return r3_vhost_user_port_send(&serve->port, &answer);
}
