/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual I/O Device, OASIS committee specification 1.2: what every device and every
 * transport share. Names are the specification's (and linux/virtio_*.h's where it gives
 * none), section numbers are of 1.2. The rings are in virtio_ring.h, the PCI transport in
 * virtio_pci.h.
 */
#ifndef RING3_SPEC_VIRTIO_H
#define RING3_SPEC_VIRTIO_H

#include <ring3/api.h>

/* ---- device types (5) ---- */

enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_RNG = 4,
	VIRTIO_ID_BALLOON = 5,
	VIRTIO_ID_SCSI = 8,
	VIRTIO_ID_9P = 9,
	VIRTIO_ID_GPU = 16,
	VIRTIO_ID_INPUT = 18,
	VIRTIO_ID_VSOCK = 19,
	VIRTIO_ID_CRYPTO = 20,
	VIRTIO_ID_IOMMU = 23,
	VIRTIO_ID_MEM = 24,
	VIRTIO_ID_SOUND = 25,
	VIRTIO_ID_FS = 26,
	VIRTIO_ID_PMEM = 27,
	VIRTIO_ID_SCMI = 32,
	VIRTIO_ID_I2C = 34,
	VIRTIO_ID_BT = 40,
	VIRTIO_ID_GPIO = 41,
};

/* ---- device status (2.1); 0 resets the device ---- */

#define VIRTIO_STATUS_ACKNOWLEDGE        0x01 /* somebody found the device, */
#define VIRTIO_STATUS_DRIVER             0x02 /* knows how to drive it, */
#define VIRTIO_STATUS_DRIVER_OK          0x04 /* is ready, */
#define VIRTIO_STATUS_FEATURES_OK        0x08 /* and wants these features (said before) */
#define VIRTIO_STATUS_DEVICE_NEEDS_RESET 0x40 /* the device's: beyond recovery */
#define VIRTIO_STATUS_FAILED             0x80 /* the driver gave up */

/* ---- feature bits of every device type (6), as numbers ---- */

#define VIRTIO_F_NOTIFY_ON_EMPTY   24 /* legacy only */
#define VIRTIO_F_ANY_LAYOUT        27 /* legacy only */
#define VIRTIO_F_INDIRECT_DESC     28 /* a descriptor may point to a table of them */
#define VIRTIO_F_EVENT_IDX         29 /* both sides say up to where they sleep */
#define VIRTIO_F_VERSION_1         32 /* not legacy: required */
#define VIRTIO_F_ACCESS_PLATFORM   33 /* addresses go through an IOMMU */
#define VIRTIO_F_RING_PACKED       34
#define VIRTIO_F_IN_ORDER          35 /* buffers are used in the order they were made available */
#define VIRTIO_F_ORDER_PLATFORM    36 /* memory is ordered as for a real device */
#define VIRTIO_F_SR_IOV            37
#define VIRTIO_F_NOTIFICATION_DATA 38 /* a notification says where the ring stands */
#define VIRTIO_F_NOTIF_CONFIG_DATA 39 /* the device chooses what a notification says */
#define VIRTIO_F_RING_RESET        40 /* a queue can be reset alone */

/** The mask of a feature bit. */
#define VIRTIO_FEATURE(bit) (UINT64_C(1) << (bit))

/* Bits that are not the device type's (2.2). */
#define VIRTIO_TRANSPORT_F_START 24
#define VIRTIO_TRANSPORT_F_END   41 /* the first after them */

/* ---- virtqueues (2.6, 2.7, 2.8) ---- */

#define VIRTQ_SIZE_MAX 32768u /* entries; a power of two where the ring is split */

#endif
