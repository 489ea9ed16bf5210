/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second-stage page tables of VT-d (9.8), in memory that the IOMMU reads. Large pages are
 * used where both addresses and the length allow. The tables lie where another process can
 * write: no entry is followed before it was checked.
 */
#ifndef RING3_BACKEND_QEMU_VTD_TABLE_H
#define RING3_BACKEND_QEMU_VTD_TABLE_H

#include <ring3/mem.h>
#include <ring3/spec/vtd.h>

struct r3_vtd_table {
	struct r3_arena *arena; /* of the tables; physical addresses are offsets in its memory */
	uint64_t root;          /* physical */
	unsigned largest;       /* level whose entries can be pages: 1, 2 or 3 */
	/* By page number, where only we write: which pages are tables, and the list of those
	 * that were taken out, but that the IOMMU may still know. */
	uint32_t *page;
	uint32_t detached; /* 0: none */
};

/** An empty table. Errors: ENOMEM. */
int r3_vtd_table_init(struct r3_vtd_table *table, struct r3_arena *arena, unsigned largest);
/** Free what is not the arena's: it ends with the tables in it. */
void r3_vtd_table_free(struct r3_vtd_table *table);

/** Enter @len bytes at @iova, where nothing may be: to @physical, with @flags (VTD_SL_R,
 *  VTD_SL_W). Whole pages below 2^48. Errors: ENOMEM; EIO somebody wrote to the tables. What
 *  was entered up to then is to be unmapped. */
int r3_vtd_table_map(struct r3_vtd_table *table, uint64_t iova, uint64_t physical, uint64_t len,
		     uint64_t flags);

/** Clear what was entered as one. Tables that are empty now are taken out, and freed by
 *  r3_vtd_table_trim(), when the IOMMU has forgotten them. Errors: EIO, as above. */
int r3_vtd_table_unmap(struct r3_vtd_table *table, uint64_t iova, uint64_t len);
void r3_vtd_table_trim(struct r3_vtd_table *table);

/** What the IOMMU finds at @iova: its entry, and in *level where; 0: nothing. */
uint64_t r3_vtd_table_look(const struct r3_vtd_table *table, uint64_t iova, unsigned *level);

#endif
