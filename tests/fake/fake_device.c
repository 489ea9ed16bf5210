/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake device: PCI as far as its users can see, behind the bus operations. */
#include "fake/fake_parts.h"
#include "util/item.h"

#include <ring3/error.h>
#include <ring3/irq.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OWN_MEM_SIZE (UINT64_C(64) << 20)
#define OWN_MEM_OFF  (UINT64_C(1) << 20) /* the arena begins behind what is not for it */
#define ASSIGN_FIRST UINT64_C(0x80000000)

static struct fake_device *fake_of(struct r3_device *dev)
{
	return (struct fake_device *)dev;
}

static bool is_removed(const struct fake_device *fake)
{
	return __atomic_load_n(&fake->removed, __ATOMIC_RELAXED);
}

static int fails(struct fake_device *fake, int rc, const char *what)
{
	if (is_removed(fake))
		rc = -ENODEV;
	return rc ? r3_error_set(-rc, "fake: %s was told to fail", what) : 0;
}

/* ---- regions ---- */

static int fake_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info)
{
	struct fake_device *fake = fake_of(dev);
	int rc = fails(fake, fake->fail_region_info, "region_info");

	if (rc)
		return rc;
	if (index == R3_REGION_CONFIG) {
		info->size = sizeof(fake->config);
		info->flags = R3_REGION_READ | R3_REGION_WRITE;
	} else if (index < 7) {
		const struct fake_bar *bar = &fake->bar[index];

		info->size = bar->size;
		info->flags = bar->flags;
		info->fd_off = bar->fd_off;
		info->nareas = bar->nareas;
		for (unsigned i = 0; i < bar->nareas && i < R3_REGION_AREAS; i++) {
			info->area[i].off = bar->area[i].off;
			info->area[i].len = bar->area[i].len;
		}
		if (bar->flags & R3_REGION_MAPPABLE)
			info->fd = fake->give_fds ? fcntl(r3_mem_fd(bar->mem), F_DUPFD_CLOEXEC, 3)
						  : r3_mem_fd(bar->mem);
		info->close_fd = fake->give_fds;
	}
	return 0;
}

static void access_memory(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
			  uint64_t *value, bool write)
{
	uint8_t *at = index == R3_REGION_CONFIG
			      ? fake->config + off
			      : (uint8_t *)r3_mem_addr(fake->bar[index].mem) + off;

	pthread_mutex_lock(&fake->lock);
	if (!write)
		*value = r3_item_get_le(at, width);
	else if (index == R3_REGION_CONFIG)
		fake_config_write(fake, off, width, *value);
	else
		r3_item_put_le(at, width, *value);
	pthread_mutex_unlock(&fake->lock);
}

static int fake_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		   uint32_t count, unsigned flags)
{
	struct fake_device *fake = fake_of(dev);
	bool write = flags & R3_RW_WRITE;
	int rc = fails(fake, fake->fail_rw, "rw");

	if (rc)
		return rc;
	/* counted atomically: any thread may come here */
	__atomic_fetch_add(write ? &fake->writes : &fake->reads, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&fake->posted, !!(flags & R3_RW_POSTED), __ATOMIC_RELAXED);
	for (uint8_t *item = data; count; count--, item += width, off += width) {
		uint64_t value = write ? r3_item_get(item, width) : 0;

		if (!fake->access || !fake->access(fake, index, off, width, &value, write))
			access_memory(fake, index, off, width, &value, write);
		if (!write)
			r3_item_put(item, width, value);
	}
	return 0;
}

/* ---- interrupts ---- */

static void deliver(struct fake_device *fake, unsigned vector)
{
	struct fake_vector *v = &fake->vector[vector];
	const uint64_t one = 1;

	if (v->masked || v->fd < 0) {
		v->pending = v->masked;
		return;
	}
	if (fake->raising)
		fake->raising(fake);
	v->pending = false;
	v->masked = fake->irq_type == R3_IRQ_INTX;
	(void)!write(v->fd, &one, sizeof(one));
}

void fake_device_raise(struct fake_device *fake, unsigned type, unsigned vector)
{
	pthread_mutex_lock(&fake->lock);
	if (type == R3_IRQ_INTX)
		fake->intx_up = true;
	if (!is_removed(fake) && type == fake->irq_type && vector < fake->nirqs) {
		if (type == R3_IRQ_INTX && fake->base.info.caps & R3_CAP_IRQ_DISPATCH)
			eventfd_write(fake->event_fd, 1);
		else
			deliver(fake, vector);
	}
	pthread_mutex_unlock(&fake->lock);
}

