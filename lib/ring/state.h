/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the driver's side remembers of a virtqueue. All of it is private memory: what lies
 * in the ring is only ever compared with it, so that a device that scribbles over the
 * ring cannot lead the driver astray. virtq.h is the contract, split.h and packed.h the
 * two layouts.
 *
 * Three counters say where the queue stands in either layout: chains pushed, chains
 * published to the device, chains popped. They never wrap apart, because no more than
 * 32768 chains are in flight.
 */
#ifndef RING3_RING_STATE_H
#define RING3_RING_STATE_H

#include "util/kit.h"

#include <ring3/spec/virtio_ring.h>

/** What is known of a chain (under its head where the ring is split, under its id where
 *  it is packed), and the way from one descriptor to the next. */
struct r3_virtq_slot {
	uint32_t writable; /* bytes of the chain that the device may write */
	uint32_t seq;      /* the count of pushes before it */
	uint16_t n;        /* descriptors in the ring; 0: not in flight */
	uint16_t id;       /* split: the caller's */
	uint16_t last;     /* split: the chain's last descriptor */
	uint16_t next;     /* split: the next free descriptor, or the next of the chain;
			      packed: the id pushed at this place of the ring */
};

enum r3_virtq_lie {
	R3_VIRTQ_HONEST,
	R3_VIRTQ_LIE_JUMP,  /* used index: more than is in flight */
	R3_VIRTQ_LIE_ID,    /* no such id */
	R3_VIRTQ_LIE_IDLE,  /* an id that is not in flight */
	R3_VIRTQ_LIE_LEN,   /* wrote more than it could */
	R3_VIRTQ_LIE_FLAGS, /* a descriptor neither available nor used */
	R3_VIRTQ_LIE_BATCH, /* in order: a batch that ends nowhere */
};

/** How to pop. */
enum r3_virtq_kind { R3_VIRTQ_SPLIT, R3_VIRTQ_PACKED, R3_VIRTQ_IN_ORDER };

struct r3_virtq {
	union {
		struct virtq_desc *desc;
		struct pvirtq_desc *pdesc;
	};
	union {
		struct virtq_avail *avail;
		struct pvirtq_event_suppress *driver;
	};
	union {
		struct virtq_used *used;
		struct pvirtq_event_suppress *device;
	};
	struct r3_virtq_slot *slot; /* size of them */

	uint32_t pushed, published, popped; /* chains */
	uint32_t limit; /* what pushed may count to, if each is one descriptor: so many are free */
	uint32_t size;
	uint32_t mask; /* size - 1, for a split ring */
	uint8_t kind;  /* enum r3_virtq_kind */
	bool packed, event_idx, indirect, in_order;

	/* split */
	uint32_t free_head;
	uint16_t used_seen; /* used->idx when it was last read */

	/* packed; the flags are VIRTQ_DESC_F_AVAIL and _USED as they are in this lap */
	uint32_t next;        /* where the next descriptor goes */
	uint32_t avail_flags; /* of a descriptor made available there */
	uint32_t head;        /* place of the first unpublished descriptor, */
	uint32_t head_flags;  /* and its flags, withheld until publish */
	uint32_t used_at;     /* where the next used descriptor is expected */
	uint32_t used_flags;  /* of one */

	/* in order: the oldest chain (split), and the one that ends the batch being popped */
	bool batch;
	uint16_t oldest;
	uint16_t batch_last;
	uint32_t batch_len; /* written into its last chain */

	/* the first lie: the queue is broken when there is one */
	enum r3_virtq_lie lie;
	uint32_t lie_a, lie_b;

	const char *name; /* the device's, for messages */
	uint16_t index;   /* the queue's, for messages */
};

/** Break the queue, unless it is broken already, and say why. Returns -EPROTO. */
R3_KIT int r3_virtq_lied(struct r3_virtq *q, enum r3_virtq_lie lie, uint32_t a, uint32_t b);
/** A used chain that failed a check, whose numbers were @ring_id and @len. */
R3_KIT int r3_virtq_lied_used(struct r3_virtq *q, uint32_t ring_id, uint32_t len);
/** Why there is no free descriptor: -EAGAIN, or -EPROTO if the queue is broken. */
R3_KIT int r3_virtq_no_room(const struct r3_virtq *q);
/** Say again what broke the queue. Returns -EPROTO. */
R3_KIT int r3_virtq_broken(const struct r3_virtq *q);
/** r3_virtq_pop() with VIRTIO_F_IN_ORDER, either layout. */
R3_KIT int r3_virtq_pop_in_order(struct r3_virtq *q, uint16_t *id, uint32_t *len);

/** May the device say that it used this chain? */
static inline bool r3_virtq_with_device(const struct r3_virtq *q, const struct r3_virtq_slot *slot)
{
	/* Right for as long as 2^31 chains do not overtake this one. */
	return slot->n && (int32_t)(slot->seq - q->published) < 0;
}

/** Nothing was found: 0, or -EPROTO if the queue is broken. */
static inline int r3_virtq_nothing(const struct r3_virtq *q)
{
	return __builtin_expect(q->lie != R3_VIRTQ_HONEST, 0) ? r3_virtq_broken(q) : 0;
}

#endif
