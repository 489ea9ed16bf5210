/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the device can reach. Without an IOMMU that is all of the machine's RAM, which is ours;
 * with one it is what is mapped, and nothing that was unmapped.
 */
#include "backend/qemu/iommu.h"
#include "backend/qemu/qemu.h"
#include "util/kept_text.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)

int r3_qemu_dma_limits(struct r3_device *dev, struct r3_dma_limits *limits)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	*limits = (struct r3_dma_limits){.page_size = PAGE};
	if (!q->ram)
		return r3_error_set(EOPNOTSUPP, "%s: its memory cannot be reached", dev->info.name);
	if (q->iommu) {
		limits->nwindows = 2;
		limits->window[0] = (struct r3_iova_range){0, R3_QEMU_DOORBELL_IOVA - 1};
		limits->window[1] = (struct r3_iova_range){VTD_MSI_LAST + 1, R3_QEMU_IOVA_LAST};
		return 0;
	}
	limits->nwindows = 1;
	limits->window[0] = (struct r3_iova_range){R3_QEMU_DMA_FIRST, r3_mem_size(q->ram) - 1};
	return 0;
}

/* ---- the machine's RAM ---- */

int r3_qemu_dma_memory(struct r3_device *dev, uint64_t want, struct r3_mem **mem, uint64_t *off,
		       uint64_t *len)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	uint64_t room = q->ram ? r3_mem_size(q->ram) - R3_QEMU_DMA_FIRST : 0;

	if (!q->ram)
		return r3_error_set(EOPNOTSUPP, "%s: its memory cannot be reached", dev->info.name);
	if (want > room)
		return r3_error_set(
			ENOMEM,
			"%s: has %llu MiB of DMA memory, not more: start QEMU with more RAM (mem=)",
			dev->info.name, (unsigned long long)(room >> 20));
	*mem = q->ram;
	*off = R3_QEMU_DMA_FIRST;
	*len = room;
	return 0;
}

static int map_ram(struct r3_qemu *q, struct r3_mem *mem, uint64_t off, uint64_t len,
		   struct r3_dma_extent *extent)
{
	if (!q->ram || mem != q->ram)
		return r3_error_set(EOPNOTSUPP,
				    "%s: reaches the memory of its arena only; with an IOMMU "
				    "(iommu=on) it would reach this",
				    q->dev.info.name);
	/* RAM begins at address 0, and so does its file */
	*extent = (struct r3_dma_extent){.iova = off, .len = len};
	return 0;
}

/* ---- behind the IOMMU ---- */

/* The first map that ends behind @iova. */
static unsigned first_behind(const struct r3_qemu_iommu *iommu, uint64_t iova)
{
	unsigned low = 0, high = iommu->nmaps;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (iommu->map[middle].iova + (iommu->map[middle].len - 1) < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct r3_qemu_iommu *iommu)
{
	unsigned room = iommu->room ? 2 * iommu->room : 16;
	struct r3_qemu_map *map;

	if (iommu->nmaps < iommu->room)
		return 0;
	map = realloc(iommu->map, room * sizeof(*map));
	if (!map)
		return r3_error_set(ENOMEM, "out of memory");
	iommu->map = map;
	iommu->room = room;
	return 0;
}

static bool in_windows(uint64_t iova, uint64_t len)
{
	uint64_t last = iova + (len - 1);

	return last >= iova && last <= R3_QEMU_IOVA_LAST &&
	       (last < R3_QEMU_DOORBELL_IOVA || iova > VTD_MSI_LAST);
}

static int check_map(struct r3_qemu *q, struct r3_mem *mem, uint64_t off, uint64_t len,
		     unsigned prot, uint64_t iova)
{
	const unsigned both = R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE;
	struct r3_qemu_iommu *iommu = q->iommu;
	unsigned at;

	if (!len || (off | len | iova) % PAGE || !(prot & both) || prot & ~both)
		return r3_error_set(EINVAL,
				    "maps whole pages of %llu bytes, for reading or writing",
				    (unsigned long long)PAGE);
	if (off > r3_mem_size(mem) || len > r3_mem_size(mem) - off)
		return r3_error_set(EINVAL, "%#llx bytes at %#llx are beyond the memory's end",
				    (unsigned long long)len, (unsigned long long)off);
	if (!in_windows(iova, len))
		return r3_error_set(EINVAL, "%#llx bytes at address %#llx are not all the device's",
				    (unsigned long long)len, (unsigned long long)iova);
	at = first_behind(iommu, iova);
	if (at < iommu->nmaps && iommu->map[at].iova <= iova + (len - 1))
		return r3_error_set(EEXIST, "something is mapped at address %#llx already",
				    (unsigned long long)iommu->map[at].iova);
	return 0;
}

static int map_behind(struct r3_qemu *q, struct r3_mem *mem, uint64_t off, uint64_t len,
		      unsigned prot, uint64_t iova)
{
	struct r3_qemu_iommu *iommu = q->iommu;
	uint64_t flags = (prot & R3_DMA_DEVICE_READ ? VTD_SL_R : 0) |
			 (prot & R3_DMA_DEVICE_WRITE ? VTD_SL_W : 0);
	struct r3_qemu_dimm_want want = {.fd = r3_mem_fd(mem),
					 .off = r3_mem_fd_offset(mem) + off,
					 .len = len,
					 .write = prot & R3_DMA_DEVICE_WRITE,
					 .like = iova};
	struct r3_qemu_dimm *dimm;
	struct r3_kept_text why;
	unsigned at;
	int rc = check_map(q, mem, off, len, prot, iova);

	if (rc == 0)
		rc = make_room(iommu);
	if (rc == 0)
		rc = r3_qemu_dimm_get(&iommu->dimms, &want, &dimm);
	if (rc < 0)
		return rc;
	at = first_behind(iommu, iova);
	memmove(&iommu->map[at + 1], &iommu->map[at], (iommu->nmaps - at) * sizeof(iommu->map[0]));
	iommu->map[at] = (struct r3_qemu_map){iova, len, dimm};
	iommu->nmaps++;
	rc = r3_vtd_table_map(&iommu->vtd.table, iova, dimm->address + want.off, len, flags);
	if (rc < 0) {
		r3_error_keep(&why);
		r3_qemu_dma_unmap(&q->dev, iova, len);
		r3_error_put_back(&why);
	}
	return rc;
}

int r3_qemu_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
		    unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	int rc;

	if (*n < 1)
		return r3_error_set(E2BIG, "%s: no room for an extent", dev->info.name);
	if (q->iommu) {
		rc = map_behind(q, mem, off, len, prot, extent[0].iova);
		extent[0].len = len;
		rc = rc < 0 ? r3_error_prefix(rc, "%s: DMA map", dev->info.name) : 0;
	} else {
		rc = map_ram(q, mem, off, len, &extent[0]);
	}
	if (rc == 0)
		*n = 1;
	return rc;
}

