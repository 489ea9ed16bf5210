/* SPDX-License-Identifier: BSD-2-Clause */
/* What the device is: its regions, with the descriptors of those that can be mapped, and its
 * interrupts. Indexes are VFIO's, as ours are. */
#include "serve/vfio_user/server.h"
#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A PCI device has all regions that VFIO knows, if only by number ("Device-Specific Regions"). */
static unsigned regions(const struct r3_device *dev)
{
	if (dev->info.caps & R3_CAP_PCI && dev->info.nregions < VFIO_PCI_NUM_REGIONS)
		return VFIO_PCI_NUM_REGIONS;
	return dev->info.nregions;
}

int r3_serve_get_device_info(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
			     struct r3_serve_reply *reply)
{
	const unsigned caps = serve->dev->info.caps;
	struct vfio_user_device_info info;
	int rc = r3_vfio_user_get_device_info(msg, &info);

	if (rc)
		return rc;
	info = (struct vfio_user_device_info){
		.argsz = sizeof(info),
		.num_regions = regions(serve->dev),
		.num_irqs = VFIO_PCI_NUM_IRQS,
	};
	if (caps & R3_CAP_PCI)
		info.flags |= VFIO_DEVICE_FLAGS_PCI;
	if (caps & (R3_CAP_FLR | R3_CAP_BUS_RESET))
		info.flags |= VFIO_DEVICE_FLAGS_RESET;
	memcpy(reply->payload, &info, sizeof(info));
	reply->len = sizeof(info);
	return 0;
}

/* ---- regions ---- */

/* The areas that a client can map: whole pages of the file, inside the region. Of a filter's
 * region there are none, whatever it says: an access past a filter is one that it does not see. */
static void find_areas(const struct r3_serve *serve, const struct r3_region_info *info,
		       struct r3_vfio_user_sparse *sparse)
{
	const unsigned both = R3_REGION_READ | R3_REGION_WRITE;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;

	sparse->n = 0;
	if (serve->dev->lower || info->fd < 0 || info->nareas > R3_REGION_AREAS ||
	    (info->flags & (both | R3_REGION_PORT | R3_REGION_MAPPABLE)) !=
		    (both | R3_REGION_MAPPABLE) ||
	    __builtin_add_overflow(info->fd_off, info->size, &end) || end > INT64_MAX)
		return;
	for (unsigned i = 0; i < (info->nareas ? info->nareas : 1); i++) {
		uint64_t off = info->nareas ? info->area[i].off : 0;
		uint64_t len = info->nareas ? info->area[i].len : info->size;

		if (!len || off > info->size || len > info->size - off ||
		    (info->fd_off + off) % page)
			continue;
		sparse->area[sparse->n++] =
			(struct vfio_region_sparse_mmap_area){.offset = off, .size = len};
	}
}

int r3_serve_get_region_info(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
			     struct r3_serve_reply *reply)
{
	struct r3_device *dev = serve->dev;
	struct r3_region_info found = {.fd = -1};
	struct r3_vfio_user_sparse sparse;
	struct vfio_region_info info;
	int rc = r3_vfio_user_get_region_info(msg, &info);
	uint32_t argsz;

	if (rc)
		return rc;
	argsz = info.argsz;
	if (info.index >= regions(dev))
		return r3_error_set(EINVAL, "%s: there is no region %u", dev->info.name,
				    info.index);
	if (info.index < dev->info.nregions)
		rc = r3_device_answer(dev, dev->ops->region_info(dev, info.index, &found));
	if (rc)
		return rc;
	find_areas(serve, &found, &sparse);
	info = (struct vfio_region_info){
		.index = info.index, .size = found.size, .offset = sparse.n ? found.fd_off : 0};
	if (found.size && found.flags & R3_REGION_READ)
		info.flags |= VFIO_REGION_INFO_FLAG_READ;
	if (found.size && found.flags & R3_REGION_WRITE)
		info.flags |= VFIO_REGION_INFO_FLAG_WRITE;
	if (sparse.n)
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
	reply->len = r3_vfio_user_put_region_info(reply->payload, argsz, &info,
						  sparse.n && found.nareas ? &sparse : NULL);
	/* whoever has to ask again for the areas gets the descriptor with them */
	if (sparse.n && (!found.nareas || reply->len > sizeof(info))) {
		reply->fd = found.fd;
		reply->close_fd = found.close_fd;
	} else if (found.close_fd) {
		r3_fd_close(&found.fd);
	}
	return 0;
}

int r3_serve_get_region_io_fds(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
			       struct r3_serve_reply *reply)
{
	struct vfio_user_region_io_fds info;
	int rc = r3_vfio_user_get_region_io_fds(msg, &info);

	if (rc)
		return rc;
	if (info.index >= regions(serve->dev))
		return r3_error_set(EINVAL, "%s: there is no region %u", serve->dev->info.name,
				    info.index);
	/* no carrier of ours takes doorbells by descriptor */
	info = (struct vfio_user_region_io_fds){.argsz = sizeof(info), .index = info.index};
	memcpy(reply->payload, &info, sizeof(info));
	reply->len = sizeof(info);
	return 0;
}

/* ---- interrupts ---- */

int r3_serve_get_irq_info(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
			  struct r3_serve_reply *reply)
{
	const struct r3_device_info *dev = &serve->dev->info;
	struct vfio_irq_info info;
	int rc = r3_vfio_user_get_irq_info(msg, &info);

	if (rc)
		return rc;
	if (info.index >= VFIO_PCI_NUM_IRQS)
		return r3_error_set(EINVAL, "%s: there are no interrupts of index %u", dev->name,
				    info.index);
	info = (struct vfio_irq_info){.argsz = sizeof(info), .index = info.index, .count = 1};
	info.flags = VFIO_IRQ_INFO_EVENTFD;
	if (info.index <= VFIO_PCI_MSIX_IRQ_INDEX) {
		info.count = dev->nirqs[info.index];
		if (!info.count)
			info.flags = 0;
		else if (info.index == VFIO_PCI_INTX_IRQ_INDEX)
			info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
		else
			info.flags |= VFIO_IRQ_INFO_NORESIZE |
				      (dev->caps & R3_CAP_IRQ_MASK ? VFIO_IRQ_INFO_MASKABLE : 0);
	}
	memcpy(reply->payload, &info, sizeof(info));
	reply->len = sizeof(info);
	return 0;
}
