/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions: BARs and ROM through the machine's memory and ports, configuration space through
 * what config.h lets pass. Nothing is mapped: each access is a message. */
#include "backend/qemu/qemu.h"

#include "util/item.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

int r3_qemu_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	if (index == R3_REGION_CONFIG) {
		info->size = q->config.size;
		info->flags = R3_REGION_READ | R3_REGION_WRITE;
	} else if (index == R3_REGION_ROM) {
		info->size = q->bar[6].size;
		info->flags = R3_REGION_READ;
	} else if (index <= R3_REGION_BAR5) {
		info->size = q->bar[index].size;
		info->flags = q->bar[index].flags | R3_REGION_READ | R3_REGION_WRITE;
	}
	return 0;
}

int r3_qemu_rw(struct r3_qemu *q, enum r3_qtest_space space, uint64_t address, void *data,
	       unsigned width, uint32_t count, unsigned flags)
{
	int rc = r3_qemu_link_rw(&q->link, space, address, data, width, count, flags);

	if (rc < 0 && q->link.lost)
		r3_qemu_raise(q, R3_QEMU_LOST);
	return rc;
}

/* ---- configuration space ---- */

static int config_item(struct r3_qemu *q, unsigned off, unsigned char *data, unsigned width,
		       unsigned flags)
{
	uint32_t value;

	if (flags & R3_RW_WRITE) {
		value = (uint32_t)r3_item_get(data, width);
		if (r3_qemu_config_write(&q->config, off, width, value) &&
		    q->dev.info.caps & R3_CAP_FLR)
			return r3_qemu_reset(&q->dev, R3_RESET_FUNCTION);
		return 0;
	}
	value = r3_qemu_config_read(&q->config, off, width);
	r3_item_put(data, width, value);
	/* nobody has a register of all ones that matters; a removed device has them all */
	if (value == ~0u >> (32 - 8 * width) && !r3_qemu_present(q))
		return -ENODEV;
	return 0;
}

static int config_rw(struct r3_qemu *q, uint64_t off, unsigned char *data, unsigned width,
		     uint32_t count, unsigned flags)
{
	int rc = 0;

	if (width == 8) { /* there is no such cycle: the lower half goes first */
		width = 4;
		count *= 2;
	}
	for (uint32_t i = 0; i < count && rc == 0; i++, off += width, data += width)
		rc = config_item(q, (unsigned)off, data, width, flags);
	return rc;
}

/* ---- BARs ---- */

static bool overlaps(uint64_t off, uint64_t len, uint64_t with, uint64_t with_len)
{
	return off < with + with_len && with < off + len;
}

/* The MSI-X table and its pending bits are the carrier's (vfio_msix_range). */
static bool in_msix(const struct r3_qemu *q, unsigned index, uint64_t off, uint64_t len)
{
	const struct r3_pci_msix *m = &q->msix;

	return m->max &&
	       ((index == m->table_bar &&
		 overlaps(off, len, m->table_off, m->max * PCI_MSIX_ENTRY_SIZE)) ||
		(index == m->pba_bar && overlaps(off, len, m->pba_off, (m->max + 63) / 64 * 8)));
}

static bool all_zero(const unsigned char *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

static int bar_rw(struct r3_qemu *q, unsigned index, uint64_t off, unsigned char *data,
		  unsigned width, uint32_t count, unsigned flags)
{
	const struct r3_pci_bar *bar = &q->bar[index];
	bool port = bar->flags & R3_REGION_PORT;
	unsigned decode = port ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	enum r3_qtest_space space = port ? R3_QTEST_PORT : R3_QTEST_MEMORY;
	size_t len = (size_t)count * width;
	int rc = 0;

	/* the bus has no answer then, and QEMU says 0 */
	if (!(q->config.command & decode))
		return r3_error_set(EIO, "%s: its decoding of this BAR is off: r3_pci_enable()",
				    q->dev.info.name);
	if (flags & R3_RW_WRITE && in_msix(q, index, off, len)) {
		for (uint32_t i = 0; i < count && rc == 0; i++, off += width, data += width)
			if (!in_msix(q, index, off, width))
				rc = r3_qemu_rw(q, space, bar->address + off, data, width, 1,
						flags);
		return rc;
	}
	rc = r3_qemu_rw(q, space, bar->address + off, data, width, count, flags);
	/* QEMU reads 0 where nobody is any more */
	if (rc == 0 && !(flags & R3_RW_WRITE) && all_zero(data, len) && !r3_qemu_present(q))
		rc = -ENODEV;
	return rc;
}

/* The ROM's decoder may be shared with the BARs', so it is on only here (PCI 3.0, 6.2.5.2). */
static int rom_read(struct r3_qemu *q, uint64_t off, unsigned char *data, unsigned width,
		    uint32_t count)
{
	struct r3_pci_access *access = &q->bus.access;
	uint32_t address = (uint32_t)q->bar[6].address;
	int rc;

	if (!(q->config.command & PCI_COMMAND_MEMORY))
		return r3_error_set(EIO, "%s: its decoding of memory is off: r3_pci_enable()",
				    q->dev.info.name);
	r3_pci_put32(access, q->number, q->devfn, PCI_ROM_ADDRESS,
		     address | PCI_ROM_ADDRESS_ENABLE);
	rc = r3_qemu_rw(q, R3_QTEST_MEMORY, address + off, data, width, count, 0);
	r3_pci_put32(access, q->number, q->devfn, PCI_ROM_ADDRESS, address);
	if (rc == 0 && !r3_qemu_present(q))
		rc = -ENODEV;
	return rc;
}

int r3_qemu_region_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data,
		      uint8_t width, uint32_t count, unsigned flags)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	switch (index) {
	case R3_REGION_CONFIG:
		return config_rw(q, off, data, width, count, flags);
	case R3_REGION_ROM:
		return rom_read(q, off, data, width, count);
	default:
		return bar_rw(q, index, off, data, width, count, flags);
	}
}
