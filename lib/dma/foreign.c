/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is not the device's arena but could be: where the carrier can map any
 * r3_mem, it gets device addresses for one load. That is a system call or two, for
 * long transfers worth it; whoever does many loads of the same memory should take
 * it from the arena.
 *
 * Where the addresses are ours to choose, they are taken from the top of the
 * device's windows, away from the arena. dev->dma_foreign lists those in use; like
 * all operations of a carrier, this is for the thread of the device's handle.
 *
 * Memory that is lent is mapped once, for as long as it is, and all loads find it.
 */
#include "dma/map.h"
#include <errno.h>
#include <ring3/error.h>
#include <string.h>

static bool overlaps(const struct r3_dma_extent *e, uint64_t first, uint64_t last)
{
	return e->len && first <= e->iova + e->len - 1 && e->iova <= last;
}

/* What is in the way of [first, last], NULL: nothing. */
static const struct r3_dma_extent *obstacle(const struct r3_device *dev, uint64_t first,
					    uint64_t last)
{
	for (unsigned i = 0; i < dev->arena_extents; i++)
		if (overlaps(&dev->arena_extent[i], first, last))
			return &dev->arena_extent[i];
	for (unsigned i = 0; i < dev->nlent; i++)
		if (overlaps(&dev->lent[i].extent, first, last))
			return &dev->lent[i].extent;
	for (const struct r3_dma_map *map = dev->dma_foreign; map; map = map->next)
		for (unsigned i = 0; i < map->nextents; i++)
			if (overlaps(&map->extent[i], first, last))
				return &map->extent[i];
	return NULL;
}

static bool choose(const struct r3_device *dev, uint64_t highest,
		   const struct r3_dma_limits *limits, uint64_t len, uint64_t *iova)
{
	for (unsigned i = limits->nwindows < 8 ? limits->nwindows : 8; i-- > 0;) {
		uint64_t first = limits->window[i].first, last = limits->window[i].last;

		if (first < R3_DEVICE_LOWEST_IOVA)
			first = R3_DEVICE_LOWEST_IOVA;
		if (last > highest)
			last = highest;
		/* Each round ends below something that was in the way. */
		while (last >= first && last - first >= len - 1) {
			uint64_t at = (last - (len - 1)) & ~(limits->page_size - 1);
			const struct r3_dma_extent *e;

			if (at < first)
				break;
			e = obstacle(dev, at, at + len - 1);
			if (!e) {
				*iova = at;
				return true;
			}
			if (e->iova == 0)
				break;
			last = e->iova - 1;
		}
	}
	return false;
}

static void unmap(struct r3_dma_map *map)
{
	struct r3_device *dev = map->tag->dev;
	bool reachable = false;

	for (unsigned i = 0; i < map->nextents; i++)
		reachable |= dev->ops->dma_unmap(dev, map->extent[i].iova, map->extent[i].len) < 0;
	map->nextents = 0;
	/* What a live device may still write must stay memory, and nobody else's. */
	if (!reachable || r3_device_gone(dev))
		r3_mem_unref(map->mem);
	map->mem = NULL;
}

/* The segments of map->len bytes that begin @skip bytes into the extents. */
static bool cut_extents(struct r3_dma_map *map, uint64_t skip)
{
	struct r3_dma_cutter cut;
	uint64_t left = map->len;

	r3_dma_cut_begin(&cut, map);
	for (unsigned i = 0; left && i < map->nextents; i++) {
		uint64_t n = map->extent[i].len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		n -= skip;
		if (n > left)
			n = left;
		if (!r3_dma_cut_add(&cut, map->extent[i].iova + skip, n))
			return false;
		skip = 0;
		left -= n;
	}
	return !left && r3_dma_cut_end(&cut);
}

