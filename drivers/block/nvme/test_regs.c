/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of a controller's registers; the doorbells as far apart as it says. */
#include "test_bed.h"

#include "bus/regs.h"

static unsigned dstrd;

static void stride(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	if (off == NVME_REG_CAP)
		*value |= (uint64_t)dstrd << 32;
}

static void is(const struct r3_reg_map *map, uint64_t off, unsigned width, const char *name)
{
	char got[R3_REG_NAME_MAX];

	r3_reg_name(map, R3_REGION_BAR0, off, width, got);
	assert_string_equal(got, name);
}

static struct r3_reg_map *map_of(struct bed *bed, unsigned stride_log)
{
	static const struct nvme_stub_hooks hooks = {.read = stride};
	struct r3_reg_map *map;

	dstrd = stride_log;
	bed_make(bed, NULL);
	bed->stub->hooks = &hooks;
	r3_pci_enable(nvme_stub_device(bed->stub), R3_PCI_MEMORY, 0);
	assert_int_equal(r3_reg_map_create(nvme_stub_device(bed->stub), &map), 0);
	return map;
}

static void registers_and_doorbells(void **state)
{
	struct bed bed;
	struct r3_reg_map *map = map_of(&bed, 0);

	is(map, NVME_REG_CC, 4, "CC");
	is(map, NVME_REG_CAP + 4, 4, "CAP+4");
	is(map, 0x1000, 4, "SQ0TDBL");
	is(map, 0x101c, 4, "CQ3HDBL");
	is(map, 0x1018, 8, "SQ3TDBL,CQ3HDBL");
	is(map, 0xff8, 4, "");
	r3_reg_map_unref(map);
	r3_device_close(nvme_stub_device(bed.stub));
}

static void doorbells_far_apart(void **state)
{
	struct bed bed;
	struct r3_reg_map *map = map_of(&bed, 4);

	is(map, 0x1000, 4, "SQ0TDBL");
	is(map, 0x1004, 4, "");
	is(map, 0x1040, 4, "CQ0HDBL");
	is(map, 0x1180, 4, "SQ3TDBL");
	r3_reg_map_unref(map);
	r3_device_close(nvme_stub_device(bed.stub));
}

static void doorbells_beyond_the_bar(void **state)
{
	struct r3_reg_found found;
	struct bed bed;
	struct r3_reg_map *map = map_of(&bed, 15);

	is(map, 0x1000, 4, ""); /* not one pair has room: the stride is a lie */
	is(map, NVME_REG_CSTS, 4, "CSTS");
	for (uint64_t i = 0; r3_reg_get(map, i, &found); i++)
		assert_true(found.region != R3_REGION_BAR0 || found.off < 0x4000);
	r3_reg_map_unref(map);
	r3_device_close(nvme_stub_device(bed.stub));
}

static void nothing_is_asked_of_a_bar_that_is_off(void **state)
{
	struct r3_reg_map *map;
	struct bed bed;
	unsigned reads;

	bed_make(&bed, NULL);
	reads = bed.stub->fake->reads;
	assert_int_equal(r3_reg_map_create(nvme_stub_device(bed.stub), &map), 0);
	assert_true(bed.stub->fake->reads > reads); /* configuration space */
	is(map, NVME_REG_CC, 4, "CC");
	is(map, 0x1000, 4, "");
	r3_reg_map_unref(map);
	r3_device_close(nvme_stub_device(bed.stub));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_and_doorbells),
		cmocka_unit_test(doorbells_far_apart),
		cmocka_unit_test(doorbells_beyond_the_bar),
		cmocka_unit_test(nothing_is_asked_of_a_bar_that_is_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
