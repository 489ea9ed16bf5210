/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shorthand for struct r3_pci_access (assign.h), whose callbacks take the width as
 * an argument because a carrier has one message for all widths.
 */
#ifndef RING3_PCI_ACCESS_H
#define RING3_PCI_ACCESS_H

#include "pci/assign.h"

#include <linux/pci_regs.h>

/** PCI_HEADER_TYPE: bit 7 says multi-function, the rest is the layout. */
#define R3_PCI_HEADER_LAYOUT 0x7f
#define R3_PCI_HEADER_MULTI  0x80

static inline uint8_t r3_pci_get8(struct r3_pci_access *access, unsigned bus, unsigned devfn,
				  unsigned off)
{
	return (uint8_t)access->read(access, bus, devfn, off, 1);
}

static inline uint16_t r3_pci_get16(struct r3_pci_access *access, unsigned bus, unsigned devfn,
				    unsigned off)
{
	return (uint16_t)access->read(access, bus, devfn, off, 2);
}

static inline uint32_t r3_pci_get32(struct r3_pci_access *access, unsigned bus, unsigned devfn,
				    unsigned off)
{
	return access->read(access, bus, devfn, off, 4);
}

static inline void r3_pci_put8(struct r3_pci_access *access, unsigned bus, unsigned devfn,
			       unsigned off, uint8_t value)
{
	access->write(access, bus, devfn, off, 1, value);
}

static inline void r3_pci_put16(struct r3_pci_access *access, unsigned bus, unsigned devfn,
				unsigned off, uint16_t value)
{
	access->write(access, bus, devfn, off, 2, value);
}

static inline void r3_pci_put32(struct r3_pci_access *access, unsigned bus, unsigned devfn,
				unsigned off, uint32_t value)
{
	access->write(access, bus, devfn, off, 4, value);
}

/** Whether a function answers: nobody has vendor 0xffff, and 0 is not given out. */
static inline bool r3_pci_present(struct r3_pci_access *access, unsigned bus, unsigned devfn)
{
	uint16_t vendor = r3_pci_get16(access, bus, devfn, PCI_VENDOR_ID);

	return vendor != 0xffff && vendor != 0;
}

/** A device as a bus on which it is alone: bus and devfn are ignored. */
struct r3_pci_device_access {
	struct r3_pci_access access;
	struct r3_device *dev;
};

struct r3_pci_device_access r3_pci_device_access(struct r3_device *dev);

/** 0; or with a text -EOPNOTSUPP where @dev is not PCI, -ENODEV where it is gone. */
int r3_pci_check(struct r3_device *dev);

#endif
