/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies to every request that is made, good and bad; and the chain of a region's
 * capabilities, written and read. */
#include "wire/test_vfio_user_rows.h"

#include <errno.h>

static const struct vfio_user_dma_unmap asked_unmap = {24, 0, 0x100000, 0x4000};
static const struct vfio_region_info asked_region = {.argsz = 88, .index = 2};
static const struct vfio_user_region_io_fds asked_io = {.argsz = 96, .index = 2};
static const struct vfio_irq_info asked_irq = {.argsz = 16, .index = 2};
static const struct vfio_user_region_access asked_access = {0x10, 2, 4};
static const struct vfio_user_dma_region_access asked_dma = {0x1000, 4};

/* The region has the whole file, or two areas of it. */
static const struct r3_vfio_user_sparse two = {2, {{0, 0x1000}, {0x2000, 0x1000}}};

static unsigned good(unsigned cmd, unsigned char payload[ROW_BYTES])
{
	const struct vfio_user_device_info device = {sizeof(device), 3, 9, 5};
	const struct vfio_region_info region = {
		.index = 2, .flags = 7, .size = 0x4000, .offset = 0x10000};
	const struct vfio_user_region_io_fds io = {96, 0, 2, 2};
	const struct vfio_user_sub_region sub = {.offset = 0x10, .size = 4, .fd_index = 0};
	const struct vfio_irq_info irq = {sizeof(irq), 9, 2, 32};
	const struct vfio_user_write_multi multi = {2};

#define GOOD(what) (memcpy(payload, &(what), sizeof(what)), (unsigned)sizeof(what))
	switch (cmd) {
	case VFIO_USER_DMA_UNMAP:
		return GOOD(asked_unmap);
	case VFIO_USER_DEVICE_GET_INFO:
		return GOOD(device);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return (unsigned)r3_vfio_user_put_region_info(payload, asked_region.argsz, &region,
							      &two);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		memcpy(payload + sizeof(io), &sub, sizeof(sub));
		memcpy(payload + sizeof(io) + sizeof(sub), &sub, sizeof(sub));
		return GOOD(io) + 2 * (unsigned)sizeof(sub);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return GOOD(irq);
	case VFIO_USER_REGION_READ:
		return GOOD(asked_access) + 4;
	case VFIO_USER_REGION_WRITE:
		return GOOD(asked_access);
	case VFIO_USER_DMA_READ:
		return GOOD(asked_dma) + 4;
	case VFIO_USER_DMA_WRITE:
		return GOOD(asked_dma);
	case VFIO_USER_REGION_WRITE_MULTI:
		return GOOD(multi);
	default:
		return 0;
	}
#undef GOOD
}

static int check(const struct r3_vfio_user_msg *msg)
{
	struct vfio_user_device_info device;
	struct vfio_region_info region;
	struct vfio_user_region_io_fds io;
	struct vfio_user_sub_region sub;
	struct vfio_irq_info irq;
	struct r3_vfio_user_sparse sparse;
	const unsigned char *data;
	int rc;

	switch (msg->header.cmd) {
	case VFIO_USER_DMA_UNMAP:
		return r3_vfio_user_got_dma_unmap(msg, &asked_unmap);
	case VFIO_USER_DEVICE_GET_INFO:
		return r3_vfio_user_got_device_info(msg, &device);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		rc = r3_vfio_user_got_region_info(msg, &asked_region, &region);
		if (!rc && region.argsz <= asked_region.argsz)
			rc = r3_vfio_user_sparse(msg, &region, &sparse);
		return rc < 0 ? rc : 0;
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		rc = r3_vfio_user_got_region_io_fds(msg, &asked_io, &io);
		if (!rc && io.argsz <= asked_io.argsz)
			for (uint32_t i = 0; !rc && i < io.count; i++)
				rc = r3_vfio_user_got_sub_region(msg, &io, i, &sub);
		return rc;
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return r3_vfio_user_got_irq_info(msg, &asked_irq, &irq);
	case VFIO_USER_REGION_READ:
		rc = r3_vfio_user_got_region_read(msg, &asked_access, &data);
		if (!rc)
			assert_ptr_equal(data, msg->payload + 16);
		return rc;
	case VFIO_USER_REGION_WRITE:
		return r3_vfio_user_got_region_write(msg, &asked_access);
	case VFIO_USER_DMA_READ:
		rc = r3_vfio_user_got_dma_read(msg, &asked_dma, &data);
		if (!rc)
			assert_ptr_equal(data, msg->payload + 16);
		return rc;
	case VFIO_USER_DMA_WRITE:
		return r3_vfio_user_got_dma_write(msg, &asked_dma);
	case VFIO_USER_REGION_WRITE_MULTI:
		return r3_vfio_user_got_write_multi(msg, 2);
	default:
		return r3_vfio_user_got_nothing(msg);
	}
}

