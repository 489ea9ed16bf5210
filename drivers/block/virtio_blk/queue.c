/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues: their rings, which live as long as the device is open, and who uses them. */
#include "virtio_blk.h"

#include <stdlib.h>

/* Header and status. */
#define AROUND_DATA 2u

int vblk_queues_probe(struct r3_vblk *vblk)
{
	struct r3_virtio *v = &vblk->virtio;
	uint32_t least = VBLK_SIZE_MAX;
	int rc = vblk_config_queues(vblk, &vblk->ctrl.nqueues);

	for (unsigned i = 0; rc == 0 && i < vblk->ctrl.nqueues; i++) {
		uint16_t most;

		rc = r3_virtio_queue_most(v, i, &most);
		if (rc == 0 && most < least)
			least = most;
	}
	if (rc < 0)
		return rc;
	if (least <= AROUND_DATA)
		return r3_error_set(EIO, "%s: a queue of %u: too small for any request",
				    vblk->ctrl.name, least);
	/* A chain is no longer than its queue, even where it is in a table (2.7.5.3.1). */
	vblk->max_segs = least - AROUND_DATA;
	if (vblk->max_segs > VBLK_MAX_SEGS)
		vblk->max_segs = VBLK_MAX_SEGS;
	/* Without tables the ring is full sooner, or later, as the requests are. */
	vblk->max_depth =
		r3_virtio_has(v, VIRTIO_F_INDIRECT_DESC) ? least : least / (1 + AROUND_DATA);
	vblk->ring_size = (uint16_t)least;
	return 0;
}

static int make(struct r3_vblk *vblk, uint16_t index, const struct r3_virtq_layout *layout)
{
	struct vblk_queue *q = &vblk->queue[index];
	struct r3_virtq_config config = {
		.name = vblk->ctrl.name,
		.index = index,
		.size = vblk->ring_size,
		.features = vblk->virtio.features,
	};
	r3_iova iova;
	int rc = r3_dma_alloc(vblk->ring_tag, layout->len, &q->mem, &iova);

	if (rc < 0)
		return rc;
	q->ring_slots = calloc(1, layout->slots);
	if (!q->ring_slots)
		return r3_error_set(ENOMEM, "%s: no memory for a ring of %u", vblk->ctrl.name,
				    vblk->ring_size);
	config.mem = q->mem;
	config.slots = q->ring_slots;
	rc = r3_virtq_init(&q->ring, &config);
	if (rc < 0)
		return rc;
	q->vblk = vblk;
	q->place = (struct r3_virtio_queue){
		.index = index,
		.size = vblk->ring_size,
		.desc = iova,
		.driver.v = iova.v + layout->driver,
		.device.v = iova.v + layout->device,
	};
	return r3_virtio_queue_start(&vblk->virtio, &q->place);
}

int vblk_queues_make(struct r3_vblk *vblk)
{
	struct r3_virtq_layout layout;
	int rc = r3_virtq_layout(vblk->ring_size, vblk->virtio.features, &layout);

	if (rc < 0)
		return rc;
	vblk->queue = calloc(vblk->ctrl.nqueues, sizeof(*vblk->queue));
	if (!vblk->queue)
		return r3_error_set(ENOMEM, "%s: no memory for %u queues", vblk->ctrl.name,
				    vblk->ctrl.nqueues);
	for (uint16_t i = 0; rc == 0 && i < vblk->ctrl.nqueues; i++)
		rc = make(vblk, i, &layout);
	return rc;
}

void vblk_queues_free(struct r3_vblk *vblk)
{
	for (unsigned i = 0; vblk->queue && i < vblk->ctrl.nqueues; i++) {
		free(vblk->queue[i].ring_slots);
		r3_dma_free(vblk->ring_tag, vblk->queue[i].mem);
	}
	free(vblk->queue);
}

static void empty(struct vblk_queue *q)
{
	r3_virtq_reset(&q->ring);
	q->armed = false;
	__atomic_store_n(&q->lied, false, __ATOMIC_RELAXED);
}

int vblk_restart(struct r3_ctrl *ctrl)
{
	struct r3_vblk *vblk = (struct r3_vblk *)ctrl;
	struct r3_virtio_queue *place[VBLK_QUEUES_MAX];

	for (unsigned i = 0; i < ctrl->nqueues; i++) {
		empty(&vblk->queue[i]);
		place[i] = &vblk->queue[i].place;
	}
	vblk->config_stale = true; /* who knows what it has become */
	return r3_virtio_restart(&vblk->virtio, place, ctrl->nqueues);
}

/* ---- as the class sees them ---- */

int vblk_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out)
{
	struct r3_vblk *vblk = vblk_of(block);
	const struct r3_hwq_tags tags = {.table = vblk->ring_tag,
					 .data = vblk->data_tag,
					 .table_len = sizeof(struct vblk_table)};
	struct vblk_queue *q;
	uint32_t index;
	int rc = r3_hwq_find_room(&vblk->ctrl, &index);

	if (rc < 0)
		return rc;
	q = &vblk->queue[index];
	rc = r3_hwq_open(&q->hwq, &vblk->ctrl, index, opts, &tags);
	if (rc < 0) {
		r3_hwq_close(&q->hwq);
		return r3_error_prefix(rc, "%s", block->name);
	}
	for (uint32_t i = 0; i < opts->depth; i++)
		vblk_io_prepare(q, &q->hwq.slots.slot[i]);
	vblk->ctrl.queue[index] = &q->hwq;
	*out = &q->hwq.blkq;
	return 0;
}

/* RING_RESET would take one queue from the device and leave the others alone. QEMU's, up to
 * 7.2 at least, offers it and then goes on with what it has: the memory is written later, and
 * the new ring is told of requests that it never had. So the whole device is reset. */
void vblk_queue_close(struct r3_blkq *blkq)
{
	struct vblk_queue *q = (struct vblk_queue *)blkq;
	struct r3_ctrl *ctrl = q->hwq.ctrl;

	q->hwq.closing = true;
	/* A broken ring does not know any more what the device has. */
	if ((q->lied || r3_virtq_in_flight(&q->ring)) && !ctrl->gone)
		r3_ctrl_recover_now(ctrl, "a queue is closed with requests in flight");
	ctrl->queue[q->hwq.index] = NULL;
	r3_hwq_close(&q->hwq);
}
