/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities: what a good device says, and each way in which another one lies. */
#include "test_model.h"

static struct model model;
static struct r3_virtio virtio;

static int find(void)
{
	int rc;

	model_adopt(&model);
	rc = r3_virtio_init(&virtio, &model.fake->base);
	if (rc < 0)
		assert_non_null(strstr(r3_error_text(), "fake"));
	return rc;
}

static void test_good(void **state)
{
	model_make(&model);
	assert_int_equal(find(), 0);
	assert_int_equal(virtio.id, VIRTIO_ID_BLOCK);
	assert_int_equal(virtio.common.off, MODEL_COMMON);
	assert_int_equal(virtio.common.len, 64);
	assert_int_equal(virtio.notify.off, MODEL_NOTIFY);
	assert_int_equal(virtio.notify.len, 0x1000);
	assert_int_equal(virtio.notify_multiplier, 4);
	assert_int_equal(virtio.isr.off, MODEL_ISR);
	assert_int_equal(virtio.config.off, MODEL_CONFIG);
	assert_int_equal(virtio.config.len, MODEL_CONFIG_LEN);
	r3_device_close(&model.fake->base);
}

/* One byte, two or four of configuration space are not what they should be. */
static void test_lies(void **state)
{
	static const struct {
		const char *what;
		unsigned off, width;
		uint32_t value;
		int rc;
		const char *says;
	} lies[] = {
		{"another vendor", PCI_VENDOR_ID, 2, 0x1b36, -EOPNOTSUPP, "not a virtio device"},
		{"ivshmem", PCI_DEVICE_ID, 2, 0x1110, -EOPNOTSUPP, "not a virtio device"},
		{"below", PCI_DEVICE_ID, 2, 0x0fff, -EOPNOTSUPP, "not a virtio device"},
		{"the last one", PCI_DEVICE_ID, 2, 0x107f, 0, NULL},
		{"no capabilities", PCI_STATUS, 2, 0, -EOPNOTSUPP, "disable-legacy=on"},
		{"list ends before", FAKE_CAP_MSIX + 1, 1, 0, -EOPNOTSUPP, "disable-legacy=on"},
		{"list points at itself", MODEL_CAP_NOTIFY + 1, 1, MODEL_CAP_NOTIFY, -EIO,
		 "interrupt status"},
		{"common of another type", MODEL_CAP_COMMON + 3, 1, 77, -EIO,
		 "common configuration"},
		{"common of type 0", MODEL_CAP_COMMON + 3, 1, 0, -EIO, "common configuration"},
		{"no notify", MODEL_CAP_NOTIFY + 3, 1, 9, -EIO, "notification"},
		{"no ISR", MODEL_CAP_ISR + 3, 1, 9, -EIO, "interrupt status"},
		{"no device configuration", MODEL_CAP_CONFIG + 3, 1, 9, 0, NULL},
		{"cap_len of common", MODEL_CAP_COMMON + 2, 1, 15, -EIO, "15 bytes"},
		{"cap_len of notify", MODEL_CAP_NOTIFY + 2, 1, 16, -EIO, "16 bytes"},
		{"cap_len 0", MODEL_CAP_ISR + 2, 1, 0, -EIO, "0 bytes"},
		{"capability beyond the end", MODEL_CAP_CONFIG + 2, 1, 29, -EIO, "29 bytes"},
		{"reserved BAR", MODEL_CAP_COMMON + 4, 1, 6, -EIO, "BAR 6"},
		{"BAR 255", MODEL_CAP_COMMON + 4, 1, 255, -EIO, "BAR 255"},
		{"upper half of a BAR", MODEL_CAP_COMMON + 4, 1, 1, -EIO, "BAR 1"},
		{"no such BAR", MODEL_CAP_ISR + 4, 1, 5, -EIO, "BAR 5"},
		{"ports", MODEL_CAP_NOTIFY + 4, 1, 2, -EIO, "ports"},
		{"smaller BAR", MODEL_CAP_NOTIFY + 4, 1, 4, -EIO, "beyond BAR 4"},
		{"common misaligned", MODEL_CAP_COMMON + 8, 4, 0x1002, -EIO, "misaligned"},
		{"common at the end", MODEL_CAP_COMMON + 8, 4, 0x4000 - 60, -EIO, "beyond"},
		{"common behind", MODEL_CAP_COMMON + 8, 4, 0x4000, -EIO, "beyond"},
		{"common far behind", MODEL_CAP_COMMON + 8, 4, 0xffffffc0, -EIO, "beyond"},
		{"common of 1.0", MODEL_CAP_COMMON + 12, 4, 56, 0, NULL},
		{"common too short", MODEL_CAP_COMMON + 12, 4, 55, -EIO, "too few"},
		{"common of 4 GiB", MODEL_CAP_COMMON + 12, 4, 0xffffffff, -EIO, "beyond"},
		{"notify odd", MODEL_CAP_NOTIFY + 8, 4, 0x3001, -EIO, "beyond"},
		{"notify odd and short", MODEL_CAP_NOTIFY + 12, 4, 1, -EIO, "too few"},
		{"notify multiplier 0", MODEL_CAP_NOTIFY + 16, 4, 0, 0, NULL},
		{"notify multiplier 1", MODEL_CAP_NOTIFY + 16, 4, 1, -EIO, "multiplier is 1"},
		{"notify multiplier 6", MODEL_CAP_NOTIFY + 16, 4, 6, -EIO, "multiplier is 6"},
		{"notify multiplier 2^31", MODEL_CAP_NOTIFY + 16, 4, 1u << 31, 0, NULL},
		{"empty ISR", MODEL_CAP_ISR + 12, 4, 0, -EIO, "too few"},
		{"empty device configuration", MODEL_CAP_CONFIG + 12, 4, 0, -EIO, "too few"},
		{"device configuration behind", MODEL_CAP_CONFIG + 8, 4, 0x3fe4, -EIO, "beyond"},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		print_message("%s\n", lies[i].what);
		model_make(&model);
		for (unsigned n = 0; n < lies[i].width; n++)
			model.fake->config[lies[i].off + n] = (uint8_t)(lies[i].value >> 8 * n);
		assert_int_equal(find(), lies[i].rc);
		if (lies[i].says)
			assert_non_null(strstr(r3_error_text(), lies[i].says));
		r3_device_close(&model.fake->base);
	}
}

