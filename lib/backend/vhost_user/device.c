/* SPDX-License-Identifier: BSD-2-Clause */
/* The device that a vhost-user-blk back-end is: regions, vectors, memory, reset, events. */
#include "backend/vhost_user/vhost_user.h"
#include "util/eventfd.h"
#include "util/fd.h"
#include "util/item.h"
#include "util/socket.h"

#include <errno.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEFAULT_QUEUES     16u
#define DEFAULT_QUEUE_SIZE 256u
#define MOST_QUEUE_SIZE    1024u /* libvhost-user takes no larger ones */
#define DEFAULT_TIMEOUT    (5 * R3_NSEC_PER_SEC)
#define HIGHEST_IOVA       ((UINT64_C(1) << 46) - 1)

static struct vuf_device *vuf_of(struct r3_device *dev)
{
	return (struct vuf_device *)dev;
}

static int answer(const struct vuf_device *vuf, int rc)
{
	return vuf->lost ? r3_error_set(ENODEV, "%s: the back-end is lost", vuf->name) : rc;
}

/* ---- regions ---- */

static int vuf_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info)
{
	if (index == R3_REGION_CONFIG)
		info->size = sizeof(vuf_of(dev)->space);
	else if (index == R3_REGION_BAR0)
		info->size = VUF_BAR_SIZE;
	else if (index == R3_REGION_BAR2)
		info->size = VUF_MSIX_SIZE;
	info->flags = R3_REGION_READ | R3_REGION_WRITE;
	if (index == R3_REGION_BAR0)
		info->flags |= R3_REGION_64BIT;
	return 0;
}

/* From any thread: a queue's own. */
static bool kick(struct vuf_device *vuf, unsigned index, uint64_t off, unsigned flags)
{
	uint64_t queue = (off - VUF_NOTIFY) / VUF_MULTIPLIER;

	if (index != R3_REGION_BAR0 || off < VUF_NOTIFY || !(flags & R3_RW_WRITE))
		return false;
	if (queue < vuf->nqueues)
		r3_eventfd_signal(vuf->queue[queue].kick);
	return true;
}

static void access_item(struct vuf_device *vuf, unsigned index, uint64_t off, void *item,
			unsigned width, bool write)
{
	uint64_t value = write ? r3_item_get(item, width) : 0;

	if (index == R3_REGION_CONFIG && write)
		vuf_space_write(vuf, off, width, value);
	else if (index == R3_REGION_CONFIG)
		value = vuf_space_read(vuf, off, width);
	else if (index == R3_REGION_BAR0 && write)
		vuf_write(vuf, off, width, value);
	else if (index == R3_REGION_BAR0)
		value = vuf_read(vuf, off, width);
	if (!write)
		r3_item_put(item, width, value);
}

static int vuf_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		  uint32_t count, unsigned flags)
{
	struct vuf_device *vuf = vuf_of(dev);
	uint8_t *item = data;
	int rc;

	if (count == 1 && kick(vuf, index, off, flags))
		return 0;
	pthread_mutex_lock(&vuf->lock);
	for (; count && !vuf->lost; count--, item += width, off += width)
		if (!kick(vuf, index, off, flags))
			access_item(vuf, index, off, item, width, flags & R3_RW_WRITE);
	rc = answer(vuf, 0);
	pthread_mutex_unlock(&vuf->lock);
	return rc;
}

/* ---- interrupts ---- */

void vuf_raise(struct vuf_device *vuf, unsigned vector)
{
	const uint64_t one = 1;

	if (vector < vuf->nvectors && vuf->vector[vector] >= 0)
		(void)!write(vuf->vector[vector], &one, sizeof(one));
}

/* Queues whose vector is another eventfd now. */
static int tell_calls(struct vuf_device *vuf, unsigned first, unsigned n)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < vuf->nqueues; i++) {
		const struct vuf_queue *q = &vuf->queue[i];

		if (q->started && q->vector >= first && q->vector - first < n)
			rc = vuf_set_call(vuf, i);
	}
	return rc;
}

static int vuf_irq_alloc(struct r3_device *dev, unsigned type, unsigned n)
{
	struct vuf_device *vuf = vuf_of(dev);
	int rc = 0;

	if (n && (type != R3_IRQ_MSIX || n > dev->info.nirqs[R3_IRQ_MSIX]))
		return r3_error_set(EINVAL, "%s: %u vectors of type %u", vuf->name, n, type);
	pthread_mutex_lock(&vuf->lock);
	for (unsigned i = 0; i < VUF_QUEUES_MAX + 1; i++)
		vuf->vector[i] = -1;
	if (!vuf->lost)
		rc = tell_calls(vuf, 0, vuf->nvectors);
	vuf->nvectors = n;
	pthread_mutex_unlock(&vuf->lock);
	return n ? answer(vuf, rc) : 0;
}

