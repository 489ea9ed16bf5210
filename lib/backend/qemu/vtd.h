/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's intel-iommu: its registers by the link, its tables and its queue in RAM of the
 * machine that nobody else uses. One domain, whose page table is the owner's to fill; what
 * was taken out of it is out for the device after r3_vtd_invalidate().
 */
#ifndef RING3_BACKEND_QEMU_VTD_H
#define RING3_BACKEND_QEMU_VTD_H

#include "backend/qemu/link.h"
#include "backend/qemu/vtd_table.h"

struct r3_vtd {
	struct r3_qemu_link *link;
	struct r3_arena *arena; /* of all tables */
	struct r3_vtd_table table;
	uint64_t *root;          /* root table */
	unsigned frcd, nfrcd;    /* fault recording registers: where, how many */
	unsigned next_fault;     /* where to look first */
	unsigned address_mask;   /* most pages of one invalidation, as a power; 0: all or one */
	uint64_t *queue;         /* of invalidations */
	unsigned tail;           /* next free descriptor */
	uint32_t *status, stamp; /* where a wait descriptor says that it was reached */
};

/** A transfer that was refused. */
struct r3_vtd_fault {
	uint64_t address; /* of the page */
	uint16_t source;  /* bus << 8 | devfn */
	bool read;        /* else it was a write */
	unsigned reason;  /* enum vtd_fault_reason */
};

/** Build empty tables in bytes [@first, end) of @ram, and turn translation on: from then on
 *  no device reaches anything. Errors: ENODEV no such IOMMU, or one that lacks what is
 *  needed; EIO it does not obey; ENOMEM. */
int r3_vtd_open(struct r3_vtd *vtd, struct r3_qemu_link *link, struct r3_mem *ram, uint64_t first);
void r3_vtd_close(struct r3_vtd *vtd);

/** The function @source (bus << 8 | devfn) has the domain's addresses from now on. */
int r3_vtd_attach(struct r3_vtd *vtd, uint16_t source);

/** Make it forget [iova, iova+len). Transfers that have their addresses already go on.
 *  Errors: EIO it does not obey. */
int r3_vtd_invalidate(struct r3_vtd *vtd, uint64_t iova, uint64_t len);

/** Interrupt the processor, by NMI, when a transfer is refused. */
int r3_vtd_fault_by_nmi(struct r3_vtd *vtd);

/** Take a recorded fault. While none is taken, others of the same function are not recorded.
 *  Returns 1, or 0 when there is none. */
int r3_vtd_take_fault(struct r3_vtd *vtd, struct r3_vtd_fault *fault);

/** In words. */
const char *r3_vtd_reason(unsigned reason);

#endif
