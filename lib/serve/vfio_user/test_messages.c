/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client asks of a device and is told: info, resets. */
#include "serve/vfio_user/test_rig.h"
#include "util/item.h"

#include <linux/pci_regs.h>
#include <sys/stat.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- VFIO_USER_VERSION ---- */

static void version_of(const struct rig *rig, struct vfio_user_version *version,
		       struct r3_vfio_user_caps *caps)
{
	size_t len = rig->header.msg_size - sizeof(rig->header) - sizeof(*version);

	memcpy(version, rig->payload, sizeof(*version));
	assert_int_equal(rig->payload[sizeof(*version) + len - 1], 0);
	assert_int_equal(
		r3_vfio_user_caps_decode((char *)rig->payload + sizeof(*version), len - 1, caps),
		0);
}

static void a_stranger_is_told_what_it_knows(void **state)
{
	struct rig *rig = *state;
	struct vfio_user_version version;
	struct r3_vfio_user_caps caps;
	int sock = rig_client(rig);

	version_of(rig, &version, &caps);
	assert_int_equal(version.major, 0);
	assert_int_equal(version.minor, 1);
	assert_int_equal(caps.max_msg_fds, 16);
	assert_int_equal(caps.max_dma_maps, 256);
	assert_int_equal(caps.pgsizes, 4096);
	assert_int_equal(caps.max_data_xfer_size, R3_VFIO_USER_XFER);
	assert_false(caps.ring3 || caps.write_multiple || caps.twin_socket);
	assert_int_equal(rig_last(rig, R3_SERVE_CONNECTED)->client, 1);
	assert_int_equal(rig_last(rig, R3_SERVE_CONNECTED)->pid, getpid());
	close(sock);
}

static void our_client_is_told_the_windows(void **state)
{
	struct rig *rig = *state;
	struct vfio_user_version version;
	struct r3_vfio_user_caps caps;
	int sock = rig_ring3(rig);

	version_of(rig, &version, &caps);
	assert_true(caps.ring3 && caps.write_multiple);
	assert_int_equal(caps.nwindows, 2);
	assert_int_equal(caps.window[0].last, 0xfedfffff);
	assert_int_equal(caps.window[1].first, 0x100000000);
	assert_int_equal(caps.window[1].last, 0x7fffffffff);
	close(sock);
}

static void versions_that_do_not_fit_are_refused(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *bytes;
		size_t len;
		int rc;
	} rows[] = {
		{"\1\0\0\0", 4, -EINVAL},                      /* another major */
		{"\0\0", 2, -EINVAL},                          /* too short */
		{"\0\0\1\0{", 6, -EINVAL},                     /* no JSON */
		{"\0\0\1\0{}", 6, -EINVAL},                    /* no NUL */
		{"\0\0\1\0{\"capabilities\":3}", 23, -EINVAL}, /* no object */
		{"\0\0\7\0{}", 7, 0},                          /* a newer minor */
		{"\0\0\1\0", 4, 0},                            /* no text */
	};

	for (unsigned i = 0; i < COUNT(rows); i++) {
		unsigned refused = rig_told(rig, R3_SERVE_REFUSED);
		int sock = rig_connect(rig);

		assert_int_equal(
			rig_call(rig, sock, VFIO_USER_VERSION, rows[i].bytes, rows[i].len, NULL, 0),
			rows[i].rc);
		assert_int_equal(rig_told(rig, R3_SERVE_REFUSED), refused + !!rows[i].rc);
		assert_int_equal(rig_receive(rig, sock), rows[i].rc ? -EPIPE : -EAGAIN);
		close(sock);
		rig_run(rig);
	}
}

static void the_second_version_is_an_error(void **state)
{
	struct rig *rig = *state;
	int sock = rig_client(rig);

	assert_int_equal(rig_version(rig, sock, "{}"), -EINVAL);
	assert_int_equal(rig_read(rig, sock, R3_REGION_CONFIG, 0, 4), 0);
	close(sock);
}

/* ---- info ---- */

