/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA, with the semantics of bus_dma(9).
 *
 * A *tag* says what a device can do: alignment, boundary, highest address, number
 * and size of segments. Tags derive from a parent, the first of all from the
 * device, and are never laxer than it. They do not change and are counted.
 *
 * A *map* says where one transfer's memory is for the device. Loading a map gives
 * segments of device addresses. What the device cannot reach as it is (memory that
 * is not the device's, or does not fit the tag) is bounced: the map keeps a copy in
 * the arena, and sync moves the bytes. So every transfer is
 *
 *      load; sync(PREREAD or PREWRITE); the device works; sync(POSTREAD or
 *      POSTWRITE); unload
 *
 * READ and WRITE are seen from the program, as in bus_dma(9): before a disk read,
 * where the device fills memory, PREREAD; after it, POSTREAD.
 *
 * A device address is an r3_iova. It is not a pointer, and not a physical address.
 * A tag is shared by threads; a map belongs to one. Loading and syncing take no
 * lock, make no system call and allocate nothing, except where a bounce buffer
 * that was not reserved with the map is needed, or memory outside the arena is mapped.
 */
#ifndef RING3_DMA_H
#define RING3_DMA_H

#include <ring3/api.h>
#include <ring3/sg.h>

R3_BEGIN

struct r3_device;
struct r3_mem;
struct r3_dma_tag;
struct r3_dma_map;

/** A device address. A struct, so that it cannot be mixed with anything else. */
typedef struct r3_iova {
	uint64_t v;
} r3_iova;

/** One contiguous piece for the device. */
struct r3_dma_seg {
	r3_iova addr;
	uint64_t len;
	uint64_t handle; /* the carrier's own name for it (a Xen grant); 0 elsewhere */
};

/** What a device asks of memory. 0 in a field means: no demand of its own. */
struct r3_dma_constraints {
	uint32_t size;          /* sizeof(struct r3_dma_constraints) */
	uint32_t max_segments;  /* in one load */
	uint64_t alignment;     /* of each segment's address; power of two */
	uint64_t boundary;      /* no segment crosses a multiple of it; power of two */
	uint64_t highest;       /* highest address of any byte */
	uint64_t max_segment;   /* bytes of one segment */
	uint64_t max_len;       /* bytes of one load */
	uint64_t virt_boundary; /* segments meet only at its multiples (NVMe's PRP); power of two */
};

/** Derive a tag. @parent NULL: from the device itself; @constraints NULL: with no
 *  demand of its own. The result is the stricter of
 *  both in each field, and keeps its parent alive. In a tag whose segments are too
 *  short to reach from one place where they may meet to the next, max_segments is 1.
 *  Errors: EINVAL a field is no power of two, or the two together leave nothing
 *  (the text says which), or @parent is of another device; EOPNOTSUPP the device has
 *  no DMA; ENOMEM. */
R3_API int r3_dma_tag_create(struct r3_device *dev, struct r3_dma_tag *parent,
			     const struct r3_dma_constraints *constraints, struct r3_dma_tag **out);
R3_API struct r3_dma_tag *r3_dma_tag_ref(struct r3_dma_tag *tag);
R3_API void r3_dma_tag_unref(struct r3_dma_tag *tag); /* NULL is allowed */

/** What holds in the end. Each field but size is non-zero. */
R3_API const struct r3_dma_constraints *r3_dma_tag_constraints(const struct r3_dma_tag *tag);

/** Allocate zeroed memory that fits the tag in one segment and that device and CPU
 *  both see at once (a ring, a descriptor table), at device address *iova.
 *  Errors: EINVAL @len above the tag's limits; ENOMEM. */
R3_API int r3_dma_alloc(struct r3_dma_tag *tag, uint64_t len, void **ptr, r3_iova *iova);
/** Give it back with the tag it came from, which it kept alive; with any other
 *  nothing happens. NULL is allowed. */
R3_API void r3_dma_free(struct r3_dma_tag *tag, void *ptr);

/** Make a map. @bounce bytes are reserved for bouncing, so that loads of up to that
 *  many bytes never fail for want of memory; 0: bounce buffers are allocated when
 *  one is needed. Errors: EINVAL @bounce above the tag's max_len; ENOMEM. */
R3_API int r3_dma_map_create(struct r3_dma_tag *tag, uint64_t bounce, struct r3_dma_map **out);

/** Errors: EBUSY the map is loaded. NULL is allowed. */
R3_API int r3_dma_map_destroy(struct r3_dma_map *map);

enum r3_dma_load_flags {
	R3_DMA_TO_DEVICE = 1 << 0,   /* the device will read this memory */
	R3_DMA_FROM_DEVICE = 1 << 1, /* the device will write it */
	R3_DMA_BOUNCE = 1 << 2,      /* bounce even what the device could reach */
};

/** For loads that have to wait for memory. A load that must wait returns
 *  -EINPROGRESS and calls back exactly once, from r3_device_dispatch(), in the order
 *  of loading; a load without a waiter fails with -ENOMEM instead. No carrier built
 *  today waits, so no load returns -EINPROGRESS. */
struct r3_dma_waiter {
	void (*loaded)(struct r3_dma_waiter *waiter, struct r3_dma_map *map, int err);
};

/** Load a buffer, a scatter-gather list, or part of an r3_mem. Memory and list stay
 *  the caller's and must stay until unload. A loaded map cannot be loaded again.
 *  A load is bounced as a whole, if any of it has to be: if the device cannot reach it,
 *  or it does not fit the tag as it lies. An r3_mem that is not of the arena is mapped
 *  for the device where the carrier can; that is the one kind of load that makes
 *  system calls, and only for the thread of the device.
 *  @flags: directions (at least one) and R3_DMA_BOUNCE. @waiter may be NULL.
 *  Errors: EBUSY loaded already; EINVAL no direction, length 0 or above max_len;
 *  EFBIG more than max_segments even when bounced; ENOMEM no bounce memory. A
 *  failed load leaves the map unloaded and everything as it was. */
R3_API int r3_dma_load(struct r3_dma_map *map, void *buf, size_t len, unsigned flags,
		       struct r3_dma_waiter *waiter);
R3_API int r3_dma_load_sg(struct r3_dma_map *map, const struct r3_sg *sg, unsigned nsg,
			  unsigned flags, struct r3_dma_waiter *waiter);
R3_API int r3_dma_load_mem(struct r3_dma_map *map, struct r3_mem *mem, uint64_t off, uint64_t len,
			   unsigned flags, struct r3_dma_waiter *waiter);

/** The segments of a loaded map, in order; *nseg is at least 1 and at most
 *  max_segments. NULL and 0 when the map is not loaded. Valid until unload. */
R3_API const struct r3_dma_seg *r3_dma_segs(const struct r3_dma_map *map, unsigned *nseg);

/** How many bytes of the load are bounced; 0 when the device uses the memory itself. */
R3_API uint64_t r3_dma_bounced(const struct r3_dma_map *map);

enum r3_dma_sync_ops {
	R3_DMA_PREREAD = 1 << 0,   /* before the device writes */
	R3_DMA_POSTREAD = 1 << 1,  /* after it has written: the program may read */
	R3_DMA_PREWRITE = 1 << 2,  /* the program has written: before the device reads */
	R3_DMA_POSTWRITE = 1 << 3, /* after it has read */
};

/** Hand the loaded memory to the device (PRE) or take it back (POST). On a map that is
 *  not loaded, or in a direction that it was not loaded for, it does nothing. The range
 *  form moves only bytes [off, off+len). What the device leaves unwritten between
 *  PREREAD and POSTREAD stays as it was, bounced or not. */
R3_API void r3_dma_sync(struct r3_dma_map *map, unsigned how);
R3_API void r3_dma_sync_range(struct r3_dma_map *map, uint64_t off, uint64_t len, unsigned how);

/** Forget the load. Does not copy: sync first. A load still waiting is cancelled and
 *  will not call back. On a map that is not loaded it does nothing. */
R3_API void r3_dma_unload(struct r3_dma_map *map);

R3_END
#endif
