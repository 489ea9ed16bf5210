/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues in the device, and their vectors. Where each register belongs to the queue last
 * selected (4.1.4.3), all of it happens in the device's thread.
 *
 * MSI-X is enabled before any vector is named, because a device may refuse the name of a
 * vector that is not (4.1.5.1.2).
 */
#include "virtio/internal.h"

#include <ring3/error.h>

#include <errno.h>
#include <inttypes.h>

#define RESET_TIMEOUT R3_NSEC_PER_SEC

/* ---- vectors ---- */

static bool has_msix(const struct r3_virtio *v)
{
	return v->irq && r3_irq_get_type(v->irq) == R3_IRQ_MSIX;
}

int r3_virtio_config_vector(struct r3_virtio *v)
{
	uint16_t got;
	int rc;

	if (!has_msix(v))
		return 0;
	r3_virtio_put(v, 16, config_msix_vector, 0);
	got = r3_virtio_get(v, 16, config_msix_vector);
	rc = r3_virtio_alive(v);
	if (rc == 0 && got)
		rc = r3_error_set(EIO,
				  "%s: the device does not tell of configuration changes by "
				  "vector 0: config_msix_vector reads 0x%x",
				  v->name, got);
	return rc;
}

int r3_virtio_irq_enable(struct r3_virtio *v, unsigned nqueues)
{
	/* Virtio has no MSI: its vectors are numbers in the table of MSI-X. */
	bool msix = r3_device_get_info(v->dev)->nirqs[R3_IRQ_MSIX];
	int rc = r3_irq_enable(v->dev, msix ? R3_IRQ_MSIX : R3_IRQ_INTX, 1, msix ? nqueues + 1 : 1,
			       &v->irq);

	if (rc < 0)
		return rc;
	rc = r3_virtio_config_vector(v);
	if (rc < 0)
		r3_virtio_irq_disable(v);
	return rc;
}

void r3_virtio_irq_disable(struct r3_virtio *v)
{
	r3_irq_disable(v->irq);
	v->irq = NULL;
}

unsigned r3_virtio_vector(const struct r3_virtio *v, unsigned index)
{
	return has_msix(v) && index + 1 < r3_irq_count(v->irq) ? index + 1 : 0;
}

unsigned r3_virtio_isr(struct r3_virtio *v)
{
	unsigned isr = r3_read8(v->isr.region, v->isr.off);

	return isr == UINT8_MAX ? 0 : isr & (VIRTIO_PCI_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG);
}

/* ---- queues ---- */

static bool legal_size(const struct r3_virtio *v, unsigned size)
{
	return size && size <= VIRTQ_SIZE_MAX &&
	       (r3_virtio_has(v, VIRTIO_F_RING_PACKED) || !(size & (size - 1)));
}

int r3_virtio_queue_most(struct r3_virtio *v, unsigned index, uint16_t *most)
{
	uint16_t size;
	int rc;

	if (index >= v->nqueues)
		return r3_error_set(ENOENT, "%s: no queue %u: the device has %u", v->name, index,
				    v->nqueues);
	r3_virtio_put(v, 16, queue_select, (uint16_t)index);
	size = r3_virtio_get(v, 16, queue_size);
	rc = r3_virtio_alive(v);
	if (rc < 0)
		return rc;
	if (!size)
		return r3_error_set(ENOENT, "%s: no queue %u: its size is 0", v->name, index);
	if (!legal_size(v, size))
		return r3_error_set(EIO, "%s: queue %u has a size of %u, which no %s ring may have",
				    v->name, index, size,
				    r3_virtio_has(v, VIRTIO_F_RING_PACKED) ? "packed" : "split");
	*most = size;
	return 0;
}

/* 2.7, 2.8: the alignment of the parts. */
static int check_queue(const struct r3_virtio *v, const struct r3_virtio_queue *queue,
		       uint16_t most)
{
	unsigned driver_align = r3_virtio_has(v, VIRTIO_F_RING_PACKED) ? 4 : 2;

	if (queue->size > most || !legal_size(v, queue->size))
		return r3_error_set(EINVAL, "%s: queue %u cannot have %u entries: the most is %u",
				    v->name, queue->index, queue->size, most);
	if (queue->desc.v % 16 || queue->driver.v % driver_align || queue->device.v % 4)
		return r3_error_set(EINVAL, "%s: the parts of queue %u are not aligned", v->name,
				    queue->index);
	return 0;
}

