/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots: their making, and what recovery has done with them. */
#include "class/slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Memory that a slot keeps to bounce with, at most, and how much of what is free a queue
 * keeps for all of its slots. */
#define BOUNCE_MAX  (UINT64_C(64) << 10)
#define BOUNCE_PART 32u
#define BOUNCE_UNIT UINT64_C(4096)

/* Longer requests find their memory when they load. All slots together keep a part of
 * what is free, so that the next queue finds its rings. */
static uint64_t bounce_len(struct r3_dma_tag *tag, uint32_t depth)
{
	uint64_t most = r3_dma_tag_constraints(tag)->max_len, free_len, len;

	r3_arena_usage(tag->arena, NULL, &free_len);
	len = free_len / BOUNCE_PART / depth & ~(BOUNCE_UNIT - 1);
	if (most > BOUNCE_MAX)
		most = BOUNCE_MAX;
	return len < most ? len : most;
}

int r3_slots_alloc(struct r3_slots *slots, uint32_t depth, struct r3_dma_tag *table_tag,
		   uint32_t table_len, struct r3_dma_tag *data_tag)
{
	uint64_t bounce;
	size_t bytes;
	r3_iova iova;
	int rc;

	*slots = (struct r3_slots){.depth = depth, .table_len = table_len, .table_tag = table_tag};
	bytes = depth * (sizeof(*slots->slot) + 2 * sizeof(*slots->free));
	slots->slot =
		aligned_alloc(_Alignof(struct r3_slot), (bytes + _Alignof(struct r3_slot) - 1) &
								~(_Alignof(struct r3_slot) - 1));
	if (!slots->slot)
		return r3_error_set(ENOMEM, "no memory for a queue of %u", depth);
	memset(slots->slot, 0, bytes);
	slots->free = (struct r3_slot **)(slots->slot + depth);
	slots->done = slots->free + depth;
	rc = r3_dma_alloc(table_tag, (uint64_t)depth * table_len, &slots->tables, &iova);
	if (rc < 0)
		return rc;
	bounce = bounce_len(data_tag, depth);
	for (uint32_t i = 0; i < depth; i++) {
		struct r3_slot *slot = &slots->slot[i];

		slot->tag = R3_SLOT_NO_TAG;
		slot->id = (uint16_t)i;
		slot->table = (char *)slots->tables + i * table_len;
		slot->table_iova.v = iova.v + i * table_len;
		rc = r3_dma_map_create(data_tag, bounce, &slot->map);
		if (rc < 0)
			return rc;
		slots->free[depth - 1 - i] = slot;
	}
	slots->nfree = depth;
	return 0;
}

void r3_slots_free(struct r3_slots *slots)
{
	for (uint32_t i = 0; slots->slot && i < slots->depth; i++) {
		if (slots->slot[i].map)
			r3_dma_unload(slots->slot[i].map);
		r3_dma_map_destroy(slots->slot[i].map);
	}
	r3_dma_free(slots->table_tag, slots->tables);
	free(slots->slot);
	slots->slot = NULL;
}

int r3_slot_map(struct r3_slot *slot, const struct r3_blk_req *req)
{
	bool read = req->op == R3_BLK_READ;
	int rc = r3_dma_load_sg(slot->map, req->sg, req->nsg,
				read ? R3_DMA_FROM_DEVICE : R3_DMA_TO_DEVICE, NULL);

	if (rc < 0)
		return rc;
	slot->mapped = true;
	r3_dma_sync(slot->map, read ? R3_DMA_PREREAD : R3_DMA_PREWRITE);
	return 0;
}

void r3_slot_settle(struct r3_slot *slot)
{
	if (slot->mapped) {
		r3_dma_sync(slot->map,
			    slot->req->op == R3_BLK_READ ? R3_DMA_POSTREAD : R3_DMA_POSTWRITE);
		r3_dma_unload(slot->map);
	}
	slot->unusual = 0;
}

void r3_slots_cancel(struct r3_slots *slots, int err)
{
	for (uint32_t i = 0; slots->slot && i < slots->depth; i++)
		if (r3_slot_in_flight(&slots->slot[i]))
			slots->slot[i].req->err = err;
	for (uint32_t i = 0; i < slots->ndone; i++)
		slots->done[i]->req->err = err;
}

unsigned r3_slots_reap_done(struct r3_slots *slots, struct r3_blk_req **reqs, unsigned max)
{
	unsigned n = 0;

	while (slots->ndone && n < max) {
		struct r3_slot *slot = slots->done[--slots->ndone];

		reqs[n++] = slot->req;
		r3_slot_free(slots, slot);
	}
	return n;
}
