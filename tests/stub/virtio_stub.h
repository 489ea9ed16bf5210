/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio block device in this process, on the fake device: virtio 1.2 over PCI, with
 * rings split or packed. It executes a request in the write that notifies it, so that
 * tests are deterministic and instructions can be counted. It is strict about what a
 * driver tells it, and lies and fails as a test wants. Its side of the rings is written
 * from the specification: nothing of it is shared with the library's.
 *
 *      struct virtio_stub *stub = virtio_stub_new(NULL, NULL);
 *      stub->hooks = &lies;
 *      r3_driver_virtio_blk.attach_block(virtio_stub_device(stub), ...);
 *
 * The device owns the stub: closing it frees both.
 */
#ifndef VIRTIO_STUB_H
#define VIRTIO_STUB_H

#include "fake/fake_device.h"

#include <ring3/spec/virtio_blk.h>
#include <ring3/spec/virtio_pci.h>

#define VIRTIO_STUB_QUEUES 64
#define VIRTIO_STUB_SEGS   258 /* of one buffer: more are a mistake */
#define VIRTIO_STUB_HELD   256

/* Where the registers are, in BAR 0. */
#define VIRTIO_STUB_COMMON 0x0000
#define VIRTIO_STUB_ISR    0x1000
#define VIRTIO_STUB_DEVICE 0x2000
#define VIRTIO_STUB_NOTIFY 0x3000

/** What is offered unless the test says otherwise. */
#define VIRTIO_STUB_FEATURES \
	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) | \
	 VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_F_RING_RESET) | \
	 VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) | \
	 VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) | \
	 VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | VIRTIO_FEATURE(VIRTIO_BLK_F_MQ) | \
	 VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) | VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES))

struct virtio_stub;

/** A buffer that was made available. */
struct virtio_stub_buf {
	uint16_t queue;
	uint16_t id;         /* split: the head of its chain */
	uint16_t slots;      /* places that it takes: packed, in the ring; split, 1 */
	unsigned nout, nseg; /* pieces to read come first, then those to write */
	struct {
		uint64_t addr;
		uint32_t len;
	} seg[VIRTIO_STUB_SEGS];
};

/** How it is about to be given back. */
struct virtio_stub_used {
	uint32_t id, len;
	uint8_t status;  /* the last byte of the buffer */
	uint16_t jump;   /* by how much too far the index goes */
	uint16_t flags;  /* packed: of the descriptor, that are to be the wrong way round */
	unsigned copies; /* 1; more: it is given back again */
};

struct virtio_stub_hooks {
	/** A register of BAR 0 was read, and the value may be changed. */
	void (*read)(struct virtio_stub *stub, uint64_t off, unsigned width, uint64_t *value);
	/** A buffer was fetched. False: keep it, until virtio_stub_release(). */
	bool (*fetch)(struct virtio_stub *stub, const struct virtio_stub_buf *buf);
	/** It is about to be given back, which may be changed. False: never. */
	bool (*complete)(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
			 struct virtio_stub_used *used);
};

struct virtio_stub_opts {
	uint64_t features; /* offered; 0: VIRTIO_STUB_FEATURES */
	uint64_t size;     /* bytes; 0: 16 MiB */
	unsigned queues;   /* 0: 1, or 8 with MQ */
	unsigned qsize;    /* most entries of a queue; 0: 256 */
	unsigned vectors;  /* MSI-X; 0: none, so INTx */
	unsigned seg_max;  /* 0: 126, or what a queue holds */
	unsigned size_max; /* 0: 64 KiB */
	unsigned blk_size; /* 0: 512 */
	unsigned batch;    /* IN_ORDER: most buffers that one used element gives back; 0: 1 */
	bool null;         /* nothing is kept or copied */
	bool strict;       /* a driver with mistakes aborts the test when it closes */
	bool mapped;       /* notifications are stores to memory; see virtio_stub_run() */
	bool thread;       /* a thread of the device's own calls that; implies mapped */
};

struct virtio_stub_queue {
	uint64_t desc, driver, device;
	uint16_t size, vector;
	bool enabled, avail_wrap, used_wrap;
	uint16_t avail, used;          /* split: counters; packed: places in the ring */
	uint16_t since;                /* places used since an interrupt was last thought of */
	bool quiet;                    /* it asks for no notifications: virtio_stub_run() */
	uint8_t busy[65536 / 8];       /* ids in flight */
	struct virtio_stub_turn *turn; /* IN_ORDER: the buffers in flight, by age */
	unsigned first, nturns;
};

struct virtio_stub {
	struct fake_device *fake;
	struct r3_bus_ops ops; /* the fake's, with our close and reset in front of them */
	const struct r3_bus_ops *below;
	const struct virtio_stub_hooks *hooks; /* may be NULL */
	void *user;                            /* the test's */
	struct virtio_stub_opts opts;

	/* registers */
	uint64_t offered, accepted;
	uint32_t device_feature_select, driver_feature_select;
	uint16_t config_vector, queue_select;
	uint8_t status, generation, isr;
	struct virtio_stub_queue queue[VIRTIO_STUB_QUEUES];

	/* the block device */
	uint64_t capacity; /* sectors */
	uint8_t *data;     /* NULL: null */
	uint8_t writeback;

	struct {
		bool used;
		struct virtio_stub_buf buf;
	} held[VIRTIO_STUB_HELD];

	/* what happened */
	unsigned resets, queue_resets, driver_oks, requests, notifications, interrupts;
	unsigned needless; /* notifications that the device had asked not to be sent */
	unsigned batches;  /* buffers given back by the used element of a later one */
	unsigned faults;   /* addresses that the device cannot reach */
	unsigned mistakes; /* of the driver, each a MUST of the specification */
	unsigned indirect, flushes, writes, discarded, zeroed, unmapped; /* the last: sectors */
	const char *mistake; /* the last one, for messages */
};

/** A device, adopted, or NULL. Both arguments may be NULL. */
struct virtio_stub *virtio_stub_new(const struct virtio_stub_opts *opts, struct r3_clock *clock);
struct r3_device *virtio_stub_device(struct virtio_stub *stub);

/** Buffers kept by the fetch hook. */
unsigned virtio_stub_held(struct virtio_stub *stub);
/** Execute the @n-th of them and give it back. */
void virtio_stub_release(struct virtio_stub *stub, unsigned n);

/** Look at all queues. Where the notifications are mapped, at those whose place was
 *  written; that is how such a device ever does anything. */
void virtio_stub_run(struct virtio_stub *stub);

/** Stop asking for notifications (or ask again). */
void virtio_stub_quiet(struct virtio_stub *stub, unsigned queue, bool quiet);

/** Change the capacity, and tell. */
void virtio_stub_resize(struct virtio_stub *stub, uint64_t sectors);
/** Say that only a reset helps, and do nothing until then. */
void virtio_stub_needs_reset(struct virtio_stub *stub);
/** The interrupt of a configuration change. */
void virtio_stub_config_changed(struct virtio_stub *stub);

/** Write anything where the next used element of @queue goes, and tell. */
void virtio_stub_post(struct virtio_stub *stub, unsigned queue, struct virtio_stub_used used);

#endif
