/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bouncing: what the device cannot reach, or cannot use as it lies, is copied to
 * one contiguous piece of the arena. The piece is the map's own, if one that is
 * large enough was reserved, else it lives for one load.
 */
#include "dma/map.h"
#include "mem/poison.h"
#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <string.h>

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Where the piece begins decides how many segments it is cut into. It begins where
 * segments may meet, and lies inside one boundary or begins at one, for this length
 * and any shorter one. Where device addresses have gaps there may be no such place,
 * and a piece across a gap may do. */
static int find(struct r3_dma_map *map, uint64_t len, struct r3_dma_piece *piece)
{
	const struct r3_dma_constraints *c = &map->tag->c;
	uint64_t align = max(c->alignment, c->virt_boundary);
	int rc = r3_dma_place(map->tag, len, len > c->boundary ? max(align, c->boundary) : align,
			      piece);

	if (rc < 0 && map->tag->dev->arena_extents > 1 &&
	    r3_arena_alloc(map->tag->arena, len, align, &piece->mem) == 0) {
		piece->ptr = piece->mem;
		rc = 0;
	}
	return rc;
}

int r3_dma_bounce_reserve(struct r3_dma_map *map, uint64_t len)
{
	int rc = find(map, len, &map->reserved);

	if (rc == 0)
		map->reserved_len = len;
	return rc;
}

int r3_dma_bounce(struct r3_dma_map *map)
{
	struct r3_dma_cutter cut;

	if (map->len <= map->reserved_len) {
		map->bounce = map->reserved;
	} else {
		int rc = find(map, map->len, &map->bounce);
		if (rc < 0) {
			map->work = 0;
			return rc;
		}
	}
	r3_dma_cut_begin(&cut, map);
	if (r3_dma_cut_add_memory(&cut, map->bounce.ptr, map->len) && r3_dma_cut_end(&cut)) {
		map->work |= R3_DMA_WORK_BOUNCE;
		return 0;
	}
	r3_dma_bounce_end(map);
	map->work = 0;
	return r3_error_set(EFBIG,
			    "%s: DMA load: %" PRIu64 " bytes need more than %" PRIu32
			    " segments of at most %" PRIu64 " even in one piece",
			    map->tag->dev->info.name, map->len, map->tag->c.max_segments,
			    map->tag->c.max_segment);
}

void r3_dma_bounce_end(struct r3_dma_map *map)
{
	if (map->bounce.ptr != map->reserved.ptr)
		r3_dma_unplace(map->tag, &map->bounce);
}

void r3_dma_bounce_copy(struct r3_dma_map *map, uint64_t off, uint64_t len, bool to_device)
{
	unsigned char *copy = (unsigned char *)map->bounce.ptr + off;

	for (unsigned i = 0; len && i < map->nsg; i++) {
		uint64_t n = map->sg[i].len;

		if (off >= n) {
			off -= n;
			continue;
		}
		unsigned char *theirs = (unsigned char *)map->sg[i].addr + off;
		n -= off;
		off = 0;
		if (n > len)
			n = len;
		if (to_device) {
			memcpy(copy, theirs, n);
		} else {
			r3_filled(copy, n);
			memcpy(theirs, copy, n);
		}
		copy += n;
		len -= n;
	}
}
