/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers: opens a device by its address, says who it is, and reads and writes
 * registers of BAR 0. The device is QEMU's edu, whose liveness register answers with
 * what was written to it, inverted.
 */
#include <inttypes.h>
#include <ring3/ring3.h>
#include <stdio.h>

enum { IDENTIFICATION = 0x00, LIVENESS = 0x04 };

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "qemu:edu";
	struct r3_device *edu = NULL;
	struct r3_region *bar;
	struct r3_pci_id id;
	uint32_t answer;
	int status = 1;

	if (r3_device_open(address, NULL, &edu) < 0 || r3_pci_identify(edu, &id) < 0 ||
	    r3_device_region(edu, R3_REGION_BAR0, &bar) < 0 ||
	    r3_pci_enable(edu, R3_PCI_MEMORY, 0) < 0) {
		fprintf(stderr, "registers: %s\n", r3_error_text());
		goto out;
	}
	printf("%s is %04x:%04x, BAR 0 has %" PRIu64 " bytes\n", r3_device_get_info(edu)->address,
	       id.vendor, id.device, bar->size);

	printf("identification %#" PRIx32 "\n", r3_read32(bar, IDENTIFICATION));
	r3_write32(bar, LIVENESS, 0x12345678);
	answer = r3_read32(bar, LIVENESS);
	printf("liveness       %#" PRIx32 "\n", answer);
	if (answer == ~UINT32_C(0x12345678))
		status = 0;
	else
		fprintf(stderr, "registers: this is not an edu device\n");
out:
	r3_device_close(edu);
	return status;
}