void fake_device_lower(struct fake_device *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->intx_up = false;
	fake->vector[0].pending = false;
	pthread_mutex_unlock(&fake->lock);
}

static int fake_irq_alloc(struct r3_device *dev, unsigned type, unsigned n)
{
	struct fake_device *fake = fake_of(dev);
	int rc = n ? fails(fake, fake->fail_irq_alloc, "irq_alloc") : 0;

	if (rc)
		return rc;
	if (type > R3_IRQ_MSIX || n > dev->info.nirqs[type] || n > FAKE_VECTORS)
		return r3_error_set(EINVAL, "fake: %u vectors of type %u", n, type);
	pthread_mutex_lock(&fake->lock);
	fake->irq_type = type;
	fake->nirqs = n;
	for (unsigned i = 0; i < FAKE_VECTORS; i++)
		fake->vector[i] = (struct fake_vector){.fd = -1};
	pthread_mutex_unlock(&fake->lock);
	return 0;
}

static int fake_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
			 const int *fds)
{
	struct fake_device *fake = fake_of(dev);
	int rc = fails(fake, fake->fail_irq_bind, "irq_bind");

	if (rc)
		return rc;
	if (type != fake->irq_type || first > fake->nirqs || n > fake->nirqs - first)
		return r3_error_set(EINVAL, "fake: bind of vectors that are not there");
	pthread_mutex_lock(&fake->lock);
	for (unsigned i = 0; i < n; i++)
		fake->vector[first + i] = (struct fake_vector){.fd = fds[i]};
	if (type == R3_IRQ_INTX && n && fake->intx_up)
		fake_device_raise(fake, type, 0);
	pthread_mutex_unlock(&fake->lock);
	return 0;
}

static int fake_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask)
{
	struct fake_device *fake = fake_of(dev);
	int rc = fails(fake, 0, "irq_mask");

	if (rc)
		return rc;
	if (type != fake->irq_type || vector >= fake->nirqs)
		return r3_error_set(EINVAL, "fake: mask of a vector that is not there");

	struct fake_vector *v = &fake->vector[vector];
	pthread_mutex_lock(&fake->lock);
	v->masked = mask;
	if (!mask && (type == R3_IRQ_INTX ? fake->intx_up : v->pending))
		fake_device_raise(fake, type, vector);
	pthread_mutex_unlock(&fake->lock);
	return 0;
}

/* ---- DMA ---- */

static int fake_dma_limits(struct r3_device *dev, struct r3_dma_limits *limits)
{
	*limits = fake_of(dev)->limits;
	return 0;
}

static int fake_dma_memory(struct r3_device *dev, uint64_t want, struct r3_mem **mem, uint64_t *off,
			   uint64_t *len)
{
	struct fake_device *fake = fake_of(dev);
	int rc = fails(fake, fake->fail_dma_memory, "dma_memory");

	if (!rc && !fake->own_mem)
		rc = r3_mem_create("fake-ram", OWN_MEM_SIZE, 0, &fake->own_mem);
	if (rc)
		return rc;
	*mem = fake->own_mem;
	*off = OWN_MEM_OFF;
	*len = OWN_MEM_SIZE - OWN_MEM_OFF;
	return 0;
}

static struct fake_map *free_map(struct fake_device *fake)
{
	for (unsigned i = 0; i < FAKE_MAPS; i++)
		if (!fake->map[i].len)
			return &fake->map[i];
	return NULL;
}

static bool overlaps(const struct fake_device *fake, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < FAKE_MAPS; i++) {
		const struct fake_map *map = &fake->map[i];

		if (map->len && iova < map->iova + map->len && map->iova < iova + len)
			return true;
	}
	return false;
}

static int add_map(struct fake_device *fake, struct fake_map map)
{
	struct fake_map *entry = free_map(fake);

	if (!entry)
		return r3_error_set(ENOSPC, "fake: too many maps");
	if (overlaps(fake, map.iova, map.len))
		return r3_error_set(EEXIST, "fake: %#jx is mapped already", (uintmax_t)map.iova);
	*entry = map;
	r3_mem_ref(map.mem);
	return 0;
}

