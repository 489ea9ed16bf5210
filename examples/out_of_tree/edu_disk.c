/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block driver outside ring3's tree: the memory inside QEMU's edu device as a
 * (very small) disk. The device has one DMA engine, so the queue has depth 1.
 * Registers: QEMU, docs/specs/edu.
 */
#include "edu_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	IRQ_STATUS = 0x24,
	IRQ_ACK = 0x64,
	DMA_SOURCE = 0x80,
	DMA_DESTINATION = 0x88,
	DMA_COUNT = 0x90,
	DMA_COMMAND = 0x98,
};
enum { DMA_START = 1 << 0, DMA_FROM_DEVICE = 1 << 1, DMA_IRQ = 1 << 2 };
#define DEVICE_MEMORY 0x40000
#define DISK_SIZE     3584 /* QEMU refuses a transfer that reaches the last of the 4096 bytes */

struct edu_disk {
	struct r3_block block; /* first: the class's part */
	struct r3_device *dev;
	struct r3_region *regs;
	struct r3_irq_set *irq;
	struct r3_dma_tag *tag;
};

struct edu_queue {
	struct r3_blkq queue; /* first: the class's part */
	struct r3_dma_map *map;
	struct r3_blk_req *req; /* in flight */
};

static int submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n)
{
	struct edu_queue *q = (struct edu_queue *)queue;
	struct edu_disk *disk = (struct edu_disk *)queue->block;
	struct r3_blk_req *req = reqs[0];
	const struct r3_dma_seg *seg;
	bool read = req->op == R3_BLK_READ;
	unsigned nseg;
	int rc;

	(void)n;
	if (q->req)
		return 0;
	if (req->op == R3_BLK_FLUSH) /* nothing is cached: done when it is reaped */
		goto accepted;
	rc = r3_dma_load_sg(q->map, req->sg, req->nsg, read ? R3_DMA_FROM_DEVICE : R3_DMA_TO_DEVICE,
			    NULL);
	if (rc < 0)
		return rc;
	r3_dma_sync(q->map, read ? R3_DMA_PREREAD : R3_DMA_PREWRITE);
	seg = r3_dma_segs(q->map, &nseg); /* one: the tag says so */
	r3_write64(disk->regs, DMA_SOURCE, read ? DEVICE_MEMORY + req->off : seg->addr.v);
	r3_write64(disk->regs, DMA_DESTINATION, read ? seg->addr.v : DEVICE_MEMORY + req->off);
	r3_write64(disk->regs, DMA_COUNT, req->len);
	r3_write64(disk->regs, DMA_COMMAND, DMA_START | DMA_IRQ | (read ? DMA_FROM_DEVICE : 0));
accepted:
	q->req = req;
	return 1;
}

static int reap(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max)
{
	struct edu_queue *q = (struct edu_queue *)queue;
	struct edu_disk *disk = (struct edu_disk *)queue->block;
	struct r3_blk_req *req = q->req;

	if (!req || max == 0)
		return 0;
	if (req->op != R3_BLK_FLUSH) {
		if (!r3_device_gone(disk->dev)) {
			if (r3_read64(disk->regs, DMA_COMMAND) & DMA_START)
				return 0;
			r3_write32(disk->regs, IRQ_ACK, r3_read32(disk->regs, IRQ_STATUS));
		}
		r3_dma_sync(q->map, req->op == R3_BLK_READ ? R3_DMA_POSTREAD : R3_DMA_POSTWRITE);
		r3_dma_unload(q->map);
	}
	req->err = r3_device_gone(disk->dev) ? -ENODEV : 0;
	req->detail = 0;
	q->req = NULL;
	reqs[0] = req;
	return 1;
}

