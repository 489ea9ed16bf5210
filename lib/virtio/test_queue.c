/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues, vectors, notifications and the device configuration. */
#include "test_model.h"

static struct model model;
static struct r3_virtio virtio;

static const struct r3_virtio_queue good_queue = {.index = 1,
						  .size = 64,
						  .desc = {0x12345678000},
						  .driver = {0x12345679000},
						  .device = {0x1234567a000}};

static void setup_with(uint64_t features)
{
	model_make(&model);
	model.features = features;
	model_adopt(&model);
	assert_int_equal(r3_virtio_init(&virtio, &model.fake->base), 0);
	assert_int_equal(r3_virtio_begin(&virtio, features, 0), 0);
}

static void teardown(void)
{
	r3_virtio_irq_disable(&virtio);
	r3_device_close(&model.fake->base);
}

#define SPLIT  VIRTIO_FEATURE(VIRTIO_F_VERSION_1)
#define PACKED (SPLIT | VIRTIO_FEATURE(VIRTIO_F_RING_PACKED))

/* ---- queues ---- */

static void test_most(void **state)
{
	static const struct {
		unsigned size;
		int split, packed;
	} sizes[] = {
		{1, 0, 0},
		{2, 0, 0},
		{256, 0, 0},
		{32768, 0, 0},
		{0, -ENOENT, -ENOENT},
		{3, -EIO, 0},
		{255, -EIO, 0},
		{32769, -EIO, -EIO},
		{65535, -EIO, -EIO},
	};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint16_t most = 0;

		setup_with(SPLIT);
		model_lie(&model, VIRTIO_PCI_COMMON(queue_size), sizes[i].size, 0);
		assert_int_equal(r3_virtio_queue_most(&virtio, 0, &most), sizes[i].split);
		assert_int_equal(most, sizes[i].split ? 0 : sizes[i].size);
		teardown();

		setup_with(PACKED);
		model_lie(&model, VIRTIO_PCI_COMMON(queue_size), sizes[i].size, 0);
		assert_int_equal(r3_virtio_queue_most(&virtio, 0, &most), sizes[i].packed);
		teardown();
	}

	uint16_t most;

	setup_with(SPLIT);
	assert_int_equal(r3_virtio_queue_most(&virtio, MODEL_QUEUES - 1, &most), 0);
	assert_int_equal(most, MODEL_ENTRIES);
	assert_int_equal(r3_virtio_queue_most(&virtio, MODEL_QUEUES, &most), -ENOENT);
	assert_int_equal(r3_virtio_queue_most(&virtio, 65535, &most), -ENOENT);
	fake_device_remove(model.fake);
	assert_int_equal(r3_virtio_queue_most(&virtio, 0, &most), -ENODEV);
	teardown();
}

static void test_bad_queue(void **state)
{
	static const struct {
		const char *what;
		struct r3_virtio_queue queue;
		int split, packed;
	} bad[] = {
		{"no entries", {.size = 0}, -EINVAL, -EINVAL},
		{"too many", {.size = MODEL_ENTRIES * 2}, -EINVAL, -EINVAL},
		{"no power of two", {.size = 100}, -EINVAL, 0},
		{"no such queue", {.index = MODEL_QUEUES, .size = 64}, -ENOENT, -ENOENT},
		{"descriptors", {.size = 64, .desc = {8}}, -EINVAL, -EINVAL},
		{"driver's part", {.size = 64, .driver = {1}}, -EINVAL, -EINVAL},
		{"driver's part of 2", {.size = 64, .driver = {2}}, 0, -EINVAL},
		{"device's part", {.size = 64, .device = {2}}, -EINVAL, -EINVAL},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct r3_virtio_queue queue = bad[i].queue;

		print_message("%s\n", bad[i].what);
		setup_with(SPLIT);
		assert_int_equal(r3_virtio_queue_start(&virtio, &queue), bad[i].split);
		teardown();
		setup_with(PACKED);
		assert_int_equal(r3_virtio_queue_start(&virtio, &queue), bad[i].packed);
		teardown();
	}
}

