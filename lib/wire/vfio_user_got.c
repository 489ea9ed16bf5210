/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies of vfio-user, checked by who asked: see vfio_user.h. */
#include "wire/vfio_user.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

static int odd(const struct r3_vfio_user_msg *msg, const char *what)
{
	return r3_error_set(EPROTO, "a reply to %s with %s (%u bytes, %u descriptors)",
			    r3_vfio_user_name(msg->header.cmd), what, msg->len, msg->nfds);
}

/* Copies the fixed part out, which has argsz first. */
static int info(const struct r3_vfio_user_msg *msg, void *out, size_t size)
{
	uint32_t argsz;

	if (msg->len < size)
		return odd(msg, "less than its structure");
	memcpy(out, msg->payload, size);
	memcpy(&argsz, out, sizeof(argsz));
	if (argsz < size)
		return odd(msg, "an argsz below its structure");
	return 0;
}

int r3_vfio_user_got_nothing(const struct r3_vfio_user_msg *msg)
{
	return msg->len || msg->nfds ? odd(msg, "more than its header") : 0;
}

int r3_vfio_user_got_dma_unmap(const struct r3_vfio_user_msg *msg,
			       const struct vfio_user_dma_unmap *asked)
{
	struct vfio_user_dma_unmap got;

	if (!msg->len && !msg->nfds)
		return 0;
	if (msg->len != sizeof(got) || msg->nfds)
		return odd(msg, "another size");
	memcpy(&got, msg->payload, sizeof(got));
	if (got.addr != asked->addr || got.size != asked->size)
		return odd(msg, "another range");
	return 0;
}

int r3_vfio_user_got_device_info(const struct r3_vfio_user_msg *msg,
				 struct vfio_user_device_info *out)
{
	int rc = info(msg, out, sizeof(*out));

	if (rc)
		return rc;
	if (msg->nfds)
		return odd(msg, "descriptors");
	if (out->num_regions > R3_VFIO_USER_REGIONS || out->num_irqs > R3_VFIO_USER_IRQS)
		return odd(msg, "more regions or interrupts than any device has");
	return 0;
}

