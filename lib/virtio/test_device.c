/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reset, features, status, and coming back: with a good device, and with those that
 * contradict themselves, do not answer, or go away. The clock only sleeps.
 */
#include "test_model.h"

#include <ring3/pci.h>

#define WANTED      (MODEL_GOOD_FEATURES | VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC))
#define GOOD_STATUS (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK)

static struct model model;
static struct r3_virtio virtio;

static void begin_made(void)
{
	model_adopt(&model);
	assert_int_equal(r3_virtio_init(&virtio, &model.fake->base), 0);
}

static void setup(void)
{
	model_make(&model);
	begin_made();
}

static void teardown(void)
{
	r3_virtio_irq_disable(&virtio);
	r3_device_close(&model.fake->base);
	assert_int_equal(model.remains.irqs, 0);
}

static bool is_master(void)
{
	return r3_pci_read16(&model.fake->base, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/* ---- features ---- */

static void test_begin(void **state)
{
	setup();
	assert_false(is_master());
	assert_int_equal(r3_virtio_begin(&virtio, WANTED, 0), 0);
	assert_int_equal(model.resets, 1);
	assert_int_equal(virtio.offered, MODEL_GOOD_FEATURES);
	assert_int_equal(virtio.features, MODEL_GOOD_FEATURES);
	assert_int_equal(model.accepted, MODEL_GOOD_FEATURES);
	assert_int_equal(virtio.nqueues, MODEL_QUEUES);
	assert_int_equal(model.status, GOOD_STATUS);
	assert_true(r3_virtio_has(&virtio, VIRTIO_F_RING_PACKED));
	assert_false(r3_virtio_has(&virtio, VIRTIO_F_INDIRECT_DESC));
	assert_true(is_master());
	assert_int_equal(r3_virtio_ready(&virtio), 0);
	assert_int_equal(model.status, GOOD_STATUS | VIRTIO_STATUS_DRIVER_OK);
	assert_int_equal(r3_virtio_health(&virtio), 0);
	r3_virtio_fail(&virtio);
	assert_true(model.status & VIRTIO_STATUS_FAILED);
	teardown();
}

static void test_features(void **state)
{
	const uint64_t v1 = VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	const uint64_t platform =
		VIRTIO_FEATURE(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_FEATURE(VIRTIO_F_ORDER_PLATFORM);
	const uint64_t packed = VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	const uint64_t reset = VIRTIO_FEATURE(VIRTIO_F_RING_RESET);
	const uint64_t data = VIRTIO_FEATURE(VIRTIO_F_NOTIF_CONFIG_DATA);
	const uint64_t legacy = VIRTIO_FEATURE(VIRTIO_F_ANY_LAYOUT);
	const struct {
		const char *what;
		uint64_t offered, wanted, required;
		uint32_t common_len;
		uint64_t agreed;
		int rc;
		const char *says;
	} sets[] = {
		{"the least", v1, 0, 0, 64, v1, 0, NULL},
		{"nothing", 0, 0, 0, 64, 0, -EOPNOTSUPP, "VERSION_1"},
		{"all but VERSION_1", ~v1, packed, 0, 64, 0, -EOPNOTSUPP, "VERSION_1"},
		{"all ones", ~UINT64_C(0), packed, 0, 64, v1 | packed | platform, 0, NULL},
		{"platform unasked for", v1 | platform, 0, 0, 64, v1 | platform, 0, NULL},
		{"required", v1 | packed, 0, packed, 64, v1 | packed, 0, NULL},
		{"required of every device", v1, 0, packed | v1, 64, 0, -EOPNOTSUPP, "RING_PACKED"},
		{"required of this type", v1, 0, 1u << 9 | 1u << 5, 64, 0, -EOPNOTSUPP,
		 "bit 5, bit 9"},
		{"SR_IOV is not taken", v1 | VIRTIO_FEATURE(VIRTIO_F_SR_IOV), packed, 0, 64, v1, 0,
		 NULL},
		{"legacy wanted", v1 | legacy, legacy, 0, 64, 0, -EINVAL, "ANY_LAYOUT"},
		{"reserved wanted", ~UINT64_C(0), UINT64_C(1) << 45, 0, 64, 0, -EINVAL, "bit 45"},
		{"reset of a queue", v1 | reset, reset, 0, 60, v1 | reset, 0, NULL},
		{"without its register", v1 | reset, reset, 0, 59, 0, -EIO, "RING_RESET"},
		{"and not wanted", v1 | reset, 0, 0, 56, v1, 0, NULL},
		{"notification data of the device", v1 | data, data, 0, 58, v1 | data, 0, NULL},
		{"without their register", v1 | data, data, 0, 57, 0, -EIO, "NOTIF_CONFIG_DATA"},
	};

	for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		print_message("%s\n", sets[i].what);
		model_make(&model);
		model.features = sets[i].offered;
		model_cap(&model, MODEL_CAP_COMMON, VIRTIO_PCI_CAP_COMMON_CFG, 0, MODEL_COMMON,
			  sets[i].common_len);
		begin_made();
		assert_int_equal(r3_virtio_begin(&virtio, sets[i].wanted, sets[i].required),
				 sets[i].rc);
		if (sets[i].says)
			assert_non_null(strstr(r3_error_text(), sets[i].says));
		if (sets[i].rc == 0)
			assert_int_equal(virtio.features, sets[i].agreed);
		assert_int_equal(is_master(), sets[i].rc == 0);
		/* Told that it is given up, unless nothing was begun. */
		assert_int_equal(!!(model.status & VIRTIO_STATUS_FAILED),
				 sets[i].rc && sets[i].rc != -EINVAL);
		teardown();
	}
}

/* ---- registers that lie ---- */

static void test_lies(void **state)
{
	static const struct {
		const char *what;
		unsigned off;
		uint64_t value;
		unsigned after;
		int rc;
		const char *says;
	} lies[] = {
		{"never reset", VIRTIO_PCI_COMMON(device_status), 0x0f, 0, -ETIMEDOUT,
		 "device_status 0xf"},
		{"all ones", VIRTIO_PCI_COMMON(device_status), 0xff, 0, -ENODEV, "all ones"},
		{"all ones after the reset", VIRTIO_PCI_COMMON(device_status), 0xff, 1, -ENODEV,
		 "all ones"},
		{"features refused", VIRTIO_PCI_COMMON(device_status), 0x03, 2, -EOPNOTSUPP,
		 "refuses"},
		{"no queues", VIRTIO_PCI_COMMON(num_queues), 0, 0, -EIO, "no queues"},
		{"all queues", VIRTIO_PCI_COMMON(num_queues), 0xffff, 0, 0, NULL},
		{"no features", VIRTIO_PCI_COMMON(device_feature), 0, 0, -EOPNOTSUPP, "VERSION_1"},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint64_t began;

		print_message("%s\n", lies[i].what);
		setup();
		model_lie(&model, lies[i].off, lies[i].value, lies[i].after);
		began = model.clock.now;
		assert_int_equal(r3_virtio_begin(&virtio, WANTED, 0), lies[i].rc);
		if (lies[i].says)
			assert_non_null(strstr(r3_error_text(), lies[i].says));
		assert_true(model.clock.now - began < 6 * R3_NSEC_PER_SEC);
		teardown();
	}
}

static void test_health(void **state)
{
	setup();
	assert_int_equal(r3_virtio_begin(&virtio, WANTED, 0), 0);
	assert_int_equal(r3_virtio_ready(&virtio), 0);
	model.status |= VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	assert_int_equal(r3_virtio_health(&virtio), -EIO);
	assert_non_null(strstr(r3_error_text(), "needs a reset"));
	model.status = 0;
	assert_int_equal(r3_virtio_health(&virtio), -EIO);
	assert_non_null(strstr(r3_error_text(), "device_status is 0x0"));
	model.status = 0xff;
	assert_int_equal(r3_virtio_health(&virtio), -ENODEV);
	fake_device_remove(model.fake);
	assert_int_equal(r3_virtio_health(&virtio), -ENODEV);
	teardown();
}

/* ---- the whole way, and back ---- */

static const struct r3_virtio_queue new_queue = {
	.size = 64, .desc = {0x12345678000}, .driver = {0x12345679000}, .device = {0x1234567a000}};
static struct r3_virtio_queue queue[2];
static struct r3_virtio_queue *const queues[] = {&queue[0], &queue[1]};

static int bring_up(void)
{
	int rc = r3_virtio_begin(&virtio, WANTED, 0);

	if (rc == 0)
		rc = r3_virtio_irq_enable(&virtio, 2);
	for (unsigned i = 0; rc == 0 && i < 2; i++) {
		queue[i] = new_queue;
		queue[i].index = (uint16_t)i;
		rc = r3_virtio_queue_start(&virtio, &queue[i]);
	}
	return rc == 0 ? r3_virtio_ready(&virtio) : rc;
}

static void check_up(void)
{
	assert_int_equal(model.status, GOOD_STATUS | VIRTIO_STATUS_DRIVER_OK);
	assert_int_equal(model.config_vector, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(model.queue[i].enable, 1);
		assert_int_equal(model.queue[i].size, 64);
		assert_int_equal(model.queue[i].vector, i + 1);
		assert_int_equal(model.queue[i].address[0], new_queue.desc.v);
		assert_int_equal(model.queue[i].address[1], new_queue.driver.v);
		assert_int_equal(model.queue[i].address[2], new_queue.device.v);
	}
	assert_int_equal(model.queue[2].enable, 0);
	assert_true(is_master());
}

static void test_restart(void **state)
{
	setup();
	assert_int_equal(bring_up(), 0);
	check_up();
	assert_int_equal(r3_virtio_stop(&virtio), 0);
	assert_int_equal(model.status, 0);
	assert_int_equal(model.queue[0].enable, 0);
	assert_int_equal(model.fake->resets, 0);
	assert_int_equal(r3_virtio_restart(&virtio, queues, 2), 0);
	check_up();

	/* More than before is of no interest, less is a failure. */
	model.features |= 1u << 7;
	assert_int_equal(r3_virtio_restart(&virtio, queues, 2), 0);
	model.features &= ~VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX);
	assert_int_equal(r3_virtio_restart(&virtio, queues, 2), -EOPNOTSUPP);
	assert_non_null(strstr(r3_error_text(), "EVENT_IDX"));
	model.features = MODEL_GOOD_FEATURES | VIRTIO_FEATURE(VIRTIO_F_ACCESS_PLATFORM);
	assert_int_equal(r3_virtio_restart(&virtio, queues, 2), -EIO);
	model.features = MODEL_GOOD_FEATURES;
	model.nqueues = 1;
	assert_int_equal(r3_virtio_restart(&virtio, queues, 2), -ENOENT);
	assert_true(model.status & VIRTIO_STATUS_FAILED);
	model.nqueues = MODEL_QUEUES;
	assert_int_equal(r3_virtio_restart(&virtio, queues, 2), 0);
	check_up();
	teardown();
}

/* Does not obey its own reset until the function was reset. */
static void stubborn(struct model *m, unsigned off, uint64_t *value)
{
	if (off == VIRTIO_PCI_COMMON(device_status) && !m->fake->resets)
		*value = 0x0f;
}

/* As a function whose decoding is off. */
static void deaf(struct model *m, unsigned off, uint64_t *value)
{
	if (!m->fake->resets)
		*value = UINT64_MAX;
}

static void test_function_reset(void **state)
{
	void (*const how[])(struct model *, unsigned, uint64_t *) = {stubborn, deaf};

	for (unsigned i = 0; i < 2; i++) {
		setup();
		assert_int_equal(bring_up(), 0);
		model.lie = how[i];
		r3_error_set(EXDEV, "before");
		assert_int_equal(r3_virtio_stop(&virtio), 0);
		assert_string_equal(r3_error_text(), "before");
		assert_int_equal(model.fake->resets, 1);
		assert_false(is_master());
		assert_int_equal(r3_virtio_restart(&virtio, queues, 2), 0);
		check_up();
		assert_int_equal(model.fake->nirqs, 3);
		assert_true(model.fake->vector[2].fd >= 0);
		teardown();
	}
}

/* Nothing helps: then at least it is kept from memory. */
static void test_unstoppable(void **state)
{
	setup();
	assert_int_equal(bring_up(), 0);
	model_lie(&model, VIRTIO_PCI_COMMON(device_status), 0x0f, 0);
	model.fake->fail_reset = -EOPNOTSUPP;
	assert_int_equal(r3_virtio_stop(&virtio), -ETIMEDOUT);
	assert_non_null(strstr(r3_error_text(), "not reset within"));
	assert_false(is_master());
	model.fake->fail_reset = -EIO;
	assert_int_equal(r3_virtio_stop(&virtio), -EIO);
	assert_false(is_master());
	teardown();
}

/* Gone after any number of accesses: each step says so. */
static void test_gone(void **state)
{
	unsigned refused = 0;

	for (unsigned left = 1; left < 1000; left++) {
		int rc;

		setup();
		model.left = left;
		rc = bring_up();
		if (rc == 0)
			rc = r3_virtio_stop(&virtio);
		if (rc == 0)
			rc = r3_virtio_restart(&virtio, queues, 2);
		assert_true(rc == 0 || rc == -ENODEV);
		if (rc < 0) {
			refused++;
			assert_int_equal(r3_virtio_stop(&virtio), -ENODEV);
		}
		teardown();
		if (rc == 0)
			break;
	}
	assert_in_range(refused, 100, 900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begin),       cmocka_unit_test(test_features),
		cmocka_unit_test(test_lies),        cmocka_unit_test(test_health),
		cmocka_unit_test(test_restart),     cmocka_unit_test(test_function_reset),
		cmocka_unit_test(test_unstoppable), cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