bool r3_dma_foreign(struct r3_dma_map *map, struct r3_mem *mem, uint64_t off)
{
	struct r3_device *dev = map->tag->dev;
	struct r3_dma_limits limits = {0};
	unsigned prot = (map->flags & R3_DMA_TO_DEVICE ? R3_DMA_DEVICE_READ : 0) |
			(map->flags & R3_DMA_FROM_DEVICE ? R3_DMA_DEVICE_WRITE : 0);

	if (dev->info.caps & R3_CAP_OWN_MEM || !dev->ops->dma_map || !dev->ops->dma_unmap ||
	    !dev->ops->dma_limits || dev->ops->dma_limits(dev, &limits) < 0 || !limits.page_size)
		return false;

	uint64_t skip = off & (limits.page_size - 1);
	uint64_t len = (skip + map->len + limits.page_size - 1) & ~(limits.page_size - 1);

	if (len < map->len || len > r3_mem_size(mem) - (off - skip))
		return false;
	if (!(dev->info.caps & R3_CAP_DMA_ASSIGNED) &&
	    !choose(dev, map->tag->c.highest, &limits, len, &map->extent[0].iova))
		return false;
	map->nextents = R3_DEVICE_ARENA_EXTENTS;
	if (dev->ops->dma_map(dev, mem, off - skip, len, prot, map->extent, &map->nextents) < 0) {
		map->nextents = 0;
		return false;
	}
	if (map->nextents > R3_DEVICE_ARENA_EXTENTS)
		map->nextents = 0;
	map->mem = r3_mem_ref(mem);
	if (!cut_extents(map, skip)) {
		unmap(map);
		return false;
	}
	map->work |= R3_DMA_WORK_FOREIGN;
	map->next = dev->dma_foreign;
	dev->dma_foreign = map;
	return true;
}

void r3_dma_foreign_end(struct r3_dma_map *map)
{
	struct r3_dma_map **at = &map->tag->dev->dma_foreign;

	while (*at && *at != map)
		at = &(*at)->next;
	if (*at)
		*at = map->next;
	unmap(map);
}

/* ---- lent memory ---- */

int r3_dma_lend(struct r3_device *dev, struct r3_mem *mem)
{
	struct r3_dma_limits limits = {0};
	struct r3_dma_extent extent[R3_DEVICE_ARENA_EXTENTS] = {{.len = 0}};
	uint64_t len = r3_mem_size(mem);
	unsigned n = R3_DEVICE_ARENA_EXTENTS;
	int rc;

	if (dev->info.caps & R3_CAP_OWN_MEM || !dev->ops->dma_map || !dev->ops->dma_unmap ||
	    !dev->ops->dma_limits)
		return r3_error_set(EOPNOTSUPP, "%s: it reaches no memory but its own",
				    dev->info.name);
	if (dev->nlent == R3_DEVICE_LENT)
		return r3_error_set(ENOSPC, "%s: no more than %u pieces of memory are lent",
				    dev->info.name, R3_DEVICE_LENT);
	rc = dev->ops->dma_limits(dev, &limits);
	if (rc < 0)
		return rc;
	if (!limits.page_size || len & (limits.page_size - 1) ||
	    (!(dev->info.caps & R3_CAP_DMA_ASSIGNED) &&
	     !choose(dev, UINT64_MAX, &limits, len, &extent[0].iova)))
		return r3_error_set(ENOSPC, "%s: no device addresses for %#jx bytes",
				    dev->info.name, (uintmax_t)len);
	rc = dev->ops->dma_map(dev, mem, 0, len, R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE, extent,
			       &n);
	if (rc < 0)
		return rc;
	if (n != 1 || extent[0].len != len) { /* each piece would have to be looked for */
		for (unsigned i = 0; i < n && i < R3_DEVICE_ARENA_EXTENTS; i++)
			(void)dev->ops->dma_unmap(dev, extent[i].iova, extent[i].len);
		return r3_error_set(EOPNOTSUPP, "%s: its addresses of it do not follow each other",
				    dev->info.name);
	}
	dev->lent[dev->nlent++] = (struct r3_device_lent){
		.mem = r3_mem_ref(mem), .base = r3_mem_addr(mem), .extent = extent[0]};
	return 0;
}

void r3_dma_take_back(struct r3_device *dev, struct r3_mem *mem)
{
	for (unsigned i = 0; i < dev->nlent; i++) {
		if (dev->lent[i].mem == mem) {
			r3_device_drop_lent(dev, i);
			return;
		}
	}
}
