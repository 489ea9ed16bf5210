/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtqueues of virtio 1.2: split (2.7) and packed (2.8). Names are the
 * specification's, also where its text and its header (appendix A) write them with a
 * capital; section numbers are of version 1.2. Every integer in a structure is
 * little-endian: read and write it through R3_LE16() & co.
 */
#ifndef RING3_SPEC_VIRTIO_RING_H
#define RING3_SPEC_VIRTIO_RING_H

#include <ring3/spec/virtio.h>

#ifdef __cplusplus
#define VIRTQ_ASSERT_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define VIRTQ_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#endif

/* ---- alignment of the parts in bytes (2.7, 2.8.10.1) ---- */

#define VIRTQ_DESC_ALIGN      16u
#define VIRTQ_AVAIL_ALIGN     2u
#define VIRTQ_USED_ALIGN      4u
#define PVIRTQ_DESC_ALIGN     16u
#define PVIRTQ_SUPPRESS_ALIGN 4u

/* ---- split: the descriptor table (2.7.5) ---- */

/* flags of either layout's descriptors (2.7.5, 2.8.6) */
#define VIRTQ_DESC_F_NEXT     (1u << 0) /* the chain goes on */
#define VIRTQ_DESC_F_WRITE    (1u << 1) /* the device writes it; else it reads it */
#define VIRTQ_DESC_F_INDIRECT (1u << 2) /* it is a table of descriptors */

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* where flags say NEXT */
};
VIRTQ_ASSERT_SIZE(struct virtq_desc, 16);

/* ---- split: the available ring (2.7.6), which the driver writes ---- */

#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u

struct virtq_avail {
	uint16_t flags;
	uint16_t idx;    /* counts up and wraps at 65536, whatever the size */
#ifndef __cplusplus      /* which has no such member */
	uint16_t ring[]; /* heads of chains; then le16 used_event, with EVENT_IDX */
#endif
};
VIRTQ_ASSERT_SIZE(struct virtq_avail, 4);

/* ---- split: the used ring (2.7.8), which the device writes ---- */

#define VIRTQ_USED_F_NO_NOTIFY 1u

struct virtq_used_elem {
	uint32_t id;  /* head of the chain */
	uint32_t len; /* bytes written into it */
};
VIRTQ_ASSERT_SIZE(struct virtq_used_elem, 8);

struct virtq_used {
	uint16_t flags;
	uint16_t idx;
#ifndef __cplusplus
	struct virtq_used_elem ring[]; /* then le16 avail_event, with EVENT_IDX */
#endif
};
VIRTQ_ASSERT_SIZE(struct virtq_used, 4);

/* ---- packed: the descriptor ring (2.8.13) ---- */

/* 2.8.1: available when AVAIL is the driver's wrap counter and USED its inverse; used
 * when both are the device's. */
#define VIRTQ_DESC_F_AVAIL (1u << 7)
#define VIRTQ_DESC_F_USED  (1u << 15)

struct pvirtq_desc {
	uint64_t addr;
	uint32_t len; /* used: bytes written */
	uint16_t id;  /* buffer id */
	uint16_t flags;
};
VIRTQ_ASSERT_SIZE(struct pvirtq_desc, 16);

/* ---- packed: event suppression (2.8.14) ---- */

struct pvirtq_event_suppress {
	uint16_t desc;  /* bits 0 to 14: offset in the ring; bit 15: wrap counter */
	uint16_t flags; /* enum ring_event_flags; the other bits are reserved */
};
VIRTQ_ASSERT_SIZE(struct pvirtq_event_suppress, 4);

#define PVIRTQ_EVENT_WRAP (1u << 15) /* in desc (2.8.10) */

enum ring_event_flags {
	RING_EVENT_FLAGS_ENABLE = 0x0,
	RING_EVENT_FLAGS_DISABLE = 0x1,
	RING_EVENT_FLAGS_DESC = 0x2, /* only with EVENT_IDX: when `desc` is reached */
};

/* ---- sizes in bytes (2.7, 2.8.10) ---- */

#define VIRTQ_DESC_BYTES(size)  ((size_t)16 * (size))
#define VIRTQ_AVAIL_BYTES(size) (6 + (size_t)2 * (size))
#define VIRTQ_USED_BYTES(size)  (6 + (size_t)8 * (size))
#define PVIRTQ_DESC_BYTES(size) ((size_t)16 * (size))
#define PVIRTQ_SUPPRESS_BYTES   ((size_t)4)

/** Would moving an index from @old to @new_idx (both mod 2^16) pass @event? (2.7.7.2) */
static inline int vring_need_event(uint16_t event, uint16_t new_idx, uint16_t old)
{
	return (uint16_t)(new_idx - event - 1) < (uint16_t)(new_idx - old);
}

#endif
