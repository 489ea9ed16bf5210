/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory modules of the machine: files that others made, plugged in and out while it runs.
 * A file is one module, however often it is asked for. That is what makes foreign memory
 * something that QEMU's IOMMU can point to.
 */
#ifndef RING3_BACKEND_QEMU_DIMM_H
#define RING3_BACKEND_QEMU_DIMM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct r3_qemu_link;
struct r3_qmp;

/** What QEMU has to be started with: -m ...,slots=,maxmem=. The modules lie above the BARs,
 *  all in what 40 bits of physical address reach, QEMU's own reserve of 1 GiB per slot
 *  included. */
#define R3_QEMU_DIMM_SLOTS 256
#define R3_QEMU_DIMM_TOTAL (UINT64_C(512) << 30)
#define R3_QEMU_DIMM_FIRST (UINT64_C(64) << 30)
#define R3_QEMU_DIMM_LAST  ((UINT64_C(768) << 30) - 1)

struct r3_qemu_dimm {
	unsigned refs; /* 0: the slot is free */
	dev_t dev;
	ino_t ino;
	uint64_t address, size; /* physical; from byte 0 of the file on */
	bool readonly;
	unsigned serial; /* of its names in QEMU, which are not used twice */
};

struct r3_qemu_dimms {
	struct r3_qemu_dimm slot[R3_QEMU_DIMM_SLOTS];
	struct r3_qmp *qmp;
	struct r3_qemu_link *link;
	unsigned serial;
};

/** What is asked for: bytes [@off, @off+@len) of a file. */
struct r3_qemu_dimm_want {
	int fd;
	uint64_t off, len;
	bool write;
	/** The physical address of byte @off should be congruent to this, so that the IOMMU can
	 *  use large pages. */
	uint64_t like;
};

/** Have it plugged: *dimm stays until it is given back. Errors: EPERM the file can shrink,
 *  which would kill QEMU; EACCES it is sealed against writing; EINVAL beyond its end; ENOSPC
 *  no slot, or no room; EIO QEMU refuses. */
int r3_qemu_dimm_get(struct r3_qemu_dimms *dimms, const struct r3_qemu_dimm_want *want,
		     struct r3_qemu_dimm **dimm);

/** Unplug it, if nobody else has it. Errors: EIO QEMU keeps it, and its slot is lost. */
int r3_qemu_dimm_put(struct r3_qemu_dimms *dimms, struct r3_qemu_dimm *dimm);

#endif
