/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI: configuration space, capabilities, BARs, enabling, names, and the list of
 * this machine's devices. Offsets and field names are those of linux/pci_regs.h.
 */
#ifndef RING3_PCI_H
#define RING3_PCI_H

#include <ring3/api.h>

R3_BEGIN

struct r3_device;

/** Configuration reads: all ones where the device is gone or @off is beyond its
 *  configuration space (256 or 4096 bytes), as on a bus. @off is aligned. */
R3_API uint8_t r3_pci_read8(struct r3_device *dev, unsigned off);
R3_API uint16_t r3_pci_read16(struct r3_device *dev, unsigned off);
R3_API uint32_t r3_pci_read32(struct r3_device *dev, unsigned off);
R3_API void r3_pci_write8(struct r3_device *dev, unsigned off, uint8_t value);
R3_API void r3_pci_write16(struct r3_device *dev, unsigned off, uint16_t value);
R3_API void r3_pci_write32(struct r3_device *dev, unsigned off, uint32_t value);

struct r3_pci_id {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* base, sub-class, interface: 0x010802 is NVMe */
	uint8_t revision, header_type;
};

/** Identify the device. Errors: EOPNOTSUPP not PCI; ENODEV gone. */
R3_API int r3_pci_identify(struct r3_device *dev, struct r3_pci_id *id);

/** One capability. Extended ones (PCIe 7.9) have offsets from 0x100 on. */
struct r3_pci_cap {
	uint16_t id;
	uint16_t offset;
	uint8_t version; /* extended capabilities only */
	bool extended;
};

/** The capabilities in list order into @caps of @max entries. A list that loops or
 *  points outside is cut there. Returns how many there are (which may be more than
 *  @max), or -EOPNOTSUPP, -ENODEV. */
R3_API int r3_pci_caps(struct r3_device *dev, struct r3_pci_cap *caps, unsigned max);

/** The offset of the first capability (extended capability) @id. Errors: ENOENT. */
R3_API int r3_pci_cap_find(struct r3_device *dev, uint8_t id, unsigned *offset);
R3_API int r3_pci_ext_cap_find(struct r3_device *dev, uint16_t id, unsigned *offset);

struct r3_pci_bar {
	uint64_t address; /* on the bus; 0 when nobody assigned one */
	uint64_t size;
	unsigned flags; /* R3_REGION_PORT, _PREFETCH, _64BIT */
};

/** Describe BAR @index (0..5). Errors: ENOENT no such BAR (or the upper half of one). */
R3_API int r3_pci_get_bar(struct r3_device *dev, unsigned index, struct r3_pci_bar *bar);

enum r3_pci_command {
	R3_PCI_IO = 1 << 0,     /* answer to port accesses */
	R3_PCI_MEMORY = 1 << 1, /* answer to memory accesses */
	R3_PCI_MASTER = 1 << 2, /* may start transfers */
};

/** Turn on what is in @set, turn off what is in @clear (PCI_COMMAND).
 *  Errors: ENODEV gone; EIO the device does not take it. */
R3_API int r3_pci_enable(struct r3_device *dev, unsigned set, unsigned clear);

/** Names of capabilities, as in the specification: "MSI-X"; "unknown". */
R3_API const char *r3_pci_cap_name(uint16_t id, bool extended);

/* ---- names from pci.ids ---- */

struct r3_pci_names;

/** Load the data base; @path NULL means /usr/share/misc/pci.ids, then
 *  /usr/share/hwdata/pci.ids. Errors: ENOENT (install pci.ids); ENOMEM. */
R3_API int r3_pci_names_open(const char *path, struct r3_pci_names **out);
R3_API void r3_pci_names_close(struct r3_pci_names *names); /* NULL is allowed */

/** Look a name up; NULL where it is not listed, or @names is NULL. */
R3_API const char *r3_pci_vendor_name(const struct r3_pci_names *names, uint16_t vendor);
R3_API const char *r3_pci_device_name(const struct r3_pci_names *names, uint16_t vendor,
				      uint16_t device);
/** The most exact class name listed for a 24-bit class code. */
R3_API const char *r3_pci_class_name(const struct r3_pci_names *names, uint32_t class_code);

/* ---- this machine's devices, from sysfs, read-only ---- */

struct r3_pci_entry {
	char address[32]; /* "pci:0000:00:1f.2" */
	uint32_t domain;
	uint8_t bus, slot, function;
	struct r3_pci_id id;
	char driver[64]; /* bound kernel driver; "" when none */
	int iommu_group; /* -1: no IOMMU protects it */
};

/** List PCI devices in order of address. @sysfs is where sysfs is mounted; NULL
 *  means /sys. *out is one allocation for free(). Nothing is written or opened for
 *  writing. Errors: ENOMEM. A machine without PCI has an empty list. */
R3_API int r3_pci_scan(const char *sysfs, struct r3_pci_entry **out, unsigned *n);

R3_END
#endif