/* 4.1.4: the first that is usable, in the order of the list. */
static void test_several(void **state)
{
	model_make(&model);
	model_cap(&model, MODEL_CAP_CONFIG, VIRTIO_PCI_CAP_ISR_CFG, 0, MODEL_CONFIG, 4);
	assert_int_equal(find(), 0);
	assert_int_equal(virtio.isr.off, MODEL_ISR);
	assert_int_equal(virtio.config.len, 0);
	r3_device_close(&model.fake->base);

	model_make(&model);
	model_cap(&model, MODEL_CAP_CONFIG, VIRTIO_PCI_CAP_ISR_CFG, 0, MODEL_CONFIG, 4);
	model.fake->config[MODEL_CAP_ISR + 4] = 5;
	r3_error_set(EXDEV, "before");
	assert_int_equal(find(), 0);
	assert_int_equal(virtio.isr.off, MODEL_CONFIG);
	assert_string_equal(r3_error_text(), "before");
	r3_device_close(&model.fake->base);
}

/* A transitional device is driven through its modern capabilities. */
static void test_transitional(void **state)
{
	model_make(&model);
	model.fake->config[PCI_DEVICE_ID] = 0x01;
	model.fake->config[PCI_DEVICE_ID + 1] = 0x10;
	model.fake->config[PCI_SUBSYSTEM_ID] = VIRTIO_ID_SCSI;
	model.fake->config[PCI_SUBSYSTEM_ID + 1] = 0;
	assert_int_equal(find(), 0);
	assert_int_equal(virtio.id, VIRTIO_ID_SCSI);
	r3_device_close(&model.fake->base);
}

static void test_not_pci(void **state)
{
	model_make(&model);
	model.fake->base.info.caps &= ~(unsigned)R3_CAP_PCI;
	assert_int_equal(find(), -EOPNOTSUPP);
	r3_device_close(&model.fake->base);
}

/* Gone after any number of accesses: said so, or complete before. */
static void test_gone(void **state)
{
	unsigned refused = 0;

	for (unsigned left = 1; left < 1000; left++) {
		int rc;

		model_make(&model);
		model_adopt(&model);
		model.left = left;
		rc = r3_virtio_init(&virtio, &model.fake->base);
		assert_true(rc == 0 || rc == -ENODEV);
		r3_device_close(&model.fake->base);
		if (rc == 0)
			break;
		refused++;
	}
	assert_in_range(refused, 10, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),    cmocka_unit_test(test_lies),
		cmocka_unit_test(test_several), cmocka_unit_test(test_transitional),
		cmocka_unit_test(test_not_pci), cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
