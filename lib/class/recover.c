/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery. A request that is overdue is cancelled where the device knows how; one that
 * does not come back, or a device that says that it failed, costs a reset of the device;
 * a device that does not come back is gone.
 *
 * A reset is: keep every queue's thread out, disable the device (from here on it touches
 * neither memory nor, for requests not completed, the medium), take what has completed,
 * start it again, make the queues again, and submit what was in flight once more. All
 * block operations may be repeated, since nobody was told that they are done. Each
 * request goes through a few resets at most, then it fails; those that are there to close
 * another queue say nothing against it. Whatever way it ends, it ends among the done
 * slots, once, and the queue's thread reaps it there.
 */
#include "class/ctrl.h"

#include <inttypes.h>
#include <linux/pci_regs.h>

#define GATE_TIMEOUT (100 * R3_NSEC_PER_MSEC)
#define NOW_TIMEOUT  (5 * R3_NSEC_PER_SEC) /* the same, where it cannot be put off */
#define RESETS_MOST  2u                    /* that one request goes through */
#define VAIN_MOST    4u /* recoveries without progress, less than VAIN_SPAN apart */
#define VAIN_SPAN    (60 * R3_NSEC_PER_SEC)

struct r3_hwq *r3_ctrl_next(const struct r3_ctrl *ctrl, const struct r3_hwq *last)
{
	for (unsigned i = last ? last->index + 1 : 0; i < ctrl->nqueues; i++)
		if (ctrl->queue[i] && !ctrl->queue[i]->closing)
			return ctrl->queue[i];
	return NULL;
}

static uint32_t age(const struct r3_hwq *q, const struct r3_slot *slot)
{
	return q->ctrl->tick - __atomic_load_n(&slot->tick, __ATOMIC_RELAXED);
}

/* Keep the queue's thread out, if it leaves in time. */
static int close_gate(struct r3_hwq *q)
{
	if (r3_gate_close(&q->gate, q->ctrl->clock, GATE_TIMEOUT) == 0)
		return 0;
	r3_gate_open(&q->gate);
	return r3_error_set(EBUSY, "%s: a queue's thread does not leave the driver", q->ctrl->name);
}

/* Let it in again, after ringing for what it could not kick. */
static void open_gate(struct r3_hwq *q)
{
	q->ctrl->ops->ring(q);
	r3_gate_open(&q->gate);
	r3_hwq_signal(q);
}

static void fail(struct r3_hwq *q, struct r3_slot *slot, int err)
{
	r3_slot_finish(slot, err, 0);
	r3_slot_done(&q->slots, slot);
}

/* ---- giving up ---- */

/* The gate is closed. */
static void fail_queue(struct r3_hwq *q)
{
	(void)q->ctrl->ops->collect(q, false);
	for (uint32_t i = 0; i < q->slots.depth; i++)
		if (r3_slot_in_flight(&q->slots.slot[i]))
			fail(q, &q->slots.slot[i], -ENODEV);
	r3_hwq_refuse(q);
	q->failed = true;
}

/* Memory goes back to its owners: first keep the device from it. */
static void silence(struct r3_ctrl *ctrl)
{
	unsigned proved = 0;

	if (!r3_device_gone(ctrl->dev) &&
	    (r3_device_quiesce(ctrl->dev, R3_QUIESCE_DMA, &proved) < 0 ||
	     !(proved & R3_QUIESCE_DMA)))
		r3_log(R3_LOG_ERROR, "%s: cannot be kept from memory: %s", ctrl->name,
		       r3_error_text());
}

void r3_ctrl_give_up(struct r3_ctrl *ctrl, const char *why)
{
	if (!ctrl->gone) {
		ctrl->gone = true;
		r3_log(R3_LOG_ERROR, "%s: gone for good: %s", ctrl->name, why);
		silence(ctrl);
	}
	for (struct r3_hwq *q = r3_ctrl_next(ctrl, NULL); q; q = r3_ctrl_next(ctrl, q)) {
		if (q->failed || close_gate(q) < 0)
			continue;
		fail_queue(q);
		open_gate(q);
	}
	ctrl->ops->tell(ctrl, R3_BLOCK_EVENT_GONE, 0);
}

/* ---- reset ---- */

