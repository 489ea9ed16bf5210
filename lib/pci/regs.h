/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING3_PCI_REGS_H
#define RING3_PCI_REGS_H

#include "bus/regs.h"

/** Configuration space, its capabilities, and the MSI-X table. */
extern const struct r3_reg_set r3_pci_regs;

#endif
