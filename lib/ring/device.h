/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue from the device's side, split or packed: what a device model, or whoever
 * serves a device to somebody else's driver, needs to know of it.
 *
 *     init -> fetch -> (do it) -> complete... publish (interrupt) -> arm (sleep) -> ...
 *
 * A driver can lie, and can change the ring while it is read. Each descriptor is copied
 * once and then only the copy is believed. What cannot be right breaks the queue: fetch
 * says -EPROTO with a text, each time, until init; chains fetched before may still be
 * completed. A chain is as long as the ring or its table at most, so no loop of
 * descriptors is followed twice round.
 *
 * The queue belongs to one thread. It allocates nothing, and no call waits.
 */
#ifndef RING3_RING_DEVICE_H
#define RING3_RING_DEVICE_H

#include <ring3/sg.h>
#include <ring3/spec/virtio_ring.h>

/** Where the driver's address @addr lies for us: *len bytes are asked for; *len becomes
 *  how many of them (at least 1) follow each other at the pointer returned. NULL: nothing
 *  is there, or @write is asked of what may only be read. Has to hold until the chain is
 *  completed. */
typedef void *r3_virtq_translate(void *opaque, uint64_t addr, uint64_t *len, bool write);

struct r3_virtqd_config {
	const char *name;  /* of the device, for messages; has to outlive the queue */
	uint16_t index;    /* of the queue, for messages */
	uint32_t size;     /* descriptors, as the driver said */
	uint64_t features; /* as negotiated; bits that are not the ring's are ignored */
	void *desc;        /* the three areas, as r3_virtq_layout() has them */
	void *driver;
	void *device;
	/** Go on where another device has stopped, whose r3_virtqd_place() this is. */
	bool resume;
	uint16_t place;
	r3_virtq_translate *translate;
	void *opaque;
};

struct r3_virtqd {
	union {
		const struct virtq_desc *desc;
		struct pvirtq_desc *pdesc;
	};
	union {
		const struct virtq_avail *avail;
		const struct pvirtq_event_suppress *driver;
	};
	union {
		struct virtq_used *used;
		struct pvirtq_event_suppress *device;
	};
	uint32_t fetched, completed, published; /* chains */
	uint32_t size;
	bool packed, event_idx, indirect, in_order;
	bool broken;

	/* split */
	uint16_t avail_seen; /* avail->idx when it was last read */

	/* packed; the flags are VIRTQ_DESC_F_AVAIL and _USED as they are in this lap */
	uint32_t with_us;     /* descriptors fetched and not completed */
	uint32_t next;        /* where the next available descriptor is expected */
	uint32_t avail_flags; /* of one */
	uint32_t used_at;     /* where the next used descriptor goes */
	uint32_t used_flags;  /* of one */
	uint32_t head;        /* place of the first unpublished one, */
	uint32_t head_flags;  /* and its flags, withheld until publish */

	/* in order: may the next report replace the last one, and where is that (packed: in
	 * the lap of which flags) */
	bool merge;
	uint32_t merge_at;
	uint32_t merge_flags;

	const char *name;
	uint16_t index;
	r3_virtq_translate *translate;
	void *opaque;
};

/** What fetch found. */
struct r3_virtqd_chain {
	uint16_t id;      /* the driver's name for it */
	uint16_t n;       /* descriptors of the ring */
	unsigned nout;    /* pieces to read, */
	unsigned nin;     /* and after them pieces to write */
	uint64_t out_len; /* bytes to read */
	uint64_t in_len;  /* bytes to write */
};

/** Begin at the beginning of a ring that the driver has set up, or where another device
 *  stopped. Nothing is written. Asks for notifications, as a zeroed ring does.
 *  Errors: EINVAL a size that the layout cannot have, an area missing or misaligned, or a
 *  place that the ring does not have; EPROTO chains before that place have never been used,
 *  so nobody would ever use them. */
int r3_virtqd_init(struct r3_virtqd *q, const struct r3_virtqd_config *config);

/** Take the next available chain: 1, with its pieces in @sg, those to read first. 0: there
 *  is none. Empty pieces do not occur.
 *  @max  room in @sg. A piece counts once for each stretch of memory it lies in.
 *  Errors: EPROTO the driver lied, or has before, or the chain has more than @max pieces. */
int r3_virtqd_fetch(struct r3_virtqd *q, struct r3_virtqd_chain *chain, struct r3_sg *sg,
		    unsigned max);

/** Give back a fetched chain, once, in any order (with VIRTIO_F_IN_ORDER: in the order of
 *  fetch), with @written bytes at the beginning of what was to write. The driver sees it
 *  at the next publish. */
void r3_virtqd_complete(struct r3_virtqd *q, const struct r3_virtqd_chain *chain, uint32_t written);

/** Show the driver everything that was completed. True: it wants an interrupt. */
bool r3_virtqd_publish(struct r3_virtqd *q);

/** Ask for a notification when the next chain is available. True: one is already, or the
 *  queue is broken; there may be no notification, so fetch and arm again before sleeping. */
bool r3_virtqd_arm(struct r3_virtqd *q);

/** No notifications, please. A hint: some may still come. */
void r3_virtqd_disarm(struct r3_virtqd *q);

/** Where the next chain is fetched: split: the available index; packed: the place in the
 *  ring, with the driver's wrap counter as its bit 15. All chains fetched are completed and
 *  published, or whoever goes on from there will miss them. */
uint16_t r3_virtqd_place(const struct r3_virtqd *q);

/** Chains fetched and not yet completed. */
static inline uint32_t r3_virtqd_in_flight(const struct r3_virtqd *q)
{
	return q->fetched - q->completed;
}

#endif
