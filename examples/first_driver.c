/* SPDX-License-Identifier: BSD-2-Clause */
/* A first driver: QEMU's edu device computes a factorial and interrupts when it is done. */
#include <inttypes.h>
#include <ring3/ring3.h>
#include <stdio.h>

enum { FACTORIAL = 0x08, STATUS = 0x20, IRQ_STATUS = 0x24, IRQ_ACK = 0x64 };
#define STATUS_IRQ_WHEN_DONE 0x80

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "qemu:edu";
	struct r3_device *edu = NULL;
	struct r3_irq_set *irq = NULL;
	struct r3_region *bar;
	int status = 1;

	if (r3_device_open(address, NULL, &edu) < 0 ||
	    r3_device_region(edu, R3_REGION_BAR0, &bar) < 0 ||
	    r3_pci_enable(edu, R3_PCI_MEMORY | R3_PCI_MASTER, 0) < 0 ||
	    r3_irq_enable(edu, R3_IRQ_BEST, 1, 1, &irq) < 0)
		goto out;

	r3_write32(bar, STATUS, STATUS_IRQ_WHEN_DONE);
	r3_write32(bar, FACTORIAL, 10);
	if (r3_irq_wait(irq, 0, 5 * R3_NSEC_PER_SEC) < 0)
		goto out;
	r3_write32(bar, IRQ_ACK, r3_read32(bar, IRQ_STATUS));
	printf("10! = %" PRIu32 "\n", r3_read32(bar, FACTORIAL));
	status = 0;
out:
	if (status)
		fprintf(stderr, "first_driver: %s\n", r3_error_text());
	r3_irq_disable(irq);
	r3_device_close(edu);
	return status;
}
