/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block device: NVMe namespaces, files, and all that stands in front of them.
 *
 * Life: open by address; make queues; submit requests, kick, reap; close the
 * queues; close. Requests are the caller's memory and complete exactly once, in any
 * order. There is no order between requests except that of a flush: it covers every
 * write of the device, through whichever queue, that completed before the flush was
 * submitted.
 *
 * Threads: a queue is used by one thread at a time; different queues by different
 * threads. The block handle (open, dispatch, close, making and closing queues) is
 * one thread's. Somebody must call r3_block_dispatch() whenever r3_block_fd() polls
 * readable: it notices time-outs, resets what hangs and tells of changes.
 * r3_blkq_wait() does both for programs of one thread.
 */
#ifndef RING3_BLOCK_H
#define RING3_BLOCK_H

#include <ring3/api.h>
#include <ring3/device.h>
#include <ring3/mem.h>
#include <ring3/sg.h>

R3_BEGIN

struct r3_block;
struct r3_blkq;

enum r3_blk_op {
	R3_BLK_READ,
	R3_BLK_WRITE,
	R3_BLK_FLUSH,        /* off and len are ignored */
	R3_BLK_WRITE_ZEROES, /* no data; reads as zeroes afterwards */
	R3_BLK_DISCARD,      /* no data; content is undefined afterwards */
	R3_BLK_NOPS
};

enum r3_blk_flags {
	R3_BLK_FUA = 1 << 0,       /* WRITE, WRITE_ZEROES: on the medium when it completes */
	R3_BLK_MAY_UNMAP = 1 << 1, /* WRITE_ZEROES: may free the space */
};

/** One request. The caller fills op, flags, nsg, off, len, sg, user; all stay
 *  untouched by the library until it completes. 112 bytes on 64-bit machines. */
struct r3_blk_req {
	uint8_t op;      /* enum r3_blk_op */
	uint8_t flags;   /* enum r3_blk_flags */
	uint16_t nsg;    /* pieces in sg, none empty; their lengths add up to len */
	int32_t err;     /* out: 0, or a negative errno */
	uint32_t detail; /* out: the device's own status, for messages (NVMe: SC | SCT << 8) */
	uint32_t gen;    /* the provider's, while submitted */
	uint64_t off;    /* bytes; multiple of the block size */
	uint64_t len;    /* bytes; multiple of the block size, not 0 except for FLUSH */
	const struct r3_sg *sg; /* READ, WRITE; stays the caller's until completion */
	void *user;
	uint64_t priv[8]; /* the provider's, while submitted */
};

enum r3_block_features {
	R3_BLOCK_READ_ONLY = 1 << 0,
	R3_BLOCK_VOLATILE_CACHE = 1 << 1, /* a completed write needs FLUSH or FUA to be safe */
	R3_BLOCK_FUA = 1 << 2, /* the device does FUA itself; else it is write and flush */
	R3_BLOCK_DISCARD = 1 << 3,
	R3_BLOCK_WRITE_ZEROES = 1 << 4,
};

/** What a block device takes. Lengths are bytes and multiples of block_size. They change
 *  only inside of r3_block_dispatch(): read them in the thread that calls it. */
struct r3_block_limits {
	uint64_t size;                /* of the device */
	uint32_t block_size;          /* addressable unit: a power of two, 512 .. 65536 */
	uint32_t physical_block_size; /* preferred granule of writes */
	uint64_t max_len;             /* of a READ or WRITE */
	uint64_t max_zeroes_len;      /* of a WRITE_ZEROES; 0 without the feature */
	uint64_t max_discard_len;     /* of a DISCARD; 0 without the feature */
	uint32_t max_sg;              /* pieces in one request */
	uint32_t features;            /* enum r3_block_features */
	uint32_t max_queues;
	uint32_t max_depth; /* of one queue */
};

