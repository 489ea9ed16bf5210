/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection to a vfio-user server: see link.h. */
#include "backend/vfio_user/link.h"

#include "backend/vfio_user/patience.h"
#include "bus/ops.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What one look at a socket takes at most, so that a peer that sends all the time is left. */
#define RECEIVES_MAX 64

#define ENDED "it has ended, or hung up"

/* ---- loss ---- */

static int say_lost(struct r3_vfio_user_link *link)
{
	return r3_error_set(ENODEV, "the server is lost: %s", link->why);
}

/* The stream may be out of step: nothing is believed any more. A server that is merely stuck
 * sees by the shutdown that it has no client, and takes the device from our memory. */
static int lose(struct r3_vfio_user_link *link, int err, const char *why)
{
	int fd = r3_stream_fd(link->main.stream);

	if (!link->lost) {
		snprintf(link->why, sizeof(link->why), "%s", why);
		link->err = err;
		link->lost = true;
		if (fd >= 0)
			shutdown(fd, SHUT_RDWR);
		pthread_cond_broadcast(&link->turn);
		link->gone(link->ctx);
	}
	return say_lost(link);
}

static int late(struct r3_vfio_user_link *link)
{
	return lose(link, ETIMEDOUT, "it does not answer (stopped, or its device hangs?)");
}

