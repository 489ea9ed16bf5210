/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capability lists of a function that is not a device yet. The lists are the
 * device's word: an offset outside, or one seen before, ends the list.
 */
#ifndef RING3_PCI_CAPS_H
#define RING3_PCI_CAPS_H

#include "pci/assign.h"

/** As r3_pci_caps(); 0 where nothing answers. */
unsigned r3_pci_list_caps(struct r3_pci_access *access, unsigned bus, unsigned devfn,
			  struct r3_pci_cap *caps, unsigned max);

/** The offset of the first capability @id. -ENOENT, without a text, if there is none. */
int r3_pci_find_cap(struct r3_pci_access *access, unsigned bus, unsigned devfn, uint16_t id,
		    bool extended, unsigned *offset);

#endif
