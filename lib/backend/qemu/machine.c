/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's bus. Behind qtest no firmware has run, so this places the window through
 * which configuration space is memory (ECAM; PCIe 7.2.2) and assigns all BARs.
 */
#include "backend/qemu/qemu.h"

#include "util/item.h"

#include <ring3/error.h>

#include <errno.h>

/* Q35's host bridge. Intel 3 Series datasheet, 5.1.18 PCIEXBAR: bit 0 enables, bits 2:1
 * are 0 for 256 buses. */
#define Q35_HOST_BRIDGE 0x29c08086
#define PCIEXBAR        0x60
#define PCIEXBAR_ENABLE 0x1
#define ECAM_BASE       UINT64_C(0xb0000000)

/* PCI 3.0, 3.2.2.3.2: configuration mechanism #1. */
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  0x80000000u

/* Windows of QEMU's q35, away from RAM, ECAM, I/O APIC, HPET, flash and fixed ports. The
 * 64-bit one is what 36 address bits still reach. */
static const struct r3_pci_windows windows = {
	.io = {0xc000, 0x10000},
	.mem = {0xc0000000, 0xfe800000},
	.mem64 = {UINT64_C(0x800000000), UINT64_C(0x1000000000)},
	.next_bus = 1,
};

static uint64_t ecam_address(const struct r3_qemu_bus *bus, unsigned number, unsigned devfn,
			     unsigned off)
{
	return bus->ecam + ((uint64_t)(number & 0xff) << 20 | (devfn & 0xff) << 12 | (off & 0xfff));
}

static uint32_t ecam_read(struct r3_pci_access *access, unsigned number, unsigned devfn,
			  unsigned off, unsigned width)
{
	struct r3_qemu_bus *bus = (struct r3_qemu_bus *)access;
	uint64_t item;

	if (r3_qemu_link_rw(bus->link, R3_QTEST_MEMORY, ecam_address(bus, number, devfn, off),
			    &item, width, 1, 0) < 0)
		return ~0u >> (32 - 8 * width);
	return (uint32_t)r3_item_get(&item, width);
}

static void ecam_write(struct r3_pci_access *access, unsigned number, unsigned devfn, unsigned off,
		       unsigned width, uint32_t value)
{
	struct r3_qemu_bus *bus = (struct r3_qemu_bus *)access;
	uint64_t item;

	r3_item_put(&item, width, value);
	/* A link that is lost is noticed by the next read. */
	r3_qemu_link_rw(bus->link, R3_QTEST_MEMORY, ecam_address(bus, number, devfn, off), &item,
			width, 1, R3_RW_WRITE | R3_RW_POSTED);
}

static int host_bridge(struct r3_qemu_link *link, unsigned off, uint32_t *value, unsigned flags)
{
	uint32_t address = CONFIG_ENABLE | off;
	int rc = r3_qemu_link_rw(link, R3_QTEST_PORT, CONFIG_ADDRESS, &address, 4, 1, R3_RW_WRITE);

	return rc < 0 ? rc : r3_qemu_link_rw(link, R3_QTEST_PORT, CONFIG_DATA, value, 4, 1, flags);
}

int r3_qemu_bus_init(struct r3_qemu_bus *bus, struct r3_qemu_link *link, bool *was_on)
{
	uint32_t low = 0, high = 0;
	int rc;

	*bus = (struct r3_qemu_bus){.access = {ecam_read, ecam_write}, .link = link};
	rc = host_bridge(link, PCI_VENDOR_ID, &low, 0);
	if (rc == 0 && low != Q35_HOST_BRIDGE)
		return r3_error_set(ENODEV,
				    "that QEMU has no PCI Express: start it with -machine q35");
	if (rc == 0)
		rc = host_bridge(link, PCIEXBAR, &low, 0);
	if (rc == 0)
		rc = host_bridge(link, PCIEXBAR + 4, &high, 0);
	*was_on = low & PCIEXBAR_ENABLE;
	if (rc == 0 && !*was_on) {
		low = (uint32_t)ECAM_BASE | PCIEXBAR_ENABLE;
		high = 0;
		rc = host_bridge(link, PCIEXBAR + 4, &high, R3_RW_WRITE);
		if (rc == 0)
			rc = host_bridge(link, PCIEXBAR, &low, R3_RW_WRITE);
	}
	if (rc < 0)
		return rc;
	bus->ecam = (uint64_t)high << 32 | (low & 0xf0000000u);
	return 0;
}

int r3_qemu_bus_assign(struct r3_qemu_bus *bus, uint32_t shuffle)
{
	struct r3_pci_windows room = windows;

	room.shuffle = shuffle;
	return r3_pci_assign(&bus->access, &room, 0);
}

uint64_t r3_qemu_bus_bar(struct r3_qemu_bus *bus, unsigned number, unsigned devfn, unsigned bar)
{
	unsigned off = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint64_t value = r3_pci_get32(&bus->access, number, devfn, off);

	if (value & PCI_BASE_ADDRESS_SPACE_IO)
		return value & 0xfffffffcu;
	if ((value & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64 && bar < 5)
		value |= (uint64_t)r3_pci_get32(&bus->access, number, devfn, off + 4) << 32;
	return value & ~UINT64_C(0xf);
}