static int vuf_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
			const int *fds)
{
	struct vuf_device *vuf = vuf_of(dev);
	int rc;

	if (type != R3_IRQ_MSIX || first > vuf->nvectors || n > vuf->nvectors - first)
		return r3_error_set(EINVAL, "%s: vectors that are not there", vuf->name);
	pthread_mutex_lock(&vuf->lock);
	memcpy(vuf->vector + first, fds, n * sizeof(*fds));
	rc = tell_calls(vuf, first, n);
	pthread_mutex_unlock(&vuf->lock);
	return rc;
}

/* ---- DMA ---- */

static int vuf_dma_limits(struct r3_device *dev, struct r3_dma_limits *limits)
{
	*limits = (struct r3_dma_limits){
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.nwindows = 1,
		.window = {{R3_DEVICE_LOWEST_IOVA, HIGHEST_IOVA}},
	};
	return 0;
}

static int vuf_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
		       unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	struct vuf_device *vuf = vuf_of(dev);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int rc;

	if (!len || (off | len | extent[0].iova) & (page - 1))
		return r3_error_set(EINVAL, "%s: memory is mapped by whole pages", vuf->name);
	pthread_mutex_lock(&vuf->lock);
	rc = vuf_map(vuf, mem, off, extent[0].iova, len);
	pthread_mutex_unlock(&vuf->lock);
	if (rc < 0)
		return rc;
	extent[0].len = len;
	*n = 1;
	return 0;
}

static int vuf_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len)
{
	struct vuf_device *vuf = vuf_of(dev);
	int rc;

	pthread_mutex_lock(&vuf->lock);
	rc = vuf_unmap(vuf, iova, len);
	pthread_mutex_unlock(&vuf->lock);
	return rc;
}

/* ---- reset, events ---- */

static int vuf_reset(struct r3_device *dev, enum r3_reset how)
{
	struct vuf_device *vuf = vuf_of(dev);
	int rc;

	pthread_mutex_lock(&vuf->lock);
	rc = vuf_stop(vuf);
	if (rc == 0) {
		vuf_regs_reset(vuf);
		vuf_space_reset(vuf);
	}
	pthread_mutex_unlock(&vuf->lock);
	return answer(vuf, rc);
}

/* A ring that has stopped transfers nothing, and has nothing under way. */
static int vuf_quiesce(struct r3_device *dev, unsigned want, unsigned *proved)
{
	int rc = vuf_reset(dev, R3_RESET_FUNCTION);

	if (rc == 0)
		*proved = want;
	return rc;
}

static int vuf_fd(struct r3_device *dev)
{
	return vuf_of(dev)->epoll;
}

static void hear_complaint(struct vuf_device *vuf)
{
	const uint64_t one = 1;
	uint64_t count;

	if (read(vuf->err, &count, sizeof(count)) != sizeof(count))
		return;
	vuf->complained = true;
	vuf->complaint_told = false;
	vuf->status |= VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	vuf_raise(vuf, vuf->config_vector);
	(void)!write(vuf->event, &one, sizeof(one));
}

static int vuf_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max)
{
	struct vuf_device *vuf = vuf_of(dev);
	uint64_t count;
	unsigned n = 0;

	pthread_mutex_lock(&vuf->lock);
	hear_complaint(vuf);
	vuf_listen(vuf);
	if (vuf->complained && !vuf->complaint_told && n < max) {
		events[n++] = (struct r3_event){.type = R3_EVENT_ERROR, .code = EIO};
		vuf->complaint_told = true;
	}
	if (vuf->lost && !vuf->lost_told && n < max) {
		events[n++] = (struct r3_event){.type = R3_EVENT_SERVER_LOST};
		vuf->lost_told = true;
	}
	if ((vuf->lost_told || !vuf->lost) && (vuf->complaint_told || !vuf->complained))
		(void)!read(vuf->event, &count, sizeof(count));
	pthread_mutex_unlock(&vuf->lock);
	return (int)n;
}

/* ---- life ---- */

static void vuf_close(struct r3_device *dev)
{
	struct vuf_device *vuf = vuf_of(dev);

	r3_vhost_user_port_close(&vuf->port);
	r3_vhost_user_port_close(&vuf->channel);
	vuf_drop_memory(vuf);
	for (unsigned i = 0; i < VUF_QUEUES_MAX; i++)
		r3_fd_close(&vuf->queue[i].kick);
	r3_fd_close(&vuf->err);
	r3_fd_close(&vuf->event);
	r3_fd_close(&vuf->epoll);
	pthread_mutex_destroy(&vuf->lock);
	free(vuf);
}

