/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's life: reset, status, features (3.1.1). Every wait is bounded, and a device
 * that does not obey its own reset is reset from outside.
 */
#include "util/kept_text.h"
#include "virtio/internal.h"

#include <ring3/error.h>
#include <ring3/log.h>
#include <ring3/pci.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdio.h>

/* The specification sets no limit. A device may have to wait for a disk. */
#define RESET_TIMEOUT (5 * R3_NSEC_PER_SEC)

/* Taken wherever they are offered (6.1): a device may not work without. */
#define PLATFORM \
	(VIRTIO_FEATURE(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_FEATURE(VIRTIO_F_ORDER_PLATFORM))

/* Features of every device that a driver may ask for here. */
#define KNOWN \
	(PLATFORM | VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) | VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) | \
	 VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) | \
	 VIRTIO_FEATURE(VIRTIO_F_IN_ORDER) | VIRTIO_FEATURE(VIRTIO_F_NOTIFICATION_DATA) | \
	 VIRTIO_FEATURE(VIRTIO_F_NOTIF_CONFIG_DATA) | VIRTIO_FEATURE(VIRTIO_F_RING_RESET))
#define DEVICE_TYPE (VIRTIO_FEATURE(VIRTIO_TRANSPORT_F_START) - 1)

const char *r3_virtio_feature_name(unsigned bit)
{
	static const char *const name[] = {
		[VIRTIO_F_NOTIFY_ON_EMPTY] = "NOTIFY_ON_EMPTY",
		[VIRTIO_F_ANY_LAYOUT] = "ANY_LAYOUT",
		[VIRTIO_F_INDIRECT_DESC] = "INDIRECT_DESC",
		[VIRTIO_F_EVENT_IDX] = "EVENT_IDX",
		[VIRTIO_F_VERSION_1] = "VERSION_1",
		[VIRTIO_F_ACCESS_PLATFORM] = "ACCESS_PLATFORM",
		[VIRTIO_F_RING_PACKED] = "RING_PACKED",
		[VIRTIO_F_IN_ORDER] = "IN_ORDER",
		[VIRTIO_F_ORDER_PLATFORM] = "ORDER_PLATFORM",
		[VIRTIO_F_SR_IOV] = "SR_IOV",
		[VIRTIO_F_NOTIFICATION_DATA] = "NOTIFICATION_DATA",
		[VIRTIO_F_NOTIF_CONFIG_DATA] = "NOTIF_CONFIG_DATA",
		[VIRTIO_F_RING_RESET] = "RING_RESET",
	};

	return bit < sizeof(name) / sizeof(name[0]) ? name[bit] : NULL;
}

/* "RING_PACKED, bit 13" */
static void name_features(uint64_t features, char *text, size_t room)
{
	size_t at = 0;

	*text = 0;
	for (unsigned bit = 0; bit < 64 && at < room; bit++) {
		const char *name = r3_virtio_feature_name(bit);
		const char *comma = at ? ", " : "";

		if (!(features >> bit & 1))
			continue;
		if (name)
			at += (size_t)snprintf(text + at, room - at, "%s%s", comma, name);
		else
			at += (size_t)snprintf(text + at, room - at, "%sbit %u", comma, bit);
	}
}

/* ---- status ---- */

int r3_virtio_alive(struct r3_virtio *v)
{
	if (r3_device_gone(v->dev) || r3_virtio_get(v, 8, device_status) == UINT8_MAX)
		return r3_error_set(ENODEV,
				    "%s: registers read all ones: the device is gone, or has "
				    "been reset from outside",
				    v->name);
	return 0;
}

static void add_status(struct r3_virtio *v, unsigned bits)
{
	v->status |= (uint8_t)bits;
	r3_virtio_put(v, 8, device_status, v->status);
}

