/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bus operations: what a carrier of devices (a backend), or a filter in front of
 * another device, implements. Private until 1.0.
 *
 * The core (device.c) checks every argument against what the operation's owner
 * reported before it calls: indexes, ranges, alignment, alive and not gone. All
 * operations of a device are called from the thread that uses its handle, except
 * rw() and irq_taken(), which may come from any thread at any time (queues of several
 * threads ring doorbells of one BAR): a carrier that sends messages locks its link. None may wait
 * without a bound. An operation that is NULL, or returns -EOPNOTSUPP, is one that the
 * carrier does not have; region_info, rw and close are required. An operation that fails
 * leaves a text. Of a device that is gone only close, fd, dispatch, dma_unmap and
 * irq_alloc of no vectors are called.
 */
#ifndef RING3_BUS_OPS_H
#define RING3_BUS_OPS_H

#include <ring3/address.h>
#include <ring3/device.h>

struct r3_irq_set; /* irq.h, a layer above */
struct r3_dma_map; /* dma.h, another */

/** Sparse mappable areas of a region, as VFIO_REGION_INFO_CAP_SPARSE_MMAP. */
#define R3_REGION_AREAS 4

struct r3_region_info {
	uint64_t size;  /* 0: no such region */
	unsigned flags; /* enum r3_region_flags */
	/* where R3_REGION_MAPPABLE: */
	int fd;
	bool close_fd;   /* whoever asked closes fd, once it is mapped: the carrier keeps none */
	uint64_t fd_off; /* of byte 0 of the region */
	unsigned nareas; /* 0: all of it */
	struct {
		uint64_t off, len;
	} area[R3_REGION_AREAS];
};

/** A piece of device address space. */
struct r3_iova_range {
	uint64_t first, last; /* inclusive */
};

struct r3_dma_limits {
	uint64_t page_size; /* granule of dma_map() */
	unsigned nwindows;  /* usable device addresses */
	struct r3_iova_range window[8];
};

/** What dma_map() made: device addresses of consecutive bytes of the memory. */
struct r3_dma_extent {
	uint64_t iova;
	uint64_t len;
};

enum r3_dma_prot {
	R3_DMA_DEVICE_READ = 1 << 0,
	R3_DMA_DEVICE_WRITE = 1 << 1,
};

enum r3_dma_direction {
	R3_DMA_FOR_DEVICE, /* make the CPU's bytes visible to the device */
	R3_DMA_FOR_CPU,    /* and the other way round */
};

/** rw() flags. */
#define R3_RW_WRITE  (1u << 0)
#define R3_RW_POSTED (1u << 1) /* a write may complete later, in order */

struct r3_bus_ops {
	uint32_t size; /* sizeof(struct r3_bus_ops) of the implementer */

	/** Free everything. The core has unmapped the regions and freed the arena. */
	void (*close)(struct r3_device *dev);

	/** Describe region @index; info is zeroed with fd -1. Size 0 means none. */
	int (*region_info)(struct r3_device *dev, unsigned index, struct r3_region_info *info);

	/** Access @count items of @width bytes, in CPU byte order, at consecutive
	 *  offsets. ENODEV: gone (the core turns reads into all ones). */
	int (*rw)(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		  uint32_t count, unsigned flags);

	/** Give the device @n vectors of @type (enum r3_irq_type), replacing any set it
	 *  has; n = 0 turns interrupts off, for a gone device too, because the
	 *  descriptors that it may still hold are closed next. Vectors are unbound, so
	 *  silent. */
	int (*irq_alloc)(struct r3_device *dev, unsigned type, unsigned n);

	/** Signal fds[i] (an eventfd, the caller's; -1: none) for vector first+i. After
	 *  it returns, every interrupt the device raises is counted there. */
	int (*irq_bind)(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
			const int *fds);

	/** Mask or unmask one vector. An INTx masks itself when it is delivered; unmasking
	 *  it delivers it again if the line is still up. MSI and MSI-X: R3_CAP_IRQ_MASK. */
	int (*irq_mask)(struct r3_device *dev, unsigned type, unsigned vector, bool mask);

	/** Somebody took @count interrupts from the eventfd of a vector. For those who watch:
	 *  a carrier has no part in it. From the thread that took them. */
	void (*irq_taken)(struct r3_device *dev, unsigned type, unsigned vector, uint64_t count);

	/** Limits of device addresses. */
	int (*dma_limits)(struct r3_device *dev, struct r3_dma_limits *limits);

	/** R3_CAP_OWN_MEM: the memory that the device can reach, and which bytes of it
	 *  an arena may use. The core takes a reference, and still calls dma_map() with it
	 *  to learn its device addresses. */
	int (*dma_memory)(struct r3_device *dev, uint64_t want, struct r3_mem **mem, uint64_t *off,
			  uint64_t *len);

	/** Let the device reach bytes [off, off+len) of @mem. With R3_CAP_DMA_ASSIGNED
	 *  the carrier chooses the addresses, else extent[0].iova is the caller's choice.
	 *  *n is the room in @extent, then the number used; E2BIG: more are needed. */
	int (*dma_map)(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
		       unsigned prot, struct r3_dma_extent *extent, unsigned *n);

