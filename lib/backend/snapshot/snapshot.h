/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot of a device, version 1: a text of lines. What follows a # is for people, and
 * so are empty lines and the order of what is not said here.
 *
 *      ring3-snapshot 1
 *      interrupts msix 65                      # for each type, if there are any
 *      region bar0 0x4000 read write 64bit     # for each region
 *      region config 0x1000 read write
 *      000: 36 1b 10 00 00 00 10 00 ...        # 16 bytes of configuration space; lines of
 *      0f0: 00 00 00 00 ...                    # zeroes are left out
 *      register bar0 0x1c 4 0x00000001         # CSTS: 4 bytes at 0x1c
 *
 * The version comes first, a region before what is in it; offsets only rise.
 */
#ifndef R3_BACKEND_SNAPSHOT_H
#define R3_BACKEND_SNAPSHOT_H

#include "bus/ops.h"

#include <linux/pci_regs.h>

#define R3_SNAPSHOT_REGIONS (R3_REGION_CONFIG + 1)
/* far above what any device needs: 4 KiB of configuration space are 14 KiB of text */
#define R3_SNAPSHOT_REGISTERS 16384u
#define R3_SNAPSHOT_FILE      (1u << 20)

struct r3_snapshot_register {
	unsigned region;
	unsigned width;
	uint64_t off;
	uint64_t value;
};

struct r3_snapshot {
	struct {
		uint64_t size;  /* 0: none */
		unsigned flags; /* enum r3_region_flags */
	} region[R3_SNAPSHOT_REGIONS];
	unsigned nirqs[3];
	uint8_t config[PCI_CFG_SPACE_EXP_SIZE];
	struct r3_snapshot_register *reg; /* by region and offset, none overlaps another */
	size_t nreg;
};

/** Parse @text of @len bytes, which is changed. @path is for messages. The registers are
 *  an allocation of the snapshot's. Errors: EBADMSG (the text says which line); ENOMEM. */
int r3_snapshot_parse(const char *path, char *text, size_t len, struct r3_snapshot *out);

/* The words of a region line, by bit of enum r3_region_flags; NULL: has none. */
extern const char *const r3_snapshot_flags[6];
extern const char *const r3_snapshot_irqs[3];

extern const struct r3_backend r3_snapshot_backend;

#endif
