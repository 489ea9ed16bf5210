/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that the back-end may use: one message for each region where it can, else a table
 * of all of them anew. Its guest and its user addresses are the device's.
 */
#include "backend/vhost_user/vhost_user.h"

#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>

static struct vhost_user_memory_region describe(const struct vuf_region *region)
{
	return (struct vhost_user_memory_region){
		.guest_address = region->iova,
		.size = region->len,
		.user_address = region->iova,
		.mmap_offset = r3_mem_fd_offset(region->mem) + region->off,
	};
}

static unsigned most_regions(const struct vuf_device *vuf)
{
	return vuf_has(vuf, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) ? VUF_REGIONS
								       : VHOST_USER_MEM_REGIONS;
}

static int send_table(struct vuf_device *vuf)
{
	struct r3_vhost_user_msg msg;
	uint32_t n = 0;

	r3_vhost_user_begin(&msg, VHOST_USER_SET_MEM_TABLE, 0, sizeof(msg.payload.memory));
	for (unsigned i = 0; i < VHOST_USER_MEM_REGIONS; i++) {
		if (!vuf->region[i].len)
			continue;
		msg.payload.memory.region[n] = describe(&vuf->region[i]);
		msg.fd[n++] = r3_mem_fd(vuf->region[i].mem);
	}
	msg.payload.memory.nregions = n;
	msg.header.size = R3_VHOST_USER_MEMORY_SIZE(n);
	msg.nfds = n;
	return vuf_ask(vuf, &msg);
}

static int tell_one(struct vuf_device *vuf, uint32_t request, const struct vuf_region *region)
{
	struct r3_vhost_user_msg msg;

	if (!vuf_has(vuf, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return send_table(vuf);
	r3_vhost_user_begin(&msg, request, 0, sizeof(msg.payload.single));
	msg.payload.single.region = describe(region);
	msg.nfds = request == VHOST_USER_ADD_MEM_REG;
	msg.fd[0] = r3_mem_fd(region->mem);
	return vuf_ask(vuf, &msg);
}

int vuf_map(struct vuf_device *vuf, struct r3_mem *mem, uint64_t off, uint64_t iova, uint64_t len)
{
	struct vuf_region *free_one = NULL;
	int rc;

	for (unsigned i = most_regions(vuf); i-- > 0;) {
		struct vuf_region *region = &vuf->region[i];

		if (!region->len)
			free_one = region;
		else if (iova < region->iova + region->len && region->iova < iova + len)
			return r3_error_set(EEXIST, "%s: 0x%" PRIx64 " is mapped already",
					    vuf->name, iova);
	}
	if (!free_one)
		return r3_error_set(ENOSPC, "%s: the back-end takes %u regions of memory",
				    vuf->name, most_regions(vuf));
	*free_one = (struct vuf_region){.mem = mem, .off = off, .iova = iova, .len = len};
	rc = tell_one(vuf, VHOST_USER_ADD_MEM_REG, free_one);
	if (rc < 0)
		free_one->len = 0;
	else
		r3_mem_ref(mem);
	return rc;
}

int vuf_unmap(struct vuf_device *vuf, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < VUF_REGIONS; i++) {
		struct vuf_region *region = &vuf->region[i], was = *region;
		int rc;

		if (!was.len || was.iova != iova || was.len != len)
			continue;
		region->len = 0; /* so that it is not in the table */
		rc = tell_one(vuf, VHOST_USER_REM_MEM_REG, &was);
		/* a back-end that has gone reaches nothing of it */
		if (rc < 0 && !vuf->lost)
			region->len = was.len;
		else
			r3_mem_unref(was.mem);
		return vuf->lost ? 0 : rc;
	}
	return r3_error_set(ENOENT, "%s: 0x%" PRIx64 " is not mapped", vuf->name, iova);
}

void vuf_drop_memory(struct vuf_device *vuf)
{
	for (unsigned i = 0; i < VUF_REGIONS; i++) {
		if (vuf->region[i].len)
			r3_mem_unref(vuf->region[i].mem);
		vuf->region[i].len = 0;
	}
}
