/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated bus of the PCI tests. */
#include "pci/test_bus.h"
#include "pci/access.h"
#include <ring3/region.h>

#include <string.h>

void test_put(struct test_function *fn, unsigned off, unsigned width, uint32_t value)
{
	for (unsigned i = 0; i < width; i++)
		fn->config[off + i] = (uint8_t)(value >> 8 * i);
}

uint32_t test_get(const struct test_function *fn, unsigned off, unsigned width)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < width; i++)
		value |= (uint32_t)fn->config[off + i] << 8 * i;
	return value;
}

static struct test_function *route(struct test_bus *bus, int parent, unsigned number,
				   unsigned target, unsigned devfn)
{
	for (unsigned i = 0; i < bus->n; i++) {
		struct test_function *fn = &bus->fn[i];
		unsigned secondary = fn->config[PCI_SECONDARY_BUS];

		if (fn->parent != parent || fn->gone)
			continue;
		if (number == target) {
			if (fn->devfn == devfn)
				return fn;
		} else if (fn->bridge && secondary > number && secondary <= target &&
			   target <= fn->config[PCI_SUBORDINATE_BUS]) {
			return route(bus, (int)i, secondary, target, devfn);
		}
	}
	return NULL;
}

static uint32_t bus_read(struct r3_pci_access *access, unsigned number, unsigned devfn,
			 unsigned off, unsigned width)
{
	struct test_bus *bus = (struct test_bus *)access;
	struct test_function *fn = route(bus, -1, bus->root, number, devfn);

	bus->accesses++;
	if (fn == NULL || off + width > sizeof(fn->config))
		return UINT32_MAX >> (32 - 8 * width);
	return test_get(fn, off, width);
}

static void bus_write(struct r3_pci_access *access, unsigned number, unsigned devfn, unsigned off,
		      unsigned width, uint32_t value)
{
	struct test_bus *bus = (struct test_bus *)access;
	struct test_function *fn = route(bus, -1, bus->root, number, devfn);
	unsigned end;

	bus->accesses++;
	if (fn == NULL || off + width > sizeof(fn->config))
		return;
	end = PCI_BASE_ADDRESS_0 + (fn->bridge ? 8 : 24);
	if (off >= PCI_BASE_ADDRESS_0 && off < end &&
	    fn->config[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY))
		bus->decoded++;
	for (unsigned i = 0; i < width; i++) {
		uint8_t mask = fn->writable[off + i];
		uint8_t byte = (uint8_t)(value >> 8 * i);

		fn->config[off + i] = (uint8_t)((fn->config[off + i] & ~mask) | (byte & mask));
	}
}

void test_bus_init(struct test_bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	bus->access.read = bus_read;
	bus->access.write = bus_write;
}

struct test_function *test_bus_add(struct test_bus *bus, int parent, unsigned devfn, bool bridge)
{
	struct test_function *fn = &bus->fn[bus->n++];

	fn->parent = parent;
	fn->devfn = devfn;
	fn->bridge = bridge;
	test_put(fn, PCI_VENDOR_ID, 2, 0x1234);
	test_put(fn, PCI_DEVICE_ID, 2, 0x11e8);
	fn->writable[PCI_COMMAND] = 7;
	if (bridge) {
		fn->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
		memset(&fn->writable[PCI_PRIMARY_BUS], 0xff, 3);
		fn->writable[PCI_MEMORY_BASE] = fn->writable[PCI_MEMORY_LIMIT] = 0xf0;
		fn->writable[PCI_MEMORY_BASE + 1] = fn->writable[PCI_MEMORY_LIMIT + 1] = 0xff;
	}
	return fn;
}

static unsigned bar_offset(const struct test_function *fn, unsigned index)
{
	if (index < 6)
		return PCI_BASE_ADDRESS_0 + 4 * index;
	return fn->bridge ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS;
}

void test_bus_bar(struct test_function *fn, unsigned index, uint64_t size, unsigned flags)
{
	unsigned off = bar_offset(fn, index);
	uint64_t mask = -size;

	fn->bar[index] = size;
	fn->flags[index] = flags;
	if (index == 6)
		mask |= PCI_ROM_ADDRESS_ENABLE;
	for (unsigned i = 0; i < (flags & R3_REGION_64BIT ? 8 : 4); i++)
		fn->writable[off + i] = (uint8_t)(mask >> 8 * i);
	if (flags & R3_REGION_PORT)
		fn->config[off] |= PCI_BASE_ADDRESS_SPACE_IO;
	if (flags & R3_REGION_PREFETCH)
		fn->config[off] |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	if (flags & R3_REGION_64BIT)
		fn->config[off] |= PCI_BASE_ADDRESS_MEM_TYPE_64;
}

uint64_t test_bus_address(const struct test_function *fn, unsigned index)
{
	unsigned off = bar_offset(fn, index);
	uint64_t value = test_get(fn, off, 4);

	if (fn->flags[index] & R3_REGION_64BIT)
		value |= (uint64_t)test_get(fn, off + 4, 4) << 32;
	return value & -fn->bar[index];
}
