/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks the capability lists (PCI 3.0, 6.7; PCIe 7.9.3) without trust: each offset
 * is used once at most, so a list can only end.
 */
#include "pci/caps.h"
#include "pci/access.h"
#include <ring3/device.h>
#include <ring3/error.h>

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

int r3_pci_caps(struct r3_device *dev, struct r3_pci_cap *caps, unsigned max)
{
	struct r3_pci_device_access function = r3_pci_device_access(dev);
	int rc = r3_pci_check(dev);

	return rc ? rc : (int)r3_pci_list_caps(&function.access, 0, 0, caps, max);
}

static int find(struct r3_device *dev, uint16_t id, bool extended, unsigned *offset)
{
	struct r3_pci_device_access function = r3_pci_device_access(dev);
	int rc = r3_pci_check(dev);

	if (rc)
		return rc;
	rc = r3_pci_find_cap(&function.access, 0, 0, id, extended, offset);
	if (rc)
		return r3_error_set(-rc, "%s: has no %scapability %#x (%s)",
				    r3_device_get_info(dev)->name, extended ? "extended " : "", id,
				    r3_pci_cap_name(id, extended));
	return 0;
}

int r3_pci_cap_find(struct r3_device *dev, uint8_t id, unsigned *offset)
{
	return find(dev, id, false, offset);
}

int r3_pci_ext_cap_find(struct r3_device *dev, uint16_t id, unsigned *offset)
{
	return find(dev, id, true, offset);
}

const char *r3_pci_cap_name(uint16_t id, bool extended)
{
	/* PCI Code and ID Assignment Specification 1.11, 2 and 3 */
	static const char *const standard[] = {
		[PCI_CAP_ID_PM] = "Power Management",
		[PCI_CAP_ID_AGP] = "AGP",
		[PCI_CAP_ID_VPD] = "Vital Product Data",
		[PCI_CAP_ID_SLOTID] = "Slot Identification",
		[PCI_CAP_ID_MSI] = "MSI",
		[PCI_CAP_ID_CHSWP] = "CompactPCI Hot Swap",
		[PCI_CAP_ID_PCIX] = "PCI-X",
		[PCI_CAP_ID_HT] = "HyperTransport",
		[PCI_CAP_ID_VNDR] = "Vendor Specific",
		[PCI_CAP_ID_DBG] = "Debug Port",
		[PCI_CAP_ID_CCRC] = "CompactPCI Central Resource Control",
		[PCI_CAP_ID_SHPC] = "PCI Hot-Plug",
		[PCI_CAP_ID_SSVID] = "Bridge Subsystem Vendor ID",
		[PCI_CAP_ID_AGP3] = "AGP 8x",
		[PCI_CAP_ID_SECDEV] = "Secure Device",
		[PCI_CAP_ID_EXP] = "PCI Express",
		[PCI_CAP_ID_MSIX] = "MSI-X",
		[PCI_CAP_ID_SATA] = "SATA Data/Index Configuration",
		[PCI_CAP_ID_AF] = "Advanced Features",
		[PCI_CAP_ID_EA] = "Enhanced Allocation",
	};
	static const char *const express[] = {
		[PCI_EXT_CAP_ID_ERR] = "Advanced Error Reporting",
		[PCI_EXT_CAP_ID_VC] = "Virtual Channel",
		[PCI_EXT_CAP_ID_DSN] = "Device Serial Number",
		[PCI_EXT_CAP_ID_PWR] = "Power Budgeting",
		[PCI_EXT_CAP_ID_RCLD] = "Root Complex Link Declaration",
		[PCI_EXT_CAP_ID_RCILC] = "Root Complex Internal Link Control",
		[PCI_EXT_CAP_ID_RCEC] = "Root Complex Event Collector Endpoint Association",
		[PCI_EXT_CAP_ID_MFVC] = "Multi-Function Virtual Channel",
		[PCI_EXT_CAP_ID_VC9] = "Virtual Channel",
		[PCI_EXT_CAP_ID_RCRB] = "RCRB Header",
		[PCI_EXT_CAP_ID_VNDR] = "Vendor-Specific Extended Capability",
		[PCI_EXT_CAP_ID_CAC] = "Configuration Access Correlation",
		[PCI_EXT_CAP_ID_ACS] = "Access Control Services",
		[PCI_EXT_CAP_ID_ARI] = "Alternative Routing-ID Interpretation",
		[PCI_EXT_CAP_ID_ATS] = "Address Translation Services",
		[PCI_EXT_CAP_ID_SRIOV] = "Single Root I/O Virtualization",
		[PCI_EXT_CAP_ID_MRIOV] = "Multi-Root I/O Virtualization",
		[PCI_EXT_CAP_ID_MCAST] = "Multicast",
		[PCI_EXT_CAP_ID_PRI] = "Page Request Interface",
		[PCI_EXT_CAP_ID_REBAR] = "Resizable BAR",
		[PCI_EXT_CAP_ID_DPA] = "Dynamic Power Allocation",
		[PCI_EXT_CAP_ID_TPH] = "TPH Requester",
		[PCI_EXT_CAP_ID_LTR] = "Latency Tolerance Reporting",
		[PCI_EXT_CAP_ID_SECPCI] = "Secondary PCI Express",
		[PCI_EXT_CAP_ID_PMUX] = "Protocol Multiplexing",
		[PCI_EXT_CAP_ID_PASID] = "Process Address Space ID",
		[0x1c] = "LN Requester",
		[PCI_EXT_CAP_ID_DPC] = "Downstream Port Containment",
		[PCI_EXT_CAP_ID_L1SS] = "L1 PM Substates",
		[PCI_EXT_CAP_ID_PTM] = "Precision Time Measurement",
		[0x20] = "M-PCIe",
		[0x21] = "FRS Queueing",
		[0x22] = "Readiness Time Reporting",
		[PCI_EXT_CAP_ID_DVSEC] = "Designated Vendor-Specific",
		[0x24] = "VF Resizable BAR",
		[PCI_EXT_CAP_ID_DLF] = "Data Link Feature",
		[PCI_EXT_CAP_ID_PL_16GT] = "Physical Layer 16.0 GT/s",
		[0x27] = "Lane Margining at the Receiver",
		[0x28] = "Hierarchy ID",
		[0x29] = "Native PCIe Enclosure Management",
		[0x2a] = "Physical Layer 32.0 GT/s",
		[0x2b] = "Alternate Protocol",
		[0x2c] = "System Firmware Intermediary",
		[0x2d] = "Shadow Functions",
		[0x2e] = "Data Object Exchange",
		[0x2f] = "Device 3",
		[0x30] = "Integrity and Data Encryption",
	};
	const char *name = NULL;

	if (extended && id < sizeof(express) / sizeof(*express))
		name = express[id];
	else if (!extended && id < sizeof(standard) / sizeof(*standard))
		name = standard[id];
	return name ? name : "unknown";
}