static int remove_map(struct fake_device *fake, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < FAKE_MAPS; i++) {
		struct fake_map *map = &fake->map[i];

		if (map->len == len && map->iova == iova && len) {
			r3_mem_unref(map->mem);
			*map = (struct fake_map){.len = 0};
			return 0;
		}
	}
	return r3_error_set(ENOENT, "fake: %#jx is not mapped", (uintmax_t)iova);
}

static int fake_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len)
{
	struct fake_device *fake = fake_of(dev);
	int rc;

	if (fake->fail_dma_unmap)
		return fails(fake, fake->fail_dma_unmap, "dma_unmap");
	pthread_mutex_lock(&fake->lock);
	rc = remove_map(fake, iova, len);
	pthread_mutex_unlock(&fake->lock);
	return rc;
}

static int fake_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
			unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	struct fake_device *fake = fake_of(dev);
	bool assigned = dev->info.caps & R3_CAP_DMA_ASSIGNED;
	uint64_t most = assigned && fake->extent_len ? fake->extent_len : len;
	uint64_t first = fake->assign_first ? fake->assign_first : ASSIGN_FIRST;
	uint64_t iova = assigned ? first : extent[0].iova;
	unsigned used = 0, room = *n;
	int rc = fails(fake, fake->fail_dma_map, "dma_map");

	if (!rc && (off % 4096 || len % 4096 || !len || (!assigned && iova % 4096)))
		rc = r3_error_set(EINVAL, "fake: not whole pages");
	if (!rc && (len + most - 1) / most > room)
		rc = r3_error_set(E2BIG, "fake: too many extents");
	pthread_mutex_lock(&fake->lock);
	for (uint64_t done = 0; done < len && !rc; done += extent[used++].len) {
		uint64_t piece = len - done < most ? len - done : most;

		while (assigned && overlaps(fake, iova, piece))
			iova += 4096;
		rc = add_map(fake, (struct fake_map){mem, off + done, piece, iova, prot});
		if (rc)
			break;
		extent[used] = (struct r3_dma_extent){.iova = iova, .len = piece};
		iova += piece + 4096; /* a hole, so that nobody takes them as contiguous */
	}
	if (rc)
		while (used--)
			remove_map(fake, extent[used].iova, extent[used].len);
	else
		*n = used;
	pthread_mutex_unlock(&fake->lock);
	return rc;
}

void *fake_device_reach(struct fake_device *fake, uint64_t iova, uint64_t len, unsigned prot)
{
	for (unsigned i = 0; i < FAKE_MAPS; i++) {
		const struct fake_map *map = &fake->map[i];
		uint64_t at = iova - map->iova;

		if (at < map->len && len <= map->len - at && (map->prot & prot) == prot)
			return (uint8_t *)r3_mem_addr(map->mem) + map->off + at;
	}
	return NULL;
}

/* ---- reset, events ---- */

static int fake_reset(struct r3_device *dev, enum r3_reset how)
{
	struct fake_device *fake = fake_of(dev);
	int rc = fails(fake, fake->fail_reset, "reset");

	if (rc)
		return rc;
	pthread_mutex_lock(&fake->lock);
	fake->resets++;
	fake->config[PCI_COMMAND] = fake->config[PCI_COMMAND + 1] = 0;
	fake->config[FAKE_CAP_MSI + PCI_MSI_FLAGS] &= (uint8_t)~PCI_MSI_FLAGS_ENABLE;
	fake->config[FAKE_CAP_MSIX + PCI_MSIX_FLAGS + 1] &= (uint8_t) ~(PCI_MSIX_FLAGS_ENABLE >> 8);
	fake->intx_up = false;
	rc = fake_irq_alloc(dev, R3_IRQ_INTX, 0);
	pthread_mutex_unlock(&fake->lock);
	return rc;
}