static void test_queue_lies(void **state)
{
	static const struct {
		const char *what;
		unsigned off;
		uint64_t value;
		unsigned after;
		int rc;
		const char *says;
	} lies[] = {
		{"enabled before", VIRTIO_PCI_COMMON(queue_enable), 1, 0, -EIO, "already"},
		{"not enabled after", VIRTIO_PCI_COMMON(queue_enable), 0, 1, -EIO, "become"},
		{"size not taken", VIRTIO_PCI_COMMON(queue_size), MODEL_ENTRIES, 1, -EIO,
		 "after 64 were asked for"},
		{"no room for a vector", VIRTIO_PCI_COMMON(queue_msix_vector), VIRTIO_MSI_NO_VECTOR,
		 0, -EIO, "no room for vector 2"},
		{"another vector", VIRTIO_PCI_COMMON(queue_msix_vector), 1, 0, -EIO, "reads 0x1"},
		{"the last place", VIRTIO_PCI_COMMON(queue_notify_off), 0x3ff, 0, 0, NULL},
		{"behind the last", VIRTIO_PCI_COMMON(queue_notify_off), 0x400, 0, -EIO,
		 "0x1000, in"},
		{"far behind", VIRTIO_PCI_COMMON(queue_notify_off), 0xffff, 0, -EIO, "0x3fffc"},
		{"gone meanwhile", VIRTIO_PCI_COMMON(device_status), 0xff, 1, -ENODEV, "gone"},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct r3_virtio_queue queue = good_queue;

		print_message("%s\n", lies[i].what);
		setup_with(SPLIT);
		assert_int_equal(r3_virtio_irq_enable(&virtio, MODEL_QUEUES), 0);
		model_lie(&model, lies[i].off, lies[i].value, lies[i].after);
		assert_int_equal(r3_virtio_queue_start(&virtio, &queue), lies[i].rc);
		if (lies[i].says)
			assert_non_null(strstr(r3_error_text(), lies[i].says));
		teardown();
	}
}

/* ---- notifications ---- */

static void notify_with(uint64_t features, uint32_t multiplier, uint32_t len, int rc)
{
	struct r3_virtio_queue queue = good_queue;

	model_make(&model);
	model.features = features;
	model_cap(&model, MODEL_CAP_NOTIFY, VIRTIO_PCI_CAP_NOTIFY_CFG, 0, MODEL_NOTIFY, len);
	for (unsigned i = 0; i < 4; i++)
		model.fake->config[MODEL_CAP_NOTIFY + 16 + i] = (uint8_t)(multiplier >> 8 * i);
	model_adopt(&model);
	assert_int_equal(r3_virtio_init(&virtio, &model.fake->base), 0);
	assert_int_equal(r3_virtio_begin(&virtio, features, 0), 0);
	assert_int_equal(r3_virtio_queue_start(&virtio, &queue), rc);
	if (rc == 0)
		r3_virtio_notify(&queue, 0xabcd);
}

static void check_notified(uint64_t off, unsigned width, uint64_t value)
{
	assert_int_equal(model.notify_off, off);
	assert_int_equal(model.notify_width, width);
	assert_int_equal(model.notified, value);
	teardown();
}

static void test_notify(void **state)
{
	const uint64_t data = SPLIT | VIRTIO_FEATURE(VIRTIO_F_NOTIFICATION_DATA);
	const uint64_t own = VIRTIO_FEATURE(VIRTIO_F_NOTIF_CONFIG_DATA);

	notify_with(SPLIT, 4, 0x1000, 0);
	check_notified(4, 2, 1);
	notify_with(SPLIT, 0, 2, 0); /* all queues in one place */
	check_notified(0, 2, 1);
	notify_with(SPLIT, 0x800, 0x802, 0);
	check_notified(0x800, 2, 1);
	notify_with(data, 4, 0x1000, 0);
	check_notified(4, 4, 0xabcd0001);
	notify_with(SPLIT | own, 4, 0x1000, 0);
	check_notified(4, 2, 0x101);
	notify_with(data | own, 4, 0x1000, 0);
	check_notified(4, 4, 0xabcd0101);

	notify_with(SPLIT, 4, 5, -EIO);
	teardown();
	notify_with(data, 4, 6, -EIO);
	teardown();
	notify_with(data, 2, 0x1000, -EIO); /* 32 bits at an address for 16 */
	teardown();
}

/* ---- reset of one queue ---- */

