/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device must not say in a used ring, and the words for it. Kept apart from what
 * runs for every chain.
 */
#include "ring/virtq.h"

#include <errno.h>
#include <ring3/error.h>

__attribute__((cold)) int r3_virtq_broken(const struct r3_virtq *q)
{
	const char *what = "was broken";

	switch (q->lie) {
	case R3_VIRTQ_HONEST:
		break;
	case R3_VIRTQ_LIE_JUMP:
		return r3_error_set(
			EPROTO,
			"%s: queue %u: the used index went from %u to %u, past all that "
			"is in flight; reset the device",
			q->name, q->index, q->lie_a, q->lie_b);
	case R3_VIRTQ_LIE_ID:
		what = "does not exist";
		break;
	case R3_VIRTQ_LIE_IDLE:
		what = "is not in flight";
		break;
	case R3_VIRTQ_LIE_BATCH:
		return r3_error_set(
			EPROTO,
			"%s: queue %u: a batch that ends with chain %u is longer than the "
			"used index %u allows; reset the device",
			q->name, q->index, q->lie_a, q->lie_b);
	case R3_VIRTQ_LIE_LEN:
		return r3_error_set(
			EPROTO,
			"%s: queue %u: %u bytes were written into a chain that has room "
			"for %u; reset the device",
			q->name, q->index, q->lie_a, q->lie_b);
	case R3_VIRTQ_LIE_FLAGS:
		return r3_error_set(
			EPROTO,
			"%s: queue %u: descriptor %u is neither available nor used, but "
			"0x%x; reset the device",
			q->name, q->index, q->lie_a, q->lie_b);
	}
	return r3_error_set(EPROTO, "%s: queue %u: chain %u was used, which %s; reset the device",
			    q->name, q->index, q->lie_a, what);
}

__attribute__((cold)) int r3_virtq_lied(struct r3_virtq *q, enum r3_virtq_lie lie, uint32_t a,
					uint32_t b)
{
	if (!q->lie) {
		q->lie = lie;
		q->lie_a = a;
		q->lie_b = b;
		/* So that push finds no room, publish nothing to show, and pop nothing used,
		 * without any of them asking. */
		q->limit = q->pushed = q->published = q->popped;
		q->used_seen = (uint16_t)q->popped;
		q->used_flags = UINT32_MAX;
		q->batch = false;
	}
	return r3_virtq_broken(q);
}

__attribute__((cold)) int r3_virtq_lied_used(struct r3_virtq *q, uint32_t ring_id, uint32_t len)
{
	const struct r3_virtq_slot *slot;

	if (ring_id >= q->size)
		return r3_virtq_lied(q, R3_VIRTQ_LIE_ID, ring_id, 0);
	slot = &q->slot[ring_id];
	if (!r3_virtq_with_device(q, slot))
		return r3_virtq_lied(q, R3_VIRTQ_LIE_IDLE, ring_id, 0);
	return r3_virtq_lied(q, R3_VIRTQ_LIE_LEN, len, slot->writable);
}

__attribute__((cold)) int r3_virtq_no_room(const struct r3_virtq *q)
{
	return q->lie ? r3_virtq_broken(q) : -EAGAIN;
}
