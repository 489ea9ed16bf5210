/* SPDX-License-Identifier: BSD-2-Clause */
/* The chain of capabilities behind a region's information: see vfio_user.h. */
#include "wire/vfio_user.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

typedef struct vfio_region_info_cap_sparse_mmap sparse_cap;
typedef struct vfio_region_sparse_mmap_area sparse_area;

static int broken(const struct vfio_region_info *info, const char *what)
{
	return r3_error_set(EPROTO, "the capabilities of region %u %s", info->index, what);
}

/* Reads the capability at @at, of which @room bytes are there. */
static int read_sparse(const unsigned char *at, size_t room, const struct vfio_region_info *info,
		       struct r3_vfio_user_sparse *out)
{
	sparse_cap cap;

	if (room < sizeof(cap))
		return broken(info, "end in the midst of one");
	memcpy(&cap, at, sizeof(cap));
	if (cap.nr_areas > (room - sizeof(cap)) / sizeof(sparse_area))
		return broken(info, "count more areas than there are");
	for (uint32_t i = 0; i < cap.nr_areas && out->n < R3_VFIO_USER_AREAS; i++) {
		sparse_area area;

		memcpy(&area, at + sizeof(cap) + i * sizeof(area), sizeof(area));
		if (!area.size)
			continue;
		if (area.offset > info->size || area.size > info->size - area.offset)
			return broken(info, "have an area outside the region");
		out->area[out->n++] = area;
	}
	return 1;
}

int r3_vfio_user_sparse(const struct r3_vfio_user_msg *msg, const struct vfio_region_info *info,
			struct r3_vfio_user_sparse *out)
{
	struct vfio_info_cap_header cap;
	size_t len = msg->len < info->argsz ? msg->len : info->argsz;
	uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;
	uint32_t least = sizeof(*info);

	out->n = 0;
	/* Upwards only, which a chain that runs in a circle cannot do. */
	for (; at; at = cap.next) {
		if (at < least || at > len || len - at < sizeof(cap))
			return broken(info, "leave the message or run in a circle");
		memcpy(&cap, msg->payload + at, sizeof(cap));
		if (cap.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP)
			return read_sparse(msg->payload + at, len - at, info, out);
		least = at + (uint32_t)sizeof(cap);
	}
	return 0;
}

size_t r3_vfio_user_put_region_info(unsigned char out[R3_VFIO_USER_REGION_REPLY_MAX],
				    uint32_t argsz, const struct vfio_region_info *info,
				    const struct r3_vfio_user_sparse *sparse)
{
	struct vfio_region_info head = *info;
	sparse_cap cap = {.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1}};
	size_t areas = 0;

	head.cap_offset = 0;
	head.argsz = sizeof(head);
	if (sparse) {
		areas = sparse->n * sizeof(sparse_area);
		cap.nr_areas = sparse->n;
		head.flags |= VFIO_REGION_INFO_FLAG_CAPS;
		head.argsz += (uint32_t)(sizeof(cap) + areas);
	}
	if (sparse && head.argsz <= argsz) {
		head.cap_offset = sizeof(head);
		memcpy(out + sizeof(head), &cap, sizeof(cap));
		memcpy(out + sizeof(head) + sizeof(cap), sparse->area, areas);
	}
	memcpy(out, &head, sizeof(head));
	return head.cap_offset ? head.argsz : sizeof(head);
}
