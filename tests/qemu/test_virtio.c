/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio transport and a ring against somebody else's device: QEMU's random number
 * generator, the smallest there is. It has one queue, and fills whatever it is given.
 */
#include "qemu_test.h"
#include "ring/virtq.h"
#include "virtio/virtio.h"

#include <errno.h>

#define ENTRIES 8u
#define BYTES   64u
#define WANTED \
	(VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) | VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) | \
	 VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC))

struct rng {
	struct r3_device *dev;
	struct r3_virtio virtio;
	struct r3_virtio_queue queue;
	struct r3_virtq ring;
	struct r3_virtq_slot *slots;
	struct r3_dma_tag *tag;
	void *mem;
	unsigned char *data;
	r3_iova data_iova;
};

static void ok(int rc, const char *what)
{
	if (rc < 0)
		fail_msg("%s: %s", what, r3_error_text());
}

static void make_ring(struct rng *rng)
{
	const struct r3_dma_constraints whole = {
		.size = sizeof(whole), .max_segments = 1, .alignment = 4096};
	struct r3_virtq_config config = {
		.name = rng->virtio.name, .size = ENTRIES, .features = rng->virtio.features};
	struct r3_virtq_layout layout;
	r3_iova at;
	void *data;

	ok(r3_dma_tag_create(rng->dev, NULL, &whole, &rng->tag), "tag");
	ok(r3_virtq_layout(ENTRIES, rng->virtio.features, &layout), "layout");
	ok(r3_dma_alloc(rng->tag, layout.len, &rng->mem, &at), "ring");
	ok(r3_dma_alloc(rng->tag, ENTRIES * BYTES, &data, &rng->data_iova), "data");
	rng->data = data;
	rng->slots = malloc(layout.slots);
	assert_non_null(rng->slots);
	config.mem = rng->mem;
	config.slots = rng->slots;
	ok(r3_virtq_init(&rng->ring, &config), "init");
	rng->queue = (struct r3_virtio_queue){.size = ENTRIES,
					      .desc = at,
					      .driver = {at.v + layout.driver},
					      .device = {at.v + layout.device}};
}

static void rng_open(struct rng *rng, const char *address)
{
	struct r3_virtio *v = &rng->virtio;
	uint16_t most;

	fprintf(stderr, "%s\n", address);
	*rng = (struct rng){.dev = open_device(address)};
	ok(r3_virtio_init(v, rng->dev), "init");
	assert_int_equal(v->id, VIRTIO_ID_RNG);
	ok(r3_virtio_begin(v, WANTED, 0), "begin");
	assert_int_equal(v->nqueues, 1);
	ok(r3_virtio_irq_enable(v, v->nqueues), "irq");
	ok(r3_virtio_queue_most(v, 0, &most), "most");
	assert_int_equal(most, ENTRIES);
	make_ring(rng);
	ok(r3_virtio_queue_start(v, &rng->queue), "queue");
	ok(r3_virtio_ready(v), "ready");
}

static void rng_close(struct rng *rng)
{
	(void)r3_virtio_stop(&rng->virtio);
	r3_virtio_irq_disable(&rng->virtio);
	r3_dma_free(rng->tag, rng->data);
	r3_dma_free(rng->tag, rng->mem);
	r3_dma_tag_unref(rng->tag);
	free(rng->slots);
	r3_device_close(rng->dev);
}

/* Wait as a driver does: arm, look, sleep on the vector. */
static void wait_for(struct rng *rng)
{
	struct r3_virtio *v = &rng->virtio;
	unsigned vector = r3_virtio_vector(v, 0);

	if (r3_virtq_arm(&rng->ring))
		return;
	ok((int)r3_irq_wait(v->irq, vector, SOON_MS * R3_NSEC_PER_MSEC), "wait");
	if (r3_virtio_has_pin(v)) {
		assert_int_equal(r3_virtio_isr(v), VIRTIO_PCI_ISR_QUEUE);
		(void)r3_irq_ack(v->irq, 0);
	}
}

/* Each buffer comes back once, and something is in it. */
static void draw(struct rng *rng)
{
	unsigned seen = 0, zeroes = 0;

	memset(rng->data, 0, ENTRIES * BYTES);
	for (uint16_t i = 0; i < ENTRIES; i++) {
		const struct r3_dma_seg seg = {{rng->data_iova.v + i * BYTES}, BYTES, 0};

		ok(r3_virtq_push(&rng->ring, i, &seg, 0, 1), "push");
	}
	if (r3_virtq_publish(&rng->ring))
		r3_virtio_notify(&rng->queue, r3_virtq_notify_data(&rng->ring));
	while (seen != (1u << ENTRIES) - 1) {
		uint32_t len;
		uint16_t id;
		int rc = r3_virtq_pop(&rng->ring, &id, &len);

		ok(rc, "pop");
		if (rc == 0) {
			wait_for(rng);
			continue;
		}
		assert_in_range(len, 1, BYTES);
		assert_int_equal(seen & 1u << id, 0);
		seen |= 1u << id;
		for (uint32_t n = 0; n < len; n++)
			zeroes += !rng->data[id * BYTES + n];
	}
	assert_true(zeroes < ENTRIES * BYTES / 4);
	ok(r3_virtio_health(&rng->virtio), "health");
}

