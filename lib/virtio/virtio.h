/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modern virtio-pci transport (OASIS virtio 1.2, 4.1), for drivers: what every
 * virtio device has in common behind its PCI function, apart from the rings.
 *
 * Life, in the order of 3.1.1:
 *
 *      r3_virtio_init(v, dev);                 find the registers, check where they are
 *      r3_virtio_begin(v, wanted, required);   reset, and agree on features
 *      r3_virtio_irq_enable(v, nqueues);       MSI-X, else the pin; config change: vector 0
 *      r3_virtio_config_read(v, ...);          what the device says about itself
 *      r3_virtio_queue_most(v, i, &size);      then make rings
 *      r3_virtio_queue_start(v, &queue);
 *      r3_virtio_ready(v);                     DRIVER_OK: notify from now on
 *      ...
 *      r3_virtio_stop(v);                      from here on it touches no memory of ours
 *      r3_virtio_irq_disable(v);
 *
 * After r3_virtio_stop() and with rings as new, r3_virtio_restart() goes through all of
 * it again. Everything belongs to the thread of the device; only r3_virtio_notify() is
 * its queue's thread's.
 *
 * The device can lie: places, sizes and offsets are checked here before they are used.
 * Registers that read all ones mean that the device is gone (-ENODEV), or that its
 * memory decoding is off, which r3_virtio_stop() mends.
 */
#ifndef RING3_VIRTIO_VIRTIO_H
#define RING3_VIRTIO_VIRTIO_H

#include "util/kit.h"

#include <ring3/device.h>
#include <ring3/dma.h>
#include <ring3/irq.h>
#include <ring3/spec/virtio.h>
#include <ring3/spec/virtio_pci.h>

/** Where a capability says that registers are; len is 0 where there is none. */
struct r3_virtio_area {
	struct r3_region *region;
	uint64_t off, len; /* inside of the region */
};

/** Embed it; to be read by the driver, written by nobody but the transport. */
struct r3_virtio {
	struct r3_device *dev;
	const char *name; /* the device's, for messages */
	struct r3_clock *clock;
	unsigned id; /* enum virtio_id */
	struct r3_virtio_area common, notify, isr, config;
	uint32_t notify_multiplier;
	unsigned nqueues;  /* that the device has, 1 or more; after begin */
	uint64_t offered;  /* features: the device's, */
	uint64_t features; /* and those agreed on */
	struct r3_irq_set *irq;
	uint8_t status;     /* as written last */
	uint8_t generation; /* of the configuration last read */
};

/** Identify the device, turn on memory decoding and find the registers. Nothing is
 *  allocated, so there is nothing to undo.
 *  Errors: ENODEV gone; EOPNOTSUPP not a virtio device, or one without the modern
 *  interface (the text names the remedy); EIO its capabilities make no sense. */
R3_KIT int r3_virtio_init(struct r3_virtio *v, struct r3_device *dev);

/** The same without a write: for who only wants to know where the registers are. */
int r3_virtio_find(struct r3_virtio *v, struct r3_device *dev);

/** Reset the device, then agree on those features of @wanted and @required that it
 *  offers; VERSION_1 is required always, ACCESS_PLATFORM and ORDER_PLATFORM are taken
 *  where they are offered. Turns on bus mastering once the device is quiet.
 *  Errors: EOPNOTSUPP a required feature is missing (the text names it), or the device
 *  refuses the set; EIO what it offers contradicts itself; ETIMEDOUT; ENODEV; EINVAL
 *  @wanted has features that no modern driver may take. */
R3_KIT int r3_virtio_begin(struct r3_virtio *v, uint64_t wanted, uint64_t required);

static inline bool r3_virtio_has(const struct r3_virtio *v, unsigned feature)
{
	return v->features >> feature & 1;
}

/** DRIVER_OK. Errors: EIO the device needs a reset at once; ENODEV. */
R3_KIT int r3_virtio_ready(struct r3_virtio *v);

/** Give up: FAILED. The device is not used again without r3_virtio_begin(). Leaves the
 *  text of the failure alone. */
void r3_virtio_fail(struct r3_virtio *v);

/** Whether a device that was made ready is in order. One register read.
 *  Errors: ENODEV all ones; EIO it needs a reset, or somebody has reset it. */
R3_KIT int r3_virtio_health(struct r3_virtio *v);

/** Stop the device: reset it, and where it does not obey reset its PCI function. When
 *  this succeeds it transfers nothing any more. Interrupts stay enabled, and vectors and
 *  queues are forgotten by the device. Bounded.
 *  Errors: ETIMEDOUT, ENODEV, EIO: whatever it was, its text; then bus mastering is off. */
R3_KIT int r3_virtio_stop(struct r3_virtio *v);

/* ---- interrupts ---- */

