/* SPDX-License-Identifier: BSD-2-Clause */
/* Forwarding, one function per operation. The core has checked the arguments against
 * what region_info() and the info say, and both are the lower device's. */
#include "bus/filter.h"
#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdlib.h>

/* The lower device may have noticed that it is gone where this one did not. */
static int answer(struct r3_device *dev, int rc)
{
	if (rc == -ENODEV)
		r3_device_set_gone(dev->lower);
	if (r3_device_gone(dev->lower))
		r3_device_set_gone(dev);
	return rc;
}

/* Does the lower device have the operation? A text, because the core may pass it on. */
#define FORWARD(dev, op, ...) \
	((dev)->lower->ops->op ? answer(dev, (dev)->lower->ops->op(__VA_ARGS__)) \
			       : missing(dev, #op))

static int missing(struct r3_device *dev, const char *op)
{
	return r3_error_set(EOPNOTSUPP, "%s: it has no %s", dev->info.name, op);
}

static void forward_close(struct r3_device *dev)
{
	r3_device_close(dev->lower);
	free(dev);
}

static int forward_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info)
{
	int rc = FORWARD(dev, region_info, dev->lower, index, info);

	info->flags &= ~(unsigned)R3_REGION_MAPPABLE;
	if (info->close_fd)
		r3_fd_close(&info->fd);
	info->close_fd = false;
	info->fd = -1;
	info->nareas = 0;
	return rc;
}

static int forward_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data,
		      uint8_t width, uint32_t count, unsigned flags)
{
	return FORWARD(dev, rw, dev->lower, index, off, data, width, count, flags);
}

static int forward_irq_alloc(struct r3_device *dev, unsigned type, unsigned n)
{
	return FORWARD(dev, irq_alloc, dev->lower, type, n);
}

static int forward_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
			    const int *fds)
{
	return FORWARD(dev, irq_bind, dev->lower, type, first, n, fds);
}

static int forward_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask)
{
	return FORWARD(dev, irq_mask, dev->lower, type, vector, mask);
}

static void forward_irq_taken(struct r3_device *dev, unsigned type, unsigned vector, uint64_t count)
{
	if (dev->lower->ops->irq_taken)
		dev->lower->ops->irq_taken(dev->lower, type, vector, count);
}

static int forward_dma_limits(struct r3_device *dev, struct r3_dma_limits *limits)
{
	return FORWARD(dev, dma_limits, dev->lower, limits);
}

static int forward_dma_memory(struct r3_device *dev, uint64_t want, struct r3_mem **mem,
			      uint64_t *off, uint64_t *len)
{
	return FORWARD(dev, dma_memory, dev->lower, want, mem, off, len);
}

static int forward_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
			   unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	return FORWARD(dev, dma_map, dev->lower, mem, off, len, prot, extent, n);
}

static int forward_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len)
{
	return FORWARD(dev, dma_unmap, dev->lower, iova, len);
}

static int forward_dma_sync(struct r3_device *dev, uint64_t iova, uint64_t len,
			    enum r3_dma_direction direction)
{
	if (!dev->lower->ops->dma_sync)
		return 0; /* coherent */
	return answer(dev, dev->lower->ops->dma_sync(dev->lower, iova, len, direction));
}

static int forward_reset(struct r3_device *dev, enum r3_reset how)
{
	return FORWARD(dev, reset, dev->lower, how);
}

static int forward_quiesce(struct r3_device *dev, unsigned want, unsigned *proved)
{
	return FORWARD(dev, quiesce, dev->lower, want, proved);
}

static int forward_fd(struct r3_device *dev)
{
	return r3_device_fd(dev->lower);
}

static int forward_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max)
{
	return answer(dev, r3_device_dispatch(dev->lower, events, max));
}

const struct r3_bus_ops r3_filter_ops = {
	.size = sizeof(struct r3_bus_ops),
	.close = forward_close,
	.region_info = forward_region_info,
	.rw = forward_rw,
	.irq_alloc = forward_irq_alloc,
	.irq_bind = forward_irq_bind,
	.irq_mask = forward_irq_mask,
	.irq_taken = forward_irq_taken,
	.dma_limits = forward_dma_limits,
	.dma_memory = forward_dma_memory,
	.dma_map = forward_dma_map,
	.dma_unmap = forward_dma_unmap,
	.dma_sync = forward_dma_sync,
	.reset = forward_reset,
	.quiesce = forward_quiesce,
	.fd = forward_fd,
	.dispatch = forward_dispatch,
};

void r3_filter_init(struct r3_device *filter, const struct r3_bus_ops *ops, struct r3_device *lower)
{
	const struct r3_open_opts opts = {
		.size = sizeof(opts), .clock = lower->clock, .arena_size = lower->arena_size};

	r3_device_init(filter, ops, &opts);
	filter->info = lower->info;
	filter->info.address = NULL;
	filter->lower = lower;
}
