/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues: their memory, the slots of their requests, their interrupt vectors, and their
 * life in the controller.
 *
 * A queue that waits by interrupt has a vector of its own while there are any, whose
 * eventfd is the queue's fd. Later ones share the admin queue's vector: they have an
 * eventfd of their own, to which the control thread forwards.
 */
#include "nvme.h"
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

/* ---- slots ---- */

/* Each slot keeps memory to bounce with, so that a request from foreign memory takes no
 * lock either. Longer requests find theirs when they load. All slots together keep a
 * part of what is free, so that the next queue finds its rings. */
static uint64_t bounce_len(const struct r3_nvme *nvme, uint32_t depth)
{
	uint64_t most = r3_dma_tag_constraints(nvme->data_tag)->max_len, free_len, len;
	struct r3_arena *arena;

	if (r3_device_arena(nvme->dev, &arena) < 0)
		return 0;
	r3_arena_usage(arena, NULL, &free_len);
	len = free_len / NVME_BOUNCE_PART / depth & ~(uint64_t)(nvme->page - 1);
	if (most > NVME_BOUNCE_MAX)
		most = NVME_BOUNCE_MAX;
	return len < most ? len : most;
}

static int slots_alloc(struct nvme_queue *q)
{
	struct r3_nvme *nvme = q->nvme;
	uint32_t depth = q->blkq.depth;
	r3_iova iova;
	int rc = r3_dma_alloc(nvme->ring_tag, depth * NVME_LIST_LEN, &q->lists, &iova);
	uint64_t bounce = bounce_len(nvme, depth);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < depth; i++) {
		struct nvme_slot *slot = &q->slot[i];

		slot->cid = NVME_CID_NONE;
		slot->next_cid = (uint16_t)i;
		slot->list = (char *)q->lists + i * NVME_LIST_LEN;
		slot->list_iova.v = iova.v + i * NVME_LIST_LEN;
		rc = r3_dma_map_create(nvme->data_tag, bounce, &slot->map);
		if (rc < 0)
			return rc;
		q->free[q->nfree++] = (uint16_t)(depth - 1 - i);
	}
	return 0;
}

static void slots_free(struct nvme_queue *q)
{
	for (uint32_t i = 0; i < q->blkq.depth; i++) {
		if (q->slot[i].map)
			r3_dma_unload(q->slot[i].map);
		r3_dma_map_destroy(q->slot[i].map);
	}
	r3_dma_free(q->nvme->ring_tag, q->lists);
}

/* ---- interrupts ---- */

static int vector_take(struct nvme_queue *q)
{
	struct r3_nvme *nvme = q->nvme;
	unsigned n = r3_irq_count(nvme->irq);

	for (unsigned v = 1; v < n; v++) {
		if (nvme->vector_taken[v])
			continue;
		nvme->vector_taken[v] = true;
		q->vector = (uint16_t)v;
		q->blkq.fd = r3_irq_fd(nvme->irq, v);
		return 0;
	}
	q->vector = 0;
	q->intx = r3_irq_get_type(nvme->irq) == R3_IRQ_INTX;
	q->blkq.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->blkq.fd < 0)
		return r3_error_set(errno, "%s: eventfd: %s", nvme->name, strerror(errno));
	return 0;
}

static void vector_give(struct nvme_queue *q)
{
	if (q->blkq.fd < 0)
		return;
	if (q->vector)
		q->nvme->vector_taken[q->vector] = false;
	else
		close(q->blkq.fd);
}

void nvme_queue_signal(const struct nvme_queue *q)
{
	uint64_t one = 1;

	/* It fails only when the counter is full, and then the fd polls readable as it is. */
	if (q->blkq.fd >= 0)
		(void)!write(q->blkq.fd, &one, sizeof(one));
}

void nvme_queue_open_gate(struct nvme_queue *q)
{
	nvme_io_ring(q);
	r3_gate_open(&q->gate);
	nvme_queue_signal(q);
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
	uint32_t irq = q->blkq.fd >= 0 ? NVME_CQ_IEN | (uint32_t)q->vector << 16 : 0;
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

/* A queue's memory is freed next. Where a reset has to keep the controller from it, the
 * reset cannot be put off. */
static void reset_now(struct r3_nvme *nvme, const char *why)
{
	if (nvme_recover(nvme, why) == -EBUSY)
		nvme_recover_give_up(nvme, r3_error_text());
}

static unsigned free_qid(const struct r3_nvme *nvme)
{
	for (unsigned qid = 1; qid <= nvme->nqueues; qid++)
		if (!nvme->queue[qid])
			return qid;
	return 0;
}

int nvme_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out)
{
	struct nvme_ns *ns = (struct nvme_ns *)block;
	struct r3_nvme *nvme = ns->nvme;
	unsigned qid = free_qid(nvme);
	struct nvme_queue *q;
	int rc;

	if (nvme->gone || ns->gone)
		return r3_error_set(ENODEV, "%s: the device is gone", block->name);
	if (!qid)
		return r3_error_set(ENOSPC, "%s: all %u queues of the controller are in use",
				    block->name, nvme->nqueues);

	size_t slots = opts->depth * sizeof(q->slot[0]);

	q = calloc(1, sizeof(*q) + slots + 2 * opts->depth * sizeof(*q->free));
	if (!q)
		return r3_error_set(ENOMEM, "%s: no memory for a queue of %u", block->name,
				    opts->depth);
	q->nvme = nvme;
	q->ns = ns;
	q->page = nvme->page;
	q->nsid = ns->nsid;
	q->lba_shift = ns->lba_shift;
	q->blkq.depth = opts->depth;
	q->blkq.fd = -1;
	q->free = (uint16_t *)((char *)q->slot + slots);
	q->done = q->free + opts->depth;
	r3_gate_init(&q->gate, false);

	rc = nvme_pair_alloc(nvme, &q->pair, (uint16_t)qid, (uint16_t)(opts->depth + 1));
	if (rc < 0)
		goto free_queue;
	rc = slots_alloc(q);
	if (rc < 0)
		goto free_slots;
	if (opts->mode != R3_BLKQ_POLL) {
		rc = vector_take(q);
		if (rc < 0)
			goto free_slots;
	}
	rc = nvme_queue_create(q);
	if (rc < 0)
		goto give_vector;
	nvme->queue[qid] = q;
	*out = &q->blkq;
	return 0;

give_vector:
	if (nvme->reset_wanted)
		reset_now(nvme, "a queue could not be created");
	vector_give(q);
free_slots:
	slots_free(q);
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
	q->closing = true;
	deleted = nvme->gone || (delete_one(nvme, NVME_ADMIN_DELETE_SQ, q->pair.qid) &&
				 delete_one(nvme, NVME_ADMIN_DELETE_CQ, q->pair.qid));
	if (!deleted || nvme->reset_wanted)
		reset_now(nvme, "a queue could not be deleted");
	nvme->queue[q->pair.qid] = NULL;
	for (uint32_t i = 0; i < blkq->depth; i++)
		if (q->slot[i].req)
			q->slot[i].req->err = -ECANCELED;
	vector_give(q);
	slots_free(q);
	nvme_pair_free(nvme, &q->pair);
	free(q);
}
