/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Serving a block device: any r3_block, offered as a vhost-user-blk back-end on a socket to
 * one front-end at a time. The front-end, QEMU or our own vhost-user: for one, has the
 * virtqueues and their memory, and hands both over; requests are made on that memory as it
 * is, with no copy but those that the block device below needs.
 *
 * Life: open a block device, r3_serve_block_open() it, call r3_serve_block_dispatch()
 * whenever r3_serve_block_fd() polls readable, r3_serve_block_close(), close the block
 * device. The device is lent: meanwhile nobody else dispatches it. Nothing here makes a
 * thread, and nothing waits for a front-end: what it has in flight is finished, or
 * cancelled after a bounded time, before its rings or its memory are let go.
 *
 * The front-end's memory is a memfd or a file of hugetlbfs that it cannot shrink any more,
 * since that would kill us by SIGBUS. One that is not sealed against it is sealed here; where
 * it refuses, it is taken only by a program that called r3_sigbus_enable() (mem.h).
 */
#ifndef RING3_SERVE_BLOCK_H
#define RING3_SERVE_BLOCK_H

#include <ring3/api.h>
#include <ring3/block.h>

R3_BEGIN

struct r3_serve_block;

enum r3_serve_block_event_type {
	R3_SERVE_BLOCK_READY = 1,    /* for a front-end: at first, and after each */
	R3_SERVE_BLOCK_CONNECTED,    /* there is one; code is its process, where known */
	R3_SERVE_BLOCK_REFUSED,      /* there was one already */
	R3_SERVE_BLOCK_DISCONNECTED, /* it has gone, or was sent away: code is an errno, and
					text says why */
	R3_SERVE_BLOCK_CANCELLED,    /* requests of it did not complete in time */
	R3_SERVE_BLOCK_EVENT,        /* code is the block device's own (r3_block_event_type) */
};

struct r3_serve_block_event {
	uint32_t type; /* enum r3_serve_block_event_type */
	uint32_t code;
	const char *text; /* one line, never NULL; valid during the call only */
};

struct r3_serve_block_opts {
	uint32_t size;          /* sizeof(struct r3_serve_block_opts) */
	uint32_t queues;        /* most that a front-end may use; 0: 16, or the device's most */
	enum r3_blkq_mode mode; /* of the device's queues; POLL: dispatch always has work */
	uint64_t poll_ns;       /* as in struct r3_blkq_opts */
	uint64_t drain_ns;      /* how long to wait for requests of a ring to be stopped before
				   they are cancelled; 0: 5 s */
	const char *serial;     /* what GET_ID says, 20 bytes of it; NULL: the block's name */
	uint64_t hide;          /* features of virtio that are not to be offered, as a mask */
	/** Told what happens, from inside open, dispatch and close. Must not call the server. */
	void (*event)(void *ctx, const struct r3_serve_block_event *event);
	void *ctx;
};

/** Serve @block at @where: "unix:PATH" makes a listening socket there (of mode 0600; a stale
 *  one is replaced), "fd:N" takes an inherited one, listening or connected (duplicated). A
 *  path is removed again by r3_serve_block_close(). @opts may be NULL.
 *  Errors: EINVAL @where is neither, or no stream socket; EADDRINUSE somebody serves there;
 *  ENAMETOOLONG; EACCES; EMFILE; ENOMEM. */
R3_API int r3_serve_block_open(struct r3_block *block, const char *where,
			       const struct r3_serve_block_opts *opts, struct r3_serve_block **out);

/** Finish or cancel what is in flight, and free everything. The path is removed. NULL is
 *  allowed. */
R3_API void r3_serve_block_close(struct r3_serve_block *serve);

/** Polls readable when r3_serve_block_dispatch() has something to do. The same for the
 *  server's life; never closed by the caller. */
R3_API int r3_serve_block_fd(const struct r3_serve_block *serve);

/** Do what is due. Returns 1 as long as there is somebody to serve or to wait for, 0 when
 *  that is over (the front-end of a connected socket has gone), or -errno where the server
 *  itself cannot go on. Blocks only as r3_block_dispatch() and r3_blkq_close() do. */
R3_API int r3_serve_block_dispatch(struct r3_serve_block *serve);

R3_END
#endif
