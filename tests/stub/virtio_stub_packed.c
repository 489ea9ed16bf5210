/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of a packed virtqueue (virtio 1.2, 2.8). */
#include "stub/virtio_stub_parts.h"

#include <ring3/spec/virtio_ring.h>

#define KNOWN_FLAGS \
	(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_AVAIL | \
	 VIRTQ_DESC_F_USED)

static struct pvirtq_desc *ring_of(struct virtio_stub *stub, const struct virtio_stub_queue *q)
{
	return virtio_stub_reach(stub, q->desc, PVIRTQ_DESC_BYTES(q->size),
				 R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE);
}

static struct pvirtq_event_suppress *drivers(struct virtio_stub *stub,
					     const struct virtio_stub_queue *q)
{
	return virtio_stub_reach(stub, q->driver, PVIRTQ_SUPPRESS_BYTES, R3_DMA_DEVICE_READ);
}

static struct pvirtq_event_suppress *devices(struct virtio_stub *stub,
					     const struct virtio_stub_queue *q)
{
	return virtio_stub_reach(stub, q->device, PVIRTQ_SUPPRESS_BYTES, R3_DMA_DEVICE_WRITE);
}

static bool check(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	if (q->desc % PVIRTQ_DESC_ALIGN || (q->driver | q->device) % PVIRTQ_SUPPRESS_ALIGN)
		virtio_stub_mistake(stub, "a part of a packed queue is misaligned");
	else if (!ring_of(stub, q) || !drivers(stub, q) || !devices(stub, q))
		virtio_stub_mistake(stub, "a part of a packed queue is out of reach");
	else
		return true;
	return false;
}

/* 2.8.1: available is what has the driver's wrap counter in AVAIL, and not in USED. */
static bool is_available(uint16_t flags, bool wrap)
{
	return !!(flags & VIRTQ_DESC_F_AVAIL) == wrap && !!(flags & VIRTQ_DESC_F_USED) != wrap;
}

static void advance(const struct virtio_stub_queue *q, uint16_t *at, bool *wrap, unsigned by)
{
	for (; by; by--) {
		*at = (uint16_t)(*at + 1 == q->size ? 0 : *at + 1);
		*wrap ^= !*at;
	}
}

static bool walk_table(struct virtio_stub *stub, struct virtio_stub_queue *q,
		       const struct pvirtq_desc *desc, struct virtio_stub_buf *buf)
{
	uint32_t len = R3_LE32(desc->len);
	const struct pvirtq_desc *table;

	if (!virtio_stub_has(stub, VIRTIO_F_INDIRECT_DESC) ||
	    R3_LE16(desc->flags) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE) || !len ||
	    len % sizeof(*desc) || len / sizeof(*desc) > q->size) {
		virtio_stub_broken(stub, "an indirect table where none may be, or too long");
		return false;
	}
	stub->indirect++;
	table = virtio_stub_reach(stub, R3_LE64(desc->addr), len, R3_DMA_DEVICE_READ);
	if (!table) {
		virtio_stub_broken(stub, "a table is out of reach");
		return false;
	}
	for (; len; len -= (uint32_t)sizeof(*table), table++) {
		uint16_t flags = R3_LE16(table->flags);

		if (flags & ~VIRTQ_DESC_F_WRITE) /* 2.8.7: the others are reserved there */
			virtio_stub_mistake(stub, "a descriptor of a table has reserved flags");
		if (!virtio_stub_add(stub, buf, R3_LE64(table->addr), R3_LE32(table->len),
				     flags & VIRTQ_DESC_F_WRITE))
			return false;
	}
	return true;
}

static bool fetch(struct virtio_stub *stub, struct virtio_stub_queue *q,
		  struct virtio_stub_buf *buf)
{
	struct pvirtq_desc *ring = ring_of(stub, q);
	uint16_t flags;

