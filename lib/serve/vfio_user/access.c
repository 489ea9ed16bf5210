/* SPDX-License-Identifier: BSD-2-Clause */
/* Access to regions by messages. A client may ask for any number of bytes at any offset; the
 * device gets accesses that a CPU could do: aligned, of 1, 2, 4 or 8 bytes, upwards. What is
 * such an access already reaches the device as it is. */
#include "serve/vfio_user/server.h"
#include "util/item.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

/* Configuration space and ports have no accesses of 8 bytes; of more than 8 bytes nobody meant
 * one, and there are devices to which two halves are not the same (NVMe 1.4, 3.1). */
static unsigned most(const struct r3_region *region, uint32_t count)
{
	if (region->index == R3_REGION_CONFIG || region->flags & R3_REGION_PORT)
		return 4;
	return count == 8 ? 8 : 4;
}

/* The next accesses of @left bytes at @off: of *width, as many as are alike. */
static uint32_t next(uint64_t off, uint32_t left, unsigned widest, unsigned *width)
{
	*width = widest;
	while (*width > left || off & (*width - 1))
		*width /= 2;
	return *width == widest ? left / *width : 1;
}

/* Bytes on the wire are as in the device's memory, little-endian; items are the CPU's. */
static void swap(unsigned char *data, unsigned width, uint32_t n)
{
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	for (; n; n--, data += width)
		r3_item_put_le(data, width, r3_item_get(data, width));
#endif
}

static int find(struct r3_serve *serve, const struct vfio_user_region_access *access,
		struct r3_region **out)
{
	struct r3_device *dev = serve->dev;
	int rc = r3_device_region(dev, access->region, out);

	if (rc)
		return rc == -ENOENT ? -EINVAL : rc;
	if (access->offset > (*out)->size || access->count > (*out)->size - access->offset)
		return r3_error_set(EINVAL, "%s: %s: %u bytes at %#jx are beyond its end at %#jx",
				    dev->info.name, (*out)->name, access->count,
				    (uintmax_t)access->offset, (uintmax_t)(*out)->size);
	return 0;
}

int r3_serve_region_read(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
			 struct r3_serve_reply *reply)
{
	struct vfio_user_region_access access;
	struct r3_region *region;
	unsigned char *data = reply->payload + sizeof(access);
	int rc = r3_vfio_user_get_region_read(msg, R3_VFIO_USER_XFER, &access);

	if (!rc)
		rc = find(serve, &access, &region);
	if (rc)
		return rc;
	for (uint32_t done = 0, n; done < access.count; done += n) {
		unsigned width;
		uint32_t items = next(access.offset + done, access.count - done,
				      most(region, access.count), &width);

		rc = r3_region_read(region, access.offset + done, width, data + done, items);
		if (rc)
			return rc;
		swap(data + done, width, items);
		n = items * width;
	}
	memcpy(reply->payload, &access, sizeof(access));
	reply->len = sizeof(access) + access.count;
	return 0;
}

/* A write for which nobody waits need not wait for the device either: the link below keeps the
 * order. */
static int put(struct r3_region *region, uint64_t off, unsigned width, const unsigned char *data,
	       uint32_t items, bool posted)
{
	struct r3_device *dev = region->dev;

	if (!posted || R3_REGION_MAPPED(region, off, width) || !(region->flags & R3_REGION_WRITE))
		return r3_region_write(region, off, width, data, items);
	r3_barrier_write();
	/* rw() reads only, with R3_RW_WRITE */
	return r3_device_answer(dev,
				dev->ops->rw(dev, region->index, off, (void *)(uintptr_t)data,
					     (uint8_t)width, items, R3_RW_WRITE | R3_RW_POSTED));
}

static int write(struct r3_serve *serve, const struct vfio_user_region_access *access,
		 const unsigned char *data, bool posted)
{
	struct r3_region *region;
	int rc = find(serve, access, &region);

	for (uint32_t done = 0, n; !rc && done < access->count; done += n) {
		unsigned width;
		uint32_t items = next(access->offset + done, access->count - done,
				      most(region, access->count), &width);

		/* the message is ours, and nobody looks at it again */
		swap((unsigned char *)(uintptr_t)data + done, width, items);
		rc = put(region, access->offset + done, width, data + done, items, posted);
		n = items * width;
	}
	return rc;
}

static bool is_posted(const struct r3_vfio_user_msg *msg)
{
	return msg->header.flags & VFIO_USER_F_NO_REPLY;
}

int r3_serve_region_write(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
			  struct r3_serve_reply *reply)
{
	struct vfio_user_region_access access;
	const unsigned char *data;
	int rc = r3_vfio_user_get_region_write(msg, R3_VFIO_USER_XFER, &access, &data);

	if (!rc)
		rc = write(serve, &access, data, is_posted(msg));
	if (rc)
		return rc;
	memcpy(reply->payload, &access, sizeof(access));
	reply->len = sizeof(access);
	return 0;
}

int r3_serve_region_write_multi(struct r3_serve *serve, const struct r3_vfio_user_msg *msg,
				int *fds, struct r3_serve_reply *reply)
{
	struct vfio_user_write_single one;
	uint64_t n;
	int rc = r3_vfio_user_get_write_multi(msg, &n);

	for (uint64_t i = 0; !rc && i < n; i++) {
		rc = r3_vfio_user_get_write(msg, i, &one);
		if (!rc) {
			const struct vfio_user_region_access access = {
				.offset = one.offset, .region = one.region, .count = one.count};

			rc = write(serve, &access, one.data, is_posted(msg));
		}
	}
	if (rc)
		return rc;
	memcpy(reply->payload, &n, sizeof(n));
	reply->len = sizeof(n);
	return 0;
}
