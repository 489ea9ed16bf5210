/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of vfio-user 0.1 (ring3/spec/vfio_user.h), encoded, decoded and checked: what
 * its client and its server share, and no more. Pure functions over buffers.
 *
 * Each message type has a function per direction, which takes a received message, checks all
 * that can be checked without knowing the device (size, argsz, flags, counts, how many
 * descriptors) and copies the fixed part out. A message refused by one leaves a text; its
 * error is what an error reply to it should say, unless the function tells otherwise. What
 * the device makes of an index, an offset or an address is the caller's to check.
 */
#ifndef RING3_WIRE_VFIO_USER_H
#define RING3_WIRE_VFIO_USER_H

#include <ring3/spec/vfio_user.h>

/** Most descriptors of one message that either side of ours takes; no client or server known
 *  takes more (QEMU refuses a peer that says so). */
#define R3_VFIO_USER_FDS 16

/** The most that we say and accept as max_data_xfer_size: buffers of this size are what each
 *  peer costs. */
#define R3_VFIO_USER_XFER 65536u

/** The longest message of a session with max_data_xfer_size of @xfer. */
#define R3_VFIO_USER_MESSAGE_MAX(xfer) \
	(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access) + (xfer))

/** What a client of ours believes in: regions, interrupt indexes, vectors of one. */
#define R3_VFIO_USER_REGIONS 128
#define R3_VFIO_USER_IRQS    64
#define R3_VFIO_USER_VECTORS 2048 /* an MSI-X table's (PCI 3.0, 6.8.2.3) */

/** A received message, whose header r3_vfio_user_check_header() has passed. */
struct r3_vfio_user_msg {
	struct vfio_user_header header;
	const unsigned char *payload; /* header.msg_size less the header */
	uint32_t len;
	unsigned nfds;
};

/** "VFIO_USER_DMA_MAP"; "unknown command". */
const char *r3_vfio_user_name(unsigned cmd);

/** Is @cmd one that the server (or the client) receives as a request? */
bool r3_vfio_user_for_server(unsigned cmd);
bool r3_vfio_user_for_client(unsigned cmd);

/* ---- headers ---- */

/** Fill the header of a request, or of the reply to @request, that @payload bytes follow. */
void r3_vfio_user_request(struct vfio_user_header *out, uint16_t id, unsigned cmd, size_t payload);
void r3_vfio_user_reply(struct vfio_user_header *out, const struct vfio_user_header *request,
			size_t payload);

/** The whole error reply to @request; @err is a positive errno. */
void r3_vfio_user_error(struct vfio_user_header *out, const struct vfio_user_header *request,
			int err);

