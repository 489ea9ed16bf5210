/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of every type, good and bad in each way that can be told without a device. */
#include "wire/test_vfio_user_rows.h"

#include <errno.h>

#define XFER 4096u

static unsigned good(unsigned cmd, unsigned char payload[ROW_BYTES])
{
	const struct vfio_user_dma_map map = {sizeof(map), 3, 0x2000, 0x100000, 0x4000};
	const struct vfio_user_dma_unmap unmap = {sizeof(unmap), 0, 0x100000, 0x4000};
	const struct vfio_user_device_info device = {.argsz = sizeof(device)};
	const struct vfio_region_info region = {.argsz = sizeof(region), .index = 2};
	const struct vfio_user_region_io_fds io = {.argsz = sizeof(io), .index = 2};
	const struct vfio_irq_info irq = {.argsz = sizeof(irq), .index = 2};
	const struct vfio_irq_set set = {
		sizeof(set), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 1, 2};
	const struct vfio_user_region_access access = {0x10, 2, 4};
	const struct vfio_user_dma_region_access dma = {0x1000, 4};
	const struct vfio_user_write_multi multi = {2};
	const struct vfio_user_write_single single = {0x10, 2, 8, {1, 2, 3, 4, 5, 6, 7, 8}};
	const struct vfio_user_device_feature feature = {sizeof(feature), 0x10001};
	const struct vfio_user_mig_data mig = {sizeof(mig) + 4, 4};

#define GOOD(what) (memcpy(payload, &(what), sizeof(what)), (unsigned)sizeof(what))
	switch (cmd) {
	case VFIO_USER_VERSION:
		memcpy(payload, "\0\0\1\0{}", 7);
		return 7;
	case VFIO_USER_DMA_MAP:
		return GOOD(map);
	case VFIO_USER_DMA_UNMAP:
		return GOOD(unmap);
	case VFIO_USER_DEVICE_GET_INFO:
		return GOOD(device);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return GOOD(region);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		return GOOD(io);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return GOOD(irq);
	case VFIO_USER_DEVICE_SET_IRQS:
		return GOOD(set);
	case VFIO_USER_REGION_READ:
		return GOOD(access);
	case VFIO_USER_REGION_WRITE:
		return GOOD(access) + 4;
	case VFIO_USER_DMA_READ:
		return GOOD(dma);
	case VFIO_USER_DMA_WRITE:
		return GOOD(dma) + 4;
	case VFIO_USER_REGION_WRITE_MULTI:
		memcpy(payload + sizeof(multi), &single, sizeof(single));
		memcpy(payload + sizeof(multi) + sizeof(single), &single, sizeof(single));
		return GOOD(multi) + 2 * (unsigned)sizeof(single);
	case VFIO_USER_DIRTY_PAGES:
	case VFIO_USER_DEVICE_FEATURE:
		return GOOD(feature);
	case VFIO_USER_MIG_DATA_READ:
		return GOOD(mig);
	case VFIO_USER_MIG_DATA_WRITE:
		return GOOD(mig) + 4;
	default: /* VFIO_USER_DEVICE_RESET, and commands that nobody knows */
		return 0;
	}
#undef GOOD
}

