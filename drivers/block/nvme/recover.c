/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery. A command that is overdue is aborted; one that is overdue twice, or a
 * controller that says that it failed, costs a reset of the controller; a controller that
 * does not come back is gone.
 *
 * A reset is: keep every queue's thread out, disable the controller (from here on it
 * touches neither memory nor, for commands not completed, the medium), take what has
 * completed, start it again, make the queues again, and submit what was in flight once
 * more. All block operations may be repeated, since nobody was told that they are done.
 * Each request goes through a few resets at most, then it fails. Whatever way it ends, it
 * ends in the queue's done list, once, and the queue's thread reaps it there.
 */
#include "nvme.h"
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdio.h>

#define GATE_TIMEOUT (100 * R3_NSEC_PER_MSEC)
#define RESETS_MOST  2u /* that one request goes through */
#define VAIN_MOST    4u /* recoveries without progress, less than VAIN_SPAN apart */
#define VAIN_SPAN    (60 * R3_NSEC_PER_SEC)

static struct nvme_queue *queue_at(const struct r3_nvme *nvme, unsigned qid)
{
	struct nvme_queue *q = nvme->queue[qid];

	return q && !q->closing ? q : NULL;
}

static bool in_flight(const struct nvme_slot *slot)
{
	return __atomic_load_n(&slot->cid, __ATOMIC_RELAXED) != NVME_CID_NONE;
}

static uint32_t age(const struct nvme_queue *q, const struct nvme_slot *slot)
{
	return q->nvme->tick - __atomic_load_n(&slot->tick, __ATOMIC_RELAXED);
}

/* Keep the queue's thread out, if it leaves in time. */
static int close_gate(struct nvme_queue *q)
{
	if (r3_gate_close(&q->gate, q->nvme->clock, GATE_TIMEOUT) == 0)
		return 0;
	r3_gate_open(&q->gate);
	return r3_error_set(EBUSY, "%s: a queue's thread does not leave the driver", q->nvme->name);
}

/* ---- giving up ---- */

/* The gate is closed. */
static void fail_queue(struct nvme_queue *q)
{
	(void)nvme_io_collect(q);
	q->pair.sq_rung = q->pair.sq_tail; /* there is nobody to ring for */
	for (uint32_t i = 0; i < q->blkq.depth; i++)
		if (in_flight(&q->slot[i]))
			nvme_io_fail(q, &q->slot[i], -ENODEV);
	__atomic_store_n(&q->gone, true, __ATOMIC_RELAXED);
	q->failed = true;
}

/* Memory goes back to its owners: first keep the device from it. */
static void silence(struct r3_nvme *nvme)
{
	unsigned proved = 0;

	if (!r3_device_gone(nvme->dev) &&
	    (r3_device_quiesce(nvme->dev, R3_QUIESCE_DMA, &proved) < 0 ||
	     !(proved & R3_QUIESCE_DMA)))
		r3_log(R3_LOG_ERROR, "%s: cannot be kept from memory: %s", nvme->name,
		       r3_error_text());
}

void nvme_recover_give_up(struct r3_nvme *nvme, const char *why)
{
	if (!nvme->gone) {
		nvme->gone = true;
		r3_log(R3_LOG_ERROR, "%s: gone for good: %s", nvme->name, why);
		silence(nvme);
	}
	for (unsigned qid = 1; qid <= nvme->nqueues; qid++) {
		struct nvme_queue *q = queue_at(nvme, qid);

		if (!q || q->failed || close_gate(q) < 0)
			continue;
		fail_queue(q);
		nvme_queue_open_gate(q);
	}
	for (struct nvme_ns *ns = nvme->namespaces; ns; ns = ns->next)
		nvme_ns_gone(ns);
}

/* ---- reset ---- */

static int close_gates(struct r3_nvme *nvme)
{
	for (unsigned qid = 1; qid <= nvme->nqueues; qid++) {
		struct nvme_queue *q = queue_at(nvme, qid);
		int rc = q ? close_gate(q) : 0;

		if (rc == 0)
			continue;
		while (--qid)
			if (queue_at(nvme, qid))
				nvme_queue_open_gate(queue_at(nvme, qid));
		return rc;
	}
	return 0;
}

/* Registers of all ones are also those of a function that somebody has reset: it is there,
 * and decodes no memory. */
static bool is_lost(const struct r3_nvme *nvme)
{
	return r3_device_gone(nvme->dev) || r3_pci_read16(nvme->dev, PCI_VENDOR_ID) == UINT16_MAX;
}

/* From outside, when the controller does not obey. */
static int reset_device(struct r3_nvme *nvme)
{
	int rc;

	r3_log(R3_LOG_WARN, "%s: resetting the device: %s", nvme->name, r3_error_text());
	rc = r3_device_reset(nvme->dev, R3_RESET_ANY);
	if (rc == 0)
		rc = r3_pci_enable(nvme->dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0);
	if (rc == 0)
		rc = r3_irq_restore(nvme->irq);
	if (rc == 0)
		rc = nvme_ctrl_disable(nvme);
	return rc;
}

static bool in_vain(struct r3_nvme *nvme)
{
	uint64_t now = r3_clock_now(nvme->clock), progress = 0;

	for (unsigned qid = 1; qid <= nvme->nqueues; qid++)
		if (nvme->queue[qid])
			progress += nvme->queue[qid]->completed;
	if (progress != nvme->progress || now - nvme->recovered > VAIN_SPAN)
		nvme->in_vain = 0;
	nvme->progress = progress;
	nvme->recovered = now;
	return ++nvme->in_vain > VAIN_MOST;
}