static void test_queue_reset(void **state)
{
	struct r3_virtio_queue queue = good_queue;
	uint64_t began;

	setup_with(SPLIT);
	assert_int_equal(r3_virtio_queue_start(&virtio, &queue), 0);
	assert_int_equal(r3_virtio_queue_stop(&virtio, &queue), -EOPNOTSUPP);
	teardown();

	setup_with(SPLIT | VIRTIO_FEATURE(VIRTIO_F_RING_RESET));
	assert_int_equal(r3_virtio_queue_start(&virtio, &queue), 0);
	assert_int_equal(model.queue[1].enable, 1);
	assert_int_equal(r3_virtio_queue_stop(&virtio, &queue), 0);
	assert_int_equal(model.queue[1].enable, 0);
	assert_int_equal(r3_virtio_queue_start(&virtio, &queue), 0);
	assert_int_equal(model.queue[1].enable, 1);
	model_lie(&model, VIRTIO_PCI_COMMON(queue_reset), 1, 0);
	began = model.clock.now;
	assert_int_equal(r3_virtio_queue_stop(&virtio, &queue), -ETIMEDOUT);
	assert_true(model.clock.now - began < 2 * R3_NSEC_PER_SEC);
	fake_device_remove(model.fake);
	assert_int_equal(r3_virtio_queue_stop(&virtio, &queue), -ENODEV);
	teardown();
}

/* ---- vectors ---- */

static void test_vectors(void **state)
{
	for (unsigned have = 1; have <= 6; have++) {
		model_make(&model);
		model.fake->base.info.nirqs[R3_IRQ_MSIX] = have;
		model_adopt(&model);
		assert_int_equal(r3_virtio_init(&virtio, &model.fake->base), 0);
		assert_int_equal(r3_virtio_begin(&virtio, SPLIT, 0), 0);
		assert_int_equal(r3_virtio_irq_enable(&virtio, MODEL_QUEUES), 0);
		assert_int_equal(r3_irq_count(virtio.irq), have < 5 ? have : 5);
		assert_int_equal(model.config_vector, 0);
		for (unsigned i = 0; i < MODEL_QUEUES; i++) {
			struct r3_virtio_queue queue = good_queue;
			unsigned want = i + 1 < have ? i + 1 : 0;

			queue.index = (uint16_t)i;
			queue.silent = i == 2;
			assert_int_equal(r3_virtio_vector(&virtio, i), want);
			assert_int_equal(r3_virtio_queue_start(&virtio, &queue), 0);
			assert_int_equal(model.queue[i].vector,
					 i == 2 ? VIRTIO_MSI_NO_VECTOR : want);
		}
		assert_false(r3_virtio_has_pin(&virtio));
		teardown();
	}
}

static void test_config_vector(void **state)
{
	setup_with(SPLIT);
	model_lie(&model, VIRTIO_PCI_COMMON(config_msix_vector), VIRTIO_MSI_NO_VECTOR, 0);
	assert_int_equal(r3_virtio_irq_enable(&virtio, 1), -EIO);
	assert_null(virtio.irq);
	assert_int_equal(model.fake->nirqs, 0);
	teardown();
}

static void test_pin(void **state)
{
	struct r3_virtio_queue queue = good_queue;

	model_make(&model);
	model.fake->base.info.nirqs[R3_IRQ_MSIX] = 0;
	model_adopt(&model);
	assert_int_equal(r3_virtio_init(&virtio, &model.fake->base), 0);
	assert_int_equal(r3_virtio_begin(&virtio, SPLIT, 0), 0);
	assert_int_equal(r3_virtio_irq_enable(&virtio, MODEL_QUEUES), 0);
	assert_true(r3_virtio_has_pin(&virtio));
	assert_int_equal(r3_virtio_vector(&virtio, 0), 0);
	assert_int_equal(r3_virtio_queue_start(&virtio, &queue), 0);
	assert_int_equal(model.queue[1].vector, VIRTIO_MSI_NO_VECTOR);

	model.isr = VIRTIO_PCI_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG | 0x40;
	assert_int_equal(r3_virtio_isr(&virtio), VIRTIO_PCI_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG);
	assert_int_equal(r3_virtio_isr(&virtio), 0);
	fake_device_remove(model.fake);
	assert_int_equal(r3_virtio_isr(&virtio), 0);
	teardown();
}

/* ---- device configuration ---- */

static unsigned changes; /* that are still to come, one for each look at the counter */
static uint64_t latency; /* of such a look */

static void change(struct model *m, unsigned off, uint64_t *value)
{
	if (off != VIRTIO_PCI_COMMON(config_generation) || !changes)
		return;
	m->clock.now += latency;
	changes--;
	m->generation++;
	m->config[0]++;
	m->config[8]++;
}

