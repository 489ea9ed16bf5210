/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path: requests to chains, chains to requests. A chain is a header, the data,
 * and a byte of status (5.2.6). Where the device takes tables each slot has one ready, in
 * which only the data's entry changes, and the ring gets a single descriptor. Between
 * submit and the notification, and between a used chain and its reap, there is no system
 * call, no allocation and no lock; only memory that has to be bounced costs more.
 */
#include "class/limits.h"
#include "virtio_blk.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PLAIN 3u /* entries of a table with one segment of data */

/* ---- tables ---- */

static r3_iova in_table(const struct r3_slot *slot, size_t offset)
{
	return (r3_iova){slot->table_iova.v + offset};
}
#define IN_TABLE(slot, field) in_table(slot, offsetof(struct vblk_table, field))

static void set_status(const struct vblk_queue *q, const struct r3_slot *slot, void *entry,
		       uint32_t i)
{
	r3_virtq_table_set(&q->ring, entry, i, i + 1, IN_TABLE(slot, status).v, 1, true);
}

void vblk_io_prepare(struct vblk_queue *q, struct r3_slot *slot)
{
	struct vblk_table *table = slot->table;
	uint64_t header = IN_TABLE(slot, header).v;

	r3_virtq_table_set(&q->ring, &table->desc[0], 0, PLAIN, header, sizeof(table->header),
			   false);
	r3_virtq_table_set(&q->ring, &table->desc[1], 1, PLAIN, 0, 0, false); /* to be pointed */
	set_status(q, slot, &table->desc[PLAIN - 1], PLAIN - 1);
	r3_virtq_table_set(&q->ring, &table->flush[0], 0, 2, header, sizeof(table->header), false);
	set_status(q, slot, &table->flush[1], 1);
	slot->ntable = q->ring.indirect ? PLAIN : 0; /* 0: not in use */
}

/* ---- submit ---- */

/* The ring is broken, and the control thread will see. */
static __attribute__((cold, noinline)) void lied(struct vblk_queue *q)
{
	if (q->lied)
		return;
	r3_log(R3_LOG_ERROR, "%s", r3_error_text());
	__atomic_store_n(&q->lied, true, __ATOMIC_RELAXED);
}

/* A chain of any length. @read: the device writes the data. */
static __attribute__((noinline)) int push_chain(struct vblk_queue *q, struct r3_slot *slot,
						const struct r3_dma_seg *data, unsigned n,
						bool read)
{
	struct vblk_table *table = slot->table;
	struct r3_dma_seg seg[1 + VBLK_MAX_SEGS + 1];
	uint64_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += data[i].len;
	slot->expect = read ? (uint32_t)len + 1 : 1;
	if (!q->ring.indirect) {
		seg[0] = (struct r3_dma_seg){.addr = IN_TABLE(slot, header),
					     .len = sizeof(table->header)};
		for (unsigned i = 0; i < n; i++)
			seg[1 + i] = data[i];
		seg[1 + n] = (struct r3_dma_seg){.addr = IN_TABLE(slot, status), .len = 1};
		return r3_virtq_push(&q->ring, slot->id, seg, read ? 1 : 1 + n, read ? n + 1 : 1);
	}
	for (unsigned i = 0; i < n; i++)
		r3_virtq_table_set(&q->ring, &table->desc[1 + i], 1 + i, n + 2, data[i].addr.v,
				   (uint32_t)data[i].len, read);
	if (slot->ntable != n + 2)
		set_status(q, slot, &table->desc[1 + n], 1 + n);
	slot->ntable = (uint16_t)(n + 2);
	return r3_virtq_push_indirect(&q->ring, slot->id, IN_TABLE(slot, desc).v, n + 2,
				      slot->expect);
}

/* What has no data, or does not need it any more. */
static int push_flush(struct vblk_queue *q, struct r3_slot *slot)
{
	struct vblk_table *table = slot->table;

	table->header.type = R3_LE32(VIRTIO_BLK_T_FLUSH);
	table->header.sector = 0;
	table->status = VBLK_S_NONE;
	slot->expect = 1;
	if (!q->ring.indirect)
		return push_chain(q, slot, NULL, 0, false);
	return r3_virtq_push_indirect(&q->ring, slot->id, IN_TABLE(slot, flush).v, 2, 1);
}

