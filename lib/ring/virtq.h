/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue from the driver's side, split or packed: what a driver of a virtio device
 * needs to know of it.
 *
 *     init -> push... publish (notify) -> pop... -> arm (sleep) -> ... -> reset -> ...
 *
 * A chain is what the device gets for one request: some memory to read, then some to
 * write. It is pushed under an id of the driver's, which comes back when it is popped.
 * Pushing shows the device nothing; publish shows it all that was pushed, and says whether
 * the device wants to be notified of it.
 *
 * A device can lie. Whatever it writes into the ring is checked; what cannot be true
 * breaks the queue: pop says -EPROTO, each time, with a text that names the device and
 * the queue; push says so too, arm says 1 so that nobody sleeps on it, publish says
 * nothing. A broken queue stays so until reset, which must come after a reset of the
 * device, because until then it may still read and write what was pushed.
 *
 * The queue belongs to one thread. It allocates nothing, and no call waits. Memory that
 * the device writes has to be coherent, or be synchronised by the caller.
 */
#ifndef RING3_RING_VIRTQ_H
#define RING3_RING_VIRTQ_H

#include "ring/packed.h"
#include "ring/split.h"
#include "util/kit.h"

#include <ring3/dma.h>

/** Where the parts of a queue lie in one piece of memory: the descriptors at its
 *  beginning, the driver's area and the device's area at these offsets. */
struct r3_virtq_layout {
	size_t len;    /* bytes of it all */
	size_t align;  /* of its beginning */
	size_t driver; /* offset: split: available ring; packed: driver event suppression */
	size_t device; /* offset: split: used ring; packed: device event suppression */
	size_t slots;  /* bytes of private memory */
};

struct r3_virtq_config {
	const char *name;  /* of the device, for messages; has to outlive the queue */
	uint16_t index;    /* of the queue, for messages */
	uint32_t size;     /* descriptors, as told to the device */
	uint64_t features; /* as negotiated; bits that are not the ring's are ignored */
	void *mem;         /* layout.len bytes, aligned to layout.align, that the device reaches */
	struct r3_virtq_slot *slots; /* layout.slots bytes, aligned as malloc does; private */
};

/** The memory that a queue of @size descriptors takes, under @features.
 *  Errors: EINVAL @size is 0, above 32768, or split and no power of two. */
R3_KIT int r3_virtq_layout(uint32_t size, uint64_t features, struct r3_virtq_layout *out);

/** Make a queue, empty and with interrupts disarmed. Both pieces of memory are written
 *  and stay the caller's; the device must not use @config->mem yet.
 *  Errors: EINVAL as r3_virtq_layout(), or memory missing or misaligned. */
R3_KIT int r3_virtq_init(struct r3_virtq *q, const struct r3_virtq_config *config);

/** As after init. Every chain in flight is forgotten: the caller knows which they were.
 *  The device must have been reset before, and not be started yet. Always succeeds. */
R3_KIT void r3_virtq_reset(struct r3_virtq *q);

/** Push a chain of @nout pieces that the device reads and then @nin that it writes, each
 *  a descriptor of the ring.
 *  @id  below the queue's size, and not in flight.
 *  Errors: EAGAIN fewer descriptors are free (pop first); EINVAL no piece at all, more
 *  than the queue has descriptors, an empty piece, 4 GiB or more together, or @id not
 *  below the size; EPROTO the queue is broken. An EAGAIN has no text. */
R3_KIT int r3_virtq_push(struct r3_virtq *q, uint16_t id, const struct r3_dma_seg *seg,
			 unsigned nout, unsigned nin);

/** Write entry @i of @n of an indirect table: @entry is table[i], 16 bytes; @write says
 *  that the device writes it, which all entries after it then have to, too. A table is
 *  for the layout that it was written for. It may be written once and pushed often, and
 *  changed while it is not in flight. */
R3_RING_HOT void r3_virtq_table_set(const struct r3_virtq *q, void *entry, uint32_t i, uint32_t n,
				    uint64_t iova, uint32_t len, bool write)
{
	uint16_t flags = write ? VIRTQ_DESC_F_WRITE : 0;

	if (q->packed) { /* 2.8.7: entries follow each other, and only WRITE counts */
		struct pvirtq_desc *desc = (struct pvirtq_desc *)entry;

		*desc = (struct pvirtq_desc){R3_LE64(iova), R3_LE32(len), 0, R3_LE16(flags)};
	} else {
		struct virtq_desc *desc = (struct virtq_desc *)entry;
		uint16_t next = i + 1 < n ? (uint16_t)(i + 1) : 0;

		if (next)
			flags |= VIRTQ_DESC_F_NEXT;
		*desc = (struct virtq_desc){R3_LE64(iova), R3_LE32(len), R3_LE16(flags),
					    R3_LE16(next)};
	}
}

