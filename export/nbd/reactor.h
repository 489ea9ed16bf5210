/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reactor: the one thread that holds the block device and its queue. nbdkit's
 * worker threads hand it jobs of any length and sleep until they are done; it cuts
 * them to what the device takes and keeps the queue full.
 */
#ifndef EXPORT_NBD_REACTOR_H
#define EXPORT_NBD_REACTOR_H

#include <ring3/block.h>

struct reactor;

/** What happens to the device; called by the reactor's thread. */
struct reactor_ops {
	/** The device is gone; every job fails from now on. */
	void (*gone)(struct reactor *reactor, void *ctx, const char *text);
	/** The fd given to reactor_start() polls readable. False: watch it no longer. */
	bool (*watch)(struct reactor *reactor, void *ctx);
	/** Stopped, and the device is closed. */
	void (*closed)(void *ctx);
};

/** Start the thread, which opens @address with a queue of @mode (not POLL: it sleeps on
 *  descriptors); return when it is open. @watch_fd is watched for its owner (-1: none).
 *  @ops and @ctx outlive the reactor.
 *  Errors: those of r3_block_open(), with their text in r3_error_text(). */
int reactor_start(const char *address, const struct r3_block_opts *opts, enum r3_blkq_mode mode,
		  int watch_fd, const struct reactor_ops *ops, void *ctx, struct reactor **out);

/** Do one job: READ and WRITE with @buf, and R3_BLK_FUA whether or not the device
 *  knows it. Called by any thread; returns when it is done: 0, or a negative errno.
 *  *detail gets the device's status. Errors: EINVAL not multiples of the block size,
 *  or beyond the end; ESHUTDOWN the reactor stops; ENODEV; what the device says. */
int reactor_do(struct reactor *reactor, enum r3_blk_op op, unsigned flags, uint64_t off, void *buf,
	       uint64_t len, uint32_t *detail);

/** The limits as of now. */
void reactor_limits(struct reactor *reactor, struct r3_block_limits *limits);

/** The device below; NULL: there is none. For the callbacks. */
struct r3_device *reactor_device(const struct reactor *reactor);

/** Refuse new jobs, finish those at hand within @drain_ms, flush, close the device,
 *  all in the reactor's thread. Returns at once; may be called from the callbacks. */
void reactor_stop(struct reactor *reactor, unsigned drain_ms);

/** Wait for the thread to end after reactor_stop(), and free. */
void reactor_join(struct reactor *reactor);

#endif