static void again(struct rng *rng)
{
	struct r3_virtio_queue *queue = &rng->queue;

	ok(r3_virtio_stop(&rng->virtio), "stop");
	r3_virtq_reset(&rng->ring);
	ok(r3_virtio_restart(&rng->virtio, &queue, 1), "restart");
	draw(rng);
}

static void test_variants(void **state)
{
	static const struct {
		const char *keys;
		bool packed, events, pin;
		unsigned vector;
	} variants[] = {
		{"", false, true, false, 1},
		{",prop.packed=on", true, true, false, 1},
		{",prop.packed=on,prop.event_idx=off", true, false, false, 1},
		{",prop.event_idx=off,prop.indirect_desc=off", false, false, false, 1},
		{",prop.vectors=1", false, true, false, 0},
		{",prop.vectors=0", false, true, true, 0},
		{",prop.vectors=0,prop.packed=on", true, true, true, 0},
		{",prop.iommu_platform=on", false, true, false, 1},
		{",prop.ioeventfd=off", false, true, false, 1},
		{",prop.modern-pio-notify=on", false, true, false, 1},
		{",prop.page-per-vq=on", false, true, false, 1},
		/* a transitional device */
		{",prop.disable-legacy=off", false, true, false, 1},
	};

	for (unsigned i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		char address[160];
		struct rng rng;

		snprintf(address, sizeof(address), "qemu:virtio-rng-pci%s", variants[i].keys);
		rng_open(&rng, address);
		assert_int_equal(r3_virtio_has(&rng.virtio, VIRTIO_F_RING_PACKED),
				 variants[i].packed);
		assert_int_equal(r3_virtio_has(&rng.virtio, VIRTIO_F_EVENT_IDX),
				 variants[i].events);
		assert_int_equal(r3_virtio_has_pin(&rng.virtio), variants[i].pin);
		assert_int_equal(r3_virtio_vector(&rng.virtio, 0), variants[i].vector);
		for (unsigned n = 0; n < 20; n++)
			draw(&rng);
		again(&rng);
		again(&rng);
		rng_close(&rng);
	}
}

/* Somebody resets the function: it decodes nothing, and has neither vectors nor queues. */
static void test_reset_from_outside(void **state)
{
	static const char *const addresses[] = {"qemu:virtio-rng-pci",
						"qemu:virtio-rng-pci,prop.packed=on",
						"qemu:virtio-rng-pci,prop.vectors=0"};

	for (unsigned i = 0; i < 3; i++) {
		struct rng rng;

		rng_open(&rng, addresses[i]);
		draw(&rng);
		ok(r3_device_reset(rng.dev, R3_RESET_FUNCTION), "reset");
		assert_int_equal(r3_virtio_health(&rng.virtio), -ENODEV);
		again(&rng);
		ok(r3_device_reset(rng.dev, R3_RESET_BUS), "bus reset");
		again(&rng);
		rng_close(&rng);
	}
}

static void test_removed(void **state)
{
	struct r3_virtio_queue *queue;
	struct rng rng;

	rng_open(&rng, "qemu:virtio-rng-pci");
	draw(&rng);
	ok(r3_qemu_surprise_remove(rng.dev), "remove");
	while (next_event(rng.dev) != R3_EVENT_REMOVED)
		;
	queue = &rng.queue;
	assert_int_equal(r3_virtio_health(&rng.virtio), -ENODEV);
	assert_int_equal(r3_virtio_stop(&rng.virtio), -ENODEV);
	assert_int_equal(r3_virtio_restart(&rng.virtio, &queue, 1), -ENODEV);
	rng_close(&rng);
}

static void test_refused(void **state)
{
	static const struct {
		const char *address, *says;
	} refused_devices[] = {
		{"qemu:virtio-rng-pci,prop.disable-modern=on,prop.disable-legacy=off",
		 "disable-legacy=on"},
		{"qemu:edu", "not a virtio device"},
	};

	for (unsigned i = 0; i < 2; i++) {
		struct r3_device *dev = open_device(refused_devices[i].address);
		struct r3_virtio v;

		assert_int_equal(r3_virtio_init(&v, dev), -EOPNOTSUPP);
		assert_non_null(strstr(r3_error_text(), refused_devices[i].says));
		r3_device_close(dev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_variants),
		cmocka_unit_test(test_reset_from_outside),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
