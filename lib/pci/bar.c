/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BARs of an open device. The carrier knows their sizes: to probe them again would
 * stop the device from decoding under whoever uses it.
 */
#include "pci/access.h"
#include <ring3/device.h>
#include <ring3/error.h>

#include <errno.h>

int r3_pci_get_bar(struct r3_device *dev, unsigned index, struct r3_pci_bar *bar)
{
	const char *name = r3_device_get_info(dev)->name;
	unsigned off = PCI_BASE_ADDRESS_0 + 4 * index;
	struct r3_region *region;
	uint64_t address;
	int rc;

	if (index > 5)
		return r3_error_set(ENOENT, "%s: there is no BAR %u: they are 0 to 5", name, index);
	rc = r3_pci_check(dev);
	if (rc)
		return rc;
	rc = r3_device_region(dev, R3_REGION_BAR0 + index, &region);
	if (rc)
		return rc;
	address = r3_pci_read32(dev, off);
	if (region->flags & R3_REGION_PORT) {
		address &= PCI_BASE_ADDRESS_IO_MASK;
	} else {
		address &= PCI_BASE_ADDRESS_MEM_MASK;
		if (region->flags & R3_REGION_64BIT && index < 5)
			address |= (uint64_t)r3_pci_read32(dev, off + 4) << 32;
	}
	*bar = (struct r3_pci_bar){
		.address = address,
		.size = region->size,
		.flags = region->flags & (R3_REGION_PORT | R3_REGION_PREFETCH | R3_REGION_64BIT),
	};
	return r3_pci_check(dev);
}
