/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is served, and when: one front-end after the other, all of it from dispatch. What a
 * front-end leaves in flight is drained or, after a time, cancelled; only then its memory
 * goes, and the next one is let in.
 */
#include "serve/vhost_user/vhost_user.h"

#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define DEFAULT_QUEUES 16u
#define DEFAULT_DRAIN  (5 * R3_NSEC_PER_SEC)
#define EVENTS         32
#define MESSAGES_MOST  64u  /* of one front-end, before its queues have their turn */
#define ROUNDS_MOST    256u /* of all queues, before whoever dispatches has his turn */

void vub_tell(struct r3_serve_block *serve, enum r3_serve_block_event_type type, uint32_t code,
	      const char *text)
{
	const struct r3_serve_block_event event = {.type = type, .code = code, .text = text};

	if (serve->opts.event)
		serve->opts.event(serve->opts.ctx, &event);
}

/* ---- a front-end comes and goes ---- */

/** Begin with @stream, which the server owns from then on. */
static int let_in(struct r3_serve_block *serve, struct r3_stream *stream)
{
	struct ucred who = {.pid = 0};
	socklen_t len = sizeof(who);
	int rc;

	r3_vhost_user_port_open(&serve->port, stream);
	rc = r3_stream_fd(stream) < 0 ? 0 : vub_watch(serve, r3_stream_fd(stream), VUB_PORT, 0);
	if (rc < 0) {
		r3_vhost_user_port_close(&serve->port);
		return r3_error_set(-rc, "vhost-user: the connection cannot be polled");
	}
	if (getsockopt(r3_stream_fd(stream), SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		who.pid = 0;
	vub_tell(serve, R3_SERVE_BLOCK_CONNECTED, (uint32_t)who.pid, "a front-end is connected");
	return 0;
}

/* It is heard no more; what it has in flight is another matter. */
static void send_away(struct r3_serve_block *serve, int err, const char *why)
{
	if (!serve->port.stream)
		return;
	if (err != EPIPE)
		r3_log(R3_LOG_WARN, "%s: the front-end is sent away: %s",
		       r3_block_name(serve->device.block), why);
	vub_tell(serve, R3_SERVE_BLOCK_DISCONNECTED, err == EPIPE ? 0 : (uint32_t)err, why);
	r3_vhost_user_port_close(&serve->port);
	r3_vhost_user_port_close(&serve->channel);
	vub_watch_door(serve, false);
	for (unsigned i = 0; i < serve->device.nqueues; i++)
		serve->queue[i].paused = true;
	serve->held = false;
	serve->leaving = true;
	vub_set_deadline(serve, serve->opts.drain_ns);
}

/** Nothing is left of it, if nothing is in flight any more; or @force. */
static void clear_up(struct r3_serve_block *serve, bool force)
{
	bool cancelled = false;

	for (unsigned i = 0; i < serve->device.nqueues; i++) {
		if (!vub_queue_busy(&serve->queue[i]))
			continue;
		if (!force)
			return;
		vub_queue_cancel(&serve->queue[i]);
		cancelled = true;
	}
	if (cancelled)
		vub_tell(serve, R3_SERVE_BLOCK_CANCELLED, 0, "requests were cancelled");
	for (unsigned i = 0; i < serve->device.nqueues; i++)
		vub_queue_reset(&serve->queue[i]);
	vub_memory_clear(&serve->memory);
	serve->features = serve->protocol = 0;
	serve->config_changed = serve->leaving = false;
	vub_set_deadline(serve, 0);
	serve->over = serve->door.fd < 0;
	if (serve->over)
		return;
	vub_watch_door(serve, true);
	vub_tell(serve, R3_SERVE_BLOCK_READY, 0, "ready for a front-end");
}

/* It has, but this is not known yet. */
static bool has_hung_up(const struct r3_serve_block *serve)
{
	struct pollfd pfd = {.fd = r3_vhost_user_port_fd(&serve->port), .events = POLLRDHUP};

	return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void answer_door(struct r3_serve_block *serve)
{
	struct r3_stream *stream;
	int sock, rc;

	/* Whoever takes turns with itself finds the door open when the last one is cleared up. */
	if (serve->leaving || (serve->port.stream && has_hung_up(serve)))
		return;
	rc = r3_socket_accept(&serve->door, &sock);
	if (rc < 0)
		return; /* it is gone again, or there are no descriptors: it comes again */
	if (serve->port.stream) {
		close(sock);
		vub_tell(serve, R3_SERVE_BLOCK_REFUSED, EBUSY, "there is a front-end already");
		return;
	}
	rc = r3_stream_open(sock, &stream);
	if (rc < 0)
		close(sock);
	else
		rc = let_in(serve, stream);
	if (rc < 0)
		vub_tell(serve, R3_SERVE_BLOCK_REFUSED, (uint32_t)-rc, r3_error_text());
}

/* ---- what it says ---- */

static bool is_late(const struct r3_serve_block *serve)
{
	return serve->deadline && r3_clock_now(r3_clock_system()) >= serve->deadline;
}

/** Do what the message says that has come. False: no more of them, for now. */
static bool obey(struct r3_serve_block *serve, bool force)
{
	int rc = vub_message(serve, force);

	if (rc == -EINPROGRESS) {
		if (!serve->held)
			vub_set_deadline(serve, serve->opts.drain_ns);
		serve->held = true;
		return false;
	}
	if (serve->held)
		vub_set_deadline(serve, 0);
	serve->held = false;
	if (rc < 0) {
		send_away(serve, -rc, r3_error_text());
		return false;
	}
	r3_vhost_user_port_done(&serve->port);
	return !serve->port.out_len;
}

static void listen_to(struct r3_serve_block *serve)
{
	int rc = r3_vhost_user_port_flush(&serve->port);

	for (unsigned n = 0; rc > 0 && n < MESSAGES_MOST; n++) {
		rc = r3_vhost_user_port_recv(&serve->port);
		if (rc > 0 && !obey(serve, false))
			break;
	}
	if (rc < 0)
		send_away(serve, -rc, r3_error_text());
	if (serve->port.stream)
		vub_watch_port(serve, !serve->held && !serve->port.out_len, serve->port.out_len);
}

/* Answers to what we told it; they change nothing. */
static void listen_to_channel(struct r3_serve_block *serve)
{
	int rc;

	while ((rc = r3_vhost_user_port_recv(&serve->channel)) > 0)
		r3_vhost_user_port_done(&serve->channel);
	if (rc == 0)
		return;
	vub_unwatch(serve, r3_vhost_user_port_fd(&serve->channel));
	r3_vhost_user_port_close(&serve->channel);
}

/* A message or a departure that waited for queues to drain. */
static void try_again(struct r3_serve_block *serve)
{
	if (serve->held && obey(serve, is_late(serve)))
		listen_to(serve);
	else if (serve->port.stream && !serve->held)
		vub_watch_port(serve, !serve->port.out_len, serve->port.out_len);
	if (serve->leaving)
		clear_up(serve, is_late(serve));
}

/* ---- dispatch ---- */

static void dispatch_block(struct r3_serve_block *serve)
{
	struct r3_block_event event[8];
	int n = r3_block_dispatch(serve->device.block, event, 8);

	for (int i = 0; i < n; i++) {
		serve->config_changed |= event[i].type == R3_BLOCK_EVENT_GEOMETRY;
		vub_tell(serve, R3_SERVE_BLOCK_EVENT, event[i].type,
			 "the block device has an event");
	}
}

static void take_event(struct r3_serve_block *serve, const struct epoll_event *event)
{
	unsigned index = (uint32_t)event->data.u64;
	uint64_t count;

	switch (event->data.u64 >> 32) {
	case VUB_DOOR:
		answer_door(serve);
		break;
	case VUB_PORT:
		if (!serve->port.stream)
			break;
		if (serve->held) /* so only its end is reported */
			send_away(serve, EPIPE, "the front-end has hung up");
		else
			listen_to(serve);
		break;
	case VUB_CHANNEL:
		if (serve->channel.stream)
			listen_to_channel(serve);
		break;
	case VUB_KICK:
		serve->queue[index].kicked = true;
		break;
	case VUB_BLOCK:
		dispatch_block(serve);
		break;
	case VUB_OTHER: /* if it is the deadline, the clock says so */
		(void)!read(serve->timer, &count, sizeof(count));
		break;
	default:
		break; /* a queue of the block device, which is reaped in any case */
	}
}

static void set_busy(struct r3_serve_block *serve, bool busy)
{
	uint64_t count = 1;

	if (busy == serve->busy)
		return;
	serve->busy = busy;
	if (busy)
		(void)!write(serve->again, &count, sizeof(count));
	else
		(void)!read(serve->again, &count, sizeof(count));
}

/** Let all queues do what they can. Returns whether there is more. */
static bool serve_queues(struct r3_serve_block *serve)
{
	bool any = false;

	for (unsigned i = 0; i < serve->device.nqueues; i++)
		any |= vub_queue_serve(&serve->queue[i]);
	if (serve->held || serve->leaving)
		try_again(serve);
	for (unsigned i = 0; i < serve->device.nqueues && !any; i++)
		any = vub_queue_arm(&serve->queue[i]);
	return any;
}

int r3_serve_block_dispatch(struct r3_serve_block *serve)
{
	struct epoll_event event[EVENTS];
	bool busy = true;
	int n = epoll_wait(serve->epoll, event, EVENTS, 0);

	if (n < 0 && errno != EINTR)
		return r3_error_set(errno, "vhost-user: epoll_wait: %s", strerror(errno));
	for (int i = 0; i < n; i++)
		take_event(serve, &event[i]);
	if (serve->port.stream && r3_vhost_user_port_fd(&serve->port) < 0 && !serve->held)
		listen_to(serve); /* a stream in memory, which nobody can sleep on */
	for (unsigned round = 0; busy && round < ROUNDS_MOST; round++)
		busy = serve_queues(serve);
	vub_tell_config(serve);
	set_busy(serve, busy);
	return !serve->over;
}

int r3_serve_block_fd(const struct r3_serve_block *serve)
{
	return serve->epoll;
}

/* ---- life ---- */

static void set_opts(struct r3_serve_block *serve, const struct r3_serve_block_opts *opts)
{
	uint32_t most = r3_block_get_limits(serve->device.block)->max_queues;
	const char *serial;

	if (opts)
		serve->opts = *opts;
	if (!serve->opts.drain_ns)
		serve->opts.drain_ns = DEFAULT_DRAIN;
	serve->device.nqueues = serve->opts.queues ? serve->opts.queues : DEFAULT_QUEUES;
	if (serve->device.nqueues > most)
		serve->device.nqueues = most;
	if (serve->device.nqueues > VUB_QUEUES_MAX)
		serve->device.nqueues = VUB_QUEUES_MAX;
	serial = serve->opts.serial ? serve->opts.serial : r3_block_name(serve->device.block);
	memcpy(serve->device.serial, serial, strnlen(serial, sizeof(serve->device.serial)));
	serve->device.hide = serve->opts.hide;
}

/** All but who is to be served. */
static int make(struct r3_block *block, const struct r3_serve_block_opts *opts,
		struct r3_serve_block **out)
{
	struct r3_serve_block *serve;
	int rc;

	if (opts && opts->size != sizeof(*opts))
		return r3_error_set(EINVAL, "r3_serve_block_opts.size is %u, not %zu", opts->size,
				    sizeof(*opts));
	serve = calloc(1, sizeof(*serve));
	if (!serve)
		return r3_error_set(ENOMEM, "vhost-user: no memory");
	serve->device.block = serve->memory.block = block;
	serve->door.fd = -1;
	set_opts(serve, opts);
	for (uint16_t i = 0; i < VUB_QUEUES_MAX; i++)
		serve->queue[i] = (struct vub_queue){.serve = serve,
						     .index = i,
						     .kick = -1,
						     .call = -1,
						     .err = -1,
						     .blkq_fd = -1};
	serve->epoll = epoll_create1(EPOLL_CLOEXEC);
	serve->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	serve->again = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (serve->epoll < 0 || serve->timer < 0 || serve->again < 0)
		rc = -errno;
	else
		rc = vub_watch(serve, serve->timer, VUB_OTHER, 0);
	if (rc == 0)
		rc = vub_watch(serve, serve->again, VUB_OTHER, 0);
	if (rc == 0 && r3_block_fd(block) >= 0)
		rc = vub_watch(serve, r3_block_fd(block), VUB_BLOCK, 0);
	if (rc < 0) {
		r3_serve_block_close(serve);
		return r3_error_set(-rc, "vhost-user: descriptors: %s", strerror(-rc));
	}
	*out = serve;
	return 0;
}

void r3_serve_block_close(struct r3_serve_block *serve)
{
	if (!serve)
		return;
	if (serve->door.fd >= 0)
		r3_socket_unlisten(&serve->door);
	send_away(serve, EPIPE, "the server is closed");
	clear_up(serve, true);
	r3_fd_close(&serve->again);
	r3_fd_close(&serve->timer);
	r3_fd_close(&serve->epoll);
	free(serve);
}

int vub_open_stream(struct r3_block *block, struct r3_stream *stream,
		    const struct r3_serve_block_opts *opts, struct r3_serve_block **out)
{
	int rc = make(block, opts, out);

	if (rc < 0) {
		r3_stream_close(stream);
		return rc;
	}
	rc = let_in(*out, stream);
	if (rc < 0)
		r3_serve_block_close(*out);
	return rc;
}

int r3_serve_block_open(struct r3_block *block, const char *where,
			const struct r3_serve_block_opts *opts, struct r3_serve_block **out)
{
	struct r3_listener door;
	struct r3_stream *stream;
	int rc = r3_socket_listen(where, &door);

	if (rc < 0)
		return rc;
	if (door.connected) {
		rc = r3_stream_open(door.fd, &stream);
		if (rc < 0) {
			close(door.fd);
			return rc;
		}
		return vub_open_stream(block, stream, opts, out);
	}
	rc = make(block, opts, out);
	if (rc < 0)
		goto unlisten;
	rc = vub_watch(*out, door.fd, VUB_DOOR, 0);
	if (rc < 0) {
		r3_serve_block_close(*out);
		rc = r3_error_set(-rc, "vhost-user: %s cannot be polled", where);
		goto unlisten;
	}
	(*out)->door = door;
	vub_tell(*out, R3_SERVE_BLOCK_READY, 0, "ready for a front-end");
	return 0;
unlisten:
	r3_socket_unlisten(&door);
	return rc;
}
