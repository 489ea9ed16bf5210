/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device as far as the transport sees it: capabilities, common configuration,
 * four queues that do nothing. It obeys the specification, until a test gives it a lie.
 */
#ifndef VIRTIO_TEST_MODEL_H
#define VIRTIO_TEST_MODEL_H

#include "unit.h"

#include "fake/fake_clock.h"
#include "fake/fake_device.h"
#include "virtio/virtio.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <ring3/error.h>
#include <string.h>

#define MODEL_QUEUES  4u
#define MODEL_ENTRIES 128u

/* Where the areas are in BAR 0, and their capabilities in configuration space. */
#define MODEL_COMMON 0x1000u
#define MODEL_ISR    0x2000u
#define MODEL_CONFIG 0x2400u
#define MODEL_NOTIFY 0x3000u

#define MODEL_CAP_COMMON 0xb0u
#define MODEL_CAP_NOTIFY 0xc0u
#define MODEL_CAP_ISR    0xd4u
#define MODEL_CAP_CONFIG 0xe4u

#define MODEL_CONFIG_LEN 0x20u

struct model_queue {
	uint16_t size, vector, enable, reset;
	uint64_t address[3]; /* of descriptors, the driver's part, the device's */
};

struct model {
	struct fake_device *fake;
	struct fake_clock clock;
	struct fake_remains remains;

	uint64_t features; /* offered, */
	uint64_t accepted; /* and written by the driver */
	uint32_t device_select, driver_select;
	uint16_t config_vector, nqueues, select;
	uint16_t entries; /* of queue_size after a reset */
	uint8_t status, generation, isr;
	struct model_queue queue[MODEL_QUEUES];
	uint8_t config[MODEL_CONFIG_LEN];

	unsigned resets;
	uint64_t notify_off, notified; /* of the last notification, in the area */
	unsigned notify_width;

	/** After the device's answer to a read of the common configuration. May be NULL. */
	void (*lie)(struct model *model, unsigned off, uint64_t *value);
	unsigned lie_off, lie_after; /* model_lie()'s */
	uint64_t lie_value;
	unsigned left; /* accesses until it is removed; 0: it stays */
};

/** A good device, adopted. Close &model->fake->base. */
void model_open(struct model *model);

/** The same in two steps, for tests that change its configuration space. */
void model_make(struct model *model);
void model_adopt(struct model *model);

/** From now on the field at @off of the common configuration reads @value, once it has been
 *  read @after times more. */
void model_lie(struct model *model, unsigned off, uint64_t value, unsigned after);

/** Write a capability's fields. */
void model_cap(struct model *model, unsigned at, unsigned type, unsigned bar, uint32_t off,
	       uint32_t len);

#define MODEL_GOOD_FEATURES \
	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) | \
	 VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) | VIRTIO_FEATURE(5))

#endif
