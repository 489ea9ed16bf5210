/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a virtqueue off the fast path: its memory, chains of descriptors
 * in the ring, and used chains in order.
 */
#include "ring/virtq.h"

#include <errno.h>
#include <ring3/error.h>
#include <string.h>

int r3_virtq_layout(uint32_t size, uint64_t features, struct r3_virtq_layout *out)
{
	bool packed = features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);

	if (!size || size > VIRTQ_SIZE_MAX || (!packed && (size & (size - 1))))
		return r3_error_set(EINVAL, "a %s virtqueue cannot have %u descriptors",
				    packed ? "packed" : "split", size);
	/* Each area begins at a cache line of its own: two of them have different writers. */
	out->align = 64;
	out->driver = (VIRTQ_DESC_BYTES(size) + 63) & ~(size_t)63;
	if (packed) {
		out->device = out->driver + 64;
		out->len = out->device + PVIRTQ_SUPPRESS_BYTES;
	} else {
		out->device = (out->driver + VIRTQ_AVAIL_BYTES(size) + 63) & ~(size_t)63;
		out->len = out->device + VIRTQ_USED_BYTES(size);
	}
	out->slots = size * sizeof(struct r3_virtq_slot);
	return 0;
}

int r3_virtq_init(struct r3_virtq *q, const struct r3_virtq_config *config)
{
	struct r3_virtq_layout layout = {.align = 1};
	unsigned char *mem = config->mem;
	int rc = r3_virtq_layout(config->size, config->features, &layout);

	if (rc < 0)
		return r3_error_prefix(rc, "%s: queue %u", config->name, config->index);
	if (!mem || (uintptr_t)mem % layout.align || !config->slots)
		return r3_error_set(EINVAL,
				    "%s: queue %u: memory is missing, or not aligned to %zu",
				    config->name, config->index, layout.align);
	*q = (struct r3_virtq){
		.desc = config->mem,
		.avail = (void *)(mem + layout.driver),
		.used = (void *)(mem + layout.device),
		.slot = config->slots,
		.size = config->size,
		.packed = config->features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED),
		.event_idx = config->features & VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX),
		.indirect = config->features & VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC),
		.in_order = config->features & VIRTIO_FEATURE(VIRTIO_F_IN_ORDER),
		.name = config->name,
		.index = config->index,
	};
	q->mask = q->size - 1;
	q->kind = q->in_order ? R3_VIRTQ_IN_ORDER : q->packed ? R3_VIRTQ_PACKED : R3_VIRTQ_SPLIT;
	r3_virtq_reset(q);
	return 0;
}

void r3_virtq_reset(struct r3_virtq *q)
{
	memset(q->slot, 0, q->size * sizeof(*q->slot));
	memset(q->desc, 0, VIRTQ_DESC_BYTES(q->size));
	if (q->packed) {
		memset(q->driver, 0, PVIRTQ_SUPPRESS_BYTES);
		memset(q->device, 0, PVIRTQ_SUPPRESS_BYTES);
	} else {
		memset(q->avail, 0, VIRTQ_AVAIL_BYTES(q->size));
		memset(q->used, 0, VIRTQ_USED_BYTES(q->size));
		for (uint32_t i = 0; i < q->size; i++)
			q->slot[i].next = (uint16_t)((i + 1) % q->size);
	}
	q->pushed = q->published = q->popped = 0;
	q->limit = q->size;
	q->free_head = q->used_seen = q->oldest = 0;
	q->next = q->head = q->used_at = 0;
	/* Both wrap counters begin at 1 (2.8.1). */
	q->avail_flags = VIRTQ_DESC_F_AVAIL;
	q->used_flags = R3_VIRTQ_AVAIL_USED;
	q->batch = false;
	q->lie = R3_VIRTQ_HONEST;
	r3_virtq_disarm(q);
}

/** Check a chain's pieces; *writable is what the device may write of them. */
static int check_pieces(const struct r3_virtq *q, const struct r3_dma_seg *seg, unsigned nout,
			unsigned nin, uint32_t *writable)
{
	uint64_t total = 0, in = 0;

	if (!(nout | nin) || nout > q->size || nin > q->size - nout)
		return r3_error_set(EINVAL, "%s: queue %u: a chain of %u and %u descriptors in %u",
				    q->name, q->index, nout, nin, q->size);
	for (unsigned i = 0; i < nout + nin; i++) {
		if (!seg[i].len || seg[i].len > UINT32_MAX - total) /* 2.7.5: 4 GiB in all */
			return r3_error_set(
				EINVAL, "%s: queue %u: piece %u of a chain is empty, or too long",
				q->name, q->index, i);
		total += seg[i].len;
		if (i >= nout)
			in += seg[i].len;
	}
	*writable = (uint32_t)in;
	return 0;
}

