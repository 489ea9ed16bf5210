/* SPDX-License-Identifier: BSD-2-Clause */
/* A client's memory: given to the device as the client says, checked, bounded, and never a way
 * to kill the server. */
#include "mem/sigbus.h"
#include "serve/vfio_user/test_rig.h"
#include "valgrind.h"

#include <signal.h>
#include <sys/stat.h>

#define READ  VFIO_USER_F_DMA_REGION_READ
#define WRITE VFIO_USER_F_DMA_REGION_WRITE
#define IOVA  UINT64_C(0x100000)

static int map_as(struct rig *rig, int sock, unsigned flags, const int *fds, unsigned nfds)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .addr = IOVA, .size = RIG_PAGE};

	return rig_call(rig, sock, VFIO_USER_DMA_MAP, &map, sizeof(map), fds, nfds);
}

static void the_device_reaches_what_is_mapped(void **state)
{
	struct rig *rig = *state;
	int fd = rig_memfd(4 * RIG_PAGE, F_SEAL_SHRINK), sock = rig_ring3(rig);
	unsigned char *mine = mmap(NULL, 4 * RIG_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned char *its;

	assert_true(mine != MAP_FAILED);
	assert_int_equal(rig_map(rig, sock, fd, RIG_PAGE, IOVA, 2 * RIG_PAGE), 0);
	assert_int_equal(rig->header.msg_size, 16);
	assert_int_equal(rig_last(rig, R3_SERVE_MAPPED)->iova, IOVA);
	assert_int_equal(rig_last(rig, R3_SERVE_MAPPED)->len, 2 * RIG_PAGE);
	mine[RIG_PAGE + 5] = 0x77;
	its = fake_device_reach(rig->fake, IOVA, 2 * RIG_PAGE,
				R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE);
	assert_non_null(its);
	assert_int_equal(its[5], 0x77);
	its[6] = 0x78;
	assert_int_equal(mine[RIG_PAGE + 6], 0x78);
	assert_null(fake_device_reach(rig->fake, IOVA, 2 * RIG_PAGE + 1, R3_DMA_DEVICE_READ));

	assert_int_equal(rig_unmap(rig, sock, IOVA, 2 * RIG_PAGE), 0);
	const struct vfio_user_dma_unmap said = {
		.argsz = sizeof(said), .addr = IOVA, .size = 2 * RIG_PAGE};
	assert_int_equal(rig->header.msg_size, 16 + sizeof(said));
	assert_memory_equal(rig->payload, &said, sizeof(said));
	assert_null(fake_device_reach(rig->fake, IOVA, 1, R3_DMA_DEVICE_READ));
	assert_int_equal(rig_last(rig, R3_SERVE_UNMAPPED)->iova, IOVA);
	munmap(mine, 4 * RIG_PAGE);
	close(fd);
	close(sock);
}

static void protection_is_passed_on(void **state)
{
	struct rig *rig = *state;
	int fd = rig_memfd(RIG_PAGE, F_SEAL_SHRINK), sock = rig_client(rig);

	assert_int_equal(map_as(rig, sock, READ, &fd, 1), 0);
	assert_non_null(fake_device_reach(rig->fake, IOVA, 1, R3_DMA_DEVICE_READ));
	assert_null(fake_device_reach(rig->fake, IOVA, 1, R3_DMA_DEVICE_WRITE));
	assert_int_equal(rig_unmap(rig, sock, IOVA, RIG_PAGE), 0);
	assert_int_equal(map_as(rig, sock, WRITE, &fd, 1), 0);
	assert_null(fake_device_reach(rig->fake, IOVA, 1, R3_DMA_DEVICE_READ));
	assert_int_equal(rig_unmap(rig, sock, IOVA, RIG_PAGE), 0);
	assert_int_equal(map_as(rig, sock, 0, &fd, 1), -EINVAL);
	assert_int_equal(map_as(rig, sock, 4 | READ, &fd, 1), -EINVAL);
	close(fd);
	close(sock);
}

static void impossible_maps_are_errors(void **state)
{
	static const struct {
		uint64_t off, iova, len;
		int rc;
	} rows[] = {
		{0, IOVA, 0, -EINVAL},
		{0, IOVA, 100, -EINVAL},
		{0, IOVA + 1, RIG_PAGE, -EINVAL},
		{1, IOVA, RIG_PAGE, -EINVAL},
		{0, IOVA, 9 * RIG_PAGE, -EINVAL},            /* beyond the file */
		{8 * RIG_PAGE, IOVA, RIG_PAGE, -EINVAL},     /* behind it */
		{INT64_MAX - 4095, IOVA, RIG_PAGE, -EINVAL}, /* nowhere */
		{UINT64_MAX - 4095, IOVA, RIG_PAGE, -EINVAL},
		{0, UINT64_MAX - 4095, 2 * RIG_PAGE, -EINVAL}, /* wraps */
		{0, IOVA, UINT64_MAX - 4095, -EINVAL},
		{0, 0xfee00000, RIG_PAGE, -EINVAL}, /* outside the windows */
		{0, 0xfedff000, 2 * RIG_PAGE, -EINVAL},
		{0, 0x7ffffff000, 2 * RIG_PAGE, -EINVAL},
		{0, 0x201000, RIG_PAGE, -EEXIST}, /* in the midst of the other */
		{0, 0x1ff000, 2 * RIG_PAGE, -EEXIST},
		{0, 0x203000, 2 * RIG_PAGE, -EEXIST},
		{0, 0x1ff000, 8 * RIG_PAGE, -EEXIST},
		{0, 0x200000, 4 * RIG_PAGE, -EEXIST},
		{0, 0x1ff000, RIG_PAGE, 0},
		{0, 0x204000, RIG_PAGE, 0},
	};
	struct rig *rig = *state;
	int fd = rig_memfd(8 * RIG_PAGE, F_SEAL_SHRINK), sock = rig_client(rig);
	unsigned fds;

	assert_int_equal(rig_map(rig, sock, fd, 0, 0x200000, 4 * RIG_PAGE), 0);
	fds = test_count_fds();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* nor is the carrier asked, whatever it would say */
		rig->fake->fail_dma_map = rows[i].rc ? -EIO : 0;
		assert_int_equal(rig_map(rig, sock, fd, rows[i].off, rows[i].iova, rows[i].len),
				 rows[i].rc);
		if (!rows[i].rc)
			assert_int_equal(rig_unmap(rig, sock, rows[i].iova, rows[i].len), 0);
		assert_int_equal(test_count_fds(), fds);
	}
	/* an address twice, but not two files for one */
	const int both[2] = {fd, fd};
	assert_int_equal(map_as(rig, sock, READ, both, 2), -EINVAL);
	assert_int_equal(test_count_fds(), fds);
	rig->fake->fail_dma_map = -EIO;
	assert_int_equal(map_as(rig, sock, READ, &fd, 1), -EIO);
	assert_int_equal(test_count_fds(), fds);
	rig->fake->fail_dma_map = 0;
	close(fd);
	close(sock);
}

