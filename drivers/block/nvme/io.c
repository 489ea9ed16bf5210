/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path: requests to commands, completions to requests. Between submit and the
 * doorbell, and between a completion and its reap, there is no system call, no
 * allocation and no lock; only memory that has to be bounced costs more.
 */
#include "dma/map.h"
#include "nvme.h"
#include <unistd.h>

/* ---- submit ---- */

static unsigned dma_flags(const struct r3_blk_req *req)
{
	return req->op == R3_BLK_READ ? R3_DMA_FROM_DEVICE : R3_DMA_TO_DEVICE;
}

static bool has_data(const struct r3_blk_req *req)
{
	return req->op <= R3_BLK_WRITE;
}

/* Give the request's memory to the device. */
static inline int load(struct nvme_slot *slot, const struct r3_blk_req *req)
{
	const struct r3_sg *sg = req->sg;

	if (__builtin_expect(req->nsg != 1, 0) ||
	    !r3_dma_load_direct(slot->map, sg->addr, sg->len, dma_flags(req))) {
		int rc = r3_dma_load_sg(slot->map, sg, req->nsg, dma_flags(req), NULL);

		if (rc < 0)
			return rc;
	}
	r3_dma_sync_inline(slot->map, req->op == R3_BLK_READ ? R3_DMA_PREREAD : R3_DMA_PREWRITE);
	return 0;
}

static int point(const struct nvme_queue *q, struct nvme_slot *slot, struct nvme_cmd *cmd)
{
	uint32_t page = q->nvme->page;
	const struct r3_dma_map *map = slot->map;
	const struct r3_dma_seg *seg = map->seg;
	uint64_t at = seg->addr.v, end = at + map->len;
	uint64_t second = (at | (page - 1)) + 1;

	/* Nearly everything: one piece that touches one page, or two. */
	if (__builtin_expect(map->nseg == 1 && end <= second + page && !(at & 3), 1)) {
		cmd->dptr.prp[0] = R3_LE64(at);
		cmd->dptr.prp[1] = end > second ? R3_LE64(second) : 0;
		return 0;
	}
	if (nvme_prp_fits(seg, map->nseg, page))
		return nvme_prp_build(&cmd->dptr, seg, map->nseg, page, slot->list,
				      slot->list_iova);
	/* Only a tag made for SGLs lets such segments through. */
	cmd->flags = NVME_CMD_PSDT_SGL;
	return nvme_sgl_build(&cmd->dptr, seg, map->nseg, slot->list, slot->list_iova);
}

static void describe_range(const struct nvme_ns *ns, struct nvme_slot *slot,
			   const struct r3_blk_req *req, struct nvme_cmd *cmd)
{
	struct nvme_dsm_range *range = slot->list;

	*range = (struct nvme_dsm_range){.nlb = R3_LE32(req->len >> ns->lba_shift),
					 .slba = R3_LE64(req->off >> ns->lba_shift)};
	cmd->dptr.prp[0] = R3_LE64(slot->list_iova.v);
	cmd->cdw10 = R3_LE32(1 - 1); /* ranges, 0's based */
	cmd->cdw11 = R3_LE32(NVME_DSM_AD);
}

static bool may_deallocate(const struct nvme_ns *ns)
{
	return (ns->dlfeat & NVME_DLFEAT_DEAC) &&
	       (ns->dlfeat & NVME_DLFEAT_READ_MASK) == NVME_DLFEAT_READ_ZERO;
}

