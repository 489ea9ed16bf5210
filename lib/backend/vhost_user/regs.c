/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of virtio-pci (4.1.4) in BAR0. What a driver writes is kept until it says
 * that it is ready (DRIVER_OK): the back-end is told of queues only then, as QEMU does.
 */
#include "backend/vhost_user/vhost_user.h"

#include <ring3/error.h>
#include <ring3/log.h>
#include <string.h>

#define FEATURES_OK VIRTIO_STATUS_FEATURES_OK
#define DRIVER_OK   VIRTIO_STATUS_DRIVER_OK

static void queue_reset(const struct vuf_device *vuf, struct vuf_queue *q)
{
	*q = (struct vuf_queue){
		.kick = q->kick, .size = vuf->queue_size, .vector = VIRTIO_MSI_NO_VECTOR};
}

void vuf_regs_reset(struct vuf_device *vuf)
{
	vuf->device_select = vuf->driver_select = 0;
	vuf->features = 0;
	vuf->config_vector = VIRTIO_MSI_NO_VECTOR;
	vuf->queue_select = 0;
	vuf->status = 0;
	for (unsigned i = 0; i < vuf->nqueues; i++)
		queue_reset(vuf, &vuf->queue[i]);
}

/* ---- reading ---- */

static uint32_t half(uint64_t features, uint32_t select)
{
	return select > 1 ? 0 : (uint32_t)(features >> 32 * select);
}

static struct virtio_pci_common_cfg common(const struct vuf_device *vuf)
{
	static const struct vuf_queue none;
	const struct vuf_queue *q =
		vuf->queue_select < vuf->nqueues ? &vuf->queue[vuf->queue_select] : &none;

	return (struct virtio_pci_common_cfg){
		.device_feature_select = R3_LE32(vuf->device_select),
		.device_feature = R3_LE32(half(vuf->offered, vuf->device_select)),
		.driver_feature_select = R3_LE32(vuf->driver_select),
		.driver_feature = R3_LE32(half(vuf->features, vuf->driver_select)),
		.config_msix_vector = R3_LE16(vuf->config_vector),
		.num_queues = R3_LE16(vuf->nqueues),
		.device_status = vuf->status,
		.config_generation = vuf->generation,
		.queue_select = R3_LE16(vuf->queue_select),
		.queue_size = R3_LE16(q->size),
		.queue_msix_vector = R3_LE16(q == &none ? VIRTIO_MSI_NO_VECTOR : q->vector),
		.queue_enable = R3_LE16(q->enabled),
		.queue_notify_off = R3_LE16(vuf->queue_select),
		.queue_desc = R3_LE64(q->desc),
		.queue_driver = R3_LE64(q->driver),
		.queue_device = R3_LE64(q->device),
	};
}

uint64_t vuf_read(struct vuf_device *vuf, uint64_t off, unsigned width)
{
	struct virtio_pci_common_cfg cfg;
	const void *from = NULL;
	uint64_t len = 0, le = 0, at = off % VUF_PAGE;

	switch (off - at) {
	case VUF_COMMON:
		cfg = common(vuf);
		from = &cfg;
		len = sizeof(cfg);
		break;
	case VUF_CONFIG:
		from = vuf->config;
		len = vuf->config_len;
		break;
	default: /* no interrupt by pin; what notifies reads as zero */
		break;
	}
	if (from && at < len && width <= len - at)
		memcpy(&le, (const uint8_t *)from + at, width);
	return R3_LE64(le);
}

/* ---- writing ---- */

static void set_half(uint64_t *value, unsigned which, uint32_t half_value)
{
	if (which > 1)
		return;
	*value &= ~((uint64_t)UINT32_MAX << 32 * which);
	*value |= (uint64_t)half_value << 32 * which;
}

/* Features that the back-end did not offer are not agreed on (3.1.1). */
static bool accept_features(struct vuf_device *vuf)
{
	uint64_t features = vuf->features | VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES);

	return !(vuf->features & ~vuf->offered) &&
	       vuf_tell_u64(vuf, VHOST_USER_SET_FEATURES, features) == 0;
}

