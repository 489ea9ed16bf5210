/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI behind any carrier: BARs are sized as the specification says, MSI-X tables are left alone,
 * and a reset leaves a device that is there, harmless, and where it was. */
#include "contract.h"

#include <errno.h>
#include <linux/pci_regs.h>

static void nothing_is_on_at_first(void **state)
{
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	assert_int_equal(r3_pci_read16(c->dev, PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
}

static void bars_have_the_regions_sizes(void **state)
{
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	for (unsigned i = 0; i <= R3_REGION_BAR5; i++) {
		struct r3_region *region;
		struct r3_pci_bar bar;
		int rc = r3_device_region(c->dev, i, &region);

		assert_int_equal(r3_pci_get_bar(c->dev, i, &bar), rc);
		if (rc)
			continue;
		assert_int_equal(bar.size, region->size);
		assert_int_equal(bar.flags & (R3_REGION_PORT | R3_REGION_64BIT),
				 region->flags & (R3_REGION_PORT | R3_REGION_64BIT));
	}
}

/* PCI 3.0, 6.2.5.1: all ones written, the size is what does not stick. */
static void sizing_by_hand(void **state)
{
	struct contract *c = *state;
	struct r3_region *region;

	contract_need(c, R3_CAP_PCI);
	assert_ok(r3_pci_enable(c->dev, 0, R3_PCI_IO | R3_PCI_MEMORY));
	for (unsigned i = 0; i <= R3_REGION_BAR5; i++) {
		unsigned off = PCI_BASE_ADDRESS_0 + 4 * i;
		uint32_t before, probe, flags;

		if (r3_device_region(c->dev, i, &region))
			continue;
		before = r3_pci_read32(c->dev, off);
		r3_pci_write32(c->dev, off, UINT32_MAX);
		probe = r3_pci_read32(c->dev, off);
		r3_pci_write32(c->dev, off, before);
		assert_int_equal(r3_pci_read32(c->dev, off), before);
		flags = region->flags & R3_REGION_PORT ? (uint32_t)~PCI_BASE_ADDRESS_IO_MASK
						       : (uint32_t)~PCI_BASE_ADDRESS_MEM_MASK;
		if (region->flags & R3_REGION_PORT) /* upper half may be missing */
			probe |= 0xffff0000;
		assert_int_equal(~(probe & ~flags) + 1, (uint32_t)region->size);
	}
}

/* The MSI-X table and its pending bits belong to the carrier: they can be read, and a write to
 * them is kept or dropped as a whole, but is no error. */
static void msix_table_is_the_carriers(void **state)
{
	struct contract *c = *state;
	struct r3_region *region;
	unsigned cap, offset;
	uint32_t table, before, after;

	contract_need(c, R3_CAP_PCI);
	if (!c->dev->info.nirqs[R3_IRQ_MSIX])
		skip();
	assert_ok(r3_pci_cap_find(c->dev, PCI_CAP_ID_MSIX, &cap));
	assert_ok(r3_pci_enable(c->dev, R3_PCI_MEMORY, 0));
	table = r3_pci_read32(c->dev, cap + PCI_MSIX_TABLE);
	offset = (table & ~(uint32_t)PCI_MSIX_TABLE_BIR) + PCI_MSIX_ENTRY_DATA;
	assert_ok(r3_device_region(c->dev, table & PCI_MSIX_TABLE_BIR, &region));

	assert_ok(r3_region_read(region, offset, 4, &before, 1));
	assert_ok(r3_region_write(region, offset, 4, &(uint32_t){before ^ 0x4321}, 1));
	assert_ok(r3_region_read(region, offset, 4, &after, 1));
	assert_true(after == before || after == (before ^ 0x4321));
}

static void command_bits_stick(void **state)
{
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	assert_ok(r3_pci_enable(c->dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0));
	assert_int_equal(r3_pci_read16(c->dev, PCI_COMMAND) & 6, 6);
	assert_ok(r3_pci_enable(c->dev, 0, R3_PCI_MASTER));
	assert_int_equal(r3_pci_read16(c->dev, PCI_COMMAND) & 6, 2);
}

/* ---- reset ---- */

static void assert_off(struct r3_device *dev)
{
	unsigned cap;

	assert_int_equal(r3_pci_read16(dev, PCI_COMMAND) & 7, 0);
	if (r3_pci_cap_find(dev, PCI_CAP_ID_MSI, &cap) == 0)
		assert_false(r3_pci_read16(dev, cap + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_ENABLE);
	if (r3_pci_cap_find(dev, PCI_CAP_ID_MSIX, &cap) == 0)
		assert_false(r3_pci_read16(dev, cap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_ENABLE);
}

static void reset_as(struct contract *c, enum r3_reset how, unsigned cap)
{
	struct r3_region *region;
	struct r3_irq_set *irq = NULL;
	uint32_t bars[7], first = 0;

	if (!(c->dev->info.caps & cap)) {
		assert_int_equal(r3_device_reset(c->dev, how), -EOPNOTSUPP);
		return;
	}
	for (unsigned i = 0; i < 6; i++)
		bars[i] = r3_pci_read32(c->dev, PCI_BASE_ADDRESS_0 + 4 * i);
	assert_ok(r3_pci_enable(c->dev, R3_PCI_IO | R3_PCI_MEMORY | R3_PCI_MASTER, 0));
	if (r3_irq_enable(c->dev, R3_IRQ_BEST, 1, 8, &irq))
		irq = NULL;
	assert_ok(r3_device_reset(c->dev, how));
	assert_off(c->dev);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(r3_pci_read32(c->dev, PCI_BASE_ADDRESS_0 + 4 * i), bars[i]);

	/* and it works again */
	assert_ok(r3_pci_enable(c->dev, R3_PCI_IO | R3_PCI_MEMORY, 0));
	for (unsigned i = 0; i < 6; i++)
		if (r3_device_region(c->dev, i, &region) == 0)
			assert_ok(r3_region_read(region, 0, 4, &first, 1));
	if (irq) {
		assert_ok(r3_irq_restore(irq));
		assert_int_equal(r3_irq_ack(irq, 0), 0);
		r3_irq_disable(irq);
	}
}

static void reset_function(void **state)
{
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	reset_as(c, R3_RESET_FUNCTION, R3_CAP_FLR);
}

static void reset_bus(void **state)
{
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	reset_as(c, R3_RESET_BUS, R3_CAP_BUS_RESET);
}

static void reset_any_many_times(void **state)
{
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	for (unsigned i = 0; i < 5; i++)
		reset_as(c, R3_RESET_ANY, R3_CAP_FLR | R3_CAP_BUS_RESET);
}

const struct CMUnitTest contract_pci[] = {
	CONTRACT_TEST(nothing_is_on_at_first),
	CONTRACT_TEST(bars_have_the_regions_sizes),
	CONTRACT_TEST(sizing_by_hand),
	CONTRACT_TEST(msix_table_is_the_carriers),
	CONTRACT_TEST(command_bits_stick),
	CONTRACT_TEST(reset_function),
	CONTRACT_TEST(reset_bus),
	CONTRACT_TEST(reset_any_many_times),
};
const size_t contract_npci = sizeof(contract_pci) / sizeof(contract_pci[0]);
