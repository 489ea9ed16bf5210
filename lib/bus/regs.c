/* SPDX-License-Identifier: BSD-2-Clause */
/* The names that one device has: see regs.h. Looked up for people only, so a list that is
 * walked from its beginning is fast enough. */
#include "bus/regs.h"
#include "util/kept_text.h"

#include <ring3/error.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct r3_reg reg; /* off is the region's, count at least 1 */
	unsigned region;
};

struct r3_reg_map {
	unsigned refs;
	struct entry *entry;
	size_t n, room;
};

/* ---- making a map ---- */

int r3_reg_place(struct r3_reg_map *map, unsigned region, uint64_t base, const struct r3_reg *reg,
		 unsigned n)
{
	if (map->n + n > map->room) {
		size_t room = 2 * map->room + n;
		struct entry *more = reallocarray(map->entry, room, sizeof(*more));

		if (!more)
			return r3_error_set(ENOMEM, "out of memory for names of registers");
		map->entry = more;
		map->room = room;
	}
	for (unsigned i = 0; i < n; i++) {
		struct entry *entry = &map->entry[map->n];

		*entry = (struct entry){.reg = reg[i], .region = region};
		if (!entry->reg.count)
			entry->reg.count = 1;
		/* a device may have said where: what would lie behind all offsets is nowhere */
		if (__builtin_add_overflow(entry->reg.off, base, &entry->reg.off) ||
		    UINT64_MAX - entry->reg.off <
			    (uint64_t)entry->reg.count * entry->reg.stride + entry->reg.width)
			continue;
		map->n++;
	}
	return 0;
}

static bool matches(const struct r3_reg_set *set, uint32_t id, uint32_t class_code)
{
	return (set->vendor == R3_REG_ANY || set->vendor == (id & 0xffff)) &&
	       (set->device == R3_REG_ANY || set->device == id >> 16) &&
	       !((set->class_code ^ class_code) & set->class_mask);
}

static int place_all(struct r3_device *dev, struct r3_reg_map *map)
{
	struct r3_region *config;
	uint32_t id, class_code;
	int rc = 0;

	if (!(r3_device_get_info(dev)->caps & R3_CAP_PCI) ||
	    r3_device_region(dev, R3_REGION_CONFIG, &config))
		return 0;
	id = r3_read32(config, PCI_VENDOR_ID);
	class_code = r3_read32(config, PCI_CLASS_REVISION) >> 8;
	if (id == UINT32_MAX)
		return 0; /* it is gone */
	for (const struct r3_reg_set *const *set = r3_reg_sets; *set && !rc; set++)
		if (matches(*set, id, class_code))
			rc = (*set)->place(dev, map);
	return rc;
}

int r3_reg_map_create(struct r3_device *dev, struct r3_reg_map **out)
{
	struct r3_reg_map *map = calloc(1, sizeof(*map));
	struct r3_kept_text before;
	int rc;

	if (!map)
		return r3_error_set(ENOMEM, "out of memory for names of registers");
	r3_error_keep(&before); /* of what is looked for and not there */
	rc = place_all(dev, map);
	map->refs = 1;
	if (rc) {
		r3_reg_map_unref(map);
		return rc;
	}
	r3_error_put_back(&before);
	*out = map;
	return 0;
}

struct r3_reg_map *r3_reg_map_ref(struct r3_reg_map *map)
{
	__atomic_add_fetch(&map->refs, 1, __ATOMIC_RELAXED);
	return map;
}

void r3_reg_map_unref(struct r3_reg_map *map)
{
	if (!map || __atomic_sub_fetch(&map->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(map->entry);
	free(map);
}

/* ---- looking up ---- */

/* Append @name, its # replaced. Returns the new length, which never exceeds the room. */
static size_t append(char buf[R3_REG_NAME_MAX], size_t n, const char *name, uint32_t index)
{
	for (; *name && n < R3_REG_NAME_MAX - 1; name++) {
		if (*name == '#')
			n += (size_t)snprintf(buf + n, R3_REG_NAME_MAX - n, "%u", index);
		else
			buf[n++] = *name;
	}
	if (n > R3_REG_NAME_MAX - 1)
		n = R3_REG_NAME_MAX - 1;
	buf[n] = '\0';
	return n;
}

/* Does @entry cover the byte at @off? Then which of its array, and where in that. */
static bool covers(const struct entry *entry, uint64_t off, uint32_t *index, unsigned *inside)
{
	const struct r3_reg *reg = &entry->reg;
	uint64_t rest = off - reg->off, at = 0;

	if (off < reg->off)
		return false;
	if (reg->count > 1) {
		if (!reg->stride)
			return false;
		at = rest / reg->stride;
		rest %= reg->stride;
	}
	if (at >= reg->count || rest >= reg->width)
		return false;
	*index = (uint32_t)at;
	*inside = (unsigned)rest;
	return true;
}

bool r3_reg_name(const struct r3_reg_map *map, unsigned region, uint64_t off, unsigned width,
		 char buf[R3_REG_NAME_MAX])
{
	const uint64_t end = off + width;
	size_t n = 0;

	buf[0] = '\0';
	while (off < end) {
		const struct entry *found = NULL;
		unsigned inside = 0;
		uint32_t index = 0;

		for (size_t i = 0; i < map->n && !found; i++)
			if (map->entry[i].region == region &&
			    covers(&map->entry[i], off, &index, &inside))
				found = &map->entry[i];
		if (!found) {
			off++;
			continue;
		}
		if (n)
			n = append(buf, n, ",", 0);
		n = append(buf, n, found->reg.name, index);
		if (inside)
			n = append(buf, n, "+#", inside);
		off += found->reg.width - inside;
	}
	return n > 0;
}

bool r3_reg_get(const struct r3_reg_map *map, uint64_t at, struct r3_reg_found *out)
{
	size_t i = 0;

	while (i < map->n && at >= map->entry[i].reg.count)
		at -= map->entry[i++].reg.count;
	if (i == map->n)
		return false;

	const struct r3_reg *reg = &map->entry[i].reg;
	*out = (struct r3_reg_found){
		.region = map->entry[i].region,
		.off = reg->off + at * reg->stride,
		.width = reg->width,
		.flags = reg->flags,
	};
	append(out->name, 0, reg->name, (uint32_t)at);
	return true;
}
