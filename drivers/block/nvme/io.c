/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path: requests to commands, completions to requests. Between submit and the
 * doorbell, and between a completion and its reap, there is no system call, no
 * allocation and no lock; only memory that has to be bounced costs more.
 */
#include "nvme.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---- submit ---- */

/* Point the command at memory of any shape. */
static int point_at_list(const struct nvme_queue *q, struct r3_slot *slot, struct nvme_cmd *cmd,
			 uint64_t where)
{
	const struct r3_dma_seg whole = {.addr.v = where, .len = slot->req->len};
	const struct r3_dma_seg *seg = slot->mapped ? slot->map->seg : &whole;
	unsigned nseg = slot->mapped ? slot->map->nseg : 1;

	if (nvme_prp_fits(seg, nseg, q->page))
		return nvme_prp_build(&cmd->dptr, seg, nseg, q->page, slot->table,
				      slot->table_iova);
	/* Only a tag made for SGLs lets such segments through. */
	cmd->flags = NVME_CMD_PSDT_SGL;
	return nvme_sgl_build(&cmd->dptr, seg, nseg, slot->table, slot->table_iova);
}

static inline int point(const struct nvme_queue *q, struct r3_slot *slot, struct nvme_cmd *cmd,
			uint64_t where)
{
	uint64_t page = q->page, end = where + slot->req->len, second = (where | (page - 1)) + 1;

	/* Nearly everything: one piece that touches one page, or two. */
	_Static_assert(R3_SLOT_MAPPED & 3, "which is no address of a piece");
	if (unlikely(where & 3 || end > second + page))
		return point_at_list(q, slot, cmd, where);
	cmd->dptr.prp[0] = R3_LE64(where);
	cmd->dptr.prp[1] = end > second ? R3_LE64(second) : 0;
	return 0;
}

static bool may_deallocate(const struct nvme_ns *ns, const struct r3_blk_req *req)
{
	return (req->flags & R3_BLK_MAY_UNMAP) && (ns->dlfeat & NVME_DLFEAT_DEAC) &&
	       (ns->dlfeat & NVME_DLFEAT_READ_MASK) == NVME_DLFEAT_READ_ZERO;
}

/* What moves no data: flush (6.8), write zeroes (6.17), deallocate (6.7). */
static void fill_dataless(const struct nvme_ns *ns, struct r3_slot *slot,
			  const struct r3_blk_req *req, struct nvme_cmd *cmd)
{
	struct nvme_dsm_range *range = slot->table;

	cmd->dptr = (union nvme_dptr){.prp = {0}};
	switch (req->op) {
	case R3_BLK_FLUSH:
		cmd->opcode = NVME_CMD_FLUSH;
		cmd->cdw10 = cmd->cdw11 = cmd->cdw12 = 0;
		break;
	case R3_BLK_WRITE_ZEROES:
		cmd->opcode = NVME_CMD_WRITE_ZEROES;
		if (may_deallocate(ns, req))
			cmd->cdw12 |= R3_LE32(NVME_RW_DEAC);
		break;
	default:
		cmd->opcode = NVME_CMD_DSM;
		*range = (struct nvme_dsm_range){.nlb = R3_LE32(req->len >> ns->lba_shift),
						 .slba = R3_LE64(req->off >> ns->lba_shift)};
		cmd->dptr.prp[0] = R3_LE64(slot->table_iova.v);
		cmd->cdw10 = R3_LE32(1 - 1); /* ranges, 0's based */
		cmd->cdw11 = R3_LE32(NVME_DSM_AD);
		cmd->cdw12 = 0;
	}
}

/* Write the command of a request that is loaded into the next entry: all but the fields
 * that are the same in every command, which nvme_queue_create() wrote. */
