/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for the device. The server gets the descriptor of the memory, and maps it; a server
 * that cannot asks for the bytes by messages (VFIO_USER_DMA_READ and _WRITE), which reach what
 * is mapped here, the way it is mapped, and nothing else.
 */
#include "backend/vfio_user/vfio_user.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where a server does not say which addresses its device reaches: as many bits as the IOMMUs
 * in use translate at least. */
#define HIGHEST_IOVA ((UINT64_C(1) << 39) - 1)

int r3_vfio_user_dma_limits(struct r3_device *dev, struct r3_dma_limits *limits)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), least = v->server.pgsizes;

	least &= ~least + 1; /* its lowest bit */
	*limits = (struct r3_dma_limits){
		.page_size = least > page ? least : page,
		.nwindows = 1,
		.window = {{0, HIGHEST_IOVA}},
	};
	if (v->server.nwindows)
		limits->nwindows = v->server.nwindows;
	for (unsigned i = 0; i < v->server.nwindows; i++)
		limits->window[i] =
			(struct r3_iova_range){v->server.window[i].first, v->server.window[i].last};
	return 0;
}

/* ---- the list of what is mapped; under the link's lock ---- */

static int add(struct r3_vfio_user *v, const struct r3_vfio_user_map *map)
{
	if (v->nmaps == v->map_room) {
		unsigned room = v->map_room ? 2 * v->map_room : 16;
		struct r3_vfio_user_map *grown = realloc(v->map, room * sizeof(*grown));

		if (!grown)
			return r3_error_set(ENOMEM, "%s: out of memory", v->name);
		v->map = grown;
		v->map_room = room;
	}
	v->map[v->nmaps++] = *map;
	return 0;
}

static struct r3_vfio_user_map *find(struct r3_vfio_user *v, uint64_t iova)
{
	for (unsigned i = 0; i < v->nmaps; i++)
		if (iova - v->map[i].iova < v->map[i].len)
			return &v->map[i];
	return NULL;
}

/* Returns the memory, whose reference is the caller's; NULL: there is no such mapping. */
static struct r3_mem *take_out(struct r3_vfio_user *v, uint64_t iova, uint64_t len)
{
	struct r3_vfio_user_map *map;
	struct r3_mem *mem = NULL;

	pthread_mutex_lock(&v->link.lock);
	map = find(v, iova);
	if (map && map->iova == iova && map->len == len) {
		mem = map->mem;
		*map = v->map[--v->nmaps];
	}
	pthread_mutex_unlock(&v->link.lock);
	return mem;
}

void r3_vfio_user_free_maps(struct r3_vfio_user *v)
{
	while (v->nmaps)
		r3_mem_unref(v->map[--v->nmaps].mem);
	free(v->map);
}

/* ---- the operations ---- */

static int send_map(struct r3_vfio_user *v, const struct r3_vfio_user_map *map)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_map map;
	} message = {.map = {
			     .argsz = sizeof(message.map),
			     .offset = r3_mem_fd_offset(map->mem) + map->off,
			     .addr = map->iova,
			     .size = map->len,
		     }};
	int fd = r3_mem_fd(map->mem), rc;
	struct r3_vfio_user_call call;

	if (map->prot & R3_DMA_DEVICE_READ)
		message.map.flags |= VFIO_USER_F_DMA_REGION_READ;
	if (map->prot & R3_DMA_DEVICE_WRITE)
		message.map.flags |= VFIO_USER_F_DMA_REGION_WRITE;
	r3_vfio_user_call_init(&call, VFIO_USER_DMA_MAP, &message, sizeof(message), NULL, 0);
	call.send_fds = &fd;
	call.nsend_fds = 1;
	rc = r3_vfio_user_call(v, &call);
	return rc < 0 ? rc : r3_vfio_user_checked(v, r3_vfio_user_got_nothing(&call.msg));
}

