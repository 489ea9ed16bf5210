/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream over a unix socket: see stream.h. The kernel ends a receive behind the piece of a
 * sending that carried descriptors (unix(7), SCM_RIGHTS): they belong to the last bytes.
 */
#include "util/stream.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct socket_stream {
	struct r3_stream stream;
	int sock;
};

union control {
	char room[CMSG_SPACE(R3_STREAM_FDS * sizeof(int))];
	struct cmsghdr align;
};

static struct socket_stream *of(struct r3_stream *stream)
{
	return (struct socket_stream *)stream;
}

void r3_stream_close_fds(const int *fds, unsigned n)
{
	while (n > 0)
		close(fds[--n]);
}

static ssize_t socket_send(struct r3_stream *stream, const struct iovec *iov, unsigned niov,
			   const int *fds, unsigned nfds)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = niov};
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	union control control;
	ssize_t n;

	if (nfds > R3_STREAM_FDS)
		return -EINVAL;
	if (nfds) {
		memset(&control, 0, CMSG_SPACE(nfds * sizeof(int)));
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
	}
	do
		/* the short way spares the kernel what it would find empty */
		n = niov == 1 && !nfds ? send(of(stream)->sock, iov->iov_base, iov->iov_len, flags)
				       : sendmsg(of(stream)->sock, &msg, flags);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		return -EINVAL;
	return errno == ECONNRESET ? -EPIPE : -errno;
}

/* Takes the descriptors out of one control message; those without room are closed. */
static bool take(const struct cmsghdr *cmsg, int *fds, unsigned room, unsigned *n)
{
	size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fit = true;

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
		if (*n < room)
			fds[(*n)++] = fd;
		else {
			close(fd);
			fit = false;
		}
	}
	return fit;
}

static ssize_t socket_recv(struct r3_stream *stream, void *buf, size_t len, int *fds,
			   unsigned *nfds)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	union control control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.room,
			     .msg_controllen = sizeof(control.room)};
	unsigned room = *nfds;
	bool lost = false;
	ssize_t n;

	*nfds = 0;
	if (!len)
		return -EINVAL; /* 0 would read as the peer's end */
	n = recvmsg(of(stream)->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
			lost |= !take(cmsg, fds, room, nfds);
	/* Truncated: the kernel has closed those that did not fit, and passed on the others. */
	if (!lost && !(msg.msg_flags & MSG_CTRUNC))
		return n;
	r3_stream_close_fds(fds, *nfds);
	*nfds = 0;
	return -EMFILE;
}

static int socket_fd(const struct r3_stream *stream)
{
	return ((const struct socket_stream *)stream)->sock;
}

static void socket_close(struct r3_stream *stream)
{
	close(of(stream)->sock);
	free(of(stream));
}

static const struct r3_stream_ops socket_ops = {
	.send = socket_send,
	.recv = socket_recv,
	.fd = socket_fd,
	.close = socket_close,
};

int r3_stream_open(int sock, struct r3_stream **out)
{
	struct socket_stream *made;
	int domain = -1, type = -1;
	socklen_t len = sizeof(int);

	if (getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || domain != AF_UNIX ||
	    type != SOCK_STREAM)
		return r3_error_set(EINVAL, "descriptor %d is no unix stream socket", sock);
	made = calloc(1, sizeof(*made));
	if (!made)
		return r3_error_set(ENOMEM, "no memory for a stream");
	made->stream.ops = &socket_ops;
	made->sock = sock;
	*out = &made->stream;
	return 0;
}