static int check(const struct r3_vfio_user_msg *msg)
{
	union {
		struct vfio_user_version version;
		struct vfio_user_dma_map map;
		struct vfio_user_dma_unmap unmap;
		struct vfio_user_device_info device;
		struct vfio_region_info region;
		struct vfio_user_region_io_fds io;
		struct vfio_irq_info irq;
		struct vfio_irq_set set;
		struct vfio_user_region_access access;
		struct vfio_user_dma_region_access dma;
		struct vfio_user_write_single single;
	} out;
	const unsigned char *data = NULL;
	const char *text;
	uint64_t n;
	size_t len;
	int rc;

	switch (msg->header.cmd) {
	case VFIO_USER_VERSION:
		rc = r3_vfio_user_get_version(msg, &out.version, &text, &len);
		if (!rc && text)
			assert_int_equal(strlen(text), len);
		return rc;
	case VFIO_USER_DMA_MAP:
		return r3_vfio_user_get_dma_map(msg, &out.map);
	case VFIO_USER_DMA_UNMAP:
		return r3_vfio_user_get_dma_unmap(msg, &out.unmap);
	case VFIO_USER_DEVICE_GET_INFO:
		return r3_vfio_user_get_device_info(msg, &out.device);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return r3_vfio_user_get_region_info(msg, &out.region);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		return r3_vfio_user_get_region_io_fds(msg, &out.io);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return r3_vfio_user_get_irq_info(msg, &out.irq);
	case VFIO_USER_DEVICE_SET_IRQS:
		rc = r3_vfio_user_get_set_irqs(msg, &out.set, &data);
		if (!rc && data)
			assert_ptr_equal(data, msg->payload + 20);
		return rc;
	case VFIO_USER_REGION_READ:
		return r3_vfio_user_get_region_read(msg, XFER, &out.access);
	case VFIO_USER_REGION_WRITE:
		rc = r3_vfio_user_get_region_write(msg, XFER, &out.access, &data);
		if (!rc)
			assert_ptr_equal(data, msg->payload + 16);
		return rc;
	case VFIO_USER_DMA_READ:
		return r3_vfio_user_get_dma_read(msg, XFER, &out.dma);
	case VFIO_USER_DMA_WRITE:
		rc = r3_vfio_user_get_dma_write(msg, XFER, &out.dma, &data);
		if (!rc)
			assert_ptr_equal(data, msg->payload + 16);
		return rc;
	case VFIO_USER_REGION_WRITE_MULTI:
		rc = r3_vfio_user_get_write_multi(msg, &n);
		for (uint64_t i = 0; !rc && i < n; i++)
			rc = r3_vfio_user_get_write(msg, i, &out.single);
		return rc;
	case VFIO_USER_DEVICE_RESET:
		return r3_vfio_user_get_reset(msg);
	default:
		return r3_vfio_user_get_unsupported(msg);
	}
}

#define EVENTFD 4u /* VFIO_IRQ_SET_DATA_* and _ACTION_* as the specification numbers them */
#define BOOL    2u
#define NONE    1u
#define MASK    8u
#define UNMASK  16u
#define TRIGGER 32u

