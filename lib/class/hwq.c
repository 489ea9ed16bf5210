/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues of a controller and their interrupt vectors.
 *
 * The first queues have vectors of their own, as many as there are, whose eventfd is the
 * queue's fd. The others share the controller's: they have an eventfd of their own, to
 * which the control thread forwards.
 */
#include "class/ctrl.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int vector_take(struct r3_hwq *q)
{
	struct r3_ctrl *ctrl = q->ctrl;

	if (q->index + 1 < r3_irq_count(ctrl->irq)) {
		q->vector = (uint16_t)(q->index + 1);
		q->blkq.fd = r3_irq_fd(ctrl->irq, q->vector);
		return 0;
	}
	q->vector = 0;
	q->pin = r3_ctrl_has_pin(ctrl);
	q->blkq.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->blkq.fd < 0)
		return r3_error_set(errno, "%s: eventfd: %s", ctrl->name, strerror(errno));
	return 0;
}

static void vector_give(struct r3_hwq *q)
{
	if (q->blkq.fd >= 0 && !q->vector)
		close(q->blkq.fd);
}

int r3_hwq_find_room(const struct r3_ctrl *ctrl, uint32_t *index)
{
	if (ctrl->gone)
		return r3_error_set(ENODEV, "%s: the device is gone", ctrl->name);
	for (uint32_t i = 0; i < ctrl->nqueues; i++) {
		if (!ctrl->queue[i]) {
			*index = i;
			return 0;
		}
	}
	return r3_error_set(ENOSPC, "%s: all %u queues of the device are in use", ctrl->name,
			    ctrl->nqueues);
}

int r3_hwq_open(struct r3_hwq *q, struct r3_ctrl *ctrl, uint32_t index,
		const struct r3_blkq_opts *opts, const struct r3_hwq_tags *tags)
{
	int rc;

	*q = (struct r3_hwq){
		.blkq = {.depth = opts->depth, .fd = -1}, .ctrl = ctrl, .index = index};
	r3_gate_init(&q->gate, false);
	q->data_tag = tags->data;
	rc = r3_slots_alloc(&q->slots, opts->depth, tags->table, tags->table_len, tags->data);
	if (rc == 0 && opts->mode != R3_BLKQ_POLL)
		rc = vector_take(q);
	return rc;
}

void r3_hwq_close(struct r3_hwq *q)
{
	r3_slots_cancel(&q->slots, -ECANCELED);
	vector_give(q);
	r3_slots_free(&q->slots);
}

void r3_hwq_signal(const struct r3_hwq *q)
{
	uint64_t one = 1;

	/* It fails only when the counter is full, and then the fd polls readable as it is. */
	if (q->blkq.fd >= 0)
		(void)!write(q->blkq.fd, &one, sizeof(one));
}

void r3_hwq_refuse(struct r3_hwq *q)
{
	__atomic_store_n(&q->gone, true, __ATOMIC_RELAXED);
}
