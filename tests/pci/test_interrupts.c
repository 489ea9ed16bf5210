/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt sets on a device that somebody else made: QEMU's edu, which has a line and
 * one MSI, and raises them for any bits written to its raise register.
 */
#include "unit.h"
#include <ring3/device.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/pci.h>

#include <errno.h>

enum { IRQ_STATUS = 0x24, IRQ_RAISE = 0x60, IRQ_ACK = 0x64 };

/* Long enough on any machine, and never waited for. */
#define SOON (30 * R3_NSEC_PER_SEC)
/* Waited for in full: that nothing comes. */
#define NEVER (50 * R3_NSEC_PER_MSEC)

static struct r3_device *edu;
static struct r3_region *bar;
static struct r3_irq_set *irq;

static void start(enum r3_irq_type type)
{
	if (r3_irq_enable(edu, type, 1, 1, &irq))
		fail_msg("%s", r3_error_text());
	assert_int_equal(r3_irq_get_type(irq), type);
}

static void quieten(void)
{
	r3_write32(bar, IRQ_ACK, r3_read32(bar, IRQ_STATUS));
}

static void test_message(void **state)
{
	start(R3_IRQ_MSI);
	for (unsigned i = 0; i < 20; i++) {
		r3_write32(bar, IRQ_RAISE, 1u << i);
		assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
		assert_int_equal(r3_read32(bar, IRQ_STATUS), 1u << i);
		quieten();
	}
	/* an edge is not repeated, however long its reason stands */
	r3_write32(bar, IRQ_RAISE, 1);
	assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
	assert_int_equal(r3_irq_wait(irq, 0, NEVER), -ETIMEDOUT);
	quieten();
	r3_irq_disable(irq);
}

static void test_line(void **state)
{
	start(R3_IRQ_INTX);
	for (unsigned i = 0; i < 20; i++) {
		r3_write32(bar, IRQ_RAISE, 1u << i);
		/* a line that stays up is delivered once per acknowledgement */
		assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
		assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
		quieten();
		r3_irq_ack(irq, 0); /* the one that its last acknowledgement delivered */
		assert_int_equal(r3_irq_ack(irq, 0), 0);
	}
	assert_int_equal(r3_irq_wait(irq, 0, NEVER), -ETIMEDOUT);

	assert_int_equal(r3_irq_mask(irq, 0, true), 0);
	r3_write32(bar, IRQ_RAISE, 1);
	assert_int_equal(r3_irq_wait(irq, 0, NEVER), -ETIMEDOUT);
	assert_int_equal(r3_irq_mask(irq, 0, false), 0);
	assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
	quieten();
	r3_irq_disable(irq);
}

static void test_after_reset(void **state)
{
	static const enum r3_irq_type types[] = {R3_IRQ_MSI, R3_IRQ_INTX};

	for (unsigned i = 0; i < 2; i++) {
		start(types[i]);
		if (r3_device_reset(edu, R3_RESET_ANY))
			fail_msg("%s", r3_error_text());
		assert_int_equal(r3_pci_enable(edu, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
		assert_int_equal(r3_irq_restore(irq), 0);
		r3_write32(bar, IRQ_RAISE, 1);
		assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
		quieten();
		r3_irq_disable(irq);
	}
}

static int setup(void **state)
{
	if (r3_device_open("qemu:edu", NULL, &edu) || r3_device_region(edu, R3_REGION_BAR0, &bar) ||
	    r3_pci_enable(edu, R3_PCI_MEMORY | R3_PCI_MASTER, 0)) {
		print_error("%s\n", r3_error_text());
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	r3_device_close(edu);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