static void push_split(struct r3_virtq *q, uint16_t id, const struct r3_dma_seg *seg, unsigned nout,
		       unsigned n, uint32_t writable)
{
	uint32_t head = q->free_head, at = head;

	for (unsigned i = 0; i < n; i++) {
		uint16_t next = q->slot[at].next, flags = i < nout ? 0 : VIRTQ_DESC_F_WRITE;

		if (i + 1 < n)
			flags |= VIRTQ_DESC_F_NEXT;
		q->desc[at] =
			(struct virtq_desc){R3_LE64(seg[i].addr.v), R3_LE32((uint32_t)seg[i].len),
					    R3_LE16(flags), R3_LE16(i + 1 < n ? next : 0)};
		q->slot[head].last = (uint16_t)at;
		at = next;
	}
	q->free_head = at;
	q->limit -= n - 1;
	q->slot[head].writable = writable;
	q->slot[head].seq = q->pushed;
	q->slot[head].n = (uint16_t)n;
	q->slot[head].id = id;
	r3_virtq_split_pushed(q, head);
}

static void push_packed(struct r3_virtq *q, uint16_t id, const struct r3_dma_seg *seg,
			unsigned nout, unsigned n, uint32_t writable)
{
	r3_virtq_packed_note(q, id, (uint16_t)n, writable);
	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = i < nout ? 0 : VIRTQ_DESC_F_WRITE;

		if (i + 1 < n)
			flags |= VIRTQ_DESC_F_NEXT;
		r3_virtq_packed_put(q, seg[i].addr.v, (uint32_t)seg[i].len, id, flags,
				    i == 0 && q->pushed == q->published);
	}
	q->pushed++;
}

int r3_virtq_push(struct r3_virtq *q, uint16_t id, const struct r3_dma_seg *seg, unsigned nout,
		  unsigned nin)
{
	uint32_t writable = 0;
	int rc;

	if (q->lie)
		return r3_virtq_broken(q);
	rc = check_pieces(q, seg, nout, nin, &writable);
	if (rc < 0)
		return rc;
	if (id >= q->size)
		return r3_error_set(EINVAL, "%s: queue %u: id %u of %u", q->name, q->index, id,
				    q->size);
	if (nout + nin > q->limit - q->pushed)
		return -EAGAIN;
	if (q->packed)
		push_packed(q, id, seg, nout, nout + nin, writable);
	else
		push_split(q, id, seg, nout, nout + nin, writable);
	return 0;
}

/** The device's next report, which ends a batch: 1, 0 or -EPROTO. */
static int next_batch(struct r3_virtq *q)
{
	const struct r3_virtq_slot *slot;
	uint32_t last, written;

	if (q->packed) {
		const struct pvirtq_desc *desc = &q->pdesc[q->used_at];
		uint32_t flags = r3_ring_load16(&desc->flags);

		if ((flags & R3_VIRTQ_AVAIL_USED) != q->used_flags)
			return r3_virtq_packed_unused(q, flags);
		r3_barrier_read(); /* as r3_virtq_packed_pop() */
		last = r3_ring_load16(&desc->id);
		written = r3_ring_load32(&desc->len);
		if (!(flags & VIRTQ_DESC_F_WRITE) && last < q->size &&
		    written > q->slot[last].writable)
			written = 0;
	} else {
		const struct virtq_used_elem *elem = &q->used->ring[q->popped & q->mask];

		if ((uint16_t)q->popped == q->used_seen) {
			int rc = r3_virtq_split_more(q);

			if (rc <= 0)
				return rc;
		}
		last = r3_ring_load32(&elem->id);
		written = r3_ring_load32(&elem->len);
	}
	if (last >= q->size)
		return r3_virtq_lied_used(q, last, written);
	slot = &q->slot[last];
	if (!r3_virtq_with_device(q, slot) || written > slot->writable)
		return r3_virtq_lied_used(q, last, written);
	q->batch = true;
	q->batch_last = (uint16_t)last;
	q->batch_len = written;
	return 1;
}

int r3_virtq_pop_in_order(struct r3_virtq *q, uint16_t *id, uint32_t *len)
{
	struct r3_virtq_slot *slot;
	uint16_t oldest;

	if (!q->batch) {
		int rc = next_batch(q);

		if (rc <= 0)
			return rc;
	}
	/* Descriptors are taken in the ring's order and come back so: the oldest chain is where
	 * the last one popped ended. */
	oldest = q->packed ? q->slot[q->used_at].next : q->oldest;
	slot = &q->slot[oldest];
	/* A split ring's index says how long a batch is, too. */
	if (!q->packed && (uint16_t)q->popped == q->used_seen)
		return r3_virtq_lied(q, R3_VIRTQ_LIE_BATCH, q->batch_last, q->used_seen);
	*len = oldest == q->batch_last ? q->batch_len : slot->writable;
	if (oldest == q->batch_last)
		q->batch = false;
	if (q->packed) {
		*id = oldest;
		r3_virtq_packed_popped(q, slot);
		return 1;
	}
	*id = slot->id;
	q->limit += slot->n;
	q->oldest = (uint16_t)((oldest + slot->n) & q->mask);
	slot->n = 0;
	q->popped++;
	return 1;
}