static inline __attribute__((always_inline)) int push(struct r3_hwq *hwq, struct r3_slot *slot,
						      const struct r3_blk_req *req, uint64_t where)
{
	struct nvme_queue *q = (struct nvme_queue *)hwq;
	struct nvme_cmd *cmd = &q->pair.sq[q->pair.sq_tail];
	uint64_t slba = req->off >> q->lba_shift;
	uint32_t nlb = (uint32_t)(req->len >> q->lba_shift) - 1; /* 0's based */
	bool has_data = r3_blk_has_data(req);

	if (req->flags & R3_BLK_FUA)
		nlb |= NVME_RW_FUA;
	cmd->opcode = req->op == R3_BLK_READ ? NVME_CMD_READ : NVME_CMD_WRITE;
	cmd->flags = 0;
	cmd->cid = R3_LE16(slot->id);
	cmd->cdw10 = R3_LE32(slba);
	cmd->cdw11 = R3_LE32(slba >> 32);
	cmd->cdw12 = R3_LE32(nlb);
	if (likely(has_data)) {
		int rc = point(q, slot, cmd, where);

		if (unlikely(rc < 0))
			return rc;
	} else {
		fill_dataless(q->ns, slot, req, cmd);
	}
	nvme_pair_push(&q->pair);
	__atomic_store_n(&slot->tag, slot->id, __ATOMIC_RELAXED);
	slot->id = (uint16_t)(slot->id + NVME_CID_COUNT);
	return 0;
}

int nvme_submit(struct r3_blkq *blkq, struct r3_blk_req *const *reqs, unsigned n)
{
	return r3_hwq_submit((struct r3_hwq *)blkq, reqs, n, push);
}

/* ---- kick ---- */

static inline void ring(struct nvme_queue *q)
{
	struct nvme_pair *pair = &q->pair;

	if (pair->sq_tail == pair->sq_rung)
		return;
	pair->sq_rung = pair->sq_tail;
	/* Its barrier lets the device see the entries, lists and data before the doorbell. */
	r3_write32(q->nvme->bar, pair->sq_doorbell, pair->sq_tail);
}

int nvme_kick(struct r3_blkq *blkq)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	bool gone = __atomic_load_n(&q->hwq.gone, __ATOMIC_RELAXED);

	if (!r3_gate_enter(&q->hwq.gate))
		return 0; /* whoever opens it rings */
	ring(q);
	r3_gate_leave(&q->hwq.gate);
	return gone ? -ENODEV : 0;
}

/* ---- reap ---- */

static int status_errno(unsigned status, const struct r3_slot *slot)
{
	switch (status) {
	case NVME_SC_ABORT_REQ:
		return slot->overdue ? -ETIMEDOUT : -ECANCELED;
	case NVME_SC_ABORT_SQ_DELETION:
		return -ECANCELED;
	case NVME_SC_INVALID_OPCODE:
		return -EOPNOTSUPP;
	case NVME_SC_INVALID_NS:
		return -ENODEV;
	case NVME_SC_NS_WRITE_PROTECTED:
	case NVME_SC_WRITE_TO_RO:
		return -EROFS;
	case NVME_SC_CAP_EXCEEDED:
		return -ENOSPC;
	case NVME_SC_ACCESS_DENIED:
		return -EACCES;
	default:
		return -EIO;
	}
}

/* Only a broken controller does that, and it is survived. */
static __attribute__((cold, noinline)) void ignore(struct nvme_queue *q, const struct nvme_cqe *cqe)
{
	r3_ctrl_lie(q->hwq.ctrl,
		    "completion of command 0x%x of queue %u, head %u, in queue %u of %u",
		    R3_LE16(cqe->cid), R3_LE16(cqe->sqid), R3_LE16(cqe->sqhd), q->pair.qid,
		    q->pair.entries);
}

/* The slot that a completion is for; NULL: for none. */
static inline struct r3_slot *slot_of(struct nvme_queue *q, const struct nvme_cqe *cqe)
{
	uint32_t cid = R3_LE16(cqe->cid), index = cid & NVME_CID_INDEX;
	struct r3_slot *slot = &q->hwq.slots.slot[index];

	if (likely(index < q->hwq.slots.depth && slot->tag == cid &&
		   R3_LE16(cqe->sqid) == q->pair.qid && R3_LE16(cqe->sqhd) < q->pair.entries))
		return slot;
	ignore(q, cqe);
	return NULL;
}

