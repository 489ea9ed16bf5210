/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the transport's registers (4.1.4), where the capabilities of a device put them. */
#include "virtio/regs.h"
#include "virtio/virtio.h"

#include <ring3/pci.h>

#include <linux/pci_regs.h>

#define CAPS_MAX 64

#define COMMON(field, width) R3_REG(#field, VIRTIO_PCI_COMMON(field), width, .flags = R3_REG_QUIET)

static const struct r3_reg common[] = {
	COMMON(device_feature_select, 4), COMMON(device_feature, 4),
	COMMON(driver_feature_select, 4), COMMON(driver_feature, 4),
	COMMON(config_msix_vector, 2),    COMMON(num_queues, 2),
	COMMON(device_status, 1),         COMMON(config_generation, 1),
	COMMON(queue_select, 2),          COMMON(queue_size, 2),
	COMMON(queue_msix_vector, 2),     COMMON(queue_enable, 2),
	COMMON(queue_notify_off, 2),      COMMON(queue_desc, 8),
	COMMON(queue_driver, 8),          COMMON(queue_device, 8),
};

/* Of a device that has room for them. */
static const struct r3_reg common_of_1_2[] = {
	COMMON(queue_notify_data, 2),
	COMMON(queue_reset, 2),
};

/* Reading it takes the interrupt from whoever drives the device. */
static const struct r3_reg isr[] = {R3_REG("isr_status", 0, 1)};

static int place_common(struct r3_reg_map *map, const struct r3_virtio_area *area)
{
	int rc = R3_REG_PLACE(map, area->region->index, area->off, common);

	if (rc == 0 && area->len >= VIRTIO_PCI_COMMON(queue_reset) + 2)
		rc = R3_REG_PLACE(map, area->region->index, area->off, common_of_1_2);
	return rc;
}

/* One place for all queues, or one each: which is whose, the device says only for the
 * queue that is selected. */
static int place_notify(struct r3_reg_map *map, const struct r3_virtio *v)
{
	const struct r3_virtio_area *area = &v->notify;
	uint32_t step = v->notify_multiplier;
	const struct r3_reg notify[] = {
		step ? (struct r3_reg)R3_REG("notify#", 0, 2, .stride = step,
					     .count = (uint32_t)((area->len - 2) / step) + 1)
		     : (struct r3_reg)R3_REG("notify", 0, 2),
	};

	return R3_REG_PLACE(map, area->region->index, area->off, notify);
}

/* Longer than the configuration of all device types but one whose rest means nothing without
 * its selector (5.8, input). What lies behind it is padding to a page, mostly. */
#define CONFIG_WORDS 32u

static int place_config(struct r3_reg_map *map, const struct r3_virtio_area *area)
{
	const uint64_t words = area->len / 4;
	const struct r3_reg config[] = {
		R3_REG("config_word#", 0, 4, .flags = R3_REG_QUIET, .stride = 4,
		       .count = words < CONFIG_WORDS ? (uint32_t)words : CONFIG_WORDS),
	};

	return area->len < 4 ? 0 : R3_REG_PLACE(map, area->region->index, area->off, config);
}

/* The capabilities that say where all of that is. */
static int place_caps(struct r3_device *dev, struct r3_reg_map *map)
{
#define CAP(type, field, width) \
	R3_REG("virtio_pci_cap." #field, offsetof(struct type, field), width)
	static const struct r3_reg fields[] = {
		CAP(virtio_pci_cap, cap_len, 1), CAP(virtio_pci_cap, cfg_type, 1),
		CAP(virtio_pci_cap, bar, 1),     CAP(virtio_pci_cap, id, 1),
		CAP(virtio_pci_cap, offset, 4),  CAP(virtio_pci_cap, length, 4),
	};
	static const struct r3_reg notify[] = {
		CAP(virtio_pci_notify_cap, notify_off_multiplier, 4)};
	static const struct r3_reg window[] = {CAP(virtio_pci_cfg_cap, pci_cfg_data, 4)};
	struct r3_pci_cap cap[CAPS_MAX];
	int n = r3_pci_caps(dev, cap, CAPS_MAX), rc = 0;

	for (int i = 0; i < n && i < CAPS_MAX && rc == 0; i++) {
		unsigned at = cap[i].offset, type;

		if (cap[i].id != PCI_CAP_ID_VNDR || cap[i].extended)
			continue;
		rc = R3_REG_PLACE(map, R3_REGION_CONFIG, at, fields);
		type = r3_pci_read8(dev, at + offsetof(struct virtio_pci_cap, cfg_type));
		if (rc == 0 && type == VIRTIO_PCI_CAP_NOTIFY_CFG)
			rc = R3_REG_PLACE(map, R3_REGION_CONFIG, at, notify);
		if (rc == 0 && type == VIRTIO_PCI_CAP_PCI_CFG)
			rc = R3_REG_PLACE(map, R3_REGION_CONFIG, at, window);
	}
	return rc;
}

static int place(struct r3_device *dev, struct r3_reg_map *map)
{
	struct r3_virtio v;
	int rc;

	if (r3_virtio_find(&v, dev) < 0)
		return 0; /* something else of that vendor, or it makes no sense */
	rc = place_common(map, &v.common);
	if (rc == 0)
		rc = R3_REG_PLACE(map, v.isr.region->index, v.isr.off, isr);
	if (rc == 0)
		rc = place_config(map, &v.config);
	if (rc == 0)
		rc = place_caps(dev, map);
	return rc < 0 ? rc : place_notify(map, &v);
}

const struct r3_reg_set r3_virtio_regs = {
	.name = "virtio",
	.vendor = VIRTIO_PCI_VENDOR,
	.device = R3_REG_ANY,
	.place = place,
};
