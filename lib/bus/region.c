/* SPDX-License-Identifier: BSD-2-Clause */
/* Access to regions: the checked calls, and what the inline accessors call where a region
 * is not mapped. A read that cannot be done gives all ones, as a bus does. */
#include "bus/ops.h"
#include "util/item.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

static uint64_t ones(unsigned width)
{
	return UINT64_MAX >> (64 - 8 * width);
}

static bool reachable(const struct r3_region *region, uint64_t off, unsigned width, unsigned need)
{
	return off < region->size && width <= region->size - off && !(off & (width - 1)) &&
	       (region->flags & need);
}

static int message(struct r3_region *region, uint64_t off, unsigned width, void *data,
		   uint32_t count, unsigned flags)
{
	struct r3_device *dev = region->dev;
	int rc = -ENODEV;

	if (!r3_device_gone(dev))
		rc = dev->ops->rw(dev, region->index, off, data, (uint8_t)width, count, flags);
	if (rc == -ENODEV)
		r3_device_set_gone(dev);
	return rc;
}

uint64_t r3_region_get(struct r3_region *region, uint64_t off, unsigned width)
{
	uint64_t item;

	if (!reachable(region, off, width, R3_REGION_READ) ||
	    message(region, off, width, &item, 1, 0))
		return ones(width);
	return r3_item_get(&item, width);
}

void r3_region_put(struct r3_region *region, uint64_t off, unsigned width, uint64_t value)
{
	uint64_t item;

	r3_item_put(&item, width, value);
	if (reachable(region, off, width, R3_REGION_WRITE))
		message(region, off, width, &item, 1, R3_RW_WRITE | R3_RW_POSTED);
}

/* ---- checked access ---- */

static int check(const struct r3_region *region, uint64_t off, unsigned width, uint32_t count,
		 unsigned need)
{
	const char *dev = region->dev->info.name, *name = region->name;

	if (width != 1 && width != 2 && width != 4 && width != 8)
		return r3_error_set(EINVAL, "%s: %s: a width of %u bytes; it must be 1, 2, 4 or 8",
				    dev, name, width);
	if (off & (width - 1))
		return r3_error_set(EINVAL, "%s: %s: offset %#jx is not a multiple of the width %u",
				    dev, name, (uintmax_t)off, width);
	if (off > region->size || count > (region->size - off) / width)
		return r3_error_set(ERANGE, "%s: %s: %ju bytes at %#jx are beyond its end at %#jx",
				    dev, name, (uintmax_t)count * width, (uintmax_t)off,
				    (uintmax_t)region->size);
	if (!(region->flags & need))
		return r3_error_set(EACCES, "%s: %s cannot be %s", dev, name,
				    need == R3_REGION_READ ? "read" : "written");
	return 0;
}

static int failed(const struct r3_region *region, uint64_t off, int rc, const char *doing)
{
	if (rc == -ENODEV)
		return r3_error_set(ENODEV, "%s: the device is gone", region->dev->info.name);
	return r3_error_prefix(rc, "%s: %s %s at %#jx", region->dev->info.name, doing, region->name,
			       (uintmax_t)off);
}

static void load(struct r3_region *region, uint64_t off, unsigned width, void *data)
{
	uint64_t value;

	if (width == 1)
		value = r3_read8_relaxed(region, off);
	else if (width == 2)
		value = r3_read16_relaxed(region, off);
	else if (width == 4)
		value = r3_read32_relaxed(region, off);
	else
		value = r3_read64_relaxed(region, off);
	r3_item_put(data, width, value);
}

static void store(struct r3_region *region, uint64_t off, unsigned width, const void *data)
{
	uint64_t value = r3_item_get(data, width);

	if (width == 1)
		r3_write8_relaxed(region, off, (uint8_t)value);
	else if (width == 2)
		r3_write16_relaxed(region, off, (uint16_t)value);
	else if (width == 4)
		r3_write32_relaxed(region, off, (uint32_t)value);
	else
		r3_write64_relaxed(region, off, value);
}

/* How many of @count items from @off on lie outside the mapping. */
static uint32_t unmapped(const struct r3_region *region, uint64_t off, unsigned width,
			 uint32_t count)
{
	if (off - region->map_off < region->map_len)
		return 0;
	if (off > region->map_off || !region->map_len || (region->map_off - off) / width > count)
		return count;
	return (uint32_t)((region->map_off - off) / width);
}

int r3_region_read(struct r3_region *region, uint64_t off, unsigned width, void *data,
		   uint32_t count)
{
	unsigned char *to = data;
	int rc = check(region, off, width, count, R3_REGION_READ);

	if (rc)
		return rc;
	if (r3_device_gone(region->dev)) {
		memset(data, 0xff, (size_t)count * width);
		return failed(region, off, -ENODEV, "reading");
	}
	while (count) {
		uint32_t n = unmapped(region, off, width, count);

		if (n) {
			rc = message(region, off, width, to, n, 0);
			if (rc) {
				memset(to, 0xff, (size_t)count * width);
				return failed(region, off, rc, "reading");
			}
		} else {
			n = 1;
			load(region, off, width, to);
		}
		off += (uint64_t)n * width;
		to += (size_t)n * width;
		count -= n;
	}
	r3_barrier_read();
	return 0;
}

int r3_region_write(struct r3_region *region, uint64_t off, unsigned width, const void *data,
		    uint32_t count)
{
	const unsigned char *from = data;
	int rc = check(region, off, width, count, R3_REGION_WRITE);

	if (rc)
		return rc;
	if (r3_device_gone(region->dev))
		return failed(region, off, -ENODEV, "writing");
	r3_barrier_write();
	while (count) {
		uint32_t n = unmapped(region, off, width, count);

		if (n) {
			/* rw() reads only, with R3_RW_WRITE */
			rc = message(region, off, width, (void *)(uintptr_t)from, n, R3_RW_WRITE);
			if (rc)
				return failed(region, off, rc, "writing");
		} else {
			n = 1;
			store(region, off, width, from);
		}
		off += (uint64_t)n * width;
		from += (size_t)n * width;
		count -= n;
	}
	return 0;
}

int r3_region_wait32(struct r3_region *region, uint64_t off, uint32_t mask, uint32_t want,
		     uint64_t timeout_ns, uint32_t *last)
{
	struct r3_wait wait = r3_wait_begin(region->dev->clock, timeout_ns);

	for (;;) {
		uint32_t value = r3_read32(region, off);

		if (last)
			*last = value;
		if (r3_device_gone(region->dev))
			return failed(region, off, -ENODEV, "reading");
		if ((value & mask) == want)
			return 0;
		if (!r3_wait_step(&wait))
			return r3_error_set(
				ETIMEDOUT,
				"%s: %s at %#jx is %#x; bits %#x did not become %#x within %ju ms",
				region->dev->info.name, region->name, (uintmax_t)off, value, mask,
				want, (uintmax_t)(timeout_ns / R3_NSEC_PER_MSEC));
	}
}