static int push_range(struct vblk_queue *q, struct r3_slot *slot, const struct r3_blk_req *req)
{
	struct vblk_table *table = slot->table;
	const struct r3_dma_seg range = {.addr = IN_TABLE(slot, range),
					 .len = sizeof(table->range)};
	bool zeroes = req->op == R3_BLK_WRITE_ZEROES;
	bool unmap = zeroes && (req->flags & R3_BLK_MAY_UNMAP) &&
		     __atomic_load_n(&q->vblk->may_unmap, __ATOMIC_RELAXED);

	table->header.type = R3_LE32(zeroes ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD);
	table->header.sector = 0;
	table->range = (struct virtio_blk_discard_write_zeroes){
		.sector = R3_LE64(req->off >> VIRTIO_BLK_SECTOR_SHIFT),
		.num_sectors = R3_LE32((uint32_t)(req->len >> VIRTIO_BLK_SECTOR_SHIFT)),
		.flags = R3_LE32(unmap ? VIRTIO_BLK_WRITE_ZEROES_UNMAP : 0),
	};
	table->status = VBLK_S_NONE;
	return push_chain(q, slot, &range, 1, false);
}

_Static_assert((unsigned)R3_BLK_READ == VIRTIO_BLK_T_IN &&
		       (unsigned)R3_BLK_WRITE == VIRTIO_BLK_T_OUT,
	       "the operation of a request with data is its type");

static int push_list(struct vblk_queue *q, struct r3_slot *slot, const struct r3_blk_req *req,
		     uint64_t where)
{
	const struct r3_dma_seg whole = {.addr.v = where, .len = req->len};
	struct vblk_table *table = slot->table;
	bool read = req->op == R3_BLK_READ;

	table->header.type = R3_LE32((uint32_t)req->op);
	table->header.sector = R3_LE64(req->off >> VIRTIO_BLK_SECTOR_SHIFT);
	table->status = VBLK_S_NONE;
	if (slot->mapped)
		return push_chain(q, slot, slot->map->seg, slot->map->nseg, read);
	return push_chain(q, slot, &whole, 1, read);
}

/* All but data in one piece, and all where the ring takes no tables. */
static __attribute__((noinline)) int push_other(struct vblk_queue *q, struct r3_slot *slot,
						const struct r3_blk_req *req, uint64_t where)
{
	if (where != R3_SLOT_NO_DATA)
		return push_list(q, slot, req, where);
	if (req->op != R3_BLK_FLUSH)
		return push_range(q, slot, req);
	if (r3_virtio_has(&q->vblk->virtio, VIRTIO_BLK_F_FLUSH))
		return push_flush(q, slot);
	/* nothing is ever left to flush */
	r3_slot_finish(slot, 0, VIRTIO_BLK_S_OK);
	r3_slot_done(&q->hwq.slots, slot);
	return 0;
}

/* Into a ring of the layout that is known where this is inlined. */
static inline __attribute__((always_inline)) int push_plain(struct vblk_queue *q,
							    struct r3_slot *slot,
							    const struct r3_blk_req *req,
							    uint64_t where, bool packed)
{
	struct vblk_table *table = slot->table;
	uint32_t len = (uint32_t)req->len, writable = 1;
	uint64_t desc = IN_TABLE(slot, desc).v;
	int rc;

	if (q->ring.packed != packed)
		__builtin_unreachable();
	table->header.type = R3_LE32((uint32_t)req->op);
	table->header.sector = R3_LE64(req->off >> VIRTIO_BLK_SECTOR_SHIFT);
	if (req->op == R3_BLK_READ)
		writable += len;
	slot->expect = writable;
	r3_virtq_table_point(&q->ring, &table->desc[1], where, len, req->op == R3_BLK_READ);
	rc = packed ? r3_virtq_packed_push_indirect(&q->ring, slot->id, desc, PLAIN, writable)
		    : r3_virtq_split_push_indirect(&q->ring, slot->id, desc, PLAIN, writable);
	/* Last, because for all that the compiler knows a byte might be part of anything. */
	table->status = VBLK_S_NONE;
	return rc;
}

