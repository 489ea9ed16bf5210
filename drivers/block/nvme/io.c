/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path: requests to commands, completions to requests. Between submit and the
 * doorbell, and between a completion and its reap, there is no system call, no
 * allocation and no lock; only memory that has to be bounced costs more.
 */
#include "dma/map.h"
#include "nvme.h"
#include <unistd.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---- submit ---- */

static bool has_data(const struct r3_blk_req *req)
{
	return req->op <= R3_BLK_WRITE;
}

/* Give the request's memory to the device. */
static inline int load(struct nvme_slot *slot, const struct r3_blk_req *req)
{
	const struct r3_sg *sg = req->sg;
	bool read = req->op == R3_BLK_READ;
	unsigned flags = read ? R3_DMA_FROM_DEVICE : R3_DMA_TO_DEVICE;

	if (unlikely(req->nsg != 1 || !r3_dma_load_direct(slot->map, sg->addr, sg->len, flags))) {
		int rc = r3_dma_load_sg(slot->map, sg, req->nsg, flags, NULL);

		if (rc < 0)
			return rc;
	}
	/* Without work a sync is a barrier, and those of doorbell and phase bit do. */
	if (unlikely(slot->map->work))
		r3_dma_sync(slot->map, read ? R3_DMA_PREREAD : R3_DMA_PREWRITE);
	return 0;
}

/* Point the command at loaded memory of any shape. */
static int point_at_list(const struct nvme_queue *q, struct nvme_slot *slot, struct nvme_cmd *cmd)
{
	const struct r3_dma_map *map = slot->map;

	if (nvme_prp_fits(map->seg, map->nseg, q->page))
		return nvme_prp_build(&cmd->dptr, map->seg, map->nseg, q->page, slot->list,
				      slot->list_iova);
	/* Only a tag made for SGLs lets such segments through. */
	cmd->flags = NVME_CMD_PSDT_SGL;
	return nvme_sgl_build(&cmd->dptr, map->seg, map->nseg, slot->list, slot->list_iova);
}

static inline int point(const struct nvme_queue *q, struct nvme_slot *slot, struct nvme_cmd *cmd)
{
	uint64_t page = q->page, at = slot->map->seg[0].addr.v;
	uint64_t end = at + slot->map->len, second = (at | (page - 1)) + 1;

	/* Nearly everything: one piece that touches one page, or two. */
	if (unlikely(slot->map->nseg != 1 || end > second + page || at & 3))
		return point_at_list(q, slot, cmd);
	cmd->dptr.prp[0] = R3_LE64(at);
	cmd->dptr.prp[1] = end > second ? R3_LE64(second) : 0;
	return 0;
}

static bool may_deallocate(const struct nvme_ns *ns, const struct r3_blk_req *req)
{
	return (req->flags & R3_BLK_MAY_UNMAP) && (ns->dlfeat & NVME_DLFEAT_DEAC) &&
	       (ns->dlfeat & NVME_DLFEAT_READ_MASK) == NVME_DLFEAT_READ_ZERO;
}

/* What moves no data: flush (6.8), write zeroes (6.17), deallocate (6.7). */
static void fill_dataless(const struct nvme_ns *ns, struct nvme_slot *slot,
			  const struct r3_blk_req *req, struct nvme_cmd *cmd)
{
	struct nvme_dsm_range *range = slot->list;

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
		cmd->dptr.prp[0] = R3_LE64(slot->list_iova.v);
		cmd->cdw10 = R3_LE32(1 - 1); /* ranges, 0's based */
		cmd->cdw11 = R3_LE32(NVME_DSM_AD);
		cmd->cdw12 = 0;
	}
}

