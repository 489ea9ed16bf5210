/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A carrier for the tests of DMA: its device reaches exactly what is mapped for it,
 * at addresses with gaps if asked for, and looks at memory through those addresses
 * alone, as a device does.
 */
#ifndef RING3_DMA_TEST_DMA_H
#define RING3_DMA_TEST_DMA_H

#include "dma/map.h"
#include "unit.h"
#include <errno.h>
#include <ring3/error.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE UINT64_C(4096)

struct carrier_opts {
	unsigned caps;    /* besides R3_CAP_DMA */
	uint64_t arena;   /* bytes; 0: 1 MiB */
	uint64_t highest; /* of the window; 0: 2^48 - 1 */
	uint64_t lowest;  /* of the window */
	uint64_t chunk;   /* ASSIGNED: device addresses have a gap after so many bytes; 0: none */
	uint64_t first;   /* ASSIGNED: the first device address */
	bool incoherent;  /* has dma_sync */
};

struct carrier {
	struct r3_device dev;
	struct carrier_opts opts;
	uint64_t next;
	struct carrier_mapping {
		struct r3_mem *mem;
		uint64_t off, iova, len;
		unsigned prot;
	} mapping[64];
	unsigned nmappings;
	int fail_map;    /* errno */
	unsigned nsyncs; /* all; the first 16 are kept */
	struct carrier_sync {
		uint64_t iova, len;
		enum r3_dma_direction direction;
	} sync[16];
	bool *closed;
};

static inline void carrier_close(struct r3_device *dev)
{
	struct carrier *c = (struct carrier *)dev;

	*c->closed = true;
	for (unsigned i = 0; i < c->nmappings; i++)
		r3_mem_unref(c->mapping[i].mem);
	free(c);
}

static inline int carrier_region_info(struct r3_device *dev, unsigned index,
				      struct r3_region_info *info)
{
	return 0; /* there are none */
}

static inline int carrier_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data,
			     uint8_t width, uint32_t count, unsigned flags)
{
	return -ENODEV;
}

static inline int carrier_limits(struct r3_device *dev, struct r3_dma_limits *limits)
{
	const struct carrier *c = (struct carrier *)dev;

	limits->page_size = PAGE;
	limits->nwindows = 1;
	limits->window[0] = (struct r3_iova_range){c->opts.lowest, c->opts.highest};
	return 0;
}

static inline int carrier_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
			      unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	struct carrier *c = (struct carrier *)dev;
	bool assigned = dev->info.caps & R3_CAP_DMA_ASSIGNED;
	uint64_t chunk = assigned && c->opts.chunk ? c->opts.chunk : len;
	unsigned used = 0;

	assert_int_equal((off | len) % PAGE, 0);
	assert_true(len && off + len <= r3_mem_size(mem));
	if (c->fail_map)
		return r3_error_set(c->fail_map, "carrier: as asked");
	if ((len + chunk - 1) / chunk > *n)
		return r3_error_set(E2BIG, "carrier: more extents");
	for (uint64_t at = 0; at < len; at += chunk) {
		uint64_t part = len - at < chunk ? len - at : chunk;
		struct carrier_mapping *m = &c->mapping[c->nmappings++];

		assert_true(c->nmappings <= 64);
		if (assigned) {
			extent[used].iova = c->next;
			c->next += part + (c->opts.chunk ? c->opts.chunk : 0);
		}
		extent[used].len = part;
		*m = (struct carrier_mapping){r3_mem_ref(mem), off + at, extent[used].iova, part,
					      prot};
		for (unsigned i = 0; i + 1 < c->nmappings; i++)
			assert_true(c->mapping[i].iova + c->mapping[i].len <= m->iova ||
				    m->iova + m->len <= c->mapping[i].iova);
		assert_true(m->iova >= c->opts.lowest && m->iova + m->len - 1 <= c->opts.highest);
		used++;
	}
	*n = used;
	return 0;
}

static inline int carrier_unmap(struct r3_device *dev, uint64_t iova, uint64_t len)
{
	struct carrier *c = (struct carrier *)dev;

	for (unsigned i = 0; i < c->nmappings; i++) {
		if (c->mapping[i].iova == iova && c->mapping[i].len == len) {
			r3_mem_unref(c->mapping[i].mem);
			c->mapping[i] = c->mapping[--c->nmappings];
			return 0;
		}
	}
	return r3_error_set(EINVAL, "carrier: not mapped");
}

static inline int carrier_sync(struct r3_device *dev, uint64_t iova, uint64_t len,
			       enum r3_dma_direction direction)
{
	struct carrier *c = (struct carrier *)dev;

	if (c->nsyncs < 16)
		c->sync[c->nsyncs] = (struct carrier_sync){iova, len, direction};
	c->nsyncs++;
	return 0;
}

/** What the device sees at @iova; fails where it can not (with @prot) reach it. */
static inline unsigned char *carrier_at(struct carrier *c, uint64_t iova, uint64_t len,
					unsigned prot)
{
	for (unsigned i = 0; i < c->nmappings; i++) {
		const struct carrier_mapping *m = &c->mapping[i];

		if (iova >= m->iova && iova - m->iova < m->len &&
		    len <= m->len - (iova - m->iova)) {
			assert_int_equal(m->prot & prot, prot);
			return (unsigned char *)r3_mem_addr(m->mem) + m->off + (iova - m->iova);
		}
	}
	fail_msg("the device cannot reach 0x%llx + 0x%llx", (unsigned long long)iova,
		 (unsigned long long)len);
	return NULL;
}

static bool carrier_closed;

static inline struct carrier *carrier_open(const struct carrier_opts *opts)
{
	static const struct r3_bus_ops coherent = {
		.size = sizeof(coherent),
		.close = carrier_close,
		.region_info = carrier_region_info,
		.rw = carrier_rw,
		.dma_limits = carrier_limits,
		.dma_map = carrier_map,
		.dma_unmap = carrier_unmap,
	};
	static const struct r3_bus_ops incoherent = {
		.size = sizeof(incoherent),
		.close = carrier_close,
		.region_info = carrier_region_info,
		.rw = carrier_rw,
		.dma_limits = carrier_limits,
		.dma_map = carrier_map,
		.dma_unmap = carrier_unmap,
		.dma_sync = carrier_sync,
	};
	struct carrier *c = calloc(1, sizeof(*c));
	struct r3_open_opts open = {.size = sizeof(open)};

	assert_non_null(c);
	c->opts = *opts;
	if (!c->opts.highest)
		c->opts.highest = (UINT64_C(1) << 48) - 1;
	c->next = opts->first ? opts->first : 0x100000;
	c->closed = &carrier_closed;
	carrier_closed = false;
	open.arena_size = opts->arena ? opts->arena : 1 << 20;
	r3_device_init(&c->dev, opts->incoherent ? &incoherent : &coherent, &open);
	c->dev.info.name = "carrier";
	c->dev.info.caps = R3_CAP_DMA | opts->caps;
	assert_int_equal(r3_device_adopt(&c->dev, "carrier:"), 0);
	return c;
}

static inline struct r3_arena *carrier_arena(struct carrier *c)
{
	struct r3_arena *arena;

	assert_int_equal(r3_device_arena(&c->dev, &arena), 0);
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
	if (r3_dma_tag_create(&c->dev, NULL, &want, &tag))
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
