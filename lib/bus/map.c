/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions on first use: ask the carrier what there is, believe nothing of it unchecked, and
 * map what can be mapped. */
#include "bus/core.h"
#include "util/fd.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* As long as the device: the region, and what was really mapped of it. map_len becomes 0
 * when the device goes. */
struct mapped_region {
	struct r3_region base;
	void *at;
	size_t len;
};

static const char *const names[R3_REGION_MAX] = {
	[R3_REGION_BAR0] = "bar0", [R3_REGION_BAR1] = "bar1",     [R3_REGION_BAR2] = "bar2",
	[R3_REGION_BAR3] = "bar3", [R3_REGION_BAR4] = "bar4",     [R3_REGION_BAR5] = "bar5",
	[R3_REGION_ROM] = "rom",   [R3_REGION_CONFIG] = "config", [R3_REGION_VGA] = "vga",
	[R3_REGION_IO] = "io",
};

const char *r3_region_name(unsigned index)
{
	return index < R3_REGION_MAX ? names[index] : "unknown";
}

/* The area to map: the largest of those the carrier allows, since the accessors know only
 * one. Doorbells, which are worth it, lie in it in every device known; the rest of the
 * region is reached by messages. */
static bool choose_area(const struct r3_region_info *info, uint64_t *off, uint64_t *len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;

	*off = 0;
	*len = info->nareas ? 0 : info->size;
	for (unsigned i = 0; i < info->nareas && i < R3_REGION_AREAS; i++) {
		uint64_t area_off = info->area[i].off, area_len = info->area[i].len;

		if (area_off > info->size || area_len > info->size - area_off)
			continue;
		if (area_len > *len) {
			*off = area_off;
			*len = area_len;
		}
	}
	/* the accessors count on an offset of whole 8 bytes, as they do on such a length */
	return *len >= 8 && *len <= SIZE_MAX / 2 && *off % 8 == 0 &&
	       !__builtin_add_overflow(info->fd_off, *off + *len, &end) && end <= INT64_MAX &&
	       (info->fd_off + *off) % page == 0;
}

/* Behind a file's end there are no pages, only SIGBUS. Device files have no end. */
static bool file_covers(int fd, uint64_t end)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= end);
}

static void map(struct mapped_region *region, const struct r3_region_info *info)
{
	const unsigned both = R3_REGION_READ | R3_REGION_WRITE;
	uint64_t off, len;
	void *at;

	/* what cannot be read (written) must not fault when somebody tries */
	if ((info->flags & (both | R3_REGION_PORT | R3_REGION_MAPPABLE)) !=
	    (both | R3_REGION_MAPPABLE))
		return;
	if (!choose_area(info, &off, &len) || !file_covers(info->fd, info->fd_off + off + len))
		return;
	at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, info->fd,
		  (off_t)(info->fd_off + off));
	if (at == MAP_FAILED) {
		r3_log(R3_LOG_WARN, "%s: %s cannot be mapped and will be slow: %m",
		       region->base.dev->info.name, region->base.name);
		return;
	}
	region->at = at;
	region->len = len;
	region->base.map = at;
	region->base.map_off = off;
	region->base.map_len = len & ~UINT64_C(7);
}

/* A mapping outlives the descriptor, and its holder could do more with that than map. */
static void drop_fd(struct r3_region_info *info)
{
	if (info->close_fd)
		r3_fd_close(&info->fd);
}

int r3_device_region(struct r3_device *dev, unsigned index, struct r3_region **out)
{
	struct r3_region_info info = {.fd = -1};
	struct mapped_region *region;
	int rc;

	if (index < R3_REGION_MAX && dev->region[index]) {
		*out = dev->region[index];
		return 0;
	}
	if (index >= dev->info.nregions)
		return r3_error_set(ENOENT, "%s: there is no region %u", dev->info.name, index);
	rc = r3_device_alive(dev);
	if (rc)
		return rc;
	rc = r3_device_answer(dev, dev->ops->region_info(dev, index, &info));
	if (rc)
		return rc;
	region = info.size ? calloc(1, sizeof(*region)) : NULL;
	if (!region) {
		drop_fd(&info);
		return info.size ? r3_error_set(ENOMEM, "%s: out of memory", dev->info.name)
				 : r3_error_set(ENOENT, "%s: it has no %s", dev->info.name,
						names[index]);
	}
	region->base = (struct r3_region){
		.size = info.size,
		.dev = dev,
		.index = index,
		.flags = info.flags,
		.name = names[index],
	};
	map(region, &info);
	drop_fd(&info);
	/* Another thread's access may notice meanwhile that the device is gone; the order of
	 * these two is that of r3_device_set_gone(), reversed. */
	__atomic_store_n(&dev->region[index], &region->base, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&dev->gone, __ATOMIC_SEQ_CST))
		__atomic_store_n(&region->base.map_len, 0, __ATOMIC_RELAXED);
	*out = &region->base;
	return 0;
}

void r3_device_drop_region(struct r3_device *dev, unsigned index)
{
	struct mapped_region *region = (struct mapped_region *)dev->region[index];

	if (!region)
		return;
	if (region->len)
		munmap(region->at, region->len);
	free(region);
	dev->region[index] = NULL;
}