static const struct r3_bus_ops vuf_ops = {
	.size = sizeof(struct r3_bus_ops),
	.close = vuf_close,
	.region_info = vuf_region_info,
	.rw = vuf_rw,
	.irq_alloc = vuf_irq_alloc,
	.irq_bind = vuf_irq_bind,
	.dma_limits = vuf_dma_limits,
	.dma_map = vuf_dma_map,
	.dma_unmap = vuf_dma_unmap,
	.reset = vuf_reset,
	.quiesce = vuf_quiesce,
	.fd = vuf_fd,
	.dispatch = vuf_dispatch,
};

static int open_fds(struct vuf_device *vuf)
{
	struct epoll_event event = {.events = EPOLLIN};

	vuf->epoll = epoll_create1(EPOLL_CLOEXEC);
	vuf->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vuf->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vuf->epoll < 0 || vuf->event < 0 || vuf->err < 0 ||
	    epoll_ctl(vuf->epoll, EPOLL_CTL_ADD, vuf->event, &event) < 0 ||
	    epoll_ctl(vuf->epoll, EPOLL_CTL_ADD, vuf->err, &event) < 0)
		return r3_error_set(errno, "%s: descriptors: %s", vuf->name, strerror(errno));
	return 0;
}

static int open_kicks(struct vuf_device *vuf)
{
	for (unsigned i = 0; i < vuf->nqueues; i++) {
		vuf->queue[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vuf->queue[i].kick < 0)
			return r3_error_set(errno, "%s: no eventfd for queue %u", vuf->name, i);
	}
	return 0;
}

int vuf_open_stream(struct r3_stream *stream, const char *name, const struct vuf_keys *keys,
		    const struct r3_open_opts *opts, struct r3_device **out)
{
	struct vuf_device *vuf = calloc(1, sizeof(*vuf));
	int rc;

	if (!vuf) {
		r3_stream_close(stream);
		return r3_error_set(ENOMEM, "%s: no memory", name);
	}
	r3_device_init(&vuf->base, &vuf_ops, opts);
	snprintf(vuf->name, sizeof(vuf->name), "%s", name);
	vuf->base.info.name = vuf->name;
	vuf->epoll = vuf->event = vuf->err = -1;
	for (unsigned i = 0; i < VUF_QUEUES_MAX; i++)
		vuf->queue[i].kick = -1;
	pthread_mutex_init(&vuf->lock, NULL);
	vuf->queue_size = (uint16_t)keys->queue_size;
	vuf->timeout_ns = keys->timeout_ns;
	r3_vhost_user_port_open(&vuf->port, stream);
	rc = open_fds(vuf);
	if (rc == 0)
		rc = vuf_greet(vuf, (unsigned)keys->queues);
	if (rc == 0)
		rc = open_kicks(vuf);
	if (rc < 0) {
		vuf_close(&vuf->base);
		return rc;
	}
	vuf_space_init(vuf);
	vuf_regs_reset(vuf);
	vuf->base.info.caps = R3_CAP_PCI | R3_CAP_DMA | R3_CAP_FLR;
	vuf->base.info.nregions = R3_REGION_CONFIG + 1;
	vuf->base.info.nirqs[R3_IRQ_MSIX] = vuf->nqueues + 1;
	*out = &vuf->base;
	return 0;
}

static int vuf_open(const struct r3_address *address, const struct r3_open_opts *opts,
		    struct r3_device **out)
{
	static const char *const known[] = {"queues", "queue-size", "timeout", NULL};
	struct vuf_keys keys = {DEFAULT_QUEUES, DEFAULT_QUEUE_SIZE, DEFAULT_TIMEOUT};
	const struct r3_params *rest = &address->rest;
	struct r3_stream *stream;
	char name[64];
	int sock, rc = r3_params_check(rest, "vhost-user", known);

	if (rc == 0)
		rc = r3_params_number(rest, "queues", 1, VUF_QUEUES_MAX, &keys.queues);
	if (rc == 0)
		rc = r3_params_number(rest, "queue-size", 4, MOST_QUEUE_SIZE, &keys.queue_size);
	if (rc == 0)
		rc = r3_params_time(rest, "timeout", R3_NSEC_PER_MSEC, 60 * R3_NSEC_PER_SEC,
				    &keys.timeout_ns);
	if (rc == 0 && keys.queue_size & (keys.queue_size - 1))
		rc = r3_error_set(EINVAL, "vhost-user: queue-size=%u is no power of two",
				  (unsigned)keys.queue_size);
	if (rc == 0)
		rc = r3_socket_connect(rest->head, &sock);
	if (rc < 0)
		return rc;
	rc = r3_stream_open(sock, &stream);
	if (rc < 0) {
		close(sock);
		return rc;
	}
	snprintf(name, sizeof(name), "vhost-user:%s", rest->head);
	return vuf_open_stream(stream, name, &keys, opts, out);
}

const struct r3_backend r3_vhost_user_backend = {
	.scheme = "vhost-user",
	.summary = "a vhost-user-blk back-end: vhost-user:unix:PATH|fd:N[,queues=N]",
	.open = vuf_open,
};
