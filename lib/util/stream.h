/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream: bytes in order both ways, and descriptors that come along with some of them.
 * What vfio-user and vhost-user speak over: a unix socket, or memory in a test or a fuzzer.
 *
 * Nothing here blocks; who wants to wait polls r3_stream_fd(). One thread at a time sends, and
 * one receives.
 */
#ifndef RING3_UTIL_STREAM_H
#define RING3_UTIL_STREAM_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/** Most descriptors that one send or one receive carries. */
#define R3_STREAM_FDS 64

struct r3_stream;

struct r3_stream_ops {
	ssize_t (*send)(struct r3_stream *stream, const struct iovec *iov, unsigned niov,
			const int *fds, unsigned nfds);
	ssize_t (*recv)(struct r3_stream *stream, void *buf, size_t len, int *fds, unsigned *nfds);
	int (*fd)(const struct r3_stream *stream);
	void (*close)(struct r3_stream *stream);
};

/** The part that every stream has; who implements one embeds it. */
struct r3_stream {
	const struct r3_stream_ops *ops;
};

/** Send the bytes of @iov and, with the first of them, copies of the @nfds descriptors
 *  (which stay the caller's). Returns how many bytes went, at least 1, which may be fewer
 *  than there are: the descriptors have gone then, and the rest is sent without them.
 *  Errors, without a text: EAGAIN no room now, nothing was sent; EPIPE the peer has hung up;
 *  EINVAL no bytes, or more descriptors than R3_STREAM_FDS; ETOOMANYREFS, EMFILE too many
 *  descriptors are under way; EIO. */
static inline ssize_t r3_stream_send(struct r3_stream *stream, const struct iovec *iov,
				     unsigned niov, const int *fds, unsigned nfds)
{
	return stream->ops->send(stream, iov, niov, fds, nfds);
}

/** Receive up to @len bytes. *nfds is the room in @fds, then how many descriptors came:
 *  close-on-exec, the caller's. They belong to the sending that the last of these bytes was
 *  part of: no receive goes on past bytes that brought some.
 *  Returns the number of bytes; 0: the peer has hung up and all it sent has been received.
 *  Errors, without a text: EAGAIN nothing there now; EMFILE descriptors were lost, because
 *  more came than fit or this process may not have more: those that came are closed, and
 *  what they belonged to is lost, so hang up; ECONNRESET, EIO. *nfds is 0 on failure. */
static inline ssize_t r3_stream_recv(struct r3_stream *stream, void *buf, size_t len, int *fds,
				     unsigned *nfds)
{
	return stream->ops->recv(stream, buf, len, fds, nfds);
}

/** What to poll: readable when there is something to receive or the peer has hung up, writable
 *  when there is room. -1: none (memory). The stream's. */
static inline int r3_stream_fd(const struct r3_stream *stream)
{
	return stream->ops->fd(stream);
}

/** Hang up and free. NULL is allowed. */
static inline void r3_stream_close(struct r3_stream *stream)
{
	if (stream)
		stream->ops->close(stream);
}

/** A stream over a connected unix stream socket (blocking or not), which it owns once this
 *  returned 0. Errors, with a text: EINVAL @sock is no such socket; ENOMEM. */
int r3_stream_open(int sock, struct r3_stream **out);

/** Close @n descriptors that came along and nobody wants. */
void r3_stream_close_fds(const int *fds, unsigned n);

#endif
