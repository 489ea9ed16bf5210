/* SPDX-License-Identifier: BSD-2-Clause */
/* Mediated configuration space: see config.h. */
#include "backend/qemu/config.h"

#include "pci/access.h"

#include <ring3/region.h>

#include <string.h>

/* All bits of [off, off+len) are the carrier's; the driver sees what it wrote itself. */
static void own(struct r3_qemu_config *config, unsigned off, unsigned len)
{
	for (unsigned i = off; i < off + len && i < R3_QEMU_CONFIG_MEDIATED; i++) {
		config->ours[i] = 0xff;
		config->shown[i] = 0xff;
	}
}

static void put32(uint8_t *table, unsigned off, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		table[off + i] = (uint8_t)(value >> 8 * i);
}

static uint32_t bar_type(const struct r3_pci_bar *bar)
{
	if (bar->flags & R3_REGION_PORT)
		return PCI_BASE_ADDRESS_SPACE_IO;
	return (bar->flags & R3_REGION_64BIT ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
	       (bar->flags & R3_REGION_PREFETCH ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
}

static void own_bars(struct r3_qemu_config *config, const struct r3_pci_bar bar[7])
{
	own(config, PCI_BASE_ADDRESS_0, 6 * 4);
	for (unsigned i = 0; i < 6; i++) {
		unsigned off = PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask = bar[i].size ? ~(bar[i].size - 1) : 0;

		if (!mask)
			continue;
		put32(config->takes, off, (uint32_t)mask);
		put32(config->shadow, off, (uint32_t)bar[i].address | bar_type(&bar[i]));
		if (bar[i].flags & R3_REGION_64BIT && i < 5) {
			put32(config->takes, off + 4, (uint32_t)(mask >> 32));
			put32(config->shadow, off + 4, (uint32_t)(bar[i].address >> 32));
			i++;
		}
	}
	own(config, PCI_ROM_ADDRESS, 4);
	if (bar[6].size) {
		put32(config->takes, PCI_ROM_ADDRESS,
		      (uint32_t) ~(bar[6].size - 1) | PCI_ROM_ADDRESS_ENABLE);
		put32(config->shadow, PCI_ROM_ADDRESS, (uint32_t)bar[6].address);
	}
}

/* The control words show the device's state, whoever set it; they are not written. */
static void own_control(struct r3_qemu_config *config, unsigned off)
{
	config->ours[off] = 0xff;
	config->ours[off + 1] = 0xff;
}

static void own_msi(struct r3_qemu_config *config, const struct r3_pci_msi *msi)
{
	unsigned address = msi->offset + PCI_MSI_ADDRESS_LO;
	unsigned data = msi->offset + (msi->wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);

	own_control(config, msi->offset + PCI_MSI_FLAGS);
	own(config, address, data + 2 - address);
	memset(config->takes + address, 0xff, data + 2 - address);
	config->takes[address] = 0xfc;
	if (!msi->maskable)
		return;
	unsigned mask = msi->offset + (msi->wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
	own(config, mask, 4);
	memset(config->takes + mask, 0xff, 4);
}

void r3_qemu_config_init(struct r3_qemu_config *config, struct r3_pci_access *access,
			 unsigned number, unsigned devfn, const struct r3_pci_bar bar[7],
			 const struct r3_pci_msi *msi, const struct r3_pci_msix *msix,
			 unsigned express)
{
	*config = (struct r3_qemu_config){
		.access = access,
		.number = number,
		.devfn = devfn,
		.size = express ? 4096 : 256,
	};
	own_bars(config, bar);
	if (msi->max)
		own_msi(config, msi);
	if (msix->max)
		own_control(config, msix->offset + PCI_MSIX_FLAGS);
	if (express && express + PCI_EXP_DEVCTL + 1 < R3_QEMU_CONFIG_MEDIATED) {
		config->flr_at = express + PCI_EXP_DEVCTL + 1;
		config->ours[config->flr_at] = PCI_EXP_DEVCTL_BCR_FLR >> 8;
	}
	config->command = r3_pci_get16(access, number, devfn, PCI_COMMAND);
}

static uint32_t gather(const uint8_t *table, unsigned off, unsigned width)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < width && off + i < R3_QEMU_CONFIG_MEDIATED; i++)
		value |= (uint32_t)table[off + i] << 8 * i;
	return value;
}

uint32_t r3_qemu_config_read(struct r3_qemu_config *config, unsigned off, unsigned width)
{
	uint32_t shown = gather(config->shown, off, width);
	uint32_t value =
		config->access->read(config->access, config->number, config->devfn, off, width);

	return (value & ~shown) | (gather(config->shadow, off, width) & shown);
}

bool r3_qemu_config_write(struct r3_qemu_config *config, unsigned off, unsigned width,
			  uint32_t value)
{
	uint32_t ours = gather(config->ours, off, width);
	uint32_t all = ~0u >> (32 - 8 * width);

	for (unsigned i = 0; i < width && off + i < R3_QEMU_CONFIG_MEDIATED; i++) {
		uint8_t takes = config->takes[off + i];
		uint8_t byte = (uint8_t)(value >> 8 * i);
		config->shadow[off + i] =
			(uint8_t)((config->shadow[off + i] & ~takes) | (byte & takes));
	}
	/* before it has it, and once more before it no longer has */
	if (off == PCI_COMMAND && (value | config->command) & PCI_COMMAND_MASTER)
		config->mastered = true;
	if (ours != all) {
		/* bits of ours keep their value; the neighbours' width is kept, too */
		uint32_t keep = ours ? config->access->read(config->access, config->number,
							    config->devfn, off, width)
				     : 0;
		config->access->write(config->access, config->number, config->devfn, off, width,
				      (value & ~ours) | (keep & ours));
	}
	if (off < PCI_COMMAND + 2 && off + width > PCI_COMMAND)
		config->command =
			r3_pci_get16(config->access, config->number, config->devfn, PCI_COMMAND);
	return config->flr_at >= off && config->flr_at < off + width && config->flr_at &&
	       (value >> 8 * (config->flr_at - off)) & (PCI_EXP_DEVCTL_BCR_FLR >> 8);
}

void r3_qemu_config_restore(struct r3_qemu_config *config, const struct r3_pci_bar bar[7])
{
	struct r3_pci_access *access = config->access;

	own_bars(config, bar);
	for (unsigned i = 0; i < 6; i++) {
		unsigned off = PCI_BASE_ADDRESS_0 + 4 * i;

		if (!bar[i].size)
			continue;
		r3_pci_put32(access, config->number, config->devfn, off, (uint32_t)bar[i].address);
		if (bar[i].flags & R3_REGION_64BIT)
			r3_pci_put32(access, config->number, config->devfn, off + 4,
				     (uint32_t)(bar[i].address >> 32));
	}
	if (bar[6].size)
		r3_pci_put32(access, config->number, config->devfn, PCI_ROM_ADDRESS,
			     (uint32_t)bar[6].address);
	config->command = r3_pci_get16(access, config->number, config->devfn, PCI_COMMAND);
}