	/** Returns when the device can no longer reach [iova, iova+len). */
	int (*dma_unmap)(struct r3_device *dev, uint64_t iova, uint64_t len);

	/** For memory that is not coherent; NULL: it is. From the thread of the memory's
	 *  map, which need not be the device's. */
	int (*dma_sync)(struct r3_device *dev, uint64_t iova, uint64_t len,
			enum r3_dma_direction direction);

	/** @how is never R3_RESET_ANY: the core chooses by caps. Restores the BARs. */
	int (*reset)(struct r3_device *dev, enum r3_reset how);
	int (*quiesce)(struct r3_device *dev, unsigned want, unsigned *proved);

	int (*fd)(struct r3_device *dev);
	/** As r3_device_dispatch(). A carrier that sees its device go calls
	 *  r3_device_set_gone() at once, before anybody takes the event: r3_irq_wait()
	 *  dispatches with @max 0. */
	int (*dispatch)(struct r3_device *dev, struct r3_event *events, unsigned max);
};

#define R3_DEVICE_ARENA_EXTENTS 16
/* Of the addresses that are ours to choose, so that a descriptor full of zeroes faults. */
#define R3_DEVICE_LOWEST_IOVA (UINT64_C(1) << 20)

/** Memory of others that the device reaches besides its arena, as one run of addresses. */
struct r3_device_lent {
	struct r3_mem *mem;
	unsigned char *base;
	struct r3_dma_extent extent;
};
#define R3_DEVICE_LENT 32

/** The part of a device that every carrier has; a carrier embeds it first. */
struct r3_device {
	const struct r3_bus_ops *ops;
	struct r3_device_info info; /* caps, nregions, nirqs: filled by the carrier */
	struct r3_clock *clock;
	struct r3_device *lower; /* a filter's, owned: what it is in front of; else NULL */
	bool gone;               /* set once, by the carrier or the core; read by any thread */

	/* the core's */
	struct r3_region *region[R3_REGION_MAX];
	char *address;
	uint64_t arena_size;
	struct r3_arena *arena;
	unsigned char *arena_base; /* the memory of the extents below */
	uint64_t arena_len;
	struct r3_dma_extent arena_extent[R3_DEVICE_ARENA_EXTENTS];
	unsigned arena_extents;
	struct r3_device_lent lent[R3_DEVICE_LENT];
	unsigned nlent;
	struct r3_dma_map *dma_foreign; /* loaded maps with device addresses of their own */
	struct r3_irq_set *irq;         /* at most one */
};

/** A carrier: opens what stands behind its scheme's colon. */
struct r3_backend {
	const char *scheme;
	const char *summary; /* one line, for `ring3 version --features` */
	/** Allocate a carrier struct whose first member is struct r3_device and fill
	 *  ops and info (not info.address). info.name must live as long as it. */
	int (*open)(const struct r3_address *address, const struct r3_open_opts *opts,
		    struct r3_device **out);
	/** Instead of open: why there is no such backend here, and the remedy. */
	const char *missing;
};

/** A filter: wraps a device. It owns @lower once it returned 0. Its ops forward what
 *  they do not change: see filter.h. */
struct r3_filter {
	const char *name;
	const char *summary;
	int (*wrap)(struct r3_device *lower, const struct r3_params *params,
		    struct r3_device **out);
	const char *missing;
};

/** All of them, NULL-ended; lib/all.c. */
extern const struct r3_backend *const r3_backends[];
extern const struct r3_filter *const r3_filters[];

/** For carriers: the base part, before the carrier fills its own. */
void r3_device_init(struct r3_device *dev, const struct r3_bus_ops *ops,
		    const struct r3_open_opts *opts);

/** Open an already parsed address. */
int r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
			  struct r3_device **out);

/** Make a device that a test or a model built usable: what r3_device_open() does
 *  after the backend's open. @address is its name from then on. Closes dev on failure. */
int r3_device_adopt(struct r3_device *dev, const char *address);

/** The same for the device behind @address, with its filters in front. */
int r3_device_wrap(struct r3_device *dev, const struct r3_address *address, struct r3_device **out);

/** 0, or -ENODEV with a text when the device is gone. */
int r3_device_alive(struct r3_device *dev);

/** Pass an operation's @rc through; on -ENODEV mark the device gone. */
int r3_device_answer(struct r3_device *dev, int rc);

/** The device address of @ptr in the device's arena or in memory lent to it, and in *left
 *  the bytes from it on that are contiguous for the device. False when it is in neither. */
bool r3_device_iova(const struct r3_device *dev, const void *ptr, uint64_t *iova, uint64_t *left);

/** Take lent[i] back. */
void r3_device_drop_lent(struct r3_device *dev, unsigned i);

/** Mark the device gone, once, from whichever operation notices. */
void r3_device_set_gone(struct r3_device *dev);

#endif