/* Write the command of a request that is loaded into the next entry. */
static inline __attribute__((always_inline)) int push(struct nvme_queue *q, struct nvme_slot *slot,
						      const struct r3_blk_req *req)
{
	struct nvme_cmd *cmd = &q->pair.sq[q->pair.sq_tail];
	uint64_t slba = req->off >> q->lba_shift;
	uint32_t nlb = (uint32_t)(req->len >> q->lba_shift) - 1; /* 0's based */

	*cmd = (struct nvme_cmd){
		.opcode = req->op == R3_BLK_READ ? NVME_CMD_READ : NVME_CMD_WRITE,
		.cid = R3_LE16(slot->next_cid),
		.nsid = R3_LE32(q->nsid),
		.cdw10 = R3_LE32(slba),
		.cdw11 = R3_LE32(slba >> 32),
		.cdw12 = R3_LE32(req->flags & R3_BLK_FUA ? nlb | NVME_RW_FUA : nlb),
	};
	if (likely(has_data(req))) {
		int rc = point(q, slot, cmd);

		if (unlikely(rc < 0))
			return rc;
	} else {
		fill_dataless(q->ns, slot, req, cmd);
	}
	nvme_pair_push(&q->pair);
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
	if (unlikely(__atomic_load_n(&q->gone, __ATOMIC_RELAXED))) {
		rc = -ENODEV;
		goto leave;
	}
	for (; i < n && q->nfree; i++) {
		struct nvme_slot *slot = &q->slot[q->free[q->nfree - 1]];
		struct r3_blk_req *req = reqs[i];

		if (likely(has_data(req))) {
			rc = load(slot, req);
			if (unlikely(rc < 0))
				break;
		}
		/* before it is in flight, for which the control thread looks at the cid */
		slot->req = req;
		__atomic_store_n(&slot->tick, tick, __ATOMIC_RELAXED);
		rc = push(q, slot, req);
		if (unlikely(rc < 0)) {
			slot->req = NULL;
			r3_dma_unload(slot->map);
			break;
		}
		q->nfree--;
	}
	/* Memory to bounce with comes back with the requests that have it. */
	if (unlikely(rc == -ENOMEM) && q->nfree < blkq->depth)
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
	bool gone = __atomic_load_n(&q->gone, __ATOMIC_RELAXED);

	if (!r3_gate_enter(&q->gate))
		return 0; /* whoever opens it rings */
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

/* Only a broken controller does that, and it is survived. */
static __attribute__((cold, noinline)) void ignore(struct nvme_queue *q, const struct nvme_cqe *cqe)
{
	nvme_lie(q->nvme, "completion of command 0x%x of queue %u, head %u, in queue %u of %u",
		 R3_LE16(cqe->cid), R3_LE16(cqe->sqid), R3_LE16(cqe->sqhd), q->pair.qid,
		 q->pair.entries);
}

/* The slot that a completion is for; NULL: for none. */
static inline struct nvme_slot *slot_of(struct nvme_queue *q, const struct nvme_cqe *cqe)
{
	uint32_t cid = R3_LE16(cqe->cid);
	size_t index = cid & NVME_CID_INDEX;
	struct nvme_slot *slot = &q->slot[index];

	if (likely(index < q->blkq.depth && slot->cid == cid && R3_LE16(cqe->sqid) == q->pair.qid &&
		   R3_LE16(cqe->sqhd) < q->pair.entries))
		return slot;
	ignore(q, cqe);
	return NULL;
}

/* Take the memory back from the device, and note how it went. */
static inline void finish(struct nvme_slot *slot, unsigned status)
{
	struct r3_blk_req *req = slot->req;

	__atomic_store_n(&slot->cid, NVME_CID_NONE, __ATOMIC_RELAXED);
	req->detail = status;
	req->err = unlikely(status) ? status_errno(status, slot) : 0;
	if (likely(has_data(req))) {
		struct r3_dma_map *map = slot->map;

		if (unlikely(map->work))
			r3_dma_sync(map,
				    req->op == R3_BLK_READ ? R3_DMA_POSTREAD : R3_DMA_POSTWRITE);
		r3_dma_unload_inline(map);
	}
}

static inline uint16_t index_of(const struct nvme_slot *slot)
{
	return slot->next_cid & NVME_CID_INDEX;
}

static inline void slot_free(struct nvme_queue *q, struct nvme_slot *slot)
{
	slot->req = NULL;
	slot->resets = 0;
	slot->aborted = false;
	q->free[q->nfree++] = index_of(slot);
}

/* What recovery has completed. */
static __attribute__((cold, noinline)) unsigned take_done(struct nvme_queue *q,
							  struct r3_blk_req **reqs, unsigned max)
{
	unsigned n = 0;

	while (q->ndone && n < max) {
		struct nvme_slot *slot = &q->slot[q->done[--q->ndone]];

		reqs[n++] = slot->req;
		slot_free(q, slot);
	}
	return n;
}

int nvme_reap(struct r3_blkq *blkq, struct r3_blk_req **reqs, unsigned max)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	const struct nvme_cqe *cqe;
	unsigned first, n, lies = 0;

	if (!r3_gate_enter(&q->gate))
		return 0; /* whoever opens it signals the fd */
	first = n = unlikely(q->ndone) ? take_done(q, reqs, max) : 0;
	while (n < max && lies < q->pair.entries && (cqe = nvme_pair_peek(&q->pair))) {
		struct nvme_slot *slot = slot_of(q, cqe);

		nvme_pair_pop(&q->pair);
		if (unlikely(!slot)) {
			lies++;
			continue;
		}
		finish(slot, NVME_CQE_STATUS(R3_LE16(cqe->sf)));
		reqs[n++] = slot->req;
		slot_free(q, slot);
	}
	if (n - first + lies) {
		q->completed += n - first;
		nvme_pair_give_back(q->nvme, &q->pair);
	}
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
	if (q->intx && !ready)
		r3_write32(q->nvme->bar, NVME_REG_INTMC, 1);
	r3_gate_leave(&q->gate);
	return ready;
}

/* ---- for recovery, the gate being closed ---- */

static void slot_done(struct nvme_queue *q, struct nvme_slot *slot)
{
	q->done[q->ndone++] = index_of(slot);
}

unsigned nvme_io_collect(struct nvme_queue *q)
{
	const struct nvme_cqe *cqe;
	unsigned taken = 0;

	for (; taken < q->pair.entries && (cqe = nvme_pair_peek(&q->pair)); taken++) {
		struct nvme_slot *slot = slot_of(q, cqe);

		if (slot) {
			finish(slot, NVME_CQE_STATUS(R3_LE16(cqe->sf)));
			slot_done(q, slot);
			q->completed++;
		}
		nvme_pair_pop(&q->pair);
	}
	return taken;
}

void nvme_io_fail(struct nvme_queue *q, struct nvme_slot *slot, int err)
{
	finish(slot, 0);
	slot->req->err = err;
	slot_done(q, slot);
}

void nvme_io_again(struct nvme_queue *q, struct nvme_slot *slot)
{
	slot->tick = q->nvme->tick;
	slot->aborted = false;
	if (push(q, slot, slot->req) < 0) /* it fitted before, and nothing has changed */
		nvme_io_fail(q, slot, -EIO);
}
