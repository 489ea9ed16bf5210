/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a virtqueue: where it begins, and what it tells the driver. What
 * the driver tells it is in fetch.c.
 */
#include "ring/device.h"
#include "ring/packed.h"

#include <errno.h>
#include <ring3/error.h>

/* A split ring's counters say how often the index has moved; all three are there. */
static int resume_split(struct r3_virtqd *q, uint16_t place)
{
	uint16_t used = r3_ring_load16(&q->used->idx);

	if (used != place)
		return r3_error_set(EPROTO,
				    "%s: queue %u: it is to go on at %u, and of the chains before "
				    "that only %u have been used",
				    q->name, q->index, place, used);
	q->fetched = q->completed = q->published = place;
	q->avail_seen = place;
	return 0;
}

static int resume_packed(struct r3_virtqd *q, uint16_t place)
{
	bool wrap = place & PVIRTQ_EVENT_WRAP;

	q->next = q->used_at = place & (PVIRTQ_EVENT_WRAP - 1);
	if (q->next >= q->size)
		return r3_error_set(EINVAL, "%s: queue %u: it is to go on at descriptor %u of %u",
				    q->name, q->index, q->next, q->size);
	q->avail_flags = wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
	q->used_flags = wrap ? R3_VIRTQ_AVAIL_USED : 0;
	return 0;
}

uint16_t r3_virtqd_place(const struct r3_virtqd *q)
{
	if (!q->packed)
		return (uint16_t)q->fetched;
	return (uint16_t)(q->next | (q->avail_flags & VIRTQ_DESC_F_AVAIL ? PVIRTQ_EVENT_WRAP : 0));
}

int r3_virtqd_init(struct r3_virtqd *q, const struct r3_virtqd_config *config)
{
	bool packed = config->features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	uint32_t size = config->size;

	if (!size || size > VIRTQ_SIZE_MAX || (!packed && (size & (size - 1))))
		return r3_error_set(EINVAL,
				    "%s: queue %u: a %s virtqueue cannot have %u descriptors",
				    config->name, config->index, packed ? "packed" : "split", size);
	if (!config->desc || !config->driver || !config->device ||
	    (uintptr_t)config->desc % VIRTQ_DESC_ALIGN ||
	    (uintptr_t)config->driver % (packed ? PVIRTQ_SUPPRESS_ALIGN : VIRTQ_AVAIL_ALIGN) ||
	    (uintptr_t)config->device % VIRTQ_USED_ALIGN)
		return r3_error_set(EINVAL, "%s: queue %u: an area is missing or misaligned",
				    config->name, config->index);
	*q = (struct r3_virtqd){
		.desc = config->desc,
		.avail = config->driver,
		.used = config->device,
		.size = size,
		.packed = packed,
		.event_idx = config->features & VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX),
		.indirect = config->features & VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC),
		.in_order = config->features & VIRTIO_FEATURE(VIRTIO_F_IN_ORDER),
		.avail_flags = VIRTQ_DESC_F_AVAIL, /* both wrap counters begin at 1 (2.8.1) */
		.used_flags = R3_VIRTQ_AVAIL_USED,
		.name = config->name,
		.index = config->index,
		.translate = config->translate,
		.opaque = config->opaque,
	};
	if (!config->resume)
		return 0;
	return packed ? resume_packed(q, config->place) : resume_split(q, config->place);
}

static void complete_split(struct r3_virtqd *q, const struct r3_virtqd_chain *chain,
			   uint32_t written)
{
	struct virtq_used_elem *elem;

	if (!q->merge)
		q->merge_at = q->completed & (q->size - 1);
	elem = &q->used->ring[q->merge_at];
	r3_ring_store32(&elem->id, chain->id);
	r3_ring_store32(&elem->len, written);
}

static void complete_packed(struct r3_virtqd *q, const struct r3_virtqd_chain *chain,
			    uint32_t written)
{
	struct pvirtq_desc *desc;
	uint32_t flags, at;

	if (!q->merge) {
		q->merge_at = q->used_at;
		q->merge_flags = q->used_flags;
	}
	flags = q->merge_flags | (written ? VIRTQ_DESC_F_WRITE : 0);
	desc = &q->pdesc[q->merge_at];
	r3_ring_store16(&desc->id, chain->id);
	r3_ring_store32(&desc->len, written);
	if (q->completed == q->published || (q->merge && q->merge_at == q->head)) {
		q->head = q->merge_at;
		q->head_flags = flags;
	} else {
		r3_ring_store16(&desc->flags, (uint16_t)flags);
	}
	at = q->used_at + chain->n;
	if (at >= q->size) {
		at -= q->size;
		q->used_flags ^= R3_VIRTQ_AVAIL_USED;
	}
	q->used_at = at;
	q->with_us -= chain->n;
}

