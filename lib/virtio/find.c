/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the device is, and where its registers are. Vendor-specific capabilities say the
 * latter (4.1.4): a BAR, an offset and a length each, which are the device's word and are
 * held against the region that is really there. Of several of one type the first that is
 * usable counts, as the specification has it; what is wrong with the others is told only
 * where none is left.
 */
#include "util/kept_text.h"
#include "virtio/virtio.h"

#include <ring3/error.h>
#include <ring3/pci.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdio.h>

/* Each takes 4 bytes of what the header leaves of configuration space. */
#define CAPS_MAX ((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)

/* What an area must have to be used. */
static const struct need {
	const char *name;
	uint8_t cap_len;
	uint16_t length, align;
	bool optional;
} needs[] = {
	[VIRTIO_PCI_CAP_COMMON_CFG] = {"common configuration", sizeof(struct virtio_pci_cap),
				       VIRTIO_PCI_COMMON_LEN_1_0, 4, false},
	[VIRTIO_PCI_CAP_NOTIFY_CFG] = {"notification", sizeof(struct virtio_pci_notify_cap), 2, 2,
				       false},
	[VIRTIO_PCI_CAP_ISR_CFG] = {"interrupt status", sizeof(struct virtio_pci_cap), 1, 1, false},
	[VIRTIO_PCI_CAP_DEVICE_CFG] = {"device configuration", sizeof(struct virtio_pci_cap), 1, 4,
				       true},
};

#define NEEDS (sizeof(needs) / sizeof(needs[0]))

struct search {
	struct r3_virtio *v;
	struct r3_virtio_area *area[NEEDS];
	bool seen; /* a virtio capability of any type */
	char wrong[NEEDS][160];
};

/* ---- capabilities ---- */

/* Whether the capability at @at describes a usable area; says in @wrong why not. */
static bool usable(struct r3_virtio *v, unsigned at, const struct need *need, char *wrong,
		   size_t room, struct r3_virtio_area *area)
{
	struct r3_device *dev = v->dev;
	unsigned cap_len = r3_pci_read8(dev, at + PCI_CAP_FLAGS);
	unsigned bar = r3_pci_read8(dev, at + offsetof(struct virtio_pci_cap, bar));
	uint64_t off, len;

	if (cap_len < need->cap_len || at + cap_len > PCI_CFG_SPACE_SIZE) {
		snprintf(wrong, room, "the capability has %u bytes at 0x%x, not %u", cap_len, at,
			 need->cap_len);
		return false;
	}
	off = r3_pci_read32(dev, at + offsetof(struct virtio_pci_cap, offset));
	len = r3_pci_read32(dev, at + offsetof(struct virtio_pci_cap, length));
	if (bar > R3_REGION_BAR5 || r3_device_region(dev, bar, &area->region) < 0) {
		snprintf(wrong, room, "it is in BAR %u, which the device does not have", bar);
		return false;
	}
	if (area->region->flags & R3_REGION_PORT) {
		snprintf(wrong, room, "it is in BAR %u, which has ports and not memory", bar);
		return false;
	}
	if (off > area->region->size || len > area->region->size - off) {
		snprintf(wrong, room,
			 "0x%" PRIx64 " bytes at 0x%" PRIx64 " lie beyond BAR %u of 0x%" PRIx64,
			 len, off, bar, area->region->size);
		return false;
	}
	if (len < need->length || off % need->align) {
		snprintf(wrong, room,
			 "0x%" PRIx64 " bytes at 0x%" PRIx64 " of BAR %u are too few or misaligned",
			 len, off, bar);
		return false;
	}
	area->off = off;
	area->len = len;
	return true;
}

static bool take_multiplier(struct r3_virtio *v, unsigned at, char *wrong, size_t room)
{
	uint32_t times = r3_pci_read32(
		v->dev, at + offsetof(struct virtio_pci_notify_cap, notify_off_multiplier));

	if (times & (times - 1) || times == 1) {
		snprintf(wrong, room,
			 "notify_off_multiplier is %" PRIu32 ", not an even power of two", times);
		return false;
	}
	v->notify_multiplier = times;
	return true;
}

