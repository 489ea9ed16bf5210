/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tags and maps from inside, and the common case of a load as inline code: a buffer
 * of the arena that fits the tag as it is. Then load, sync and unload together are
 * some tens of instructions, and nothing of it leaves the map's two cache lines.
 *
 * A load is bounced as a whole or not at all. Bouncing only the pieces that do not
 * fit would save copies in a list that is mostly good, but each bounced piece would
 * need its own memory, be a segment of its own, and have to meet its neighbours at
 * virt_boundary; one contiguous copy needs the fewest segments there can be.
 */
#ifndef RING3_DMA_MAP_H
#define RING3_DMA_MAP_H

#include "bus/ops.h"
#include <pthread.h>
#include <ring3/dma.h>
#include <ring3/region.h>

/** Most segments of one load, whatever the device says. */
#define R3_DMA_SEGMENTS_MOST 4096u
/** "No boundary" as a boundary: no segment of a real device crosses it. */
#define R3_DMA_NO_BOUNDARY (UINT64_C(1) << 63)

/** A piece of the arena that is one segment, as long as it was asked for. */
struct r3_dma_piece {
	void *ptr;
	uint64_t iova;
	void *mem; /* what the arena gave; ptr may lie further on, to be aligned */
};

struct r3_dma_alloc {
	struct r3_dma_piece piece;
	struct r3_dma_alloc *next;
};

struct r3_dma_tag {
	/* The arena, as far as one run of device addresses up to `highest` reaches. */
	uintptr_t base;
	uint64_t span; /* bytes; 0: there is no such run at its beginning */
	uint64_t base_iova;
	uint64_t one_segment; /* longest load that max_segment and max_len leave in one piece */
	uint64_t align_mask;

	struct r3_dma_constraints c;
	struct r3_device *dev;
	struct r3_arena *arena;
	struct r3_dma_tag *parent;
	unsigned refs; /* atomic */
	unsigned sync; /* R3_DMA_WORK_SYNC where the carrier wants to be told */

	pthread_mutex_t lock; /* of allocs */
	struct r3_dma_alloc *allocs;
};

/** What a loaded map has to do besides naming segments. */
enum r3_dma_work {
	R3_DMA_WORK_BOUNCE = 1 << 0,  /* copy in sync */
	R3_DMA_WORK_SYNC = 1 << 1,    /* call ops->dma_sync */
	R3_DMA_WORK_FOREIGN = 1 << 2, /* unload takes the device's addresses away */
};

struct r3_dma_map {
	struct r3_dma_tag *tag;
	unsigned nseg; /* 0: not loaded */
	unsigned work; /* enum r3_dma_work */
	uint64_t len;
	unsigned flags;
	unsigned nsg;
	const struct r3_sg *sg; /* the caller's pieces, where a copy has to know them */
	struct r3_sg one;       /* sg of a load of one buffer */

	struct r3_dma_piece bounce;   /* of this load */
	struct r3_dma_piece reserved; /* of the map; ptr NULL: none */
	uint64_t reserved_len;

	/* memory that has device addresses for this load only (foreign.c) */
	struct r3_mem *mem;
	struct r3_dma_extent extent[R3_DEVICE_ARENA_EXTENTS];
	unsigned nextents;
	struct r3_dma_map *next; /* in dev->dma_foreign */

	struct r3_dma_seg seg[]; /* tag->c.max_segments */
};

/** Move bytes [off, off+len) of the load, as r3_dma_sync_range(); undo map->work. */
void r3_dma_sync_bytes(struct r3_dma_map *map, uint64_t off, uint64_t len, unsigned how);
void r3_dma_unload_work(struct r3_dma_map *map);

/** The device address of @ptr and the contiguous bytes from it on. */
static inline bool r3_dma_translate(const struct r3_dma_tag *tag, const void *ptr, uint64_t *iova,
				    uint64_t *left)
{
	uint64_t off = (uintptr_t)ptr - tag->base;

	if (off < tag->span) {
		*iova = tag->base_iova + off;
		*left = tag->span - off;
		return true;
	}
	return r3_device_iova(tag->dev, ptr, iova, left);
}

