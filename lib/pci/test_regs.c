/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of registers: those of every PCI function, and how any name is looked up. */
#include "bus/regs.h"
#include "fake/fake_device.h"
#include "unit.h"

#include <linux/pci_regs.h>
#include <string.h>

static struct fake_device *fake;
static struct r3_reg_map *map;

static int setup(void **state)
{
	fake = fake_device_new(NULL);
	if (!fake || fake_device_adopt(fake))
		return -1;
	return r3_reg_map_create(&fake->base, &map);
}

static int teardown(void **state)
{
	r3_reg_map_unref(map);
	r3_device_close(&fake->base);
	return 0;
}

static void is(unsigned region, uint64_t off, unsigned width, const char *name)
{
	char got[R3_REG_NAME_MAX];

	assert_int_equal(r3_reg_name(map, region, off, width, got), *name != '\0');
	assert_string_equal(got, name);
}

static void header(void **state)
{
	is(R3_REGION_CONFIG, PCI_COMMAND, 2, "PCI_COMMAND");
	is(R3_REGION_CONFIG, PCI_BASE_ADDRESS_5, 4, "PCI_BASE_ADDRESS_5");
	is(R3_REGION_CONFIG, PCI_VENDOR_ID, 4, "PCI_VENDOR_ID,PCI_DEVICE_ID");
	is(R3_REGION_CONFIG, PCI_COMMAND + 1, 1, "PCI_COMMAND+1");
	is(R3_REGION_CONFIG, 0x35, 1, "");
	is(R3_REGION_CONFIG, 0x34, 4, "PCI_CAPABILITY_LIST");
	is(R3_REGION_BAR0, PCI_COMMAND, 2, "");
}

static void bridge(void **state)
{
	fake->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	r3_reg_map_unref(map);
	assert_int_equal(r3_reg_map_create(&fake->base, &map), 0);
	is(R3_REGION_CONFIG, PCI_SECONDARY_BUS, 1, "PCI_SECONDARY_BUS");
	is(R3_REGION_CONFIG, PCI_SUBSYSTEM_VENDOR_ID, 4, "PCI_PREF_LIMIT_UPPER32");
}

static void capabilities(void **state)
{
	is(R3_REGION_CONFIG, FAKE_CAP_EXP + PCI_EXP_DEVCTL, 2, "PCI_EXP_DEVCTL");
	is(R3_REGION_CONFIG, FAKE_CAP_EXP + PCI_EXP_DEVCTL2, 2, "PCI_EXP_DEVCTL2");
	is(R3_REGION_CONFIG, FAKE_CAP_MSI + PCI_MSI_MASK_64, 4, "PCI_MSI_MASK_64");
	is(R3_REGION_CONFIG, FAKE_CAP_MSIX + PCI_MSIX_FLAGS, 2, "PCI_MSIX_FLAGS");
	is(R3_REGION_CONFIG, FAKE_CAP_MSIX, 2, "PCI_CAP_LIST_ID,PCI_CAP_LIST_NEXT");
	is(R3_REGION_CONFIG, FAKE_CAP_DSN, 4, "PCI_EXT_CAP_ID");
	is(R3_REGION_CONFIG, FAKE_CAP_DSN + 8, 4, "PCI_DSN+4");
	/* the table is where the capability says */
	is(R3_REGION_BAR4, 7 * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_DATA, 4, "MSIX7_DATA");
	is(R3_REGION_BAR4, FAKE_VECTORS * PCI_MSIX_ENTRY_SIZE, 4, "");
	is(R3_REGION_BAR4, 0, 8, "MSIX0_LOWER_ADDR,MSIX0_UPPER_ADDR");
}

static void a_table_out_of_this_world(void **state)
{
	fake->config[FAKE_CAP_MSIX + PCI_MSIX_TABLE] = 7; /* no such BAR */
	r3_reg_map_unref(map);
	assert_int_equal(r3_reg_map_create(&fake->base, &map), 0);
	is(R3_REGION_CONFIG, 0, 1, "PCI_VENDOR_ID");
	for (unsigned region = 0; region < R3_REGION_MAX; region++)
		if (region != R3_REGION_CONFIG)
			is(region, 0, 4, "");
}

static void arrays(void **state)
{
	static const struct r3_reg own[] = {
		R3_REG("Q#_TAIL", 0x10, 4, .flags = R3_REG_QUIET, .count = 3, .stride = 0x10),
		R3_REG("Q#_HEAD", 0x14, 2, .count = 3, .stride = 0x10),
		R3_REG("ONE", 0x18, 8),
		R3_REG("NOWHERE", UINT64_MAX - 2, 4),
	};
	struct r3_reg_found found;
	uint64_t n = 0, before;

	while (r3_reg_get(map, n, &found))
		n++;
	before = n;
	assert_int_equal(R3_REG_PLACE(map, R3_REGION_BAR2, 0x100, own), 0);
	is(R3_REGION_BAR2, 0x110, 4, "Q0_TAIL");
	is(R3_REGION_BAR2, 0x130, 8, "Q2_TAIL,Q2_HEAD");
	is(R3_REGION_BAR2, 0x116, 2, "");
	is(R3_REGION_BAR2, 0x140, 4, ""); /* behind the last */
	is(R3_REGION_BAR2, 0x11c, 4, "ONE+4");
	is(R3_REGION_BAR2, 0, 4, "");
	assert_true(r3_reg_get(map, before + 1, &found));
	assert_string_equal(found.name, "Q1_TAIL");
	assert_int_equal(found.region, R3_REGION_BAR2);
	assert_int_equal(found.off, 0x120);
	assert_int_equal(found.width, 4);
	assert_int_equal(found.flags, R3_REG_QUIET);
	while (r3_reg_get(map, n, &found))
		n++;
	assert_int_equal(n, before + 7);
	assert_string_equal(found.name, "ONE");
}

static void long_names_are_cut(void **state)
{
	static const struct r3_reg own[] = {
		R3_REG("A_NAME_SO_LONG_THAT_EIGHT_OF_THEM_ARE_TOO_MUCH_#", 0, 1, .count = 8,
		       .stride = 1),
	};
	char got[R3_REG_NAME_MAX];

	assert_int_equal(R3_REG_PLACE(map, R3_REGION_BAR2, 0, own), 0);
	assert_true(r3_reg_name(map, R3_REGION_BAR2, 0, 8, got));
	assert_int_equal(strlen(got), R3_REG_NAME_MAX - 1);
}

static void a_device_that_is_gone_has_no_names(void **state)
{
	r3_reg_map_unref(map);
	fake_device_remove(fake);
	assert_int_equal(r3_reg_map_create(&fake->base, &map), 0);
	is(R3_REGION_CONFIG, 0, 2, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(header),
		TEST(bridge),
		TEST(capabilities),
		TEST(a_table_out_of_this_world),
		TEST(arrays),
		TEST(long_names_are_cut),
		TEST(a_device_that_is_gone_has_no_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
