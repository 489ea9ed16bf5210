/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the stub; all of it runs under the lock of the fake device. */
#ifndef VIRTIO_STUB_PARTS_H
#define VIRTIO_STUB_PARTS_H

#include "stub/virtio_stub.h"

#define VIRTIO_STUB_PART       4096u /* each part of the BAR has a page */
#define VIRTIO_STUB_MULTIPLIER 8u    /* of a queue's place for notifications */

/** A buffer in flight where they are given back in order. */
struct virtio_stub_turn {
	uint16_t id, slots;
	bool done;  /* to be given back when it is its turn */
	bool whole; /* every byte of it was written, so that a later one can speak for it */
	struct virtio_stub_used used;
};

static inline bool virtio_stub_has(const struct virtio_stub *stub, unsigned bit)
{
	return stub->accepted & VIRTIO_FEATURE(bit);
}

/** The driver broke a MUST: count it. */
void virtio_stub_mistake(struct virtio_stub *stub, const char *what);
/** The same, so that the device cannot go on: it asks for a reset. */
void virtio_stub_broken(struct virtio_stub *stub, const char *what);
/** Memory of the driver; NULL: it cannot be reached, which is counted. */
void *virtio_stub_reach(struct virtio_stub *stub, uint64_t addr, uint64_t len, unsigned prot);

/** As after power-on, but for what the device is. */
void virtio_stub_reset(struct virtio_stub *stub);
/** What runs the fake device in a thread of its own, where notifications are mapped. */
bool virtio_stub_notified(const struct fake_device *fake);
void virtio_stub_turn(struct fake_device *fake);
/** The access hook of the fake device: BAR 0. */
bool virtio_stub_access(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
			uint64_t *value, bool write);

/* ---- virtio_stub_queue.c: what both layouts share ---- */

/** Fetch and execute all that is available, give it back, and tell. */
void virtio_stub_serve(struct virtio_stub *stub, unsigned queue);
/** Begin, if all that the driver said of the queue is right; end, and forget it. */
void virtio_stub_queue_start(struct virtio_stub *stub, unsigned queue);
void virtio_stub_queue_stop(struct virtio_stub *stub, unsigned queue);
/** Add a piece to a buffer, strictly. False: the device is broken. */
bool virtio_stub_add(struct virtio_stub *stub, struct virtio_stub_buf *buf, uint64_t addr,
		     uint32_t len, bool write);
/** Tell the driver of what was used. */
void virtio_stub_interrupt(struct virtio_stub *stub, uint16_t vector, uint8_t isr);

/* ---- the layouts; q is &stub->queue[buf->queue] ---- */

struct virtio_stub_layout {
	/** May the queue be started as it is described? */
	bool (*check)(struct virtio_stub *stub, struct virtio_stub_queue *q);
	/** The next available buffer; false: none. */
	bool (*fetch)(struct virtio_stub *stub, struct virtio_stub_queue *q,
		      struct virtio_stub_buf *buf);
	/** Give a buffer, or a batch that takes @slots, back. */
	void (*put)(struct virtio_stub *stub, struct virtio_stub_queue *q,
		    const struct virtio_stub_used *used, uint16_t slots);
	/** Say whether notifications are wanted: from the next buffer on, or none. */
	void (*want)(struct virtio_stub *stub, struct virtio_stub_queue *q);
	/** Does the driver want an interrupt, q->since places having been used? */
	bool (*wanted)(struct virtio_stub *stub, struct virtio_stub_queue *q);
};

extern const struct virtio_stub_layout virtio_stub_split, virtio_stub_packed;

/* ---- virtio_stub_blk.c ---- */

/** Execute a request. Says what goes into its status, and how many bytes it wrote. */
void virtio_stub_blk(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
		     struct virtio_stub_used *used);
/** Access the configuration. */
uint64_t virtio_stub_config_read(struct virtio_stub *stub, uint64_t off, unsigned width);
void virtio_stub_config_write(struct virtio_stub *stub, uint64_t off, unsigned width,
			      uint64_t value);

#endif