int r3_vfio_user_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
			 unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	struct r3_vfio_user_map map = {
		.mem = mem, .iova = extent[0].iova, .len = len, .off = off, .prot = prot};
	int rc = 0;

	if (*n < 1)
		return r3_error_set(E2BIG, "%s: no room for an extent", dev->info.name);
	if (v->nmaps >= v->server.max_dma_maps)
		return r3_error_set(ENOSPC, "%s: its server takes no more than %u pieces of memory",
				    dev->info.name, v->server.max_dma_maps);
	/* before the server knows of it, because it may ask for bytes of it at once */
	pthread_mutex_lock(&v->link.lock);
	rc = add(v, &map);
	pthread_mutex_unlock(&v->link.lock);
	if (rc < 0)
		return rc;
	r3_mem_ref(mem);
	rc = send_map(v, &map);
	if (rc < 0) {
		r3_mem_unref(take_out(v, map.iova, len));
		return r3_error_prefix(rc, "%s", dev->info.name);
	}
	extent[0].len = len;
	*n = 1;
	return 0;
}

static int send_unmap(struct r3_vfio_user *v, uint64_t iova, uint64_t len)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_unmap unmap;
	} message = {.unmap = {.argsz = sizeof(message.unmap), .addr = iova, .size = len}};
	struct vfio_user_dma_unmap reply;
	struct r3_vfio_user_call call;
	int rc;

	r3_vfio_user_call_init(&call, VFIO_USER_DMA_UNMAP, &message, sizeof(message), &reply,
			       sizeof(reply));
	rc = r3_vfio_user_call(v, &call);
	return rc < 0 ? rc
		      : r3_vfio_user_checked(v,
					     r3_vfio_user_got_dma_unmap(&call.msg, &message.unmap));
}

/* A server that refuses keeps the memory in the device's reach, and so do we. */
int r3_vfio_user_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	int rc = r3_device_gone(dev) ? 0 : send_unmap(v, iova, len);

	if (rc < 0 && rc != -ENODEV)
		return r3_error_prefix(rc, "%s", dev->info.name);
	r3_mem_unref(take_out(v, iova, len));
	return 0;
}

/* ---- the server's requests ---- */

/* The bytes at @addr, and how many of *len there are in one piece; NULL: none for @prot. */
static unsigned char *reach(struct r3_vfio_user *v, uint64_t addr, uint64_t *len, unsigned prot)
{
	const struct r3_vfio_user_map *map = find(v, addr);
	uint64_t at;

	if (!map || !(map->prot & prot))
		return NULL;
	at = addr - map->iova;
	if (*len > map->len - at)
		*len = map->len - at;
	return (unsigned char *)r3_mem_addr(map->mem) + map->off + at;
}

static int refuse(uint64_t addr)
{
	return r3_error_set(EFAULT, "no memory is mapped for that at %#llx",
			    (unsigned long long)addr);
}

int r3_vfio_user_dma_read(void *ctx, uint64_t addr, unsigned char *data, uint64_t len)
{
	struct r3_vfio_user *v = ctx;

	while (len) {
		uint64_t n = len;
		const unsigned char *at = reach(v, addr, &n, R3_DMA_DEVICE_READ);

		if (!at)
			return refuse(addr);
		memcpy(data, at, n);
		addr += n;
		data += n;
		len -= n;
	}
	return 0;
}

/* All of it or nothing: what is in reach is found out first. */
int r3_vfio_user_dma_write(void *ctx, uint64_t addr, const unsigned char *data, uint64_t len)
{
	struct r3_vfio_user *v = ctx;
	uint64_t n;

	for (uint64_t at = 0; at < len; at += n) {
		n = len - at;
		if (!reach(v, addr + at, &n, R3_DMA_DEVICE_WRITE))
			return refuse(addr + at);
	}
	for (uint64_t at = 0; at < len; at += n) {
		n = len - at;
		memcpy(reach(v, addr + at, &n, R3_DMA_DEVICE_WRITE), data + at, n);
	}
	return 0;
}