static int close_gates(struct r3_ctrl *ctrl)
{
	for (struct r3_hwq *q = r3_ctrl_next(ctrl, NULL); q; q = r3_ctrl_next(ctrl, q)) {
		int rc = close_gate(q);

		if (rc == 0)
			continue;
		for (struct r3_hwq *closed = r3_ctrl_next(ctrl, NULL); closed;
		     closed = r3_ctrl_next(ctrl, closed)) {
			if (closed == q)
				break;
			open_gate(closed);
		}
		return rc;
	}
	return 0;
}

/* Registers of all ones are also those of a function that somebody has reset: it is there,
 * and decodes no memory. */
static bool is_lost(const struct r3_ctrl *ctrl)
{
	return r3_device_gone(ctrl->dev) || r3_pci_read16(ctrl->dev, PCI_VENDOR_ID) == UINT16_MAX;
}

/* From outside, when the device does not obey. */
static int reset_device(struct r3_ctrl *ctrl)
{
	int rc;

	r3_log(R3_LOG_WARN, "%s: resetting the device: %s", ctrl->name, r3_error_text());
	rc = r3_device_reset(ctrl->dev, R3_RESET_ANY);
	if (rc == 0)
		rc = r3_pci_enable(ctrl->dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0);
	if (rc == 0)
		rc = r3_irq_restore(ctrl->irq);
	if (rc == 0)
		rc = ctrl->ops->disable(ctrl);
	return rc;
}

static bool in_vain(struct r3_ctrl *ctrl)
{
	uint64_t now = r3_clock_now(ctrl->clock), progress = 0;

	for (unsigned i = 0; i < ctrl->nqueues; i++) {
		if (!ctrl->queue[i])
			continue;
		if (ctrl->queue[i]->closing) /* which its caller wants, however often */
			return false;
		progress += ctrl->queue[i]->completed;
	}
	if (progress != ctrl->progress || now - ctrl->recovered > VAIN_SPAN)
		ctrl->in_vain = 0;
	ctrl->progress = progress;
	ctrl->recovered = now;
	return ++ctrl->in_vain > VAIN_MOST;
}

/* The device is disabled. What it has completed is safe among the done slots before the
 * rings begin anew. */
static int start_again(struct r3_ctrl *ctrl)
{
	int rc;

	for (struct r3_hwq *q = r3_ctrl_next(ctrl, NULL); q; q = r3_ctrl_next(ctrl, q))
		(void)ctrl->ops->collect(q, false);
	ctrl->starting = true;
	rc = ctrl->ops->restart(ctrl);
	ctrl->starting = false;
	return rc;
}

/* Where its data is was found out before, and cannot have changed. */
static int again(struct r3_hwq *q, struct r3_slot *slot)
{
	uint64_t where = slot->mapped ? R3_SLOT_MAPPED : R3_SLOT_NO_DATA;
	int rc = 0;

	if (r3_blk_has_data(slot->req) && !slot->mapped)
		rc = r3_slot_load(q->data_tag, slot, slot->req, &where);
	return rc < 0 ? rc : q->ctrl->ops->again(q, slot, where);
}

/* @counts: the reset is one of the few that a request goes through. */
static void submit_again(struct r3_hwq *q, bool counts)
{
	for (uint32_t i = 0; i < q->slots.depth; i++) {
		struct r3_slot *slot = &q->slots.slot[i];

		if (!r3_slot_in_flight(slot))
			continue;
		if (counts && slot->resets++ >= RESETS_MOST) {
			fail(q, slot, slot->overdue ? -ETIMEDOUT : -EIO);
			continue;
		}
		slot->tick = q->ctrl->tick;
		slot->overdue = false;
		if (again(q, slot) < 0)
			fail(q, slot, -EIO);
	}
}

