/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver may do to its device's configuration space. As in VFIO, the address
 * decoders and the interrupt messages are the carrier's: the driver sees BARs that it can
 * write and size, but the real ones never move; it reads whether MSI is on, but turns
 * it on through irq_alloc(). A function-level reset is asked for here and done by reset().
 */
#ifndef RING3_BACKEND_QEMU_CONFIG_H
#define RING3_BACKEND_QEMU_CONFIG_H

#include "pci/assign.h"
#include "pci/msi.h"

#include <stdatomic.h>

#define R3_QEMU_CONFIG_MEDIATED 256 /* all that is special is in the first 256 bytes */

struct r3_qemu_config {
	struct r3_pci_access *access;
	unsigned number, devfn;
	unsigned size;       /* 256, or 4096 with PCI Express */
	atomic_uint command; /* PCI_COMMAND as the device has it; read by any thread */
	/* Whether the device had the right to the bus since this was cleared. */
	atomic_bool mastered;
	unsigned flr_at; /* byte with the bit that starts a function-level reset; 0: none */
	/* per bit: 1 where the device does not see the driver's writes ... */
	uint8_t ours[R3_QEMU_CONFIG_MEDIATED];
	/* ... where the driver reads the shadow instead of the device ... */
	uint8_t shown[R3_QEMU_CONFIG_MEDIATED];
	/* ... and where its writes change the shadow. */
	uint8_t takes[R3_QEMU_CONFIG_MEDIATED];
	uint8_t shadow[R3_QEMU_CONFIG_MEDIATED];
};

/** Lay the table out for a function with these BARs and capabilities (max or offset 0:
 *  none). All BARs show what is assigned. */
void r3_qemu_config_init(struct r3_qemu_config *config, struct r3_pci_access *access,
			 unsigned number, unsigned devfn, const struct r3_pci_bar bar[7],
			 const struct r3_pci_msi *msi, const struct r3_pci_msix *msix,
			 unsigned express);

/** Access @width (1, 2, 4) bytes at @off, which is aligned and inside. */
uint32_t r3_qemu_config_read(struct r3_qemu_config *config, unsigned off, unsigned width);
/** Returns whether the driver asks for a function-level reset. */
bool r3_qemu_config_write(struct r3_qemu_config *config, unsigned off, unsigned width,
			  uint32_t value);

/** Write the assigned addresses to the device, whose decoding is off; after a reset. */
void r3_qemu_config_restore(struct r3_qemu_config *config, const struct r3_pci_bar bar[7]);

#endif
