/* SPDX-License-Identifier: BSD-2-Clause */
/* The arena of a device: its DMA memory, made on first use and given to the device as a
 * whole, so that no later allocation has to. */
#include "bus/core.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>

#define ARENA_SIZE (UINT64_C(64) << 20)
#define MAX_ALIGN  (UINT64_C(1) << 30)

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/* Where the carrier leaves the choice: the lowest place that fits, because many devices
 * cannot reach high, aligned to its size, so that aligned in the arena is aligned for the
 * device. */
static int choose_iova(struct r3_device *dev, uint64_t len, uint64_t *iova)
{
	struct r3_dma_limits limits = {.page_size = 0};
	uint64_t align = 4096;
	int rc;

	if (!dev->ops->dma_limits)
		return r3_error_set(EOPNOTSUPP, "%s: its carrier has no limits of device addresses",
				    dev->info.name);
	rc = dev->ops->dma_limits(dev, &limits);
	if (rc)
		return rc;
	while (align < len && align < MAX_ALIGN)
		align *= 2;
	if (limits.page_size > align || limits.page_size & (limits.page_size - 1) ||
	    len % (limits.page_size ? limits.page_size : 1))
		return r3_error_set(EIO, "%s: its DMA pages have an absurd size of %#jx bytes",
				    dev->info.name, (uintmax_t)limits.page_size);

	bool found = false;
	for (unsigned i = 0; i < limits.nwindows && i < 8; i++) {
		uint64_t first = limits.window[i].first, last = limits.window[i].last;
		uint64_t at = round_up(
			first > R3_DEVICE_LOWEST_IOVA ? first : R3_DEVICE_LOWEST_IOVA, align);

		if (at < first || at > last || last - at < len - 1 || (found && at >= *iova))
			continue;
		*iova = at;
		found = true;
	}
	return found ? 0
		     : r3_error_set(ENOMEM, "%s: no window of device addresses takes %ju bytes",
				    dev->info.name, (uintmax_t)len);
}

static void unmap(struct r3_device *dev)
{
	for (unsigned i = 0; i < dev->arena_extents && dev->ops->dma_unmap; i++)
		if (dev->ops->dma_unmap(dev, dev->arena_extent[i].iova, dev->arena_extent[i].len))
			r3_log(R3_LOG_ERROR, "%s: its memory cannot be taken back: %s",
			       dev->info.name, r3_error_text());
	dev->arena_extents = 0;
	dev->arena_len = 0;
}

/* Give the arena's memory to the device, and check what the carrier made of it. */
static int map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len)
{
	unsigned n = R3_DEVICE_ARENA_EXTENTS;
	uint64_t total = 0;
	int rc;

	dev->arena_extent[0] = (struct r3_dma_extent){.len = len};
	if (!(dev->info.caps & R3_CAP_DMA_ASSIGNED)) {
		rc = choose_iova(dev, len, &dev->arena_extent[0].iova);
		if (rc)
			return rc;
	}
	rc = dev->ops->dma_map(dev, mem, off, len, R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE,
			       dev->arena_extent, &n);
	if (rc)
		return rc;
	if (n > R3_DEVICE_ARENA_EXTENTS)
		n = 0;
	dev->arena_extents = n;
	for (unsigned i = 0; i < n; i++) {
		const struct r3_dma_extent *extent = &dev->arena_extent[i];

		if (extent->len > len - total || extent->iova > UINT64_MAX - extent->len)
			break;
		total += extent->len;
	}
	if (total != len) {
		unmap(dev);
		return r3_error_set(EIO, "%s: its carrier mapped %ju of %ju bytes", dev->info.name,
				    (uintmax_t)total, (uintmax_t)len);
	}
	dev->arena_base = (unsigned char *)r3_mem_addr(mem) + off;
	dev->arena_len = len;
	return 0;
}

/* A reference to the memory for the arena, and which part of it to use. */
static int find_memory(struct r3_device *dev, struct r3_mem **mem, uint64_t *off, uint64_t *len)
{
	uint64_t want = dev->arena_size ? dev->arena_size : ARENA_SIZE;
	int rc;

	if (!(dev->info.caps & R3_CAP_OWN_MEM)) {
		rc = r3_mem_create("ring3-arena", want, 0, mem);
		if (rc)
			return r3_error_prefix(rc, "%s", dev->info.name);
		*off = 0;
		*len = r3_mem_size(*mem);
		return 0;
	}
	if (!dev->ops->dma_memory)
		return r3_error_set(EOPNOTSUPP, "%s: its carrier has no memory for DMA",
				    dev->info.name);
	rc = dev->ops->dma_memory(dev, want, mem, off, len);
	if (rc)
		return rc;
	r3_mem_ref(*mem);
	return 0;
}

int r3_device_arena(struct r3_device *dev, struct r3_arena **out)
{
	struct r3_mem *mem;
	uint64_t off, len;
	int rc;

	if (dev->arena) {
		*out = dev->arena;
		return 0;
	}
	rc = r3_device_alive(dev);
	if (rc)
		return rc;
	if (!(dev->info.caps & R3_CAP_DMA) || !dev->ops->dma_map)
		return r3_error_set(EOPNOTSUPP, "%s: it offers no DMA", dev->info.name);

	rc = find_memory(dev, &mem, &off, &len);
	if (rc)
		return r3_device_answer(dev, rc);
	rc = r3_arena_create(mem, off, len, &dev->arena);
	if (rc)
		goto out_mem;
	rc = map(dev, mem, off, len);
	if (rc) {
		r3_arena_unref(dev->arena);
		dev->arena = NULL;
		goto out_mem;
	}
	*out = dev->arena;
out_mem:
	r3_mem_unref(mem); /* the arena has its own reference */
	return r3_device_answer(dev, rc);
}

void r3_device_drop_arena(struct r3_device *dev)
{
	if (!dev->arena)
		return;
	unmap(dev);
	r3_arena_unref(dev->arena);
	dev->arena = NULL;
}

static bool lent_iova(const struct r3_device *dev, const void *ptr, uint64_t *iova, uint64_t *left)
{
	for (unsigned i = 0; i < dev->nlent; i++) {
		const struct r3_device_lent *lent = &dev->lent[i];
		uint64_t off = (uint64_t)((uintptr_t)ptr - (uintptr_t)lent->base);

		if (off >= lent->extent.len)
			continue;
		*iova = lent->extent.iova + off;
		*left = lent->extent.len - off;
		return true;
	}
	return false;
}

void r3_device_drop_lent(struct r3_device *dev, unsigned i)
{
	struct r3_device_lent lent = dev->lent[i];
	int rc;

	dev->lent[i] = dev->lent[--dev->nlent];
	rc = dev->ops->dma_unmap(dev, lent.extent.iova, lent.extent.len);
	/* What a live device may still write must stay memory, and nobody else's. */
	if (rc == 0 || r3_device_gone(dev))
		r3_mem_unref(lent.mem);
	else
		r3_log(R3_LOG_ERROR, "%s: lent memory cannot be taken back: %s", dev->info.name,
		       r3_error_text());
}

bool r3_device_iova(const struct r3_device *dev, const void *ptr, uint64_t *iova, uint64_t *left)
{
	uint64_t off = (uint64_t)((uintptr_t)ptr - (uintptr_t)dev->arena_base);

	if (off >= dev->arena_len)
		return lent_iova(dev, ptr, iova, left);
	/* one extent almost always; their lengths add up to arena_len */
	const struct r3_dma_extent *extent = dev->arena_extent;
	for (; off >= extent->len; extent++)
		off -= extent->len;
	*iova = extent->iova + off;
	*left = extent->len - off;
	return true;
}
