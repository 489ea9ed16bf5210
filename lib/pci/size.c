/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizing: a BAR answers all ones with the ones it can hold, and the lowest of
 * them is its size (PCI 3.0, 6.2.5.1). What answers anything else is no BAR.
 */
#include "pci/access.h"
#include "pci/assign.h"
#include <ring3/error.h>
#include <ring3/region.h>

#include <errno.h>
#include <string.h>

/* The size that @ones, the writable address bits, stand for. All bits above the
 * lowest must be writable: firmware may want to put the BAR anywhere. */
static uint64_t size_of(uint64_t ones, unsigned bits)
{
	uint64_t all = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
	uint64_t size = ones & -ones;

	return ones == (all & -size) ? size : 0;
}

static uint32_t probe(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
		      uint32_t ones, uint32_t *saved)
{
	uint32_t answer;

	*saved = r3_pci_get32(access, bus, devfn, off);
	r3_pci_put32(access, bus, devfn, off, ones);
	answer = r3_pci_get32(access, bus, devfn, off);
	r3_pci_put32(access, bus, devfn, off, *saved);
	return answer;
}

static void size_port(uint32_t saved, uint32_t answer, struct r3_pci_bar *bar)
{
	uint32_t ones = answer & (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
	/* 6.2.5.1: a port BAR may leave the upper half out */
	unsigned bits = ones >> 16 ? 32 : 16;

	bar->size = size_of(ones, bits);
	bar->address = saved & (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
	bar->flags = R3_REGION_PORT;
}

/* Returns how many registers the BAR takes. */
static unsigned size_bar(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
			 bool last, struct r3_pci_bar *bar)
{
	uint32_t saved, answer, high, high_ones;
	unsigned type;

	answer = probe(access, bus, devfn, off, UINT32_MAX, &saved);
	if (answer == 0 || answer == UINT32_MAX)
		return 1;
	if (answer & PCI_BASE_ADDRESS_SPACE_IO) {
		size_port(saved, answer, bar);
		return 1;
	}
	type = answer & PCI_BASE_ADDRESS_MEM_TYPE_MASK;
	if (type == PCI_BASE_ADDRESS_MEM_TYPE_32) {
		bar->size = size_of(answer & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK, 32);
		bar->address = saved & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	} else if (type == PCI_BASE_ADDRESS_MEM_TYPE_64 && !last) {
		high_ones = probe(access, bus, devfn, off + 4, UINT32_MAX, &high);
		bar->size = size_of((uint64_t)high_ones << 32 |
					    (answer & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK),
				    64);
		bar->address = (uint64_t)high << 32 | (saved & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK);
		bar->flags = R3_REGION_64BIT;
	}
	if (answer & PCI_BASE_ADDRESS_MEM_PREFETCH)
		bar->flags |= R3_REGION_PREFETCH;
	return type == PCI_BASE_ADDRESS_MEM_TYPE_64 ? 2 : 1;
}

static void size_rom(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
		     struct r3_pci_bar *bar)
{
	uint32_t saved, answer;

	/* the enable bit stays 0 (6.2.5.2) */
	answer = probe(access, bus, devfn, off, PCI_ROM_ADDRESS_MASK, &saved);
	if (answer == UINT32_MAX)
		return;
	bar->size = size_of(answer & PCI_ROM_ADDRESS_MASK, 32);
	bar->address = saved & PCI_ROM_ADDRESS_MASK;
}

int r3_pci_size(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		struct r3_pci_bar bar[7])
{
	unsigned type, n, rom, i;
	uint16_t command;

	memset(bar, 0, 7 * sizeof(*bar));
	if (!r3_pci_present(access, bus, devfn))
		return r3_error_set(ENODEV, "pci %02x:%02x.%x: no function answers", bus,
				    devfn >> 3, devfn & 7);
	type = r3_pci_get8(access, bus, devfn, PCI_HEADER_TYPE) & R3_PCI_HEADER_LAYOUT;
	if (type == PCI_HEADER_TYPE_NORMAL) {
		n = 6;
		rom = PCI_ROM_ADDRESS;
	} else if (type == PCI_HEADER_TYPE_BRIDGE) {
		n = 2;
		rom = PCI_ROM_ADDRESS1;
	} else {
		return 0;
	}
	/* a BAR of all ones would answer to somebody else's accesses */
	command = r3_pci_get16(access, bus, devfn, PCI_COMMAND);
	r3_pci_put16(access, bus, devfn, PCI_COMMAND,
		     (uint16_t)(command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY)));
	for (i = 0; i < n;)
		i += size_bar(access, bus, devfn, PCI_BASE_ADDRESS_0 + 4 * i, i + 1 == n, &bar[i]);
	size_rom(access, bus, devfn, rom, &bar[6]);
	r3_pci_put16(access, bus, devfn, PCI_COMMAND, command);

	for (i = 0; i < 7; i++)
		if (bar[i].size == 0)
			memset(&bar[i], 0, sizeof(bar[i]));
	return 0;
}
