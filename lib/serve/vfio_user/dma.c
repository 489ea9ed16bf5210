/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's memory. It lies in files that others hold as well, so the question is always
 * what happens when one of them shrinks it: whoever touches a page that is gone gets SIGBUS.
 * Sealed memory cannot shrink. Other memory is taken only where the one who would be hit is
 * this process, and is ready for it.
 */
#include "mem/sigbus.h"
#include "mem/stranger.h"
#include "serve/vfio_user/server.h"

#include <ring3/error.h>
#include <ring3/log.h>
#include <ring3/mem.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A client that maps and unmaps all the time fills nobody's log; one that holds as much as it may
 * is told of whole, and more than once. */
#define MAPS_TOLD 4

/* Memory that a device might still reach, whose clients are gone: see r3_serve_dma_pin(). */
struct pinned {
	struct pinned *next;
	unsigned n;
	struct r3_serve_map *map;
};
static struct pinned *pinned;

/* ---- may it be mapped? ---- */

int r3_serve_dma_limits(const struct r3_serve *serve, struct r3_dma_limits *limits)
{
	struct r3_device *dev = serve->dev;
	int rc;

	*limits = (struct r3_dma_limits){.page_size = 0};
	if (!(dev->info.caps & R3_CAP_DMA) || !dev->ops->dma_map || !dev->ops->dma_unmap)
		return r3_error_set(EOPNOTSUPP, "%s: it offers no DMA", dev->info.name);
	if (dev->info.caps & (R3_CAP_OWN_MEM | R3_CAP_DMA_ASSIGNED))
		return r3_error_set(EOPNOTSUPP,
				    "%s: it can reach only memory of its own, at addresses of "
				    "its own choice, not a client's",
				    dev->info.name);
	if (!dev->ops->dma_limits)
		return r3_error_set(EOPNOTSUPP, "%s: its carrier has no limits of device addresses",
				    dev->info.name);
	rc = r3_device_answer(dev, dev->ops->dma_limits(dev, limits));
	if (rc)
		return rc;
	if (!limits->page_size || limits->page_size & (limits->page_size - 1) ||
	    limits->nwindows > 8)
		return r3_error_set(EOPNOTSUPP, "%s: its carrier has absurd limits of DMA",
				    dev->info.name);
	return 0;
}

static bool in_window(const struct r3_dma_limits *limits, uint64_t first, uint64_t last)
{
	for (unsigned i = 0; i < limits->nwindows; i++)
		if (first >= limits->window[i].first && last <= limits->window[i].last)
			return true;
	return false;
}

