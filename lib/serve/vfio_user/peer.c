/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection. It is read only while it takes its replies, and given one reply at a time,
 * so that whatever it does, it costs a message in and a message out. Whatever it is waited for
 * has a deadline: its first message, the rest of a message, room for the rest of a reply.
 */
#include "serve/vfio_user/server.h"
#include "util/fd.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Messages of one turn: the device and other connections want to be seen to as well. */
#define MESSAGES 64

static void set_deadline(struct r3_serve *serve, struct r3_serve_peer *peer)
{
	if (peer->deadline)
		return;
	peer->deadline = r3_clock_now(serve->opts.clock) + serve->opts.timeout_ns;
	r3_serve_alarm(serve, peer->deadline);
}

/* A stream in memory, which has no descriptor, is looked at with each dispatch. */
static int watch(struct r3_serve *serve, struct r3_serve_peer *peer, uint32_t what)
{
	struct epoll_event event = {.events = what, .data.u32 = (uint32_t)(peer - serve->peer)};
	int how = peer->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int fd = r3_stream_fd(peer->stream);

	if (peer->watched == what)
		return 0;
	peer->watched = what;
	if (fd >= 0 && epoll_ctl(serve->epoll, how, fd, &event) < 0)
		return r3_error_set(errno, "cannot wait for a client: %m");
	return 0;
}

/* ---- life ---- */

static struct r3_serve_peer *free_place(struct r3_serve *serve)
{
	struct r3_serve_peer *oldest = NULL;

	for (unsigned i = 0; i < R3_SERVE_PEERS; i++) {
		struct r3_serve_peer *peer = &serve->peer[i];

		if (!peer->stream)
			return peer;
		if (peer != serve->client && (!oldest || peer->number < oldest->number))
			oldest = peer;
	}
	/* whoever is in earnest has said so by now */
	r3_serve_peer_close(serve, oldest, EBUSY, "others are waiting");
	return oldest;
}

static int64_t pid_of(int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) ? 0 : cred.pid;
}

int r3_serve_peer_new(struct r3_serve *serve, struct r3_stream *stream, struct r3_serve_peer **out)
{
	struct r3_serve_peer *peer = free_place(serve);
	unsigned char *bufs = malloc(2 * R3_SERVE_BUF);
	int rc;

	if (!bufs)
		return r3_error_set(ENOMEM, "no memory for a client");
	*peer = (struct r3_serve_peer){.stream = stream,
				       .number = ++serve->peers,
				       .pid = pid_of(r3_stream_fd(stream)),
				       .bufs = bufs,
				       .out = bufs + R3_SERVE_BUF,
				       .out_fd = -1};
	rc = watch(serve, peer, EPOLLIN);
	if (rc) {
		peer->stream = NULL;
		free(bufs);
		return rc;
	}
	r3_vfio_user_inbox_init(&peer->in, bufs, R3_SERVE_BUF);
	set_deadline(serve, peer);
	*out = peer;
	return 0;
}

static void drop_out_fd(struct r3_serve_peer *peer)
{
	if (peer->out_fd_close)
		r3_fd_close(&peer->out_fd);
	peer->out_fd_close = false;
	peer->out_fd = -1;
}

void r3_serve_peer_close(struct r3_serve *serve, struct r3_serve_peer *peer, int err,
			 const char *why)
{
	bool client = peer == serve->client;
	struct r3_serve_event event = {
		.type = client ? R3_SERVE_DISCONNECTED : R3_SERVE_REFUSED,
		.err = -err,
		.client = peer->number,
		.pid = peer->pid,
	};

	/* who knocked and left, and who was told already that it was refused, is no event */
	if (client || (err && !peer->leaving))
		r3_serve_tell(serve, &event, "%s", why);
	if (client) {
		r3_serve_farewell(serve);
		serve->client = NULL;
	}
	r3_vfio_user_inbox_empty(&peer->in);
	drop_out_fd(peer);
	r3_stream_close(peer->stream); /* epoll forgets it with that */
	free(peer->bufs);
	*peer = (struct r3_serve_peer){.stream = NULL};
	if (client && !serve->door.connected && !serve->ending && !r3_serve_dead(serve))
		r3_serve_tell(serve, &(struct r3_serve_event){.type = R3_SERVE_READY}, "%s",
			      serve->dev->info.name);
}