void r3_virtqd_complete(struct r3_virtqd *q, const struct r3_virtqd_chain *chain, uint32_t written)
{
	if (q->packed)
		complete_packed(q, chain, written);
	else
		complete_split(q, chain, written);
	q->completed++;
	/* In order, one report speaks for all before it that were written in full (2.7.9). */
	q->merge = q->in_order && written == chain->in_len;
}

bool r3_virtqd_publish(struct r3_virtqd *q)
{
	uint16_t old = (uint16_t)q->published, now = (uint16_t)q->completed;
	uint32_t moved;

	if (old == now)
		return false;
	q->published = q->completed;
	q->merge = false;
	/* The index, or the first flags, vouch for the reports behind them and for the data
	 * that we wrote: the driver must see those first (2.7.8.2, 2.8.21.2). */
	r3_barrier_write();
	if (q->packed)
		r3_ring_store16(&q->pdesc[q->head].flags, (uint16_t)q->head_flags);
	else
		r3_ring_store16(&q->used->idx, now);
	/* A driver going to sleep stores its wish and then reads what we store here; we store
	 * it and then read the wish. Unless both stores come before both loads, both sides
	 * could miss each other and the driver sleeps on. */
	r3_ring_fence();
	if (q->packed) {
		moved = q->used_at - q->head;
		if (q->used_at <= q->head)
			moved += q->size;
		return r3_packed_wants_event(q->driver, q->event_idx, q->size, q->used_at,
					     q->used_flags & VIRTQ_DESC_F_USED, moved);
	}
	if (q->event_idx) /* used_event lies behind the available ring */
		return vring_need_event(r3_ring_load16(&q->avail->ring[q->size]), now, old);
	return !(r3_ring_load16(&q->avail->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
}

static bool arm_packed(struct r3_virtqd *q)
{
	uint32_t wrap = q->avail_flags & VIRTQ_DESC_F_AVAIL ? PVIRTQ_EVENT_WRAP : 0;

	if (q->event_idx) {
		r3_ring_store16(&q->device->desc, (uint16_t)(q->next | wrap));
		/* The driver must not take an old place for the one that the flags speak of. */
		r3_barrier_write();
		r3_ring_store16(&q->device->flags, RING_EVENT_FLAGS_DESC);
	} else {
		r3_ring_store16(&q->device->flags, RING_EVENT_FLAGS_ENABLE);
	}
	/* The driver stores the flags of a descriptor and then reads whether we sleep; we
	 * store that we will and then read those flags. See publish. */
	r3_ring_fence();
	return (r3_ring_load16(&q->pdesc[q->next].flags) & R3_VIRTQ_AVAIL_USED) == q->avail_flags;
}

bool r3_virtqd_arm(struct r3_virtqd *q)
{
	if (q->broken)
		return true;
	if (q->packed)
		return arm_packed(q);
	if (q->event_idx) /* avail_event lies behind the used ring */
		r3_ring_store16((uint16_t *)&q->used->ring[q->size], (uint16_t)q->fetched);
	else
		r3_ring_store16(&q->used->flags, 0);
	/* As for a packed ring, with the index in place of the flags. */
	r3_ring_fence();
	return r3_ring_load16(&q->avail->idx) != (uint16_t)q->fetched;
}

void r3_virtqd_disarm(struct r3_virtqd *q)
{
	if (q->packed)
		r3_ring_store16(&q->device->flags, RING_EVENT_FLAGS_DISABLE);
	else if (q->event_idx) /* the flag has to stay 0 (2.7.10.1); just passed is as good */
		r3_ring_store16((uint16_t *)&q->used->ring[q->size], (uint16_t)(q->fetched - 1));
	else
		r3_ring_store16(&q->used->flags, VIRTQ_USED_F_NO_NOTIFY);
}