/* Write the command of a slot whose request is loaded into the next entry (6). */
static inline int push(struct nvme_queue *q, struct nvme_slot *slot)
{
	static const uint8_t opcode[R3_BLK_NOPS] = {
		[R3_BLK_READ] = NVME_CMD_READ,   [R3_BLK_WRITE] = NVME_CMD_WRITE,
		[R3_BLK_FLUSH] = NVME_CMD_FLUSH, [R3_BLK_WRITE_ZEROES] = NVME_CMD_WRITE_ZEROES,
		[R3_BLK_DISCARD] = NVME_CMD_DSM,
	};
	const struct r3_blk_req *req = slot->req;
	const struct nvme_ns *ns = q->ns;
	struct nvme_cmd cmd = {.opcode = opcode[req->op],
			       .cid = R3_LE16(slot->next_cid),
			       .nsid = R3_LE32(ns->nsid)};

	if (req->op <= R3_BLK_WRITE || req->op == R3_BLK_WRITE_ZEROES) {
		uint64_t slba = req->off >> ns->lba_shift;
		uint32_t rw = (uint32_t)(req->len >> ns->lba_shift) - 1;

		if (req->flags & R3_BLK_FUA)
			rw |= NVME_RW_FUA;
		if (has_data(req)) {
			int rc = point(q, slot, &cmd);

			if (__builtin_expect(rc < 0, 0))
				return rc;
		} else if ((req->flags & R3_BLK_MAY_UNMAP) && may_deallocate(ns)) {
			rw |= NVME_RW_DEAC;
		}
		cmd.cdw10 = R3_LE32(slba);
		cmd.cdw11 = R3_LE32(slba >> 32);
		cmd.cdw12 = R3_LE32(rw);
	} else if (req->op == R3_BLK_DISCARD) {
		describe_range(ns, slot, req, &cmd);
	}
	*nvme_pair_push(&q->pair) = cmd;
	__atomic_store_n(&slot->cid, slot->next_cid, __ATOMIC_RELAXED);
	slot->next_cid = (uint16_t)(slot->next_cid + NVME_CID_COUNT);
	return 0;
}

int nvme_submit(struct r3_blkq *blkq, struct r3_blk_req *const *reqs, unsigned n)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	uint32_t tick = __atomic_load_n(&q->nvme->tick, __ATOMIC_RELAXED);
	unsigned i = 0;
	int rc = 0;

	if (!r3_gate_enter(&q->gate))
		return -EAGAIN;
	if (q->gone) {
		rc = -ENODEV;
		goto leave;
	}
	for (; i < n && q->nfree; i++) {
		struct nvme_slot *slot = &q->slot[q->free[q->nfree - 1]];
		struct r3_blk_req *req = reqs[i];

		if (has_data(req)) {
			rc = load(slot, req);
			if (__builtin_expect(rc < 0, 0))
				break;
		}
		slot->req = req;
		slot->resets = 0;
		slot->aborted = false;
		__atomic_store_n(&slot->tick, tick, __ATOMIC_RELAXED);
		rc = push(q, slot);
		if (__builtin_expect(rc < 0, 0)) {
			slot->req = NULL;
			r3_dma_unload(slot->map);
			break;
		}
		q->nfree--;
	}
	/* Memory to bounce with comes back with the requests that have it. */
	if (rc == -ENOMEM && q->nfree < blkq->depth)
		rc = -EAGAIN;
leave:
	r3_gate_leave(&q->gate);
	return i ? (int)i : rc;
}

/* ---- kick ---- */

void nvme_io_ring(struct nvme_queue *q)
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
	bool gone;

	if (!r3_gate_enter(&q->gate))
		return 0; /* whoever opens it rings */
	gone = q->gone;
	if (!gone)
		nvme_io_ring(q);
	r3_gate_leave(&q->gate);
	return gone ? -ENODEV : 0;
}

/* ---- reap ---- */

