/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split virtqueue (2.7): the calls of virtq.h that are on the data
 * path.
 *
 * Free descriptors are a list through slot[].next, last freed first taken, so that few of
 * them are warm. With VIRTIO_F_IN_ORDER descriptors have to be taken in the table's order
 * (2.7.9), and come back in that order: then the list is a circle that never changes.
 */
#ifndef RING3_RING_SPLIT_H
#define RING3_RING_SPLIT_H

#include "ring/barrier.h"
#include "ring/state.h"

/* used_event lies behind the available ring, avail_event behind the used ring (2.7.7). */
static inline uint16_t *r3_virtq_used_event(const struct r3_virtq *q)
{
	return &q->avail->ring[q->size];
}

static inline const uint16_t *r3_virtq_avail_event(const struct r3_virtq *q)
{
	return (const uint16_t *)&q->used->ring[q->size];
}

/** The chain of slot[@head] is written: name it in the available ring. */
R3_RING_HOT void r3_virtq_split_pushed(struct r3_virtq *q, uint32_t head)
{
	r3_ring_store16(&q->avail->ring[q->pushed & q->mask], (uint16_t)head);
	q->pushed++;
}

R3_RING_HOT int r3_virtq_split_push_indirect(struct r3_virtq *q, uint16_t id, uint64_t table,
					     uint32_t n, uint32_t writable)
{
	uint32_t head = q->free_head;
	struct r3_virtq_slot *slot = &q->slot[head];
	struct virtq_desc *desc = &q->desc[head];

	if (__builtin_expect(q->pushed == q->limit, 0))
		return r3_virtq_no_room(q);
	q->free_head = slot->next;
	slot->writable = writable;
	slot->seq = q->pushed;
	slot->n = 1;
	slot->id = id;
	desc->addr = R3_LE64(table);
	desc->len = R3_LE32(n * (uint32_t)sizeof(*desc));
	desc->flags = R3_LE16(VIRTQ_DESC_F_INDIRECT);
	desc->next = 0;
	r3_virtq_split_pushed(q, head);
	return 0;
}

static inline bool r3_virtq_split_publish(struct r3_virtq *q)
{
	uint16_t old = (uint16_t)q->published, now = (uint16_t)q->pushed;

	if (old == now)
		return false;
	q->published = q->pushed;
	/* The index vouches for the ring's entries, their descriptors and tables, and the data
	 * to be read: the device must see those first (2.7.13.3.1). */
	r3_barrier_write();
	r3_ring_store16(&q->avail->idx, now);
	/* A device going to sleep stores its wish and then reads the index; we store the index
	 * and then read the wish. Unless both stores come before both loads, both sides could
	 * miss each other and the device sleeps on (2.7.13.4.1). */
	r3_ring_fence();
	if (q->event_idx)
		return vring_need_event(r3_ring_load16(r3_virtq_avail_event(q)), now, old);
	return !(r3_ring_load16(&q->used->flags) & VIRTQ_USED_F_NO_NOTIFY);
}

/** Look at the used index: 1 there is more than was popped, 0, -EPROTO. */
R3_RING_HOT int r3_virtq_split_more(struct r3_virtq *q)
{
	uint16_t popped = (uint16_t)q->popped, idx = r3_ring_load16(&q->used->idx);

	if (idx == popped)
		return r3_virtq_nothing(q);
	if (__builtin_expect((uint16_t)(idx - popped) > q->published - q->popped, 0))
		return r3_virtq_lied(q, R3_VIRTQ_LIE_JUMP, popped, idx);
	q->used_seen = idx;
	/* The index vouches for the entries before it and for the data that the device wrote:
	 * neither may be read before it. */
	r3_barrier_read();
	return 1;
}

R3_RING_HOT int r3_virtq_split_pop(struct r3_virtq *q, uint16_t *id, uint32_t *len)
{
	const struct virtq_used_elem *elem;
	struct r3_virtq_slot *slot, *last;
	uint32_t head, written;

	if ((uint16_t)q->popped == q->used_seen) {
		int rc = r3_virtq_split_more(q);

		if (rc <= 0)
			return rc;
	}
	elem = &q->used->ring[q->popped & q->mask];
	head = r3_ring_load32(&elem->id);
	written = r3_ring_load32(&elem->len);
	if (__builtin_expect(head >= q->size, 0))
		return r3_virtq_lied_used(q, head, written);
	slot = &q->slot[head];
	if (__builtin_expect(!r3_virtq_with_device(q, slot) || written > slot->writable, 0))
		return r3_virtq_lied_used(q, head, written);
	*id = slot->id;
	*len = written;
	q->limit += slot->n;
	last = __builtin_expect(slot->n == 1, 1) ? slot : &q->slot[slot->last];
	last->next = (uint16_t)q->free_head;
	slot->n = 0;
	q->free_head = head;
	q->popped++;
	return 1;
}

static inline int r3_virtq_split_arm(struct r3_virtq *q)
{
	if (q->event_idx)
		r3_ring_store16(r3_virtq_used_event(q), (uint16_t)q->popped);
	else
		r3_ring_store16(&q->avail->flags, 0);
	/* The device stores its index and then reads whether we sleep; we store that we will
	 * and then read its index. See publish (2.7.8.2, 2.7.14). */
	r3_ring_fence();
	return r3_ring_load16(&q->used->idx) != (uint16_t)q->popped || q->lie;
}

static inline void r3_virtq_split_disarm(struct r3_virtq *q)
{
	/* With EVENT_IDX the flag has to stay 0 (2.7.7.1); an index just passed is as good as
	 * never: the device meets it again after 65535 chains. */
	if (q->event_idx)
		r3_ring_store16(r3_virtq_used_event(q), (uint16_t)(q->popped - 1));
	else
		r3_ring_store16(&q->avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
}

#endif
