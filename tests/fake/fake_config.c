/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake device's configuration space: its capabilities, and which bits can be written. */
#include "fake/fake_parts.h"
#include "util/item.h"

#include <linux/pci_regs.h>

static void set16(struct fake_device *fake, unsigned off, unsigned value, unsigned mask)
{
	for (unsigned i = 0; i < 2; i++) {
		fake->config[off + i] = (uint8_t)(value >> 8 * i);
		fake->config_mask[off + i] = (uint8_t)(mask >> 8 * i);
	}
}

static void set32(struct fake_device *fake, unsigned off, uint32_t value, uint32_t mask)
{
	set16(fake, off, value & 0xffff, mask & 0xffff);
	set16(fake, off + 2, value >> 16, mask >> 16);
}

void fake_config_init(struct fake_device *fake)
{
	set16(fake, PCI_VENDOR_ID, 0x1b36, 0);
	set16(fake, PCI_DEVICE_ID, 0xfa4e, 0);
	set16(fake, PCI_COMMAND, 0,
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	set16(fake, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	set32(fake, PCI_CLASS_REVISION, 0xff000001, 0);
	set32(fake, PCI_SUBSYSTEM_VENDOR_ID, 0x00011b36, 0);
	fake->config[PCI_CAPABILITY_LIST] = FAKE_CAP_EXP;
	fake->config_mask[PCI_INTERRUPT_LINE] = 0xff;
	fake->config[PCI_INTERRUPT_PIN] = 1;

	set16(fake, FAKE_CAP_EXP, PCI_CAP_ID_EXP | FAKE_CAP_MSI << 8, 0);
	set16(fake, FAKE_CAP_EXP + PCI_EXP_FLAGS, 2, 0);
	set32(fake, FAKE_CAP_EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR, 0);

	/* 32 messages, 64-bit address, maskable */
	set16(fake, FAKE_CAP_MSI, PCI_CAP_ID_MSI | FAKE_CAP_MSIX << 8, 0);
	set16(fake, FAKE_CAP_MSI + PCI_MSI_FLAGS,
	      PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 5 << 1,
	      PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	set32(fake, FAKE_CAP_MSI + PCI_MSI_ADDRESS_LO, 0, ~3u);
	set32(fake, FAKE_CAP_MSI + PCI_MSI_ADDRESS_HI, 0, ~0u);
	set16(fake, FAKE_CAP_MSI + PCI_MSI_DATA_64, 0, 0xffff);
	set32(fake, FAKE_CAP_MSI + PCI_MSI_MASK_64, 0, ~0u);

	/* 64 vectors; table in BAR4, pending bits behind it */
	set16(fake, FAKE_CAP_MSIX, PCI_CAP_ID_MSIX, 0);
	set16(fake, FAKE_CAP_MSIX + PCI_MSIX_FLAGS, FAKE_VECTORS - 1,
	      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	set32(fake, FAKE_CAP_MSIX + PCI_MSIX_TABLE, 4, 0);
	set32(fake, FAKE_CAP_MSIX + PCI_MSIX_PBA, 0x800 | 4, 0);

	set32(fake, FAKE_CAP_DSN, PCI_EXT_CAP_ID_DSN | 1 << 16, 0);
	set32(fake, FAKE_CAP_DSN + 4, 0x12345678, 0);
}

/* The register behind a BAR or the ROM: address bits that can be set begin at its size
 * (PCI 3.0, 6.2.5.1). */
static void bar_register(struct fake_device *fake, unsigned index, uint64_t size, unsigned flags)
{
	unsigned off = index == 6 ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * index;
	uint64_t mask = size ? ~(size - 1) : 0;
	uint32_t low = 0;

	if (flags & R3_REGION_PORT)
		low = PCI_BASE_ADDRESS_SPACE_IO;
	if (flags & R3_REGION_64BIT)
		low |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (flags & R3_REGION_PREFETCH)
		low |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	if (size)
		low |= flags & R3_REGION_PORT ? 0xc000 : 0xe0000000 + (index << 24);
	set32(fake, off, low, (uint32_t)mask | (index == 6 && size ? PCI_ROM_ADDRESS_ENABLE : 0));
	if (flags & R3_REGION_64BIT)
		set32(fake, off + 4, 0, (uint32_t)(mask >> 32));
}

int fake_device_set_bar(struct fake_device *fake, unsigned index, uint64_t size, unsigned flags)
{
	struct fake_bar *bar = &fake->bar[index];
	int rc = 0;

	r3_mem_unref(bar->mem);
	*bar = (struct fake_bar){.size = size, .flags = flags};
	if (size)
		rc = r3_mem_create("fake-bar", size, 0, &bar->mem);
	bar_register(fake, index, size, flags);
	return rc;
}

void fake_config_write(struct fake_device *fake, uint64_t off, unsigned n, uint64_t value)
{
	uint8_t data[8];

	r3_item_put_le(data, n, value);
	for (unsigned i = 0; i < n; i++) {
		uint8_t mask = fake->config_mask[off + i];

		fake->config[off + i] =
			(uint8_t)((fake->config[off + i] & ~mask) | (data[i] & mask));
	}
}
