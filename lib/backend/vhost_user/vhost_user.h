/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend "vhost-user:unix:PATH" or "vhost-user:fd:N": a vhost-user-blk back-end, driven
 * as what it is behind its messages, a virtio block device. The device shows the registers
 * of virtio-pci (4.1); what a driver writes there becomes messages, a notification becomes
 * a write to the kick's eventfd, and a vector is the call's. So the driver for virtio-blk
 * drives it, with its data path, its recovery and its tests, and knows nothing of it.
 *
 * Reading order: link.c (messages and their answers), ring.c (queues in the back-end),
 * memory.c, regs.c (registers), config_space.c, device.c.
 */
#ifndef RING3_BACKEND_VHOST_USER_H
#define RING3_BACKEND_VHOST_USER_H

#include "backend/vhost_user/backend.h"
#include "wire/vhost_user_port.h"

#include <pthread.h>
#include <ring3/spec/virtio_blk.h>
#include <ring3/spec/virtio_pci.h>

#define VUF_QUEUES_MAX 64u
#define VUF_REGIONS    32u /* of memory; VHOST_USER_MEM_REGIONS where they go in one message */

/* Where the registers are in BAR0, 4 KiB each. */
#define VUF_BAR_SIZE   0x4000u
#define VUF_COMMON     0x0000u
#define VUF_ISR        0x1000u
#define VUF_CONFIG     0x2000u
#define VUF_NOTIFY     0x3000u
#define VUF_MULTIPLIER 4u
#define VUF_PAGE       0x1000u
/* BAR2 is the table of MSI-X, and its pending bits. */
#define VUF_MSIX_SIZE 0x1000u
#define VUF_PBA       0x0800u

struct vuf_queue {
	int kick; /* an eventfd of ours for the queue's life */
	bool started;
	/* registers */
	bool enabled;
	uint16_t size, vector;
	uint64_t desc, driver, device;
};

struct vuf_region {
	struct r3_mem *mem;
	uint64_t off; /* in it */
	uint64_t iova, len;
};

struct vuf_device {
	struct r3_device base;
	char name[64];
	/* Of everything but kicks, which any thread may send at any time. */
	pthread_mutex_t lock;

	struct r3_vhost_user_port port;    /* our requests and their answers */
	struct r3_vhost_user_port channel; /* those of the back-end */
	bool config_asked;                 /* for the configuration, without waiting, */
	bool config_stale;                 /* and it has changed since */
	bool lost, lost_told;
	int epoll;
	int event; /* polls readable as long as there is an event to be taken */
	int err;   /* the back-end's complaint about any ring */
	bool complained, complaint_told;

	uint64_t timeout_ns;        /* for an answer, unless it takes longer by its nature */
	uint64_t offered, protocol; /* features of virtio, and those of the protocol in use */
	unsigned nqueues;
	uint16_t queue_size;
	uint32_t config_len;
	uint8_t config[VHOST_USER_CONFIG_SIZE_MAX];

	struct vuf_region region[VUF_REGIONS];
	unsigned nvectors;
	int vector[VUF_QUEUES_MAX + 1]; /* eventfds, whoever bound them has them */

	/* registers */
	uint8_t space[256], space_mask[256]; /* configuration space; bits that can be written */
	uint32_t device_select, driver_select;
	uint64_t features; /* the driver's */
	uint16_t config_vector, queue_select;
	uint8_t status, generation;
	struct vuf_queue queue[VUF_QUEUES_MAX];
};

/* link.c */

/** Ask, and wait for the answer, whose payload is then in @msg. Requests without one in
 *  their nature are acknowledged, where the back-end can.
 *  Errors: ENODEV the back-end is lost; EREMOTEIO it refuses. */
int vuf_ask(struct vuf_device *vuf, struct r3_vhost_user_msg *msg);
int vuf_ask_u64(struct vuf_device *vuf, uint32_t request, uint64_t *value);
int vuf_tell(struct vuf_device *vuf, uint32_t request);
int vuf_tell_u64(struct vuf_device *vuf, uint32_t request, uint64_t value);
/** With a descriptor, which stays the caller's; -1: none. */
int vuf_tell_fd(struct vuf_device *vuf, uint32_t request, uint64_t value, int fd);
int vuf_tell_state(struct vuf_device *vuf, uint32_t request, uint32_t index, uint32_t num);
/** Begin a connection: owner, features, protocol, queues, channel, configuration. */
int vuf_greet(struct vuf_device *vuf, unsigned most_queues);
/** Take what has come unasked. Never waits. */
void vuf_listen(struct vuf_device *vuf);
/** The back-end is gone, or of no use any more. */
void vuf_lose(struct vuf_device *vuf, const char *why);

static inline bool vuf_has(const struct vuf_device *vuf, unsigned protocol_feature)
{
	return vuf->protocol >> protocol_feature & 1;
}

/* ring.c */

/** Start all queues that are enabled. */
int vuf_start(struct vuf_device *vuf);
/** Stop them. The back-end touches no memory for them any more. */
int vuf_stop(struct vuf_device *vuf);
/** Tell the back-end the eventfd of a queue's vector. */
int vuf_set_call(struct vuf_device *vuf, unsigned index);

/* memory.c */

int vuf_map(struct vuf_device *vuf, struct r3_mem *mem, uint64_t off, uint64_t iova, uint64_t len);
int vuf_unmap(struct vuf_device *vuf, uint64_t iova, uint64_t len);
/** Forget them all, without a word to anybody. */
void vuf_drop_memory(struct vuf_device *vuf);

/* regs.c */

void vuf_regs_reset(struct vuf_device *vuf);
uint64_t vuf_read(struct vuf_device *vuf, uint64_t off, unsigned width);
void vuf_write(struct vuf_device *vuf, uint64_t off, unsigned width, uint64_t value);

/* config_space.c */

void vuf_space_init(struct vuf_device *vuf);
void vuf_space_reset(struct vuf_device *vuf);
uint64_t vuf_space_read(const struct vuf_device *vuf, uint64_t off, unsigned width);
void vuf_space_write(struct vuf_device *vuf, uint64_t off, unsigned width, uint64_t value);

/* device.c */

/** Interrupt by @vector, if anybody listens. */
void vuf_raise(struct vuf_device *vuf, unsigned vector);
/* As said in the address. */
struct vuf_keys {
	uint64_t queues, queue_size, timeout_ns;
};

/** A device at the other end of @stream, which is its own from then on, also when this
 *  fails. */
int vuf_open_stream(struct r3_stream *stream, const char *name, const struct vuf_keys *keys,
		    const struct r3_open_opts *opts, struct r3_device **out);

#endif
