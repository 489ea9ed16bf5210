/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks the capability lists (PCI 3.0, 6.7; PCIe 7.9.3) without trust: each offset
 * is used once at most, so a list can only end.
 */
#include "pci/caps.h"
#include "pci/access.h"

#include <errno.h>

struct walk {
	struct r3_pci_access *access;
	unsigned bus, devfn;
	unsigned next; /* 0: the list has ended */
	bool extended;
	bool express; /* the function may have an extended configuration space */
	uint64_t seen[4096 / 4 / 64];
};

static void walk_begin(struct walk *walk, struct r3_pci_access *access, unsigned bus,
		       unsigned devfn)
{
	unsigned type, at = PCI_CAPABILITY_LIST;

	*walk = (struct walk){.access = access, .bus = bus, .devfn = devfn};
	if (!r3_pci_present(access, bus, devfn) ||
	    !(r3_pci_get16(access, bus, devfn, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return;
	type = r3_pci_get8(access, bus, devfn, PCI_HEADER_TYPE) & R3_PCI_HEADER_LAYOUT;
	if (type == PCI_HEADER_TYPE_CARDBUS)
		at = PCI_CB_CAPABILITY_LIST;
	walk->next = r3_pci_get8(access, bus, devfn, at) & ~3u;
}

static bool walk_once(struct walk *walk, unsigned offset)
{
	uint64_t bit = UINT64_C(1) << (offset / 4 % 64);
	uint64_t *word = &walk->seen[offset / 4 / 64];
	bool first = !(*word & bit);

	*word |= bit;
	return first;
}

static bool next_standard(struct walk *walk, struct r3_pci_cap *cap)
{
	unsigned offset = walk->next;
	uint16_t header;

	walk->next = 0;
	if (offset < PCI_STD_HEADER_SIZEOF || !walk_once(walk, offset))
		return false;
	header = r3_pci_get16(walk->access, walk->bus, walk->devfn, offset);
	if ((header & 0xff) == 0xff)
		return false; /* the function went away */
	*cap = (struct r3_pci_cap){.id = header & 0xff, .offset = (uint16_t)offset};
	walk->next = (header >> 8) & ~3u;
	/* The extended space of others may show the first 256 bytes again. */
	if (cap->id == PCI_CAP_ID_EXP || cap->id == PCI_CAP_ID_PCIX)
		walk->express = true;
	return true;
}

static bool next_extended(struct walk *walk, struct r3_pci_cap *cap)
{
	unsigned offset = walk->next;
	uint32_t header;

	walk->next = 0;
	if (offset < PCI_CFG_SPACE_SIZE || !walk_once(walk, offset))
		return false;
	header = r3_pci_get32(walk->access, walk->bus, walk->devfn, offset);
	if (header == 0 || header == UINT32_MAX)
		return false;
	*cap = (struct r3_pci_cap){
		.id = (uint16_t)PCI_EXT_CAP_ID(header),
		.offset = (uint16_t)offset,
		.version = (uint8_t)PCI_EXT_CAP_VER(header),
		.extended = true,
	};
	walk->next = PCI_EXT_CAP_NEXT(header);
	return true;
}

static bool walk_next(struct walk *walk, struct r3_pci_cap *cap)
{
	if (!walk->extended) {
		if (next_standard(walk, cap))
			return true;
		walk->extended = true;
		walk->next = walk->express ? PCI_CFG_SPACE_SIZE : 0;
	}
	return next_extended(walk, cap);
}

unsigned r3_pci_list_caps(struct r3_pci_access *access, unsigned bus, unsigned devfn,
			  struct r3_pci_cap *caps, unsigned max)
{
	struct r3_pci_cap cap;
	struct walk walk;
	unsigned n = 0;

	walk_begin(&walk, access, bus, devfn);
	while (walk_next(&walk, &cap)) {
		if (n < max)
			caps[n] = cap;
		n++;
	}
	return n;
}

int r3_pci_find_cap(struct r3_pci_access *access, unsigned bus, unsigned devfn, uint16_t id,
		    bool extended, unsigned *offset)
{
	struct r3_pci_cap cap;
	struct walk walk;

	walk_begin(&walk, access, bus, devfn);
	while (walk_next(&walk, &cap)) {
		if (cap.id == id && cap.extended == extended) {
			*offset = cap.offset;
			return 0;
		}
	}
	return -ENOENT;
}
