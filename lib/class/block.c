/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block handle: what every provider would otherwise write again around its own
 * operations.
 */
#include "class/limits.h"
#include "dma/map.h"
#include "util/kept_text.h"

#include <ring3/driver.h>
#include <ring3/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Memory that any provider can use when it has no wishes: whole zeroed pages. */
#define ALLOC_ALIGN 4096

const struct r3_block_limits *r3_block_get_limits(const struct r3_block *block)
{
	return &block->limits;
}

bool r3_block_change_limits(struct r3_block *block, const struct r3_block_limits *limits)
{
	struct r3_block_limits *now = &block->limits;
	uint64_t before = now->size;
	bool changed = false;

/* What stays as it is is not written: others read it. */
#define CHANGE(field) \
	do { \
		if (now->field != limits->field) { \
			__atomic_store_n(&now->field, limits->field, __ATOMIC_RELAXED); \
			changed = true; \
		} \
	} while (0)
	CHANGE(size);
	CHANGE(physical_block_size);
	CHANGE(max_len);
	CHANGE(max_zeroes_len);
	CHANGE(max_discard_len);
	CHANGE(features);
#undef CHANGE
	if (changed)
		r3_log(R3_LOG_INFO, "%s: %llu bytes, before %llu", block->name,
		       (unsigned long long)now->size, (unsigned long long)before);
	return changed;
}

const char *r3_block_name(const struct r3_block *block)
{
	return block->name;
}

struct r3_device *r3_block_device(const struct r3_block *block)
{
	return block->ops->device ? block->ops->device(block) : NULL;
}

void r3_block_close(struct r3_block *block)
{
	if (!block)
		return;
	if (block->queues) {
		/* A queue left behind still points here: leaking is the lesser evil. */
		r3_log(R3_LOG_ERROR, "%s: closed with %u queues open: kept", block->name,
		       block->queues);
		return;
	}
	struct r3_kept_text why; /* it is closed: often, that something failed */
	r3_error_keep(&why);
	block->ops->close(block);
	r3_error_put_back(&why);
}

int r3_block_alloc(struct r3_block *block, size_t len, void **out)
{
	if (!len || len > SIZE_MAX / 2)
		return r3_error_set(EINVAL, "%s: cannot allocate %zu bytes", block->name, len);
	if (block->ops->alloc)
		return block->ops->alloc(block, len, out);

	len = (len + ALLOC_ALIGN - 1) & ~(size_t)(ALLOC_ALIGN - 1);
	void *ptr = aligned_alloc(ALLOC_ALIGN, len);
	if (!ptr)
		return r3_error_set(ENOMEM, "%s: no memory for %zu bytes", block->name, len);
	memset(ptr, 0, len);
	*out = ptr;
	return 0;
}

void r3_block_free(struct r3_block *block, void *ptr)
{
	if (!ptr)
		return;
	if (block->ops->free)
		block->ops->free(block, ptr);
	else
		free(ptr);
}

/* Whoever has a device loads its requests' memory for it. */
int r3_block_lend(struct r3_block *block, struct r3_mem *mem)
{
	struct r3_device *dev = r3_block_device(block);

	if (!dev)
		return r3_error_set(EOPNOTSUPP, "%s: it transfers nothing itself", block->name);
	return r3_device_answer(dev, r3_dma_lend(dev, mem));
}

void r3_block_take_back(struct r3_block *block, struct r3_mem *mem)
{
	struct r3_device *dev = r3_block_device(block);

	if (dev)
		r3_dma_take_back(dev, mem);
}

int r3_block_fd(const struct r3_block *block)
{
	return block->ops->fd ? block->ops->fd(block) : -1;
}

int r3_block_dispatch(struct r3_block *block, struct r3_block_event *events, unsigned max)
{
	return block->ops->dispatch ? block->ops->dispatch(block, events, max) : 0;
}