/* Put the request of a slot, whose data is loaded, into the ring. */
static inline __attribute__((always_inline)) int push(struct vblk_queue *q, struct r3_slot *slot,
						      const struct r3_blk_req *req, uint64_t where,
						      bool packed)
{
	int rc;

	/* before it is in flight, and before it may be done at once */
	__atomic_store_n(&slot->tag, slot->id, __ATOMIC_RELAXED);
	if (likely(where < R3_SLOT_NO_DATA && slot->ntable == PLAIN))
		rc = push_plain(q, slot, req, where, packed);
	else
		rc = push_other(q, slot, req, where);
	if (likely(rc == 0))
		return 0;
	__atomic_store_n(&slot->tag, R3_SLOT_NO_TAG, __ATOMIC_RELAXED);
	if (rc != -EPROTO)
		return rc;
	lied(q);
	return -EAGAIN; /* after the reset */
}

static int push_split(struct r3_hwq *hwq, struct r3_slot *slot, const struct r3_blk_req *req,
		      uint64_t where)
{
	return push((struct vblk_queue *)hwq, slot, req, where, false);
}

static int push_packed(struct r3_hwq *hwq, struct r3_slot *slot, const struct r3_blk_req *req,
		       uint64_t where)
{
	return push((struct vblk_queue *)hwq, slot, req, where, true);
}

int vblk_submit(struct r3_blkq *blkq, struct r3_blk_req *const *reqs, unsigned n)
{
	struct r3_hwq *hwq = (struct r3_hwq *)blkq;

	return ((struct vblk_queue *)blkq)->ring.packed ? r3_hwq_submit(hwq, reqs, n, push_packed)
							: r3_hwq_submit(hwq, reqs, n, push_split);
}

/* ---- kick ---- */

static inline void ring(struct vblk_queue *q)
{
	if (r3_virtq_publish(&q->ring))
		r3_virtio_notify(&q->place, r3_virtq_notify_data(&q->ring));
}

int vblk_kick(struct r3_blkq *blkq)
{
	struct vblk_queue *q = (struct vblk_queue *)blkq;
	bool gone = __atomic_load_n(&q->hwq.gone, __ATOMIC_RELAXED);

	if (!r3_gate_enter(&q->hwq.gate))
		return 0; /* whoever opens it rings */
	if (likely(!gone))
		ring(q);
	r3_gate_leave(&q->hwq.gate);
	return gone ? -ENODEV : 0;
}

/* ---- reap ---- */

