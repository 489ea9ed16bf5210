/* SPDX-License-Identifier: BSD-2-Clause */
/* Removal, asked for and not, as a driver meets it: events, and registers of all ones. */
#include "qemu_test.h"

#include <errno.h>

#define PLUG_EDU "{\"driver\": \"edu\", \"id\": \"dev1\", \"bus\": \"rp0\"}"

static struct r3_device *dev;
static struct r3_region *bar, *config;

static int setup(void **state)
{
	dev = open_device("qemu:edu");
	bar = open_region(dev, R3_REGION_BAR0);
	config = open_region(dev, R3_REGION_CONFIG);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY, 0), 0);
	no_event(dev);
	return 0;
}

static int teardown(void **state)
{
	r3_device_close(dev);
	return 0;
}

static void ask_for_removal(void)
{
	if (r3_qemu_execute(dev, "device_del", "{\"id\": \"dev0\"}", NULL))
		fail_msg("%s", r3_error_text());
}

static void a_request_leaves_the_device_alone(void **state)
{
	ask_for_removal();
	assert_int_equal(next_event(dev), R3_EVENT_REMOVE_REQUEST);
	no_event(dev);
	assert_false(r3_device_gone(dev));
	assert_int_equal(r3_read32(bar, 0), 0x010000ed);
}

static void removal_by_surprise_is_all_ones_at_once(void **state)
{
	assert_int_equal(r3_read32(bar, 8), 0); /* a register that reads 0, as nothing does */
	assert_int_equal(r3_qemu_surprise_remove(dev), 0);
	assert_int_equal(r3_read32(bar, 8), ~0u);
	assert_true(r3_device_gone(dev));
	assert_int_equal(r3_read32(config, 0), ~0u);
	r3_write32(bar, 4, 1);
	assert_int_equal(next_event(dev), R3_EVENT_REMOVED);
	no_event(dev);
	assert_int_equal(r3_device_reset(dev, R3_RESET_ANY), -ENODEV);
	assert_int_equal(r3_region_write(bar, 4, 4, &(uint32_t){1}, 1), -ENODEV);
}

static void removal_is_told_to_who_does_not_look(void **state)
{
	assert_int_equal(r3_qemu_surprise_remove(dev), 0);
	assert_int_equal(next_event(dev), R3_EVENT_REMOVED);
	assert_true(r3_device_gone(dev));
}

static void configuration_space_notices_too(void **state)
{
	uint32_t id;

	assert_int_equal(r3_qemu_surprise_remove(dev), 0);
	assert_int_equal(r3_region_read(config, 0, 4, &id, 1), -ENODEV);
	assert_int_equal(id, ~0u);
	assert_true(r3_device_gone(dev));
}

static void what_is_plugged_in_later_is_another_device(void **state)
{
	assert_int_equal(r3_qemu_surprise_remove(dev), 0);
	assert_int_equal(next_event(dev), R3_EVENT_REMOVED);
	if (r3_qemu_execute(dev, "device_add", PLUG_EDU, NULL))
		fail_msg("%s", r3_error_text());
	assert_int_equal(next_event(dev), R3_EVENT_ADDED);
	no_event(dev);
	assert_true(r3_device_gone(dev));
	assert_int_equal(r3_read32(config, 0), ~0u);
	assert_int_equal(r3_read32(bar, 0), ~0u);
}

static void events_wait_for_room(void **state)
{
	ask_for_removal();
	assert_true(readable(r3_device_fd(dev), SOON_MS));
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(r3_device_dispatch(dev, NULL, 0), 0);
	assert_true(readable(r3_device_fd(dev), 0));
	assert_int_equal(next_event(dev), R3_EVENT_REMOVE_REQUEST);
	no_event(dev);
}

static void an_interrupt_set_survives_its_device(void **state)
{
	struct r3_irq_set *irq;

	assert_int_equal(r3_pci_enable(dev, R3_PCI_MASTER, 0), 0);
	for (unsigned type = R3_IRQ_INTX; type <= R3_IRQ_MSI; type++) {
		assert_int_equal(r3_irq_enable(dev, (enum r3_irq_type)type, 1, 1, &irq), 0);
		if (type == R3_IRQ_INTX) {
			r3_irq_disable(irq);
			continue;
		}
		assert_int_equal(r3_qemu_surprise_remove(dev), 0);
		assert_true(r3_irq_wait(irq, 0, R3_NSEC_PER_MSEC) < 0);
		assert_int_equal(next_event(dev), R3_EVENT_REMOVED);
		assert_int_equal(r3_irq_restore(irq), -ENODEV);
		r3_irq_disable(irq);
	}
}

#define PLUG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLUG_TEST(a_request_leaves_the_device_alone),
		PLUG_TEST(removal_by_surprise_is_all_ones_at_once),
		PLUG_TEST(removal_is_told_to_who_does_not_look),
		PLUG_TEST(configuration_space_notices_too),
		PLUG_TEST(what_is_plugged_in_later_is_another_device),
		PLUG_TEST(events_wait_for_room),
		PLUG_TEST(an_interrupt_set_survives_its_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