static const struct row rows[] = {
	{VFIO_USER_VERSION, "with JSON", 0},
	{VFIO_USER_VERSION, "without data", 0, -3},
	{VFIO_USER_VERSION, "with an empty text", 0, -2, .set = {{4, 1, 0}}},
	{VFIO_USER_VERSION, "without a minor", -EINVAL, -4},
	{VFIO_USER_VERSION, "without its NUL", -EINVAL, .set = {{6, 1, 'x'}}},
	{VFIO_USER_VERSION, "with a NUL in the midst", -EINVAL, .set = {{5, 1, 0}}},

	{VFIO_USER_DMA_MAP, "with a file", 0, .nfds = 1},
	{VFIO_USER_DMA_MAP, "without one", 0, .set = {{8, 8, 0}}},
	{VFIO_USER_DMA_MAP, "of what nobody may use", 0, .nfds = 1, .set = {{4, 4, 0}}},
	{VFIO_USER_DMA_MAP, "up to the end of all addresses", 0, .nfds = 1,
	 .set = {{16, 8, UINT64_MAX - 0x3fff}}},
	{VFIO_USER_DMA_MAP, "too short", -EINVAL, -1, 1},
	{VFIO_USER_DMA_MAP, "too long", -EINVAL, 1, 1},
	{VFIO_USER_DMA_MAP, "with argsz too small", -EINVAL, .nfds = 1, .set = {{0, 4, 31}}},
	{VFIO_USER_DMA_MAP, "with an unknown flag", -EINVAL, .nfds = 1, .set = {{4, 4, 4}}},
	{VFIO_USER_DMA_MAP, "of nothing", -EINVAL, .nfds = 1, .set = {{24, 8, 0}}},
	{VFIO_USER_DMA_MAP, "that wraps", -EINVAL, .nfds = 1,
	 .set = {{16, 8, UINT64_MAX - 0x3ffe}}},
	{VFIO_USER_DMA_MAP, "of all addresses", -EINVAL, .nfds = 1,
	 .set = {{16, 8, 0}, {24, 8, UINT64_MAX}}},
	{VFIO_USER_DMA_MAP, "with two descriptors", -EINVAL, .nfds = 2},
	{VFIO_USER_DMA_MAP, "with an offset into no file", -EINVAL},
	{VFIO_USER_DMA_MAP, "at an offset that wraps", -EINVAL, .nfds = 1,
	 .set = {{8, 8, UINT64_MAX - 0xfff}}},
	{VFIO_USER_DMA_MAP, "at an offset that no file has", -EINVAL, .nfds = 1,
	 .set = {{8, 8, INT64_MAX - 0x3ffe}}},

	{VFIO_USER_DMA_UNMAP, "", 0},
	{VFIO_USER_DMA_UNMAP, "of all", 0, .set = {{4, 4, 2}, {8, 8, 0}, {16, 8, 0}}},
	{VFIO_USER_DMA_UNMAP, "too short", -EINVAL, -1},
	{VFIO_USER_DMA_UNMAP, "with argsz too small", -EINVAL, .set = {{0, 4, 23}}},
	{VFIO_USER_DMA_UNMAP, "with a dirty bitmap", -ENOTSUP, 24, .set = {{4, 4, 1}}},
	{VFIO_USER_DMA_UNMAP, "with an unknown flag", -ENOTSUP, .set = {{4, 4, 0x80}}},
	{VFIO_USER_DMA_UNMAP, "of all and of a size", -EINVAL, .set = {{4, 4, 2}, {8, 8, 0}}},
	{VFIO_USER_DMA_UNMAP, "of all and of an address", -EINVAL, .set = {{4, 4, 2}, {16, 8, 0}}},
	{VFIO_USER_DMA_UNMAP, "of nothing", -EINVAL, .set = {{16, 8, 0}}},
	{VFIO_USER_DMA_UNMAP, "that wraps", -EINVAL, .set = {{8, 8, UINT64_MAX}}},
	{VFIO_USER_DMA_UNMAP, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DEVICE_GET_INFO, "", 0},
	{VFIO_USER_DEVICE_GET_INFO, "of a later header", 0, 8, .set = {{0, 4, 24}}},
	{VFIO_USER_DEVICE_GET_INFO, "too short", -EINVAL, -1},
	{VFIO_USER_DEVICE_GET_INFO, "with argsz too small", -EINVAL, .set = {{0, 4, 15}}},
	{VFIO_USER_DEVICE_GET_INFO, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DEVICE_GET_REGION_INFO, "", 0},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with room", 0, .set = {{0, 4, UINT32_MAX}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "too short", -EINVAL, -1},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with argsz too small", -EINVAL, .set = {{0, 4, 31}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "", 0},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "too short", -EINVAL, -1},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with argsz too small", -EINVAL, .set = {{0, 4, 15}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with flags", -EINVAL, .set = {{4, 4, 1}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with a count", -EINVAL, .set = {{12, 4, 1}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DEVICE_GET_IRQ_INFO, "", 0},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "too short", -EINVAL, -1},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "with argsz too small", -EINVAL, .set = {{0, 4, 15}}},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DEVICE_SET_IRQS, "with eventfds", 0, .nfds = 2},
	{VFIO_USER_DEVICE_SET_IRQS, "with none of them", 0},
	{VFIO_USER_DEVICE_SET_IRQS, "masking", 0, .set = {{4, 4, NONE | MASK}}},
	{VFIO_USER_DEVICE_SET_IRQS, "unmasking some", 0, 2,
	 .set = {{4, 4, BOOL | UNMASK}, {0, 4, 22}, {20, 1, 1}}},
	{VFIO_USER_DEVICE_SET_IRQS, "turning off", 0,
	 .set = {{4, 4, NONE | TRIGGER}, {12, 4, 0}, {16, 4, 0}}},
	{VFIO_USER_DEVICE_SET_IRQS, "too short", -EINVAL, -1},
	{VFIO_USER_DEVICE_SET_IRQS, "too long", -EINVAL, 1},
	{VFIO_USER_DEVICE_SET_IRQS, "with another argsz", -EINVAL, .set = {{0, 4, 24}}},
	{VFIO_USER_DEVICE_SET_IRQS, "with too few booleans", -EINVAL, 1,
	 .set = {{4, 4, BOOL | MASK}, {0, 4, 21}}},
	{VFIO_USER_DEVICE_SET_IRQS, "with too many booleans", -EINVAL, 3,
	 .set = {{4, 4, BOOL | MASK}, {0, 4, 23}}},
	{VFIO_USER_DEVICE_SET_IRQS, "of booleans beyond all bounds", -EINVAL, 2,
	 .set = {{4, 4, BOOL | MASK}, {0, 4, 22}, {12, 4, 0}, {16, 4, UINT32_MAX}}},
	{VFIO_USER_DEVICE_SET_IRQS, "without an action", -EINVAL, .set = {{4, 4, NONE}}},
	{VFIO_USER_DEVICE_SET_IRQS, "with two", -EINVAL, .set = {{4, 4, NONE | MASK | UNMASK}}},
	{VFIO_USER_DEVICE_SET_IRQS, "without data", -EINVAL, .set = {{4, 4, MASK}}},
	{VFIO_USER_DEVICE_SET_IRQS, "with two kinds", -EINVAL,
	 .set = {{4, 4, NONE | EVENTFD | TRIGGER}}},
	{VFIO_USER_DEVICE_SET_IRQS, "with an unknown flag", -EINVAL,
	 .set = {{4, 4, NONE | TRIGGER | 64}}},
	{VFIO_USER_DEVICE_SET_IRQS, "that wraps", -EINVAL, .set = {{12, 4, UINT32_MAX}}},
	{VFIO_USER_DEVICE_SET_IRQS, "of no eventfd", -EINVAL, .set = {{12, 4, 0}, {16, 4, 0}}},
	{VFIO_USER_DEVICE_SET_IRQS, "masking nothing", -EINVAL,
	 .set = {{4, 4, NONE | MASK}, {12, 4, 0}, {16, 4, 0}}},
	{VFIO_USER_DEVICE_SET_IRQS, "turning off from 1 on", -EINVAL,
	 .set = {{4, 4, NONE | TRIGGER}, {16, 4, 0}}},
	{VFIO_USER_DEVICE_SET_IRQS, "with an eventfd too few", -EINVAL, .nfds = 1},
	{VFIO_USER_DEVICE_SET_IRQS, "with one too many", -EINVAL, .nfds = 3},
	{VFIO_USER_DEVICE_SET_IRQS, "with eventfds for nothing", -EINVAL, .nfds = 2,
	 .set = {{4, 4, NONE | TRIGGER}}},

	{VFIO_USER_REGION_READ, "", 0},
	{VFIO_USER_REGION_READ, "of the most", 0, .set = {{12, 4, XFER}}},
	{VFIO_USER_REGION_READ, "at the end of all offsets", 0, .set = {{0, 8, UINT64_MAX - 3}}},
	{VFIO_USER_REGION_READ, "too short", -EINVAL, -1},
	{VFIO_USER_REGION_READ, "with data", -EINVAL, 4},
	{VFIO_USER_REGION_READ, "of nothing", -EINVAL, .set = {{12, 4, 0}}},
	{VFIO_USER_REGION_READ, "of nothing at 0", -EINVAL, .set = {{12, 4, 0}, {0, 8, 0}}},
	{VFIO_USER_REGION_READ, "of too much", -EINVAL, .set = {{12, 4, XFER + 1}}},
	{VFIO_USER_REGION_READ, "that wraps", -EINVAL, .set = {{0, 8, UINT64_MAX - 2}}},
	{VFIO_USER_REGION_READ, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_REGION_WRITE, "", 0},
	{VFIO_USER_REGION_WRITE, "of the most", 0, (int)XFER - 4, .set = {{12, 4, XFER}}},
	{VFIO_USER_REGION_WRITE, "too short", -EINVAL, -5},
	{VFIO_USER_REGION_WRITE, "with too little data", -EINVAL, -1},
	{VFIO_USER_REGION_WRITE, "with too much data", -EINVAL, 1},
	{VFIO_USER_REGION_WRITE, "of nothing", -EINVAL, -4, .set = {{12, 4, 0}}},
	{VFIO_USER_REGION_WRITE, "of too much", -EINVAL, (int)XFER - 3, .set = {{12, 4, XFER + 1}}},
	{VFIO_USER_REGION_WRITE, "that wraps", -EINVAL, .set = {{0, 8, UINT64_MAX - 2}}},
	{VFIO_USER_REGION_WRITE, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DMA_READ, "", 0},
	{VFIO_USER_DMA_READ, "too short", -EINVAL, -1},
	{VFIO_USER_DMA_READ, "with data", -EINVAL, 4},
	{VFIO_USER_DMA_READ, "of nothing", -EINVAL, .set = {{8, 8, 0}}},
	{VFIO_USER_DMA_READ, "of too much", -EINVAL, .set = {{8, 8, XFER + 1}}},
	{VFIO_USER_DMA_READ, "beyond 32 bits", -EINVAL, .set = {{8, 8, (UINT64_C(1) << 32) + 4}}},
	{VFIO_USER_DMA_READ, "that wraps", -EINVAL, .set = {{0, 8, UINT64_MAX}}},
	{VFIO_USER_DMA_READ, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DMA_WRITE, "", 0},
	{VFIO_USER_DMA_WRITE, "too short", -EINVAL, -5},
	{VFIO_USER_DMA_WRITE, "with too little data", -EINVAL, -1},
	{VFIO_USER_DMA_WRITE, "with too much data", -EINVAL, 1},
	{VFIO_USER_DMA_WRITE, "beyond 32 bits", -EINVAL, .set = {{8, 8, (UINT64_C(1) << 32) + 4}}},
	{VFIO_USER_DMA_WRITE, "that wraps", -EINVAL, .set = {{0, 8, UINT64_MAX}}},
	{VFIO_USER_DMA_WRITE, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DEVICE_RESET, "", 0},
	{VFIO_USER_DEVICE_RESET, "with a payload", -EINVAL, 1},
	{VFIO_USER_DEVICE_RESET, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DIRTY_PAGES, "", -ENOTSUP},
	{VFIO_USER_DIRTY_PAGES, "too short", -EINVAL, -1},
	{VFIO_USER_DIRTY_PAGES, "with argsz too small", -EINVAL, .set = {{0, 4, 7}}},

	{VFIO_USER_REGION_WRITE_MULTI, "", 0},
	{VFIO_USER_REGION_WRITE_MULTI, "with room for more", 0, 24},
	{VFIO_USER_REGION_WRITE_MULTI, "too short", -EINVAL, -49},
	{VFIO_USER_REGION_WRITE_MULTI, "with a write too few", -EINVAL, -1},
	{VFIO_USER_REGION_WRITE_MULTI, "of nothing", -EINVAL, .set = {{0, 8, 0}}},
	{VFIO_USER_REGION_WRITE_MULTI, "of more than wraps", -EINVAL,
	 .set = {{0, 8, UINT64_MAX / 8}}},
	{VFIO_USER_REGION_WRITE_MULTI, "with an empty write", -EINVAL, .set = {{44, 4, 0}}},
	{VFIO_USER_REGION_WRITE_MULTI, "with a write too large", -EINVAL, .set = {{44, 4, 9}}},
	{VFIO_USER_REGION_WRITE_MULTI, "with one that wraps", -EINVAL,
	 .set = {{32, 8, UINT64_MAX - 6}}},
	{VFIO_USER_REGION_WRITE_MULTI, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_DEVICE_FEATURE, "", -ENOTSUP},
	{VFIO_USER_DEVICE_FEATURE, "with data", -ENOTSUP, 8},
	{VFIO_USER_DEVICE_FEATURE, "too short", -EINVAL, -1},
	{VFIO_USER_DEVICE_FEATURE, "with argsz too small", -EINVAL, .set = {{0, 4, 7}}},
	{VFIO_USER_DEVICE_FEATURE, "with a descriptor", -EINVAL, .nfds = 1},

	{VFIO_USER_MIG_DATA_READ, "", -ENOTSUP},
	{VFIO_USER_MIG_DATA_READ, "too short", -EINVAL, -1},
	{VFIO_USER_MIG_DATA_READ, "too long", -EINVAL, 1},

	{VFIO_USER_MIG_DATA_WRITE, "", -ENOTSUP},
	{VFIO_USER_MIG_DATA_WRITE, "too short", -EINVAL, -5},
	{VFIO_USER_MIG_DATA_WRITE, "with too little data", -EINVAL, -1},
	{VFIO_USER_MIG_DATA_WRITE, "with a descriptor", -EINVAL, .nfds = 1},

	{0, "", -ENOTSUP},
	{VFIO_USER_COMMANDS, "", -ENOTSUP},
	{0xffff, "", -ENOTSUP},
};

