/* SPDX-License-Identifier: BSD-2-Clause */
/* ring3 peek and ring3 poke: read and write registers of a device. */
#include "command.h"
#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <ring3/device.h>
#include <ring3/error.h>
#include <ring3/pci.h>
#include <stdlib.h>
#include <string.h>

struct value {
	struct hex offset;
	struct hex value;
};

static const struct field value_fields[] = {
	FIELD(struct value, offset, HEX),
	FIELD(struct value, value, HEX),
	{0},
};

struct access {
	const char *address;
	const char *region;
	uint64_t width; /* bits */
	struct list values;
};

static const struct field access_fields[] = {
	FIELD(struct access, address, STRING, .json_only = true),
	FIELD(struct access, region, STRING, .json_only = true),
	FIELD(struct access, width, NUMBER, .json_only = true),
	FIELD(struct access, values, LIST, .fields = value_fields, .stride = sizeof(struct value),
	      .bare = true),
	{0},
};

/* Parsed before the device is opened: what is wrong without it needs no device. */
struct request {
	const char *address;
	unsigned region; /* enum r3_region_index; R3_REGION_MAX: the first one of ports */
	uint64_t offset;
	uint64_t width; /* bits */
	uint64_t count;
};

static const struct {
	const char *name;
	unsigned index;
} region_names[] = {
	{"bar0", R3_REGION_BAR0}, {"bar1", R3_REGION_BAR1},     {"bar2", R3_REGION_BAR2},
	{"bar3", R3_REGION_BAR3}, {"bar4", R3_REGION_BAR4},     {"bar5", R3_REGION_BAR5},
	{"rom", R3_REGION_ROM},   {"config", R3_REGION_CONFIG}, {"io", R3_REGION_MAX},
};

static int parse_region(const char *name, unsigned *index)
{
	for (size_t i = 0; i < sizeof(region_names) / sizeof(region_names[0]); i++) {
		if (!strcmp(region_names[i].name, name)) {
			*index = region_names[i].index;
			return 0;
		}
	}
	return r3_error_set(EINVAL, "region '%s' is unknown: use bar0 to bar5, config, rom or io",
			    name);
}

static int parse_request(const struct args *args, struct request *request)
{
	int rc;

	*request = (struct request){.address = args->word[0], .width = 32, .count = 1};
	rc = parse_region(args->word[1], &request->region);
	if (rc == 0)
		rc = parse_number(args, "offset", args->word[2], 0, UINT64_MAX, &request->offset);
	if (rc == 0)
		rc = args_number(args, "width", 8, 64, &request->width);
	if (rc == 0 && (request->width & (request->width - 1)))
		rc = r3_error_set(EINVAL, "width '%s' is unknown: use 8, 16, 32 or 64",
				  args_value(args, "width"));
	if (rc == 0)
		rc = args_number(args, "count", 1, UINT32_MAX, &request->count);
	return rc;
}

static int find_region(struct r3_device *dev, unsigned index, struct r3_region **region)
{
	if (index < R3_REGION_MAX)
		return r3_device_region(dev, index, region);
	for (index = 0; index < R3_REGION_MAX; index++) {
		if (r3_device_region(dev, index, region) == 0 && (*region)->flags & R3_REGION_PORT)
			return 0;
	}
	return r3_error_set(ENOENT, "%s has no region of ports: 'ring3 show' lists its regions",
			    r3_device_get_info(dev)->name);
}

/* A BAR answers only while its kind of decoding is on, which firmware, a driver, or
 * nobody has done. */
static int enable_decoding(struct r3_device *dev, const struct r3_region *region)
{
	unsigned need = region->flags & R3_REGION_PORT ? R3_PCI_IO : R3_PCI_MEMORY;

	if (!(r3_device_get_info(dev)->caps & R3_CAP_PCI) || region->index > R3_REGION_ROM)
		return 0;
	if (r3_pci_read16(dev, PCI_COMMAND) & need)
		return 0;
	return r3_pci_enable(dev, need, 0);
}

static int open_region(const struct request *request, struct r3_device **dev,
		       struct r3_region **region)
{
	int rc = device_open(request->address, NULL, dev);

	if (rc < 0)
		return rc;
	rc = find_region(*dev, request->region, region);
	if (rc == 0 && request->count > (*region)->size / (request->width / 8))
		rc = r3_error_set(ERANGE, "%s of %s has 0x%" PRIx64 " bytes: ask for fewer",
				  (*region)->name, r3_device_get_info(*dev)->name, (*region)->size);
	if (rc == 0)
		rc = enable_decoding(*dev, *region);
	if (rc < 0)
		r3_device_close(*dev);
	return rc;
}

static uint64_t item_get(const void *items, uint64_t width, size_t i)
{
	switch (width) {
	case 8:
		return ((const uint8_t *)items)[i];
	case 16:
		return ((const uint16_t *)items)[i];
	case 32:
		return ((const uint32_t *)items)[i];
	default:
		return ((const uint64_t *)items)[i];
	}
}

