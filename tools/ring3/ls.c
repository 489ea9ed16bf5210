/* SPDX-License-Identifier: BSD-2-Clause */
/* ring3 ls: this machine's PCI devices, as sysfs tells. Looks, never touches. */
#include "command.h"
#include "names.h"
#include <errno.h>
#include <ring3/error.h>
#include <ring3/pci.h>
#include <stdio.h>
#include <stdlib.h>

struct ls_device {
	const char *address;
	struct hex class;
	struct hex vendor;
	struct hex device;
	const char *driver; /* the ring3 driver that matches best */
	const char *state;  /* "free", or "kernel:" and the driver bound to it */
	bool unsafe;        /* no IOMMU group: nothing would keep it from other memory */
	const char *name;
};

static const struct field device_fields[] = {
	FIELD(struct ls_device, address, STRING),
	FIELD(struct ls_device, class, HEX),
	FIELD(struct ls_device, vendor, HEX),
	FIELD(struct ls_device, device, HEX),
	FIELD(struct ls_device, driver, STRING),
	FIELD(struct ls_device, state, STRING),
	FIELD(struct ls_device, unsafe, BOOL),
	FIELD(struct ls_device, name, STRING),
	{0},
};

struct ls {
	struct list devices;
};

static const struct field ls_fields[] = {
	FIELD(struct ls, devices, LIST, .fields = device_fields,
	      .stride = sizeof(struct ls_device)),
	{0},
};

static char *state_of(const struct r3_pci_entry *entry)
{
	char *state;

	if (asprintf(&state, "%s%s", entry->driver[0] ? "kernel:" : "free", entry->driver) < 0)
		return NULL;
	return state;
}

static int describe(const struct r3_pci_entry *entry, const struct r3_pci_names *names,
		    struct ls_device *device)
{
	char *name = pci_full_name(names, &entry->id);
	char *state = state_of(entry);

	*device = (struct ls_device){
		.address = entry->address,
		.class = {entry->id.class_code, 6},
		.vendor = {entry->id.vendor, 4},
		.device = {entry->id.device, 4},
		.driver = best_driver(&entry->id),
		.state = state,
		.unsafe = entry->iommu_group < 0,
		.name = name,
	};
	return name && state ? 0 : r3_error_set(ENOMEM, "ls: out of memory");
}

static int ls_run(const struct args *args)
{
	struct r3_pci_entry *entry = NULL;
	struct r3_pci_names *names = NULL;
	struct ls_device *device = NULL;
	unsigned n = 0, described = 0;
	int rc = r3_pci_scan(NULL, &entry, &n);

	if (rc < 0)
		return rc;
	device = calloc((size_t)n + 1, sizeof(*device));
	if (!device) {
		rc = r3_error_set(ENOMEM, "ls: out of memory");
		goto out;
	}
	names = pci_names_load();
	while (rc == 0 && described < n) {
		rc = describe(&entry[described], names, &device[described]);
		described++;
	}
	if (rc == 0) {
		struct ls ls = {.devices = {device, n}};

		rc = output_object(args->format, "ls", ls_fields, &ls);
	}
out:
	for (unsigned i = 0; i < described; i++) {
		free((void *)device[i].name);
		free((void *)device[i].state);
	}
	free(device);
	r3_pci_names_close(names);
	free(entry);
	return rc;
}

static const struct command_example examples[] = {
	{"ring3 ls", "a table of this machine's PCI devices"},
	{"ring3 ls -o json | jq -r '.devices[] | select(.driver == \"nvme\") | .address'",
	 "the addresses of those that the nvme driver could drive"},
	{0},
};

const struct command command_ls = {
	.name = "ls",
	.summary = "list this machine's PCI devices",
	.usage = "",
	.examples = examples,
	.run = ls_run,
};
