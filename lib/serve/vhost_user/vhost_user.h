/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user-blk back-end from inside: a block device behind the virtqueues of a
 * front-end, of which nothing is believed.
 *
 * Reading order: memory.c (what of the front-end's memory is mapped here), config.c (what
 * we say of the block device), request.c (a chain becomes requests of the block device),
 * ring.c (a queue: fetch, submit, reap, complete), message.c (what the front-end says),
 * server.c (who is served, and when).
 */
#ifndef RING3_SERVE_VHOST_USER_H
#define RING3_SERVE_VHOST_USER_H

#include "ring/device.h"
#include "util/socket.h"
#include "wire/vhost_user_port.h"

#include <ring3/block.h>
#include <ring3/mem.h>
#include <ring3/serve_block.h>
#include <ring3/spec/virtio_blk.h>

#define VUB_QUEUES_MAX 64u
#define VUB_REGIONS    32u /* of memory */
#define VUB_SEG_MAX    126u
#define VUB_RANGES_MAX 32u /* in one discard or write-zeroes */
/* Pieces of one chain: header, data and status, and some more because a descriptor that
 * lies across a border of regions is two. */
#define VUB_SG    (VUB_SEG_MAX + 2 + 8)
#define VUB_BATCH 32u

/* ---- memory ---- */

struct vub_region {
	uint64_t guest, user, size;
	unsigned char *base; /* of those addresses, here */
	struct r3_mem *mem;
};

struct vub_memory {
	struct r3_block *block; /* which may reach it, too */
	unsigned n;
	struct vub_region region[VUB_REGIONS];
};

/** Map a region of the file @fd, which stays the caller's.
 *  Errors: EINVAL it makes no sense, overlaps another one, or lies beyond the file's end;
 *  ENOSPC too many; EPERM its owner could take it away under us; ENOMEM. */
int vub_memory_add(struct vub_memory *memory, const struct vhost_user_memory_region *region,
		   int fd);
/** Errors: ENOENT there is no such region. */
int vub_memory_remove(struct vub_memory *memory, const struct vhost_user_memory_region *region);
void vub_memory_clear(struct vub_memory *memory);
/** As r3_virtq_translate: by guest address. */
void *vub_memory_translate(void *memory, uint64_t addr, uint64_t *len, bool write);
/** @len bytes at a user address; NULL where they are not in one region. */
void *vub_memory_at(const struct vub_memory *memory, uint64_t user, uint64_t len);

/* ---- what we say of the block device ---- */

struct vub_device {
	struct r3_block *block;
	unsigned nqueues;
	uint64_t hide; /* features */
	char serial[VIRTIO_BLK_ID_BYTES];
};

/** Features of virtio that we offer. */
uint64_t vub_features(const struct vub_device *device);
/** The protocol features that we offer. */
extern const uint64_t vub_protocol_features;
struct virtio_blk_config vub_config(const struct vub_device *device);

/* ---- requests ---- */

/** A chain on its way: the block device is asked for one part of it after the other. */
struct vub_request {
	struct r3_blk_req req; /* the part that it has now; its user is this */
	struct r3_virtqd_chain chain;
	uint8_t *status;
	bool busy;          /* the driver does not have it back */
	uint32_t type;      /* enum virtio_blk_type */
	unsigned nin;       /* pieces to be written, without the status */
	unsigned at, end;   /* pieces of data not asked for yet */
	uint64_t off, left; /* where the data goes on, and bytes of it */
	uint64_t cut;       /* bytes of the last piece that are behind the part */
	struct r3_sg sg[VUB_SG];
};

/** What the driver and we agreed on, as far as requests need to know. */
struct vub_terms {
	const struct vub_device *device;
	uint64_t features;
};

/** Begin with a chain that was fetched into @r. 1: r->req is to be submitted; 0: it is done,
 *  with *status set. */
int vub_request_begin(struct vub_request *r, const struct vub_terms *terms);
/** r->req has completed, or was refused with r->req.err. As vub_request_begin(). */
int vub_request_next(struct vub_request *r, const struct vub_terms *terms);
/** Done, with that error. */
void vub_request_fail(struct vub_request *r, int err);

/* ---- queues ---- */

struct r3_serve_block;

struct vub_queue {
	struct r3_serve_block *serve;
	uint16_t index;
	/* as the front-end said */
	uint32_t num;
	struct vhost_user_vring_addr addr;
	uint16_t place;
	bool placed; /* or else a ring begins at its beginning */
	bool enabled;
	bool polled; /* it does not kick */
	bool kicked; /* it has, so the ring is started */
	int kick, call, err;

