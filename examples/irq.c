/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts in an event loop: each vector is a descriptor to poll, and the device
 * has one more, for its events. edu raises an interrupt for any bits written to its
 * raise register, and lowers it when they are acknowledged.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <ring3/ring3.h>
#include <stdio.h>

enum { IRQ_STATUS = 0x24, IRQ_RAISE = 0x60, IRQ_ACK = 0x64 };

/* Count interrupts until there are @want of them, or none comes for five seconds. */
static int run(struct r3_device *edu, struct r3_region *bar, struct r3_irq_set *irq, unsigned want)
{
	struct pollfd pfd[2] = {
		{.fd = r3_irq_fd(irq, 0), .events = POLLIN},
		{.fd = r3_device_fd(edu), .events = POLLIN},
	};

	for (unsigned seen = 0; seen < want;) {
		if (poll(pfd, 2, 5000) <= 0)
			return r3_error_set(ETIMEDOUT, "no interrupt within five seconds");
		if (pfd[1].revents) {
			struct r3_event event;

			/* also delivers a level, where the carrier cannot do it alone */
			if (r3_device_dispatch(edu, &event, 1) > 0)
				printf("event: %s\n", r3_event_name(event.type));
			if (r3_device_gone(edu))
				return r3_error_set(ENODEV, "the device is gone");
		}
		if (pfd[0].revents) {
			uint32_t bits = r3_read32(bar, IRQ_STATUS);

			printf("interrupt %u, status %#" PRIx32 "\n", ++seen, bits);
			r3_write32(bar, IRQ_ACK, bits); /* first quieten the device, */
			r3_irq_ack(irq, 0);             /* then re-arm a level */
			if (seen < want)
				r3_write32(bar, IRQ_RAISE, 1u << seen);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "qemu:edu";
	struct r3_device *edu = NULL;
	struct r3_irq_set *irq = NULL;
	struct r3_region *bar;
	int status = 1;

	if (r3_device_open(address, NULL, &edu) < 0 ||
	    r3_device_region(edu, R3_REGION_BAR0, &bar) < 0 ||
	    /* an MSI is a write to memory, for which the device must be a master */
	    r3_pci_enable(edu, R3_PCI_MEMORY | R3_PCI_MASTER, 0) < 0 ||
	    r3_irq_enable(edu, R3_IRQ_BEST, 1, 1, &irq) < 0)
		goto out;
	printf("%u vector of type %s\n", r3_irq_count(irq), r3_irq_type_name(r3_irq_get_type(irq)));

	r3_write32(bar, IRQ_RAISE, 1);
	if (run(edu, bar, irq, 3) == 0)
		status = 0;
out:
	if (status)
		fprintf(stderr, "irq: %s\n", r3_error_text());
	r3_irq_disable(irq);
	r3_device_close(edu);
	return status;
}