static void only_what_was_mapped_is_unmapped(void **state)
{
	struct rig *rig = *state;
	int fd = rig_memfd(8 * RIG_PAGE, F_SEAL_SHRINK), sock = rig_client(rig);
	struct vfio_user_dma_unmap all = {.argsz = sizeof(all), .flags = VFIO_DMA_UNMAP_FLAG_ALL};

	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(rig_map(rig, sock, fd, 0, IOVA + (4 - i) * 0x10000, 2 * RIG_PAGE),
				 0);
	assert_int_equal(rig_unmap(rig, sock, IOVA, RIG_PAGE), -ENOENT);
	assert_int_equal(rig_unmap(rig, sock, IOVA + RIG_PAGE, RIG_PAGE), -ENOENT);
	assert_int_equal(rig_unmap(rig, sock, IOVA, 4 * RIG_PAGE), -ENOENT);
	assert_int_equal(rig_unmap(rig, sock, 0, RIG_PAGE), -ENOENT);
	assert_int_equal(rig_unmap(rig, sock, UINT64_MAX, 1), -ENOENT);
	assert_int_equal(rig_unmap(rig, sock, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(rig_unmap(rig, sock, IOVA, 0), -EINVAL);
	assert_int_equal(rig_unmap(rig, sock, IOVA + 0x20000, 2 * RIG_PAGE), 0);
	assert_int_equal(rig_unmap(rig, sock, IOVA + 0x20000, 2 * RIG_PAGE), -ENOENT);
	assert_non_null(fake_device_reach(rig->fake, IOVA + 0x10000, 1, R3_DMA_DEVICE_READ));
	assert_non_null(fake_device_reach(rig->fake, IOVA + 0x30000, 1, R3_DMA_DEVICE_READ));
	/* what fails stays mapped */
	rig->fake->fail_dma_unmap = -EIO;
	assert_int_equal(rig_unmap(rig, sock, IOVA, 2 * RIG_PAGE), -EIO);
	rig->fake->fail_dma_unmap = 0;
	assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), -EEXIST);
	assert_int_equal(rig_call(rig, sock, VFIO_USER_DMA_UNMAP, &all, sizeof(all), NULL, 0), 0);
	for (uint64_t i = 0; i < 5; i++)
		assert_null(
			fake_device_reach(rig->fake, IOVA + i * 0x10000, 1, R3_DMA_DEVICE_READ));
	all.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	all.size = RIG_PAGE;
	assert_int_equal(rig_call(rig, sock, VFIO_USER_DMA_UNMAP, &all, sizeof(all), NULL, 0),
			 -ENOTSUP);
	close(fd);
	close(sock);
}