static const struct row rows[] = {
	{VFIO_USER_DMA_MAP, "", 0},
	{VFIO_USER_DMA_MAP, "with a payload", -EPROTO, 1},
	{VFIO_USER_DMA_MAP, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_DMA_UNMAP, "", 0},
	{VFIO_USER_DMA_UNMAP, "of a draft's server", 0, -24},
	{VFIO_USER_DMA_UNMAP, "too short", -EPROTO, -1},
	{VFIO_USER_DMA_UNMAP, "too long", -EPROTO, 1},
	{VFIO_USER_DMA_UNMAP, "of another address", -EPROTO, .set = {{8, 8, 0}}},
	{VFIO_USER_DMA_UNMAP, "of another size", -EPROTO, .set = {{16, 8, 0}}},
	{VFIO_USER_DMA_UNMAP, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_DEVICE_GET_INFO, "", 0},
	{VFIO_USER_DEVICE_GET_INFO, "of a later server", 0, 8, .set = {{0, 4, 24}}},
	{VFIO_USER_DEVICE_GET_INFO, "too short", -EPROTO, -1},
	{VFIO_USER_DEVICE_GET_INFO, "with argsz too small", -EPROTO, .set = {{0, 4, 15}}},
	{VFIO_USER_DEVICE_GET_INFO, "with regions galore", -EPROTO, .set = {{8, 4, 129}}},
	{VFIO_USER_DEVICE_GET_INFO, "with interrupts galore", -EPROTO, .set = {{12, 4, 65}}},
	{VFIO_USER_DEVICE_GET_INFO, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_DEVICE_GET_REGION_INFO, "", 0, .nfds = 1},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "of libvfio-user: a descriptor per area", 0, .nfds = 2},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with an argsz to ask with again", 0, -48,
	 .set = {{0, 4, 100}, {12, 4, 0}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "of no region", 0, -48,
	 .set = {{0, 4, 32}, {4, 4, 0}, {16, 8, 0}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "too short", -EPROTO, -49},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with argsz too small", -EPROTO, .set = {{0, 4, 31}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with argsz too large", -EPROTO, .set = {{0, 4, 4097}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "shorter than argsz", -EPROTO, -1},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "of another region", -EPROTO, .set = {{8, 4, 3}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a descriptor of what cannot be mapped", -EPROTO,
	 .nfds = 1, .set = {{4, 4, 3}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a descriptor of no region", -EPROTO, .nfds = 1,
	 .set = {{16, 8, 0}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO,
	 "with one of no region, without areas",
	 -EPROTO,
	 -48,
	 1,
	 {{0, 4, 32}, {4, 4, 7}, {16, 8, 0}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "shorter than argsz, without capabilities", -EPROTO, -48,
	 .set = {{4, 4, 3}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "whose end wraps", -EPROTO,
	 .set = {{16, 8, UINT64_MAX - 0xffff}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "beyond any file", -EPROTO,
	 .set = {{24, 8, INT64_MAX - 0x3ffe}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a chain into the structure", -EPROTO,
	 .set = {{12, 4, 31}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a chain out of the message", -EPROTO,
	 .set = {{12, 4, 81}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a chain at the end", -EPROTO,
	 .set = {{12, 4, 73}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a chain far away", -EPROTO,
	 .set = {{12, 4, UINT32_MAX}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with an unknown capability", 0, .set = {{32, 1, 99}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a circle", -EPROTO,
	 .set = {{32, 1, 99}, {36, 4, 32}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with capabilities that overlap", -EPROTO,
	 .set = {{32, 1, 99}, {36, 4, 33}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with a next beyond", -EPROTO,
	 .set = {{32, 1, 99}, {36, 4, 80}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with too many areas", -EPROTO, .set = {{40, 4, 3}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with areas that wrap", -EPROTO,
	 .set = {{40, 4, 0x10000002}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with an area outside", -EPROTO,
	 .set = {{64, 8, 0x3001}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with an area that wraps", -EPROTO,
	 .set = {{64, 8, UINT64_MAX - 0xfff}}},
	{VFIO_USER_DEVICE_GET_REGION_INFO, "with an area of nothing", 0, .set = {{72, 8, 0}}},

	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "", 0, .nfds = 1},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "without sub-regions", 0, -80,
	 .set = {{0, 4, 16}, {12, 4, 0}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with an argsz to ask with again", 0, -80,
	 .set = {{0, 4, 136}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with longer sub-regions", 0, .nfds = 1,
	 .set = {{12, 4, 1}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "too short", -EPROTO, -81},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "shorter than argsz", -EPROTO, -1, 1},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "of another region", -EPROTO, .set = {{8, 4, 3}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with argsz too large", -EPROTO,
	 .set = {{0, 4, 4097}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with too many sub-regions", -EPROTO, .nfds = 1,
	 .set = {{12, 4, 3}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "without its descriptor", -EPROTO},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with a wrong index", -EPROTO, .nfds = 1,
	 .set = {{72, 4, 1}}},
	{VFIO_USER_DEVICE_GET_REGION_IO_FDS, "with descriptors and no room", -EPROTO, -80, 1,
	 .set = {{0, 4, 136}}},

	{VFIO_USER_DEVICE_GET_IRQ_INFO, "", 0},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "of the most vectors", 0, .set = {{12, 4, 2048}}},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "too short", -EPROTO, -1},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "with argsz too small", -EPROTO, .set = {{0, 4, 15}}},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "of another index", -EPROTO, .set = {{8, 4, 1}}},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "of too many vectors", -EPROTO, .set = {{12, 4, 2049}}},
	{VFIO_USER_DEVICE_GET_IRQ_INFO, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_DEVICE_SET_IRQS, "", 0},
	{VFIO_USER_DEVICE_SET_IRQS, "with a payload", -EPROTO, 1},
	{VFIO_USER_DEVICE_SET_IRQS, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_REGION_READ, "", 0},
	{VFIO_USER_REGION_READ, "that echoes neither offset nor region", 0,
	 .set = {{0, 8, 0}, {8, 4, 0}}},
	{VFIO_USER_REGION_READ, "of nothing at all", -EPROTO, -20},
	{VFIO_USER_REGION_READ, "too short", -EPROTO, -1},
	{VFIO_USER_REGION_READ, "too long", -EPROTO, 1},
	{VFIO_USER_REGION_READ, "of another count", -EPROTO, .set = {{12, 4, 3}}},
	{VFIO_USER_REGION_READ, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_REGION_WRITE, "", 0},
	{VFIO_USER_REGION_WRITE, "of a draft's server", 0, .set = {{12, 4, 0}}},
	{VFIO_USER_REGION_WRITE, "too short", -EPROTO, -1},
	{VFIO_USER_REGION_WRITE, "too long", -EPROTO, 4},
	{VFIO_USER_REGION_WRITE, "of another count", -EPROTO, .set = {{12, 4, 3}}},
	{VFIO_USER_REGION_WRITE, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_DMA_READ, "", 0},
	{VFIO_USER_DMA_READ, "of nothing at all", -EPROTO, -20},
	{VFIO_USER_DMA_READ, "too short", -EPROTO, -1},
	{VFIO_USER_DMA_READ, "too long", -EPROTO, 1},
	{VFIO_USER_DMA_READ, "of another count", -EPROTO, .set = {{8, 8, 3}}},
	{VFIO_USER_DMA_READ, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_DMA_WRITE, "", 0},
	{VFIO_USER_DMA_WRITE, "with a count of 4 bytes", 0, -4, .set = {{8, 4, 4}}},
	{VFIO_USER_DMA_WRITE, "too short", -EPROTO, -5},
	{VFIO_USER_DMA_WRITE, "of another count", -EPROTO, .set = {{8, 8, 3}}},
	{VFIO_USER_DMA_WRITE, "of another short count", -EPROTO, -4, .set = {{8, 4, 3}}},
	{VFIO_USER_DMA_WRITE, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_DEVICE_RESET, "", 0},
	{VFIO_USER_DEVICE_RESET, "with a payload", -EPROTO, 1},
	{VFIO_USER_DEVICE_RESET, "with a descriptor", -EPROTO, .nfds = 1},

	{VFIO_USER_REGION_WRITE_MULTI, "", 0},
	{VFIO_USER_REGION_WRITE_MULTI, "too short", -EPROTO, -1},
	{VFIO_USER_REGION_WRITE_MULTI, "of another count", -EPROTO, .set = {{0, 8, 1}}},
	{VFIO_USER_REGION_WRITE_MULTI, "with a descriptor", -EPROTO, .nfds = 1},
};

#define ROWS (sizeof(rows) / sizeof(*rows))

static void each_row_ends_as_it_must(void **state)
{
	for (size_t i = 0; i < ROWS; i++)
		run_row(&rows[i], good, check);
}

/* VERSION is a reply of the same format, tested as a request; of migration nothing is asked. */
static bool is_asked(unsigned cmd)
{
	return cmd != VFIO_USER_VERSION && cmd != VFIO_USER_DIRTY_PAGES &&
	       cmd != VFIO_USER_DEVICE_FEATURE && cmd != VFIO_USER_MIG_DATA_READ &&
	       cmd != VFIO_USER_MIG_DATA_WRITE;
}

static void each_command_has_rows(void **state)
{
	count_rows(rows, ROWS, is_asked);
}

static void a_reply_fits_its_request(void **state)
{
	struct vfio_user_header request;
	struct r3_vfio_user_msg msg = {0};
	int err = 0;

	r3_vfio_user_request(&request, 5, VFIO_USER_REGION_READ, 16);
	r3_vfio_user_reply(&msg.header, &request, 20);
	assert_int_equal(r3_vfio_user_check_reply(&msg, &request, &err), 0);
	msg.header.msg_id = 6;
	assert_int_equal(r3_vfio_user_check_reply(&msg, &request, &err), -EPROTO);
	msg.header.msg_id = 5;
	msg.header.cmd = VFIO_USER_REGION_WRITE;
	assert_int_equal(r3_vfio_user_check_reply(&msg, &request, &err), -EPROTO);
	msg.header = request;
	assert_int_equal(r3_vfio_user_check_reply(&msg, &request, &err), -EPROTO);
	r3_vfio_user_error(&msg.header, &request, EACCES);
	assert_int_equal(r3_vfio_user_check_reply(&msg, &request, &err), -EREMOTEIO);
	assert_int_equal(err, EACCES);
	msg.header.error_no = 0;
	assert_int_equal(r3_vfio_user_check_reply(&msg, &request, &err), -EREMOTEIO);
	assert_int_equal(err, EIO);
	msg.header.error_no = 4096;
	err = 0;
	assert_int_equal(r3_vfio_user_check_reply(&msg, &request, &err), -EREMOTEIO);
	assert_int_equal(err, EIO);
}

/* Writes a region's information with @argsz as the room, and reads it back. */
static int round_trip(uint32_t argsz, const struct r3_vfio_user_sparse *wrote, size_t want,
		      struct vfio_region_info *info, struct r3_vfio_user_sparse *sparse)
{
	const struct vfio_region_info region = {.index = 2, .flags = 7, .size = 0x4000};
	const struct vfio_region_info asked = {.argsz = argsz, .index = 2};
	unsigned char room[R3_VFIO_USER_REGION_REPLY_MAX];
	struct r3_vfio_user_msg msg = {.payload = room, .nfds = 1};

	msg.len = (uint32_t)r3_vfio_user_put_region_info(room, argsz, &region, wrote);
	assert_int_equal(msg.len, want);
	assert_int_equal(r3_vfio_user_got_region_info(&msg, &asked, info), 0);
	return info->argsz > argsz ? -EAGAIN : r3_vfio_user_sparse(&msg, info, sparse);
}

static void a_region_is_read_as_it_was_written(void **state)
{
	struct r3_vfio_user_sparse sparse, many = {.n = R3_VFIO_USER_AREAS};
	struct vfio_region_info info;

	assert_int_equal(round_trip(32, NULL, 32, &info, &sparse), 0);
	assert_int_equal(info.flags, 7);
	assert_int_equal(info.argsz, 32);
	/* too little room: ask again with as much as it says, no less */
	assert_int_equal(round_trip(32, &two, 32, &info, &sparse), -EAGAIN);
	assert_int_equal(info.argsz, 80);
	assert_int_equal(info.flags, 15);
	assert_int_equal(info.cap_offset, 0);
	assert_int_equal(round_trip(79, &two, 32, &info, &sparse), -EAGAIN);
	assert_int_equal(round_trip(80, &two, 80, &info, &sparse), 1);
	assert_int_equal(sparse.n, 2);
	assert_memory_equal(sparse.area, two.area, 2 * sizeof(*two.area));
	for (unsigned i = 0; i < many.n; i++)
		many.area[i].size = many.area[i].offset = 0x100 * (i + 1);
	assert_int_equal(round_trip(4096, &many, R3_VFIO_USER_REGION_REPLY_MAX, &info, &sparse), 1);
	assert_int_equal(sparse.n, R3_VFIO_USER_AREAS);
	assert_memory_equal(sparse.area, many.area, sizeof(many.area));
	/* nothing of it can be mapped */
	assert_int_equal(round_trip(48, &(struct r3_vfio_user_sparse){0}, 48, &info, &sparse), 1);
	assert_int_equal(sparse.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_ends_as_it_must),
		cmocka_unit_test(each_command_has_rows),
		cmocka_unit_test(a_reply_fits_its_request),
		cmocka_unit_test(a_region_is_read_as_it_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