/** Point entry @entry of a table, which was set before and is not the last one, at other
 *  memory: what changes where a table is pushed again and again. */
static inline void r3_virtq_table_point(const struct r3_virtq *q, void *entry, uint64_t iova,
					uint32_t len, bool write)
{
	uint16_t flags = write ? VIRTQ_DESC_F_WRITE : 0;

	if (q->packed) {
		struct pvirtq_desc *desc = (struct pvirtq_desc *)entry;

		desc->addr = R3_LE64(iova);
		desc->len = R3_LE32(len);
		desc->flags = R3_LE16(flags);
	} else {
		struct virtq_desc *desc = (struct virtq_desc *)entry;

		desc->addr = R3_LE64(iova);
		desc->len = R3_LE32(len);
		desc->flags = R3_LE16(flags | VIRTQ_DESC_F_NEXT);
	}
}

/** Push a chain that is a table in memory: one descriptor of the ring, however long. Only
 *  where VIRTIO_F_INDIRECT_DESC was negotiated (q->indirect).
 *  @id        below the queue's size, and not in flight: not checked.
 *  @table     device address of the first entry, aligned to 16
 *  @n         entries, at most the queue's size (2.7.5.3.1): not checked.
 *  @writable  bytes of it that the device may write: what a length is checked against.
 *  Errors: EAGAIN no descriptor is free (pop first), without a text; EPROTO the queue is
 *  broken. */
R3_RING_HOT int r3_virtq_push_indirect(struct r3_virtq *q, uint16_t id, uint64_t table, uint32_t n,
				       uint32_t writable)
{
	return q->packed ? r3_virtq_packed_push_indirect(q, id, table, n, writable)
			 : r3_virtq_split_push_indirect(q, id, table, n, writable);
}

/** Show the device everything that was pushed. True: the device wants a notification, and
 *  may otherwise never look. Costs a full barrier, so it is for batches. */
static inline bool r3_virtq_publish(struct r3_virtq *q)
{
	return q->packed ? r3_virtq_packed_publish(q) : r3_virtq_split_publish(q);
}

/** What a notification says besides the queue's number with VIRTIO_F_NOTIFICATION_DATA
 *  (2.9): bits 16 to 31 of it, as of the last push. */
static inline uint16_t r3_virtq_notify_data(const struct r3_virtq *q)
{
	if (!q->packed)
		return (uint16_t)q->pushed;
	return (uint16_t)(q->next | (q->avail_flags & VIRTQ_DESC_F_AVAIL ? PVIRTQ_EVENT_WRAP : 0));
}

/** Take a chain that the device has used: 1, *id, and in *len how many bytes the device
 *  says that it wrote (never more than it could). 0: there is none now.
 *  With VIRTIO_F_IN_ORDER they come in the order of push; of those that the device skipped
 *  in its report *len is all that it could write (2.7.9).
 *  Errors: EPROTO the device lied, or has before: nothing is popped any more. */
R3_RING_HOT int r3_virtq_pop(struct r3_virtq *q, uint16_t *id, uint32_t *len)
{
	if (q->kind == R3_VIRTQ_SPLIT)
		return r3_virtq_split_pop(q, id, len);
	if (__builtin_expect(q->kind == R3_VIRTQ_PACKED, 1))
		return r3_virtq_packed_pop(q, id, len);
	return r3_virtq_pop_in_order(q, id, len);
}

/** Ask for an interrupt when the next chain is used. True: one is used already, or the
 *  queue is broken; there may be no interrupt, so pop and arm again before sleeping. */
static inline bool r3_virtq_arm(struct r3_virtq *q)
{
	if (q->batch)
		return true; /* popped in part */
	return q->packed ? r3_virtq_packed_arm(q) : r3_virtq_split_arm(q);
}

/** No interrupts, please. A hint: some may still come. */
static inline void r3_virtq_disarm(struct r3_virtq *q)
{
	if (q->packed)
		r3_virtq_packed_disarm(q);
	else
		r3_virtq_split_disarm(q);
}

/** Chains pushed and not yet popped. 0 of a broken queue, of which the device may still
 *  have any. */
static inline uint32_t r3_virtq_in_flight(const struct r3_virtq *q)
{
	return q->pushed - q->popped;
}

#endif
