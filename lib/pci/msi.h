/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI and MSI-X capabilities (PCI 3.0, 6.8), for carriers that program a device's
 * interrupts themselves. The MSI-X table is in a BAR: its entries, which are laid out
 * as PCI_MSIX_ENTRY_*, are written by whoever can reach that.
 */
#ifndef RING3_PCI_MSI_H
#define RING3_PCI_MSI_H

#include "pci/assign.h"

struct r3_pci_msi {
	unsigned offset;
	unsigned max;  /* vectors: a power of two, at most 32 */
	bool wide;     /* takes 64-bit addresses */
	bool maskable; /* per vector */
};

/** Errors: ENOENT no MSI, or one that makes no sense. Without a text. */
int r3_pci_msi_parse(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		     struct r3_pci_msi *msi);

/** Enable @n vectors (a power of two, at most msi->max; 0 turns MSI off): vector i
 *  writes @data + i to @address, so @data must be a multiple of @n.
 *  Errors: EINVAL; EIO the device does not take it. */
int r3_pci_msi_program(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		       const struct r3_pci_msi *msi, unsigned n, uint64_t address, uint16_t data);

/** Errors: EINVAL no such vector; EOPNOTSUPP not maskable. */
int r3_pci_msi_mask(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		    const struct r3_pci_msi *msi, unsigned vector, bool mask);

struct r3_pci_msix {
	unsigned offset;
	unsigned max; /* entries of the table: 1 to 2048 */
	unsigned table_bar, pba_bar;
	uint32_t table_off, pba_off;
};

/** Parse MSI-X; the table and the pending bits must lie inside @bar (as sized by
 *  r3_pci_size()). Errors: ENOENT no MSI-X, or one that makes no sense. Without a text. */
int r3_pci_msix_parse(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		      const struct r3_pci_bar bar[7], struct r3_pci_msix *msix);

/** Turn MSI-X on or off, and mask all of its vectors or not.
 *  Errors: EIO the device does not take it. */
int r3_pci_msix_control(struct r3_pci_access *access, unsigned bus, unsigned devfn,
			const struct r3_pci_msix *msix, bool enable, bool mask_all);

#endif
