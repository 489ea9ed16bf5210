/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sync: hand loaded memory to the device, and take it back. Where the device uses
 * the caller's memory itself and sees what the CPU sees, only order matters.
 *
 * PREREAD copies too. A device that writes less than it was given then leaves the
 * rest as it was, bounced or not; and what a bounce buffer held for an earlier
 * transfer never reaches a later one.
 */
#include "dma/map.h"

/* Tell the carrier, for each segment's share of the range. It has no way to fail
 * that is ours to handle: a device that is gone sees nothing either way. */
static void sync_device(struct r3_dma_map *map, uint64_t off, uint64_t len,
			enum r3_dma_direction direction)
{
	struct r3_device *dev = map->tag->dev;

	for (unsigned i = 0; len && i < map->nseg; i++) {
		uint64_t n = map->seg[i].len;

		if (off >= n) {
			off -= n;
			continue;
		}
		n -= off;
		if (n > len)
			n = len;
		dev->ops->dma_sync(dev, map->seg[i].addr.v + off, n, direction);
		off = 0;
		len -= n;
	}
}

void r3_dma_sync_bytes(struct r3_dma_map *map, uint64_t off, uint64_t len, unsigned how)
{
	/* A direction that was not loaded moves nothing: the memory of a load to the
	 * device only may be read-only. */
	if (!(map->flags & R3_DMA_FROM_DEVICE))
		how &= ~(unsigned)(R3_DMA_PREREAD | R3_DMA_POSTREAD);
	if (!(map->flags & R3_DMA_TO_DEVICE))
		how &= ~(unsigned)(R3_DMA_PREWRITE | R3_DMA_POSTWRITE);

	if (how & (R3_DMA_POSTREAD | R3_DMA_POSTWRITE)) {
		if (map->work & R3_DMA_WORK_SYNC)
			sync_device(map, off, len, R3_DMA_FOR_CPU);
		if (map->work & R3_DMA_WORK_BOUNCE && how & R3_DMA_POSTREAD)
			r3_dma_bounce_copy(map, off, len, false);
	}
	if (how & (R3_DMA_PREREAD | R3_DMA_PREWRITE)) {
		if (map->work & R3_DMA_WORK_BOUNCE)
			r3_dma_bounce_copy(map, off, len, true);
		if (map->work & R3_DMA_WORK_SYNC)
			sync_device(map, off, len, R3_DMA_FOR_DEVICE);
	}
}

void r3_dma_sync(struct r3_dma_map *map, unsigned how)
{
	r3_dma_sync_inline(map, how);
}

void r3_dma_sync_range(struct r3_dma_map *map, uint64_t off, uint64_t len, unsigned how)
{
	r3_barrier_read();
	if (map->work && off < map->len)
		r3_dma_sync_bytes(map, off, len < map->len - off ? len : map->len - off, how);
	r3_barrier_write();
}
