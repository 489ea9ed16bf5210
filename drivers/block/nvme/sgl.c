/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scatter Gather Lists (4.4), for what PRPs cannot describe without a copy. One segment
 * is a data block descriptor in the command; more are a list of them, which always
 * fits into one segment of descriptors, the last.
 */
#include "nvme.h"

static struct nvme_sgl_desc descriptor(uint64_t addr, uint64_t len, uint8_t type)
{
	return (struct nvme_sgl_desc){.addr = R3_LE64(addr), .len = R3_LE32(len), .type = type};
}

int nvme_sgl_build(union nvme_dptr *dptr, const struct r3_dma_seg *seg, unsigned nseg,
		   struct nvme_sgl_desc *list, r3_iova list_iova)
{
	if (nseg == 1) {
		dptr->sgl = descriptor(seg[0].addr.v, seg[0].len, NVME_SGL_DATA);
		return 0;
	}
	if (nseg > NVME_MAX_SEGS)
		return r3_error_set(EFBIG, "more than %zu segments in one command", NVME_MAX_SEGS);
	for (unsigned i = 0; i < nseg; i++)
		list[i] = descriptor(seg[i].addr.v, seg[i].len, NVME_SGL_DATA);
	dptr->sgl = descriptor(list_iova.v, nseg * sizeof(*list), NVME_SGL_LAST_SEGMENT);
	return 0;
}
