/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a driver.
 *
 * A driver is one struct r3_driver_v1: whom it matches, and attach(), which turns a
 * device into an object of its class. A block driver embeds struct r3_block and
 * struct r3_blkq first in its own and fills in operations; the class checks every
 * request against the limits before the driver sees it.
 */
#ifndef RING3_DRIVER_H
#define RING3_DRIVER_H

#include <ring3/block.h>
#include <ring3/device.h>
#include <ring3/error.h>
#include <ring3/pci.h>

R3_BEGIN

/* ---- block class ---- */

/** What a block provider implements. Arguments have been checked against the limits:
 *  known op that the features allow, aligned, in range, lengths that add up. */
struct r3_block_ops {
	uint32_t size; /* sizeof(struct r3_block_ops) */
	/** Free everything, the struct too. Queues are closed. */
	void (*close)(struct r3_block *block);
	/** As r3_block_fd(), r3_block_dispatch(). NULL: nothing ever happens. dispatch()
	 *  serves the device below too, interrupts that come by dispatch included. With
	 *  max 0 it does the same and keeps the events; fd() stays readable meanwhile. */
	int (*fd)(const struct r3_block *block);
	int (*dispatch)(struct r3_block *block, struct r3_block_event *events, unsigned max);
	/** NULL: any memory does. */
	int (*alloc)(struct r3_block *block, size_t len, void **out);
	void (*free)(struct r3_block *block, void *ptr);
	/** May be NULL. Else the memory of requests is loaded by dma.h for that device. */
	struct r3_device *(*device)(const struct r3_block *block);

	/** opts->depth is set and within max_depth. Fill *out, a struct that begins with
	 *  struct r3_blkq, allocated by the provider; the class initialises that part.
	 *  ADAPTIVE needs no more of a provider than INTERRUPT: the polling is the class's. */
	int (*queue_open)(struct r3_block *block, const struct r3_blkq_opts *opts,
			  struct r3_blkq **out);
	/** Keep the device from the memory of all requests not reaped, set their err to
	 *  -ECANCELED, and free the queue. */
	void (*queue_close)(struct r3_blkq *queue);
	/** Take checked requests, no more than there is room for; return how many (0: none
	 *  now), or -errno as r3_blkq_submit(). FUA comes whatever the features say. */
	int (*submit)(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n);
	int (*kick)(struct r3_blkq *queue); /* NULL: submit has started them */
	/** Set err and detail of each. Requests of a device that is gone are reaped too. */
	int (*reap)(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max);
	/** NULL: the fd needs no arming. A queue without fd has it: 1 when there is
	 *  something to reap, else 0. Callers arm before every sleep, so the interrupt may
	 *  stay off from the wake-up until then; of an adaptive queue the class calls it
	 *  only when polling no longer pays. */
	int (*arm)(struct r3_blkq *queue);
};

/** The class's part of a block device. A provider embeds it first, and keeps limits
 *  up to date from dispatch(): by atomic stores, for threads of queues check requests
 *  against them meanwhile. block_size, max_sg, max_queues and max_depth never change. */
struct r3_block {
	const struct r3_block_ops *ops;
	struct r3_block_limits limits;
	char name[64];          /* "nvme 0000:01:00.0 ns 1" */
	struct r3_clock *clock; /* never NULL */
	uint32_t queues;        /* open now; counted by the class, which keeps max_queues */
};

/** The class's part of a queue. */
struct r3_blkq {
	const struct r3_block_ops *ops;
	struct r3_block *block;
	int fd; /* the provider's, -1 for a queue that can only be polled */
	uint32_t depth;
	uint32_t inflight; /* counted by the class */
	/* adaptive: see r3_blkq_arm() */
	uint32_t looks;     /* in vain, since something was reaped */
	uint32_t max_looks; /* whatever the clock says; 0 in other modes */
	uint64_t poll_ns;
	uint64_t poll_from; /* when the first of them was */
	/* what r3_blkq_do() has in flight: it may outlive the call, not the queue */
	struct r3_blk_req one;
	struct r3_sg one_sg;
};

/* ---- drivers ---- */

enum r3_class {
	R3_CLASS_BLOCK = 1,
};

/** Matches a PCI device; R3_MATCH_ANY in a field matches all. class_mask says which
 *  bits of class_code count. */
#define R3_MATCH_ANY 0xffffffffu
struct r3_match {
	uint32_t vendor, device;
	uint32_t class_code, class_mask;
};

#define R3_DRIVER_ABI 1

struct r3_driver_v1 {
	uint32_t size;       /* sizeof(struct r3_driver_v1) */
	uint32_t abi;        /* R3_DRIVER_ABI */
	const char *name;    /* "nvme" */
	const char *summary; /* one line */
	uint32_t class_id;   /* enum r3_class */
	uint32_t nmatch;
	const struct r3_match *match;

	/** R3_CLASS_BLOCK: make a block device of @dev. On success the block owns @dev and
	 *  closes it; on failure the caller still has it. Bounded waits only. */
	int (*attach_block)(struct r3_device *dev, const struct r3_block_opts *opts,
			    struct r3_block **out);
};

/** At the end of a driver's source: makes it the driver of the shared object that it is
 *  built into, where r3-host looks for the symbol r3_driver. An object has one. Programs into
 *  which several are linked define R3_DRIVERS_LINKED, and list them themselves. */
#ifdef R3_DRIVERS_LINKED
#define R3_DRIVER_OBJECT(driver) _Static_assert(sizeof(driver), "a driver")
#else
#define R3_DRIVER_OBJECT(driver) \
	R3_API extern const struct r3_driver_v1 r3_driver __attribute__((alias(#driver)))
#endif

/** The drivers linked into the library, NULL-ended. */
R3_API const struct r3_driver_v1 *const *r3_drivers(void);

/** How well the driver matches: 0 not at all, 1 by class, 2 by vendor and device. */
R3_API int r3_driver_match(const struct r3_driver_v1 *driver, const struct r3_pci_id *id);

/** The best match among r3_drivers(), or the one called @name if that is not NULL.
 *  Errors: ENODEV none matches, or there is none of that name (the text lists them). */
R3_API int r3_driver_find(struct r3_device *dev, const char *name, const struct r3_driver_v1 **out);

/** Make a block device of @dev with a driver of r3_drivers(), or of your own; what the driver
 *  is, and what it says of the device, are checked. @opts may be NULL; which driver they name
 *  is not looked at. The block owns @dev; on failure @dev is closed.
 *  Errors: ENODEV the driver is not for block devices, or of another ABI; EIO what it makes
 *  of the device makes no sense; those of attach_block(). */
R3_API int r3_block_attach(struct r3_device *dev, const struct r3_driver_v1 *driver,
			   const struct r3_block_opts *opts, struct r3_block **out);

R3_END
#endif
