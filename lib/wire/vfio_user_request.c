/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of vfio-user, checked by who receives them: see vfio_user.h. */
#include "wire/vfio_user.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

#define DATA_FLAGS   ((uint32_t)VFIO_IRQ_SET_DATA_TYPE_MASK)
#define ACTION_FLAGS ((uint32_t)VFIO_IRQ_SET_ACTION_TYPE_MASK)
#define UNMAP_ALL    ((uint32_t)VFIO_DMA_UNMAP_FLAG_ALL)

static const char *name(const struct r3_vfio_user_msg *msg)
{
	return r3_vfio_user_name(msg->header.cmd);
}

/* Is the fixed part there, whole? Copies it out. More may follow where @exact is false. */
static int fixed(const struct r3_vfio_user_msg *msg, void *out, size_t size, bool exact)
{
	if (msg->len < size || (exact && msg->len > size))
		return r3_error_set(EINVAL, "%s with %u bytes instead of %zu", name(msg), msg->len,
				    size);
	memcpy(out, msg->payload, size);
	return 0;
}

static int no_fds(const struct r3_vfio_user_msg *msg)
{
	if (msg->nfds)
		return r3_error_set(EINVAL, "%s with %u descriptors, which it has no use for",
				    name(msg), msg->nfds);
	return 0;
}

/* argsz is the first field of those who have one. */
static int enough(const struct r3_vfio_user_msg *msg, uint32_t argsz, size_t size)
{
	if (argsz < size)
		return r3_error_set(EINVAL, "%s with argsz %u, less than %zu", name(msg), argsz,
				    size);
	return 0;
}

/* A structure that is request and reply alike, whose size of the reply is in argsz. */
static int info(const struct r3_vfio_user_msg *msg, void *out, size_t size)
{
	uint32_t argsz;
	int rc = fixed(msg, out, size, false);

	if (rc)
		return rc;
	memcpy(&argsz, out, sizeof(argsz));
	rc = enough(msg, argsz, size);
	return rc ? rc : no_fds(msg);
}

int r3_vfio_user_get_version(const struct r3_vfio_user_msg *msg, struct vfio_user_version *out,
			     const char **text, size_t *len)
{
	int rc = fixed(msg, out, sizeof(*out), false);
	size_t bytes;

	if (rc)
		return rc;
	*text = NULL;
	*len = 0;
	bytes = msg->len - sizeof(*out);
	if (!bytes)
		return 0;
	*text = (const char *)msg->payload + sizeof(*out);
	if (memchr(*text, 0, bytes) != *text + bytes - 1)
		return r3_error_set(EINVAL, "%s whose text does not end with its only NUL",
				    name(msg));
	*len = bytes - 1;
	if (!*len)
		*text = NULL;
	return 0;
}

int r3_vfio_user_get_dma_map(const struct r3_vfio_user_msg *msg, struct vfio_user_dma_map *out)
{
	const unsigned known = VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE;
	uint64_t sum;
	int rc = fixed(msg, out, sizeof(*out), true);

	if (!rc)
		rc = enough(msg, out->argsz, sizeof(*out));
	if (rc)
		return rc;
	if (out->flags & ~known)
		return r3_error_set(EINVAL, "%s with unknown flags 0x%x", name(msg), out->flags);
	if (!out->size || __builtin_add_overflow(out->addr, out->size - 1, &sum))
		return r3_error_set(EINVAL, "%s of 0x%llx bytes at 0x%llx", name(msg),
				    (unsigned long long)out->size, (unsigned long long)out->addr);
	if (msg->nfds > 1)
		return r3_error_set(EINVAL, "%s with %u descriptors", name(msg), msg->nfds);
	if (!msg->nfds && out->offset)
		return r3_error_set(EINVAL, "%s with an offset and no descriptor", name(msg));
	if (__builtin_add_overflow(out->offset, out->size, &sum) || sum > INT64_MAX)
		return r3_error_set(EINVAL, "%s of 0x%llx bytes at 0x%llx of its file", name(msg),
				    (unsigned long long)out->size, (unsigned long long)out->offset);
	return 0;
}

