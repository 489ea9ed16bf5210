/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pieces of the arena by device address: rings and descriptor tables for drivers,
 * and bounce memory for maps. The arena allocates by place in memory; where device
 * addresses are not congruent to that, or have gaps, a piece is looked for.
 */
#include "dma/map.h"
#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <stdlib.h>

/* Pieces put aside in one search. An arena has few extents, so a search that
 * fails this often is not going to succeed. */
#define SEARCH_MOST 32

/* Does a segment of @len bytes at @ptr fit? */
static bool fits(const struct r3_dma_tag *tag, void *ptr, uint64_t len, uint64_t align,
		 uint64_t *iova)
{
	const struct r3_dma_constraints *c = &tag->c;
	uint64_t left;

	return r3_device_iova(tag->dev, ptr, iova, &left) && left >= len &&
	       !(*iova & (align - 1)) && *iova <= c->highest && len - 1 <= c->highest - *iova &&
	       (len > c->boundary || (*iova ^ (*iova + len - 1)) < c->boundary);
}

/* The smallest power of two that is not below @len. */
static uint64_t round_to_power(uint64_t len)
{
	uint64_t x = 1;

	while (x < len)
		x <<= 1;
	return x;
}

int r3_dma_place(const struct r3_dma_tag *tag, uint64_t len, uint64_t align,
		 struct r3_dma_piece *piece)
{
	uint64_t boundary = tag->c.boundary < R3_DMA_NO_BOUNDARY && len <= tag->c.boundary
				    ? tag->c.boundary
				    : 0;
	void *aside[SEARCH_MOST];
	unsigned naside = 0;
	void *mem;

	int rc = r3_arena_alloc_within(tag->arena, len, align, boundary, &mem);
	if (rc < 0)
		return rc;
	piece->mem = piece->ptr = mem;
	if (fits(tag, mem, len, align, &piece->iova))
		return 0;
	r3_arena_free(tag->arena, mem);

	/* Ask for so much that a place aligned by device address is in it. What is aligned
	 * to its own size (rounded up) crosses no boundary of that size or more. */
	if (boundary && align < round_to_power(len))
		align = round_to_power(len);
	if (len > UINT64_MAX / 4 || align > UINT64_MAX / 4)
		return r3_error_set(ENOMEM, "%s: DMA memory: %" PRIu64 " bytes",
				    tag->dev->info.name, len);
	while (naside < SEARCH_MOST) {
		uint64_t iova, left;

		rc = r3_arena_alloc(tag->arena, len + align - 1, 0, &mem);
		if (rc < 0)
			break;
		if (r3_device_iova(tag->dev, mem, &iova, &left)) {
			piece->mem = mem;
			piece->ptr = (unsigned char *)mem + (-iova & (align - 1));
			if (fits(tag, piece->ptr, len, align, &piece->iova))
				break;
		}
		/* Keep it meanwhile, or the arena would give it again. */
		aside[naside++] = mem;
	}
	bool found = rc == 0 && naside < SEARCH_MOST;
	while (naside)
		r3_arena_free(tag->arena, aside[--naside]);
	if (found)
		return 0;
	return r3_error_set(ENOMEM,
			    "%s: DMA memory: no %" PRIu64 " free bytes below 0x%" PRIx64
			    " aligned to %" PRIu64,
			    tag->dev->info.name, len, tag->c.highest, align);
}

void r3_dma_unplace(const struct r3_dma_tag *tag, struct r3_dma_piece *piece)
{
	r3_arena_free(tag->arena, piece->mem);
	*piece = (struct r3_dma_piece){0};
}

int r3_dma_alloc(struct r3_dma_tag *tag, uint64_t len, void **ptr, r3_iova *iova)
{
	const struct r3_dma_constraints *c = &tag->c;

	if (!len || len > c->max_len || len > c->max_segment)
		return r3_error_set(EINVAL,
				    "%s: DMA memory: %" PRIu64
				    " bytes in one segment, where the tag allows 1 to %" PRIu64,
				    tag->dev->info.name, len,
				    c->max_len < c->max_segment ? c->max_len : c->max_segment);
	struct r3_dma_alloc *a = malloc(sizeof(*a));
	if (!a)
		return r3_error_set(ENOMEM, "%s: DMA memory: no memory", tag->dev->info.name);
	int rc = r3_dma_place(tag, len, c->alignment, &a->piece);
	if (rc < 0) {
		free(a);
		return rc;
	}
	*ptr = a->piece.ptr;
	*iova = (r3_iova){a->piece.iova};
	/* Memory that is out keeps its tag, which is needed to give it back. */
	r3_dma_tag_ref(tag);
	pthread_mutex_lock(&tag->lock);
	a->next = tag->allocs;
	tag->allocs = a;
	pthread_mutex_unlock(&tag->lock);
	return 0;
}

void r3_dma_free(struct r3_dma_tag *tag, void *ptr)
{
	struct r3_dma_alloc **at, *a;

	if (!ptr)
		return;
	pthread_mutex_lock(&tag->lock);
	for (at = &tag->allocs; *at && (*at)->piece.ptr != ptr; at = &(*at)->next)
		;
	a = *at;
	if (a)
		*at = a->next;
	pthread_mutex_unlock(&tag->lock);
	if (!a) {
		r3_error_set(EINVAL, "%s: DMA memory: %p was not allocated with this tag",
			     tag->dev->info.name, ptr);
		return;
	}
	r3_dma_unplace(tag, &a->piece);
	free(a);
	r3_dma_tag_unref(tag);
}
