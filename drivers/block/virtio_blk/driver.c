/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing a device, what it does by itself, and the driver's entry in the
 * table of drivers. */
#include "driver.h"
#include "util/kept_text.h"
#include "virtio_blk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_ALIGN    4096u
#define FLUSH_TIMEOUT (10 * R3_NSEC_PER_SEC)

/* ---- what the device does by itself ---- */

static int disable(struct r3_ctrl *ctrl)
{
	return r3_virtio_stop(&((struct r3_vblk *)ctrl)->virtio);
}

static int health(struct r3_ctrl *ctrl)
{
	struct r3_vblk *vblk = (struct r3_vblk *)ctrl;
	int rc = r3_virtio_health(&vblk->virtio);

	for (unsigned i = 0; rc == 0 && i < ctrl->nqueues; i++)
		if (__atomic_load_n(&vblk->queue[i].lied, __ATOMIC_RELAXED))
			rc = r3_error_set(EIO, "%s: queue %u is broken", ctrl->name, i);
	return rc;
}

static void tell(struct r3_ctrl *ctrl, enum r3_block_event_type type, uint32_t detail)
{
	struct r3_vblk *vblk = (struct r3_vblk *)ctrl;

	if (type == R3_BLOCK_EVENT_GONE && vblk->told_gone)
		return;
	vblk->told_gone |= type == R3_BLOCK_EVENT_GONE;
	r3_pending_put(&vblk->pending, type, detail);
}

/* By a pin the device says why, and lowers it by that (4.1.4.5). There is no mask, and
 * none is needed: the next completion raises it again. */
static void pin(struct r3_ctrl *ctrl, bool mask)
{
	struct r3_vblk *vblk = (struct r3_vblk *)ctrl;

	if (mask && (r3_virtio_isr(&vblk->virtio) & VIRTIO_PCI_ISR_CONFIG))
		vblk->config_stale = true;
}

static void look_at_config(struct r3_vblk *vblk)
{
	if (vblk->config_stale || r3_virtio_config_changed(&vblk->virtio))
		vblk_config_refresh(vblk);
}

/* Vector 0 is also that of queues without one of their own. What cannot be read now waits
 * for the tick, however often the device calls. */
static void poll(struct r3_ctrl *ctrl, bool came)
{
	struct r3_vblk *vblk = (struct r3_vblk *)ctrl;

	if (!came || vblk->config_looked)
		return;
	vblk->config_looked = true;
	look_at_config(vblk);
}

static void tick(struct r3_ctrl *ctrl)
{
	struct r3_vblk *vblk = (struct r3_vblk *)ctrl;

	vblk->config_looked = false;
	look_at_config(vblk);
}

static const struct r3_ctrl_ops ctrl_ops = {
	.disable = disable,
	.restart = vblk_restart,
	.collect = vblk_io_collect,
	.ring = vblk_io_ring,
	.again = vblk_io_again,
	.health = health,
	.tell = tell,
	.poll = poll,
	.tick = tick,
	.pin = pin,
};

/* ---- the block device ---- */

static int make_tags(struct r3_vblk *vblk)
{
	const struct r3_dma_constraints ring = {
		.size = sizeof(ring), .max_segments = 1, .alignment = RING_ALIGN};
	const struct r3_dma_constraints data = {.size = sizeof(data),
						.max_segments = vblk->block.limits.max_sg,
						.max_segment = vblk->max_segment,
						.max_len = vblk->block.limits.max_len};
	int rc = r3_dma_tag_create(vblk->ctrl.dev, NULL, &ring, &vblk->ring_tag);

	return rc < 0 ? rc : r3_dma_tag_create(vblk->ctrl.dev, NULL, &data, &vblk->data_tag);
}

/* Everything but the device, which goes back to whoever gave it. */
static void stop(struct r3_vblk *vblk)
{
	struct r3_kept_text why; /* it stops: often, that something failed */

	r3_error_keep(&why);
	if (vblk->virtio.status && !vblk->ctrl.gone && r3_virtio_stop(&vblk->virtio) < 0)
		r3_log(R3_LOG_WARN, "%s", r3_error_text());
	r3_error_put_back(&why);
	r3_pending_close(&vblk->pending);
	r3_ctrl_close(&vblk->ctrl);
	r3_virtio_irq_disable(&vblk->virtio);
	vblk_queues_free(vblk);
	r3_dma_tag_unref(vblk->data_tag);
	r3_dma_tag_unref(vblk->ring_tag);
	free(vblk);
}

/* An orderly end: what was written is on the medium. */
static void flush(struct r3_block *block)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .depth = 1, .mode = R3_BLKQ_POLL};
	struct r3_blkq *queue;
	int rc;

	if (!(block->limits.features & R3_BLOCK_VOLATILE_CACHE) ||
	    block->limits.features & R3_BLOCK_READ_ONLY || vblk_of(block)->ctrl.gone)
		return;
	rc = r3_blkq_open(block, &opts, &queue);
	if (rc == 0) {
		rc = r3_blkq_do(queue, R3_BLK_FLUSH, 0, 0, NULL, 0, FLUSH_TIMEOUT);
		r3_blkq_close(queue);
	}
	if (rc < 0)
		r3_log(R3_LOG_WARN, "%s: closed without a flush: %s", block->name, r3_error_text());
}

static void block_close(struct r3_block *block)
{
	struct r3_device *dev = vblk_of(block)->ctrl.dev;
	struct r3_kept_text why;

	r3_error_keep(&why);
	flush(block);
	r3_error_put_back(&why);
	stop(vblk_of(block));
	r3_device_close(dev);
}