int r3_vfio_user_get_dma_unmap(const struct r3_vfio_user_msg *msg, struct vfio_user_dma_unmap *out)
{
	uint64_t last;
	int rc = info(msg, out, sizeof(*out));

	if (rc)
		return rc;
	if (out->flags & ~UNMAP_ALL)
		return r3_error_set(ENOTSUP, "%s with flags 0x%x: dirty pages are not tracked",
				    name(msg), out->flags);
	if (out->flags) {
		if (out->addr || out->size)
			return r3_error_set(EINVAL, "%s of all, and of 0x%llx bytes", name(msg),
					    (unsigned long long)out->size);
	} else if (!out->size || __builtin_add_overflow(out->addr, out->size - 1, &last)) {
		return r3_error_set(EINVAL, "%s of 0x%llx bytes at 0x%llx", name(msg),
				    (unsigned long long)out->size, (unsigned long long)out->addr);
	}
	return 0;
}

int r3_vfio_user_get_device_info(const struct r3_vfio_user_msg *msg,
				 struct vfio_user_device_info *out)
{
	return info(msg, out, sizeof(*out));
}

int r3_vfio_user_get_region_info(const struct r3_vfio_user_msg *msg, struct vfio_region_info *out)
{
	return info(msg, out, sizeof(*out));
}

int r3_vfio_user_get_region_io_fds(const struct r3_vfio_user_msg *msg,
				   struct vfio_user_region_io_fds *out)
{
	int rc = info(msg, out, sizeof(*out));

	if (!rc && (out->flags || out->count))
		rc = r3_error_set(EINVAL, "%s with flags 0x%x and count %u: both must be 0",
				  name(msg), out->flags, out->count);
	return rc;
}

int r3_vfio_user_get_irq_info(const struct r3_vfio_user_msg *msg, struct vfio_irq_info *out)
{
	return info(msg, out, sizeof(*out));
}

static bool one_bit(uint32_t bits)
{
	return bits && !(bits & (bits - 1));
}

int r3_vfio_user_get_set_irqs(const struct r3_vfio_user_msg *msg, struct vfio_irq_set *out,
			      const unsigned char **bools)
{
	size_t fixed_size = sizeof(*out), data;
	uint32_t end, kind;
	int rc = fixed(msg, out, fixed_size, false);

	if (rc)
		return rc;
	kind = out->flags & DATA_FLAGS;
	if (!one_bit(kind) || !one_bit(out->flags & ACTION_FLAGS) ||
	    out->flags & ~(DATA_FLAGS | ACTION_FLAGS))
		return r3_error_set(EINVAL, "%s with flags 0x%x: one action and one kind of data",
				    name(msg), out->flags);
	if (__builtin_add_overflow(out->start, out->count, &end))
		return r3_error_set(EINVAL, "%s of %u vectors from %u on", name(msg), out->count,
				    out->start);
	if (!out->count &&
	    (out->start || out->flags != (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)))
		return r3_error_set(EINVAL, "%s of no vectors, flags 0x%x", name(msg), out->flags);
	data = kind == VFIO_IRQ_SET_DATA_BOOL ? out->count : 0;
	if (out->argsz != msg->len || msg->len != fixed_size + data)
		return r3_error_set(EINVAL, "%s with argsz %u and %u bytes instead of %zu",
				    name(msg), out->argsz, msg->len, fixed_size + data);
	if (kind == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (msg->nfds && msg->nfds != out->count)
			return r3_error_set(EINVAL, "%s of %u vectors with %u descriptors",
					    name(msg), out->count, msg->nfds);
	} else {
		rc = no_fds(msg);
		if (rc)
			return rc;
	}
	*bools = data ? msg->payload + fixed_size : NULL;
	return 0;
}

/* Count and end of an access, whose message has @data bytes of it. */
static int access_of(const struct r3_vfio_user_msg *msg, uint64_t at, uint64_t count, uint64_t xfer,
		     uint64_t data)
{
	uint64_t last;

	if (!count || count > xfer)
		return r3_error_set(EINVAL, "%s of %llu bytes: between 1 and %llu are possible",
				    name(msg), (unsigned long long)count, (unsigned long long)xfer);
	if (__builtin_add_overflow(at, count - 1, &last))
		return r3_error_set(EINVAL, "%s of %llu bytes at 0x%llx", name(msg),
				    (unsigned long long)count, (unsigned long long)at);
	if (data != msg->len - sizeof(struct vfio_user_region_access))
		return r3_error_set(EINVAL, "%s of %llu bytes with a message of %u", name(msg),
				    (unsigned long long)count, msg->len);
	return no_fds(msg);
}

