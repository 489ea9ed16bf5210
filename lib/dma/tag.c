/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tags: what a device can do, as the stricter of what its driver says, what the
 * parent tag says and what the bus says.
 *
 * A tag holds merged values, so nothing ever walks up the parents: deriving takes
 * the same time at any depth. The parent is kept alive all the same, as callers of
 * bus_dma(9) may expect.
 */
#include "dma/map.h"
#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <stdlib.h>
#include <string.h>

static bool power_of_two(uint64_t x)
{
	return x && !(x & (x - 1));
}

static uint64_t stricter_min(uint64_t a, uint64_t b)
{
	return a && a < b ? a : b;
}

static uint64_t stricter_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What holds before any driver has spoken: the device's addresses. */
static int root_constraints(struct r3_device *dev, struct r3_dma_constraints *c)
{
	struct r3_dma_limits limits = {0};

	*c = (struct r3_dma_constraints){
		.size = sizeof(*c),
		.max_segments = R3_DMA_SEGMENTS_MOST,
		.alignment = 1,
		.boundary = R3_DMA_NO_BOUNDARY,
		.highest = UINT64_MAX,
		.max_segment = UINT64_MAX,
		.max_len = SIZE_MAX,
		.virt_boundary = 1,
	};
	if (!dev->ops->dma_limits)
		return 0;
	int rc = dev->ops->dma_limits(dev, &limits);
	if (rc < 0)
		return rc;
	c->highest = 0;
	for (unsigned i = 0; i < limits.nwindows && i < 8; i++)
		c->highest = stricter_max(c->highest, limits.window[i].last);
	if (!c->highest)
		c->highest = UINT64_MAX;
	return 0;
}

