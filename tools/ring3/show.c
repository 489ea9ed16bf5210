/* SPDX-License-Identifier: BSD-2-Clause */
/* ring3 show: all that can be told of a device without driving it. */
#include "command.h"
#include "names.h"
#include <errno.h>
#include <ring3/device.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/pci.h>
#include <ring3/snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct identity {
	struct hex class;
	struct hex vendor;
	struct hex device;
	struct hex subsystem_vendor;
	struct hex subsystem;
	struct hex revision;
	const char *class_name;
	const char *vendor_name;
	const char *device_name;
	const char *driver;
};

static const struct field identity_fields[] = {
	FIELD(struct identity, class, HEX),
	FIELD(struct identity, vendor, HEX),
	FIELD(struct identity, device, HEX),
	FIELD(struct identity, subsystem_vendor, HEX),
	FIELD(struct identity, subsystem, HEX),
	FIELD(struct identity, revision, HEX),
	FIELD(struct identity, class_name, STRING),
	FIELD(struct identity, vendor_name, STRING),
	FIELD(struct identity, device_name, STRING),
	FIELD(struct identity, driver, STRING),
	{0},
};

struct interrupt {
	const char *type;
	uint64_t vectors;
};

static const struct field interrupt_fields[] = {
	FIELD(struct interrupt, type, STRING),
	FIELD(struct interrupt, vectors, NUMBER),
	{0},
};

struct region {
	const char *region;
	struct hex address; /* BARs only */
	uint64_t size;
	unsigned flags;
};

/* enum r3_region_flags, by bit */
static const char *const region_flags[] = {"read",     "write", "mappable", "port",
					   "prefetch", "64bit", NULL};

static const struct field region_fields[] = {
	FIELD(struct region, region, STRING),
	FIELD(struct region, address, HEX),
	FIELD(struct region, size, NUMBER),
	FIELD(struct region, flags, FLAGS, .flags = region_flags),
	{0},
};

struct capability {
	struct hex offset;
	struct hex id;
	const char *name;
	bool extended;
};

static const struct field capability_fields[] = {
	FIELD(struct capability, offset, HEX),
	FIELD(struct capability, id, HEX),
	FIELD(struct capability, name, STRING),
	FIELD(struct capability, extended, BOOL),
	{0},
};

/* enum r3_device_caps, by bit */
static const char *const carrier_flags[] = {"pci",          "irq_mask", "irq_dispatch", "dma",
					    "dma_assigned", "own_mem",  "flr",          "bus_reset",
					    "unsafe",       NULL};

#define CAPABILITIES_MAX 64

struct show {
	const char *address;
	const char *name;
	unsigned carrier;
	const struct identity *pci;
	struct list interrupts;
	struct list regions;
	struct list capabilities;
	struct list config;

	/* what those point to */
	struct identity identity_of;
	struct interrupt interrupt_of[3];
	struct region region_of[R3_REGION_MAX];
	struct capability capability_of[CAPABILITIES_MAX];
	void *config_of;
};

static const struct field show_fields[] = {
	FIELD(struct show, address, STRING),
	FIELD(struct show, name, STRING),
	FIELD(struct show, carrier, FLAGS, .flags = carrier_flags),
	FIELD(struct show, pci, OBJECT, .fields = identity_fields),
	FIELD(struct show, interrupts, LIST, .fields = interrupt_fields,
	      .stride = sizeof(struct interrupt)),
	FIELD(struct show, regions, LIST, .fields = region_fields, .stride = sizeof(struct region)),
	FIELD(struct show, capabilities, LIST, .fields = capability_fields,
	      .stride = sizeof(struct capability)),
	FIELD(struct show, config, BYTES),
	{0},
};

static int identify(struct r3_device *dev, const struct r3_pci_names *names, struct show *show)
{
	struct r3_pci_id id;
	int rc = r3_pci_identify(dev, &id);

	if (rc < 0)
		return rc;
	show->identity_of = (struct identity){
		.class = {id.class_code, 6},
		.vendor = {id.vendor, 4},
		.device = {id.device, 4},
		.subsystem_vendor = {id.subsystem_vendor, 4},
		.subsystem = {id.subsystem, 4},
		.revision = {id.revision, 2},
		.class_name = r3_pci_class_name(names, id.class_code),
		.vendor_name = r3_pci_vendor_name(names, id.vendor),
		.device_name = r3_pci_device_name(names, id.vendor, id.device),
		.driver = best_driver(&id),
	};
	show->pci = &show->identity_of;
	return 0;
}

static void list_interrupts(const struct r3_device_info *info, struct show *show)
{
	size_t n = 0;

	for (unsigned type = R3_IRQ_INTX; type <= R3_IRQ_MSIX; type++) {
		if (info->nirqs[type] > 0)
			show->interrupt_of[n++] = (struct interrupt){
				.type = r3_irq_type_name((enum r3_irq_type)type),
				.vectors = info->nirqs[type],
			};
	}
	show->interrupts = (struct list){show->interrupt_of, n};
}