static void quotas_are_kept(void **state)
{
	struct rig *rig = rig_new();
	int fd = rig_memfd(64 * RIG_PAGE, F_SEAL_SHRINK), sock;

	rig->opts.max_maps = 20;
	rig->opts.max_bytes = 30 * RIG_PAGE;
	rig_serve(rig);
	for (unsigned round = 0; round < 2; round++) { /* each client anew */
		unsigned fds;

		sock = rig_client(rig);
		fds = test_count_fds();
		for (unsigned i = 0; i < 40; i++)
			assert_int_equal(rig_map(rig, sock, fd, 0, IOVA + i * RIG_PAGE, RIG_PAGE),
					 i < 20 ? 0 : -ENOSPC);
		assert_int_equal(test_count_fds(), fds + 20);
		assert_int_equal(rig_unmap(rig, sock, IOVA, RIG_PAGE), 0);
		assert_int_equal(rig_map(rig, sock, fd, 0, 0x800000, 12 * RIG_PAGE), -ENOSPC);
		assert_int_equal(rig_map(rig, sock, fd, 0, 0x800000, 11 * RIG_PAGE), 0);
		close(sock);
		rig_run(rig);
	}
	close(fd);
	rig_free(rig);
}

static void who_maps_all_the_time_is_told_of_so_often(void **state)
{
	struct rig *rig = rig_new();
	int fd = rig_memfd(RIG_PAGE, F_SEAL_SHRINK), sock;

	rig->opts.max_maps = 2;
	rig_serve(rig);
	for (unsigned client = 1; client <= 2; client++) {
		sock = rig_client(rig);
		assert_int_equal(rig_map(rig, sock, fd, 0, 0x200000, RIG_PAGE), 0);
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), 0);
			assert_int_equal(rig_unmap(rig, sock, IOVA, RIG_PAGE), 0);
		}
		assert_int_equal(rig_told(rig, R3_SERVE_MAPPED), client * 8);
		assert_int_equal(rig_told(rig, R3_SERVE_UNMAPPED), client * 9 - 2);
		assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), 0);
		close(sock);
		rig_run(rig);
		/* its end is told as a whole */
		assert_int_equal(rig_told(rig, R3_SERVE_MAPPED), client * 8);
		assert_int_equal(rig_told(rig, R3_SERVE_UNMAPPED), client * 9);
	}
	close(fd);
	rig_free(rig);
}

static void memory_without_a_file_is_refused(void **state)
{
	struct rig *rig = *state;
	int sock = rig_client(rig);

	assert_int_equal(rig_map(rig, sock, -1, 0, IOVA, RIG_PAGE), -EOPNOTSUPP);
	assert_non_null(strstr(r3_error_text(), "messages"));
	close(sock);
}

static void some_devices_reach_no_memory_of_others(void **state)
{
	static const struct {
		unsigned caps;
		const char *text;
	} rows[] = {
		{R3_CAP_DMA | R3_CAP_OWN_MEM, "its own"},
		{R3_CAP_DMA | R3_CAP_DMA_ASSIGNED, "its own"},
		{0, "no DMA"},
	};
	int fd = rig_memfd(RIG_PAGE, F_SEAL_SHRINK);

	for (unsigned i = 0; i < 3; i++) {
		struct rig *rig = rig_new();
		struct r3_vfio_user_caps caps;
		int sock;

		rig->fake->base.info.caps &= ~(unsigned)R3_CAP_DMA;
		rig->fake->base.info.caps |= rows[i].caps;
		rig_serve(rig);
		sock = rig_ring3(rig);
		assert_int_equal(r3_vfio_user_caps_decode((char *)rig->payload + 4,
							  rig->header.msg_size - 21, &caps),
				 0);
		assert_int_equal(caps.nwindows, 0);
		assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), -EOPNOTSUPP);
		assert_non_null(strstr(r3_error_text(), rows[i].text));
		close(sock);
		rig_free(rig);
	}
	close(fd);
}

/* ---- whose file it is ---- */

