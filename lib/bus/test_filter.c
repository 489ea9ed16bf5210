/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters in front of the fake device, and how addresses find them and their devices. */
#include "bus/filter.h"
#include "fake/fake_clock.h"
#include "fake/fake_device.h"
#include "unit.h"

#include <ring3/error.h>
#include <ring3/version.h>

#include <errno.h>
#include <string.h>

/* delay with @text's parameters in front of a fake device. */
static int wrap(struct fake_device *fake, const char *text, struct r3_device **out)
{
	struct r3_address *address;
	int rc;

	assert_int_equal(r3_address_parse(text, &address), 0);
	rc = r3_filter_delay.wrap(&fake->base, &address->filter[0], out);
	r3_address_free(address);
	return rc ? rc : r3_device_adopt(*out, text);
}

static struct fake_device *lower_new(const struct r3_open_opts *opts)
{
	struct fake_device *fake = fake_device_new(opts);

	assert_non_null(fake);
	assert_int_equal(fake_device_adopt(fake), 0);
	return fake;
}

static void everything_is_forwarded(void **state)
{
	struct fake_device *fake = lower_new(NULL);
	struct fake_remains remains = {0};
	unsigned proved, fds = test_count_fds();
	struct r3_region *bar;
	struct r3_arena *arena;
	struct r3_event event;
	struct r3_device *dev;
	uint64_t iova, left;
	void *piece;

	fake->remains = &remains;
	fake->give_fds = true;
	assert_int_equal(wrap(fake, "delay+fake:test", &dev), 0);
	assert_string_equal(dev->info.address, "delay+fake:test");
	assert_string_equal(dev->info.name, "fake");
	assert_int_equal(dev->info.caps, fake->base.info.caps);

	assert_int_equal(r3_device_region(dev, 0, &bar), 0);
	assert_int_equal(bar->map_len, 0);
	assert_int_equal(test_count_fds(), fds); /* nobody here could map it */
	r3_write32(bar, 8, 42);
	assert_int_equal(r3_read32(bar, 8), 42);
	assert_int_equal(((uint32_t *)r3_mem_addr(fake->bar[0].mem))[2], R3_LE32(42));

	assert_int_equal(r3_device_arena(dev, &arena), 0);
	assert_int_equal(r3_arena_alloc(arena, 64, 0, &piece), 0);
	assert_true(r3_device_iova(dev, piece, &iova, &left));
	assert_ptr_equal(fake_device_reach(fake, iova, 64, 0), piece);

	assert_int_equal(r3_device_reset(dev, R3_RESET_FUNCTION), 0);
	assert_int_equal(r3_device_quiesce(dev, R3_QUIESCE_DMA, &proved), 0);
	assert_int_equal(fake->resets, 1);
	assert_int_equal(fake->quiesces, 1);
	assert_int_equal(dev->ops->irq_alloc(dev, 2, 3), 0);
	assert_int_equal(fake->nirqs, 3);
	assert_int_equal(dev->ops->irq_mask(dev, 2, 1, true), 0);
	assert_true(fake->vector[1].masked);
	assert_int_equal(dev->ops->dma_sync(dev, iova, left, R3_DMA_FOR_CPU), 0);
	assert_int_equal(r3_device_fd(dev), fake->event_fd);
	fake_device_event(fake, R3_EVENT_ERROR, 5);
	assert_int_equal(r3_device_dispatch(dev, &event, 1), 1);
	assert_int_equal(event.detail, 5);

	r3_device_close(dev);
	assert_true(remains.closed);
	assert_int_equal(remains.maps, 0);
	assert_int_equal(remains.irqs, 0);
}

static void going_is_noticed_through_it(void **state)
{
	struct fake_device *fake = lower_new(NULL);
	struct r3_region *bar;
	struct r3_device *dev;
	struct r3_event event;

	assert_int_equal(wrap(fake, "delay+fake:test", &dev), 0);
	assert_int_equal(r3_device_region(dev, 4, &bar), 0);
	fake_device_remove(fake);
	assert_int_equal(r3_read32(bar, 0), UINT32_MAX);
	assert_true(r3_device_gone(dev));
	assert_true(r3_device_gone(&fake->base));
	r3_device_close(dev);

	fake = lower_new(NULL);
	assert_int_equal(wrap(fake, "delay+fake:test", &dev), 0);
	fake_device_remove(fake);
	assert_int_equal(r3_device_dispatch(dev, &event, 1), 1);
	assert_true(r3_device_gone(dev));
	r3_device_close(dev);
}