static void item_set(void *items, uint64_t width, size_t i, uint64_t value)
{
	switch (width) {
	case 8:
		((uint8_t *)items)[i] = (uint8_t)value;
		break;
	case 16:
		((uint16_t *)items)[i] = (uint16_t)value;
		break;
	case 32:
		((uint32_t *)items)[i] = (uint32_t)value;
		break;
	default:
		((uint64_t *)items)[i] = value;
		break;
	}
}

static int read_values(struct r3_region *region, const struct request *request, void *items,
		       struct value *values)
{
	unsigned width = (unsigned)request->width / 8;
	int rc = r3_region_read(region, request->offset, width, items, (uint32_t)request->count);

	for (size_t i = 0; rc == 0 && i < request->count; i++) {
		values[i].offset = (struct hex){request->offset + i * width, 4};
		values[i].value = (struct hex){item_get(items, request->width, i), 2 * width};
	}
	return rc;
}

static int write_values(struct r3_region *region, const struct request *request, void *items,
			uint64_t value)
{
	for (size_t i = 0; i < request->count; i++)
		item_set(items, request->width, i, value);
	return r3_region_write(region, request->offset, (unsigned)request->width / 8, items,
			       (uint32_t)request->count);
}

/* @value NULL: read only. */
static int access_region(const struct args *args, const struct request *request,
			 const uint64_t *value, bool read)
{
	struct r3_device *dev;
	struct r3_region *region;
	struct value *values;
	void *items;
	int rc = open_region(request, &dev, &region);

	if (rc < 0)
		return rc;
	values = calloc(request->count, sizeof(*values));
	items = calloc(request->count, sizeof(uint64_t));
	if (!values || !items) {
		rc = r3_error_set(ENOMEM, "%s: out of memory", args->command->name);
		goto out;
	}
	if (value)
		rc = write_values(region, request, items, *value);
	if (rc == 0 && read)
		rc = read_values(region, request, items, values);
	if (rc == 0) {
		struct access access = {
			.address = r3_device_get_info(dev)->address,
			.region = region->name,
			.width = request->width,
			.values = {values, read ? request->count : 0},
		};

		rc = output_object(args->format, args->command->name, access_fields, &access);
	}
out:
	free(items);
	free(values);
	r3_device_close(dev);
	return rc;
}

static int peek_run(const struct args *args)
{
	struct request request;
	int rc = parse_request(args, &request);

	return rc < 0 ? rc : access_region(args, &request, NULL, true);
}

static int poke_run(const struct args *args)
{
	struct request request;
	uint64_t value;
	int rc = parse_request(args, &request);

	if (rc == 0)
		rc = parse_number(args, "value", args->word[3], 0,
				  UINT64_MAX >> (64 - request.width), &value);
	return rc < 0 ? rc : access_region(args, &request, &value, args_has(args, "read-back"));
}

#define WIDTH_OPTION \
	{ \
		"width", 'w', "BITS", "of one access: 8, 16, 32 (the default) or 64" \
	}

static const struct command_option peek_options[] = {
	WIDTH_OPTION,
	{"count", 'n', "N", "read so many, at consecutive offsets (default: 1)"},
	{0},
};

static const struct command_option poke_options[] = {
	WIDTH_OPTION,
	{"count", 'n', "N", "write the value so many times, at consecutive offsets (default: 1)"},
	{"read-back", 'r', NULL, "read what was written, and print it"},
	{0},
};

static const struct command_example peek_examples[] = {
	{"ring3 peek qemu:edu bar0 0", "the identification register of QEMU's edu device"},
	{"ring3 peek qemu:nvme,null,size=1G config 0 --width 16 --count 4",
	 "vendor, device, command and status"},
	{0},
};

static const struct command_example poke_examples[] = {
	{"ring3 poke qemu:edu bar0 4 0x12345678 --read-back",
	 "the device answers with the value inverted"},
	{0},
};

const struct command command_peek = {
	.name = "peek",
	.summary = "read registers of a device",
	.usage = "ADDRESS REGION OFFSET",
	.min_words = 3,
	.max_words = 3,
	.description =
		"REGION is bar0 to bar5, config, rom, or io (the first region of ports). "
		"Numbers are decimal, or hexadecimal with 0x. Reading may have side effects.",
	.options = peek_options,
	.examples = peek_examples,
	.run = peek_run,
};

const struct command command_poke = {
	.name = "poke",
	.summary = "write registers of a device",
	.usage = "ADDRESS REGION OFFSET VALUE",
	.min_words = 4,
	.max_words = 4,
	.description = "REGION is bar0 to bar5, config, rom, or io (the first region of ports). "
		       "Numbers are decimal, or hexadecimal with 0x.",
	.options = poke_options,
	.examples = poke_examples,
	.run = poke_run,
};