static int check_powers(const struct r3_device *dev, const struct r3_dma_constraints *c)
{
	const struct {
		const char *name;
		uint64_t value;
	} field[] = {
		{"alignment", c->alignment},
		{"boundary", c->boundary},
		{"virt_boundary", c->virt_boundary},
	};

	for (unsigned i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		if (field[i].value && !power_of_two(field[i].value))
			return r3_error_set(EINVAL,
					    "%s: DMA tag: %s %" PRIu64 " is no power of two",
					    dev->info.name, field[i].name, field[i].value);
	return 0;
}

static void merge(struct r3_dma_constraints *c, const struct r3_dma_constraints *with)
{
	c->max_segments = (uint32_t)stricter_min(with->max_segments, c->max_segments);
	c->alignment = stricter_max(with->alignment, c->alignment);
	c->boundary = stricter_min(with->boundary, c->boundary);
	c->highest = stricter_min(with->highest, c->highest);
	c->max_segment = stricter_min(with->max_segment, c->max_segment);
	c->max_len = stricter_min(with->max_len, c->max_len);
	c->virt_boundary = stricter_max(with->virt_boundary, c->virt_boundary);

	/* A segment ends at a boundary at the latest. */
	c->max_segment = stricter_min(c->boundary, c->max_segment);
	/* Where segments meet is a multiple of both of these. If no segment reaches from
	 * one such place to the next, there cannot be two. */
	if (c->max_segment < stricter_max(c->alignment, c->virt_boundary))
		c->max_segments = 1;
}

/* Is there any byte of the arena left that the tag allows? */
static int check_reach(struct r3_dma_tag *tag)
{
	struct r3_device *dev = tag->dev;
	uint64_t lowest = UINT64_MAX;

	for (unsigned i = 0; i < dev->arena_extents; i++) {
		const struct r3_dma_extent *e = &dev->arena_extent[i];
		uint64_t up = (e->iova + tag->c.alignment - 1) & ~(tag->c.alignment - 1);

		if (up >= e->iova && up - e->iova < e->len && up < lowest)
			lowest = up;
	}
	if (lowest <= tag->c.highest && lowest != UINT64_MAX)
		return 0;
	return r3_error_set(EINVAL,
			    "%s: DMA tag: highest address 0x%" PRIx64 " and alignment %" PRIu64
			    " leave nothing of the device's memory (%s0x%" PRIx64 ")",
			    dev->info.name, tag->c.highest, tag->c.alignment,
			    dev->arena_extents ? "from " : "none at ",
			    dev->arena_extents ? dev->arena_extent[0].iova : 0);
}

/* The run of device addresses that the arena begins with, for the fast path. */
static void cache_arena(struct r3_dma_tag *tag)
{
	const struct r3_dma_constraints *c = &tag->c;
	void *base = tag->dev->arena_base;
	uint64_t iova, left;

	if (!r3_device_iova(tag->dev, base, &iova, &left) || iova > c->highest)
		return;
	if (left - 1 > c->highest - iova)
		left = c->highest - iova + 1;
	tag->align_mask = c->alignment - 1;
	tag->base = (uintptr_t)base;
	tag->base_iova = iova;
	tag->span = left;
	tag->one_segment = stricter_min(c->max_len, stricter_min(c->max_segment, left));
}

int r3_dma_tag_create(struct r3_device *dev, struct r3_dma_tag *parent,
		      const struct r3_dma_constraints *constraints, struct r3_dma_tag **out)
{
	struct r3_dma_constraints own = {0};
	int rc;

	if (constraints && constraints->size < sizeof(own.size))
		return r3_error_set(EINVAL, "%s: DMA tag: constraints.size is not set",
				    dev->info.name);
	if (constraints)
		memcpy(&own, constraints,
		       constraints->size < sizeof(own) ? constraints->size : sizeof(own));
	if (parent && parent->dev != dev)
		return r3_error_set(EINVAL, "%s: DMA tag: the parent tag is of another device, %s",
				    dev->info.name, parent->dev->info.name);
	if (!(dev->info.caps & R3_CAP_DMA))
		return r3_error_set(EOPNOTSUPP, "%s: the device has no DMA", dev->info.name);
	rc = check_powers(dev, &own);
	if (rc < 0)
		return rc;

	struct r3_dma_tag *tag = calloc(1, sizeof(*tag));
	if (!tag)
		return r3_error_set(ENOMEM, "%s: DMA tag: no memory", dev->info.name);
	tag->dev = dev;
	tag->refs = 1;
	tag->sync = dev->ops->dma_sync ? R3_DMA_WORK_SYNC : 0;
	rc = r3_device_arena(dev, &tag->arena);
	if (rc < 0)
		goto free;
	if (parent)
		tag->c = parent->c;
	else
		rc = root_constraints(dev, &tag->c);
	if (rc < 0)
		goto free;
	merge(&tag->c, &own);
	rc = check_reach(tag);
	if (rc < 0)
		goto free;
	cache_arena(tag);
	rc = -pthread_mutex_init(&tag->lock, NULL);
	if (rc < 0) {
		r3_error_set(-rc, "%s: DMA tag: no mutex", dev->info.name);
		goto free;
	}
	r3_arena_ref(tag->arena);
	if (parent)
		tag->parent = r3_dma_tag_ref(parent);
	*out = tag;
	return 0;

free:
	free(tag);
	return rc;
}

struct r3_dma_tag *r3_dma_tag_ref(struct r3_dma_tag *tag)
{
	__atomic_add_fetch(&tag->refs, 1, __ATOMIC_RELAXED);
	return tag;
}

void r3_dma_tag_unref(struct r3_dma_tag *tag)
{
	/* A loop, not a recursion: a chain of parents may be longer than the stack. */
	while (tag && __atomic_sub_fetch(&tag->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		struct r3_dma_tag *parent = tag->parent;

		r3_arena_unref(tag->arena);
		pthread_mutex_destroy(&tag->lock);
		free(tag);
		tag = parent;
	}
}

const struct r3_dma_constraints *r3_dma_tag_constraints(const struct r3_dma_tag *tag)
{
	return &tag->c;
}