int r3_virtio_health(struct r3_virtio *v)
{
	unsigned status = r3_virtio_get(v, 8, device_status);

	if (status == UINT8_MAX || r3_device_gone(v->dev))
		return r3_virtio_alive(v);
	if (status & VIRTIO_STATUS_DEVICE_NEEDS_RESET)
		return r3_error_set(EIO, "%s: the device says that it needs a reset", v->name);
	if (status != v->status)
		return r3_error_set(EIO, "%s: device_status is 0x%x, and was set to 0x%x", v->name,
				    status, v->status);
	return 0;
}

int r3_virtio_ready(struct r3_virtio *v)
{
	add_status(v, VIRTIO_STATUS_DRIVER_OK);
	return r3_virtio_health(v);
}

void r3_virtio_fail(struct r3_virtio *v)
{
	struct r3_kept_text why; /* something failed before: that is what matters */

	r3_error_keep(&why);
	add_status(v, VIRTIO_STATUS_FAILED);
	r3_error_put_back(&why);
}

/* 4.1.4.3.2: the reset is complete when the status reads 0. */
static int reset(struct r3_virtio *v)
{
	struct r3_wait wait = r3_wait_begin(v->clock, RESET_TIMEOUT);
	unsigned status;

	v->status = 0;
	r3_virtio_put(v, 8, device_status, 0);
	while ((status = r3_virtio_get(v, 8, device_status)) != 0) {
		int rc = r3_virtio_alive(v);

		if (rc < 0)
			return rc;
		if (!r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT,
					    "%s: the device is not reset within %" PRIu64
					    " s: device_status 0x%x",
					    v->name, RESET_TIMEOUT / R3_NSEC_PER_SEC, status);
	}
	return 0;
}

/* ---- features ---- */

static uint64_t read_offered(struct r3_virtio *v)
{
	uint64_t offered;

	r3_virtio_put(v, 32, device_feature_select, 0);
	offered = r3_virtio_get(v, 32, device_feature);
	r3_virtio_put(v, 32, device_feature_select, 1);
	return offered | (uint64_t)r3_virtio_get(v, 32, device_feature) << 32;
}

static int check_offered(struct r3_virtio *v, uint64_t required)
{
	uint64_t missing = required & ~v->offered;
	char names[160];

	if (!(v->offered >> VIRTIO_F_VERSION_1 & 1))
		return r3_error_set(EOPNOTSUPP,
				    "%s: offers the features 0x%" PRIx64 " without VERSION_1: "
				    "only the legacy interface of virtio, which is not supported",
				    v->name, v->offered);
	if (missing) {
		name_features(missing, names, sizeof(names));
		return r3_error_set(EOPNOTSUPP, "%s: does not offer what is required: %s", v->name,
				    names);
	}
	return 0;
}

/* Features whose registers a short common configuration does not have. */
static int check_registers(struct r3_virtio *v)
{
	if ((r3_virtio_has(v, VIRTIO_F_NOTIF_CONFIG_DATA) &&
	     v->common.len < VIRTIO_PCI_COMMON(queue_notify_data) + 2) ||
	    (r3_virtio_has(v, VIRTIO_F_RING_RESET) &&
	     v->common.len < VIRTIO_PCI_COMMON(queue_reset) + 2))
		return r3_error_set(EIO,
				    "%s: offers NOTIF_CONFIG_DATA or RING_RESET, and has no "
				    "register for it in the %" PRIu64
				    " bytes of its common configuration",
				    v->name, v->common.len);
	return 0;
}

static int agree(struct r3_virtio *v, uint64_t wanted, uint64_t required)
{
	char names[160];
	int rc;

	add_status(v, VIRTIO_STATUS_ACKNOWLEDGE);
	add_status(v, VIRTIO_STATUS_DRIVER);
	v->offered = read_offered(v);
	rc = r3_virtio_alive(v);
	if (rc == 0)
		rc = check_offered(v, required);
	if (rc < 0)
		return rc;
	v->features = v->offered & (wanted | PLATFORM);
	rc = check_registers(v);
	if (rc < 0)
		return rc;

	r3_virtio_put(v, 32, driver_feature_select, 0);
	r3_virtio_put(v, 32, driver_feature, (uint32_t)v->features);
	r3_virtio_put(v, 32, driver_feature_select, 1);
	r3_virtio_put(v, 32, driver_feature, (uint32_t)(v->features >> 32));
	add_status(v, VIRTIO_STATUS_FEATURES_OK);
	if (r3_virtio_get(v, 8, device_status) & VIRTIO_STATUS_FEATURES_OK)
		return r3_virtio_alive(v);
	name_features(v->features, names, sizeof(names));
	return r3_error_set(EOPNOTSUPP, "%s: the device refuses its own features together: %s",
			    v->name, names);
}

