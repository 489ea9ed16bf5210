/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a snapshot: see <ring3/snapshot.h>. */
#include "backend/snapshot/snapshot.h"
#include "bus/regs.h"
#include "util/item.h"
#include "util/kept_text.h"

#include <ring3/error.h>
#include <ring3/pci.h>
#include <ring3/snapshot.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW 16u

/* A text that grows; one that could not is NULL from then on. */
struct text {
	char *buf;
	size_t n, room;
};

static void add(struct text *text, const char *fmt, ...) R3_PRINTF(2, 3);

static void add(struct text *text, const char *fmt, ...)
{
	const size_t line = 256; /* longer than any call adds */
	va_list args;

	if (text->room - text->n < line) {
		char *more = realloc(text->buf, 2 * text->room + line);

		if (!more)
			free(text->buf);
		text->room = more ? 2 * text->room + line : 0;
		text->n = more ? text->n : 0;
		text->buf = more;
	}
	if (!text->buf)
		return;
	va_start(args, fmt);
	text->n += (size_t)vsnprintf(text->buf + text->n, line, fmt, args);
	va_end(args);
}

static int write_regions(struct r3_device *dev, struct text *out)
{
	for (unsigned i = 0; i < R3_SNAPSHOT_REGIONS; i++) {
		struct r3_region *region;
		int rc = r3_device_region(dev, i, &region);

		if (rc == -ENOENT)
			continue;
		if (rc)
			return rc;
		add(out, "region %s %#jx", region->name, (uintmax_t)region->size);
		for (unsigned bit = 0; bit < 6; bit++)
			if (region->flags & 1u << bit && r3_snapshot_flags[bit])
				add(out, " %s", r3_snapshot_flags[bit]);
		add(out, "\n");
	}
	return 0;
}

static int write_config(struct r3_device *dev, struct text *out)
{
	static const uint32_t zeroes[ROW / 4];
	struct r3_region *config;
	uint32_t word[ROW / 4];
	int rc = r3_device_region(dev, R3_REGION_CONFIG, &config);

	for (uint64_t off = 0; !rc && off + ROW <= config->size; off += ROW) {
		rc = r3_region_read(config, off, 4, word, ROW / 4);
		if (rc || !memcmp(word, zeroes, ROW))
			continue;
		add(out, "%03x:", (unsigned)off);
		for (unsigned i = 0; i < ROW; i++)
			add(out, " %02x", word[i / 4] >> 8 * (i % 4) & 0xff);
		add(out, "\n");
	}
	return rc;
}

/* ---- registers ---- */

static int by_place(const void *a, const void *b)
{
	const struct r3_reg_found *x = a, *y = b;

	if (x->region != y->region)
		return x->region < y->region ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Those that may be read, in the order of a snapshot: an allocation of *n. */
static int quiet_registers(struct r3_device *dev, struct r3_reg_found **out, size_t *n)
{
	struct r3_reg_found *list = calloc(R3_SNAPSHOT_REGISTERS, sizeof(*list));
	struct r3_reg_map *map;
	int rc;

	if (!list)
		return r3_error_set(ENOMEM, "out of memory for a snapshot");
	rc = r3_reg_map_create(dev, &map);
	if (rc) {
		free(list);
		return rc;
	}
	*n = 0;
	for (uint64_t i = 0; *n < R3_SNAPSHOT_REGISTERS && r3_reg_get(map, i, &list[*n]); i++)
		*n += list[*n].flags & R3_REG_QUIET && list[*n].region < R3_REGION_CONFIG;
	r3_reg_map_unref(map);
	qsort(list, *n, sizeof(*list), by_place);
	*out = list;
	return 0;
}

static void write_register(struct r3_device *dev, const struct r3_reg_found *reg, struct text *out)
{
	struct r3_region *region;
	uint64_t item;

	if (r3_device_region(dev, reg->region, &region))
		return;
	if (r3_region_read(region, reg->off, reg->width, &item, 1))
		add(out, "# %s at 0x%jx of %s cannot be read\n", reg->name, (uintmax_t)reg->off,
		    region->name);
	else
		add(out, "register %s 0x%jx %u 0x%0*jx # %s\n", region->name, (uintmax_t)reg->off,
		    reg->width, (int)(2 * reg->width), (uintmax_t)r3_item_get(&item, reg->width),
		    reg->name);
}

static int write_registers(struct r3_device *dev, struct text *out)
{
	struct r3_reg_found *reg = NULL;
	uint64_t free_from = 0;
	struct r3_kept_text before;
	size_t n = 0;
	int rc = quiet_registers(dev, &reg, &n);

	if (rc)
		return rc;
	r3_error_keep(&before); /* one that cannot be read is no failure */
	for (size_t i = 0; i < n; i++) {
		if (i && reg[i].region != reg[i - 1].region)
			free_from = 0;
		if (reg[i].off < free_from)
			continue; /* another name of bytes that are there */
		write_register(dev, &reg[i], out);
		free_from = reg[i].off + reg[i].width;
	}
	r3_error_put_back(&before);
	free(reg);
	return 0;
}

/* ---- the whole ---- */

/* What must be decoded before its BARs answer. */
static unsigned decoding_of(struct r3_device *dev)
{
	unsigned need = 0;

	for (unsigned i = 0; i <= R3_REGION_BAR5; i++) {
		struct r3_region *region;

		if (!r3_device_region(dev, i, &region))
			need |= region->flags & R3_REGION_PORT ? R3_PCI_IO : R3_PCI_MEMORY;
	}
	return need;
}

static int write_all(struct r3_device *dev, struct text *out)
{
	const struct r3_device_info *info = r3_device_get_info(dev);
	unsigned off = decoding_of(dev) & ~(unsigned)r3_pci_read16(dev, PCI_COMMAND);
	int rc;

	add(out, "ring3-snapshot 1\n");
	for (unsigned i = 0; i < 3; i++)
		if (info->nirqs[i])
			add(out, "interrupts %s %u\n", r3_snapshot_irqs[i], info->nirqs[i]);
	rc = write_regions(dev, out);
	if (!rc)
		rc = write_config(dev, out); /* as it is: before anything is enabled */
	if (!rc && off)
		rc = r3_pci_enable(dev, off, 0);
	if (rc)
		return rc;
	rc = write_registers(dev, out);
	if (!rc && off)
		rc = r3_pci_enable(dev, 0, off);
	return rc ? rc : r3_device_alive(dev);
}

int r3_snapshot_take(struct r3_device *dev, char **text, size_t *len)
{
	struct text out = {NULL, 0, 0};
	struct r3_pci_id id;
	int rc = r3_pci_identify(dev, &id);

	if (!rc)
		rc = write_all(dev, &out);
	if (!rc && !out.buf)
		rc = r3_error_set(ENOMEM, "%s: out of memory for a snapshot",
				  r3_device_get_info(dev)->name);
	if (rc) {
		free(out.buf);
		return rc;
	}
	*text = out.buf;
	*len = out.n;
	return 0;
}