/* The number of maps that lie below @iova as a whole. */
static unsigned place(const struct r3_serve *serve, uint64_t iova)
{
	unsigned low = 0, high = serve->nmaps;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (serve->map[mid].iova + (serve->map[mid].len - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int r3_serve_fd_quota(const struct r3_serve *serve, unsigned more)
{
	if (more > serve->opts.max_fds - serve->fds)
		return r3_error_set(ENOSPC, "%s: no more than %u descriptors for one client",
				    serve->dev->info.name, serve->opts.max_fds);
	return 0;
}

static int check(const struct r3_serve *serve, const struct vfio_user_dma_map *ask, unsigned *at)
{
	const char *name = serve->dev->info.name;
	uint64_t first = ask->addr, last = ask->addr + (ask->size - 1);
	struct r3_dma_limits limits;
	int rc = r3_serve_dma_limits(serve, &limits);

	if (rc)
		return rc;
	if ((first | ask->size) & (limits.page_size - 1))
		return r3_error_set(EINVAL, "%s: %#jx bytes at %#jx are not whole pages of %ju",
				    name, (uintmax_t)ask->size, (uintmax_t)first,
				    (uintmax_t)limits.page_size);
	if (!ask->flags)
		return r3_error_set(EINVAL, "%s: memory that it may neither read nor write", name);
	if (!in_window(&limits, first, last))
		return r3_error_set(EINVAL, "%s: %#jx..%#jx is in no window of device addresses",
				    name, (uintmax_t)first, (uintmax_t)last);
	*at = place(serve, first);
	if (*at < serve->nmaps && serve->map[*at].iova <= last)
		return r3_error_set(EEXIST, "%s: %#jx..%#jx is mapped already, in part at least",
				    name, (uintmax_t)first, (uintmax_t)last);
	if (serve->nmaps >= serve->opts.max_maps)
		return r3_error_set(ENOSPC, "%s: no more than %u pieces of memory for one client",
				    name, serve->opts.max_maps);
	if (ask->size > serve->opts.max_bytes - serve->mapped)
		return r3_error_set(ENOSPC, "%s: no more than %ju bytes of memory for one client",
				    name, (uintmax_t)serve->opts.max_bytes);
	return r3_serve_fd_quota(serve, 1);
}

/* ---- whose file is it? ---- */

/* 0, with the flags for r3_mem_import(). */
static int may_import(const struct r3_serve *serve, int fd, unsigned *flags)
{
	const char *name = serve->dev->info.name;
	struct r3_mem_file file;
	int rc = r3_mem_inspect(fd, &file);

	if (rc < 0)
		return r3_error_prefix(rc, "%s: a client's", name);
	if (!file.sealed && serve->caps.ring3)
		return r3_error_set(
			EPERM, "%s: a client's memory must be sealed with F_SEAL_SHRINK", name);
	*flags = r3_mem_seal(fd, &file);
	if (!*flags)
		return 0;
	if (!(serve->dev->info.caps & R3_CAP_IN_PROCESS))
		return r3_error_set(EPERM,
				    "%s: the memory's owner could shrink it, and so kill "
				    "another process: let it be sealed with F_SEAL_SHRINK",
				    name);
	if (!r3_sigbus_enabled())
		return r3_error_set(EPERM,
				    "%s: the memory's owner could shrink it, which nobody "
				    "here is ready for: let it be sealed with F_SEAL_SHRINK",
				    name);
	return 0;
}

/* ---- map ---- */

static int room(struct r3_serve *serve)
{
	struct r3_serve_map *map;

	/* in steps: the quota may be far above what anybody uses */
	if (serve->nmaps % 64)
		return 0;
	map = realloc(serve->map, (serve->nmaps + 64) * sizeof(*map));
	if (!map)
		return r3_error_set(ENOMEM, "%s: out of memory", serve->dev->info.name);
	serve->map = map;
	return 0;
}

static int give(struct r3_device *dev, struct r3_mem *mem, const struct vfio_user_dma_map *ask)
{
	struct r3_dma_extent extent = {.iova = ask->addr, .len = ask->size};
	unsigned n = 1, prot = 0;
	int rc;

	if (ask->flags & VFIO_USER_F_DMA_REGION_READ)
		prot |= R3_DMA_DEVICE_READ;
	if (ask->flags & VFIO_USER_F_DMA_REGION_WRITE)
		prot |= R3_DMA_DEVICE_WRITE;
	rc = r3_device_answer(dev, dev->ops->dma_map(dev, mem, 0, ask->size, prot, &extent, &n));
	if (rc)
		return rc;
	if (n == 1 && extent.iova == ask->addr && extent.len == ask->size)
		return 0;
	for (unsigned i = 0; i < n && i < 1; i++)
		dev->ops->dma_unmap(dev, extent.iova, extent.len);
	return r3_error_set(EIO, "%s: its carrier mapped something else", dev->info.name);
}

int r3_serve_dma_map(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
		     struct r3_serve_reply *reply)
{
	struct vfio_user_dma_map ask;
	struct r3_mem *mem;
	unsigned at = 0, flags = 0;
	int rc = r3_vfio_user_get_dma_map(msg, &ask);

	if (!rc)
		rc = check(serve, &ask, &at);
	if (rc)
		return rc;
	if (!msg->nfds)
		return r3_error_set(EOPNOTSUPP,
				    "%s: it reaches memory only, not what a client "
				    "would have to hand over by messages",
				    serve->dev->info.name);
	rc = may_import(serve, fds[0], &flags);
	if (!rc)
		rc = room(serve);
	if (!rc)
		rc = r3_mem_import(fds[0], ask.offset, ask.size, flags, &mem);
	if (rc)
		return rc;
	rc = give(serve->dev, mem, &ask);
	if (rc) {
		r3_mem_unref(mem);
		return rc;
	}
	memmove(&serve->map[at + 1], &serve->map[at], (serve->nmaps - at) * sizeof(*serve->map));
	serve->map[at] = (struct r3_serve_map){
		.iova = ask.addr,
		.len = ask.size,
		.mem = mem,
		.told = serve->maps_told < (uint64_t)MAPS_TOLD * serve->opts.max_maps,
	};
	serve->nmaps++;
	serve->fds++;
	serve->mapped += ask.size;
	if (!serve->map[at].told)
		return 0;
	serve->maps_told++;
	r3_serve_tell(serve,
		      &(struct r3_serve_event){
			      .type = R3_SERVE_MAPPED, .iova = ask.addr, .len = ask.size},
		      "memory of the client%s", flags ? ", which its owner can shrink" : "");
	return 0;
}

/* ---- unmap ---- */

/* The carrier's dma_unmap() returns when the device can no longer reach it. */
static int take_back(struct r3_serve *serve, unsigned at, bool tell)
{
	const struct r3_serve_map map = serve->map[at];
	struct r3_device *dev = serve->dev;
	struct r3_serve_event event = {.type = R3_SERVE_UNMAPPED, .iova = map.iova, .len = map.len};
	int rc = dev->ops->dma_unmap(dev, map.iova, map.len);

	/* what is gone reaches nothing */
	r3_device_answer(dev, rc);
	if (r3_device_gone(dev))
		rc = 0;
	event.err = rc;
	if (tell)
		r3_serve_tell(serve, &event, "%s", rc ? r3_error_text() : "");
	return rc;
}

static void forget(struct r3_serve *serve, unsigned at)
{
	r3_mem_unref(serve->map[at].mem);
	serve->mapped -= serve->map[at].len;
	serve->nmaps--;
	serve->fds--;
	memmove(&serve->map[at], &serve->map[at + 1], (serve->nmaps - at) * sizeof(*serve->map));
}

int r3_serve_dma_unmap(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
		       struct r3_serve_reply *reply)
{
	struct vfio_user_dma_unmap ask;
	unsigned at = 0, n;
	int rc = r3_vfio_user_get_dma_unmap(msg, &ask);

	if (rc)
		return rc;
	n = serve->nmaps;
	if (!(ask.flags & VFIO_DMA_UNMAP_FLAG_ALL)) {
		at = place(serve, ask.addr);
		n = 1;
		if (at == serve->nmaps || serve->map[at].iova != ask.addr ||
		    serve->map[at].len != ask.size)
			return r3_error_set(ENOENT, "%s: %#jx bytes at %#jx were not mapped so",
					    serve->dev->info.name, (uintmax_t)ask.size,
					    (uintmax_t)ask.addr);
	}
	for (; n && !rc; n--) {
		rc = take_back(serve, at, serve->map[at].told);
		if (!rc)
			forget(serve, at);
	}
	if (rc)
		return rc;
	ask.argsz = sizeof(ask);
	memcpy(reply->payload, &ask, sizeof(ask));
	reply->len = sizeof(ask);
	return 0;
}

/* ---- the end of a client ---- */

bool r3_serve_dma_unmap_all(struct r3_serve *serve)
{
	bool all = true;

	for (unsigned at = 0; at < serve->nmaps; at++)
		if (take_back(serve, at, true))
			all = false;
	return all;
}

void r3_serve_dma_free(struct r3_serve *serve)
{
	while (serve->nmaps)
		forget(serve, serve->nmaps - 1);
	free(serve->map);
	serve->map = NULL;
}

/* A page that is given back becomes somebody else's, and a device that may still write there
 * writes into that. Nothing of this process's is worth the risk. */
void r3_serve_dma_pin(struct r3_serve *serve)
{
	struct pinned *pin = serve->nmaps ? malloc(sizeof(*pin)) : NULL;

	r3_log(R3_LOG_ERROR, "%s: %u pieces of memory, %ju bytes, are kept for good",
	       serve->dev->info.name, serve->nmaps, (uintmax_t)serve->mapped);
	/* without this list they are kept just as well, only that nobody knows of them */
	if (pin) {
		*pin = (struct pinned){.n = serve->nmaps, .map = serve->map};
		pin->next = __atomic_load_n(&pinned, __ATOMIC_RELAXED);
		while (!__atomic_compare_exchange_n(&pinned, &pin->next, pin, true,
						    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			;
	}
	serve->map = NULL;
	serve->fds -= serve->nmaps;
	serve->nmaps = 0;
	serve->mapped = 0;
}