static void only_files_of_memory_are_taken(void **state)
{
	struct rig *rig = *state;
	int pipes[2], sock = rig_client(rig);
	int null = open("/dev/zero", O_RDWR | O_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	int folder = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	const int bad[] = {pipes[0], pipes[1], null, event, folder, sock};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(bad[i] >= 0);
		assert_int_equal(rig_map(rig, sock, bad[i], 0, IOVA, RIG_PAGE), -EINVAL);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		close(bad[i]);
}

static void our_clients_seal_theirs(void **state)
{
	struct rig *rig = *state;
	int fd = rig_memfd(RIG_PAGE, 0), sock = rig_ring3(rig);

	assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), -EPERM);
	assert_int_equal(fcntl(fd, F_GET_SEALS), 0); /* nor is it done for them */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), 0);
	close(fd);
	close(sock);
}

static void a_strangers_is_sealed_here(void **state)
{
	struct rig *rig = *state;
	int fd = rig_memfd(RIG_PAGE, 0), sock = rig_client(rig);

	assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), 0);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK);
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
	close(sock);
}

/* Nobody is ready for SIGBUS yet: before r3_sigbus_enable(), which cannot be undone. */
static void what_cannot_be_sealed_is_refused(void **state)
{
	struct rig *rig = *state;
	int fd = rig_memfd(RIG_PAGE, F_SEAL_SEAL), sock = rig_client(rig);

	assert_false(r3_sigbus_enabled());
	assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), -EPERM);
	assert_non_null(strstr(r3_error_text(), "nobody here"));
	close(fd);
	close(sock);
}

/* cmocka has handlers of its own for each test. */
static void enable_sigbus(void)
{
	static struct sigaction ours;

	if (!r3_sigbus_enabled()) {
		assert_int_equal(r3_sigbus_enable(), 0);
		assert_int_equal(sigaction(SIGBUS, NULL, &ours), 0);
	}
	assert_int_equal(sigaction(SIGBUS, &ours, NULL), 0);
}

static void a_stranger_shrinks_its_file_while_the_device_copies(void **state)
{
	struct rig *rig = *state;
	int fd, sock;
	unsigned char *its;

	test_skip_after_fault();
	fd = rig_memfd(16 * RIG_PAGE, F_SEAL_SEAL);
	enable_sigbus();
	sock = rig_client(rig);
	assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, 16 * RIG_PAGE), 0);
	its = fake_device_reach(rig->fake, IOVA, 16 * RIG_PAGE, R3_DMA_DEVICE_WRITE);
	for (unsigned i = 0; i < 16; i++) {
		memset(its + i * RIG_PAGE, 0x5a, RIG_PAGE);
		if (i == 7)
			assert_int_equal(ftruncate(fd, 4 * RIG_PAGE), 0);
	}
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(its[i * RIG_PAGE],
				 i < 4 || i > 7 ? 0x5a : 0); /* nowhere, or gone */
	/* it goes on */
	assert_int_equal(rig_read(rig, sock, 7, 0, 4), 0);
	assert_int_equal(rig_unmap(rig, sock, IOVA, 16 * RIG_PAGE), 0);
	close(sock);
	rig_run(rig);
	assert_int_equal(rig_last(rig, R3_SERVE_READY)->err, 0);
	close(fd);
}

static void nobody_else_is_killed_by_it(void **state)
{
	struct rig *rig = *state;
	int fd = rig_memfd(RIG_PAGE, F_SEAL_SEAL), sock = rig_client(rig);

	enable_sigbus();
	rig->fake->base.info.caps &= ~(unsigned)R3_CAP_IN_PROCESS;
	assert_int_equal(rig_map(rig, sock, fd, 0, IOVA, RIG_PAGE), -EPERM);
	assert_non_null(strstr(r3_error_text(), "another process"));
	close(fd);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_device_reaches_what_is_mapped),
		TEST(protection_is_passed_on),
		TEST(impossible_maps_are_errors),
		TEST(only_what_was_mapped_is_unmapped),
		cmocka_unit_test(quotas_are_kept),
		cmocka_unit_test(who_maps_all_the_time_is_told_of_so_often),
		TEST(memory_without_a_file_is_refused),
		cmocka_unit_test(some_devices_reach_no_memory_of_others),
		TEST(only_files_of_memory_are_taken),
		TEST(our_clients_seal_theirs),
		TEST(a_strangers_is_sealed_here),
		TEST(what_cannot_be_sealed_is_refused),
		TEST(a_stranger_shrinks_its_file_while_the_device_copies),
		TEST(nobody_else_is_killed_by_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