struct r3_block_opts {
	uint32_t size;          /* sizeof(struct r3_block_opts) */
	uint32_t nsid;          /* which namespace; 0: the first */
	const char *driver;     /* by name; NULL: the one that matches the device best */
	bool read_only;         /* refuse whatever changes the medium */
	uint64_t timeout_ns;    /* of one request before it is aborted; 0: the driver's choice */
	struct r3_clock *clock; /* NULL: the system's */
	/** Interrupt moderation, of devices that have it: an interrupt waits until so many
	 *  requests have completed (at most 256), but no longer than coalesce_ns (0: 100 us;
	 *  rounded up to what the device can). 0: none. It saves interrupts under load, and
	 *  delays whoever has fewer requests in flight. Where there is none, nothing fails. */
	uint32_t coalesce;
	uint64_t coalesce_ns;
};

/** Open the block device that @address names: "file:PATH", "null:SIZE", or a device
 *  (address.h) that a driver knows. @opts may be NULL. Blocks for a bounded time.
 *  Errors: those of r3_device_open(); ENODEV no driver for the device, or no such
 *  namespace; EROFS the medium is read-only and opts->read_only is not set; EIO the
 *  device is broken (the text says how). */
R3_API int r3_block_open(const char *address, const struct r3_block_opts *opts,
			 struct r3_block **out);

/** Close. The queues must have been closed. An orderly shutdown of the device (its
 *  cache is flushed), bounded by its own limits. NULL is allowed. */
R3_API void r3_block_close(struct r3_block *block);

R3_API const struct r3_block_limits *r3_block_get_limits(const struct r3_block *block);
R3_API const char *r3_block_name(const struct r3_block *block); /* for messages */

/** The device below, for tools; NULL for file: and null:. The block's. */
R3_API struct r3_device *r3_block_device(const struct r3_block *block);

/** Memory from which the device transfers without copies. Requests may use any other
 *  memory too; it is bounced. Errors: ENOMEM. */
R3_API int r3_block_alloc(struct r3_block *block, size_t len, void **out);
R3_API void r3_block_free(struct r3_block *block, void *ptr); /* NULL is allowed */

/** Let the device transfer to and from @mem without copies too, as it does with memory of
 *  r3_block_alloc(): for memory of another process. Costs a system call or more, and one of
 *  a bounded number of places. With no request in flight, and no other thread submitting.
 *  Errors: EOPNOTSUPP the device reaches no memory of others: it is bounced, as before;
 *  ENOSPC; ENODEV. */
R3_API int r3_block_lend(struct r3_block *block, struct r3_mem *mem);
/** When this returns the device cannot reach @mem any more. What was not lent is left alone. */
R3_API void r3_block_take_back(struct r3_block *block, struct r3_mem *mem);

enum r3_block_event_type {
	R3_BLOCK_EVENT_GEOMETRY = 1, /* limits changed: read them again */
	R3_BLOCK_EVENT_RESET,        /* the device was reset; requests were retried */
	R3_BLOCK_EVENT_REMOVE_REQUEST,
	R3_BLOCK_EVENT_GONE,    /* for good: every request fails with -ENODEV */
	R3_BLOCK_EVENT_WARNING, /* the device warns of its health; detail is its word */
};

struct r3_block_event {
	uint32_t type;
	uint32_t detail;
};

/** Polls readable when r3_block_dispatch() has work. -1 where it never has. */
R3_API int r3_block_fd(const struct r3_block *block);

/** Do what is due: device events, time-outs, recovery. Returns the number of events
 *  written (at most @max), or -errno. With @max 0 (@events may be NULL) all the work is
 *  done and the events are kept for a later call; r3_block_fd() polls readable until
 *  they are taken. Blocks only while it resets a device that hangs, and no longer than
 *  the device's own reset limit. */
R3_API int r3_block_dispatch(struct r3_block *block, struct r3_block_event *events, unsigned max);

/* ---- queues ---- */

/*
 * Any event loop drives a queue in the same three steps, whatever its mode:
 *
 *      while ((n = r3_blkq_reap(queue, reqs, max)) > 0)
 *              ...                         use them; submit and kick more
 *      if (r3_blkq_arm(queue) == 0)
 *              sleep until r3_blkq_fd() polls readable, or something else happens
 *      start again at reap
 *
 * Arm comes before each sleep: only it turns the interrupt on, and looks once more for
 * what completed before that. When it returns 1 the loop looks at its other descriptors
 * without sleeping, if it has any, and reaps again.
 *
 * An adaptive queue is such a loop's best choice. Arm then also says 1 while requests
 * are in flight and something completed less than poll_ns ago, so under load nobody
 * sleeps or is interrupted, and a queue with nothing in flight never keeps a CPU busy.
 */