static int place_notify(struct r3_virtio *v, struct r3_virtio_queue *queue)
{
	bool data = r3_virtio_has(v, VIRTIO_F_NOTIFICATION_DATA);
	uint64_t width = data ? 4 : 2;
	uint64_t off = (uint64_t)r3_virtio_get(v, 16, queue_notify_off) * v->notify_multiplier;

	if (off > v->notify.len || v->notify.len - off < width || (v->notify.off + off) % width)
		return r3_error_set(EIO,
				    "%s: queue %u wants to be notified at 0x%" PRIx64 ", in a "
				    "notification area of 0x%" PRIx64 " bytes",
				    v->name, queue->index, off, v->notify.len);
	queue->notify_region = v->notify.region;
	queue->notify_off = v->notify.off + off;
	queue->notify_data = data;
	queue->notify_value = queue->index;
	if (r3_virtio_has(v, VIRTIO_F_NOTIF_CONFIG_DATA))
		queue->notify_value = r3_virtio_get(v, 16, queue_notify_data);
	return 0;
}

static int set_vector(struct r3_virtio *v, const struct r3_virtio_queue *queue)
{
	unsigned want = VIRTIO_MSI_NO_VECTOR, got;

	if (!has_msix(v))
		return 0;
	if (!queue->silent)
		want = r3_virtio_vector(v, queue->index);
	r3_virtio_put(v, 16, queue_msix_vector, (uint16_t)want);
	got = r3_virtio_get(v, 16, queue_msix_vector);
	if (got != want)
		return r3_error_set(EIO,
				    "%s: the device has no room for vector %u of queue %u: "
				    "queue_msix_vector reads 0x%x",
				    v->name, want, queue->index, got);
	return 0;
}

/* 64-bit fields are written as two halves (4.1.3.1). */
static void put_address(struct r3_virtio *v, unsigned field, r3_iova iova)
{
	r3_write32(v->common.region, v->common.off + field, (uint32_t)iova.v);
	r3_write32(v->common.region, v->common.off + field + 4, (uint32_t)(iova.v >> 32));
}

static int set_up(struct r3_virtio *v, struct r3_virtio_queue *queue)
{
	unsigned size;
	int rc;

	if (r3_virtio_get(v, 16, queue_enable))
		return r3_error_set(EIO, "%s: queue %u is enabled already", v->name, queue->index);
	r3_virtio_put(v, 16, queue_size, queue->size);
	size = r3_virtio_get(v, 16, queue_size);
	if (size != queue->size)
		return r3_error_set(EIO, "%s: queue %u has %u entries after %u were asked for",
				    v->name, queue->index, size, queue->size);
	rc = place_notify(v, queue);
	if (rc == 0)
		rc = set_vector(v, queue);
	if (rc < 0)
		return rc;
	put_address(v, VIRTIO_PCI_COMMON(queue_desc), queue->desc);
	put_address(v, VIRTIO_PCI_COMMON(queue_driver), queue->driver);
	put_address(v, VIRTIO_PCI_COMMON(queue_device), queue->device);
	r3_virtio_put(v, 16, queue_enable, 1);
	if (r3_virtio_get(v, 16, queue_enable) != 1)
		return r3_error_set(EIO, "%s: queue %u does not become enabled", v->name,
				    queue->index);
	return 0;
}

int r3_virtio_queue_start(struct r3_virtio *v, struct r3_virtio_queue *queue)
{
	uint16_t most;
	int rc = r3_virtio_queue_most(v, queue->index, &most);
	if (rc == 0)
		rc = check_queue(v, queue, most);
	if (rc < 0)
		return rc;
	rc = set_up(v, queue);

	int alive = r3_virtio_alive(v); /* all ones explain whatever looked wrong */

	return alive < 0 ? alive : rc;
}

int r3_virtio_queue_stop(struct r3_virtio *v, const struct r3_virtio_queue *queue)
{
	struct r3_wait wait = r3_wait_begin(v->clock, RESET_TIMEOUT);

	if (!r3_virtio_has(v, VIRTIO_F_RING_RESET))
		return r3_error_set(EOPNOTSUPP, "%s: one queue cannot be reset (no RING_RESET)",
				    v->name);
	r3_virtio_put(v, 16, queue_select, queue->index);
	r3_virtio_put(v, 16, queue_reset, 1);
	/* 2.6.1: complete when it reads 0 */
	while (r3_virtio_get(v, 16, queue_reset)) {
		int rc = r3_virtio_alive(v);

		if (rc < 0)
			return rc;
		if (!r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT,
					    "%s: queue %u is not reset within %" PRIu64 " s",
					    v->name, queue->index, RESET_TIMEOUT / R3_NSEC_PER_SEC);
	}
	return 0;
}