static void look_at(struct search *search, unsigned at)
{
	struct r3_virtio_area area;
	unsigned type =
		r3_pci_read8(search->v->dev, at + offsetof(struct virtio_pci_cap, cfg_type));
	char *wrong;

	if (type < NEEDS || type == VIRTIO_PCI_CAP_PCI_CFG)
		search->seen = true;
	if (type >= NEEDS || !search->area[type] || search->area[type]->len)
		return;
	wrong = search->wrong[type];
	if (!usable(search->v, at, &needs[type], wrong, sizeof(search->wrong[0]), &area))
		return;
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG &&
	    !take_multiplier(search->v, at, wrong, sizeof(search->wrong[0])))
		return;
	*search->area[type] = area;
}

static int find_areas(struct r3_virtio *v)
{
	struct search search = {.v = v,
				.area = {
					[VIRTIO_PCI_CAP_COMMON_CFG] = &v->common,
					[VIRTIO_PCI_CAP_NOTIFY_CFG] = &v->notify,
					[VIRTIO_PCI_CAP_ISR_CFG] = &v->isr,
					[VIRTIO_PCI_CAP_DEVICE_CFG] = &v->config,
				}};
	struct r3_pci_cap cap[CAPS_MAX];
	struct r3_kept_text before;
	int n = r3_pci_caps(v->dev, cap, CAPS_MAX);

	if (n < 0)
		return n;
	r3_error_keep(&before);
	for (int i = 0; i < n && i < (int)CAPS_MAX; i++)
		if (!cap[i].extended && cap[i].id == PCI_CAP_ID_VNDR)
			look_at(&search, cap[i].offset);
	if (r3_pci_read16(v->dev, PCI_VENDOR_ID) == UINT16_MAX)
		return r3_error_set(ENODEV, "%s: the device is gone", v->name);
	if (!search.seen)
		return r3_error_set(EOPNOTSUPP,
				    "%s: has only the legacy interface of virtio, which is not "
				    "supported: make it a modern device (of QEMU: "
				    "disable-modern=off,disable-legacy=on)",
				    v->name);
	for (unsigned type = 0; type < NEEDS; type++) {
		const char *wrong = search.wrong[type];

		if (!search.area[type] || search.area[type]->len)
			continue;
		if (*wrong)
			return r3_error_set(EIO, "%s: no usable virtio %s area: %s", v->name,
					    needs[type].name, wrong);
		if (!needs[type].optional)
			return r3_error_set(EIO, "%s: no capability tells of a virtio %s area",
					    v->name, needs[type].name);
	}
	r3_error_put_back(&before); /* what was wrong with capabilities nobody needs */
	return 0;
}

/* ---- identity ---- */

/* 4.1.2.1: a transitional device has its type in the subsystem's ID. */
static int identify(struct r3_virtio *v)
{
	struct r3_pci_id id;
	int rc = r3_pci_identify(v->dev, &id);

	if (rc < 0)
		return rc;
	if (id.vendor != VIRTIO_PCI_VENDOR || id.device < VIRTIO_PCI_DEVICE_FIRST ||
	    id.device > VIRTIO_PCI_DEVICE_LAST)
		return r3_error_set(EOPNOTSUPP, "%s: %04x:%04x is not a virtio device", v->name,
				    id.vendor, id.device);
	v->id = VIRTIO_PCI_TRANSITIONAL(id.device) ? id.subsystem
						   : (unsigned)id.device - VIRTIO_PCI_DEVICE_MODERN;
	return 0;
}

int r3_virtio_find(struct r3_virtio *v, struct r3_device *dev)
{
	int rc;

	*v = (struct r3_virtio){
		.dev = dev,
		.name = r3_device_get_info(dev)->name,
		.clock = r3_device_clock(dev),
	};
	rc = identify(v);
	return rc < 0 ? rc : find_areas(v);
}

int r3_virtio_init(struct r3_virtio *v, struct r3_device *dev)
{
	int rc = r3_virtio_find(v, dev);

	return rc < 0 ? rc : r3_pci_enable(dev, R3_PCI_MEMORY, 0);
}
