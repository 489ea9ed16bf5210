/* SPDX-License-Identifier: BSD-2-Clause */
/* Which driver is for a device. */
#include <ring3/driver.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool field_matches(uint32_t want, uint32_t have)
{
	return want == R3_MATCH_ANY || want == have;
}

int r3_driver_match(const struct r3_driver_v1 *driver, const struct r3_pci_id *id)
{
	int best = 0;

	for (unsigned i = 0; i < driver->nmatch; i++) {
		const struct r3_match *m = &driver->match[i];
		if (!field_matches(m->vendor, id->vendor) || !field_matches(m->device, id->device))
			continue;
		if (m->class_code != R3_MATCH_ANY &&
		    ((m->class_code ^ id->class_code) & m->class_mask))
			continue;
		int grade = m->vendor != R3_MATCH_ANY && m->device != R3_MATCH_ANY ? 2 : 1;
		if (grade > best)
			best = grade;
	}
	return best;
}

/* For messages: "nvme, ahci". */
static const char *names(const struct r3_driver_v1 *const *list, char *buf, size_t size)
{
	size_t at = 0;

	snprintf(buf, size, "none");
	for (; *list && at < size; list++)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "", (*list)->name);
	return buf;
}

int r3_driver_find(struct r3_device *dev, const char *name, const struct r3_driver_v1 **out)
{
	const struct r3_driver_v1 *const *list = r3_drivers();
	const char *dev_name = r3_device_get_info(dev)->name;
	const struct r3_driver_v1 *best = NULL;
	struct r3_pci_id id;
	char buf[256];
	int grade = 0;

	if (name) {
		for (; *list; list++) {
			if (strcmp((*list)->name, name) == 0) {
				*out = *list;
				return 0;
			}
		}
		return r3_error_set(ENODEV, "%s: no driver is called '%s'; there are: %s", dev_name,
				    name, names(r3_drivers(), buf, sizeof(buf)));
	}

	int rc = r3_pci_identify(dev, &id);
	if (rc == -EOPNOTSUPP)
		return r3_error_set(ENODEV, "%s: not a PCI device: name its driver; there are: %s",
				    dev_name, names(list, buf, sizeof(buf)));
	if (rc)
		return rc;
	for (; *list; list++) {
		int match = r3_driver_match(*list, &id);
		if (match > grade) {
			grade = match;
			best = *list;
		}
	}
	if (!best)
		return r3_error_set(
			ENODEV, "%s: no driver for %04x:%04x, class %06x; there are: %s", dev_name,
			id.vendor, id.device, id.class_code, names(r3_drivers(), buf, sizeof(buf)));
	*out = best;
	return 0;
}