/** Whether the device can use a buffer as it is, in one segment, and where that is. */
static inline bool r3_dma_reach(const struct r3_dma_tag *tag, const void *buf, size_t len,
				uint64_t *iova)
{
	uint64_t off = (uintptr_t)buf - tag->base;
	uint64_t at = tag->base_iova + off;

	*iova = at;
	/* len 0 wraps to more than any segment. span - len does not wrap, because
	 * one_segment is at most span. Two addresses of one block differ only in the bits
	 * below the boundary. */
	return __builtin_expect(len - 1 < tag->one_segment && off <= tag->span - len &&
					!(at & tag->align_mask) &&
					(at ^ (at + len - 1)) < tag->c.boundary,
				1);
}

/** r3_dma_load() for such a buffer; false: the map is as before, and r3_dma_load() will
 *  find out. */
static inline bool r3_dma_load_direct(struct r3_dma_map *map, const void *buf, size_t len,
				      unsigned flags)
{
	const struct r3_dma_tag *tag = map->tag;
	uint64_t iova;

	if (map->nseg || flags - 1 >= (R3_DMA_TO_DEVICE | R3_DMA_FROM_DEVICE) ||
	    !r3_dma_reach(tag, buf, len, &iova))
		return false;
	map->seg[0].addr.v = iova;
	map->seg[0].len = len; /* the handle is always 0 */
	map->nseg = 1;
	map->work = tag->sync;
	map->len = len;
	map->flags = flags;
	return true;
}

/** r3_dma_sync() and r3_dma_unload() inline, for drivers of the library. */
static inline void r3_dma_sync_inline(struct r3_dma_map *map, unsigned how)
{
	/* What the device wrote is loaded only after its word that it is done, and what we
	 * wrote is stored before our word that it may begin. Asking which of the two it is
	 * would cost more than the barriers. */
	r3_barrier_read();
	if (__builtin_expect(map->work, 0))
		r3_dma_sync_bytes(map, 0, map->len, how);
	r3_barrier_write();
}

static inline void r3_dma_unload_inline(struct r3_dma_map *map)
{
	if (__builtin_expect(map->work, 0))
		r3_dma_unload_work(map);
	map->nseg = 0;
}

/** Find @len contiguous bytes of the arena whose device address is a multiple of
 *  @align, below the tag's `highest`, and, if they are not longer than it, inside
 *  its boundary. Errors: ENOMEM. */
int r3_dma_place(const struct r3_dma_tag *tag, uint64_t len, uint64_t align,
		 struct r3_dma_piece *piece);
void r3_dma_unplace(const struct r3_dma_tag *tag, struct r3_dma_piece *piece);

/** Segments of consecutive runs of device addresses: begin, add each, end. False from
 *  add or end: they do not fit the tag. Only end sets map->nseg. */
struct r3_dma_cutter {
	struct r3_dma_map *map;
	uint64_t iova, len; /* the run so far */
	unsigned nseg;
};
void r3_dma_cut_begin(struct r3_dma_cutter *cut, struct r3_dma_map *map);
bool r3_dma_cut_add(struct r3_dma_cutter *cut, uint64_t iova, uint64_t len);
bool r3_dma_cut_end(struct r3_dma_cutter *cut);
/** Add @len bytes of memory at @ptr. */
bool r3_dma_cut_add_memory(struct r3_dma_cutter *cut, const void *ptr, uint64_t len);

/** Load map->sg through a copy in the arena. Errors: EFBIG; ENOMEM. */
int r3_dma_bounce(struct r3_dma_map *map);
/** Reserve the bounce memory of a map for all its life. */
int r3_dma_bounce_reserve(struct r3_dma_map *map, uint64_t len);
void r3_dma_bounce_end(struct r3_dma_map *map);
/** Copy bytes [off, off+len) of the load to the bounce memory, or from it. */
void r3_dma_bounce_copy(struct r3_dma_map *map, uint64_t off, uint64_t len, bool to_device);

/** Load bytes of an r3_mem by giving them device addresses. False: it has to be
 *  bounced. */
bool r3_dma_foreign(struct r3_dma_map *map, struct r3_mem *mem, uint64_t off);
void r3_dma_foreign_end(struct r3_dma_map *map);

/** Let all of the device reach @mem, which is not bounced any more, until it is taken back.
 *  While nothing of the device is in flight, or being loaded by another thread.
 *  Errors: EOPNOTSUPP it reaches no memory of others, or not in one piece; ENOSPC; those of
 *  the carrier. */
int r3_dma_lend(struct r3_device *dev, struct r3_mem *mem);
/** Returns when the device cannot reach it any more; of what was not lent nothing happens. */
void r3_dma_take_back(struct r3_device *dev, struct r3_mem *mem);

#endif
