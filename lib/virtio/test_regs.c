/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the transport's registers, as the trace looks them up. */
#include "test_model.h"

#include "bus/regs.h"

static struct model model;
static struct r3_reg_map *map;

static void names_of_made(void)
{
	model_adopt(&model);
	assert_int_equal(r3_reg_map_create(&model.fake->base, &map), 0);
}

static void is(uint64_t off, unsigned width, const char *name)
{
	char got[R3_REG_NAME_MAX];

	r3_reg_name(map, R3_REGION_BAR0, off, width, got);
	assert_string_equal(got, name);
}

static void teardown(void)
{
	r3_reg_map_unref(map);
	r3_device_close(&model.fake->base);
}

static void test_names(void **state)
{
	char got[R3_REG_NAME_MAX];

	model_make(&model);
	names_of_made();
	is(MODEL_COMMON, 4, "device_feature_select");
	is(MODEL_COMMON + VIRTIO_PCI_COMMON(device_status), 1, "device_status");
	is(MODEL_COMMON + VIRTIO_PCI_COMMON(queue_driver) + 4, 4, "queue_driver+4");
	is(MODEL_COMMON + VIRTIO_PCI_COMMON(queue_reset), 2, "queue_reset");
	is(MODEL_COMMON + 60, 4, "");
	is(MODEL_ISR, 1, "isr_status");
	is(MODEL_CONFIG, 8, "config_word0,config_word1");
	is(MODEL_CONFIG + MODEL_CONFIG_LEN - 4, 4, "config_word7");
	is(MODEL_CONFIG + MODEL_CONFIG_LEN, 4, "");
	is(MODEL_NOTIFY, 2, "notify0");
	is(MODEL_NOTIFY + 0xffc, 2, "notify1023");
	is(MODEL_NOTIFY - 4, 2, "");
	r3_reg_name(map, R3_REGION_CONFIG, MODEL_CAP_COMMON + 8, 4, got);
	assert_string_equal(got, "virtio_pci_cap.offset");
	r3_reg_name(map, R3_REGION_CONFIG, MODEL_CAP_NOTIFY + 16, 4, got);
	assert_string_equal(got, "virtio_pci_cap.notify_off_multiplier");
	r3_reg_name(map, R3_REGION_CONFIG, MODEL_CAP_COMMON + 16, 4, got);
	assert_false(strstr(got, "multiplier"));
	assert_int_equal(model.resets, 0);
	assert_int_equal(model.fake->writes, 0);
	teardown();
}

static void test_variants(void **state)
{
	model_make(&model);
	model_cap(&model, MODEL_CAP_COMMON, VIRTIO_PCI_CAP_COMMON_CFG, 0, MODEL_COMMON,
		  VIRTIO_PCI_COMMON_LEN_1_0);
	model_cap(&model, MODEL_CAP_CONFIG, VIRTIO_PCI_CAP_DEVICE_CFG, 0, MODEL_CONFIG, 3);
	model_cap(&model, MODEL_CAP_NOTIFY, VIRTIO_PCI_CAP_NOTIFY_CFG, 0, MODEL_NOTIFY, 2);
	memset(model.fake->config + MODEL_CAP_NOTIFY + 16, 0, 4);
	names_of_made();
	is(MODEL_COMMON + VIRTIO_PCI_COMMON(queue_device), 8, "queue_device");
	is(MODEL_COMMON + VIRTIO_PCI_COMMON(queue_reset), 2, "");
	is(MODEL_CONFIG, 1, "");
	is(MODEL_NOTIFY, 2, "notify");
	teardown();

	/* 1af4 is not virtio alone, and a device that makes no sense has no names. */
	model_make(&model);
	model.fake->config[PCI_DEVICE_ID + 1] = 0x11;
	names_of_made();
	is(MODEL_COMMON, 4, "");
	teardown();
	model_make(&model);
	model.fake->config[MODEL_CAP_ISR + 4] = 5;
	names_of_made();
	is(MODEL_COMMON, 4, "");
	teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_variants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