/** Enable 1 + @nqueues MSI-X vectors, or as many as there are; where there is no MSI-X,
 *  the pin. Vector 0 tells of configuration changes. Before any queue is started.
 *  Errors: as r3_irq_enable(); EIO the device does not take vector 0. */
R3_KIT int r3_virtio_irq_enable(struct r3_virtio *v, unsigned nqueues);
R3_KIT void r3_virtio_irq_disable(struct r3_virtio *v);

/** The vector of queue @index: its own, or 0 where there are too few, or it is a pin.
 *  Who owns vector 0 forwards to the queues that share it. */
unsigned r3_virtio_vector(const struct r3_virtio *v, unsigned index);

static inline bool r3_virtio_has_pin(const struct r3_virtio *v)
{
	return v->irq && r3_irq_get_type(v->irq) == R3_IRQ_INTX;
}

/** VIRTIO_PCI_ISR_* of a device that interrupts by its pin. Reading clears it, and lowers
 *  the pin. 0 for a device that is gone. */
R3_KIT unsigned r3_virtio_isr(struct r3_virtio *v);

/* ---- device configuration (2.5) ---- */

/** A field: 1, 2, 4 or 8 bytes at an offset aligned for it (8 bytes: for 4). */
struct r3_virtio_field {
	uint16_t off;
	uint8_t width;
};

/** Read @n fields that belong together: none is older than another.
 *  Errors: EIO a field lies beyond the configuration that the device has, or the
 *  configuration does not stop changing; ENODEV; EINVAL width or alignment. */
R3_KIT int r3_virtio_config_read(struct r3_virtio *v, const struct r3_virtio_field *fields,
				 unsigned n, uint64_t *values);

/** Whether the configuration may have changed since it was last read. One register. */
R3_KIT bool r3_virtio_config_changed(struct r3_virtio *v);

/** Write one field. Errors: as r3_virtio_config_read(). */
int r3_virtio_config_write(struct r3_virtio *v, struct r3_virtio_field field, uint64_t value);

/* ---- queues ---- */

struct r3_virtio_queue {
	/* the driver's */
	uint16_t index;
	uint16_t size;                /* at most r3_virtio_queue_most(), legal for the layout */
	bool silent;                  /* it has no vector: it is only polled */
	r3_iova desc, driver, device; /* as struct virtio_pci_common_cfg */

	/* where to notify; the transport's */
	struct r3_region *notify_region;
	uint64_t notify_off;
	uint16_t notify_value;
	bool notify_data; /* VIRTIO_F_NOTIFICATION_DATA */
};

/** The most entries of queue @index; for a split ring a power of two.
 *  Errors: ENOENT no such queue; EIO its size is not legal; ENODEV. */
R3_KIT int r3_virtio_queue_most(struct r3_virtio *v, unsigned index, uint16_t *most);

/** Give the device a queue, whose rings are as new. Interrupts are enabled before, and
 *  the queue has vector r3_virtio_vector().
 *  Errors: EINVAL a size that is not legal; ENOENT no such queue; EIO the device does not
 *  take it, has no room for its vector, or wants to be notified outside of its notify
 *  area; ENODEV. */
R3_KIT int r3_virtio_queue_start(struct r3_virtio *v, struct r3_virtio_queue *queue);

/** Take one queue from the device; the others go on. When this succeeds the device
 *  does not touch its memory any more, and it can be started again. That is what 2.6.1
 *  promises; QEMU's block device, up to 7.2 at least, does not keep it.
 *  Errors: EOPNOTSUPP without VIRTIO_F_RING_RESET; ETIMEDOUT; ENODEV. */
int r3_virtio_queue_stop(struct r3_virtio *v, const struct r3_virtio_queue *queue);

/** Tell the device that the queue has something. @next is where the next buffer will be
 *  (VIRTIO_PCI_NOTIFY_DATA); it is looked at only with VIRTIO_F_NOTIFICATION_DATA. */
static inline void r3_virtio_notify(const struct r3_virtio_queue *queue, uint16_t next)
{
	if (__builtin_expect(queue->notify_data, 0))
		r3_write32(queue->notify_region, queue->notify_off,
			   VIRTIO_PCI_NOTIFY_DATA(queue->notify_value, next));
	else
		r3_write16(queue->notify_region, queue->notify_off, queue->notify_value);
}

/** After r3_virtio_stop(), with the rings of @n queues as new: the same features, vectors
 *  and queues again, and ready.
 *  Errors: as of all the steps; EIO the device offers less than before. */
R3_KIT int r3_virtio_restart(struct r3_virtio *v, struct r3_virtio_queue *const *queues,
			     unsigned n);

/** The specification's name of a feature bit of every device; NULL for others. */
const char *r3_virtio_feature_name(unsigned bit);

#endif
