/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front-end's memory, as far as it gave it to us. Every address of every ring and
 * descriptor is looked for here, and found only inside of a region.
 */
#include "serve/vhost_user/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <ring3/error.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool overlap(uint64_t a, uint64_t b, uint64_t alen, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

static int check(const struct vub_memory *memory, const struct vhost_user_memory_region *region)
{
	uint64_t size = region->size, end;

	if (memory->n == VUB_REGIONS)
		return r3_error_set(ENOSPC, "vhost-user: more than %u regions of memory",
				    VUB_REGIONS);
	if (!size || __builtin_add_overflow(region->guest_address, size, &end) ||
	    __builtin_add_overflow(region->user_address, size, &end) ||
	    __builtin_add_overflow(region->mmap_offset, size, &end) || end > INT64_MAX)
		return r3_error_set(EINVAL,
				    "vhost-user: a region of 0x%" PRIx64 " bytes at 0x%" PRIx64,
				    size, region->guest_address);
	for (unsigned i = 0; i < memory->n; i++) {
		const struct vub_region *other = &memory->region[i];

		if (overlap(other->guest, region->guest_address, other->size, size) ||
		    overlap(other->user, region->user_address, other->size, size))
			return r3_error_set(EINVAL,
					    "vhost-user: the region at 0x%" PRIx64
					    " overlaps another one",
					    region->guest_address);
	}
	return 0;
}

/* What can be mapped of a file begins at a page of it, which may be a huge one. */
static uint64_t granule_of(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Whoever has not sealed its memory may not mind that we do. */
static int import(const struct vub_memory *memory, int fd, uint64_t off, uint64_t len,
		  struct r3_mem **out)
{
	int rc = r3_mem_import(fd, off, len, 0, out);

	if (rc == -EPERM && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0)
		rc = r3_mem_import(fd, off, len, 0, out);
	if (rc == -EPERM && memory->allow_unsealed)
		rc = r3_mem_import(fd, off, len, R3_MEM_UNSEALED, out);
	return rc;
}

int vub_memory_add(struct vub_memory *memory, const struct vhost_user_memory_region *region, int fd)
{
	struct vub_region *new = &memory->region[memory->n];
	uint64_t skip, len, granule = granule_of(fd);
	int rc = check(memory, region);

	if (rc < 0)
		return rc;
	skip = region->mmap_offset % granule;
	len = (skip + region->size + granule - 1) / granule * granule;
	*new = (struct vub_region){
		.guest = region->guest_address, .user = region->user_address, .size = region->size};
	rc = import(memory, fd, region->mmap_offset - skip, len, &new->mem);
	if (rc < 0)
		return r3_error_prefix(rc, "vhost-user: memory at 0x%" PRIx64,
				       region->guest_address);
	new->base = (unsigned char *)r3_mem_addr(new->mem) + skip;
	memory->n++;
	return 0;
}

int vub_memory_remove(struct vub_memory *memory, const struct vhost_user_memory_region *region)
{
	for (unsigned i = 0; i < memory->n; i++) {
		struct vub_region *old = &memory->region[i];

		if (old->guest != region->guest_address || old->user != region->user_address ||
		    old->size != region->size)
			continue;
		r3_mem_unref(old->mem);
		*old = memory->region[--memory->n];
		return 0;
	}
	return r3_error_set(ENOENT, "vhost-user: there is no region at 0x%" PRIx64,
			    region->guest_address);
}

void vub_memory_clear(struct vub_memory *memory)
{
	while (memory->n)
		r3_mem_unref(memory->region[--memory->n].mem);
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
