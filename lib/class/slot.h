/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots: requests on their way through a queue of a device.
 *
 * A slot is free; or the device has it (its tag is set); or it is done (recovery has
 * completed it, and the queue's thread has not reaped it yet). Each slot owns a DMA map
 * with memory to bounce with, so that a request from foreign memory costs no allocation
 * either, and a piece of memory that the device reads: lists, headers, tables, as the
 * driver wants them.
 *
 * The inline functions are the data path's and belong to the queue's thread.
 */
#ifndef RING3_CLASS_SLOT_H
#define RING3_CLASS_SLOT_H

#include "dma/map.h"

#include <ring3/driver.h>

#define R3_SLOT_NO_TAG UINT32_MAX

struct r3_slot {
	uint32_t tag;    /* by which the device knows it; NO_TAG: the device does not have it */
	uint32_t tick;   /* when it was submitted */
	uint16_t id;     /* at first its index; what the driver makes of it */
	uint8_t step;    /* the driver's, for requests that take several; 0 when it is free */
	uint8_t resets;  /* that it went through */
	bool overdue;    /* and something was done about it */
	uint16_t ntable; /* the driver's: how much of its table is in use */
	struct r3_blk_req *req; /* NULL: free */
	struct r3_dma_map *map;
	void *table; /* of the driver, for the device */
	r3_iova table_iova;
};

struct r3_slots {
	struct r3_slot *slot;
	struct r3_slot **free, **done; /* stacks */
	uint32_t depth, nfree, ndone;
	uint32_t table_len;
	void *tables;
	struct r3_dma_tag *table_tag;
};

/** Make @depth slots. Tables of @table_len bytes each come from @table_tag, maps from
 *  @data_tag. Errors: ENOMEM. */
int r3_slots_alloc(struct r3_slots *slots, uint32_t depth, struct r3_dma_tag *table_tag,
		   uint32_t table_len, struct r3_dma_tag *data_tag);
/** Also where that failed. The device must not have any of them. */
void r3_slots_free(struct r3_slots *slots);

static inline bool r3_blk_has_data(const struct r3_blk_req *req)
{
	return req->op <= R3_BLK_WRITE;
}

/** Whether the device has it. For the control thread, too. */
static inline bool r3_slot_in_flight(const struct r3_slot *slot)
{
	return __atomic_load_n(&slot->tag, __ATOMIC_RELAXED) != R3_SLOT_NO_TAG;
}

/** Give the request's memory to the device. Errors: as r3_dma_load_sg(). */
static inline int r3_slot_load(struct r3_slot *slot, const struct r3_blk_req *req)
{
	const struct r3_sg *sg = req->sg;
	bool read = req->op == R3_BLK_READ;
	unsigned flags = read ? R3_DMA_FROM_DEVICE : R3_DMA_TO_DEVICE;

	if (__builtin_expect(
		    req->nsg != 1 || !r3_dma_load_direct(slot->map, sg->addr, sg->len, flags), 0)) {
		int rc = r3_dma_load_sg(slot->map, sg, req->nsg, flags, NULL);

		if (rc < 0)
			return rc;
	}
	/* Without work a sync is a barrier, and the one of the queue itself does. */
	if (__builtin_expect(slot->map->work, 0))
		r3_dma_sync(slot->map, read ? R3_DMA_PREREAD : R3_DMA_PREWRITE);
	return 0;
}

/** Take the memory back from the device, and note how it went. Returns the request. */
static inline struct r3_blk_req *r3_slot_finish(struct r3_slot *slot, int err, uint32_t detail)
{
	struct r3_blk_req *req = slot->req;

	__atomic_store_n(&slot->tag, R3_SLOT_NO_TAG, __ATOMIC_RELAXED);
	req->detail = detail;
	req->err = err;
	if (__builtin_expect(r3_blk_has_data(req), 1)) {
		struct r3_dma_map *map = slot->map;

		if (__builtin_expect(map->work, 0))
			r3_dma_sync(map,
				    req->op == R3_BLK_READ ? R3_DMA_POSTREAD : R3_DMA_POSTWRITE);
		r3_dma_unload_inline(map);
	}
	return req;
}

/** It is reaped. */
static inline void r3_slot_free(struct r3_slots *slots, struct r3_slot *slot)
{
	slot->req = NULL;
	slot->resets = 0;
	slot->step = 0;
	slot->overdue = false;
	slots->free[slots->nfree++] = slot;
}

static inline void r3_slot_done(struct r3_slots *slots, struct r3_slot *slot)
{
	slots->done[slots->ndone++] = slot;
}

/** Reap what is done. */
unsigned r3_slots_reap_done(struct r3_slots *slots, struct r3_blk_req **reqs, unsigned max);

#endif