static void test_config(void **state)
{
	static const struct r3_virtio_field fields[] = {{0, 8}, {4, 8}, {8, 4}, {14, 2}, {31, 1}};
	uint64_t value[5];

	setup_with(SPLIT);
	assert_int_equal(r3_virtio_config_read(&virtio, fields, 5, value), 0);
	assert_true(value[0] == UINT64_C(0x0706050403020100));
	assert_true(value[1] == UINT64_C(0x0b0a090807060504));
	assert_int_equal(value[2], 0x0b0a0908);
	assert_int_equal(value[3], 0x0f0e);
	assert_int_equal(value[4], 0x1f);
	assert_false(r3_virtio_config_changed(&virtio));
	model.generation++;
	assert_true(r3_virtio_config_changed(&virtio));

	assert_int_equal(r3_virtio_config_write(&virtio, fields[0], UINT64_C(0x1122334455667788)),
			 0);
	assert_int_equal(r3_virtio_config_write(&virtio, fields[3], 0xa1a2), 0);
	assert_int_equal(r3_virtio_config_write(&virtio, fields[4], 0xa3), 0);
	assert_int_equal(r3_virtio_config_read(&virtio, fields, 5, value), 0);
	assert_true(value[0] == UINT64_C(0x1122334455667788));
	assert_int_equal(value[3], 0xa1a2);
	assert_int_equal(value[4], 0xa3);
	assert_false(r3_virtio_config_changed(&virtio));
	teardown();
}

static void test_bad_field(void **state)
{
	static const struct {
		struct r3_virtio_field field;
		int rc;
	} bad[] = {
		{{0, 0}, -EINVAL},   {{0, 3}, -EINVAL}, {{0, 16}, -EINVAL}, {{1, 2}, -EINVAL},
		{{2, 4}, -EINVAL},   {{2, 8}, -EINVAL}, {{4, 8}, 0},        {{24, 8}, 0},
		{{28, 8}, -EIO},     {{32, 1}, -EIO},   {{32, 4}, -EIO},    {{0xfff8, 8}, -EIO},
		{{0xffff, 1}, -EIO},
	};
	uint64_t value;

	setup_with(SPLIT);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(r3_virtio_config_read(&virtio, &bad[i].field, 1, &value),
				 bad[i].rc);
		assert_int_equal(r3_virtio_config_write(&virtio, bad[i].field, 0), bad[i].rc);
	}
	virtio.config.len = 0; /* as of a device that has none */
	assert_int_equal(r3_virtio_config_read(&virtio, &bad[6].field, 1, &value), -EIO);
	teardown();
}

static void test_changing(void **state)
{
	static const struct r3_virtio_field fields[] = {{0, 1}, {8, 1}};
	uint64_t value[2], began;

	setup_with(SPLIT);
	model.lie = change;
	changes = 7;
	assert_int_equal(r3_virtio_config_read(&virtio, fields, 2, value), 0);
	assert_int_equal(value[0], 7);
	assert_int_equal(value[1], 15);
	assert_int_equal(changes, 0);
	assert_false(r3_virtio_config_changed(&virtio));

	/* behind a link on which a look takes longer than anybody waits */
	latency = R3_NSEC_PER_SEC;
	changes = 3;
	assert_int_equal(r3_virtio_config_read(&virtio, fields, 2, value), 0);
	assert_int_equal(value[0], 10);
	latency = 0;

	changes = UINT32_MAX;
	began = model.clock.now;
	assert_int_equal(r3_virtio_config_read(&virtio, fields, 2, value), -EIO);
	assert_non_null(strstr(r3_error_text(), "does not stop changing"));
	assert_true(model.clock.now - began < R3_NSEC_PER_SEC);
	fake_device_remove(model.fake);
	assert_int_equal(r3_virtio_config_read(&virtio, fields, 2, value), -ENODEV);
	teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_most),          cmocka_unit_test(test_bad_queue),
		cmocka_unit_test(test_queue_lies),    cmocka_unit_test(test_notify),
		cmocka_unit_test(test_queue_reset),   cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_config_vector), cmocka_unit_test(test_pin),
		cmocka_unit_test(test_config),        cmocka_unit_test(test_bad_field),
		cmocka_unit_test(test_changing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
