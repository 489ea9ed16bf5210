/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of DMA share: the fake device as a carrier with addresses of their
 * choice, and a device's view of loaded memory, which is through those addresses alone.
 */
#ifndef RING3_DMA_TEST_DMA_H
#define RING3_DMA_TEST_DMA_H

#include "dma/map.h"
#include "fake/fake_device.h"
#include "unit.h"

#include <errno.h>
#include <ring3/error.h>
#include <string.h>

#define PAGE UINT64_C(4096)

struct carrier_opts {
	unsigned caps;    /* besides R3_CAP_DMA */
	uint64_t arena;   /* bytes; 0: 1 MiB */
	uint64_t highest; /* of the window; 0: 2^48 - 1 */
	uint64_t lowest;  /* of the window */
	uint64_t chunk;   /* ASSIGNED: device addresses have a gap after so many bytes; 0: none */
	uint64_t first;   /* ASSIGNED: the first device address; 0: the fake's choice */
	bool incoherent;  /* has dma_sync */
};

struct carrier {
	struct fake_device *fake;
	struct fake_remains remains;
	struct r3_device *dev;
	struct carrier_opts opts;
	struct r3_bus_ops ops; /* the fake's, and dma_sync */
	unsigned nsyncs;       /* all; the first 16 are kept */
	struct carrier_sync {
		uint64_t iova, len;
		enum r3_dma_direction direction;
	} sync[16];
};

static inline int carrier_sync(struct r3_device *dev, uint64_t iova, uint64_t len,
			       enum r3_dma_direction direction)
{
	struct carrier *c = ((struct fake_device *)dev)->user;

	if (c->nsyncs < 16)
		c->sync[c->nsyncs] = (struct carrier_sync){iova, len, direction};
	c->nsyncs++;
	return 0;
}

/** What the device sees at @iova; fails where it cannot reach it for @prot. */
static inline unsigned char *carrier_at(struct carrier *c, uint64_t iova, uint64_t len,
					unsigned prot)
{
	unsigned char *at = fake_device_reach(c->fake, iova, len, prot);

	if (!at)
		fail_msg("the device cannot reach 0x%llx + 0x%llx", (unsigned long long)iova,
			 (unsigned long long)len);
	return at;
}

static inline struct carrier *carrier_open(const struct carrier_opts *opts)
{
	struct carrier *c = calloc(1, sizeof(*c));
	struct r3_open_opts open = {.size = sizeof(open)};

	assert_non_null(c);
	c->opts = *opts;
	open.arena_size = opts->arena ? opts->arena : 1 << 20;
	c->fake = fake_device_new(&open);
	assert_non_null(c->fake);
	c->fake->user = c;
	c->fake->remains = &c->remains;
	c->fake->limits.nwindows = 1;
	c->fake->limits.window[0] = (struct r3_iova_range){
		opts->lowest, opts->highest ? opts->highest : (UINT64_C(1) << 48) - 1};
	c->fake->extent_len = opts->chunk;
	c->fake->assign_first = opts->first;
	c->dev = &c->fake->base;
	c->dev->info.caps |= opts->caps;
	c->ops = *c->dev->ops;
	if (opts->incoherent)
		c->ops.dma_sync = carrier_sync;
	c->dev->ops = &c->ops;
	assert_int_equal(fake_device_adopt(c->fake), 0);
	return c;
}

static inline void carrier_close(struct carrier *c)
{
	r3_device_close(c->dev);
	assert_true(c->remains.closed);
	assert_int_equal(c->remains.maps, 0);
	free(c);
}

/** Pieces of memory that the device reaches. */
static inline unsigned carrier_maps(const struct carrier *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FAKE_MAPS; i++)
		n += c->fake->map[i].len != 0;
	return n;
}

static inline struct r3_arena *carrier_arena(struct carrier *c)
{
	struct r3_arena *arena;

	assert_int_equal(r3_device_arena(c->dev, &arena), 0);
	return arena;
}

static inline uint64_t carrier_used(struct carrier *c)
{
	uint64_t used;

	r3_arena_usage(carrier_arena(c), &used, NULL);
	return used;
}