static int fake_quiesce(struct r3_device *dev, unsigned want, unsigned *proved)
{
	struct fake_device *fake = fake_of(dev);
	int rc = fails(fake, fake->fail_quiesce, "quiesce");

	if (rc)
		return rc;
	pthread_mutex_lock(&fake->lock);
	fake->quiesces++;
	fake->config[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_MASTER;
	pthread_mutex_unlock(&fake->lock);
	*proved = R3_QUIESCE_DMA;
	return 0;
}

void fake_device_event(struct fake_device *fake, unsigned type, uint64_t detail)
{
	if (fake->nevents < 8)
		fake->event[fake->nevents++] = (struct r3_event){.type = type, .detail = detail};
	eventfd_write(fake->event_fd, 1);
}

void fake_device_remove(struct fake_device *fake)
{
	__atomic_store_n(&fake->removed, true, __ATOMIC_RELAXED);
	fake_device_event(fake, R3_EVENT_REMOVED, 0);
}

static int fake_fd(struct r3_device *dev)
{
	return fake_of(dev)->event_fd;
}

static int fake_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max)
{
	struct fake_device *fake = fake_of(dev);
	unsigned n = fake->nevents < max ? fake->nevents : max;
	eventfd_t count;

	if (fake->fail_dispatch)
		return fails(fake, fake->fail_dispatch, "dispatch");
	if (is_removed(fake))
		r3_device_set_gone(dev);
	eventfd_read(fake->event_fd, &count);
	pthread_mutex_lock(&fake->lock);
	if (fake->intx_up && fake->nirqs && fake->irq_type == R3_IRQ_INTX)
		deliver(fake, 0);
	pthread_mutex_unlock(&fake->lock);
	if (n)
		memcpy(events, fake->event, n * sizeof(events[0]));
	fake->nevents -= n;
	memmove(fake->event, fake->event + n, fake->nevents * sizeof(events[0]));
	if (fake->nevents)
		eventfd_write(fake->event_fd, 1);
	return (int)n;
}

/* ---- life ---- */

static void fake_close(struct r3_device *dev)
{
	struct fake_device *fake = fake_of(dev);
	struct fake_remains remains = {
		.closed = true,
		.irqs = fake->nirqs,
		.master = fake->config[PCI_COMMAND] & PCI_COMMAND_MASTER,
	};

	fake_device_stop(fake);
	for (unsigned i = 0; i < FAKE_MAPS; i++) {
		if (fake->map[i].len) {
			remains.maps++;
			r3_mem_unref(fake->map[i].mem);
		}
	}
	if (fake->remains)
		*fake->remains = remains;
	for (unsigned i = 0; i < 7; i++)
		r3_mem_unref(fake->bar[i].mem);
	r3_mem_unref(fake->own_mem);
	close(fake->event_fd);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

static const struct r3_bus_ops fake_ops = {
	.size = sizeof(struct r3_bus_ops),
	.close = fake_close,
	.region_info = fake_region_info,
	.rw = fake_rw,
	.irq_alloc = fake_irq_alloc,
	.irq_bind = fake_irq_bind,
	.irq_mask = fake_irq_mask,
	.dma_limits = fake_dma_limits,
	.dma_memory = fake_dma_memory,
	.dma_map = fake_dma_map,
	.dma_unmap = fake_dma_unmap,
	.reset = fake_reset,
	.quiesce = fake_quiesce,
	.fd = fake_fd,
	.dispatch = fake_dispatch,
};

struct fake_device *fake_device_new(const struct r3_open_opts *opts)
{
	const unsigned both = R3_REGION_READ | R3_REGION_WRITE;
	struct fake_device *fake = calloc(1, sizeof(*fake));
	pthread_mutexattr_t attr;

	if (!fake)
		return NULL;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&fake->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	r3_device_init(&fake->base, &fake_ops, opts);
	fake->base.info = (struct r3_device_info){
		.name = "fake",
		.caps = R3_CAP_PCI | R3_CAP_IRQ_MASK | R3_CAP_DMA | R3_CAP_FLR | R3_CAP_BUS_RESET |
			R3_CAP_IN_PROCESS,
		.nregions = R3_REGION_CONFIG + 1,
		.nirqs = {1, 32, FAKE_VECTORS},
	};
	fake->limits = (struct r3_dma_limits){
		.page_size = 4096,
		.nwindows = 2,
		.window = {{0, 0xfedfffff}, {0x100000000, 0x7fffffffff}},
	};
	for (unsigned i = 0; i < FAKE_VECTORS; i++)
		fake->vector[i].fd = -1;
	fake_config_init(fake);
	fake->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fake->event_fd < 0 ||
	    fake_device_set_bar(fake, 0, 16384, both | R3_REGION_64BIT | R3_REGION_MAPPABLE) ||
	    fake_device_set_bar(fake, 2, 32, both | R3_REGION_PORT) ||
	    fake_device_set_bar(fake, 4, 4096, both) ||
	    fake_device_set_bar(fake, 6, 2048, R3_REGION_READ)) {
		fake_close(&fake->base);
		return NULL;
	}
	return fake;
}

int fake_device_adopt(struct fake_device *fake)
{
	return r3_device_adopt(&fake->base, "fake:test");
}
