/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that another process serves. What the files here share.
 *
 *      device.c   the device: opening, life       link.c      requests and replies
 *      hello.c    what both sides can do          patience.c  how long to wait
 *      region.c   what regions there are          access.c    reading and writing them
 *      kick.c     writes that are eventfds        irq.c       interrupts
 *      dma.c      memory                          reset.c     reset and quiesce
 *      news.c     removal, errors, loss
 */
#ifndef RING3_BACKEND_VFIO_USER_H
#define RING3_BACKEND_VFIO_USER_H

#include "backend/vfio_user/link.h"
#include "bus/ops.h"
#include "wire/vfio_user_caps.h"

/** What a server gets to answer, unless the address says otherwise (timeout=). */
#define R3_VFIO_USER_TIMEOUT_MS 10000

/** Indexes of interrupts that there are for PCI devices (VFIO_PCI_*_IRQ_INDEX). */
#define R3_VFIO_USER_IRQ_KINDS 5

/** Events that wait for dispatch, in the order of their delivery. */
enum r3_vfio_user_news {
	R3_VFIO_USER_REMOVE_REQUEST = 1 << 0,
	R3_VFIO_USER_ERROR = 1 << 1,
	R3_VFIO_USER_REMOVED = 1 << 2,
	R3_VFIO_USER_LOST = 1 << 3,
};

struct r3_vfio_user_kicks;

struct r3_vfio_user_map {
	struct r3_mem *mem; /* referenced */
	uint64_t iova, len, off;
	unsigned prot;
};

struct r3_vfio_user {
	struct r3_device dev;
	char name[80];
	struct r3_vfio_user_link link;
	struct r3_vfio_user_caps server; /* what it can do */

	unsigned bar_flags[6];                                     /* enum r3_region_flags */
	_Atomic(struct r3_vfio_user_kicks *) kicks[R3_REGION_MAX]; /* NULL: none */

	unsigned kicks_asked; /* bits: of which regions */

	struct vfio_irq_info irq[R3_VFIO_USER_IRQ_KINDS]; /* count 0: none */
	unsigned irq_type;                                /* enabled; R3_IRQ_BEST: none */
	unsigned nirqs;

	/* under the link's lock */
	struct r3_vfio_user_map *map;
	unsigned nmaps, map_room;

	atomic_uint news;  /* enum r3_vfio_user_news: to be told */
	atomic_bool ended; /* REMOVED or LOST is among them, or was */
	int epoll;         /* of the next three, and the sockets */
	int wake;          /* eventfd: there are news */
	int err_fd; /* eventfds that the server signals: something is wrong with the device */
	int req_fd; /* somebody asks for it */
};

extern const struct r3_bus_ops r3_vfio_user_ops;

static inline struct r3_vfio_user *r3_vfio_user_of(struct r3_device *dev)
{
	return (struct r3_vfio_user *)dev;
}

/** Make one call and take the server's word for it; notices that the device is gone. Errors:
 *  the server's; ENODEV. On failure there are no descriptors. */
int r3_vfio_user_call(struct r3_vfio_user *v, struct r3_vfio_user_call *call);
/** The same for @n calls, at most R3_VFIO_USER_LINK_BATCH, made together: the first failure. */
int r3_vfio_user_calls(struct r3_vfio_user *v, struct r3_vfio_user_call *calls, unsigned n);
/** Pass on the @rc of a check of a reply: one that makes no sense ends the connection. */
int r3_vfio_user_checked(struct r3_vfio_user *v, int rc);

/** VFIO_USER_DEVICE_GET_INFO. */
int r3_vfio_user_ask_info(struct r3_vfio_user *v, struct vfio_user_device_info *out);

/* hello.c */
int r3_vfio_user_hello(struct r3_vfio_user *v);

/* region.c */
int r3_vfio_user_find_bars(struct r3_vfio_user *v);
int r3_vfio_user_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info);

/* access.c */
int r3_vfio_user_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		    uint32_t count, unsigned flags);

/* kick.c */
/** Ask which writes to region @index of @size bytes are eventfds. */
int r3_vfio_user_find_kicks(struct r3_vfio_user *v, unsigned index, uint64_t size);
/** Signal the eventfd that stands for this write. False: none does. */
bool r3_vfio_user_kick(struct r3_vfio_user *v, unsigned index, uint64_t off, unsigned width,
		       uint64_t value);
void r3_vfio_user_free_kicks(struct r3_vfio_user *v);

/* irq.c */
int r3_vfio_user_find_irqs(struct r3_vfio_user *v, unsigned n);
/** The device lost its interrupts, by a reset. */
int r3_vfio_user_forget_irqs(struct r3_vfio_user *v);
int r3_vfio_user_irq_alloc(struct r3_device *dev, unsigned type, unsigned n);
int r3_vfio_user_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
			  const int *fds);
int r3_vfio_user_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask);

/* dma.c */
int r3_vfio_user_dma_limits(struct r3_device *dev, struct r3_dma_limits *limits);
int r3_vfio_user_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
			 unsigned prot, struct r3_dma_extent *extent, unsigned *n);
int r3_vfio_user_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len);
/** For the link: requests of the server's. */
int r3_vfio_user_dma_read(void *ctx, uint64_t addr, unsigned char *data, uint64_t len);
int r3_vfio_user_dma_write(void *ctx, uint64_t addr, const unsigned char *data, uint64_t len);
void r3_vfio_user_free_maps(struct r3_vfio_user *v);

/* reset.c */
int r3_vfio_user_reset(struct r3_device *dev, enum r3_reset how);
int r3_vfio_user_quiesce(struct r3_device *dev, unsigned want, unsigned *proved);

/* news.c */
int r3_vfio_user_watch(struct r3_vfio_user *v);
void r3_vfio_user_raise(struct r3_vfio_user *v, unsigned news);
/** For the link: it is lost. */
void r3_vfio_user_gone(void *ctx);
int r3_vfio_user_fd(struct r3_device *dev);
int r3_vfio_user_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max);

#endif