static void the_device_is_described(void **state)
{
	struct rig *rig = *state;
	struct vfio_user_device_info info = {.argsz = sizeof(info)};
	int sock = rig_client(rig);

	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info), NULL, 0), 0);
	assert_int_equal(rig->header.msg_size, 32);
	memcpy(&info, rig->payload, sizeof(info));
	assert_int_equal(info.argsz, 16);
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(info.num_irqs, VFIO_PCI_NUM_IRQS);
	info.argsz = 8;
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info), NULL, 0),
		-EINVAL);
	assert_int_equal(rig_call(rig, sock, VFIO_USER_DEVICE_GET_INFO, &info, 8, NULL, 0),
			 -EINVAL);
	close(sock);
}

static int region_info(struct rig *rig, int sock, unsigned index, uint32_t argsz,
		       struct vfio_region_info *info)
{
	int rc;

	*info = (struct vfio_region_info){.argsz = argsz, .index = index};
	rc = rig_call(rig, sock, VFIO_USER_DEVICE_GET_REGION_INFO, info, sizeof(*info), NULL, 0);
	memcpy(info, rig->payload, sizeof(*info));
	return rc;
}

static void regions_are_described(void **state)
{
	static const struct {
		unsigned index, flags;
		uint64_t size;
	} rows[] = {
		{0,
		 VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_READ |
			 VFIO_REGION_INFO_FLAG_WRITE,
		 16384},
		{1, 0, 0},
		{2, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, 32},
		{4, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, 4096},
		{6, VFIO_REGION_INFO_FLAG_READ, 2048},
		{7, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, 4096},
		{8, 0, 0},
	};
	struct rig *rig = *state;
	struct vfio_region_info info;
	int sock = rig_client(rig);

	for (unsigned i = 0; i < COUNT(rows); i++) {
		assert_int_equal(region_info(rig, sock, rows[i].index, 32, &info), 0);
		assert_int_equal(info.flags, rows[i].flags);
		assert_int_equal(info.size, rows[i].size);
		assert_int_equal(info.index, rows[i].index);
		assert_int_equal(info.argsz, 32);
		assert_int_equal(rig->nfds, rows[i].flags & VFIO_REGION_INFO_FLAG_MMAP ? 1 : 0);
	}
	assert_int_equal(region_info(rig, sock, VFIO_PCI_NUM_REGIONS, 32, &info), -EINVAL);
	assert_int_equal(region_info(rig, sock, UINT32_MAX, 32, &info), -EINVAL);
	assert_int_equal(region_info(rig, sock, 0, 31, &info), -EINVAL);
	rig->fake->fail_region_info = -EIO;
	assert_int_equal(region_info(rig, sock, 0, 32, &info), -EIO);
	rig->fake->fail_region_info = 0;
	close(sock);
}

static void a_mapped_region_is_the_devices(void **state)
{
	struct rig *rig = *state;
	struct vfio_region_info info;
	int sock = rig_client(rig);
	struct stat st;
	uint32_t *bar;

	assert_int_equal(region_info(rig, sock, 0, 32, &info), 0);
	assert_int_equal(fstat(rig->fd[0], &st), 0);
	bar = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, rig->fd[0],
		   (off_t)info.offset);
	assert_true(bar != MAP_FAILED);
	bar[3] = R3_LE32(0x12345678);
	assert_int_equal(rig_read(rig, sock, 0, 12, 4), 0);
	assert_int_equal(r3_item_get_le(rig->payload + 16, 4), 0x12345678);
	munmap(bar, info.size);
	close(sock);
}

