/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues: their rings, and their life in the controller. */
#include "nvme.h"
#include <stdlib.h>
#include <string.h>

/* ---- rings ---- */

int nvme_pair_alloc(struct r3_nvme *nvme, struct nvme_pair *pair, uint16_t qid, uint16_t entries)
{
	unsigned dstrd = NVME_CAP_DSTRD(nvme->cap);
	void *sq, *cq;
	int rc = r3_dma_alloc(nvme->ring_tag, entries * sizeof(*pair->sq), &sq, &pair->sq_iova);

	if (rc < 0)
		return rc;
	rc = r3_dma_alloc(nvme->ring_tag, entries * sizeof(*pair->cq), &cq, &pair->cq_iova);
	if (rc < 0) {
		r3_dma_free(nvme->ring_tag, sq);
		return rc;
	}
	pair->sq = sq;
	pair->cq = cq;
	pair->qid = qid;
	pair->entries = entries;
	pair->sq_doorbell = nvme_sq_doorbell(qid, dstrd);
	pair->cq_doorbell = nvme_cq_doorbell(qid, dstrd);
	nvme_pair_reset(pair);
	return 0;
}

void nvme_pair_free(struct r3_nvme *nvme, struct nvme_pair *pair)
{
	r3_dma_free(nvme->ring_tag, pair->cq);
	r3_dma_free(nvme->ring_tag, pair->sq);
}

void nvme_pair_reset(struct nvme_pair *pair)
{
	/* The first pass of the controller writes phase 1 over these zeroes (4.6). */
	memset(pair->cq, 0, pair->entries * sizeof(*pair->cq));
	pair->sq_tail = pair->sq_rung = 0;
	pair->cq_head = 0;
	pair->phase = NVME_CQE_PHASE;
}

/* ---- in the controller ---- */

/* False: the controller refuses, so it may still use the queue. One that does not answer
 * has been reset for it, and has no queue any more. */
static bool delete_one(struct r3_nvme *nvme, uint8_t opcode, uint16_t qid)
{
	struct nvme_cmd cmd = {.opcode = opcode, .cdw10 = R3_LE32(qid)};
	uint32_t status;

	return nvme_admin(nvme, &cmd, NULL, 0, NULL, &status) == 0 || !status;
}

int nvme_queue_create(struct nvme_queue *q)
{
	struct nvme_pair *pair = &q->pair;
	uint32_t which = (uint32_t)(pair->entries - 1) << 16 | pair->qid;
	uint32_t irq = q->hwq.blkq.fd >= 0 ? NVME_CQ_IEN | (uint32_t)q->hwq.vector << 16 : 0;
	struct nvme_cmd cq = {.opcode = NVME_ADMIN_CREATE_CQ,
			      .dptr.prp[0] = R3_LE64(pair->cq_iova.v),
			      .cdw10 = R3_LE32(which),
			      .cdw11 = R3_LE32(irq | NVME_QUEUE_PC)};
	struct nvme_cmd sq = {.opcode = NVME_ADMIN_CREATE_SQ,
			      .dptr.prp[0] = R3_LE64(pair->sq_iova.v),
			      .cdw10 = R3_LE32(which),
			      .cdw11 = R3_LE32((uint32_t)pair->qid << 16 | NVME_QUEUE_PC)};
	int rc;

	nvme_pair_reset(pair);
	for (unsigned i = 0; i < pair->entries; i++)
		pair->sq[i] = (struct nvme_cmd){.nsid = R3_LE32(q->nsid)};
	rc = nvme_admin(q->nvme, &cq, NULL, 0, NULL, NULL);
	if (rc < 0)
		return r3_error_prefix(rc, "create completion queue %u", pair->qid);
	rc = nvme_admin(q->nvme, &sq, NULL, 0, NULL, NULL);
	if (rc < 0) {
		(void)delete_one(q->nvme, NVME_ADMIN_DELETE_CQ, pair->qid);
		return r3_error_prefix(rc, "create submission queue %u", pair->qid);
	}
	return 0;
}

int nvme_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out)
{
	struct nvme_ns *ns = (struct nvme_ns *)block;
	struct r3_nvme *nvme = ns->nvme;
	const struct r3_hwq_tags tags = {
		.table = nvme->ring_tag, .data = nvme->data_tag, .table_len = NVME_LIST_LEN};
	struct nvme_queue *q;
	uint32_t index;
	int rc = r3_hwq_find_room(&nvme->ctrl, &index);

	if (rc == 0 && ns->gone)
		rc = r3_error_set(ENODEV, "the namespace is gone");
	if (rc < 0)
		return r3_error_prefix(rc, "%s", block->name);
	q = calloc(1, sizeof(*q));
	if (!q)
		return r3_error_set(ENOMEM, "%s: no memory for a queue", block->name);
	q->nvme = nvme;
	q->ns = ns;
	q->page = nvme->page;
	q->nsid = ns->nsid;
	q->lba_shift = ns->lba_shift;

	rc = nvme_pair_alloc(nvme, &q->pair, (uint16_t)(index + 1), (uint16_t)(opts->depth + 1));
	if (rc < 0)
		goto free_queue;
	rc = r3_hwq_open(&q->hwq, &nvme->ctrl, index, opts, &tags);
	if (rc < 0)
		goto close_hwq;
	rc = nvme_queue_create(q);
	if (rc < 0)
		goto recover;
	nvme->ctrl.queue[index] = &q->hwq;
	*out = &q->hwq.blkq;
	return 0;

recover:
	if (nvme->ctrl.reset_wanted)
		r3_ctrl_recover_now(&nvme->ctrl, "a queue could not be created");
close_hwq:
	r3_hwq_close(&q->hwq);
	nvme_pair_free(nvme, &q->pair);
free_queue:
	free(q);
	return r3_error_prefix(rc, "%s", block->name);
}

void nvme_queue_close(struct r3_blkq *blkq)
{
	struct nvme_queue *q = (struct nvme_queue *)blkq;
	struct r3_nvme *nvme = q->nvme;
	bool deleted;

	/* When this returns the controller has given up what was in flight (5.6). Where it
	 * refuses, only a reset keeps it from the memory. */
	q->hwq.closing = true;
	deleted = nvme->ctrl.gone || (delete_one(nvme, NVME_ADMIN_DELETE_SQ, q->pair.qid) &&
				      delete_one(nvme, NVME_ADMIN_DELETE_CQ, q->pair.qid));
	if (!deleted || nvme->ctrl.reset_wanted)
		r3_ctrl_recover_now(&nvme->ctrl, "a queue could not be deleted");
	nvme->ctrl.queue[q->hwq.index] = NULL;
	r3_hwq_close(&q->hwq);
	nvme_pair_free(nvme, &q->pair);
	free(q);
}
