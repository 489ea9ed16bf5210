/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor: as few steps between a program and an NVMe controller as there can be. One
 * queue pair made by hand, entries written in place, doorbells by r3_write32(). It
 * checks that reads succeed, and nothing else: no requests, no limits, no time-outs.
 * What a driver costs is what it needs beyond this.
 */
#include "bench.h"

#include <errno.h>
#include <ring3/device.h>
#include <ring3/dma.h>
#include <ring3/error.h>
#include <ring3/pci.h>
#include <ring3/spec/nvme.h>
#include <stdlib.h>

#define ADMIN_ENTRIES 8u
#define WAIT          (5 * R3_NSEC_PER_SEC)

struct ring {
	struct nvme_cmd *sq;
	struct nvme_cqe *cq;
	r3_iova sq_iova, cq_iova;
	uint32_t entries, tail, head;
	uint16_t phase;
	uint64_t sq_doorbell, cq_doorbell;
};

struct floor {
	struct r3_device *dev;
	struct r3_region *bar;
	struct r3_dma_tag *tag;
	struct ring admin, io;
	void *data; /* BENCH_DEPTH_MAX blocks; of identify, at first */
	r3_iova data_iova;
	unsigned lba_shift;
	uint64_t blocks; /* of BENCH_LEN */
};

static int ring_alloc(struct floor *floor, struct ring *ring, unsigned qid, uint32_t entries,
		      unsigned dstrd)
{
	void *sq, *cq;
	int rc = r3_dma_alloc(floor->tag, entries * sizeof(*ring->sq), &sq, &ring->sq_iova);

	if (rc == 0) {
		ring->sq = sq;
		rc = r3_dma_alloc(floor->tag, entries * sizeof(*ring->cq), &cq, &ring->cq_iova);
	}
	if (rc < 0)
		return rc;
	ring->cq = cq;
	ring->entries = entries;
	ring->phase = NVME_CQE_PHASE;
	ring->sq_doorbell = nvme_sq_doorbell(qid, dstrd);
	ring->cq_doorbell = nvme_cq_doorbell(qid, dstrd);
	return 0;
}

static inline struct nvme_cmd *push(struct ring *ring)
{
	struct nvme_cmd *cmd = &ring->sq[ring->tail];

	if (++ring->tail == ring->entries)
		ring->tail = 0;
	return cmd;
}

/* The next completion's cid and status; false: there is none. */
static inline bool pop(struct ring *ring, unsigned *cid, unsigned *status)
{
	const struct nvme_cqe *cqe = &ring->cq[ring->head];
	uint16_t sf = R3_LE16(__atomic_load_n(&cqe->sf, __ATOMIC_ACQUIRE));

	if ((sf & NVME_CQE_PHASE) != ring->phase)
		return false;
	*cid = R3_LE16(cqe->cid);
	*status = NVME_CQE_STATUS(sf);
	if (++ring->head == ring->entries) {
		ring->head = 0;
		ring->phase ^= NVME_CQE_PHASE;
	}
	return true;
}

static int admin(struct floor *floor, const struct nvme_cmd *cmd, const char *what)
{
	struct r3_wait wait = r3_wait_begin(r3_device_clock(floor->dev), WAIT);
	unsigned cid, status;

	*push(&floor->admin) = *cmd;
	r3_write32(floor->bar, floor->admin.sq_doorbell, floor->admin.tail);
	while (!pop(&floor->admin, &cid, &status))
		if (!r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT, "floor: %s: no answer", what);
	r3_write32(floor->bar, floor->admin.cq_doorbell, floor->admin.head);
	return status ? r3_error_set(EIO, "floor: %s: status 0x%x", what, status) : 0;
}

static int identify(struct floor *floor)
{
	const struct nvme_id_ns *ns = floor->data;
	struct nvme_cmd cmd = {.opcode = NVME_ADMIN_IDENTIFY,
			       .nsid = R3_LE32(1),
			       .dptr.prp[0] = R3_LE64(floor->data_iova.v),
			       .cdw10 = R3_LE32(NVME_CNS_NS)};
	int rc = admin(floor, &cmd, "identify namespace 1");

	if (rc < 0)
		return rc;
	floor->lba_shift = ns->lbaf[ns->flbas & 0xf].lbads;
	if (floor->lba_shift < 9 || floor->lba_shift > 12)
		return r3_error_set(EIO, "floor: blocks of 2^%u bytes", floor->lba_shift);
	floor->blocks = R3_LE64(ns->nsze) << floor->lba_shift >> 12;
	return floor->blocks ? 0 : r3_error_set(EIO, "floor: the namespace is empty");
}

static int create_queues(struct floor *floor)
{
	uint32_t which = (floor->io.entries - 1) << 16 | 1;
	struct nvme_cmd cq = {.opcode = NVME_ADMIN_CREATE_CQ,
			      .dptr.prp[0] = R3_LE64(floor->io.cq_iova.v),
			      .cdw10 = R3_LE32(which),
			      .cdw11 = R3_LE32(NVME_QUEUE_PC)};
	struct nvme_cmd sq = {.opcode = NVME_ADMIN_CREATE_SQ,
			      .dptr.prp[0] = R3_LE64(floor->io.sq_iova.v),
			      .cdw10 = R3_LE32(which),
			      .cdw11 = R3_LE32(1u << 16 | NVME_QUEUE_PC)};
	int rc = admin(floor, &cq, "create completion queue");

	return rc < 0 ? rc : admin(floor, &sq, "create submission queue");
}