#define ROWS (sizeof(rows) / sizeof(*rows))

static void each_row_ends_as_it_must(void **state)
{
	for (size_t i = 0; i < ROWS; i++)
		run_row(&rows[i], good, check);
}

static bool any(unsigned cmd)
{
	return true;
}

static void each_command_has_rows(void **state)
{
	count_rows(rows, ROWS, any);
}

static void each_command_has_a_name_and_one_receiver(void **state)
{
	for (unsigned cmd = 1; cmd < VFIO_USER_COMMANDS; cmd++) {
		assert_string_not_equal(r3_vfio_user_name(cmd), "unknown command");
		assert_true(r3_vfio_user_for_server(cmd) != r3_vfio_user_for_client(cmd));
	}
	assert_string_equal(r3_vfio_user_name(0), "unknown command");
	assert_string_equal(r3_vfio_user_name(VFIO_USER_COMMANDS), "unknown command");
	assert_false(r3_vfio_user_for_server(0) || r3_vfio_user_for_client(VFIO_USER_COMMANDS));
}

static void a_request_of_the_other_direction_is_refused(void **state)
{
	struct r3_vfio_user_msg msg = {.header = {.cmd = VFIO_USER_DMA_READ}};

	assert_int_equal(r3_vfio_user_get_unsupported(&msg), -EINVAL);
	msg.header.cmd = VFIO_USER_REGION_READ;
	assert_int_equal(r3_vfio_user_get_unsupported(&msg), -EINVAL);
}