static void what_the_lower_lacks_is_lacking(void **state)
{
	struct fake_device *fake = fake_device_new(NULL);
	struct r3_bus_ops ops = *fake->base.ops;
	struct r3_arena *arena;
	struct r3_device *dev;
	unsigned proved;

	ops.reset = NULL;
	ops.quiesce = NULL;
	ops.dma_map = NULL;
	ops.dispatch = NULL;
	ops.fd = NULL;
	fake->base.ops = &ops;
	assert_int_equal(fake_device_adopt(fake), 0);
	assert_int_equal(wrap(fake, "delay+fake:test", &dev), 0);
	assert_int_equal(r3_device_reset(dev, R3_RESET_FUNCTION), -EOPNOTSUPP);
	assert_int_equal(r3_device_quiesce(dev, R3_QUIESCE_DMA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_DMA); /* by bus mastering */
	assert_int_equal(r3_device_arena(dev, &arena), -EOPNOTSUPP);
	assert_int_equal(r3_device_fd(dev), -1);
	assert_int_equal(r3_device_dispatch(dev, NULL, 0), 0);
	r3_device_close(dev);
}

static void delay_takes_its_time(void **state)
{
	struct fake_clock clock = fake_clock(0);
	const struct r3_open_opts opts = {.size = sizeof(opts), .clock = &clock.base};
	struct fake_device *fake = lower_new(&opts);
	struct r3_region *bar;
	struct r3_device *dev;
	uint32_t data[10];

	assert_int_equal(wrap(fake, "delay,read=5us,write=2ms+fake:test", &dev), 0);
	assert_int_equal(r3_device_region(dev, 0, &bar), 0);
	assert_int_equal(clock.now, 0);
	r3_read32(bar, 0);
	assert_int_equal(clock.now, 5000);
	assert_int_equal(r3_region_read(bar, 0, 4, data, 10), 0);
	assert_int_equal(clock.now, 55000);
	r3_write8(bar, 0, 1);
	assert_int_equal(clock.now, 2055000);
	r3_device_close(dev);
}

static void delay_knows_its_keys(void **state)
{
	struct fake_device *fake = lower_new(NULL);
	struct r3_device *dev;

	assert_int_equal(wrap(fake, "delay,raed=1us+fake:test", &dev), -EINVAL);
	assert_int_equal(wrap(fake, "delay,read=1+fake:test", &dev), -EINVAL);
	assert_int_equal(wrap(fake, "delay,write+fake:test", &dev), -EINVAL);
	assert_int_equal(wrap(fake, "delay,write=1s+fake:test", &dev), -EINVAL);
	r3_device_close(&fake->base); /* still ours */
}

/* ---- addresses ---- */

static void refused(const char *address, int rc, const char *text)
{
	struct r3_device *dev;

	assert_int_equal(r3_device_open(address, NULL, &dev), rc);
	if (!strstr(r3_error_text(), text))
		fail_msg("%s: no \"%s\" in: %s", address, text, r3_error_text());
}

static void unknown_and_reserved_names(void **state)
{
	const struct r3_open_opts wrong = {.size = 4},
				  known = {.size = sizeof(known), .flags = R3_OPEN_FOREIGN_MEM},
				  flags = {.size = sizeof(flags),
					   .flags = R3_OPEN_FOREIGN_MEM | 1u << 31};
	struct r3_device *dev;

	refused("frobnicate:x", -ENODEV, "unknown scheme \"frobnicate:\"");
	refused("frob+vfio:x", -ENODEV,
		"unknown filter \"frob\"; those built in are: delay, trace");
	refused("vfio:0000:ff:1f.7", -ENODEV, "qemu:nvme");
	refused("0000:ff:1f.7", -ENODEV, "pci: is not built into this version");
	refused("record+vfio:x", -ENODEV, "record: is not built");
	refused("ring3:disk", -ENODEV, "ring3d");
	refused("nonsense", -EINVAL, "malformed address");
	assert_int_equal(r3_device_open("vfio:x", &wrong, &dev), -EINVAL);
	assert_int_equal(r3_device_open("vfio:x", &flags, &dev), -EINVAL);
	assert_non_null(strstr(r3_error_text(), "unknown open flags"));
	assert_int_equal(r3_device_open("ring3:disk", &known, &dev), -ENODEV);
}

static void features_are_all_listed(void **state)
{
	unsigned backends = 0, delay = 0;

	assert_string_equal(r3_version(), R3_VERSION);
	assert_ptr_equal(r3_features(), r3_features());
	for (const struct r3_feature *f = r3_features(); f->name; f++) {
		assert_non_null(f->kind);
		assert_non_null(f->summary);
		backends += !strcmp(f->kind, "backend");
		delay += !strcmp(f->kind, "filter") && !strcmp(f->name, "delay") && !f->missing;
		for (const struct r3_feature *g = r3_features(); g != f; g++)
			assert_true(strcmp(f->kind, g->kind) || strcmp(f->name, g->name));
	}
	assert_int_equal(backends, 12);
	assert_int_equal(delay, 1);
	for (const struct r3_backend *const *b = r3_backends; *b; b++)
		assert_true(!(*b)->open != !(*b)->missing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_forwarded),
		cmocka_unit_test(going_is_noticed_through_it),
		cmocka_unit_test(what_the_lower_lacks_is_lacking),
		cmocka_unit_test(delay_takes_its_time),
		cmocka_unit_test(delay_knows_its_keys),
		cmocka_unit_test(unknown_and_reserved_names),
		cmocka_unit_test(features_are_all_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
