/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio over PCI (OASIS virtio 1.2, 4.1): identities, the capabilities that say where
 * the registers are, and the registers. Every integer is little-endian. The structures
 * mirror the specification; registers are accessed by their offsets, one field each.
 */
#ifndef RING3_SPEC_VIRTIO_PCI_H
#define RING3_SPEC_VIRTIO_PCI_H

#include <ring3/api.h>
#include <stddef.h>

#ifdef __cplusplus
#define VIRTIO_PCI_ASSERT(what) static_assert(what, #what)
#else
#define VIRTIO_PCI_ASSERT(what) _Static_assert(what, #what)
#endif

/* ---- identities (4.1.2) ---- */

#define VIRTIO_PCI_VENDOR        0x1af4
#define VIRTIO_PCI_DEVICE_FIRST  0x1000 /* transitional: the type is the subsystem's id */
#define VIRTIO_PCI_DEVICE_MODERN 0x1040 /* plus the type (enum virtio_id) */
#define VIRTIO_PCI_DEVICE_LAST   0x107f
#define VIRTIO_PCI_TRANSITIONAL(id) \
	((id) >= VIRTIO_PCI_DEVICE_FIRST && (id) < VIRTIO_PCI_DEVICE_MODERN)

/* ---- capabilities (4.1.4), vendor-specific ones of PCI ---- */

enum virtio_pci_cfg_type {
	VIRTIO_PCI_CAP_COMMON_CFG = 1,
	VIRTIO_PCI_CAP_NOTIFY_CFG = 2,
	VIRTIO_PCI_CAP_ISR_CFG = 3,
	VIRTIO_PCI_CAP_DEVICE_CFG = 4,
	VIRTIO_PCI_CAP_PCI_CFG = 5, /* a window into the BARs, for who cannot map them */
	VIRTIO_PCI_CAP_SHARED_MEMORY_CFG = 8,
	VIRTIO_PCI_CAP_VENDOR_CFG = 9,
};

struct virtio_pci_cap {
	uint8_t cap_vndr; /* PCI_CAP_ID_VNDR */
	uint8_t cap_next;
	uint8_t cap_len;
	uint8_t cfg_type; /* enum virtio_pci_cfg_type; others are to be ignored */
	uint8_t bar;      /* 0 to 5; others are reserved: ignore the capability */
	uint8_t id;
	uint8_t padding[2];
	uint32_t offset; /* in the BAR */
	uint32_t length;
};

struct virtio_pci_cap64 {
	struct virtio_pci_cap cap;
	uint32_t offset_hi;
	uint32_t length_hi;
};

struct virtio_pci_notify_cap {
	struct virtio_pci_cap cap;
	uint32_t notify_off_multiplier; /* times queue_notify_off; 0, or an even power of two */
};

struct virtio_pci_cfg_cap {
	struct virtio_pci_cap cap;
	uint8_t pci_cfg_data[4];
};

VIRTIO_PCI_ASSERT(offsetof(struct virtio_pci_cap, bar) == 4);
VIRTIO_PCI_ASSERT(offsetof(struct virtio_pci_cap, offset) == 8);
VIRTIO_PCI_ASSERT(offsetof(struct virtio_pci_cap, length) == 12);
VIRTIO_PCI_ASSERT(sizeof(struct virtio_pci_cap) == 16);
VIRTIO_PCI_ASSERT(sizeof(struct virtio_pci_cap64) == 24);
VIRTIO_PCI_ASSERT(sizeof(struct virtio_pci_notify_cap) == 20);
VIRTIO_PCI_ASSERT(sizeof(struct virtio_pci_cfg_cap) == 20);

/* ---- common configuration (4.1.4.3) ---- */

struct virtio_pci_common_cfg {
	/* the whole device */
	uint32_t device_feature_select; /* which 32 bits of the features */
	uint32_t device_feature;        /* read-only */
	uint32_t driver_feature_select;
	uint32_t driver_feature;
	uint16_t config_msix_vector;
	uint16_t num_queues;       /* read-only */
	uint8_t device_status;     /* VIRTIO_STATUS_* */
	uint8_t config_generation; /* read-only; changes with the configuration */

	/* the queue selected */
	uint16_t queue_select;
	uint16_t queue_size; /* 0: no such queue; can be made smaller */
	uint16_t queue_msix_vector;
	uint16_t queue_enable;
	uint16_t queue_notify_off;  /* read-only; times notify_off_multiplier */
	uint64_t queue_desc;        /* addresses: descriptor area, */
	uint64_t queue_driver;      /* driver area (available ring), */
	uint64_t queue_device;      /* device area (used ring) */
	uint16_t queue_notify_data; /* VIRTIO_F_NOTIF_CONFIG_DATA; read-only */
	uint16_t queue_reset;       /* VIRTIO_F_RING_RESET */
	uint32_t padding;
};

#define VIRTIO_PCI_COMMON(field) offsetof(struct virtio_pci_common_cfg, field)

VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(driver_feature) == 0x0c);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(config_msix_vector) == 0x10);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(device_status) == 0x14);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(config_generation) == 0x15);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(queue_select) == 0x16);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(queue_notify_off) == 0x1e);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(queue_desc) == 0x20);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(queue_driver) == 0x28);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(queue_device) == 0x30);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(queue_notify_data) == 0x38);
VIRTIO_PCI_ASSERT(VIRTIO_PCI_COMMON(queue_reset) == 0x3a);

/* Of a device of virtio 1.0 or 1.1, which ends before queue_notify_data. */
#define VIRTIO_PCI_COMMON_LEN_1_0 VIRTIO_PCI_COMMON(queue_notify_data)

#define VIRTIO_MSI_NO_VECTOR 0xffff /* no interrupt; read back: the device has no room */

/* ---- ISR status (4.1.4.5): one byte, reading it clears it and lowers the pin ---- */

#define VIRTIO_PCI_ISR_QUEUE  0x01 /* a queue has something */
#define VIRTIO_PCI_ISR_CONFIG 0x02 /* the configuration changed */

/* ---- notifications (4.1.5.2): what is written to a queue's place ---- */

/* Without further features the queue's number, 16 bits. With VIRTIO_F_NOTIFICATION_DATA 32
 * bits (2.9): below the queue, above where the next buffer will be made available. That is
 * the available index where the ring is split, else the offset in the ring with the wrap
 * counter on top (bit 15). */
#define VIRTIO_PCI_NOTIFY_DATA(queue, next) ((uint32_t)(queue) | (uint32_t)(next) << 16)

#endif
