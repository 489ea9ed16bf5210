/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a packed virtqueue (2.8): the calls of virtq.h that are on the
 * data path.
 *
 * The device takes descriptors strictly in the ring's order. So of all that was pushed
 * since the last publish only the flags of the first descriptor are withheld: until it
 * sees those it cannot see the rest.
 */
#ifndef RING3_RING_PACKED_H
#define RING3_RING_PACKED_H

#include "ring/barrier.h"
#include "ring/state.h"

#define R3_VIRTQ_AVAIL_USED (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

/** Write the descriptor at q->next, as far as flags are not to be withheld. */
R3_RING_HOT void r3_virtq_packed_put(struct r3_virtq *q, uint64_t addr, uint32_t len, uint16_t id,
				     uint32_t flags, bool withhold)
{
	struct pvirtq_desc *desc = &q->pdesc[q->next];

	desc->addr = R3_LE64(addr);
	desc->len = R3_LE32(len);
	desc->id = R3_LE16(id);
	flags |= q->avail_flags;
	if (withhold) {
		q->head = q->next;
		q->head_flags = flags;
	} else {
		r3_ring_store16(&desc->flags, (uint16_t)flags);
	}
	if (++q->next == q->size) {
		q->next = 0;
		q->avail_flags ^= R3_VIRTQ_AVAIL_USED;
	}
}

/** Note a chain of @n descriptors that is about to be put at q->next. */
R3_RING_HOT void r3_virtq_packed_note(struct r3_virtq *q, uint16_t id, uint16_t n,
				      uint32_t writable)
{
	struct r3_virtq_slot *slot = &q->slot[id];

	q->limit -= n - 1u;
	slot->writable = writable;
	slot->seq = q->pushed;
	slot->n = n;
	q->slot[q->next].next = id;
}

R3_RING_HOT int r3_virtq_packed_push_indirect(struct r3_virtq *q, uint16_t id, uint64_t table,
					      uint32_t n, uint32_t writable)
{
	if (__builtin_expect(q->pushed == q->limit, 0))
		return r3_virtq_no_room(q);
	r3_virtq_packed_note(q, id, 1, writable);
	r3_virtq_packed_put(q, table, n * (uint32_t)sizeof(*q->pdesc), id, VIRTQ_DESC_F_INDIRECT,
			    q->pushed == q->published);
	q->pushed++;
	return 0;
}

/** Does the other side want to be told that the ring was moved on by @moved descriptors to
 *  place @now, in the lap of which @wrap tells (2.8.14)? Also the device's side asks this. */
static inline bool r3_packed_wants_event(const struct pvirtq_event_suppress *suppress,
					 bool event_idx, uint32_t size, uint32_t now, bool wrap,
					 uint32_t moved)
{
	uint16_t flags = r3_ring_load16(&suppress->flags) & 3;
	uint16_t desc, at;

	if (flags != RING_EVENT_FLAGS_DESC || !event_idx)
		return flags != RING_EVENT_FLAGS_DISABLE;
	/* The other side writes the place before it says that there is one. */
	r3_barrier_read();
	desc = r3_ring_load16(&suppress->desc);
	at = desc & (PVIRTQ_EVENT_WRAP - 1);
	if (!!(desc & PVIRTQ_EVENT_WRAP) != wrap)
		at = (uint16_t)(at - size); /* in the lap before */
	return vring_need_event(at, (uint16_t)now, (uint16_t)(now - moved));
}

static inline bool r3_virtq_packed_publish(struct r3_virtq *q)
{
	uint32_t moved;

	if (q->pushed == q->published)
		return false;
	moved = q->next - q->head;
	if (q->next <= q->head)
		moved += q->size;
	q->published = q->pushed;
	/* These flags vouch for all that was pushed, for tables and for the data to be read:
	 * the device must see those first (2.8.21.1). */
	r3_barrier_write();
	r3_ring_store16(&q->pdesc[q->head].flags, (uint16_t)q->head_flags);
	/* A device going to sleep stores its wish and then reads the flags; we store the flags
	 * and then read the wish. Unless both stores come before both loads, both sides could
	 * miss each other and the device sleeps on (2.8.21.3.1). */
	r3_ring_fence();
	return r3_packed_wants_event(q->device, q->event_idx, q->size, q->next,
				     q->avail_flags & VIRTQ_DESC_F_AVAIL, moved);
}

