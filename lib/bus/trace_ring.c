/* SPDX-License-Identifier: BSD-2-Clause */
/* See trace_ring.h. Everything in a slot is atomic: a slot is read while it is written. */
#include "bus/trace_ring.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 7

/* A cache line, so that threads that write neighbours do not wait for each other. */
struct slot {
	uint64_t state; /* 2 * (number + 1) of its record, + 1 while that is written; 0: none */
	uint64_t word[WORDS];
};

_Static_assert(sizeof(struct slot) == 64, "a cache line");
_Static_assert(sizeof(struct r3_trace_record) == sizeof(uint64_t) * WORDS, "fills a slot");

struct r3_trace_ring {
	struct slot *slot;
	uint64_t mask; /* slots - 1 */
	/* the number of the next record, in a line that only it makes everybody wait for */
	_Alignas(sizeof(struct slot)) uint64_t next;
};

int r3_trace_ring_create(uint64_t bytes, struct r3_trace_ring **out)
{
	struct r3_trace_ring *ring = aligned_alloc(sizeof(struct slot), sizeof(*ring));
	uint64_t n = 1;

	while (2 * n * sizeof(struct slot) <= bytes)
		n *= 2;
	if (!ring)
		return -ENOMEM;
	*ring = (struct r3_trace_ring){.mask = n - 1};
	ring->slot = aligned_alloc(sizeof(struct slot), n * sizeof(struct slot));
	if (!ring->slot) {
		free(ring);
		return -ENOMEM;
	}
	memset(ring->slot, 0, n * sizeof(struct slot));
	*out = ring;
	return 0;
}

void r3_trace_ring_free(struct r3_trace_ring *ring)
{
	if (!ring)
		return;
	free(ring->slot);
	free(ring);
}

static uint64_t state_of(uint64_t number)
{
	return 2 * (number + 1);
}

void r3_trace_ring_put(struct r3_trace_ring *ring, const struct r3_trace_record *record)
{
	uint64_t number = __atomic_fetch_add(&ring->next, 1, __ATOMIC_RELAXED);
	struct slot *slot = &ring->slot[number & ring->mask];
	uint64_t state = __atomic_load_n(&slot->state, __ATOMIC_RELAXED);
	uint64_t word[WORDS];

	/* one of an earlier round is still being written, or one of a later round was here */
	if (state & 1 || state > state_of(number) ||
	    !__atomic_compare_exchange_n(&slot->state, &state, state_of(number) | 1, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	memcpy(word, record, sizeof(*record));
	/* Whoever sees one of these words sees the odd state before it. */
	for (unsigned i = 0; i < WORDS; i++)
		__atomic_store_n(&slot->word[i], word[i], __ATOMIC_RELEASE);
	__atomic_store_n(&slot->state, state_of(number), __ATOMIC_RELEASE);
}

struct r3_trace_span r3_trace_ring_span(const struct r3_trace_ring *ring)
{
	uint64_t end = __atomic_load_n(&ring->next, __ATOMIC_RELAXED);

	return (struct r3_trace_span){.first = end > ring->mask + 1 ? end - ring->mask - 1 : 0,
				      .end = end};
}

enum r3_trace_got r3_trace_ring_get(const struct r3_trace_ring *ring, uint64_t number,
				    struct r3_trace_record *record)
{
	const struct slot *slot = &ring->slot[number & ring->mask];
	uint64_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
	uint64_t word[WORDS];

	if (state == state_of(number)) {
		for (unsigned i = 0; i < WORDS; i++)
			word[i] = __atomic_load_n(&slot->word[i], __ATOMIC_ACQUIRE);
		/* overwritten meanwhile? */
		if (__atomic_load_n(&slot->state, __ATOMIC_RELAXED) != state)
			return R3_TRACE_LOST;
		memcpy(record, word, sizeof(*record));
		return R3_TRACE_GOT;
	}
	if (state > state_of(number) + 1 || number < r3_trace_ring_span(ring).first)
		return R3_TRACE_LOST;
	return R3_TRACE_PENDING;
}