int r3_vfio_user_link_lose(struct r3_vfio_user_link *link)
{
	pthread_mutex_lock(&link->lock);
	int rc = lose(link, EPROTO, r3_error_text());
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* ---- taking turns ---- */

static int lock_alive(struct r3_vfio_user_link *link)
{
	pthread_mutex_lock(&link->lock);
	if (!link->lost)
		return 0;
	int rc = say_lost(link);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* Let others go on, until one of them is done with something. */
static int sleep_for_turn(struct r3_vfio_user_link *link, struct r3_patience *patience)
{
	struct timespec end = r3_patience_end(patience);
	int rc;

	link->sleepers++;
	rc = pthread_cond_timedwait(&link->turn, &link->lock, &end);
	link->sleepers--;
	if (link->lost)
		return say_lost(link);
	return rc == ETIMEDOUT ? late(link) : 0;
}

static void end_turn(struct r3_vfio_user_link *link, bool *role)
{
	*role = false;
	if (link->sleepers)
		pthread_cond_broadcast(&link->turn);
}

/* poll() without the lock. */
static int wait_for(struct r3_vfio_user_link *link, struct r3_patience *patience,
		    struct pollfd *fds, nfds_t n)
{
	int rc;

	pthread_mutex_unlock(&link->lock);
	rc = r3_patience_poll(patience, fds, n);
	pthread_mutex_lock(&link->lock);
	if (link->lost)
		return say_lost(link);
	return rc > 0 ? 0 : late(link);
}

/* ---- sending; under the lock, which is released to wait ---- */

static int read_all(struct r3_vfio_user_link *link, struct r3_vfio_user_side *side);

/* A server that waits for memory of ours may read nothing until it has it: while there is no
 * room, its twin socket is listened to. What it asks on the same socket cannot be answered in
 * the midst of a message; there it has to read to get its answer, so room comes. */
static int wait_for_room(struct r3_vfio_user_link *link, struct r3_vfio_user_side *side,
			 struct r3_patience *patience)
{
	bool listen = link->twin.stream && side == &link->main && !link->reading;
	struct pollfd fds[2] = {
		{.fd = r3_stream_fd(side->stream), .events = POLLOUT},
		{.fd = listen ? r3_stream_fd(link->twin.stream) : -1, .events = POLLIN},
	};
	int rc;

	if (listen)
		link->reading = true;
	rc = wait_for(link, patience, fds, 2);
	if (rc == 0 && fds[1].revents)
		rc = read_all(link, &link->twin);
	if (listen)
		end_turn(link, &link->reading);
	return rc;
}

static void advance(struct iovec **iov, unsigned *n, size_t done)
{
	while (*n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

static int send_all(struct r3_vfio_user_link *link, struct r3_vfio_user_side *side,
		    struct iovec *iov, unsigned niov, const int *fds, unsigned nfds)
{
	struct r3_patience patience = {.time_ms = link->timeout_ms};
	bool on_main = side == &link->main, blocked = false;
	int rc = 0;

	while (on_main && link->sending && rc == 0)
		rc = sleep_for_turn(link, &patience);
	while (niov && rc == 0) {
		ssize_t n = r3_stream_send(side->stream, iov, niov, fds, nfds);

		if (n >= 0) {
			advance(&iov, &niov, (size_t)n);
			nfds = 0; /* they went with the first byte */
		} else if (n == -EAGAIN) {
			if (on_main)
				link->sending = blocked = true;
			rc = wait_for_room(link, side, &patience);
		} else {
			rc = lose(link, (int)-n, n == -EPIPE ? ENDED : strerror((int)-n));
		}
	}
	if (blocked)
		end_turn(link, &link->sending);
	return rc;
}

/* ---- the server's requests, answered by whoever reads ---- */

/* Makes the payload of the reply; returns its length. */
static int serve_dma(struct r3_vfio_user_link *link, const struct r3_vfio_user_msg *msg,
		     unsigned char *out)
{
	bool write = msg->header.cmd == VFIO_USER_DMA_WRITE;
	struct vfio_user_dma_region_access access;
	const unsigned char *data = NULL;
	int rc;

	if (write)
		rc = r3_vfio_user_get_dma_write(msg, R3_VFIO_USER_LINK_XFER, &access, &data);
	else
		rc = r3_vfio_user_get_dma_read(msg, R3_VFIO_USER_LINK_XFER, &access);
	if (rc == 0 && write)
		rc = link->dma_write(link->ctx, access.addr, data, access.count);
	else if (rc == 0)
		rc = link->dma_read(link->ctx, access.addr, out + sizeof(access), access.count);
	if (rc < 0)
		return rc;
	memcpy(out, &access, sizeof(access));
	return (int)(sizeof(access) + (write ? 0 : access.count));
}

static int serve(struct r3_vfio_user_link *link, struct r3_vfio_user_side *side,
		 const struct r3_vfio_user_msg *msg)
{
	struct vfio_user_header header;
	struct iovec iov = {.iov_base = side->out};
	int rc;

	if (msg->header.cmd == VFIO_USER_DMA_READ || msg->header.cmd == VFIO_USER_DMA_WRITE)
		rc = serve_dma(link, msg, side->out + sizeof(header));
	else
		rc = r3_vfio_user_get_unsupported(msg);
	if (msg->header.flags & VFIO_USER_F_NO_REPLY)
		return 0;
	if (rc < 0)
		r3_vfio_user_error(&header, &msg->header, -rc);
	else
		r3_vfio_user_reply(&header, &msg->header, (size_t)rc);
	memcpy(side->out, &header, sizeof(header));
	iov.iov_len = header.msg_size;
	return send_all(link, side, &iov, 1, NULL, 0);
}

/* ---- receiving; under the lock and in the role of the reader ---- */

static int deliver(struct r3_vfio_user_link *link, const struct r3_vfio_user_msg *msg,
		   const int *fds)
{
	struct r3_vfio_user_call **at = &link->calls, *call;

	while (*at && (*at)->request.msg_id != msg->header.msg_id)
		at = &(*at)->next;
	call = *at;
	if (!call)
		return lose(link, EPROTO, "it answers what was not asked");
	if (msg->len > call->room)
		return lose(link, EPROTO, "its answer is too long");
	if (msg->nfds && !call->takes_fds)
		return lose(link, EPROTO, "its answer comes with descriptors");
	*at = call->next;
	call->msg = *msg;
	call->msg.payload = call->reply;
	if (msg->len)
		memcpy(call->reply, msg->payload, msg->len);
	memcpy(call->fds, fds, msg->nfds * sizeof(*fds));
	call->done = true;
	return 0;
}

/* All that has come whole. */
static int take_messages(struct r3_vfio_user_link *link, struct r3_vfio_user_side *side)
{
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS], rc;

	while ((rc = r3_vfio_user_inbox_next(&side->inbox, &msg, fds)) > 0) {
		bool is_reply = r3_vfio_user_is_reply(&msg.header);

		if (is_reply && side == &link->main)
			rc = deliver(link, &msg, fds);
		else if (is_reply)
			rc = lose(link, EPROTO, "it answers on its twin socket");
		if (!is_reply || rc < 0)
			r3_stream_close_fds(fds, msg.nfds);
		if (!is_reply)
			rc = serve(link, side, &msg);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? lose(link, EPROTO, r3_error_text()) : 0;
}

/* Receive once, and take what has come. Returns 1, or 0 where there was nothing. */
static int receive(struct r3_vfio_user_link *link, struct r3_vfio_user_side *side)
{
	int n;

	pthread_mutex_unlock(&link->lock);
	n = r3_vfio_user_inbox_fill(&side->inbox, side->stream);
	pthread_mutex_lock(&link->lock);
	if (link->lost)
		return say_lost(link);
	if (n == -EAGAIN)
		return 0;
	if (n == 0 || n == -ECONNRESET) /* the latter where it has not read all */
		return lose(link, EPIPE, ENDED);
	if (n < 0)
		return lose(link, -n, r3_error_text());
	n = take_messages(link, side);
	return n < 0 ? n : 1;
}

static int read_all(struct r3_vfio_user_link *link, struct r3_vfio_user_side *side)
{
	int rc = 1;

	for (unsigned i = 0; i < RECEIVES_MAX && rc > 0; i++)
		rc = receive(link, side);
	return rc < 0 ? rc : 0;
}

/* Wait for something. A receive that slept by itself would be woken twice: the kernel tells the
 * sender of a message that it was taken, who is asleep in that receive; poll() is not woken for
 * room, and saves more than it costs. */
static int read_more(struct r3_vfio_user_link *link, struct r3_patience *patience)
{
	struct pollfd fds[2] = {
		{.fd = r3_stream_fd(link->main.stream), .events = POLLIN},
		{.fd = link->twin.stream ? r3_stream_fd(link->twin.stream) : -1, .events = POLLIN},
	};
	int rc = wait_for(link, patience, fds, link->twin.stream ? 2 : 1);

	if (rc == 0 && fds[1].revents)
		rc = read_all(link, &link->twin);
	if (rc == 0 && fds[0].revents)
		rc = receive(link, &link->main);
	return rc < 0 ? rc : 0;
}

/* ---- calls ---- */

/* An id that no call under way has. */
static uint16_t new_id(struct r3_vfio_user_link *link)
{
	const struct r3_vfio_user_call *call;

	do {
		link->next_id++;
		for (call = link->calls; call && call->request.msg_id != link->next_id;)
			call = call->next;
	} while (call);
	return link->next_id;
}

/* Send the requests of @calls at once; with @flags in their headers. */
static int send_calls(struct r3_vfio_user_link *link, struct r3_vfio_user_call *calls, unsigned n,
		      uint32_t flags)
{
	struct iovec iov[2 * R3_VFIO_USER_LINK_BATCH];
	unsigned niov = 0;

	for (unsigned i = 0; i < n; i++) {
		struct r3_vfio_user_call *call = &calls[i];

		call->done = false;
		r3_vfio_user_request(&call->request, new_id(link), call->cmd,
				     call->head_len - sizeof(call->request) + call->data_len);
		call->request.flags |= flags;
		memcpy(call->head, &call->request, sizeof(call->request));
		iov[niov++] = (struct iovec){call->head, call->head_len};
		if (call->data_len)
			iov[niov++] = (struct iovec){(void *)call->data, call->data_len};
		if (flags & VFIO_USER_F_NO_REPLY)
			continue;
		call->next = link->calls;
		link->calls = call;
	}
	return send_all(link, &link->main, iov, niov, calls->send_fds, calls->nsend_fds);
}

static bool all_done(const struct r3_vfio_user_call *calls, unsigned n)
{
	while (n > 0 && calls[n - 1].done)
		n--;
	return n == 0;
}

static int wait_calls(struct r3_vfio_user_link *link, struct r3_vfio_user_call *calls, unsigned n)
{
	struct r3_patience patience = {.time_ms = link->timeout_ms};
	bool again = false;
	int rc = 0;

	while (rc == 0 && !all_done(calls, n)) {
		/* one that says other things all the time does not answer either */
		if (again && r3_patience_left(&patience) == 0)
			return late(link);
		again = true;
		if (link->reading) {
			rc = sleep_for_turn(link, &patience);
			continue;
		}
		link->reading = true;
		rc = read_more(link, &patience);
		end_turn(link, &link->reading);
	}
	return rc;
}

static void abandon(struct r3_vfio_user_link *link, struct r3_vfio_user_call *calls, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct r3_vfio_user_call **at = &link->calls;

		if (calls[i].done)
			r3_stream_close_fds(calls[i].fds, calls[i].msg.nfds);
		calls[i].done = false;
		while (*at && *at != &calls[i])
			at = &(*at)->next;
		if (*at)
			*at = calls[i].next;
	}
}

int r3_vfio_user_link_call(struct r3_vfio_user_link *link, struct r3_vfio_user_call *calls,
			   unsigned n)
{
	int rc = lock_alive(link);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < n; i++)
		calls[i].done = false;
	rc = send_calls(link, calls, n, 0);
	if (rc == 0)
		rc = wait_calls(link, calls, n);
	if (rc < 0)
		abandon(link, calls, n);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

int r3_vfio_user_link_post(struct r3_vfio_user_link *link, struct r3_vfio_user_call *calls,
			   unsigned n)
{
	int rc = lock_alive(link);

	if (rc < 0)
		return rc;
	rc = send_calls(link, calls, n, VFIO_USER_F_NO_REPLY);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

int r3_vfio_user_link_answer(struct r3_vfio_user_link *link, const struct r3_vfio_user_call *call)
{
	int err = 0, rc = r3_vfio_user_check_reply(&call->msg, &call->request, &err);

	if (rc == -EREMOTEIO)
		return r3_error_set(err, "the server answers %s with an error: %s",
				    r3_vfio_user_name(call->cmd), strerror(err));
	return rc < 0 ? r3_vfio_user_link_lose(link) : 0;
}

int r3_vfio_user_link_drain(struct r3_vfio_user_link *link)
{
	int rc = lock_alive(link);

	if (rc < 0)
		return rc;
	/* who reads now takes it; and an answer could not be sent in the midst of a message */
	if (!link->reading && !link->sending) {
		link->reading = true;
		rc = link->twin.stream ? read_all(link, &link->twin) : 0;
		if (rc == 0)
			rc = read_all(link, &link->main);
		end_turn(link, &link->reading);
	}
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* ---- life ---- */

static int open_side(struct r3_vfio_user_side *side, struct r3_stream *stream)
{
	side->stream = stream;
	side->room = malloc(2 * R3_VFIO_USER_LINK_ROOM);
	if (!side->room)
		return r3_error_set(ENOMEM, "no memory for messages");
	side->out = side->room + R3_VFIO_USER_LINK_ROOM;
	r3_vfio_user_inbox_init(&side->inbox, side->room, R3_VFIO_USER_LINK_ROOM);
	return 0;
}

static void close_side(struct r3_vfio_user_side *side)
{
	if (side->room)
		r3_vfio_user_inbox_empty(&side->inbox);
	r3_stream_close(side->stream);
	free(side->room);
	*side = (struct r3_vfio_user_side){.stream = NULL};
}

int r3_vfio_user_link_open(struct r3_vfio_user_link *link, struct r3_stream *stream,
			   unsigned timeout_ms)
{
	pthread_condattr_t attr;
	int rc;

	*link = (struct r3_vfio_user_link){.timeout_ms = timeout_ms};
	rc = open_side(&link->main, stream);
	if (rc < 0) {
		close_side(&link->main);
		return rc;
	}
	pthread_mutex_init(&link->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&link->turn, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

int r3_vfio_user_link_add_twin(struct r3_vfio_user_link *link, struct r3_stream *stream)
{
	int rc = open_side(&link->twin, stream);

	if (rc < 0)
		close_side(&link->twin);
	return rc;
}

void r3_vfio_user_link_close(struct r3_vfio_user_link *link)
{
	if (!link->main.stream)
		return;
	close_side(&link->twin);
	close_side(&link->main);
	pthread_cond_destroy(&link->turn);
	pthread_mutex_destroy(&link->lock);
}
