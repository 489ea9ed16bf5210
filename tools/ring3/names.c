/* SPDX-License-Identifier: BSD-2-Clause */
/* What names.h says, out of pci.ids and the list of drivers. */
#include "names.h"
#include <ring3/driver.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <stdio.h>

struct r3_pci_names *pci_names_load(void)
{
	struct r3_pci_names *names = NULL;

	if (r3_pci_names_open(NULL, &names) < 0)
		r3_log(R3_LOG_INFO, "devices have no names: %s", r3_error_text());
	return names;
}

char *pci_full_name(const struct r3_pci_names *names, const struct r3_pci_id *id)
{
	const char *vendor = r3_pci_vendor_name(names, id->vendor);
	const char *what = r3_pci_device_name(names, id->vendor, id->device);
	char *name;

	if (!what)
		what = r3_pci_class_name(names, id->class_code);
	if (asprintf(&name, "%s%s%s", vendor ? vendor : "", vendor && what ? " " : "",
		     what ? what : "") < 0)
		return NULL;
	return name;
}

const char *best_driver(const struct r3_pci_id *id)
{
	const char *name = NULL;
	int best = 0;

	for (const struct r3_driver_v1 *const *driver = r3_drivers(); *driver; driver++) {
		int match = r3_driver_match(*driver, id);

		if (match > best) {
			best = match;
			name = (*driver)->name;
		}
	}
	return name;
}
