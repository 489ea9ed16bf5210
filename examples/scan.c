/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists this machine's PCI devices: nothing is opened for writing, nothing changes. */
#include <ring3/ring3.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	struct r3_pci_names *names = NULL;
	struct r3_pci_entry *list;
	unsigned n;

	if (r3_pci_scan(NULL, &list, &n) < 0) {
		fprintf(stderr, "scan: %s\n", r3_error_text());
		return 1;
	}
	/* without the data base there are numbers, but no names */
	if (r3_pci_names_open(NULL, &names) < 0)
		fprintf(stderr, "scan: %s\n", r3_error_text());

	for (unsigned i = 0; i < n; i++) {
		const struct r3_pci_id *id = &list[i].id;
		const char *class_name = r3_pci_class_name(names, id->class_code);
		const char *vendor = r3_pci_vendor_name(names, id->vendor);
		const char *device = r3_pci_device_name(names, id->vendor, id->device);

		printf("%s  %04x:%04x  %s: %s %s%s%s\n", list[i].address, id->vendor, id->device,
		       class_name ? class_name : "unknown class", vendor ? vendor : "",
		       device ? device : "", *list[i].driver ? ", driven by " : "", list[i].driver);
	}
	printf("%u devices\n", n);
	r3_pci_names_close(names);
	free(list);
	return 0;
}