void r3_serve_peer_expire(struct r3_serve *serve, struct r3_serve_peer *peer, uint64_t now)
{
	const char *why = "it does not say VFIO_USER_VERSION";

	if (!peer->stream || !peer->deadline || now < peer->deadline)
		return;
	if (peer->out_begin < peer->out_end)
		why = "it does not take its replies";
	else if (peer == serve->client)
		why = "it does not finish a message";
	r3_serve_peer_close(serve, peer, ETIMEDOUT, why);
}

/* ---- a turn ---- */

static bool blocked(const struct r3_serve_peer *peer)
{
	return peer->out_begin < peer->out_end;
}

/* Send what there is. 0, also if some is left; or an error: hang up. */
static int flush(struct r3_serve *serve, struct r3_serve_peer *peer)
{
	while (blocked(peer)) {
		struct iovec iov = {.iov_base = peer->out + peer->out_begin,
				    .iov_len = peer->out_end - peer->out_begin};
		ssize_t n = r3_stream_send(peer->stream, &iov, 1, &peer->out_fd, peer->out_fd >= 0);

		if (n == -EAGAIN) {
			watch(serve, peer, EPOLLOUT);
			set_deadline(serve, peer);
			return 0;
		}
		if (n < 0)
			return r3_error_set((int)-n, "cannot send: %s", strerror((int)-n));
		drop_out_fd(peer);
		peer->out_begin += (uint32_t)n;
		peer->deadline = 0;
	}
	watch(serve, peer, EPOLLIN);
	return 0;
}

/* The next message and its reply. 1; 0 there is none; or an error: hang up. */
static int one(struct r3_serve *serve, struct r3_serve_peer *peer)
{
	int fds[R3_VFIO_USER_FDS];
	struct r3_vfio_user_msg msg = {.nfds = 0};
	int rc = r3_vfio_user_inbox_next(&peer->in, &msg, fds);

	if (rc <= 0)
		return rc;
	rc = r3_serve_message(serve, peer, &msg, fds);
	for (unsigned i = 0; i < msg.nfds; i++)
		r3_fd_close(&fds[i]);
	if (rc)
		return rc;
	peer->deadline = 0;
	rc = flush(serve, peer);
	return rc ? rc : 1;
}

/* As many messages as came with one receive. 0, or an error: hang up; -ESHUTDOWN: it has. */
static int turn(struct r3_serve *serve, struct r3_serve_peer *peer, bool *any)
{
	bool received = false;
	int rc = blocked(peer) ? flush(serve, peer) : 0;

	for (unsigned left = MESSAGES; left && !rc && !blocked(peer) && !peer->leaving;) {
		rc = one(serve, peer);
		if (rc > 0) {
			*any = true;
			rc = 0;
			if (!--left && r3_vfio_user_inbox_partial(&peer->in))
				r3_serve_alarm(serve, 0);
			continue;
		}
		if (rc < 0 || received)
			break;
		rc = r3_vfio_user_inbox_fill(&peer->in, peer->stream);
		if (rc == -EAGAIN)
			return 0;
		if (rc <= 0)
			return rc ? rc : -ESHUTDOWN;
		received = true;
		*any = true;
		rc = 0;
	}
	if (!rc && !blocked(peer) && r3_vfio_user_inbox_partial(&peer->in))
		set_deadline(serve, peer);
	return rc;
}

bool r3_serve_peer_turn(struct r3_serve *serve, struct r3_serve_peer *peer)
{
	bool any = false;
	int rc = turn(serve, peer, &any);

	if (!rc && peer->leaving && !blocked(peer))
		rc = -ESHUTDOWN;
	if (rc == -ESHUTDOWN && r3_vfio_user_inbox_partial(&peer->in) && !peer->leaving)
		rc = r3_error_set(EPIPE, "it left in the midst of a message");
	if (rc)
		r3_serve_peer_close(serve, peer, rc == -ESHUTDOWN ? 0 : -rc,
				    rc == -ESHUTDOWN ? "it left" : r3_error_text());
	return any || rc;
}