int r3_vfio_user_got_region_info(const struct r3_vfio_user_msg *msg,
				 const struct vfio_region_info *asked, struct vfio_region_info *out)
{
	const unsigned known = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			       VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
	uint64_t end;
	int rc = info(msg, out, sizeof(*out));

	if (rc)
		return rc;
	if (out->index != asked->index)
		return odd(msg, "another region");
	out->flags &= out->size ? known : 0;
	if (out->argsz > R3_VFIO_USER_ARGSZ_MAX)
		return odd(msg, "an argsz beyond all measure");
	if (out->argsz <= asked->argsz && msg->len < out->argsz)
		return odd(msg, "less than its argsz");
	if (msg->nfds && !(out->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return odd(msg, "descriptors for what cannot be mapped");
	if (out->flags & VFIO_REGION_INFO_FLAG_MMAP &&
	    (__builtin_add_overflow(out->offset, out->size, &end) || end > INT64_MAX))
		return odd(msg, "an offset that no file has");
	return 0;
}

int r3_vfio_user_got_region_io_fds(const struct r3_vfio_user_msg *msg,
				   const struct vfio_user_region_io_fds *asked,
				   struct vfio_user_region_io_fds *out)
{
	int rc = info(msg, out, sizeof(*out));
	uint32_t array;

	if (rc)
		return rc;
	if (out->index != asked->index)
		return odd(msg, "another region");
	if (out->argsz > R3_VFIO_USER_ARGSZ_MAX)
		return odd(msg, "an argsz beyond all measure");
	if (out->argsz > asked->argsz)
		return msg->nfds ? odd(msg, "descriptors and no sub-regions") : 0;
	array = out->argsz - (uint32_t)sizeof(*out);
	if (msg->len < out->argsz || out->count > array / sizeof(struct vfio_user_sub_region))
		return odd(msg, "fewer sub-regions than it counts");
	return 0;
}

int r3_vfio_user_got_sub_region(const struct r3_vfio_user_msg *msg,
				const struct vfio_user_region_io_fds *head, uint32_t i,
				struct vfio_user_sub_region *out)
{
	/* The size of an entry is not to be relied on (VFIO_USER_DEVICE_GET_REGION_IO_FDS). */
	size_t each = (head->argsz - sizeof(*head)) / head->count;

	memcpy(out, msg->payload + sizeof(*head) + i * each, sizeof(*out));
	return out->fd_index < msg->nfds ? 0 : odd(msg, "an fd_index without its descriptor");
}

int r3_vfio_user_got_irq_info(const struct r3_vfio_user_msg *msg, const struct vfio_irq_info *asked,
			      struct vfio_irq_info *out)
{
	int rc = info(msg, out, sizeof(*out));

	if (rc)
		return rc;
	if (out->index != asked->index || msg->nfds)
		return odd(msg, "another interrupt");
	if (out->count > R3_VFIO_USER_VECTORS)
		return odd(msg, "more vectors than there are");
	return 0;
}

int r3_vfio_user_got_region_read(const struct r3_vfio_user_msg *msg,
				 const struct vfio_user_region_access *asked,
				 const unsigned char **data)
{
	struct vfio_user_region_access got;

	if (msg->nfds || msg->len != sizeof(got) + (uint64_t)asked->count)
		return odd(msg, "another size");
	memcpy(&got, msg->payload, sizeof(got));
	if (got.count != asked->count)
		return odd(msg, "another count");
	*data = msg->payload + sizeof(got);
	return 0;
}

int r3_vfio_user_got_region_write(const struct r3_vfio_user_msg *msg,
				  const struct vfio_user_region_access *asked)
{
	struct vfio_user_region_access got;

	if (msg->nfds || msg->len != sizeof(got))
		return odd(msg, "another size");
	memcpy(&got, msg->payload, sizeof(got));
	return !got.count || got.count == asked->count ? 0 : odd(msg, "another count");
}

int r3_vfio_user_got_write_multi(const struct r3_vfio_user_msg *msg, uint64_t n)
{
	struct vfio_user_write_multi got;

	if (msg->nfds || msg->len != sizeof(got))
		return odd(msg, "another size");
	memcpy(&got, msg->payload, sizeof(got));
	return got.wr_cnt == n ? 0 : odd(msg, "another count");
}

int r3_vfio_user_got_dma_read(const struct r3_vfio_user_msg *msg,
			      const struct vfio_user_dma_region_access *asked,
			      const unsigned char **data)
{
	struct vfio_user_dma_region_access got;

	if (msg->nfds || msg->len < sizeof(got) || msg->len - sizeof(got) != asked->count)
		return odd(msg, "another size");
	memcpy(&got, msg->payload, sizeof(got));
	if (got.count != asked->count)
		return odd(msg, "another count");
	*data = msg->payload + sizeof(got);
	return 0;
}

int r3_vfio_user_got_dma_write(const struct r3_vfio_user_msg *msg,
			       const struct vfio_user_dma_region_access *asked)
{
	struct vfio_user_dma_region_access got = {0};

	/* The table of the reply has a count of 4 bytes, that of the request one of 8. */
	if (msg->nfds || (msg->len != sizeof(got) && msg->len != sizeof(got) - 4))
		return odd(msg, "another size");
	memcpy(&got.addr, msg->payload, sizeof(got.addr));
	if (msg->len == sizeof(got)) {
		memcpy(&got.count, msg->payload + sizeof(got.addr), sizeof(got.count));
	} else {
		uint32_t count;

		memcpy(&count, msg->payload + sizeof(got.addr), sizeof(count));
		got.count = count;
	}
	return !got.count || got.count == asked->count ? 0 : odd(msg, "another count");
}