static int status_errno(unsigned status, const struct nvme_slot *slot)
{
	switch (status) {
	case NVME_SC_ABORT_REQ:
		return slot->aborted ? -ETIMEDOUT : -ECANCELED;
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

/* The slot that a completion is for; NULL: for none, which only a broken controller
 * does, and which is survived. */
static struct nvme_slot *slot_of(struct nvme_queue *q, const struct nvme_cqe *cqe)
{
	unsigned cid = R3_LE16(cqe->cid);
	unsigned index = cid & NVME_CID_INDEX;

	if (__builtin_expect(index < q->blkq.depth && q->slot[index].cid == cid &&
				     R3_LE16(cqe->sqid) == q->pair.qid &&
				     R3_LE16(cqe->sqhd) < q->pair.entries,
			     1))
		return &q->slot[index];
	nvme_lie(q->nvme, "completion of unknown command 0x%x of queue %u, head %u, in queue %u",
		 cid, R3_LE16(cqe->sqid), R3_LE16(cqe->sqhd), q->pair.qid);
	return NULL;
}

/* Take the memory back from the device, and note how it went. */
static inline void finish(struct nvme_queue *q, struct nvme_slot *slot, unsigned status)
{
	struct r3_blk_req *req = slot->req;

	__atomic_store_n(&slot->cid, NVME_CID_NONE, __ATOMIC_RELAXED);
	req->detail = status;
	req->err = __builtin_expect(status, 0) ? status_errno(status, slot) : 0;
	if (has_data(req)) {
		r3_dma_sync_inline(slot->map,
				   req->op == R3_BLK_READ ? R3_DMA_POSTREAD : R3_DMA_POSTWRITE);
		r3_dma_unload_inline(slot->map);
	}
	q->completed++;
}

static inline void slot_free(struct nvme_queue *q, struct nvme_slot *slot)
{
	slot->req = NULL;
	q->free[q->nfree++] = (uint16_t)(slot - q->slot);
}

int nvme_reap(struct r3_blkq *blkq, struct r3_blk_req **reqs, unsigned max)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	struct nvme_pair *pair = &q->pair;
	const struct nvme_cqe *cqe;
	unsigned n = 0, taken = 0;

	if (!r3_gate_enter(&q->gate))
		return 0; /* whoever opens it signals the fd */
	while (__builtin_expect(q->ndone, 0) && n < max) {
		struct nvme_slot *slot = &q->slot[q->done[--q->ndone]];

		reqs[n++] = slot->req;
		slot_free(q, slot);
	}
	/* Lies count against the bound too. */
	for (; n < max && taken < pair->entries && (cqe = nvme_pair_peek(pair)); taken++) {
		struct nvme_slot *slot = slot_of(q, cqe);

		if (slot) {
			reqs[n++] = slot->req;
			finish(q, slot, NVME_CQE_STATUS(R3_LE16(cqe->sf)));
			slot_free(q, slot);
		}
		nvme_pair_pop(pair);
	}
	/* The entries were read before the controller may overwrite them: the branches on
	 * what was read order this store behind those loads. */
	if (taken)
		r3_write32_relaxed(q->nvme->bar, pair->cq_doorbell, pair->cq_head);
	r3_gate_leave(&q->gate);
	return (int)n;
}

int nvme_arm(struct r3_blkq *blkq)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	uint64_t count;
	int ready;

	/* First empty the eventfd, then look: what comes in between signals again. */
	if (blkq->fd >= 0)
		(void)!read(blkq->fd, &count, sizeof(count));
	if (!r3_gate_enter(&q->gate))
		return 0;
	ready = q->ndone || nvme_pair_peek(&q->pair);
	/* The control thread masked the pin when it forwarded the interrupt. */
	if (q->intx && !ready && !q->gone)
		r3_write32(q->nvme->bar, NVME_REG_INTMC, 1);
	r3_gate_leave(&q->gate);
	return ready;
}

/* ---- for recovery, the gate being closed ---- */

unsigned nvme_io_collect(struct nvme_queue *q)
{
	struct nvme_pair *pair = &q->pair;
	const struct nvme_cqe *cqe;
	unsigned taken = 0, n = 0;

	for (; taken < pair->entries && (cqe = nvme_pair_peek(pair)); taken++) {
		struct nvme_slot *slot = slot_of(q, cqe);

		if (slot) {
			finish(q, slot, NVME_CQE_STATUS(R3_LE16(cqe->sf)));
			q->done[q->ndone++] = (uint16_t)(slot - q->slot);
			n++;
		}
		nvme_pair_pop(pair);
	}
	if (taken)
		r3_write32_relaxed(q->nvme->bar, pair->cq_doorbell, pair->cq_head);
	return n;
}

void nvme_io_fail(struct nvme_queue *q, struct nvme_slot *slot, int err)
{
	finish(q, slot, 0);
	slot->req->err = err;
	q->done[q->ndone++] = (uint16_t)(slot - q->slot);
}

void nvme_io_again(struct nvme_queue *q, struct nvme_slot *slot)
{
	slot->tick = q->nvme->tick;
	slot->aborted = false;
	if (push(q, slot) < 0) /* it fitted before, and nothing has changed */
		nvme_io_fail(q, slot, -EIO);
}
