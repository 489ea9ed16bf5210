/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream in memory: see memory_stream.h. As the kernel, a receive goes on over several
 * sendings up to the first that brought descriptors. */
#include "fake/memory_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct piece {
	struct piece *next;
	size_t len, taken;
	unsigned nfds;
	int fds[R3_STREAM_FDS];
	unsigned char bytes[];
};

struct end {
	struct r3_stream stream;
	struct end *peer; /* NULL: hung up */
	struct piece *first, **last;
	size_t waiting, limit;
};

static struct end *of(const struct r3_stream *stream)
{
	return (struct end *)stream;
}

static ssize_t memory_send(struct r3_stream *stream, const struct iovec *iov, unsigned niov,
			   const int *fds, unsigned nfds)
{
	struct end *peer = of(stream)->peer;
	struct piece *piece;
	size_t len = 0, room;

	for (unsigned i = 0; i < niov; i++)
		len += iov[i].iov_len;
	if (!len || nfds > R3_STREAM_FDS)
		return -EINVAL;
	if (!peer)
		return -EPIPE;
	room = peer->limit > peer->waiting ? peer->limit - peer->waiting : 0;
	if (!room)
		return -EAGAIN;
	len = len < room ? len : room;
	piece = malloc(sizeof(*piece) + len);
	if (!piece)
		return -ENOMEM;
	piece->next = NULL;
	piece->len = len;
	piece->taken = 0;
	for (piece->nfds = 0; piece->nfds < nfds; piece->nfds++) {
		int fd = fcntl(fds[piece->nfds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			int err = errno;

			r3_stream_close_fds(piece->fds, piece->nfds);
			free(piece);
			return -err;
		}
		piece->fds[piece->nfds] = fd;
	}
	for (size_t at = 0, i = 0; at < len; i++) {
		size_t n = iov[i].iov_len < len - at ? iov[i].iov_len : len - at;

		if (n)
			memcpy(piece->bytes + at, iov[i].iov_base, n);
		at += n;
	}
	*peer->last = piece;
	peer->last = &piece->next;
	peer->waiting += len;
	return (ssize_t)len;
}

static void drop_first(struct end *end)
{
	struct piece *piece = end->first;

	end->first = piece->next;
	if (!end->first)
		end->last = &end->first;
	r3_stream_close_fds(piece->fds, piece->nfds);
	free(piece);
}

static ssize_t memory_recv(struct r3_stream *stream, void *buf, size_t len, int *fds,
			   unsigned *nfds)
{
	struct end *end = of(stream);
	unsigned room = *nfds;
	size_t got = 0;
	bool ends = false, lost = false;

	*nfds = 0;
	if (!len)
		return -EINVAL;
	if (!end->first)
		return end->peer ? -EAGAIN : 0;
	while (end->first && got < len && !ends) {
		struct piece *piece = end->first;
		size_t n = piece->len - piece->taken;

		n = n < len - got ? n : len - got;
		memcpy((unsigned char *)buf + got, piece->bytes + piece->taken, n);
		got += n;
		piece->taken += n;
		end->waiting -= n;
		if (piece->nfds) {
			ends = true;
			lost = piece->nfds > room;
			if (!lost) {
				memcpy(fds, piece->fds, piece->nfds * sizeof(*fds));
				*nfds = piece->nfds;
			} else {
				r3_stream_close_fds(piece->fds, piece->nfds);
			}
			piece->nfds = 0;
		}
		if (piece->taken == piece->len)
			drop_first(end);
	}
	return lost ? -EMFILE : (ssize_t)got;
}

static int memory_fd(const struct r3_stream *stream)
{
	return -1;
}

static void memory_close(struct r3_stream *stream)
{
	struct end *end = of(stream);

	while (end->first)
		drop_first(end);
	if (end->peer)
		end->peer->peer = NULL;
	free(end);
}

static const struct r3_stream_ops memory_ops = {
	.send = memory_send,
	.recv = memory_recv,
	.fd = memory_fd,
	.close = memory_close,
};

bool memory_stream_pair(struct r3_stream *ends[2])
{
	struct end *made[2] = {calloc(1, sizeof(struct end)), calloc(1, sizeof(struct end))};

	if (!made[0] || !made[1]) {
		free(made[0]);
		free(made[1]);
		return false;
	}
	for (unsigned i = 0; i < 2; i++) {
		made[i]->stream.ops = &memory_ops;
		made[i]->peer = made[!i];
		made[i]->last = &made[i]->first;
		made[i]->limit = SIZE_MAX;
		ends[i] = &made[i]->stream;
	}
	return true;
}

void memory_stream_limit(struct r3_stream *end, size_t bytes)
{
	struct end *peer = of(end)->peer;

	if (peer)
		peer->limit = bytes;
}

size_t memory_stream_waiting(const struct r3_stream *end)
{
	return of(end)->waiting;
}