static inline struct r3_blk_req *finish(struct r3_slot *slot, const struct nvme_cqe *cqe)
{
	unsigned status = NVME_CQE_STATUS(R3_LE16(cqe->sf));

	return r3_slot_finish(slot, unlikely(status) ? status_errno(status, slot) : 0, status);
}

int nvme_reap(struct r3_blkq *blkq, struct r3_blk_req **reqs, unsigned max)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	struct r3_slots *slots = &q->hwq.slots;
	const struct nvme_cqe *cqe;
	unsigned first, n, lies = 0;

	if (!r3_gate_enter(&q->hwq.gate))
		return 0; /* whoever opens it signals the fd */
	first = n = unlikely(slots->ndone) ? r3_slots_reap_done(slots, reqs, max) : 0;
	while (n < max && nvme_pair_peek(&q->pair, &cqe)) {
		struct r3_slot *slot = slot_of(q, cqe);

		nvme_pair_pop(&q->pair);
		if (likely(slot)) {
			reqs[n++] = finish(slot, cqe);
			r3_slot_free(slots, slot);
		} else if (++lies == q->pair.entries) {
			break;
		}
	}
	if (n - first + lies) {
		q->hwq.completed += n - first;
		nvme_pair_give_back(q->nvme, &q->pair);
	}
	r3_gate_leave(&q->hwq.gate);
	return (int)n;
}

int nvme_arm(struct r3_blkq *blkq)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	const struct nvme_cqe *cqe;
	int ready;

	/* The vector is on all the time, also while nobody sleeps. Masking it from the
	 * wake-up to here, tried on QEMU's controller, saved at most 4 % of its time per
	 * read with one in flight and nothing with 32, whose interrupts it merges; and each
	 * sleep cost two more messages. VFIO has no mask for MSI-X at all. */
	r3_hwq_drain(&q->hwq);
	if (!r3_gate_enter(&q->hwq.gate))
		return 0;
	ready = q->hwq.slots.ndone || nvme_pair_peek(&q->pair, &cqe);
	/* The control thread masked the pin when it forwarded the interrupt. */
	if (q->hwq.pin && !ready)
		r3_write32(q->nvme->bar, NVME_REG_INTMC, 1);
	r3_gate_leave(&q->hwq.gate);
	return ready;
}

/* ---- for recovery, the gate being closed ---- */

void nvme_io_ring(struct r3_hwq *hwq)
{
	struct nvme_queue *q = (struct nvme_queue *)hwq;

	if (hwq->ctrl->gone)
		q->pair.sq_rung = q->pair.sq_tail;
	ring(q);
}

bool nvme_io_collect(struct r3_hwq *hwq, bool alive)
{
	struct nvme_queue *q = (struct nvme_queue *)hwq;
	const struct nvme_cqe *cqe;
	unsigned taken = 0;

	for (; taken < q->pair.entries && nvme_pair_peek(&q->pair, &cqe); taken++) {
		struct r3_slot *slot = slot_of(q, cqe);

		if (slot) {
			finish(slot, cqe);
			r3_slot_done(&hwq->slots, slot);
			hwq->completed++;
		}
		nvme_pair_pop(&q->pair);
	}
	if (alive && taken)
		nvme_pair_give_back(q->nvme, &q->pair);
	return taken;
}

int nvme_io_again(struct r3_hwq *hwq, struct r3_slot *slot, uint64_t where)
{
	return push(hwq, slot, slot->req, where);
}

/* Abort (5.1), one command at a time. */
bool nvme_io_cancel(struct r3_hwq *hwq, struct r3_slot *slot)
{
	struct nvme_queue *q = (struct nvme_queue *)hwq;
	const struct nvme_cmd cmd = {.opcode = NVME_ADMIN_ABORT,
				     .cdw10 = R3_LE32(slot->tag << 16 | q->pair.qid)};

	return nvme_admin_post(q->nvme, NVME_ROLE_CANCEL, &cmd) == 0;
}