static int status_errno(uint8_t status)
{
	switch (status) {
	case VIRTIO_BLK_S_OK:
		return 0;
	case VIRTIO_BLK_S_UNSUPP:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

/* Errors, lies, and the first half of a write that is to be on the medium. Returns whether
 * the request is complete. */
static __attribute__((noinline)) bool complete_other(struct vblk_queue *q, struct r3_slot *slot,
						     uint8_t status, bool all)
{
	const struct r3_blk_req *req = slot->req;
	int err = status_errno(status);

	/* The device has it still, for all we know: perhaps it took it for another one, and
	 * writes into its memory later. Only a reset lets us give that back. */
	if (status == VBLK_S_NONE) {
		r3_error_set(
			EPROTO,
			"%s: queue %u: %s at %llu is used, but has no status; reset the device",
			q->hwq.ctrl->name, q->hwq.index, r3_blk_op_name(req->op),
			(unsigned long long)req->off);
		lied(q);
		return false;
	}
	/* Without data the status itself tells that it was written. */
	if (!err && !all && req->op == R3_BLK_READ) {
		err = -EIO;
		r3_ctrl_lie(q->hwq.ctrl, "read at %llu is used, but without all of its data",
			    (unsigned long long)req->off);
	}
	/* It has no FUA, so what may be in a cache is flushed once it is written. */
	if (!err && (req->flags & R3_BLK_FUA) && !slot->step &&
	    (r3_limit(&q->vblk->block.limits, features) & R3_BLOCK_VOLATILE_CACHE)) {
		slot->step = 1;
		if (push_flush(q, slot) == 0)
			return false;
		err = -EIO;
	}
	r3_slot_finish(slot, err, status);
	return true;
}

/* Its status counts, and for a read that all of the data is there: the device must not
 * be believed to have written more than it says (2.7.8.3). */
static inline bool complete(struct vblk_queue *q, struct r3_slot *slot, uint32_t written)
{
	const struct r3_blk_req *req = slot->req;
	struct vblk_table *table = slot->table;
	uint8_t status = __atomic_load_n(&table->status, __ATOMIC_RELAXED);

	if (unlikely((status | (req->flags & R3_BLK_FUA)) != VIRTIO_BLK_S_OK ||
		     written != slot->expect))
		return complete_other(q, slot, status, written == slot->expect);
	r3_slot_finish(slot, 0, VIRTIO_BLK_S_OK);
	return true;
}

/* Reap what is used, by the pop of the layout. */
static inline __attribute__((always_inline)) unsigned reap(struct vblk_queue *q,
							   struct r3_blk_req **reqs, unsigned max,
							   int (*pop)(struct r3_virtq *ring,
								      uint16_t *id, uint32_t *len))
{
	struct r3_slots *slots = &q->hwq.slots;
	unsigned n = 0;
	uint32_t written = 0;
	uint16_t id = 0;
	int rc = 0;

	while (n < max && (rc = pop(&q->ring, &id, &written)) > 0) {
		struct r3_slot *slot = &slots->slot[id];

		if (unlikely(!complete(q, slot, written)))
			continue;
		reqs[n++] = slot->req;
		r3_slot_free(slots, slot);
	}
	if (unlikely(rc < 0))
		lied(q);
	q->hwq.completed += n;
	return n;
}

/* Flattened: a call for each pop would cost a tenth. */
__attribute__((flatten)) int vblk_reap(struct r3_blkq *blkq, struct r3_blk_req **reqs, unsigned max)
{
	struct vblk_queue *q = (struct vblk_queue *)blkq;
	unsigned n = 0;

	if (!r3_gate_enter(&q->hwq.gate))
		return 0; /* whoever opens it signals the fd */
	if (q->armed) {
		r3_virtq_disarm(&q->ring);
		q->armed = false;
	}
	if (unlikely(q->hwq.slots.ndone))
		n = r3_slots_reap_done(&q->hwq.slots, reqs, max);
	if (unlikely(q->ring.in_order))
		n += reap(q, reqs + n, max - n, r3_virtq_pop_in_order);
	else if (q->ring.packed)
		n += reap(q, reqs + n, max - n, r3_virtq_packed_pop);
	else
		n += reap(q, reqs + n, max - n, r3_virtq_split_pop);
	/* flushes that follow writes */
	if (unlikely(q->ring.pushed != q->ring.published))
		ring(q);
	r3_gate_leave(&q->hwq.gate);
	return (int)n;
}

int vblk_arm(struct r3_blkq *blkq)
{
	struct vblk_queue *q = (struct vblk_queue *)blkq;
	int ready;

	r3_hwq_drain(&q->hwq);
	if (!r3_gate_enter(&q->hwq.gate))
		return 0;
	q->armed = true;
	/* A broken ring has nothing more to say; its recovery signals. */
	ready = q->hwq.slots.ndone || (!q->lied && r3_virtq_arm(&q->ring));
	r3_gate_leave(&q->hwq.gate);
	return ready;
}

/* ---- for recovery, the gate being closed ---- */

void vblk_io_ring(struct r3_hwq *hwq)
{
	if (!hwq->ctrl->gone)
		ring((struct vblk_queue *)hwq);
}

bool vblk_io_collect(struct r3_hwq *hwq, bool alive)
{
	struct vblk_queue *q = (struct vblk_queue *)hwq;
	bool any = false;
	uint32_t written;
	uint16_t id;
	int rc;

	/* A flush that follows a write stays in flight: the gate's opening rings for it, or a
	 * reset comes, and then both are done again. */
	while ((rc = r3_virtq_pop(&q->ring, &id, &written)) > 0) {
		struct r3_slot *slot = &hwq->slots.slot[id];

		if (complete(q, slot, written)) {
			r3_slot_done(&hwq->slots, slot);
			hwq->completed++;
		}
		any = true;
	}
	if (rc < 0)
		lied(q);
	return any;
}

int vblk_io_again(struct r3_hwq *hwq, struct r3_slot *slot, uint64_t where)
{
	struct vblk_queue *q = (struct vblk_queue *)hwq;

	slot->step = 0;
	return push(q, slot, slot->req, where, q->ring.packed);
}