static inline bool r3_vfio_user_is_reply(const struct vfio_user_header *header)
{
	return (header->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY;
}

/** May whoever sent @header be believed further? -EPROTO: no, hang up: without a sane size
 *  nobody knows where the next message begins. @max: the longest message there can be. */
int r3_vfio_user_check_header(const struct vfio_user_header *header, size_t max);

/** Is @msg the reply to @request? 0, or
 *  -EPROTO it is not, or is malformed: hang up;
 *  -EREMOTEIO an error reply, and *err the peer's errno (1..4095; EIO where it said none). */
int r3_vfio_user_check_reply(const struct r3_vfio_user_msg *msg,
			     const struct vfio_user_header *request, int *err);

/* ---- requests, as the server receives them ----
 * Errors of all: EINVAL (the text says what); ENOTSUP where so documented. Fields that
 * "must be zero" and that nothing depends on are not looked at: foreign clients leave
 * garbage there. */

/** VFIO_USER_VERSION, request or reply: *text (of *len bytes, without the NUL; NULL where
 *  there is none) points into the message. For vfio_user_caps.h. */
int r3_vfio_user_get_version(const struct r3_vfio_user_msg *msg, struct vfio_user_version *out,
			     const char **text, size_t *len);

/** One descriptor or none; addr + size does not wrap; offset 0 without a descriptor, and
 *  offset + size no file offset that wraps. */
int r3_vfio_user_get_dma_map(const struct r3_vfio_user_msg *msg, struct vfio_user_dma_map *out);

/** @out->flags is 0, or VFIO_DMA_UNMAP_FLAG_ALL with addr and size 0. ENOTSUP: a dirty bitmap
 *  is asked for, or a flag is unknown. */
int r3_vfio_user_get_dma_unmap(const struct r3_vfio_user_msg *msg, struct vfio_user_dma_unmap *out);

int r3_vfio_user_get_device_info(const struct r3_vfio_user_msg *msg,
				 struct vfio_user_device_info *out);
int r3_vfio_user_get_region_info(const struct r3_vfio_user_msg *msg, struct vfio_region_info *out);
int r3_vfio_user_get_region_io_fds(const struct r3_vfio_user_msg *msg,
				   struct vfio_user_region_io_fds *out);
int r3_vfio_user_get_irq_info(const struct r3_vfio_user_msg *msg, struct vfio_irq_info *out);

/** Exactly one action and one kind of data. *bools points to @out->count bytes of the message
 *  where VFIO_IRQ_SET_DATA_BOOL, else NULL. Where VFIO_IRQ_SET_DATA_EVENTFD, as many
 *  descriptors as @out->count, or none: unassign. start + count does not wrap; count 0 only
 *  with VFIO_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_ACTION_TRIGGER and start 0: turn the index off. */
int r3_vfio_user_get_set_irqs(const struct r3_vfio_user_msg *msg, struct vfio_irq_set *out,
			      const unsigned char **bools);

/** @xfer is our max_data_xfer_size; count is 1..@xfer, offset + count does not wrap. *data
 *  points to @out->count bytes of the message. */
int r3_vfio_user_get_region_read(const struct r3_vfio_user_msg *msg, uint32_t xfer,
				 struct vfio_user_region_access *out);
int r3_vfio_user_get_region_write(const struct r3_vfio_user_msg *msg, uint32_t xfer,
				  struct vfio_user_region_access *out, const unsigned char **data);

/** *n writes, of which r3_vfio_user_get_write() copies out number @i < *n, checked as above.
 *  More bytes may follow: QEMU sends its array whole. */
int r3_vfio_user_get_write_multi(const struct r3_vfio_user_msg *msg, uint64_t *n);
int r3_vfio_user_get_write(const struct r3_vfio_user_msg *msg, uint64_t i,
			   struct vfio_user_write_single *out);

/** VFIO_USER_DEVICE_RESET: nothing but the header. */
int r3_vfio_user_get_reset(const struct r3_vfio_user_msg *msg);

/** VFIO_USER_DIRTY_PAGES, VFIO_USER_DEVICE_FEATURE, VFIO_USER_MIG_DATA_*, and any command that
 *  is unknown or not the receiver's: always fails. ENOTSUP unknown, or well-formed and not
 *  supported. */
int r3_vfio_user_get_unsupported(const struct r3_vfio_user_msg *msg);

/* ---- requests, as the client receives them ---- */

/** As the region accesses; EINVAL also where addr + count wraps. */
int r3_vfio_user_get_dma_read(const struct r3_vfio_user_msg *msg, uint32_t xfer,
			      struct vfio_user_dma_region_access *out);
int r3_vfio_user_get_dma_write(const struct r3_vfio_user_msg *msg, uint32_t xfer,
			       struct vfio_user_dma_region_access *out, const unsigned char **data);

/* ---- replies without an error, which r3_vfio_user_check_reply() has passed ----
 * All fail with EPROTO: a server (for DMA_READ and DMA_WRITE a client) that answers so is not
 * believed further. @asked is what was requested. Where servers differ the answer is taken:
 * an offset, a region or an address that is not echoed, a count of 0 for a write (drafts), an
 * unmap that repeats nothing. */

/** Nothing but the header: DMA_MAP, SET_IRQS, RESET. */
int r3_vfio_user_got_nothing(const struct r3_vfio_user_msg *msg);
int r3_vfio_user_got_dma_unmap(const struct r3_vfio_user_msg *msg,
			       const struct vfio_user_dma_unmap *asked);
/** At most R3_VFIO_USER_REGIONS and R3_VFIO_USER_IRQS. */
int r3_vfio_user_got_device_info(const struct r3_vfio_user_msg *msg,
				 struct vfio_user_device_info *out);
/** The capabilities are for r3_vfio_user_sparse(). Where @out->argsz exceeds @asked->argsz the
 *  reply has none: ask again with that much, at most R3_VFIO_USER_ARGSZ_MAX. Descriptors come
 *  only with VFIO_REGION_INFO_FLAG_MMAP; all are of one file (libvfio-user sends one for each
 *  area), and where none came the region cannot be mapped. Flags that are unknown and flags
 *  of a region of size 0 are cleared. */
#define R3_VFIO_USER_ARGSZ_MAX 4096u
int r3_vfio_user_got_region_info(const struct r3_vfio_user_msg *msg,
				 const struct vfio_region_info *asked,
				 struct vfio_region_info *out);
/** As before; where @out->argsz fits, r3_vfio_user_got_sub_region() copies out number
 *  @i < @out->count, whose fd_index is below the number of descriptors. */
int r3_vfio_user_got_region_io_fds(const struct r3_vfio_user_msg *msg,
				   const struct vfio_user_region_io_fds *asked,
				   struct vfio_user_region_io_fds *out);
int r3_vfio_user_got_sub_region(const struct r3_vfio_user_msg *msg,
				const struct vfio_user_region_io_fds *info, uint32_t i,
				struct vfio_user_sub_region *out);
/** At most R3_VFIO_USER_VECTORS. */
int r3_vfio_user_got_irq_info(const struct r3_vfio_user_msg *msg, const struct vfio_irq_info *asked,
			      struct vfio_irq_info *out);
/** *data points to @asked->count bytes of the message. */
int r3_vfio_user_got_region_read(const struct r3_vfio_user_msg *msg,
				 const struct vfio_user_region_access *asked,
				 const unsigned char **data);
int r3_vfio_user_got_region_write(const struct r3_vfio_user_msg *msg,
				  const struct vfio_user_region_access *asked);
/** @n: how many writes were asked for; all of them were done. */
int r3_vfio_user_got_write_multi(const struct r3_vfio_user_msg *msg, uint64_t n);
int r3_vfio_user_got_dma_read(const struct r3_vfio_user_msg *msg,
			      const struct vfio_user_dma_region_access *asked,
			      const unsigned char **data);
int r3_vfio_user_got_dma_write(const struct r3_vfio_user_msg *msg,
			       const struct vfio_user_dma_region_access *asked);

/* ---- capabilities of a region ("VFIO region capabilities") ---- */

#define R3_VFIO_USER_AREAS 8

/** The parts of a region that can be mapped; offsets are the region's. */
struct r3_vfio_user_sparse {
	unsigned n;
	struct vfio_region_sparse_mmap_area area[R3_VFIO_USER_AREAS];
};

/** Read the chain of a reply that has it (@info, from r3_vfio_user_got_region_info()).
 *  Returns 1 where there is a sparse mmap capability, 0 where there is none (all of a
 *  mappable region can be mapped). Areas beyond R3_VFIO_USER_AREAS are left out, empty ones
 *  too; all lie inside the region, in the order of the message. EPROTO: a chain that leaves
 *  the message, runs in a circle, or has areas outside the region. */
int r3_vfio_user_sparse(const struct r3_vfio_user_msg *msg, const struct vfio_region_info *info,
			struct r3_vfio_user_sparse *out);

#define R3_VFIO_USER_REGION_REPLY_MAX \
	(sizeof(struct vfio_region_info) + sizeof(struct vfio_region_info_cap_sparse_mmap) + \
	 R3_VFIO_USER_AREAS * sizeof(struct vfio_region_sparse_mmap_area))

/** Write the payload of the reply to a GET_REGION_INFO with @argsz: @info (whose index, flags,
 *  size and offset are the caller's), and @sparse unless NULL. Where that is more than
 *  @argsz, the reply is @info alone and says how much is needed. Returns its length. */
size_t r3_vfio_user_put_region_info(unsigned char out[R3_VFIO_USER_REGION_REPLY_MAX],
				    uint32_t argsz, const struct vfio_region_info *info,
				    const struct r3_vfio_user_sparse *sparse);

#endif