int r3_vfio_user_get_region_read(const struct r3_vfio_user_msg *msg, uint32_t xfer,
				 struct vfio_user_region_access *out)
{
	int rc = fixed(msg, out, sizeof(*out), true);

	return rc ? rc : access_of(msg, out->offset, out->count, xfer, 0);
}

int r3_vfio_user_get_region_write(const struct r3_vfio_user_msg *msg, uint32_t xfer,
				  struct vfio_user_region_access *out, const unsigned char **data)
{
	int rc = fixed(msg, out, sizeof(*out), false);

	*data = msg->payload + sizeof(*out);
	return rc ? rc : access_of(msg, out->offset, out->count, xfer, out->count);
}

int r3_vfio_user_get_dma_read(const struct r3_vfio_user_msg *msg, uint32_t xfer,
			      struct vfio_user_dma_region_access *out)
{
	int rc = fixed(msg, out, sizeof(*out), true);

	return rc ? rc : access_of(msg, out->addr, out->count, xfer, 0);
}

int r3_vfio_user_get_dma_write(const struct r3_vfio_user_msg *msg, uint32_t xfer,
			       struct vfio_user_dma_region_access *out, const unsigned char **data)
{
	int rc = fixed(msg, out, sizeof(*out), false);

	*data = msg->payload + sizeof(*out);
	return rc ? rc : access_of(msg, out->addr, out->count, xfer, out->count);
}

int r3_vfio_user_get_write_multi(const struct r3_vfio_user_msg *msg, uint64_t *n)
{
	struct vfio_user_write_multi head = {0};
	int rc = fixed(msg, &head, sizeof(head), false);

	if (rc)
		return rc;
	if (!head.wr_cnt ||
	    head.wr_cnt > (msg->len - sizeof(head)) / sizeof(struct vfio_user_write_single))
		return r3_error_set(EINVAL, "%s of %llu writes in %u bytes", name(msg),
				    (unsigned long long)head.wr_cnt, msg->len);
	*n = head.wr_cnt;
	return no_fds(msg);
}

int r3_vfio_user_get_write(const struct r3_vfio_user_msg *msg, uint64_t i,
			   struct vfio_user_write_single *out)
{
	uint64_t last;

	memcpy(out, msg->payload + sizeof(struct vfio_user_write_multi) + i * sizeof(*out),
	       sizeof(*out));
	if (!out->count || out->count > sizeof(out->data) ||
	    __builtin_add_overflow(out->offset, out->count - 1, &last))
		return r3_error_set(EINVAL, "%s with a write of %u bytes at 0x%llx", name(msg),
				    out->count, (unsigned long long)out->offset);
	return 0;
}

int r3_vfio_user_get_reset(const struct r3_vfio_user_msg *msg)
{
	char nothing;
	int rc = fixed(msg, &nothing, 0, true);

	return rc ? rc : no_fds(msg);
}

int r3_vfio_user_get_unsupported(const struct r3_vfio_user_msg *msg)
{
	struct vfio_user_mig_data data = {0};
	struct vfio_user_device_feature feature = {0};
	int rc = 0;

	switch (msg->header.cmd) {
	case VFIO_USER_MIG_DATA_READ:
		rc = fixed(msg, &data, sizeof(data), true);
		break;
	case VFIO_USER_MIG_DATA_WRITE:
		rc = fixed(msg, &data, sizeof(data), false);
		if (!rc && data.size != msg->len - sizeof(data))
			rc = r3_error_set(EINVAL, "%s of %u bytes with a message of %u", name(msg),
					  data.size, msg->len);
		break;
	case VFIO_USER_DEVICE_FEATURE:
	case VFIO_USER_DIRTY_PAGES: /* both begin with argsz and flags */
		rc = fixed(msg, &feature, sizeof(feature), false);
		if (!rc)
			rc = enough(msg, feature.argsz, sizeof(feature));
		break;
	default:
		if (msg->header.cmd > 0 && msg->header.cmd < VFIO_USER_COMMANDS)
			return r3_error_set(EINVAL, "%s is not for this side", name(msg));
		return r3_error_set(ENOTSUP, "unknown command %u", msg->header.cmd);
	}
	if (!rc)
		rc = no_fds(msg);
	return rc ? rc : r3_error_set(ENOTSUP, "%s is not supported", name(msg));
}