/* @asked: not for a failure of the device. */
static int recover(struct r3_ctrl *ctrl, const char *why, bool asked)
{
	int rc;

	if (ctrl->gone)
		return -ENODEV;
	ctrl->reset_wanted = true; /* until it is done */
	rc = close_gates(ctrl);
	if (rc < 0)
		return rc;
	ctrl->reset_wanted = false;
	if (!asked && in_vain(ctrl)) {
		r3_ctrl_give_up(ctrl, "reset again and again, and nothing completes");
		return r3_error_set(ENODEV, "%s: given up: resets did not help", ctrl->name);
	}
	r3_log(R3_LOG_WARN, "%s: resetting the controller: %s", ctrl->name, why);

	rc = ctrl->ops->disable(ctrl);
	if (rc == 0)
		rc = start_again(ctrl);
	if (rc < 0 && !is_lost(ctrl)) {
		rc = reset_device(ctrl);
		if (rc == 0)
			rc = start_again(ctrl);
	}
	if (rc < 0) {
		r3_ctrl_give_up(ctrl, r3_error_text());
		return r3_error_set(ENODEV, "%s: gone after a failed reset", ctrl->name);
	}
	if (r3_ctrl_has_pin(ctrl))
		ctrl->ops->pin(ctrl, false);
	for (struct r3_hwq *q = r3_ctrl_next(ctrl, NULL); q; q = r3_ctrl_next(ctrl, q)) {
		submit_again(q, !asked);
		open_gate(q);
	}
	ctrl->ops->tell(ctrl, R3_BLOCK_EVENT_RESET, 0);
	return 0;
}

int r3_ctrl_recover(struct r3_ctrl *ctrl, const char *why)
{
	return recover(ctrl, why, false);
}

void r3_ctrl_recover_now(struct r3_ctrl *ctrl, const char *why)
{
	struct r3_wait wait = r3_wait_begin(ctrl->clock, NOW_TIMEOUT);

	while (recover(ctrl, why, true) == -EBUSY)
		if (!r3_wait_step(&wait)) {
			r3_ctrl_give_up(ctrl, r3_error_text());
			return;
		}
}

/* ---- time-outs ---- */

static uint32_t oldest(const struct r3_hwq *q)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < q->slots.depth; i++) {
		const struct r3_slot *slot = &q->slots.slot[i];

		if (r3_slot_in_flight(slot) && age(q, slot) > most)
			most = age(q, slot);
	}
	return most;
}

/* The gate is closed. */
static void cancel_overdue(struct r3_hwq *q)
{
	struct r3_ctrl *ctrl = q->ctrl;

	for (uint32_t i = 0; i < q->slots.depth; i++) {
		struct r3_slot *slot = &q->slots.slot[i];

		if (!r3_slot_in_flight(slot) || slot->overdue || age(q, slot) <= ctrl->io_ticks)
			continue;
		if (ctrl->ops->cancel && !ctrl->ops->cancel(q, slot))
			return; /* later, or the reset */
		slot->overdue = true;
		r3_log(R3_LOG_WARN, "%s: %s at %" PRIu64 " does not complete%s", ctrl->name,
		       r3_blk_op_name(slot->req->op), slot->req->off,
		       ctrl->ops->cancel ? ": aborting it" : "");
	}
}

/* Look at a queue that seems to have something overdue. Returns whether the device has
 * to be reset for it. */
static bool look_at(struct r3_hwq *q)
{
	struct r3_ctrl *ctrl = q->ctrl;
	uint32_t most = ctrl->ops->cancel ? 2 * ctrl->io_ticks : ctrl->io_ticks;
	bool hopeless;

	if (close_gate(q) < 0)
		return false;              /* its thread is at work: look again by the next tick */
	(void)ctrl->ops->collect(q, true); /* an interrupt was lost, or nobody reaps */
	hopeless = oldest(q) > most;
	if (!hopeless || !ctrl->ops->cancel) {
		ctrl->ops->ring(q); /* it may never have been kicked */
		cancel_overdue(q);
	}
	open_gate(q);
	return hopeless;
}

void r3_ctrl_look(struct r3_ctrl *ctrl)
{
	int rc = ctrl->ops->health(ctrl);

	if (rc == -ENODEV && is_lost(ctrl)) {
		r3_ctrl_give_up(ctrl, r3_error_text());
		return;
	}
	if (rc < 0 || ctrl->reset_wanted) {
		(void)r3_ctrl_recover(ctrl, rc < 0 ? r3_error_text() : "put off before");
		return;
	}
	for (struct r3_hwq *q = r3_ctrl_next(ctrl, NULL); q; q = r3_ctrl_next(ctrl, q)) {
		if (oldest(q) > ctrl->io_ticks && look_at(q)) {
			(void)r3_ctrl_recover(ctrl, "a request does not complete");
			return;
		}
	}
}