/** The place was not marked used: 0, or -EPROTO if it carries what no honest device
 *  leaves there. */
static inline int r3_virtq_packed_unused(struct r3_virtq *q, uint32_t flags)
{
	/* With chains out there, the next used descriptor overwrites one of theirs, all of
	 * which were made available in this lap. */
	if (__builtin_expect(q->published != q->popped && !q->lie &&
				     ((flags ^ q->used_flags) & R3_VIRTQ_AVAIL_USED) !=
					     VIRTQ_DESC_F_USED,
			     0))
		return r3_virtq_lied(q, R3_VIRTQ_LIE_FLAGS, q->used_at, flags);
	return r3_virtq_nothing(q);
}

R3_RING_HOT void r3_virtq_packed_popped(struct r3_virtq *q, struct r3_virtq_slot *slot)
{
	uint32_t at = q->used_at + slot->n;

	q->limit += slot->n;
	slot->n = 0;
	if (at >= q->size) {
		at -= q->size;
		q->used_flags ^= R3_VIRTQ_AVAIL_USED;
	}
	q->used_at = at;
	q->popped++;
}

R3_RING_HOT int r3_virtq_packed_pop(struct r3_virtq *q, uint16_t *id, uint32_t *len)
{
	const struct pvirtq_desc *desc = &q->pdesc[q->used_at];
	uint32_t flags = r3_ring_load16(&desc->flags);
	uint16_t used;
	struct r3_virtq_slot *slot;
	uint32_t written;

	if ((flags & R3_VIRTQ_AVAIL_USED) != q->used_flags)
		return r3_virtq_packed_unused(q, flags);
	/* The flags vouch for id and length and for the data that the device wrote: none of
	 * them may be read before. */
	r3_barrier_read();
	used = r3_ring_load16(&desc->id);
	written = r3_ring_load32(&desc->len);
	if (__builtin_expect(used >= q->size, 0))
		return r3_virtq_lied_used(q, used, written);
	slot = &q->slot[used];
	if (__builtin_expect(!r3_virtq_with_device(q, slot), 0))
		return r3_virtq_lied_used(q, used, written);
	if (__builtin_expect(written > slot->writable, 0)) {
		/* Without WRITE the length means nothing (2.8.5); yet many devices do not set
		 * WRITE and mean it. */
		if (flags & VIRTQ_DESC_F_WRITE)
			return r3_virtq_lied_used(q, used, written);
		written = 0;
	}
	*id = used;
	*len = written;
	r3_virtq_packed_popped(q, slot);
	return 1;
}

static inline int r3_virtq_packed_arm(struct r3_virtq *q)
{
	uint32_t wrap = q->used_flags ? PVIRTQ_EVENT_WRAP : 0;

	if (q->event_idx) {
		r3_ring_store16(&q->driver->desc, (uint16_t)(q->used_at | wrap));
		/* The device must not take an old place for the one that the flags speak of. */
		r3_barrier_write();
		r3_ring_store16(&q->driver->flags, RING_EVENT_FLAGS_DESC);
	} else {
		r3_ring_store16(&q->driver->flags, RING_EVENT_FLAGS_ENABLE);
	}
	/* The device stores the used flags and then reads whether we sleep; we store that we
	 * will and then read its flags. See publish (2.8.21.3.1). */
	r3_ring_fence();
	return (r3_ring_load16(&q->pdesc[q->used_at].flags) & R3_VIRTQ_AVAIL_USED) ==
		       q->used_flags ||
	       q->lie;
}

static inline void r3_virtq_packed_disarm(struct r3_virtq *q)
{
	r3_ring_store16(&q->driver->flags, RING_EVENT_FLAGS_DISABLE);
}

#endif