static void sparse_areas_come_where_there_is_room(void **state)
{
	struct rig *rig = rig_new();
	struct r3_vfio_user_sparse sparse;
	struct vfio_region_info info;
	int sock;

	rig->fake->bar[0].nareas = 3;
	rig->fake->bar[0].area[0].off = 4096;
	rig->fake->bar[0].area[0].len = 8192;
	rig->fake->bar[0].area[1].off = 100; /* no page: cannot be mapped */
	rig->fake->bar[0].area[1].len = 8;
	rig->fake->bar[0].area[2].off = 12288;
	rig->fake->bar[0].area[2].len = 8192; /* beyond the end */
	rig_serve(rig);
	sock = rig_client(rig);
	assert_int_equal(region_info(rig, sock, 0, 32, &info), 0);
	assert_int_equal(info.argsz, 32 + 16 + 16);
	assert_int_equal(info.cap_offset, 0);
	assert_int_equal(rig->nfds, 0); /* comes with the areas */
	assert_int_equal(rig->header.msg_size, 16 + 32);

	assert_int_equal(region_info(rig, sock, 0, info.argsz, &info), 0);
	assert_int_equal(rig->header.msg_size, 16 + info.argsz);
	assert_int_equal(rig->nfds, 1);
	const struct r3_vfio_user_msg msg = {
		.header = rig->header, .payload = rig->payload, .len = info.argsz, .nfds = 1};
	assert_int_equal(r3_vfio_user_sparse(&msg, &info, &sparse), 1);
	assert_int_equal(sparse.n, 1);
	assert_int_equal(sparse.area[0].offset, 4096);
	assert_int_equal(sparse.area[0].size, 8192);
	close(sock);
	rig_free(rig);
}

static void a_given_descriptor_is_not_kept(void **state)
{
	struct rig *rig = rig_new();
	struct vfio_region_info info;
	unsigned fds;
	int sock;

	rig->fake->give_fds = true;
	rig_serve(rig);
	sock = rig_client(rig);
	fds = test_count_fds();
	assert_int_equal(region_info(rig, sock, 0, 32, &info), 0);
	assert_int_equal(rig->nfds, 1);
	assert_int_equal(test_count_fds(), fds + 1); /* the client's */
	/* nor one for which nobody waits */
	struct vfio_user_header quiet = {.cmd = VFIO_USER_DEVICE_GET_REGION_INFO,
					 .msg_size = 48,
					 .flags = VFIO_USER_F_NO_REPLY};
	const struct vfio_region_info ask = {.argsz = 32};
	rig_send(rig, sock, &quiet, sizeof(quiet), NULL, 0);
	rig_send(rig, sock, &ask, sizeof(ask), NULL, 0);
	rig_run(rig);
	assert_int_equal(test_count_fds(), fds + 1);
	close(sock);
	rig_free(rig);
}

static void no_region_has_descriptors_for_writes(void **state)
{
	struct rig *rig = *state;
	struct vfio_user_region_io_fds info = {.argsz = 64};
	int sock = rig_client(rig);

	assert_int_equal(rig_call(rig, sock, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &info,
				  sizeof(info), NULL, 0),
			 0);
	assert_int_equal(rig->header.msg_size, 32);
	memcpy(&info, rig->payload, sizeof(info));
	assert_int_equal(info.argsz, 16);
	assert_int_equal(info.count, 0);
	info.index = 9;
	assert_int_equal(rig_call(rig, sock, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &info,
				  sizeof(info), NULL, 0),
			 -EINVAL);
	close(sock);
}

static void interrupts_are_described(void **state)
{
	static const struct {
		unsigned flags, count;
	} rows[] = {
		{VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, 1},
		{VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_NORESIZE, 32},
		{VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_NORESIZE, 64},
		{VFIO_IRQ_INFO_EVENTFD, 1},
		{VFIO_IRQ_INFO_EVENTFD, 1},
	};
	struct rig *rig = *state;
	struct vfio_irq_info info = {.argsz = sizeof(info)};
	int sock = rig_client(rig);

	for (unsigned i = 0; i < COUNT(rows); i++) {
		info = (struct vfio_irq_info){.argsz = sizeof(info), .index = i};
		assert_int_equal(rig_call(rig, sock, VFIO_USER_DEVICE_GET_IRQ_INFO, &info,
					  sizeof(info), NULL, 0),
				 0);
		memcpy(&info, rig->payload, sizeof(info));
		assert_int_equal(info.flags, rows[i].flags);
		assert_int_equal(info.count, rows[i].count);
	}
	info.index = 5;
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_DEVICE_GET_IRQ_INFO, &info, sizeof(info), NULL, 0),
		-EINVAL);
	close(sock);
}