enum r3_blkq_mode {
	R3_BLKQ_INTERRUPT, /* r3_blkq_fd() polls readable when there is something to reap */
	R3_BLKQ_POLL,      /* the caller calls r3_blkq_reap() until it has what it wants */
	R3_BLKQ_ADAPTIVE,  /* by polling for poll_ns, then by interrupt */
};

struct r3_blkq_opts {
	uint32_t size;  /* sizeof(struct r3_blkq_opts); without poll_ns will do */
	uint32_t depth; /* most requests in flight; 0: 128, or the device's most */
	enum r3_blkq_mode mode;
	/** ADAPTIVE: how long to poll for the next completion, on the block's clock, at most
	 *  a second; 0: 200 us. Less than what the device usually takes never pays. */
	uint64_t poll_ns;
};

/** Make a queue. @opts may be NULL. Errors: EINVAL depth above max_depth, an unknown mode,
 *  poll_ns above a second; ENOSPC the device has no further queue (or interrupt vector);
 *  ENODEV gone; EIO; ENOMEM. */
R3_API int r3_blkq_open(struct r3_block *block, const struct r3_blkq_opts *opts,
			struct r3_blkq **out);

/** Close. Requests not reaped yet get err -ECANCELED before it returns, after the device
 *  was kept from their memory; they are not reaped any more. NULL is allowed. */
R3_API void r3_blkq_close(struct r3_blkq *queue);

R3_API unsigned r3_blkq_depth(const struct r3_blkq *queue);

/** Hand in up to @n requests, in order. They may not start before r3_blkq_kick().
 *  Returns how many were taken; -EAGAIN none, because the queue is full or the device
 *  is being reset (its fd polls readable once there is room), which is no failure and
 *  leaves no text; -ENODEV the device is
 *  gone; or, when the first one is at fault, -EINVAL (op, range, alignment, lengths),
 *  -EROFS, -EOPNOTSUPP. A request at fault further on ends the batch before it. */
R3_API int r3_blkq_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n);

/** Start what was submitted: one doorbell for all. 0, or -ENODEV. */
R3_API int r3_blkq_kick(struct r3_blkq *queue);

/** Take up to @max completed requests. Never blocks. Returns their number. */
R3_API int r3_blkq_reap(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max);

/** Before sleeping on the fd: ask to be woken. Returns 1 when the caller is to reap again
 *  instead of sleeping: something is there already, or an adaptive queue expects it soon.
 *  0 when the fd will poll readable. */
R3_API int r3_blkq_arm(struct r3_blkq *queue);

/** The queue's fd, the same for its whole life. Poll it, never read it: reap does. */
R3_API int r3_blkq_fd(const struct r3_blkq *queue);

/** Requests in flight: submitted and not reaped. */
R3_API unsigned r3_blkq_inflight(const struct r3_blkq *queue);

/** For programs of one thread: wait until something can be reaped, at most @timeout_ns,
 *  and dispatch the block meanwhile (its events stay for r3_block_dispatch()).
 *  0, also when there is room again after -EAGAIN, and at once while an adaptive queue
 *  polls, so reaping may find nothing; -ETIMEDOUT; -EINTR. */
R3_API int r3_blkq_wait(struct r3_blkq *queue, uint64_t timeout_ns);

/** One request from submission to completion, at most @timeout_ns, on a queue with
 *  nothing else in flight; splits whatever is longer than the limits. Returns 0, the
 *  request's error, or -EBUSY something is in flight. On -ETIMEDOUT the queue must be
 *  closed before the memory is used again. */
R3_API int r3_blkq_do(struct r3_blkq *queue, enum r3_blk_op op, unsigned flags, uint64_t off,
		      void *buf, uint64_t len, uint64_t timeout_ns);

R3_API const char *r3_blk_op_name(unsigned op);

R3_API const char *r3_blkq_mode_name(unsigned mode); /* "interrupt", "poll", "adaptive" */

/** The mode of that name. Errors: EINVAL there is none (the text lists them). */
R3_API int r3_blkq_mode_parse(const char *name, enum r3_blkq_mode *out);

R3_END
#endif
