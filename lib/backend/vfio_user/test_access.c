/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a served device, and its registers. */
#include "backend/vfio_user/test_rig.h"

#include <ring3/pci.h>

static void what_the_server_says_becomes_the_device(void **state)
{
	const struct r3_device_info *info;

	rig_open();
	info = r3_device_get_info(rig.dev);
	assert_int_equal(info->caps, R3_CAP_PCI | R3_CAP_DMA | R3_CAP_FLR | R3_CAP_IRQ_MASK);
	assert_int_equal(info->nregions, 9);
	assert_int_equal(info->nirqs[0], 1);
	assert_int_equal(info->nirqs[1], 32);
	assert_int_equal(info->nirqs[2], 64);
	assert_memory_equal(info->address, "vfio-user:fd:", 13);
	assert_int_equal(rig_region(0)->size, 16384);
	assert_int_equal(rig_region(0)->flags,
			 R3_REGION_READ | R3_REGION_WRITE | R3_REGION_64BIT | R3_REGION_PREFETCH);
	assert_int_equal(rig_region(2)->flags, R3_REGION_READ | R3_REGION_WRITE | R3_REGION_PORT);
	assert_int_equal(rig_region(7)->size, 4096);
}

static void registers_of_each_width_are_read_and_written(void **state)
{
	struct r3_region *bar;

	rig_open();
	bar = rig_region(0);
	r3_write64(bar, 8, UINT64_C(0x1122334455667788));
	assert_int_equal(r3_read64(bar, 8), UINT64_C(0x1122334455667788));
	assert_int_equal(r3_read32(bar, 8), 0x55667788);
	assert_int_equal(r3_read16(bar, 12), 0x3344);
	assert_int_equal(r3_read8(bar, 15), 0x11);
	r3_write8(bar, 8, 0xff);
	assert_int_equal(r3_read64(bar, 8), UINT64_C(0x11223344556677ff));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(what_the_server_says_becomes_the_device),
		RIG_TEST(registers_of_each_width_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
