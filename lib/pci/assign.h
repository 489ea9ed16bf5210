/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BAR sizing and assignment: what firmware does for a bus that has none (PCI 3.0,
 * 6.2.5.1; PCI-to-PCI bridges 1.2, 3.2.5). Works on any way to reach
 * configuration space, so that a backend can use it before it has a device.
 */
#ifndef RING3_PCI_ASSIGN_H
#define RING3_PCI_ASSIGN_H

#include <ring3/pci.h>

/** Access to the configuration spaces of a bus segment. @devfn is slot << 3 | function.
 *  Reads of absent functions return all ones. */
struct r3_pci_access {
	uint32_t (*read)(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
			 unsigned width);
	void (*write)(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
		      unsigned width, uint32_t value);
};

/** Address space to hand out; each call takes from the front. */
struct r3_pci_window {
	uint64_t next, end; /* end is exclusive */
};

struct r3_pci_windows {
	struct r3_pci_window io;    /* ports */
	struct r3_pci_window mem;   /* below 4 GiB */
	struct r3_pci_window mem64; /* prefetchable 64-bit BARs; empty: they take from mem */
	unsigned next_bus;          /* bus number for the next bridge found */
	/* 0: a function's largest BAR comes first, which leaves no gaps. Else the order is
	 * drawn from this number: what a driver assumes about it, some machine breaks. */
	uint32_t shuffle;
};

/** Size the BARs and the ROM of one function into bar[0..6] ([6] is the ROM), leaving
 *  the registers as they were. Decoding is off while it sizes. A device that answers
 *  nonsense (a size that is no power of two, a 64-bit BAR in the last place) gets
 *  that BAR left out. Errors: ENODEV nothing there. */
int r3_pci_size(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		struct r3_pci_bar bar[7]);

/** Number the buses behind @bus and assign all BARs and bridge windows, depth first.
 *  Memory and port decoding and bus mastering are turned on for bridges only.
 *  Errors: ENOSPC a window or the bus numbers are used up (the text says which, and
 *  by what); ELOOP bridges nest deeper than any tree does. */
int r3_pci_assign(struct r3_pci_access *access, struct r3_pci_windows *windows, unsigned bus);

#endif
