/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user protocol, as QEMU's docs/interop/vhost-user.rst describes it: the control
 * plane between a front-end, which has virtqueues and the memory that they are in, and a
 * back-end, which is the device behind them. Names are the document's; every integer is in
 * the byte order of the machine, which both sides share.
 */
#ifndef RING3_SPEC_VHOST_USER_H
#define RING3_SPEC_VHOST_USER_H

#include <ring3/api.h>

#ifdef __cplusplus
#define VHOST_USER_ASSERT(what) static_assert(what, #what)
#else
#define VHOST_USER_ASSERT(what) _Static_assert(what, #what)
#endif

/* ---- the header, 12 bytes, and the payload behind it ---- */

struct vhost_user_header {
	uint32_t request; /* enum vhost_user_request, or vhost_user_backend_request */
	uint32_t flags;
	uint32_t size; /* bytes of payload */
};
VHOST_USER_ASSERT(sizeof(struct vhost_user_header) == 12);

#define VHOST_USER_VERSION         1u
#define VHOST_USER_VERSION_MASK    3u
#define VHOST_USER_FLAG_REPLY      (1u << 2)
#define VHOST_USER_FLAG_NEED_REPLY (1u << 3) /* with VHOST_USER_PROTOCOL_F_REPLY_ACK */

/* ---- feature bits, as numbers ---- */

/* Among the features of virtio: there are protocol features to be asked for. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30
/* Also there: whoever migrates wants to know what the back-end writes. */
#define VHOST_F_LOG_ALL 26

enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0, /* GET_QUEUE_NUM */
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3, /* NEED_REPLY */
	VHOST_USER_PROTOCOL_F_NET_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5, /* a channel for requests of the back-end */
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9, /* GET_CONFIG, SET_CONFIG, CONFIG_CHANGE_MSG */
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15, /* ADD_MEM_REG, REM_MEM_REG */
	VHOST_USER_PROTOCOL_F_STATUS = 16,
	VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,
	VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,
	VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
};

/* ---- requests of the front-end ---- */

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4, /* means nothing any more */
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11, /* and stop the ring */
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_SET_VRING_ENDIAN = 23,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_CREATE_CRYPTO_SESSION = 26,
	VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_VRING_KICK = 35,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_GET_SHARED_OBJECT = 41,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
};

/* ---- requests of the back-end, on the channel of SET_BACKEND_REQ_FD ---- */

enum vhost_user_backend_request {
	VHOST_USER_BACKEND_IOTLB_MSG = 1,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VHOST_USER_BACKEND_VRING_CALL = 4,
	VHOST_USER_BACKEND_VRING_ERR = 5,
	VHOST_USER_BACKEND_SHARED_OBJECT_ADD = 6,
	VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE = 7,
	VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP = 8,
};

/* ---- payloads besides a plain uint64_t ---- */

/** Of SET_VRING_NUM, _BASE, _ENABLE and GET_VRING_BASE. */
struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

/* What a base is for a packed ring: the place of the next available descriptor with the
 * driver's wrap counter, and in the upper half the same of the next used one. */
#define VHOST_USER_PACKED_WRAP (1u << 15)
#define VHOST_USER_PACKED_USED 16 /* shift */

/** Of SET_VRING_ADDR. The ring's parts are at user addresses. */
struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags; /* VHOST_USER_VRING_F_LOG */
	uint64_t descriptor;
	uint64_t used;      /* packed: device event suppression */
	uint64_t available; /* packed: driver event suppression */
	uint64_t log;
};
VHOST_USER_ASSERT(sizeof(struct vhost_user_vring_addr) == 40);

#define VHOST_USER_VRING_F_LOG (1u << 0)

/* The payload of SET_VRING_KICK, _CALL and _ERR. */
#define VHOST_USER_VRING_INDEX 0xffu
#define VHOST_USER_VRING_NOFD  (1u << 8) /* no descriptor comes with it: poll */

struct vhost_user_memory_region {
	uint64_t guest_address; /* by which descriptors of rings speak of it, */
	uint64_t size;
	uint64_t user_address; /* and by which SET_VRING_ADDR does */
	uint64_t mmap_offset;  /* in the file */
};

#define VHOST_USER_MEM_REGIONS 8

/** Of SET_MEM_TABLE, with a descriptor for each region. As long as its regions. */
struct vhost_user_memory {
	uint32_t nregions;
	uint32_t padding;
	struct vhost_user_memory_region region[VHOST_USER_MEM_REGIONS];
};
VHOST_USER_ASSERT(sizeof(struct vhost_user_memory) == 8 + 8 * 32);

/** Of ADD_MEM_REG and REM_MEM_REG. */
struct vhost_user_single_region {
	uint64_t padding;
	struct vhost_user_memory_region region;
};
VHOST_USER_ASSERT(sizeof(struct vhost_user_single_region) == 40);

#define VHOST_USER_CONFIG_SIZE_MAX 256

/** Of GET_CONFIG, SET_CONFIG. As long as its size says; the reply to a GET_CONFIG that
 *  failed has no payload. */
struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags; /* enum vhost_user_config_flags */
	uint8_t payload[VHOST_USER_CONFIG_SIZE_MAX];
};
#define VHOST_USER_CONFIG_HEADER 12u

enum vhost_user_config_flags {
	VHOST_USER_CONFIG_WRITABLE = 0, /* a driver writes what it may write */
	VHOST_USER_CONFIG_MIGRATION = 1,
};

struct vhost_user_log {
	uint64_t size;
	uint64_t offset;
};

struct vhost_user_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t user_address;
	uint8_t permissions;
	uint8_t type;
	uint8_t padding[6];
};
VHOST_USER_ASSERT(sizeof(struct vhost_user_iotlb) == 32);

struct vhost_user_vring_area {
	uint64_t index;
	uint64_t size;
	uint64_t offset;
};

struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
};
VHOST_USER_ASSERT(sizeof(struct vhost_user_inflight) == 24);

#endif
