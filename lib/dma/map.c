/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps: where one transfer's memory is for the device. All kinds of load end in
 * load(), which tries the memory as it is, then with device addresses of its own,
 * then through a bounce copy.
 */
#include "dma/map.h"
#include "util/kept_text.h"
#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <stdlib.h>

int r3_dma_map_create(struct r3_dma_tag *tag, uint64_t bounce, struct r3_dma_map **out)
{
	if (bounce > tag->c.max_len)
		return r3_error_set(EINVAL,
				    "%s: DMA map: %" PRIu64
				    " bytes of bounce memory, where a load has at most %" PRIu64,
				    tag->dev->info.name, bounce, tag->c.max_len);
	struct r3_dma_map *map =
		calloc(1, sizeof(*map) + tag->c.max_segments * sizeof(map->seg[0]));
	if (!map)
		return r3_error_set(ENOMEM, "%s: DMA map: no memory", tag->dev->info.name);
	map->tag = tag;
	if (bounce) {
		int rc = r3_dma_bounce_reserve(map, bounce);
		if (rc < 0) {
			free(map);
			return rc;
		}
	}
	r3_dma_tag_ref(tag);
	*out = map;
	return 0;
}

int r3_dma_map_destroy(struct r3_dma_map *map)
{
	if (!map)
		return 0;
	if (map->nseg)
		return r3_error_set(EBUSY, "%s: DMA map: destroyed while loaded",
				    map->tag->dev->info.name);
	if (map->reserved.ptr)
		r3_dma_unplace(map->tag, &map->reserved);
	r3_dma_tag_unref(map->tag);
	free(map);
	return 0;
}

void r3_dma_cut_begin(struct r3_dma_cutter *cut, struct r3_dma_map *map)
{
	*cut = (struct r3_dma_cutter){.map = map};
}

/* Cut the run into segments, each as long as it can be. */
static bool cut_run(struct r3_dma_cutter *cut)
{
	struct r3_dma_map *map = cut->map;
	const struct r3_dma_constraints *c = &map->tag->c;
	/* Inside a run, a segment's end is the next one's address. */
	uint64_t meet = c->alignment > c->virt_boundary ? c->alignment : c->virt_boundary;
	uint64_t iova = cut->iova, len = cut->len;

	if (iova & (c->alignment - 1) || iova > c->highest || len - 1 > c->highest - iova)
		return false;
	if (cut->nseg) {
		const struct r3_dma_seg *before = &map->seg[cut->nseg - 1];

		if (((before->addr.v + before->len) | iova) & (c->virt_boundary - 1))
			return false;
	}
	while (len) {
		uint64_t n = c->boundary - (iova & (c->boundary - 1));

		if (n > c->max_segment)
			n = c->max_segment;
		if (n >= len) {
			n = len;
		} else {
			uint64_t over = (iova + n) & (meet - 1);

			if (n <= over)
				return false;
			n -= over;
		}
		if (cut->nseg == c->max_segments)
			return false;
		map->seg[cut->nseg++] = (struct r3_dma_seg){.addr = {iova}, .len = n};
		iova += n;
		len -= n;
	}
	return true;
}

bool r3_dma_cut_add(struct r3_dma_cutter *cut, uint64_t iova, uint64_t len)
{
	if (cut->len && iova == cut->iova + cut->len) {
		cut->len += len;
		return true;
	}
	if (cut->len && !cut_run(cut))
		return false;
	cut->iova = iova;
	cut->len = len;
	return true;
}

bool r3_dma_cut_end(struct r3_dma_cutter *cut)
{
	if (!cut_run(cut))
		return false;
	cut->map->nseg = cut->nseg;
	return true;
}

bool r3_dma_cut_add_memory(struct r3_dma_cutter *cut, const void *ptr, uint64_t len)
{
	for (const unsigned char *at = ptr; len;) {
		uint64_t iova, n;

		if (!r3_dma_translate(cut->map->tag, at, &iova, &n))
			return false;
		if (n > len)
			n = len;
		if (!r3_dma_cut_add(cut, iova, n))
			return false;
		at += n;
		len -= n;
	}
	return true;
}

/* The caller's memory as it is. False: the device cannot use it so. */
static bool load_as_is(struct r3_dma_map *map)
{
	struct r3_dma_cutter cut;

	r3_dma_cut_begin(&cut, map);
	for (unsigned i = 0; i < map->nsg; i++)
		if (!r3_dma_cut_add_memory(&cut, map->sg[i].addr, map->sg[i].len))
			return false;
	return r3_dma_cut_end(&cut);
}