/* Whether nothing is left that could write, because there is no QEMU. */
static bool is_dead(struct r3_qemu *q)
{
	if (!q->link.lost)
		return false;
	r3_qemu_raise(q, R3_QEMU_LOST);
	return r3_qemu_process_kill(&q->process);
}

/* A transfer that has its addresses already goes on, whatever the IOMMU forgets. It is
 * awaited, unless the device had no right to the bus since there was none under way. */
static int await_transfers(struct r3_qemu *q)
{
	if (!(q->config.command & PCI_COMMAND_MASTER) && !q->config.mastered)
		return 0;
	return r3_qemu_drain(q);
}

static int take_out(struct r3_qemu *q, uint64_t iova, uint64_t len)
{
	struct r3_qemu_iommu *iommu = q->iommu;
	int rc = r3_vtd_table_unmap(&iommu->vtd.table, iova, len);

	if (rc == 0)
		rc = r3_vtd_invalidate(&iommu->vtd, iova, len);
	if (rc == 0)
		rc = await_transfers(q);
	if (rc < 0 && !is_dead(q))
		return r3_error_set(EIO,
				    "%s: DMA unmap: cannot show that the device is through: %s",
				    q->dev.info.name, r3_error_text());
	r3_vtd_table_trim(&iommu->vtd.table);
	return 0;
}

static int unmap_behind(struct r3_qemu *q, uint64_t iova, uint64_t len)
{
	struct r3_qemu_iommu *iommu = q->iommu;
	uint64_t last = iova + (len - 1);
	unsigned first = first_behind(iommu, iova), end = first;
	int rc;

	while (end < iommu->nmaps && last >= iova && iommu->map[end].iova <= last)
		end++;
	if (first == end || iommu->map[first].iova < iova ||
	    iommu->map[end - 1].iova + (iommu->map[end - 1].len - 1) > last)
		return r3_error_set(EINVAL,
				    "%s: DMA unmap: %#llx bytes at address %#llx are not what was "
				    "mapped",
				    q->dev.info.name, (unsigned long long)len,
				    (unsigned long long)iova);
	rc = take_out(q, iommu->map[first].iova,
		      iommu->map[end - 1].iova + iommu->map[end - 1].len - iommu->map[first].iova);
	if (rc < 0)
		return rc; /* it stays mapped, so that the memory is nobody else's */
	for (unsigned i = first; i < end; i++)
		if (r3_qemu_dimm_put(&iommu->dimms, iommu->map[i].dimm) < 0 && !q->link.lost)
			r3_log(R3_LOG_WARN,
			       "%s: QEMU keeps memory, which the device cannot reach: %s",
			       q->dev.info.name, r3_error_text());
	memmove(&iommu->map[first], &iommu->map[end], (iommu->nmaps - end) * sizeof(iommu->map[0]));
	iommu->nmaps -= end - first;
	r3_qemu_iommu_faults(q);
	return 0;
}

/* Nothing can be taken out of a machine's RAM: whoever unmaps quiesces first. */
int r3_qemu_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	return q->iommu ? unmap_behind(q, iova, len) : 0;
}