/* ---- the rest ---- */

static void commands_that_are_not_served(void **state)
{
	static const struct {
		unsigned cmd;
		uint32_t len;
		int rc;
	} rows[] = {
		{0, 8, -ENOTSUP},
		{VFIO_USER_DMA_READ, 16, -EINVAL},
		{VFIO_USER_DMA_WRITE, 32, -EINVAL},
		{VFIO_USER_DIRTY_PAGES, 8, -ENOTSUP},
		{VFIO_USER_DEVICE_FEATURE, 8, -ENOTSUP},
		{VFIO_USER_DEVICE_FEATURE, 4, -EINVAL},
		{VFIO_USER_MIG_DATA_READ, 8, -ENOTSUP},
		{VFIO_USER_MIG_DATA_WRITE, 24, -ENOTSUP},
		{VFIO_USER_COMMANDS, 0, -ENOTSUP},
		{0xffff, 0, -ENOTSUP},
	};
	struct rig *rig = *state;
	int sock = rig_client(rig);

	for (unsigned i = 0; i < COUNT(rows); i++) {
		const uint32_t bytes[8] = {rows[i].len, rows[i].len - 8};

		assert_int_equal(rig_call(rig, sock, rows[i].cmd, bytes, rows[i].len, NULL, 0),
				 rows[i].rc);
		assert_int_equal(rig_read(rig, sock, 7, 0, 4), 0);
	}
	close(sock);
}

static void a_reset_leaves_the_memory_mapped(void **state)
{
	struct rig *rig = *state;
	int fds[2], memory = rig_memfd(RIG_PAGE, F_SEAL_SHRINK), sock = rig_client(rig);
	const unsigned char master[2] = {PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 0};

	rig_bind(rig, sock, fds, 2);
	assert_int_equal(rig_map(rig, sock, memory, 0, 0x10000, RIG_PAGE), 0);
	assert_int_equal(rig_write(rig, sock, 7, PCI_COMMAND, master, 2), 0);
	assert_int_equal(rig_call(rig, sock, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(rig->header.msg_size, 16);
	assert_int_equal(rig->fake->resets, 1);
	assert_int_equal(rig->fake->nirqs, 0);
	assert_non_null(fake_device_reach(rig->fake, 0x10000, RIG_PAGE, R3_DMA_DEVICE_READ));
	assert_int_equal(rig_read(rig, sock, 7, PCI_COMMAND, 2), 0);
	assert_int_equal(rig->payload[16], 0);
	close(fds[0]);
	close(fds[1]);
	/* the same vectors again */
	rig_bind(rig, sock, fds, 2);
	fake_device_raise(rig->fake, R3_IRQ_MSIX, 1);
	assert_int_equal(eventfd_read(fds[1], &(eventfd_t){0}), 0);
	rig->fake->fail_reset = -ETIMEDOUT;
	assert_int_equal(rig_call(rig, sock, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), -ETIMEDOUT);
	rig->fake->fail_reset = 0;
	rig->fake->base.info.caps &= ~(unsigned)(R3_CAP_FLR | R3_CAP_BUS_RESET);
	assert_int_equal(rig_call(rig, sock, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), -ENOTSUP);
	rig->fake->base.info.caps |= R3_CAP_FLR;
	close(fds[0]);
	close(fds[1]);
	close(memory);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stranger_is_told_what_it_knows),
		TEST(our_client_is_told_the_windows),
		TEST(versions_that_do_not_fit_are_refused),
		TEST(the_second_version_is_an_error),
		TEST(the_device_is_described),
		TEST(regions_are_described),
		TEST(a_mapped_region_is_the_devices),
		cmocka_unit_test(sparse_areas_come_where_there_is_room),
		cmocka_unit_test(a_given_descriptor_is_not_kept),
		TEST(no_region_has_descriptors_for_writes),
		TEST(interrupts_are_described),
		TEST(commands_that_are_not_served),
		TEST(a_reset_leaves_the_memory_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