/* Reset and enable (7.6.1). */
static int enable(struct floor *floor)
{
	struct r3_region *bar = floor->bar;
	struct ring *ring = &floor->admin;
	uint32_t aqa = (ring->entries - 1) << 16 | (ring->entries - 1);
	int rc;

	r3_write32(bar, NVME_REG_CC, 0);
	rc = r3_region_wait32(bar, NVME_REG_CSTS, NVME_CSTS_RDY, 0, WAIT, NULL);
	if (rc < 0)
		return rc;
	r3_write32(bar, NVME_REG_AQA, aqa);
	r3_write64(bar, NVME_REG_ASQ, ring->sq_iova.v);
	r3_write64(bar, NVME_REG_ACQ, ring->cq_iova.v);
	r3_write32(bar, NVME_REG_CC,
		   NVME_CC_IOSQES(6) | NVME_CC_IOCQES(4) | NVME_CC_CSS(NVME_CC_CSS_NVM) |
			   NVME_CC_EN);
	return r3_region_wait32(bar, NVME_REG_CSTS, NVME_CSTS_RDY, NVME_CSTS_RDY, WAIT, NULL);
}

static void floor_close(void *self)
{
	struct floor *floor = self;

	if (floor->bar)
		r3_write32(floor->bar, NVME_REG_CC, 0);
	if (floor->tag) {
		r3_dma_free(floor->tag, floor->data);
		r3_dma_free(floor->tag, floor->io.cq);
		r3_dma_free(floor->tag, floor->io.sq);
		r3_dma_free(floor->tag, floor->admin.cq);
		r3_dma_free(floor->tag, floor->admin.sq);
		r3_dma_tag_unref(floor->tag);
	}
	r3_device_close(floor->dev);
	free(floor);
}

static int floor_open(const char *address, void **out)
{
	const struct r3_dma_constraints pages = {.size = sizeof(pages), .alignment = 4096};
	struct floor *floor = calloc(1, sizeof(*floor));
	unsigned dstrd;
	int rc;

	if (!floor)
		return r3_error_set(ENOMEM, "floor: no memory");
	rc = r3_device_open(address, NULL, &floor->dev);
	if (rc == 0)
		rc = r3_pci_enable(floor->dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0);
	if (rc == 0)
		rc = r3_device_region(floor->dev, R3_REGION_BAR0, &floor->bar);
	if (rc == 0)
		rc = r3_dma_tag_create(floor->dev, NULL, &pages, &floor->tag);
	if (rc < 0)
		goto fail;
	dstrd = NVME_CAP_DSTRD(r3_read64(floor->bar, NVME_REG_CAP));
	rc = ring_alloc(floor, &floor->admin, 0, ADMIN_ENTRIES, dstrd);
	if (rc == 0)
		rc = ring_alloc(floor, &floor->io, 1, BENCH_ENTRIES, dstrd);
	if (rc == 0)
		rc = r3_dma_alloc(floor->tag, BENCH_DEPTH_MAX * BENCH_LEN, &floor->data,
				  &floor->data_iova);
	if (rc == 0)
		rc = enable(floor);
	if (rc == 0)
		rc = identify(floor);
	if (rc == 0)
		rc = create_queues(floor);
	if (rc < 0)
		goto fail;
	*out = floor;
	return 0;
fail:
	floor_close(floor);
	return rc;
}

static inline void read_block(struct floor *floor, unsigned slot, uint64_t block)
{
	uint64_t slba = block << (12 - floor->lba_shift);

	*push(&floor->io) = (struct nvme_cmd){
		.opcode = NVME_CMD_READ,
		.cid = R3_LE16(slot),
		.nsid = R3_LE32(1),
		.dptr.prp[0] = R3_LE64(floor->data_iova.v + slot * BENCH_LEN),
		.cdw10 = R3_LE32(slba),
		.cdw11 = R3_LE32(slba >> 32),
		.cdw12 = R3_LE32((1u << (12 - floor->lba_shift)) - 1),
	};
}

static int floor_run(void *self, unsigned depth, uint64_t ns, uint64_t *ios, uint64_t *took)
{
	struct floor *floor = self;
	struct ring *ring = &floor->io;
	struct r3_clock *clock = r3_clock_system();
	uint64_t begin = r3_clock_now(clock), last = begin, now, done = 0, state = 1;
	unsigned inflight = depth;

	for (unsigned slot = 0; slot < depth; slot++)
		read_block(floor, slot, bench_next(&state, floor->blocks));
	r3_write32(floor->bar, ring->sq_doorbell, ring->tail);
	while (inflight) {
		unsigned cid, status, taken = 0;
		bool more = last - begin < ns;

		while (taken < depth && pop(ring, &cid, &status)) {
			if (status || cid >= depth)
				return r3_error_set(EIO, "floor: read: status 0x%x", status);
			taken++;
			if (more)
				read_block(floor, cid, bench_next(&state, floor->blocks));
		}
		if (taken) {
			r3_write32(floor->bar, ring->cq_doorbell, ring->head);
			if (more)
				r3_write32(floor->bar, ring->sq_doorbell, ring->tail);
			else
				inflight -= taken;
			done += taken;
			last = r3_clock_now(clock);
		} else {
			now = r3_clock_now(clock);
			if (now - last > WAIT)
				return r3_error_set(ETIMEDOUT, "floor: read: no answer");
		}
	}
	*ios = done;
	*took = last - begin;
	return 0;
}

const struct subject bench_floor_nvme = {
	.name = "floor",
	.open = floor_open,
	.run = floor_run,
	.close = floor_close,
};
