/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front-end's memory, as far as it gave it to us. Every address of every ring and
 * descriptor is looked for here, and found only inside of a region.
 */
#include "mem/sigbus.h"
#include "mem/stranger.h"
#include "serve/vhost_user/vhost_user.h"

#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <sys/stat.h>

static bool overlap(uint64_t a, uint64_t b, uint64_t alen, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

static int check(const struct vub_memory *memory, const struct vhost_user_memory_region *region)
{
	uint64_t size = region->size, end;

	if (memory->n == VUB_REGIONS)
		return r3_error_set(ENOSPC, "more than %u regions of memory", VUB_REGIONS);
	if (!size || __builtin_add_overflow(region->guest_address, size, &end) ||
	    __builtin_add_overflow(region->user_address, size, &end) ||
	    __builtin_add_overflow(region->mmap_offset, size, &end) || end > INT64_MAX)
		return r3_error_set(EINVAL, "a region of 0x%" PRIx64 " bytes at 0x%" PRIx64, size,
				    region->guest_address);
	for (unsigned i = 0; i < memory->n; i++) {
		const struct vub_region *other = &memory->region[i];

		if (overlap(other->guest, region->guest_address, other->size, size) ||
		    overlap(other->user, region->user_address, other->size, size))
			return r3_error_set(EINVAL,
					    "the region at 0x%" PRIx64 " overlaps another one",
					    region->guest_address);
	}
	return 0;
}

/* Its owner must not be able to kill us by taking pages away. */
static int may_import(int fd, struct r3_mem_file *file, unsigned *flags)
{
	int rc = r3_mem_inspect(fd, file);

	if (rc < 0)
		return rc;
	*flags = r3_mem_seal(fd, file);
	if (*flags && !r3_sigbus_enabled())
		rc = r3_error_set(EPERM,
				  "its owner could shrink it, which nobody here is ready for: let "
				  "it be sealed with F_SEAL_SHRINK");
	return rc;
}

int vub_memory_add(struct vub_memory *memory, const struct vhost_user_memory_region *region, int fd)
{
	struct vub_region *new = &memory->region[memory->n];
	struct r3_mem_file file = {.page = 1};
	unsigned flags = 0;
	uint64_t skip, len;
	int rc = check(memory, region);

	if (rc == 0)
		rc = may_import(fd, &file, &flags);
	if (rc < 0)
		return r3_error_prefix(rc, "memory at 0x%" PRIx64, region->guest_address);
	/* It may be mapped by whole pages only, and these may be huge. */
	skip = region->mmap_offset % file.page;
	len = (skip + region->size + file.page - 1) / file.page * file.page;
	*new = (struct vub_region){
		.guest = region->guest_address, .user = region->user_address, .size = region->size};
	rc = r3_mem_import(fd, region->mmap_offset - skip, len, flags, &new->mem);
	if (rc < 0)
		return r3_error_prefix(rc, "memory at 0x%" PRIx64, region->guest_address);
	new->base = (unsigned char *)r3_mem_addr(new->mem) + skip;
	memory->n++;
	/* Memory that may shrink is for our own eyes only. */
	if (!flags && r3_block_lend(memory->block, new->mem) < 0)
		r3_log(R3_LOG_INFO, "requests of the front-end are copied: %s", r3_error_text());
	return 0;
}

/** Nothing is in flight. */
static void drop(struct vub_memory *memory, unsigned i)
{
	r3_block_take_back(memory->block, memory->region[i].mem);
	r3_mem_unref(memory->region[i].mem);
	memory->region[i] = memory->region[--memory->n];
}

int vub_memory_remove(struct vub_memory *memory, const struct vhost_user_memory_region *region)
{
	for (unsigned i = 0; i < memory->n; i++) {
		const struct vub_region *old = &memory->region[i];

		if (old->guest != region->guest_address || old->user != region->user_address ||
		    old->size != region->size)
			continue;
		drop(memory, i);
		return 0;
	}
	return r3_error_set(ENOENT, "there is no region at 0x%" PRIx64, region->guest_address);
}

void vub_memory_clear(struct vub_memory *memory)
{
	while (memory->n)
		drop(memory, memory->n - 1);
}

void *vub_memory_translate(void *opaque, uint64_t addr, uint64_t *len, bool write)
{
	const struct vub_memory *memory = opaque;

	for (unsigned i = 0; i < memory->n; i++) {
		const struct vub_region *region = &memory->region[i];
		uint64_t off = addr - region->guest;

		if (off >= region->size)
			continue;
		if (*len > region->size - off)
			*len = region->size - off;
		return region->base + off;
	}
	return NULL;
}

void *vub_memory_at(const struct vub_memory *memory, uint64_t user, uint64_t len)
{
	for (unsigned i = 0; i < memory->n; i++) {
		const struct vub_region *region = &memory->region[i];
		uint64_t off = user - region->user;

		if (off < region->size && len <= region->size - off)
			return region->base + off;
	}
	return NULL;
}