/** A tag of @constraints, which need no size. */
static inline struct r3_dma_tag *carrier_tag(struct carrier *c, struct r3_dma_constraints want)
{
	struct r3_dma_tag *tag;

	want.size = sizeof(want);
	if (r3_dma_tag_create(c->dev, NULL, &want, &tag))
		fail_msg("tag: %s", r3_error_text());
	return tag;
}

static inline struct r3_dma_map *carrier_map_create(struct r3_dma_tag *tag, uint64_t bounce)
{
	struct r3_dma_map *map;

	if (r3_dma_map_create(tag, bounce, &map))
		fail_msg("map: %s", r3_error_text());
	return map;
}

static inline void *carrier_buf(struct carrier *c, uint64_t len, uint64_t align)
{
	void *buf;

	if (r3_arena_alloc(carrier_arena(c), len, align, &buf))
		fail_msg("arena: %s", r3_error_text());
	return buf;
}

/** A carrier with one map, of @reserve bytes of bounce memory, whose tag wants 16 bytes
 *  of alignment. */
static inline struct r3_dma_map *carrier_open_map(struct carrier **c,
						  const struct carrier_opts *opts, uint64_t reserve)
{
	*c = carrier_open(opts);
	struct r3_dma_tag *tag = carrier_tag(*c, (struct r3_dma_constraints){.alignment = 16});
	struct r3_dma_map *map = carrier_map_create(tag, reserve);

	r3_dma_tag_unref(tag);
	return map;
}

static inline void carrier_close_map(struct carrier *c, struct r3_dma_map *map)
{
	r3_dma_unload(map);
	assert_int_equal(r3_dma_map_destroy(map), 0);
	assert_int_equal(carrier_used(c), 0);
	carrier_close(c);
}

/** Every law of the tag that segments of @len bytes must keep. */
static inline void check_segments(const struct r3_dma_map *map, uint64_t len)
{
	const struct r3_dma_constraints *c = r3_dma_tag_constraints(map->tag);
	unsigned n;
	const struct r3_dma_seg *seg = r3_dma_segs(map, &n);
	uint64_t total = 0;

	assert_non_null(seg);
	assert_in_range(n, 1, c->max_segments);
	for (unsigned i = 0; i < n; i++) {
		uint64_t first = seg[i].addr.v, last = first + seg[i].len - 1;

		assert_true(seg[i].len && seg[i].len <= c->max_segment);
		assert_true(last >= first && last <= c->highest);
		assert_int_equal(first & (c->alignment - 1), 0);
		assert_int_equal(first / c->boundary, last / c->boundary);
		assert_int_equal(seg[i].handle, 0);
		if (i)
			assert_int_equal(first & (c->virt_boundary - 1), 0);
		if (i + 1 < n)
			assert_int_equal((last + 1) & (c->virt_boundary - 1), 0);
		total += seg[i].len;
	}
	assert_int_equal(total, len);
}

/** The device reads all segments of @map into @to. */
static inline void device_reads(struct carrier *c, const struct r3_dma_map *map, unsigned char *to)
{
	unsigned n;
	const struct r3_dma_seg *seg = r3_dma_segs(map, &n);

	for (unsigned i = 0; i < n; to += seg[i++].len)
		memcpy(to, carrier_at(c, seg[i].addr.v, seg[i].len, R3_DMA_DEVICE_READ),
		       seg[i].len);
}

/** The device writes @len bytes to the segments of @map. */
static inline void device_writes(struct carrier *c, const struct r3_dma_map *map,
				 const unsigned char *from, uint64_t len)
{
	unsigned n;
	const struct r3_dma_seg *seg = r3_dma_segs(map, &n);

	for (unsigned i = 0; i < n && len; i++) {
		uint64_t part = seg[i].len < len ? seg[i].len : len;

		memcpy(carrier_at(c, seg[i].addr.v, part, R3_DMA_DEVICE_WRITE), from, part);
		from += part;
		len -= part;
	}
}

static inline void fill(unsigned char *at, uint64_t len, uint64_t *seed)
{
	for (uint64_t i = 0; i < len; i++)
		at[i] = (unsigned char)test_random(seed);
}

#endif
