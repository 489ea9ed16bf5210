/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of a split virtqueue (virtio 1.2, 2.7). */
#include "stub/virtio_stub_parts.h"

#include <ring3/spec/virtio_ring.h>

#define KNOWN_FLAGS (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT)

static struct virtq_avail *avail_of(struct virtio_stub *stub, const struct virtio_stub_queue *q)
{
	return virtio_stub_reach(stub, q->driver, VIRTQ_AVAIL_BYTES(q->size), R3_DMA_DEVICE_READ);
}

static struct virtq_used *used_of(struct virtio_stub *stub, const struct virtio_stub_queue *q)
{
	return virtio_stub_reach(stub, q->device, VIRTQ_USED_BYTES(q->size), R3_DMA_DEVICE_WRITE);
}

/* Both end in the index at which their reader wants to be told (2.7.6, 2.7.8). */
static uint16_t *used_event(struct virtq_avail *avail, const struct virtio_stub_queue *q)
{
	return &avail->ring[q->size];
}

static uint16_t *avail_event(struct virtq_used *used, const struct virtio_stub_queue *q)
{
	return (uint16_t *)&used->ring[q->size];
}

static bool check(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	if (q->size & (q->size - 1))
		virtio_stub_mistake(stub, "the size of a split queue is no power of two");
	else if (q->desc % VIRTQ_DESC_ALIGN || q->driver % VIRTQ_AVAIL_ALIGN ||
		 q->device % VIRTQ_USED_ALIGN)
		virtio_stub_mistake(stub, "a part of a split queue is misaligned");
	else if (!virtio_stub_reach(stub, q->desc, VIRTQ_DESC_BYTES(q->size), R3_DMA_DEVICE_READ) ||
		 !avail_of(stub, q) || !used_of(stub, q))
		virtio_stub_mistake(stub, "a part of a split queue is out of reach");
	else
		return true;
	return false;
}

/* 2.7.9: in order, the descriptors of the table are used from the first to the last. */
static bool next_is_right(const struct virtio_stub *stub, unsigned size, unsigned at, unsigned next)
{
	if (!virtio_stub_has(stub, VIRTIO_F_IN_ORDER))
		return next < size;
	return next == (at + 1 == size ? 0 : at + 1);
}

static bool walk(struct virtio_stub *stub, struct virtio_stub_queue *q, unsigned at,
		 struct virtio_stub_buf *buf)
{
	const struct virtq_desc *table =
		virtio_stub_reach(stub, q->desc, VIRTQ_DESC_BYTES(q->size), R3_DMA_DEVICE_READ);
	unsigned size = q->size, left = q->size;
	bool indirect = false;

	while (table) {
		const struct virtq_desc desc = table[at];
		uint16_t flags = R3_LE16(desc.flags);
		uint32_t len = R3_LE32(desc.len);

		if (flags & ~KNOWN_FLAGS)
			virtio_stub_mistake(stub, "a descriptor has reserved flags");
		if (flags & VIRTQ_DESC_F_INDIRECT) {
			if (!virtio_stub_has(stub, VIRTIO_F_INDIRECT_DESC) || indirect ||
			    flags & VIRTQ_DESC_F_NEXT || !len || len % sizeof(desc)) {
				virtio_stub_broken(stub, "an indirect table where none may be");
				return false;
			}
			stub->indirect++;
			indirect = true;
			size = len / (uint32_t)sizeof(desc);
			at = 0;
			table = virtio_stub_reach(stub, R3_LE64(desc.addr), len,
						  R3_DMA_DEVICE_READ);
			continue;
		}
		/* 2.7.5.3.1: no chain is longer than the queue, in a table or not */
		if (!left--) {
			virtio_stub_broken(stub, "a chain is longer than the queue, or a loop");
			return false;
		}
		if (!virtio_stub_add(stub, buf, R3_LE64(desc.addr), len,
				     flags & VIRTQ_DESC_F_WRITE))
			return false;
		if (!(flags & VIRTQ_DESC_F_NEXT))
			return true;
		if (indirect ? R3_LE16(desc.next) >= size
			     : !next_is_right(stub, size, at, R3_LE16(desc.next))) {
			virtio_stub_broken(stub, "a chain leaves the table, or its order");
			return false;
		}
		at = R3_LE16(desc.next);
	}
	virtio_stub_broken(stub, "a table is out of reach");
	return false;
}

static bool fetch(struct virtio_stub *stub, struct virtio_stub_queue *q,
		  struct virtio_stub_buf *buf)
{
	struct virtq_avail *avail = avail_of(stub, q);
	uint16_t there, head;

	if (!avail) {
		virtio_stub_broken(stub, "an available ring is out of reach");
		return false;
	}
	/* what the index speaks of was written before it */
	there = (uint16_t)(R3_LE16(__atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE)) - q->avail);
	if (there > q->size)
		virtio_stub_broken(stub, "more is available than the queue holds");
	if (!there || there > q->size)
		return false;
	head = R3_LE16(avail->ring[q->avail % q->size]);
	if (head >= q->size) {
		virtio_stub_broken(stub, "a chain begins outside the table");
		return false;
	}
	q->avail++;
	buf->id = head;
	buf->slots = 1;
	return walk(stub, q, head, buf);
}

static void put(struct virtio_stub *stub, struct virtio_stub_queue *q,
		const struct virtio_stub_used *used, uint16_t slots)
{
	struct virtq_used *ring = used_of(stub, q);

	if (!ring)
		return;
	/* A batch has one element, at the place of its first buffer (2.7.9). */
	ring->ring[q->used % q->size] =
		(struct virtq_used_elem){.id = R3_LE32(used->id), .len = R3_LE32(used->len)};
	q->used = (uint16_t)(q->used + slots + used->jump);
	q->since = (uint16_t)(q->since + slots + used->jump);
	/* the element and the data are seen before the index */
	__atomic_store_n(&ring->idx, R3_LE16(q->used), __ATOMIC_RELEASE);
}

static void want(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	struct virtq_used *ring = used_of(stub, q);

	if (!ring)
		return;
	if (virtio_stub_has(stub, VIRTIO_F_EVENT_IDX))
		__atomic_store_n(avail_event(ring, q), R3_LE16(q->quiet ? q->avail - 1 : q->avail),
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&ring->flags, R3_LE16(q->quiet ? VIRTQ_USED_F_NO_NOTIFY : 0),
				 __ATOMIC_RELAXED);
}

static bool wanted(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	struct virtq_avail *avail = avail_of(stub, q);

	if (!avail)
		return false;
	if (virtio_stub_has(stub, VIRTIO_F_EVENT_IDX))
		return vring_need_event(
			R3_LE16(__atomic_load_n(used_event(avail, q), __ATOMIC_RELAXED)), q->used,
			(uint16_t)(q->used - q->since));
	return !(R3_LE16(__atomic_load_n(&avail->flags, __ATOMIC_RELAXED)) &
		 VIRTQ_AVAIL_F_NO_INTERRUPT);
}

const struct virtio_stub_layout virtio_stub_split = {check, fetch, put, want, wanted};