static void headers_are_checked(void **state)
{
	struct vfio_user_header header;

	r3_vfio_user_request(&header, 1, VFIO_USER_DEVICE_RESET, 0);
	assert_int_equal(header.msg_size, 16);
	assert_int_equal(r3_vfio_user_check_header(&header, 16), 0);
	header.msg_size = 15;
	assert_int_equal(r3_vfio_user_check_header(&header, 16), -EPROTO);
	header.msg_size = 17;
	assert_int_equal(r3_vfio_user_check_header(&header, 16), -EPROTO);
	header.msg_size = 16;
	header.flags = VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR;
	assert_int_equal(r3_vfio_user_check_header(&header, 16), 0);
	header.flags = 2;
	assert_int_equal(r3_vfio_user_check_header(&header, 16), -EPROTO);
}

static void an_error_reply_is_its_header(void **state)
{
	struct vfio_user_header request, error;

	r3_vfio_user_request(&request, 0xabcd, VFIO_USER_REGION_READ, 16);
	r3_vfio_user_error(&error, &request, EINVAL);
	assert_int_equal(error.msg_id, 0xabcd);
	assert_int_equal(error.cmd, VFIO_USER_REGION_READ);
	assert_int_equal(error.msg_size, 16);
	assert_int_equal(error.flags, 0x21);
	assert_int_equal(error.error_no, EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_ends_as_it_must),
		cmocka_unit_test(each_command_has_rows),
		cmocka_unit_test(each_command_has_a_name_and_one_receiver),
		cmocka_unit_test(a_request_of_the_other_direction_is_refused),
		cmocka_unit_test(headers_are_checked),
		cmocka_unit_test(an_error_reply_is_its_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