static void set_status(struct vuf_device *vuf, uint8_t status)
{
	uint8_t new = status &(uint8_t)~vuf->status;

	if (!status) {
		if (vuf_stop(vuf) == 0)
			vuf_regs_reset(vuf);
		return;
	}
	if (new &FEATURES_OK && !accept_features(vuf))
		status &= (uint8_t)~FEATURES_OK;
	vuf->status = status;
	if (new &DRIVER_OK && vuf_start(vuf) < 0) {
		r3_log(R3_LOG_ERROR, "%s: a queue does not start: %s", vuf->name, r3_error_text());
		vuf->status |= VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	}
}

/* A vector that is not enabled reads back as none (4.1.5.1.2). */
static uint16_t known_vector(const struct vuf_device *vuf, uint64_t value)
{
	return value < vuf->nvectors ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
}

static void set_size(struct vuf_device *vuf, struct vuf_queue *q, uint64_t value)
{
	bool split = !(vuf->features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED));

	if (value && value <= vuf->queue_size && !(split && (value & (value - 1))))
		q->size = (uint16_t)value;
}

static void write_queue(struct vuf_device *vuf, struct vuf_queue *q, uint64_t at, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	if (q->enabled) /* nothing of it may change then (4.1.4.3.2) */
		return;
	switch (at) {
	case VIRTIO_PCI_COMMON(queue_size):
		set_size(vuf, q, value);
		break;
	case VIRTIO_PCI_COMMON(queue_msix_vector):
		q->vector = known_vector(vuf, value);
		break;
	case VIRTIO_PCI_COMMON(queue_enable):
		q->enabled = value == 1;
		break;
	case VIRTIO_PCI_COMMON(queue_desc):
	case VIRTIO_PCI_COMMON(queue_desc) + 4:
		set_half(&q->desc, at != VIRTIO_PCI_COMMON(queue_desc), low);
		break;
	case VIRTIO_PCI_COMMON(queue_driver):
	case VIRTIO_PCI_COMMON(queue_driver) + 4:
		set_half(&q->driver, at != VIRTIO_PCI_COMMON(queue_driver), low);
		break;
	case VIRTIO_PCI_COMMON(queue_device):
	case VIRTIO_PCI_COMMON(queue_device) + 4:
		set_half(&q->device, at != VIRTIO_PCI_COMMON(queue_device), low);
		break;
	default:
		break;
	}
}

static void write_common(struct vuf_device *vuf, uint64_t at, uint64_t value)
{
	switch (at) {
	case VIRTIO_PCI_COMMON(device_feature_select):
		vuf->device_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON(driver_feature_select):
		vuf->driver_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON(driver_feature):
		if (!(vuf->status & FEATURES_OK))
			set_half(&vuf->features, vuf->driver_select, (uint32_t)value);
		break;
	case VIRTIO_PCI_COMMON(config_msix_vector):
		vuf->config_vector = known_vector(vuf, value);
		break;
	case VIRTIO_PCI_COMMON(device_status):
		set_status(vuf, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON(queue_select):
		vuf->queue_select = (uint16_t)value;
		break;
	default:
		if (vuf->queue_select < vuf->nqueues)
			write_queue(vuf, &vuf->queue[vuf->queue_select], at, value);
	}
}

/* The back-end says whether the driver may write there. */
static void write_config(struct vuf_device *vuf, uint64_t at, unsigned width, uint64_t value)
{
	struct r3_vhost_user_msg msg;
	uint64_t le = R3_LE64(value);

	if (at >= vuf->config_len || width > vuf->config_len - at)
		return;
	r3_vhost_user_begin(&msg, VHOST_USER_SET_CONFIG, 0, R3_VHOST_USER_CONFIG_SIZE(width));
	msg.payload.config.offset = (uint32_t)at;
	msg.payload.config.size = width;
	memcpy(msg.payload.config.payload, &le, width);
	if (vuf_ask(vuf, &msg) == 0)
		memcpy(vuf->config + at, &le, width);
}

void vuf_write(struct vuf_device *vuf, uint64_t off, unsigned width, uint64_t value)
{
	uint64_t at = off % VUF_PAGE;

	if (off - at == VUF_COMMON)
		write_common(vuf, at, value);
	else if (off - at == VUF_CONFIG)
		write_config(vuf, at, width, value);
}
