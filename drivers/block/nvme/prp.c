/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Physical Region Pages (4.3): the first entry may begin anywhere in a page, dword
 * aligned, every other at a page boundary. Two entries fit in the command; the third
 * turns the second into the address of a list.
 */
#include "nvme.h"

bool nvme_prp_fits(const struct r3_dma_seg *seg, unsigned nseg, uint32_t page)
{
	if (seg[0].addr.v & 3)
		return false;
	for (unsigned i = 1; i < nseg; i++)
		if (((seg[i - 1].addr.v + seg[i - 1].len) | seg[i].addr.v) & (page - 1))
			return false;
	return true;
}

int nvme_prp_build(union nvme_dptr *dptr, const struct r3_dma_seg *seg, unsigned nseg,
		   uint32_t page, uint64_t *list, r3_iova list_iova)
{
	uint64_t at = seg[0].addr.v;
	uint64_t left = seg[0].len;
	uint64_t step = page - (at & (page - 1));
	unsigned n = 0;

	dptr->prp[0] = R3_LE64(at);
	for (unsigned i = 0;;) {
		if (left > step) {
			at += step;
			left -= step;
		} else if (++i < nseg) {
			at = seg[i].addr.v;
			left = seg[i].len;
		} else {
			break;
		}
		step = page;
		if (n == NVME_LIST_LEN / sizeof(*list))
			return r3_error_set(EFBIG, "more than %u pages in one command", n + 1);
		list[n++] = R3_LE64(at);
	}
	dptr->prp[1] = n < 2 ? (n ? list[0] : 0) : R3_LE64(list_iova.v);
	return 0;
}