	if (!ring) {
		virtio_stub_broken(stub, "a ring is out of reach");
		return false;
	}
	/* the flags of the first are written last */
	flags = R3_LE16(__atomic_load_n(&ring[q->avail].flags, __ATOMIC_ACQUIRE));
	if (!is_available(flags, q->avail_wrap))
		return false;
	for (buf->slots = 0;;) {
		const struct pvirtq_desc desc = ring[q->avail];
		bool good;

		flags = R3_LE16(desc.flags);
		if (!is_available(flags, q->avail_wrap) || buf->slots == q->size) {
			virtio_stub_broken(stub, "a chain goes on where nothing is available");
			return false;
		}
		if (flags & ~KNOWN_FLAGS)
			virtio_stub_mistake(stub, "a descriptor has reserved flags");
		if (flags & VIRTQ_DESC_F_INDIRECT && buf->slots) {
			virtio_stub_broken(stub, "an indirect table inside a chain");
			return false;
		}
		buf->id = R3_LE16(desc.id); /* of the last of the chain */
		buf->slots++;
		advance(q, &q->avail, &q->avail_wrap, 1);
		good = flags & VIRTQ_DESC_F_INDIRECT
			       ? walk_table(stub, q, &desc, buf)
			       : virtio_stub_add(stub, buf, R3_LE64(desc.addr), R3_LE32(desc.len),
						 flags & VIRTQ_DESC_F_WRITE);
		if (!good)
			return false;
		if (!(flags & VIRTQ_DESC_F_NEXT))
			return true;
	}
}

static void put(struct virtio_stub *stub, struct virtio_stub_queue *q,
		const struct virtio_stub_used *used, uint16_t slots)
{
	struct pvirtq_desc *ring = ring_of(stub, q), *at;
	uint16_t flags = q->used_wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;

	if (!ring)
		return;
	at = &ring[q->used];
	at->id = R3_LE16(used->id);
	at->len = R3_LE32(used->len);
	if (used->len)
		flags |= VIRTQ_DESC_F_WRITE;
	/* the rest of it and the data are seen before the flags */
	__atomic_store_n(&at->flags, R3_LE16(flags ^ used->flags), __ATOMIC_RELEASE);
	advance(q, &q->used, &q->used_wrap, slots + used->jump);
	q->since = (uint16_t)(q->since + slots + used->jump);
}

static void want(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	struct pvirtq_event_suppress *event = devices(stub, q);
	uint16_t flags = RING_EVENT_FLAGS_ENABLE;

	if (!event)
		return;
	if (q->quiet) {
		flags = RING_EVENT_FLAGS_DISABLE;
	} else if (virtio_stub_has(stub, VIRTIO_F_EVENT_IDX)) {
		flags = RING_EVENT_FLAGS_DESC;
		__atomic_store_n(&event->desc,
				 R3_LE16(q->avail | (q->avail_wrap ? PVIRTQ_EVENT_WRAP : 0)),
				 __ATOMIC_RELAXED);
	}
	/* where it says DESC, the place was written before */
	__atomic_store_n(&event->flags, R3_LE16(flags), __ATOMIC_RELEASE);
}

/* Was @place, in this round or the last one, among the last q->since places used? */
static bool passed(const struct virtio_stub_queue *q, unsigned place, bool wrap)
{
	unsigned back = q->used + (wrap == q->used_wrap ? 0u : q->size);

	return back > place && back - place <= q->since;
}

static bool wanted(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	const struct pvirtq_event_suppress *event = drivers(stub, q);
	uint16_t flags, place;

	if (!event)
		return false;
	flags = R3_LE16(__atomic_load_n(&event->flags, __ATOMIC_ACQUIRE));
	switch (flags) {
	case RING_EVENT_FLAGS_ENABLE:
		return true;
	case RING_EVENT_FLAGS_DESC:
		if (!virtio_stub_has(stub, VIRTIO_F_EVENT_IDX))
			break;
		place = R3_LE16(__atomic_load_n(&event->desc, __ATOMIC_RELAXED));
		return passed(q, place & ~PVIRTQ_EVENT_WRAP, place & PVIRTQ_EVENT_WRAP);
	case RING_EVENT_FLAGS_DISABLE:
		return false;
	default:
		break;
	}
	virtio_stub_mistake(stub, "the driver's event flags are reserved ones");
	return true;
}

const struct virtio_stub_layout virtio_stub_packed = {check, fetch, put, want, wanted};
