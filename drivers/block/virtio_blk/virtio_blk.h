/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-blk driver from inside: a device of virtio 1.2 (5.2) and its queues. The
 * transport is lib/virtio's, the rings are lib/ring's; what it shares with other drivers,
 * and which thread may do what, is told in class/ctrl.h.
 *
 * All queues are made when the device is opened, because it has to know them before it
 * is told DRIVER_OK (3.1.1). To open a queue is to take one of them.
 *
 * Reading order: config.c (what the device says of itself), queue.c, io.c (the data
 * path), driver.c.
 */
#ifndef VIRTIO_BLK_VIRTIO_BLK_H
#define VIRTIO_BLK_VIRTIO_BLK_H

#include "class/ctrl.h"
#include "class/pending.h"
#include "ring/virtq.h"
#include "virtio/virtio.h"

#include <ring3/spec/virtio_blk.h>

#define VBLK_QUEUES_MAX 64u
#define VBLK_SIZE_MAX   1024u /* descriptors of a ring that we ask for */
#define VBLK_MAX_LEN    (UINT32_C(1) << 20)

/* ---- what a slot shows to the device ---- */

/** The segments of data that a table has room for. */
#define VBLK_MAX_SEGS 125u

/** The table is for one of both layouts of rings. Nearly always it has three entries, of
 *  which only the one in the middle changes; with the header they are one cache line.
 *  The status lies in another one, which is the device's. */
struct vblk_table {
	uint8_t status;
	uint8_t pad[15];
	struct virtio_blk_discard_write_zeroes range;
	struct virtq_desc flush[2]; /* header and status */
	struct virtio_blk_req header;
	struct virtq_desc desc[1 + VBLK_MAX_SEGS + 1];
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct vblk_table, header) == 64, "of a cache line with desc");
_Static_assert(sizeof(struct vblk_table) == 2048 + 64, "no more than is needed");

/* No device writes that: it is there until one writes something else. */
#define VBLK_S_NONE 0xff

/* ---- a device and its queues ---- */

struct r3_vblk;

struct vblk_queue {
	struct r3_hwq hwq; /* a slot's tag and id are its index */
	struct r3_virtq ring;
	struct r3_virtio_queue place; /* in the device */
	struct r3_vblk *vblk;
	struct r3_virtq_slot *ring_slots;
	void *mem;  /* of the ring */
	bool armed; /* interrupts are on */
	bool lied;  /* the ring is broken; the control thread looks at it, too */
};

struct r3_vblk {
	struct r3_ctrl ctrl;
	struct r3_block block;
	struct r3_pending pending;
	struct r3_virtio virtio;
	struct vblk_queue *queue; /* ctrl.nqueues of them, open or not */
	uint32_t max_depth;
	uint32_t max_segs;    /* of data, in a request */
	uint32_t max_segment; /* bytes of one */
	struct r3_dma_tag *ring_tag;
	struct r3_dma_tag *data_tag;
	uint16_t ring_size;
	bool may_unmap;     /* a write-zeroes may free the space; queues look at it */
	bool config_stale;  /* it may have changed since it was read */
	bool config_looked; /* since the last tick */
	bool told_gone;
};

static inline struct r3_vblk *vblk_of(struct r3_block *block)
{
	return (struct r3_vblk *)((char *)block - offsetof(struct r3_vblk, block));
}

/* config.c */

/** Features that the driver makes use of, of the device and of its rings. */
extern const uint64_t vblk_features;
/** Read the configuration, check it, and turn it into limits.
 *  Errors: EIO it makes no sense (the text says what); ENODEV. */
int vblk_config_read(struct r3_vblk *vblk, struct r3_block_limits *limits);
/** How many queues the device has, as far as we use them. Errors: EIO none; ENODEV. */
int vblk_config_queues(struct r3_vblk *vblk, unsigned *n);
/** Read it again because it may have changed, and tell of it. */
void vblk_config_refresh(struct r3_vblk *vblk);

/* queue.c */

/** Find out how many queues there are, and how large. Errors: EIO they are of no use. */
int vblk_queues_probe(struct r3_vblk *vblk);
/** Make all rings, and give them to the device. */
int vblk_queues_make(struct r3_vblk *vblk);
/** The device must not have them any more. */
void vblk_queues_free(struct r3_vblk *vblk);
int vblk_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out);
void vblk_queue_close(struct r3_blkq *blkq);
/** As in struct r3_ctrl_ops. */
int vblk_restart(struct r3_ctrl *ctrl);

/* io.c */

int vblk_submit(struct r3_blkq *blkq, struct r3_blk_req *const *reqs, unsigned n);
int vblk_kick(struct r3_blkq *blkq);
int vblk_reap(struct r3_blkq *blkq, struct r3_blk_req **reqs, unsigned max);
int vblk_arm(struct r3_blkq *blkq);
/** Write what stays the same in a slot's table. */
void vblk_io_prepare(struct vblk_queue *q, struct r3_slot *slot);
/* As in struct r3_ctrl_ops: */
void vblk_io_ring(struct r3_hwq *hwq);
bool vblk_io_collect(struct r3_hwq *hwq, bool alive);
int vblk_io_again(struct r3_hwq *hwq, struct r3_slot *slot, uint64_t where);

#endif