static int list_regions(struct r3_device *dev, const struct r3_device_info *info, struct show *show)
{
	size_t n = 0;

	for (unsigned i = 0; i < info->nregions && i < R3_REGION_MAX; i++) {
		struct region *to = &show->region_of[n];
		struct r3_region *region;
		struct r3_pci_bar bar;
		int rc = r3_device_region(dev, i, &region);

		if (rc == -ENOENT)
			continue;
		if (rc < 0)
			return rc;
		*to = (struct region){
			.region = region->name,
			.size = region->size,
			.flags = region->flags,
		};
		if (info->caps & R3_CAP_PCI && i <= R3_REGION_BAR5 &&
		    r3_pci_get_bar(dev, i, &bar) == 0)
			to->address = (struct hex){bar.address, 1};
		n++;
	}
	show->regions = (struct list){show->region_of, n};
	return 0;
}

static int list_capabilities(struct r3_device *dev, struct show *show)
{
	struct r3_pci_cap cap[CAPABILITIES_MAX];
	int n = r3_pci_caps(dev, cap, CAPABILITIES_MAX);

	if (n < 0)
		return n;
	if (n > CAPABILITIES_MAX)
		n = CAPABILITIES_MAX;
	for (int i = 0; i < n; i++)
		show->capability_of[i] = (struct capability){
			.offset = {cap[i].offset, 3},
			.id = {cap[i].id, cap[i].extended ? 4 : 2},
			.name = r3_pci_cap_name(cap[i].id, cap[i].extended),
			.extended = cap[i].extended,
		};
	show->capabilities = (struct list){show->capability_of, (size_t)n};
	return 0;
}

static int dump_config(struct r3_device *dev, struct show *show)
{
	struct r3_region *config;
	uint32_t words, *word;
	int rc = r3_device_region(dev, R3_REGION_CONFIG, &config);

	if (rc < 0)
		return rc;
	words = (uint32_t)(config->size / 4);
	word = show->config_of = calloc(words, 4);
	if (!word)
		return r3_error_set(ENOMEM, "show: out of memory");
	rc = r3_region_read(config, 0, 4, word, words);
	for (uint32_t i = 0; i < words; i++)
		word[i] = R3_LE32(word[i]); /* as bytes, in the device's order */
	show->config = (struct list){word, (size_t)words * 4};
	return rc;
}

static int describe(struct r3_device *dev, const struct r3_pci_names *names, struct show *show)
{
	const struct r3_device_info *info = r3_device_get_info(dev);
	int rc = 0;

	show->address = info->address;
	show->name = info->name;
	show->carrier = info->caps;
	list_interrupts(info, show);
	if (info->caps & R3_CAP_PCI) {
		rc = identify(dev, names, show);
		if (rc == 0)
			rc = list_capabilities(dev, show);
		if (rc == 0)
			rc = dump_config(dev, show);
	}
	return rc == 0 ? list_regions(dev, info, show) : rc;
}

/* The text is whole before the file is touched: what was in it is lost to a better one only. */
static int write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return r3_error_set(errno, "%s: %s", path, strerror(errno));
	fwrite(text, 1, len, file);
	if (ferror(file) | fclose(file))
		return r3_error_set(EIO, "%s: it could not be written to the end", path);
	return 0;
}

static int snapshot(struct r3_device *dev, const char *path)
{
	char *text;
	size_t len;
	int rc = r3_snapshot_take(dev, &text, &len);

	if (rc < 0)
		return rc;
	rc = path ? write_file(path, text, len) : output_write(text, len);
	free(text);
	return rc;
}

static int check_args(const struct args *args)
{
	if (args_has(args, "snapshot") && args->format != OUTPUT_TEXT)
		return r3_error_set(EINVAL, "show: a snapshot has a form of its own: leave -o out");
	if (!args_has(args, "snapshot") && args->nword > 1)
		return r3_error_set(EINVAL, "show: a file '%s' is for --snapshot", args->word[1]);
	return 0;
}

static int show_run(const struct args *args)
{
	struct r3_pci_names *names;
	struct r3_device *dev;
	struct show show = {0};
	int rc = check_args(args);

	if (rc == 0)
		rc = device_open(args->word[0], NULL, &dev);
	if (rc < 0)
		return rc;
	if (args_has(args, "snapshot")) {
		rc = snapshot(dev, args->nword > 1 ? args->word[1] : NULL);
		r3_device_close(dev);
		return rc;
	}
	names = pci_names_load();
	rc = describe(dev, names, &show);
	if (rc == 0)
		rc = output_object(args->format, "show", show_fields, &show);
	free(show.config_of);
	r3_pci_names_close(names);
	r3_device_close(dev);
	return rc;
}

static const struct command_option options[] = {
	{"snapshot", 0, NULL, "write what snapshot:FILE opens again: to FILE, or standard output"},
	{0},
};

static const struct command_example examples[] = {
	{"ring3 show qemu:edu", "QEMU's edu device: registers, interrupts, capabilities"},
	{"ring3 show qemu:nvme,null,size=1G -o json | jq .regions", "the regions alone, as JSON"},
	{"ring3 show qemu:nvme --snapshot nvme.snap && ring3 show snapshot:nvme.snap",
	 "keep what it looks like in a file, and look at that"},
	{0},
};

const struct command command_show = {
	.name = "show",
	.summary = "show what a device is and has",
	.usage = "ADDRESS [--snapshot [FILE]]",
	.min_words = 1,
	.max_words = 2,
	.options = options,
	.examples = examples,
	.run = show_run,
};
