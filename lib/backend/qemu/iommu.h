/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An IOMMU in front of the device: what QEMU's intel-iommu, memory modules and an interrupt
 * handler of a dozen bytes are together. The device reaches what dma_map() enters and the
 * page of the doorbell, which its interrupts are written to; nothing else.
 */
#ifndef RING3_BACKEND_QEMU_IOMMU_H
#define RING3_BACKEND_QEMU_IOMMU_H

#include "backend/qemu/dimm.h"
#include "backend/qemu/vtd.h"

#include "bus/ops.h"

struct r3_qemu;

/** Where devices find the doorbell: at the edge of a hole that is there anyhow, and below
 *  4 GiB, as some devices' messages have to be. */
#define R3_QEMU_DOORBELL_IOVA (VTD_MSI_FIRST - VTD_PAGE)

/** Addresses that the owner may use, beside that hole. */
#define R3_QEMU_IOVA_LAST ((UINT64_C(1) << 48) - 1)

/** Faults that wait to be told. While so many wait the IOMMU keeps the next, and no others. */
#define R3_QEMU_FAULTS 16
/** And taken from the IOMMU in a second. */
#define R3_QEMU_FAULTS_PER_SECOND 64

struct r3_qemu_map {
	uint64_t iova, len;
	struct r3_qemu_dimm *dimm;
};

struct r3_qemu_iommu {
	struct r3_vtd vtd;
	struct r3_qemu_dimms dimms;
	struct r3_qemu_map *map; /* by address */
	unsigned nmaps, room;
	int fault_fd;                   /* eventfd: something was refused */
	int timer;                      /* timerfd: look again */
	uint64_t fault[R3_QEMU_FAULTS]; /* addresses; a ring */
	unsigned first_fault, nfaults;
	uint64_t second; /* when the current one began, and what was taken in it */
	unsigned taken;
};

/** Put it in front of the device, which is found and has no right to the bus yet. */
int r3_qemu_iommu_open(struct r3_qemu *q);
void r3_qemu_iommu_close(struct r3_qemu *q);

/** Take what the IOMMU has recorded, and say it in the log. A bounded number. */
void r3_qemu_iommu_faults(struct r3_qemu *q);
/** The same if its interrupt came. */
void r3_qemu_iommu_listen(struct r3_qemu *q);
/** Tell up to @max of them. Returns how many. */
unsigned r3_qemu_iommu_tell(struct r3_qemu *q, struct r3_event *events, unsigned max);
/** Whether there are more. */
bool r3_qemu_iommu_waits(const struct r3_qemu *q);

/* dma.c: bus operations */
int r3_qemu_dma_limits(struct r3_device *dev, struct r3_dma_limits *limits);
int r3_qemu_dma_memory(struct r3_device *dev, uint64_t want, struct r3_mem **mem, uint64_t *off,
		       uint64_t *len);
int r3_qemu_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
		    unsigned prot, struct r3_dma_extent *extent, unsigned *n);
int r3_qemu_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len);

#endif
