/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user protocol 0.1: VFIO's device model as messages over a socket, the client
 * driving a device that the server has. Names are those of the specification (QEMU's
 * docs/interop/vfio-user.rst) and of linux/vfio.h, whose structures and constants it
 * reuses where it says so; sections are quoted by their titles. Every integer is in the
 * byte order of the host ("Protocol Specification"). Each structure follows the header
 * of its message.
 */
#ifndef RING3_SPEC_VFIO_USER_H
#define RING3_SPEC_VFIO_USER_H

#include <linux/vfio.h>
#include <ring3/api.h>

#ifdef __cplusplus
#define VFIO_USER_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define VFIO_USER_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#endif

#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 1

/* ---- commands ("Commands") ---- */

enum vfio_user_command {
	/* from the client */
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	/* from the server */
	VFIO_USER_DMA_READ = 11,
	VFIO_USER_DMA_WRITE = 12,
	/* from the client */
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_DIRTY_PAGES = 14, /* of drafts; 0.1 leaves the number unused */
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
	VFIO_USER_COMMANDS, /* one more than the last */
};

/* ---- the header of each message ("Header") ---- */

#define VFIO_USER_F_TYPE_MASK    0xfu
#define VFIO_USER_F_TYPE_COMMAND 0x0u
#define VFIO_USER_F_TYPE_REPLY   0x1u
#define VFIO_USER_F_NO_REPLY     (1u << 4)
#define VFIO_USER_F_ERROR        (1u << 5)

struct vfio_user_header {
	uint16_t msg_id; /* the sender's; echoed in the reply */
	uint16_t cmd;
	uint32_t msg_size; /* of the whole message, this header too */
	uint32_t flags;
	uint32_t error_no; /* where VFIO_USER_F_ERROR: an errno, or 0 */
};
VFIO_USER_SIZE(struct vfio_user_header, 16);

/* ---- VFIO_USER_VERSION, either direction ---- */

struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
	/* JSON text follows, with its terminating NUL; optional */
};
VFIO_USER_SIZE(struct vfio_user_version, 4);

/* What a capability is where the peer does not name it. */
#define VFIO_USER_DEFAULT_MAX_MSG_FDS        1u
#define VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE 1048576u
#define VFIO_USER_DEFAULT_MAX_DMA_MAPS       65535u
#define VFIO_USER_DEFAULT_PGSIZES            4096u

/* ---- memory (VFIO_USER_DMA_MAP, VFIO_USER_DMA_UNMAP) ---- */

#define VFIO_USER_F_DMA_REGION_READ  (1u << 0)
#define VFIO_USER_F_DMA_REGION_WRITE (1u << 1)

struct vfio_user_dma_map { /* the reply is the header alone */
	uint32_t argsz;    /* of this structure: there is no payload to come back */
	uint32_t flags;
	uint64_t offset; /* in the file whose descriptor comes along; 0 without one */
	uint64_t addr;
	uint64_t size;
};
VFIO_USER_SIZE(struct vfio_user_dma_map, 32);

/* Flags are unused in 0.1. Clients of QEMU send VFIO_DMA_UNMAP_FLAG_ALL with addr and size
 * of 0, those of drafts VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP with a vfio_user_bitmap. */
struct vfio_user_dma_unmap { /* the reply repeats it */
	uint32_t argsz;
	uint32_t flags;
	uint64_t addr;
	uint64_t size;
};
VFIO_USER_SIZE(struct vfio_user_dma_unmap, 24);

/* ---- the device (VFIO_USER_DEVICE_GET_INFO), request and reply ---- */

struct vfio_user_device_info { /* the first 16 bytes of struct vfio_device_info */
	uint32_t argsz;
	uint32_t flags; /* VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_FLAGS_PCI */
	uint32_t num_regions;
	uint32_t num_irqs;
};
VFIO_USER_SIZE(struct vfio_user_device_info, 16);

/* VFIO_USER_DEVICE_GET_REGION_INFO: struct vfio_region_info both ways, in a reply with its
 * chain of capabilities (VFIO_REGION_INFO_CAP_SPARSE_MMAP); a descriptor where
 * VFIO_REGION_INFO_FLAG_MMAP.
 * VFIO_USER_DEVICE_GET_IRQ_INFO: struct vfio_irq_info both ways.
 * VFIO_USER_DEVICE_SET_IRQS: struct vfio_irq_set, one byte per vector after it where
 * VFIO_IRQ_SET_DATA_BOOL, descriptors where VFIO_IRQ_SET_DATA_EVENTFD; an empty reply.
 * VFIO_USER_DEVICE_RESET: nothing, either way. */
VFIO_USER_SIZE(struct vfio_region_info, 32);
VFIO_USER_SIZE(struct vfio_irq_info, 16);
VFIO_USER_SIZE(struct vfio_irq_set, 20);

/* ---- VFIO_USER_DEVICE_GET_REGION_IO_FDS ---- */

#define VFIO_USER_IO_FD_TYPE_IOEVENTFD        0u
#define VFIO_USER_IO_FD_TYPE_IOREGIONFD       1u
#define VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW 2u /* libvfio-user's own */

struct vfio_user_region_io_fds { /* both ways; sub-regions follow in the reply */
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
VFIO_USER_SIZE(struct vfio_user_region_io_fds, 16);

struct vfio_user_sub_region { /* ioeventfd and ioregionfd alike */
	uint64_t offset;
	uint64_t size; /* of an access; 0: any */
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t padding;
	uint64_t datamatch; /* ioregionfd: user_data */
};
VFIO_USER_SIZE(struct vfio_user_sub_region, 40);

/* ---- access to regions and to the client's memory ---- */

struct vfio_user_region_access { /* VFIO_USER_REGION_READ, VFIO_USER_REGION_WRITE */
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	/* data: in the reply to a read, in the request of a write */
};
VFIO_USER_SIZE(struct vfio_user_region_access, 16);

struct vfio_user_dma_region_access { /* VFIO_USER_DMA_READ, VFIO_USER_DMA_WRITE */
	uint64_t addr;
	uint64_t count;
	/* data, likewise */
};
VFIO_USER_SIZE(struct vfio_user_dma_region_access, 16);

#define VFIO_USER_WRITE_MULTI_DATA 8u /* most bytes of one write */

struct vfio_user_write_multi { /* VFIO_USER_REGION_WRITE_MULTI, both ways */
	uint64_t wr_cnt;
	/* in the request: struct vfio_user_write_single of each */
};
VFIO_USER_SIZE(struct vfio_user_write_multi, 8);

struct vfio_user_write_single {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[VFIO_USER_WRITE_MULTI_DATA];
};
VFIO_USER_SIZE(struct vfio_user_write_single, 24);

/* ---- migration (VFIO_USER_DEVICE_FEATURE, VFIO_USER_MIG_DATA_READ and _WRITE) ---- */

struct vfio_user_device_feature { /* as struct vfio_device_feature */
	uint32_t argsz;
	uint32_t flags;
};
VFIO_USER_SIZE(struct vfio_user_device_feature, 8);

struct vfio_user_mig_data {
	uint32_t argsz;
	uint32_t size;
};
VFIO_USER_SIZE(struct vfio_user_mig_data, 8);

#endif
