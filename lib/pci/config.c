/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration space of an open device: who it is, and what it may do on the bus.
 * Its carrier has it as a region, which answers all ones where nothing is.
 */
#include "pci/access.h"
#include "pci/caps.h"
#include <ring3/device.h>
#include <ring3/error.h>

#include <errno.h>

static struct r3_region *config_of(struct r3_device *dev)
{
	struct r3_region *config;

	if (!(r3_device_get_info(dev)->caps & R3_CAP_PCI) ||
	    r3_device_region(dev, R3_REGION_CONFIG, &config))
		return NULL;
	return config;
}

uint8_t r3_pci_read8(struct r3_device *dev, unsigned off)
{
	struct r3_region *config = config_of(dev);

	return config ? r3_read8(config, off) : UINT8_MAX;
}

uint16_t r3_pci_read16(struct r3_device *dev, unsigned off)
{
	struct r3_region *config = config_of(dev);

	return config ? r3_read16(config, off) : UINT16_MAX;
}

uint32_t r3_pci_read32(struct r3_device *dev, unsigned off)
{
	struct r3_region *config = config_of(dev);

	return config ? r3_read32(config, off) : UINT32_MAX;
}

void r3_pci_write8(struct r3_device *dev, unsigned off, uint8_t value)
{
	struct r3_region *config = config_of(dev);

	if (config)
		r3_write8(config, off, value);
}

void r3_pci_write16(struct r3_device *dev, unsigned off, uint16_t value)
{
	struct r3_region *config = config_of(dev);

	if (config)
		r3_write16(config, off, value);
}

void r3_pci_write32(struct r3_device *dev, unsigned off, uint32_t value)
{
	struct r3_region *config = config_of(dev);

	if (config)
		r3_write32(config, off, value);
}

static uint32_t device_read(struct r3_pci_access *access, unsigned bus, unsigned devfn,
			    unsigned off, unsigned width)
{
	struct r3_device *dev = ((struct r3_pci_device_access *)access)->dev;

	if (width == 1)
		return r3_pci_read8(dev, off);
	return width == 2 ? r3_pci_read16(dev, off) : r3_pci_read32(dev, off);
}

static void device_write(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
			 unsigned width, uint32_t value)
{
	struct r3_device *dev = ((struct r3_pci_device_access *)access)->dev;

	if (width == 1)
		r3_pci_write8(dev, off, (uint8_t)value);
	else if (width == 2)
		r3_pci_write16(dev, off, (uint16_t)value);
	else
		r3_pci_write32(dev, off, value);
}

struct r3_pci_device_access r3_pci_device_access(struct r3_device *dev)
{
	return (struct r3_pci_device_access){{device_read, device_write}, dev};
}

int r3_pci_check(struct r3_device *dev)
{
	const struct r3_device_info *info = r3_device_get_info(dev);

	if (!(info->caps & R3_CAP_PCI))
		return r3_error_set(EOPNOTSUPP, "%s: is not a PCI device", info->name);
	/* a device that is gone reads all ones, which is nobody's vendor */
	if (r3_device_gone(dev) || r3_pci_read16(dev, PCI_VENDOR_ID) == 0xffff)
		return r3_error_set(ENODEV, "%s: the device is gone", info->name);
	return 0;
}

int r3_pci_identify(struct r3_device *dev, struct r3_pci_id *id)
{
	struct r3_pci_device_access function = r3_pci_device_access(dev);
	uint32_t revision;
	unsigned at = 0;
	int rc;

	rc = r3_pci_check(dev);
	if (rc)
		return rc;
	revision = r3_pci_read32(dev, PCI_CLASS_REVISION);
	*id = (struct r3_pci_id){
		.vendor = r3_pci_read16(dev, PCI_VENDOR_ID),
		.device = r3_pci_read16(dev, PCI_DEVICE_ID),
		.class_code = revision >> 8,
		.revision = (uint8_t)revision,
		.header_type = r3_pci_read8(dev, PCI_HEADER_TYPE),
	};
	switch (id->header_type & R3_PCI_HEADER_LAYOUT) {
	case PCI_HEADER_TYPE_NORMAL:
		at = PCI_SUBSYSTEM_VENDOR_ID;
		break;
	case PCI_HEADER_TYPE_BRIDGE:
		if (!r3_pci_find_cap(&function.access, 0, 0, PCI_CAP_ID_SSVID, false, &at))
			at += PCI_SSVID_VENDOR_ID;
		break;
	case PCI_HEADER_TYPE_CARDBUS:
		at = PCI_CB_SUBSYSTEM_VENDOR_ID;
		break;
	default:
		break;
	}
	if (at) {
		id->subsystem_vendor = r3_pci_read16(dev, at);
		id->subsystem = r3_pci_read16(dev, at + 2);
	}
	return r3_pci_check(dev); /* else half of it may be ones */
}

int r3_pci_enable(struct r3_device *dev, unsigned set, unsigned clear)
{
	const unsigned all = R3_PCI_IO | R3_PCI_MEMORY | R3_PCI_MASTER;
	const char *name = r3_device_get_info(dev)->name;
	unsigned command, got;
	int rc;

	if ((set | clear) & ~all || set & clear)
		return r3_error_set(EINVAL, "%s: cannot set %#x and clear %#x in PCI_COMMAND", name,
				    set, clear);
	rc = r3_pci_check(dev);
	if (rc)
		return rc;
	command = (r3_pci_read16(dev, PCI_COMMAND) | set) & ~clear;
	r3_pci_write16(dev, PCI_COMMAND, (uint16_t)command);
	got = r3_pci_read16(dev, PCI_COMMAND);
	rc = r3_pci_check(dev);
	if (rc)
		return rc;
	if ((got ^ command) & (set | clear))
		return r3_error_set(EIO, "%s: PCI_COMMAND is %#x after %#x was written", name, got,
				    command);
	return 0;
}
