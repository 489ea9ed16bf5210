/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What regions there are, and which of their bytes can be mapped. A descriptor that a server
 * gives is not believed to be what the server says: behind the end of a file are no pages, only
 * SIGBUS, and a file that can shrink may end there later.
 */
#include "backend/vfio_user/vfio_user.h"
#include "mem/stranger.h"
#include "util/fd.h"
#include "util/kept_text.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <linux/magic.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* ---- what configuration space knows of BARs ---- */

/* VFIO's region info does not tell ports from memory (PCI 3.0, 6.2.5.1). */
static void read_bars(struct r3_vfio_user *v, const uint32_t *bar)
{
	for (unsigned i = 0; i < 6; i++) {
		if (bar[i] == UINT32_MAX)
			continue; /* nobody answers */
		if (bar[i] & PCI_BASE_ADDRESS_SPACE_IO) {
			v->bar_flags[i] = R3_REGION_PORT;
			continue;
		}
		if (bar[i] & PCI_BASE_ADDRESS_MEM_PREFETCH)
			v->bar_flags[i] = R3_REGION_PREFETCH;
		if ((bar[i] & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
			v->bar_flags[i++] |= R3_REGION_64BIT; /* the next one is its upper half */
	}
}

int r3_vfio_user_find_bars(struct r3_vfio_user *v)
{
	uint32_t bar[6];
	int rc = r3_vfio_user_rw(&v->dev, R3_REGION_CONFIG, PCI_BASE_ADDRESS_0, bar, 4, 6, 0);

	if (rc < 0)
		return rc;
	read_bars(v, bar);
	return 0;
}

/* ---- what can be mapped ---- */

/* Memory that is sealed, or that we may seal; or no file at all, but a device's memory, whose
 * end does not move. Its descriptor is the device's file, or one that VFIO made of nothing. */
static bool stays(int fd, const struct stat *st)
{
	struct r3_mem_file file;
	struct statfs fs;

	if (S_ISCHR(st->st_mode) || (fstatfs(fd, &fs) == 0 && fs.f_type == ANON_INODE_FS_MAGIC))
		return true;
	return r3_mem_inspect(fd, &file) == 0 && r3_mem_seal(fd, &file) == 0;
}

/* Why @info cannot be mapped as it says; NULL: it can. */
static const char *objection(const struct r3_region_info *info)
{
	uint64_t end = info->size, room;
	struct stat st;

	for (unsigned i = 0; i < info->nareas; i++) {
		uint64_t last = info->area[i].off + info->area[i].len;

		end = i == 0 || last > end ? last : end;
	}
	if (fstat(info->fd, &st) < 0 || !stays(info->fd, &st))
		return "its file could be made shorter under us (no F_SEAL_SHRINK)";
	room = (uint64_t)st.st_size;
	if (S_ISREG(st.st_mode) && (info->fd_off > room || end > room - info->fd_off))
		return "its file ends before it";
	return NULL;
}

/* Neighbours become one. */
static void merge(struct r3_vfio_user_sparse *sparse)
{
	struct vfio_region_sparse_mmap_area *a = sparse->area;

	for (unsigned i = 1; i < sparse->n; i++) /* few, and in order almost always */
		for (unsigned j = i; j > 0 && a[j].offset < a[j - 1].offset; j--) {
			struct vfio_region_sparse_mmap_area t = a[j];

			a[j] = a[j - 1];
			a[j - 1] = t;
		}

	unsigned n = sparse->n ? 1 : 0;
	for (unsigned i = 1; i < sparse->n; i++) {
		uint64_t end = a[n - 1].offset + a[n - 1].size;
		uint64_t last = a[i].offset + a[i].size;

		if (a[i].offset > end)
			a[n++] = a[i];
		else if (last > end)
			a[n - 1].size = last - a[n - 1].offset;
	}
	sparse->n = n;
}

/* The largest, in order: whoever maps takes the largest one of them. */
static void choose_areas(struct r3_vfio_user *v, unsigned index, struct r3_vfio_user_sparse *sparse,
			 struct r3_region_info *info)
{
	struct vfio_region_sparse_mmap_area *a = sparse->area;

	merge(sparse);
	if (sparse->n > R3_REGION_AREAS)
		r3_log(R3_LOG_INFO,
		       "%s: region %u can be mapped in %u pieces; the %u largest are used", v->name,
		       index, sparse->n, R3_REGION_AREAS);
	while (sparse->n > R3_REGION_AREAS) {
		unsigned least = 0;

		for (unsigned i = 1; i < sparse->n; i++)
			least = a[i].size < a[least].size ? i : least;
		sparse->n--;
		memmove(&a[least], &a[least + 1], (sparse->n - least) * sizeof(*a));
	}
	info->nareas = sparse->n;
	for (unsigned i = 0; i < sparse->n; i++) {
		info->area[i].off = a[i].offset;
		info->area[i].len = a[i].size;
	}
}

static void find_mapping(struct r3_vfio_user *v, const struct r3_vfio_user_call *call,
			 const struct vfio_region_info *said, struct r3_region_info *info,
			 struct r3_vfio_user_sparse *sparse, int nsparse)
{
	const char *why = NULL;

	if (call->msg.nfds) {
		info->fd = call->fds[0];
		info->close_fd = true;
		r3_stream_close_fds(call->fds + 1, call->msg.nfds - 1);
	}
	if (!(said->flags & VFIO_REGION_INFO_FLAG_MMAP) || info->fd < 0)
		goto not ;
	info->fd_off = said->offset;
	if (nsparse)
		choose_areas(v, said->index, sparse, info);
	if (nsparse && !info->nareas)
		goto not ; /* nothing of it */
	why = objection(info);
	if (!why) {
		info->flags |= R3_REGION_MAPPABLE;
		return;
	}
	r3_log(R3_LOG_WARN, "%s: region %u is not mapped and will be slow: %s", v->name,
	       said->index, why);
	not : r3_fd_close(&info->fd);
	info->close_fd = false;
	info->nareas = 0;
}

/* ---- the operation ---- */

static int ask(struct r3_vfio_user *v, unsigned index, struct r3_vfio_user_call *call,
	       unsigned char reply[R3_VFIO_USER_ARGSZ_MAX], struct vfio_region_info *said)
{
	struct {
		struct vfio_user_header header;
		struct vfio_region_info info;
	} message = {.info = {.argsz = R3_VFIO_USER_ARGSZ_MAX, .index = index}};
	int rc;

	r3_vfio_user_call_init(call, VFIO_USER_DEVICE_GET_REGION_INFO, &message, sizeof(message),
			       reply, R3_VFIO_USER_ARGSZ_MAX);
	call->takes_fds = true;
	rc = r3_vfio_user_call(v, call);
	if (rc < 0)
		return rc;
	rc = r3_vfio_user_checked(v, r3_vfio_user_got_region_info(&call->msg, &message.info, said));
	if (rc < 0)
		r3_stream_close_fds(call->fds, call->msg.nfds);
	return rc;
}

static int find(struct r3_vfio_user *v, unsigned index, struct r3_region_info *info)
{
	unsigned char reply[R3_VFIO_USER_ARGSZ_MAX];
	struct r3_vfio_user_sparse sparse = {.n = 0};
	struct r3_vfio_user_call call;
	struct vfio_region_info said;
	int rc = ask(v, index, &call, reply, &said), nsparse;

	if (rc == -EINVAL)
		return 0; /* it knows no such region */
	if (rc < 0)
		return r3_error_prefix(rc, "%s", v->name);
	nsparse = r3_vfio_user_sparse(&call.msg, &said, &sparse);
	if (nsparse < 0) {
		r3_stream_close_fds(call.fds, call.msg.nfds);
		return r3_vfio_user_checked(v, nsparse);
	}
	info->size = said.size;
	info->flags = said.flags & VFIO_REGION_INFO_FLAG_READ ? R3_REGION_READ : 0;
	info->flags |= said.flags & VFIO_REGION_INFO_FLAG_WRITE ? R3_REGION_WRITE : 0;
	if (index < 6)
		info->flags |= v->bar_flags[index];
	find_mapping(v, &call, &said, info, &sparse, nsparse);
	/* what is mapped as a whole needs no other way */
	if (info->size && index != R3_REGION_CONFIG &&
	    (!(info->flags & R3_REGION_MAPPABLE) || info->nareas))
		rc = r3_vfio_user_find_kicks(v, index, info->size);
	if (rc < 0 && info->close_fd)
		r3_fd_close(&info->fd);
	return rc;
}

int r3_vfio_user_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info)
{
	struct r3_kept_text text;
	int rc;

	/* what can be done without may fail on the way */
	r3_error_keep(&text);
	rc = find(r3_vfio_user_of(dev), index, info);
	if (rc == 0)
		r3_error_put_back(&text);
	return rc;
}
