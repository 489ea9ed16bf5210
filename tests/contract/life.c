/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening, what a device says of itself, events, going, and closing. */
#include "contract.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static void info_makes_sense(void **state)
{
	struct contract *c = *state;
	const struct r3_device_info *info = r3_device_get_info(c->dev);
	struct r3_address *address;
	char text[512];

	assert_non_null(info->name);
	assert_true(info->name[0]);
	assert_ok(r3_address_parse(info->address, &address));
	r3_address_print(address, text, sizeof(text));
	assert_string_equal(text, info->address); /* canonical */
	r3_address_free(address);
	assert_in_range(info->nregions, 1, R3_REGION_MAX);
	assert_in_range(info->nirqs[R3_IRQ_INTX], 0, 1);
	assert_in_range(info->nirqs[R3_IRQ_MSI], 0, 32);
	assert_in_range(info->nirqs[R3_IRQ_MSIX], 0, 2048);
	if (info->caps & (R3_CAP_DMA_ASSIGNED | R3_CAP_OWN_MEM))
		assert_true(info->caps & R3_CAP_DMA);
	assert_ptr_equal(r3_device_clock(c->dev), r3_clock_system());
	assert_false(r3_device_gone(c->dev));
}

static void opens_again_after_close(void **state)
{
	struct contract *c = *state;

	r3_device_close(c->dev);
	c->dev = NULL;
	assert_int_equal(test_count_fds(), c->fds);
	c->dev = contract_open();
	r3_device_close(NULL);
}

static void options_are_taken(void **state)
{
	struct contract *c = *state;
	const struct r3_open_opts opts = {.size = sizeof(opts), .arena_size = 8 << 20};
	struct r3_device *dev;
	struct r3_arena *arena;
	uint64_t largest;

	if (strstr(contract_address, "fake:")) /* has no address that opens */
		skip();
	r3_device_close(c->dev);
	c->dev = NULL;
	assert_ok(r3_device_open(contract_address, &opts, &dev));
	c->dev = dev;
	contract_need(c, R3_CAP_DMA);
	assert_ok(r3_device_arena(dev, &arena));
	r3_arena_usage(arena, NULL, &largest);
	assert_true(largest >= opts.arena_size);
}

static void unknown_keys_are_refused(void **state)
{
	struct contract *c = *state;
	struct r3_device *dev;
	char text[512];

	if (strstr(contract_address, "fake:"))
		skip();
	r3_device_close(c->dev);
	c->dev = NULL;
	snprintf(text, sizeof(text), "%s,no-such-key=1", contract_address);
	assert_int_equal(r3_device_open(text, NULL, &dev), -EINVAL);
	assert_non_null(strstr(r3_error_text(), "no-such-key"));
	assert_int_equal(test_count_fds(), c->fds);
}

static void quiet_device_has_no_events(void **state)
{
	struct contract *c = *state;
	struct r3_event events[4];
	int fd = r3_device_fd(c->dev);

	assert_int_equal(r3_device_dispatch(c->dev, NULL, 0), 0);
	assert_int_equal(r3_device_dispatch(c->dev, events, 4), 0);
	if (fd >= 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 0), 0);
	}
	assert_int_equal(r3_device_fd(c->dev), fd);
}

static void quiesce_proves_no_more_than_asked(void **state)
{
	struct contract *c = *state;
	unsigned proved = ~0u;

	assert_ok(r3_device_quiesce(c->dev, R3_QUIESCE_DMA, &proved));
	assert_int_equal(proved & ~(unsigned)R3_QUIESCE_DMA, 0);
	assert_ok(r3_device_quiesce(c->dev, 0, &proved));
	assert_int_equal(proved, 0);
	if (c->dev->info.caps & R3_CAP_PCI) {
		assert_ok(r3_pci_enable(c->dev, R3_PCI_MASTER, 0));
		assert_ok(r3_device_quiesce(c->dev, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA, &proved));
	}
}

static void gone_is_the_same_for_all(void **state)
{
	struct contract *c = *state;
	struct r3_region *before[R3_REGION_MAX] = {NULL}, *region;
	struct r3_irq_set *irq;
	struct r3_arena *arena;
	void *piece = NULL;
	unsigned proved;

	for (unsigned i = 0; i < c->dev->info.nregions; i++)
		if (r3_device_region(c->dev, i, &region) == 0)
			before[i] = region;
	if (c->dev->info.caps & R3_CAP_DMA) {
		assert_ok(r3_device_arena(c->dev, &arena));
		assert_ok(r3_arena_alloc(arena, 4096, 4096, &piece));
	}
	if (r3_irq_enable(c->dev, R3_IRQ_BEST, 1, 1, &irq))
		irq = NULL;

	r3_device_set_gone(c->dev);
	assert_true(r3_device_gone(c->dev));
	for (unsigned i = 0; i < R3_REGION_MAX; i++) {
		uint32_t value = 0;

		if (!before[i])
			continue;
		assert_int_equal(r3_read8(before[i], 0), 0xff);
		assert_int_equal(r3_read32(before[i], 0), UINT32_MAX);
		r3_write32(before[i], 0, 0);
		if (before[i]->flags & R3_REGION_READ)
			assert_int_equal(r3_region_read(before[i], 0, 4, &value, 1), -ENODEV);
	}
	if (irq) {
		assert_int_equal(r3_irq_wait(irq, 0, 10 * R3_NSEC_PER_SEC), -ENODEV);
		assert_int_equal(r3_irq_restore(irq), -ENODEV);
		r3_irq_disable(irq);
	}
	assert_int_equal(r3_irq_enable(c->dev, R3_IRQ_BEST, 1, 1, &irq), -ENODEV);
	assert_int_equal(r3_device_reset(c->dev, R3_RESET_ANY), -ENODEV);
	assert_int_equal(r3_device_quiesce(c->dev, R3_QUIESCE_DMA, &proved), -ENODEV);
	if (piece) { /* memory is the program's as long as it wants */
		memset(piece, 1, 4096);
		assert_ok(r3_arena_free(arena, piece));
	}
	assert_ok(r3_device_dispatch(c->dev, NULL, 0));
}

/* The fixture closes, and counts descriptors. */
static void close_takes_all_back(void **state)
{
	struct contract *c = *state;
	struct r3_region *region;
	struct r3_irq_set *irq;
	struct r3_arena *arena = NULL;
	void *piece = NULL;

	for (unsigned i = 0; i < R3_REGION_MAX; i++)
		r3_device_region(c->dev, i, &region);
	if (r3_device_arena(c->dev, &arena) == 0) {
		assert_ok(r3_arena_alloc(arena, 4096, 0, &piece));
		r3_arena_ref(arena);
	}
	if (r3_irq_enable(c->dev, R3_IRQ_BEST, 1, 64, &irq) == 0)
		r3_irq_disable(irq);
	r3_irq_disable(NULL);
	r3_device_close(c->dev);
	c->dev = NULL;
	if (arena) {
		memset(piece, 1, 4096);
		r3_arena_unref(arena);
	}
}

const struct CMUnitTest contract_life[] = {
	CONTRACT_TEST(info_makes_sense),           CONTRACT_TEST(opens_again_after_close),
	CONTRACT_TEST(options_are_taken),          CONTRACT_TEST(unknown_keys_are_refused),
	CONTRACT_TEST(quiet_device_has_no_events), CONTRACT_TEST(quiesce_proves_no_more_than_asked),
	CONTRACT_TEST(gone_is_the_same_for_all),   CONTRACT_TEST(close_takes_all_back),
};
const size_t contract_nlife = sizeof(contract_life) / sizeof(contract_life[0]);
