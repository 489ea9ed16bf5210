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
#include "util/kit.h"

#include <ring3/driver.h>

#define R3_SLOT_NO_TAG UINT32_MAX

struct r3_slot {
	uint32_t tag;    /* by which the device knows it; NO_TAG: the device does not have it */
	uint32_t tick;   /* when it was submitted */
	uint16_t id;     /* at first its index; what the driver makes of it */
	uint16_t ntable; /* the driver's: how much of its table is in use */
	union {
		uint32_t unusual; /* one of these is set; hardly ever */
		struct {
			bool mapped;    /* the request's memory is loaded into the map */
			bool overdue;   /* and something was done about it */
			uint8_t resets; /* that it went through */
			uint8_t step;   /* the driver's, for requests that take several */
		};
	};
	struct r3_blk_req *req;
	struct r3_dma_map *map;
	void *table; /* of the driver, for the device */
	r3_iova table_iova;
	uint32_t expect;        /* the driver's: how much it will write */
} __attribute__((aligned(64))); /* a cache line, and cheap to count */

/** Instead of an address of data: it is in the segments of the slot's map; there is none. */
#define R3_SLOT_MAPPED  UINT64_MAX
#define R3_SLOT_NO_DATA (UINT64_MAX - 1)

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

/** Load the request's memory into the map. Errors: as r3_dma_load_sg(). */
R3_KIT int r3_slot_map(struct r3_slot *slot, const struct r3_blk_req *req);
/** Undo all that is unusual about it. */
R3_KIT void r3_slot_settle(struct r3_slot *slot);

static inline bool r3_blk_has_data(const struct r3_blk_req *req)
{
	return req->op <= R3_BLK_WRITE;
}

/** Whether the device has it. For the control thread, too. */
static inline bool r3_slot_in_flight(const struct r3_slot *slot)
{
	return __atomic_load_n(&slot->tag, __ATOMIC_RELAXED) != R3_SLOT_NO_TAG;
}

/** Give the request's memory to the device. Nearly always it is one buffer that the device
 *  reaches as it is: then *where is its address, and there is nothing to take back.
 *  Errors: as r3_dma_load_sg(). */
static inline int r3_slot_load(const struct r3_dma_tag *tag, struct r3_slot *slot,
			       const struct r3_blk_req *req, uint64_t *where)
{
	if (__builtin_expect(req->nsg == 1 && !tag->sync, 1) &&
	    r3_dma_reach(tag, req->sg->addr, req->sg->len, where))
		return 0;
	*where = R3_SLOT_MAPPED;
	return r3_slot_map(slot, req);
}

/** Take the memory back from the device, and note how it went. Returns the request. */
static inline struct r3_blk_req *r3_slot_finish(struct r3_slot *slot, int err, uint32_t detail)
{
	struct r3_blk_req *req = slot->req;

	__atomic_store_n(&slot->tag, R3_SLOT_NO_TAG, __ATOMIC_RELAXED);
	req->detail = detail;
	req->err = err;
	if (__builtin_expect(slot->unusual, 0))
		r3_slot_settle(slot);
	return req;
}

/** It is reaped. */
static inline void r3_slot_free(struct r3_slots *slots, struct r3_slot *slot)
{
	slots->free[slots->nfree++] = slot;
}

static inline void r3_slot_done(struct r3_slots *slots, struct r3_slot *slot)
{
	slots->done[slots->ndone++] = slot;
}

/** Set the error of all that are not free. */
void r3_slots_cancel(struct r3_slots *slots, int err);

/** Reap what is done. */
R3_KIT unsigned r3_slots_reap_done(struct r3_slots *slots, struct r3_blk_req **reqs, unsigned max);

#endif