/* The controller is disabled. What it has completed is safe in the done lists before the
 * rings begin anew. */
static int start_again(struct r3_nvme *nvme)
{
	int rc;

	for (unsigned qid = 1; qid <= nvme->nqueues; qid++)
		if (queue_at(nvme, qid))
			(void)nvme_io_collect(queue_at(nvme, qid));
	rc = nvme_ctrl_start(nvme);
	nvme->starting = true; /* no recovery inside this one */
	for (unsigned qid = 1; rc == 0 && qid <= nvme->nqueues; qid++)
		if (queue_at(nvme, qid))
			rc = nvme_queue_create(queue_at(nvme, qid));
	nvme->starting = false;
	return rc;
}

static void submit_again(struct nvme_queue *q)
{
	for (uint32_t i = 0; i < q->blkq.depth; i++) {
		struct nvme_slot *slot = &q->slot[i];

		if (!in_flight(slot))
			continue;
		if (slot->resets++ < RESETS_MOST)
			nvme_io_again(q, slot);
		else
			nvme_io_fail(q, slot, slot->aborted ? -ETIMEDOUT : -EIO);
	}
}

int nvme_recover(struct r3_nvme *nvme, const char *why)
{
	int rc;

	if (nvme->gone)
		return -ENODEV;
	nvme->reset_wanted = true; /* until it is done */
	rc = close_gates(nvme);
	if (rc < 0)
		return rc;
	nvme->reset_wanted = false;
	if (in_vain(nvme)) {
		nvme_recover_give_up(nvme, "reset again and again, and nothing completes");
		return r3_error_set(ENODEV, "%s: given up: resets did not help", nvme->name);
	}
	r3_log(R3_LOG_WARN, "%s: resetting the controller: %s", nvme->name, why);

	rc = nvme_ctrl_disable(nvme);
	if (rc == 0)
		rc = start_again(nvme);
	if (rc < 0 && !is_lost(nvme)) {
		rc = reset_device(nvme);
		if (rc == 0)
			rc = start_again(nvme);
	}
	if (rc < 0) {
		nvme_recover_give_up(nvme, r3_error_text());
		return r3_error_set(ENODEV, "%s: gone after a failed reset", nvme->name);
	}
	if (r3_irq_get_type(nvme->irq) == R3_IRQ_INTX)
		r3_write32(nvme->bar, NVME_REG_INTMC, 1);
	for (unsigned qid = 1; qid <= nvme->nqueues; qid++) {
		struct nvme_queue *q = queue_at(nvme, qid);

		if (q) {
			submit_again(q);
			nvme_queue_open_gate(q);
		}
	}
	nvme->ns_stale = true; /* the reset forgot events that were not told yet */
	for (struct nvme_ns *ns = nvme->namespaces; ns; ns = ns->next)
		nvme_ns_event(ns, R3_BLOCK_EVENT_RESET, 0);
	return 0;
}

/* ---- time-outs ---- */

static uint32_t oldest(const struct nvme_queue *q)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < q->blkq.depth; i++)
		if (in_flight(&q->slot[i]) && age(q, &q->slot[i]) > most)
			most = age(q, &q->slot[i]);
	return most;
}

/* The gate is closed. Abort what is overdue (5.1), one command at a time. */
static void abort_overdue(struct nvme_queue *q)
{
	struct r3_nvme *nvme = q->nvme;

	nvme_io_ring(q); /* it may never have been kicked */
	for (uint32_t i = 0; i < q->blkq.depth; i++) {
		struct nvme_slot *slot = &q->slot[i];
		uint16_t cid = (uint16_t)slot->cid;
		struct nvme_cmd cmd = {.opcode = NVME_ADMIN_ABORT,
				       .cdw10 = R3_LE32((uint32_t)cid << 16 | q->pair.qid)};

		if (!in_flight(slot) || slot->aborted || age(q, slot) <= nvme->io_ticks)
			continue;
		if (nvme_admin_post(nvme, NVME_ROLE_CANCEL, &cmd) < 0)
			return; /* later, or the reset */
		slot->aborted = true;
		r3_log(R3_LOG_WARN, "%s: %s at %" PRIu64 " does not complete: aborting it",
		       nvme->name, r3_blk_op_name(slot->req->op), slot->req->off);
	}
}

/* Look at a queue that seems to have something overdue. Returns whether the controller
 * has to be reset for it. */
static bool look_at(struct nvme_queue *q)
{
	struct r3_nvme *nvme = q->nvme;
	bool hopeless;

	if (close_gate(q) < 0)
		return false;   /* its thread is at work: look again by the next tick */
	if (nvme_io_collect(q)) /* an interrupt was lost, or nobody reaps */
		nvme_pair_give_back(nvme, &q->pair);
	hopeless = oldest(q) > 2 * nvme->io_ticks;
	if (!hopeless)
		abort_overdue(q);
	nvme_queue_open_gate(q);
	return hopeless;
}

void nvme_recover_tick(struct r3_nvme *nvme)
{
	uint32_t csts;
	int rc = nvme_ctrl_health(nvme, &csts);

	if (rc == -ENODEV && is_lost(nvme)) {
		nvme_recover_give_up(nvme, r3_error_text());
		return;
	}
	if (rc < 0 || nvme->reset_wanted) {
		(void)nvme_recover(nvme, rc < 0 ? r3_error_text() : "put off before");
		return;
	}
	for (unsigned qid = 1; qid <= nvme->nqueues; qid++) {
		struct nvme_queue *q = queue_at(nvme, qid);

		if (q && oldest(q) > nvme->io_ticks && look_at(q)) {
			(void)nvme_recover(nvme, "a command does not complete");
			return;
		}
	}
}