static int block_fd(const struct r3_block *block)
{
	return vblk_of((struct r3_block *)block)->pending.epoll;
}

static int block_dispatch(struct r3_block *block, struct r3_block_event *events, unsigned max)
{
	struct r3_vblk *vblk = vblk_of(block);

	r3_ctrl_dispatch(&vblk->ctrl);
	return r3_pending_take(&vblk->pending, events, max);
}

static int block_alloc(struct r3_block *block, size_t len, void **out)
{
	return r3_ctrl_alloc(&vblk_of(block)->ctrl, len, out);
}

static void block_free(struct r3_block *block, void *ptr)
{
	r3_ctrl_free(&vblk_of(block)->ctrl, ptr);
}

static struct r3_device *block_device(const struct r3_block *block)
{
	return vblk_of((struct r3_block *)block)->ctrl.dev;
}

static const struct r3_block_ops block_ops = {
	.size = sizeof(block_ops),
	.close = block_close,
	.fd = block_fd,
	.dispatch = block_dispatch,
	.alloc = block_alloc,
	.free = block_free,
	.device = block_device,
	.queue_open = vblk_queue_open,
	.queue_close = vblk_queue_close,
	.submit = vblk_submit,
	.kick = vblk_kick,
	.reap = vblk_reap,
	.arm = vblk_arm,
};

/* ---- the driver ---- */

static int check_writable(const struct r3_vblk *vblk)
{
	if (r3_virtio_has(&vblk->virtio, VIRTIO_BLK_F_RO) && !vblk->ctrl.read_only)
		return r3_error_set(EROFS, "%s is write protected: open it read-only",
				    vblk->block.name);
	return 0;
}

/* The steps of 3.1.1. */
static int start(struct r3_vblk *vblk)
{
	struct r3_ctrl *ctrl = &vblk->ctrl;
	struct r3_virtio *v = &vblk->virtio;
	int rc = r3_virtio_init(v, ctrl->dev);

	if (rc == 0 && v->id != VIRTIO_ID_BLOCK)
		rc = r3_error_set(EOPNOTSUPP, "%s: a virtio device of type %u is no block device",
				  ctrl->name, v->id);
	if (rc == 0)
		rc = r3_virtio_begin(v, vblk_features, 0);
	if (rc == 0)
		rc = check_writable(vblk);
	if (rc == 0)
		rc = vblk_queues_probe(vblk);
	if (rc == 0)
		rc = vblk_config_read(vblk, &vblk->block.limits);
	if (rc == 0)
		rc = make_tags(vblk);
	if (rc == 0)
		rc = r3_virtio_irq_enable(v, ctrl->nqueues);
	if (rc == 0)
		rc = vblk_queues_make(vblk);
	if (rc == 0)
		rc = r3_virtio_ready(v);
	return rc;
}

static int open_fds(struct r3_vblk *vblk)
{
	int rc;

	vblk->ctrl.irq = vblk->virtio.irq;
	rc = r3_ctrl_open(&vblk->ctrl);
	if (rc < 0)
		return rc;
	rc = r3_pending_open(&vblk->pending);
	if (rc == 0)
		rc = r3_pending_watch(&vblk->pending, vblk->ctrl.epoll);
	if (rc < 0)
		rc = r3_error_set(-rc, "%s: event descriptors: %s", vblk->ctrl.name, strerror(-rc));
	return rc;
}

static int attach(struct r3_device *dev, const struct r3_block_opts *opts, struct r3_block **out)
{
	struct r3_vblk *vblk = calloc(1, sizeof(*vblk));
	struct r3_block *block;
	int rc;

	if (!vblk)
		return r3_error_set(ENOMEM, "%s: no memory", r3_device_get_info(dev)->name);
	r3_ctrl_init(&vblk->ctrl, &ctrl_ops, dev, opts);
	vblk->pending.epoll = vblk->pending.eventfd = -1;
	block = &vblk->block;
	block->ops = &block_ops;
	block->clock = vblk->ctrl.clock;
	snprintf(block->name, sizeof(block->name), "virtio-blk %s", vblk->ctrl.name);
	if (opts && opts->nsid > 1)
		rc = r3_error_set(ENODEV, "%s: there is no namespace %u", block->name, opts->nsid);
	else
		rc = start(vblk);
	if (rc == 0)
		rc = open_fds(vblk);
	if (rc < 0) {
		stop(vblk);
		return rc;
	}
	r3_log(R3_LOG_INFO, "%s: virtio-blk, %s rings of %u, %u queues, %u %s vectors",
	       vblk->ctrl.name, vblk->queue->ring.packed ? "packed" : "split", vblk->ring_size,
	       vblk->ctrl.nqueues, r3_irq_count(vblk->ctrl.irq),
	       r3_irq_type_name(r3_irq_get_type(vblk->ctrl.irq)));
	*out = block;
	return 0;
}

static const struct r3_match match[] = {
	{VIRTIO_PCI_VENDOR, VIRTIO_PCI_DEVICE_MODERN + VIRTIO_ID_BLOCK, 0, 0},
	{VIRTIO_PCI_VENDOR, 0x1001, 0, 0}, /* the same, transitional */
};

const struct r3_driver_v1 r3_driver_virtio_blk = {
	.size = sizeof(r3_driver_virtio_blk),
	.abi = R3_DRIVER_ABI,
	.name = "virtio-blk",
	.summary = "virtio block devices",
	.class_id = R3_CLASS_BLOCK,
	.nmatch = sizeof(match) / sizeof(match[0]),
	.match = match,
	.attach_block = attach,
};

R3_DRIVER_OBJECT(r3_driver_virtio_blk);