	bool open;   /* the ring is to be served: there was a SET_VRING_KICK */
	bool paused; /* nothing more is fetched */
	bool broken; /* or ever will be of this ring */
	bool armed;  /* kicks are asked for */
	struct r3_virtqd ring;

	struct r3_blkq *blkq; /* NULL before the first request */
	int blkq_fd;          /* in the server's set; -1 */
	uint32_t depth, nfree, nready, with_block;
	struct vub_request *request; /* depth of them, */
	struct vub_request **free;   /* those not in use, */
	struct r3_blk_req **ready;   /* and those to be submitted, in order */
};

/** Begin to serve what the front-end described. Errors: EINVAL, EPROTO it makes no sense. */
int vub_queue_open(struct vub_queue *q);
/** Its memory has moved: find the ring again. Nothing is in flight. */
void vub_queue_move(struct vub_queue *q);
/** Do all there is to do. Returns whether there was anything. */
bool vub_queue_serve(struct vub_queue *q);
/** Before sleeping. True: there is something to do already. */
bool vub_queue_arm(struct vub_queue *q);
/** Chains that the driver does not have back. */
bool vub_queue_busy(const struct vub_queue *q);
/** Make it so that there are none: cancel what the block device has. */
void vub_queue_cancel(struct vub_queue *q);
/** Stop: nothing is in flight. The place where it stopped is kept. */
void vub_queue_stop(struct vub_queue *q);
/** Also forget what the front-end said. */
void vub_queue_reset(struct vub_queue *q);
/** The ring as it goes to the front-end, of GET_VRING_BASE. */
uint32_t vub_queue_base(const struct vub_queue *q);

/* ---- the server ---- */

struct r3_serve_block {
	struct vub_device device;
	struct r3_serve_block_opts opts;
	struct r3_listener door; /* fd -1: there is none, or its one guest has been let in */
	int epoll, timer, again; /* the last polls readable as long as there is work */
	bool busy;               /* so it does */
	bool over;

	struct vub_memory memory;
	struct r3_vhost_user_port port;    /* stream NULL: nobody is connected */
	struct r3_vhost_user_port channel; /* for requests of our own */
	uint64_t features, protocol;       /* as agreed on */
	bool config_changed;               /* and the front-end has not been told */
	bool held;                         /* the message in port.in waits for queues to drain */
	bool leaving;                      /* the front-end has gone, and so will its queues */
	uint64_t deadline;                 /* of either */
	struct vub_queue queue[VUB_QUEUES_MAX];
};

/* message.c */

/** Do what the message in port.in says, and answer. @force: cancel what it would wait for.
 *  Errors: EINPROGRESS later, when the paused queues have nothing in flight; others end
 *  the connection. */
int vub_message(struct r3_serve_block *serve, bool force);
/** Tell the front-end that the configuration has changed, if it wants to know. */
void vub_tell_config(struct r3_serve_block *serve);

/* watch.c: what the server sleeps on */

enum vub_watched { VUB_DOOR, VUB_PORT, VUB_CHANNEL, VUB_KICK, VUB_BLKQ, VUB_BLOCK, VUB_OTHER };

/** Watch @fd. A KICK reports once each time it is signalled, and need not be read.
 *  Errors: EPERM it cannot be watched; ENOMEM; ENOSPC. */
int vub_watch(struct r3_serve_block *serve, int fd, enum vub_watched what, unsigned index);
/** Let it be reported when the port can be read, or written, or neither. */
void vub_watch_port(struct r3_serve_block *serve, bool in, bool out);
void vub_watch_door(struct r3_serve_block *serve, bool on);
void vub_unwatch(struct r3_serve_block *serve, int fd);
/** Set the time of serve->deadline; 0: there is none. */
void vub_set_deadline(struct r3_serve_block *serve, uint64_t ns);

/* server.c */

/** Serve a front-end that is at the other end of @stream, which is the server's from then
 *  on, also when this fails, and nobody else. */
int vub_open_stream(struct r3_block *block, struct r3_stream *stream,
		    const struct r3_serve_block_opts *opts, struct r3_serve_block **out);
void vub_tell(struct r3_serve_block *serve, enum r3_serve_block_event_type type, uint32_t code,
	      const char *text);

#endif