/* That it does not work is no failure of the load. */
static bool try_foreign(struct r3_dma_map *map, struct r3_mem *mem, uint64_t off)
{
	struct r3_kept_text kept;
	bool done;

	r3_error_keep(&kept);
	done = r3_dma_foreign(map, mem, off);
	r3_error_put_back(&kept);
	return done;
}

/* Load map->sg of @len bytes; @mem is what they are part of, if that is known. */
static int load(struct r3_dma_map *map, uint64_t len, struct r3_mem *mem, uint64_t off,
		unsigned flags)
{
	const struct r3_dma_tag *tag = map->tag;
	const unsigned both = R3_DMA_TO_DEVICE | R3_DMA_FROM_DEVICE;

	if (!(flags & both) || flags & ~(both | R3_DMA_BOUNCE))
		return r3_error_set(EINVAL, "%s: DMA load: flags 0x%x: a direction is needed%s",
				    tag->dev->info.name, flags,
				    flags & ~(both | R3_DMA_BOUNCE) ? ", others are unknown" : "");
	if (!len || len > tag->c.max_len)
		return r3_error_set(EINVAL,
				    "%s: DMA load: %" PRIu64
				    " bytes, where the tag allows 1 to %" PRIu64,
				    tag->dev->info.name, len, tag->c.max_len);
	map->len = len;
	map->flags = flags;
	map->work = tag->sync;
	if (!(flags & R3_DMA_BOUNCE)) {
		if (load_as_is(map))
			return 0;
		if (mem && try_foreign(map, mem, off))
			return 0;
	}
	return r3_dma_bounce(map);
}

static int refuse_loaded(const struct r3_dma_map *map)
{
	return r3_error_set(EBUSY, "%s: DMA load: the map is loaded", map->tag->dev->info.name);
}

static int load_one(struct r3_dma_map *map, void *buf, uint64_t len, struct r3_mem *mem,
		    uint64_t off, unsigned flags)
{
	if (map->nseg)
		return refuse_loaded(map);
	map->one = (struct r3_sg){buf, len};
	map->sg = &map->one;
	map->nsg = 1;
	return load(map, len, mem, off, flags);
}

int r3_dma_load(struct r3_dma_map *map, void *buf, size_t len, unsigned flags,
		struct r3_dma_waiter *waiter)
{
	if (r3_dma_load_direct(map, buf, len, flags))
		return 0;
	return load_one(map, buf, len, NULL, 0, flags);
}

int r3_dma_load_sg(struct r3_dma_map *map, const struct r3_sg *sg, unsigned nsg, unsigned flags,
		   struct r3_dma_waiter *waiter)
{
	uint64_t len = 0;

	if (nsg == 1)
		return r3_dma_load(map, sg->addr, sg->len, flags, waiter);
	if (map->nseg)
		return refuse_loaded(map);
	for (unsigned i = 0; i < nsg; i++)
		if (__builtin_add_overflow(len, sg[i].len, &len))
			return r3_error_set(EINVAL, "%s: DMA load: lengths add up beyond 64 bits",
					    map->tag->dev->info.name);
	map->sg = sg;
	map->nsg = nsg;
	return load(map, len, NULL, 0, flags);
}

int r3_dma_load_mem(struct r3_dma_map *map, struct r3_mem *mem, uint64_t off, uint64_t len,
		    unsigned flags, struct r3_dma_waiter *waiter)
{
	uint64_t size = r3_mem_size(mem);

	if (off > size || len > size - off)
		return r3_error_set(EINVAL,
				    "%s: DMA load: %" PRIu64 " bytes at %" PRIu64
				    " of a memory of %" PRIu64,
				    map->tag->dev->info.name, len, off, size);
	return load_one(map, (unsigned char *)r3_mem_addr(mem) + off, len, mem, off, flags);
}

const struct r3_dma_seg *r3_dma_segs(const struct r3_dma_map *map, unsigned *nseg)
{
	*nseg = map->nseg;
	return map->nseg ? map->seg : NULL;
}

uint64_t r3_dma_bounced(const struct r3_dma_map *map)
{
	return map->work & R3_DMA_WORK_BOUNCE ? map->len : 0;
}

void r3_dma_unload_work(struct r3_dma_map *map)
{
	if (map->work & R3_DMA_WORK_BOUNCE)
		r3_dma_bounce_end(map);
	if (map->work & R3_DMA_WORK_FOREIGN)
		r3_dma_foreign_end(map);
	map->work = 0;
}

void r3_dma_unload(struct r3_dma_map *map)
{
	r3_dma_unload_inline(map);
}
