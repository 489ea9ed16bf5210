/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions: which there are, where they end, and what an access outside of the rules gives. */
#include "contract.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

static struct r3_region *region_of(struct contract *c, unsigned index)
{
	struct r3_region *region;
	int rc = r3_device_region(c->dev, index, &region);

	if (rc == -ENOENT)
		return NULL;
	assert_ok(rc);
	return region;
}

static void regions_make_sense(void **state)
{
	struct contract *c = *state;
	struct r3_region *none;
	unsigned found = 0;

	for (unsigned i = 0; i < c->dev->info.nregions; i++) {
		struct r3_region *region = region_of(c, i);

		if (!region)
			continue;
		found++;
		assert_ptr_equal(region_of(c, i), region);
		assert_int_equal(region->index, i);
		assert_true(region->size > 0);
		assert_true(region->flags & (R3_REGION_READ | R3_REGION_WRITE));
		assert_non_null(region->name);
		if (i <= R3_REGION_ROM)
			assert_int_equal(region->size & (region->size - 1), 0);
		if (region->map_len) {
			assert_true(region->map_off <= region->size);
			assert_true(region->map_len <= region->size - region->map_off);
			assert_int_equal(region->map_len % 8, 0);
			assert_false(region->flags & R3_REGION_PORT);
		}
		if (region->flags & R3_REGION_64BIT)
			assert_null(region_of(c, i + 1));
	}
	assert_true(found);
	assert_int_equal(r3_device_region(c->dev, c->dev->info.nregions, &none), -ENOENT);
	assert_int_equal(r3_device_region(c->dev, UINT32_MAX, &none), -ENOENT);
	if (c->dev->info.caps & R3_CAP_PCI) {
		struct r3_region *config = region_of(c, R3_REGION_CONFIG);

		assert_non_null(config);
		assert_true(config->size == 256 || config->size == 4096);
	}
}

static void outside_is_all_ones(void **state)
{
	struct contract *c = *state;

	for (unsigned i = 0; i < c->dev->info.nregions; i++) {
		struct r3_region *region = region_of(c, i);
		unsigned char data[16] = {0};

		if (!region)
			continue;
		for (unsigned width = 1; width <= 8; width *= 2) {
			uint64_t end = region->size & ~(uint64_t)(width - 1);

			assert_int_equal(r3_region_read(region, end, width, data, 1), -ERANGE);
			assert_int_equal(r3_region_write(region, end, width, data, 1), -ERANGE);
			assert_int_equal(r3_region_read(region, (uint64_t)-width, width, data, 2),
					 -ERANGE);
			if (width > 1)
				assert_int_equal(r3_region_read(region, 1, width, data, 1),
						 -EINVAL);
		}
		assert_int_equal(r3_region_read(region, 0, 3, data, 1), -EINVAL);
		assert_int_equal(r3_region_read(region, 0, 0, data, 1), -EINVAL);
		assert_int_equal(r3_read8(region, region->size), UINT8_MAX);
		assert_int_equal(r3_read16(region, region->size + 2), UINT16_MAX);
		assert_int_equal(r3_read32(region, region->size + 4096), UINT32_MAX);
		assert_int_equal(r3_read64(region, UINT64_MAX - 7), UINT64_MAX);
		assert_int_equal(r3_read32(region, 1), UINT32_MAX);
		r3_write32(region, region->size, 0);
		r3_write16(region, 1, 0);
		if (!(region->flags & R3_REGION_WRITE))
			assert_int_equal(r3_region_write(region, 0, 1, data, 1), -EACCES);
	}
	assert_false(r3_device_gone(c->dev));
}

static void config_widths_agree(void **state)
{
	struct contract *c = *state;
	struct r3_region *config;
	uint32_t by4[16];
	uint16_t by2[32];
	uint8_t by1[64];

	contract_need(c, R3_CAP_PCI);
	config = region_of(c, R3_REGION_CONFIG);
	assert_ok(r3_region_read(config, 0, 4, by4, 16));
	assert_ok(r3_region_read(config, 0, 2, by2, 32));
	assert_ok(r3_region_read(config, 0, 1, by1, 64));
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(by1[i], (uint8_t)(by4[i / 4] >> i % 4 * 8));
		assert_int_equal(by1[i], (uint8_t)(by2[i / 2] >> i % 2 * 8));
		assert_int_equal(by1[i], r3_read8(config, i));
	}
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(by2[i], r3_read16(config, 2 * i));
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(by4[i], r3_read32(config, 4 * i));
}

/* A register that any PCI device has and that keeps what is written: the interrupt line. */
static void config_keeps_bytes_apart(void **state)
{
	struct contract *c = *state;
	uint32_t before, after;

	contract_need(c, R3_CAP_PCI);
	before = r3_pci_read32(c->dev, PCI_INTERRUPT_LINE);
	r3_pci_write8(c->dev, PCI_INTERRUPT_LINE, 0x5a);
	after = r3_pci_read32(c->dev, PCI_INTERRUPT_LINE);
	assert_int_equal(after & 0xff, 0x5a);
	assert_int_equal(after & ~0xffu, before & ~0xffu);
	r3_pci_write32(c->dev, PCI_INTERRUPT_LINE, (before & ~0xffu) | 0xa5);
	assert_int_equal(r3_pci_read8(c->dev, PCI_INTERRUPT_LINE), 0xa5);
	r3_pci_write8(c->dev, PCI_INTERRUPT_LINE, (uint8_t)before);
}

static void identity_is_read_only(void **state)
{
	static const unsigned char offsets[] = {PCI_VENDOR_ID, PCI_CLASS_REVISION,
						PCI_SUBSYSTEM_VENDOR_ID, PCI_CAPABILITY_LIST};
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	for (unsigned i = 0; i < sizeof(offsets); i++) {
		uint32_t before = r3_pci_read32(c->dev, offsets[i]);

		r3_pci_write32(c->dev, offsets[i], ~before);
		assert_int_equal(r3_pci_read32(c->dev, offsets[i]), before);
	}
}

/* Any region that answers can be read in any order and amount, mapped or not. */
static void bars_answer(void **state)
{
	struct contract *c = *state;

	contract_need(c, R3_CAP_PCI);
	assert_ok(r3_pci_enable(c->dev, R3_PCI_IO | R3_PCI_MEMORY, 0));
	for (unsigned i = 0; i <= R3_REGION_BAR5; i++) {
		struct r3_region *region = region_of(c, i);
		uint32_t data[4], count;

		if (!region)
			continue;
		count = region->size / 4 < 4 ? (uint32_t)(region->size / 4) : 4;
		assert_ok(r3_region_read(region, 0, 4, data, count));
		assert_ok(r3_region_read(region, region->size - 4, 4, data, 1));
		assert_ok(r3_region_read(region, region->size, 1, data, 0));
	}
	assert_false(r3_device_gone(c->dev));
}

const struct CMUnitTest contract_regions[] = {
	CONTRACT_TEST(regions_make_sense),    CONTRACT_TEST(outside_is_all_ones),
	CONTRACT_TEST(config_widths_agree),   CONTRACT_TEST(config_keeps_bytes_apart),
	CONTRACT_TEST(identity_is_read_only), CONTRACT_TEST(bars_answer),
};
const size_t contract_nregions = sizeof(contract_regions) / sizeof(contract_regions[0]);