int r3_virtio_begin(struct r3_virtio *v, uint64_t wanted, uint64_t required)
{
	char names[160];
	int rc;

	required |= VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	wanted |= required;
	if (wanted & ~(KNOWN | DEVICE_TYPE)) {
		name_features(wanted & ~(KNOWN | DEVICE_TYPE), names, sizeof(names));
		return r3_error_set(EINVAL, "%s: features that are not for drivers: %s", v->name,
				    names);
	}
	rc = reset(v);
	if (rc < 0)
		return rc;
	rc = agree(v, wanted, required);
	if (rc < 0)
		goto failed;
	v->nqueues = r3_virtio_get(v, 16, num_queues);
	rc = r3_virtio_alive(v);
	if (rc == 0 && !v->nqueues)
		rc = r3_error_set(EIO, "%s: the device has no queues", v->name);
	if (rc == 0)
		rc = r3_pci_enable(v->dev, R3_PCI_MASTER, 0);
	if (rc < 0)
		goto failed;
	return 0;

failed:
	r3_virtio_fail(v);
	return rc;
}

/* ---- stop and restart ---- */

/* From outside. What resets a function also turns its decoding and vectors off. */
static int reset_function(struct r3_virtio *v)
{
	int rc = r3_device_reset(v->dev, R3_RESET_ANY);

	if (rc < 0 && rc != -EOPNOTSUPP)
		return rc;
	rc = r3_pci_enable(v->dev, R3_PCI_MEMORY, 0);
	if (rc == 0 && v->irq)
		rc = r3_irq_restore(v->irq);
	if (rc == 0)
		rc = reset(v);
	return rc;
}

int r3_virtio_stop(struct r3_virtio *v)
{
	struct r3_kept_text before, why;
	int rc;

	r3_error_keep(&before);
	rc = reset(v);
	if (rc == 0)
		return 0;
	/* A function that is there in configuration space only has lost its decoding. */
	if (!r3_device_gone(v->dev) && r3_pci_read16(v->dev, PCI_VENDOR_ID) != UINT16_MAX) {
		r3_log(R3_LOG_WARN, "%s: resetting the function: %s", v->name, r3_error_text());
		rc = reset_function(v);
		if (rc == 0) {
			r3_error_put_back(&before);
			return 0;
		}
	}
	r3_error_keep(&why);
	if (!r3_device_gone(v->dev))
		(void)r3_pci_enable(v->dev, 0, R3_PCI_MASTER);
	r3_error_put_back(&why);
	return rc;
}

static int restart(struct r3_virtio *v, uint64_t features, struct r3_virtio_queue *const *queues,
		   unsigned n)
{
	int rc = r3_virtio_begin(v, features, features);

	if (rc < 0)
		return rc;
	if (v->features != features)
		return r3_error_set(EIO,
				    "%s: offers the features 0x%" PRIx64 " after a reset, which do "
				    "not go with the 0x%" PRIx64 " agreed on before",
				    v->name, v->offered, features);
	rc = r3_virtio_config_vector(v);
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = r3_virtio_queue_start(v, queues[i]);
	if (rc == 0)
		rc = r3_virtio_ready(v);
	return rc;
}

int r3_virtio_restart(struct r3_virtio *v, struct r3_virtio_queue *const *queues, unsigned n)
{
	uint64_t features = v->features;
	int rc = restart(v, features, queues, n);

	if (rc < 0) {
		v->features = features; /* for the next try */
		r3_virtio_fail(v);
	}
	return rc;
}