static int arm(struct r3_blkq *queue)
{
	const struct edu_queue *q = (const struct edu_queue *)queue;
	const struct edu_disk *disk = (const struct edu_disk *)queue->block;

	/* Empty the fd, then look: what is done after the look signals it, and a signal that
	 * came late must not keep it readable while nothing is in flight. */
	r3_irq_ack(disk->irq, 0);
	return q->req &&
	       (q->req->op == R3_BLK_FLUSH || !(r3_read64(disk->regs, DMA_COMMAND) & DMA_START));
}

static int queue_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out)
{
	struct edu_disk *disk = (struct edu_disk *)block;
	struct edu_queue *q = calloc(1, sizeof(*q));
	int rc;

	(void)opts;
	if (!q)
		return r3_error_set(ENOMEM, "%s: no memory for a queue", block->name);
	rc = r3_dma_map_create(disk->tag, DISK_SIZE, &q->map);
	if (rc < 0) {
		free(q);
		return rc;
	}
	q->queue.fd = r3_irq_fd(disk->irq, 0);
	*out = &q->queue;
	return 0;
}

static void queue_close(struct r3_blkq *queue)
{
	struct edu_queue *q = (struct edu_queue *)queue;

	if (q->req) {
		r3_device_reset(((struct edu_disk *)queue->block)->dev, R3_RESET_ANY);
		q->req->err = -ECANCELED;
	}
	r3_dma_unload(q->map);
	r3_dma_map_destroy(q->map);
	free(q);
}

static void close_disk(struct r3_block *block)
{
	struct edu_disk *disk = (struct edu_disk *)block;

	r3_irq_disable(disk->irq);
	r3_dma_tag_unref(disk->tag);
	r3_device_close(disk->dev);
	free(disk);
}

static const struct r3_block_ops edu_disk_ops = {
	.size = sizeof(edu_disk_ops),
	.close = close_disk,
	.queue_open = queue_open,
	.queue_close = queue_close,
	.submit = submit,
	.reap = reap,
	.arm = arm,
};

static int attach(struct r3_device *dev, const struct r3_block_opts *opts, struct r3_block **out)
{
	static const struct r3_dma_constraints engine = {
		.size = sizeof(engine),
		.max_segments = 1,
		.highest = (UINT64_C(1) << 28) - 1, /* 28 address lines */
		.max_len = DISK_SIZE,
	};
	struct edu_disk *disk = calloc(1, sizeof(*disk));
	int rc;

	(void)opts;
	if (!disk)
		return r3_error_set(ENOMEM, "edu_disk: no memory");
	rc = r3_device_region(dev, R3_REGION_BAR0, &disk->regs);
	if (rc < 0)
		goto free_disk;
	rc = r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0);
	if (rc < 0)
		goto free_disk;
	rc = r3_dma_tag_create(dev, NULL, &engine, &disk->tag);
	if (rc < 0)
		goto free_disk;
	rc = r3_irq_enable(dev, R3_IRQ_MSI, 1, 1, &disk->irq);
	if (rc < 0)
		goto free_tag;
	disk->dev = dev;
	disk->block.ops = &edu_disk_ops;
	disk->block.clock = r3_device_clock(dev);
	strcpy(disk->block.name, "edu_disk");
	disk->block.limits = (struct r3_block_limits){
		.size = DISK_SIZE,
		.block_size = 512,
		.physical_block_size = 512,
		.max_len = DISK_SIZE,
		.max_sg = 64,
		.max_queues = 1,
		.max_depth = 1,
	};
	*out = &disk->block;
	return 0;

free_tag:
	r3_dma_tag_unref(disk->tag);
free_disk:
	free(disk);
	return rc;
}

static const struct r3_match match = {0x1234, 0x11e8, R3_MATCH_ANY, 0};

const struct r3_driver_v1 edu_disk = {
	.size = sizeof(edu_disk),
	.abi = R3_DRIVER_ABI,
	.name = "edu_disk",
	.summary = "the memory inside QEMU's edu device as a disk",
	.class_id = R3_CLASS_BLOCK,
	.nmatch = 1,
	.match = &match,
	.attach_block = attach,
};

R3_DRIVER_OBJECT(edu_disk);
