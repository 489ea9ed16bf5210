/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory plugged into QEMU for its IOMMU to point to: shared, reused, used up, refused. */
#include "iommu_bed.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned plugged(void)
{
	struct r3_qemu_dimms *dimms = &r3_qemu_of(dev)->iommu->dimms;
	unsigned n = 0;

	for (unsigned i = 0; i < R3_QEMU_DIMM_SLOTS; i++)
		n += dimms->slot[i].refs > 0;
	return n;
}

static void one_file_is_plugged_once(void **state)
{
	struct r3_mem *mem = new_memory(3 << 20, 0), *again;

	fill_device(0xa5);
	assert_int_equal(plugged(), 0);
	map(mem, 0, 1 << 20, BOTH, 0x40000000);
	map(mem, 0, 1 << 20, BOTH, 0x50000000);
	map(mem, 2 << 20, 1 << 20, BOTH, 0x40100000); /* behind the first, elsewhere in the file */
	assert_int_equal(r3_mem_import(r3_mem_fd(mem), 1 << 20, 1 << 20, 0, &again), 0);
	map(again, 0, 1 << 20, BOTH, 0x60000000);
	assert_int_equal(plugged(), 1);
	device_writes(0x50000000);
	all_are(bytes_of(mem), 0xa5, LEN);
	unmap(0x50000000, 1 << 20);
	device_writes(0x40001000);
	all_are(bytes_of(mem) + 4096, 0xa5, LEN);
	device_writes(0x40100000);
	all_are(bytes_of(mem) + (2 << 20), 0xa5, LEN);
	device_writes(0x60000000);
	all_are(bytes_of(mem) + (1 << 20), 0xa5, LEN);
	unmap(0x40000000, 2 << 20); /* both at once */
	assert_int_equal(plugged(), 1);
	unmap(0x60000000, 1 << 20);
	assert_int_equal(plugged(), 0);
	r3_mem_unref(again);
	r3_mem_unref(mem);
}

/* A transfer that goes over from one file to the next. */
static void two_memories_meet(void **state)
{
	struct r3_mem *first = new_memory(8192, 0), *second = new_memory(4096, 0);

	fill_device(0xa5);
	map(second, 0, 4096, BOTH, 0x40002000);
	map(first, 0, 8192, BOTH, 0x40000000);
	device_writes(0x40002000 - LEN / 2);
	all_are(bytes_of(first) + 8192 - LEN / 2, 0xa5, LEN / 2);
	all_are(bytes_of(second), 0xa5, LEN / 2);
	unmap(0x40002000, 4096);
	memset(bytes_of(second), 0, 4096);
	device_writes(0x40002000 - LEN / 2);
	all_are(bytes_of(second), 0, 4096);
	fault_is(0x40002000, "write");
	unmap(0x40000000, 8192);
	r3_mem_unref(first);
	r3_mem_unref(second);
}

/* Bytes of QEMU's that are resident. */
static uint64_t resident(void)
{
	char path[64];
	unsigned long long pages = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", r3_qemu_pid(dev));
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %llu", &pages), 1);
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned fds_of_qemu(void)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", r3_qemu_pid(dev));
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void cycle(unsigned i)
{
	struct r3_mem *mem = new_memory(1 << 20, (int)i);
	uint64_t iova = (uint64_t)(i * 7919 % 4096) << 32 | 0x1000 * (i % 512);

	map(mem, 0, 1 << 20, BOTH, iova);
	unmap(iova, 1 << 20);
	r3_mem_unref(mem);
}

static void nothing_is_left_behind(void **state)
{
	struct r3_qemu_iommu *iommu = r3_qemu_of(dev)->iommu;
	unsigned ours, theirs;
	uint64_t before, tables, now;

	for (unsigned i = 0; i < 20; i++)
		cycle(i);
	ours = test_count_fds();
	theirs = fds_of_qemu();
	before = resident();
	r3_arena_usage(iommu->vtd.arena, &tables, NULL);
	for (unsigned i = 0; i < 300; i++)
		cycle(i);
	assert_int_equal(plugged(), 0);
	assert_int_equal(iommu->nmaps, 0);
	assert_int_equal(test_count_fds(), ours);
	assert_true(fds_of_qemu() <= theirs + 16); /* it closes some a little later */
	r3_arena_usage(iommu->vtd.arena, &now, NULL);
	assert_int_equal(now, tables);
	/* of 300 MiB that went through it */
	assert_true(resident() < before + (30 << 20));
}

static void slots_end_and_come_back(void **state)
{
	static struct r3_mem *mem[R3_QEMU_DIMM_SLOTS + 1];

	for (unsigned i = 0; i <= R3_QEMU_DIMM_SLOTS; i++)
		mem[i] = new_memory(4096, (int)i);
	for (uint64_t i = 0; i < R3_QEMU_DIMM_SLOTS; i++)
		map(mem[i], 0, 4096, BOTH, 0x40000000 + i * 4096);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(try_map(mem[R3_QEMU_DIMM_SLOTS], 0, 4096, BOTH, 0x80000000),
				 -ENOSPC);
		assert_non_null(strstr(r3_error_text(), "unmap something first"));
	}
	/* what is there works, what was there makes room */
	map(mem[7], 0, 4096, BOTH, 0x90000000);
	device_reads(0x40000000 + 255 * 4096);
	device_writes(0x90000000);
	all_are(bytes_of(mem[7]), 255, LEN);
	unmap(0x40000000 + 100 * 4096, 4096);
	map(mem[R3_QEMU_DIMM_SLOTS], 0, 4096, BOTH, 0x80000000);
	device_writes(0x80000000);
	all_are(bytes_of(mem[R3_QEMU_DIMM_SLOTS]), 255, LEN);
	no_event(dev);
	unmap(0, UINT64_C(1) << 47); /* all of them */
	assert_int_equal(plugged(), 0);
	for (unsigned i = 0; i <= R3_QEMU_DIMM_SLOTS; i++)
		r3_mem_unref(mem[i]);
}

static void address_space_ends(void **state)
{
	struct r3_mem *mem;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	/* 1 TiB does not fit: what is mapped of it does, if it lies at its beginning */
	assert_int_equal(r3_mem_import(fd, 0, 1 << 20, 0, &mem), 0);
	map(mem, 0, 1 << 20, BOTH, 0x40000000);
	unmap(0x40000000, 1 << 20);
	r3_mem_unref(mem);
	assert_int_equal(r3_mem_import(fd, UINT64_C(600) << 30, 1 << 20, 0, &mem), 0);
	assert_int_equal(try_map(mem, 0, 1 << 20, BOTH, 0x40000000), -ENOSPC);
	assert_non_null(strstr(r3_error_text(), "no room"));
	r3_mem_unref(mem);
	assert_int_equal(plugged(), 0);
	close(fd);
}

/* A growing file is plugged again when what has grown is asked for. */
static void a_file_may_grow(void **state)
{
	struct r3_mem *small, *large;
	int fd = memfd_create("growing", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	fill_device(0xa5);
	assert_int_equal(ftruncate(fd, 8192 + 100), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(r3_mem_import(fd, 0, 8192, 0, &small), 0);
	map(small, 4096, 4096, BOTH, 0x40000000);
	assert_int_equal(ftruncate(fd, 65536), 0);
	assert_int_equal(r3_mem_import(fd, 4096, 32768, 0, &large), 0);
	map(large, 0, 32768, BOTH, 0x50000000);
	assert_int_equal(plugged(), 2);
	device_writes(0x50001000);
	all_are(bytes_of(large) + 4096, 0xa5, LEN);
	device_writes(0x40000000);
	all_are(bytes_of(large), 0xa5, LEN);
	unmap(0x40000000, 4096);
	unmap(0x50000000, 32768);
	r3_mem_unref(small);
	r3_mem_unref(large);
	close(fd);
}

static void what_may_shrink_is_refused(void **state)
{
	struct r3_mem *mem;
	int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(r3_mem_import(fd, 0, 8192, R3_MEM_UNSEALED, &mem), 0);
	assert_int_equal(try_map(mem, 0, 8192, BOTH, 0x40000000), -EPERM);
	assert_non_null(strstr(r3_error_text(), "F_SEAL_SHRINK"));
	assert_int_equal(plugged(), 0);
	r3_mem_unref(mem);
	close(fd);
}

/* Sealed by somebody, after it was mapped by us: new mappings cannot be written any more. */
static void what_is_sealed_is_read_only(void **state)
{
	int fd = memfd_create("constant", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct r3_mem *mem;

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(r3_mem_import(fd, 0, 4096, R3_MEM_UNSEALED, &mem), 0);
	memset(bytes_of(mem), 0x77, 4096);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), 0);
	assert_int_equal(try_map(mem, 0, 4096, BOTH, 0x40000000), -EACCES);
	map(mem, 0, 4096, R3_DMA_DEVICE_READ, 0x40000000);
	device_writes(0x40000000);
	all_are(bytes_of(mem), 0x77, 4096);
	fault_is(0x40000000, "write");
	device_reads(0x40000000);
	unmap(0x40000000, 4096);
	r3_mem_unref(mem);
	mem = new_memory(4096, 0);
	map(mem, 0, 4096, BOTH, 0x40000000);
	device_writes(0x40000000);
	all_are(bytes_of(mem), 0x77, LEN);
	r3_mem_unref(mem);
	close(fd);
}

/* QEMU may run as somebody else: what it is given it can open again all the same. */
static void another_users_qemu_takes_it(void **state)
{
	const struct r3_open_opts opts = {.size = sizeof(opts),
					  .flags = R3_OPEN_FOREIGN_MEM,
					  .child_uid = 61234,
					  .child_gid = 61235};
	struct r3_mem *mem;

	if (geteuid() != 0)
		skip();
	r3_device_close(dev);
	if (r3_device_open("qemu:edu", &opts, &dev))
		fail_msg("%s", r3_error_text());
	bar = open_region(dev, R3_REGION_BAR0);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	assert_int_equal(dev->info.caps & (R3_CAP_OWN_MEM | R3_CAP_DMA_ASSIGNED), 0);
	mem = new_memory(4096, 0x66);
	map(mem, 0, 4096, BOTH, 0x1000000);
	device_reads(0x1000000);
	memset(bytes_of(mem), 0, 4096);
	device_writes(0x1000000);
	all_are(bytes_of(mem), 0x66, LEN);
	r3_mem_unref(mem);
}

static void nonsense_is_refused(void **state)
{
	struct r3_mem *mem = new_memory(65536, 0);
	static const struct {
		uint64_t off, len, iova;
		unsigned prot;
		int rc;
	} rows[] = {
		{0, 0, 0x40000000, BOTH, -EINVAL},
		{1, 4096, 0x40000000, BOTH, -EINVAL},
		{0, 100, 0x40000000, BOTH, -EINVAL},
		{0, 4096, 0x40000100, BOTH, -EINVAL},
		{0, 4096, 0x40000000, 0, -EINVAL},
		{0, 4096, 0x40000000, 8, -EINVAL},
		{61440, 8192, 0x40000000, BOTH, -EINVAL},
		{65536, 4096, 0x40000000, BOTH, -EINVAL},
		{UINT64_MAX - 4095, 4096, 0x40000000, BOTH, -EINVAL},
		{0, 4096, 0xfee00000, BOTH, -EINVAL},
		{0, 4096, 0xfeeff000, BOTH, -EINVAL},
		{0, 4096, R3_QEMU_DOORBELL_IOVA, BOTH, -EINVAL},
		{0, 8192, R3_QEMU_DOORBELL_IOVA - 4096, BOTH, -EINVAL},
		{0, 4096, UINT64_C(1) << 48, BOTH, -EINVAL},
		{0, 8192, (UINT64_C(1) << 48) - 4096, BOTH, -EINVAL},
		{0, 8192, UINT64_MAX - 4095, BOTH, -EINVAL},
		{0, 4096, 0x20001000, BOTH, -EEXIST},
		{0, 65536, 0x1fff8000, BOTH, -EEXIST},
	};

	map(mem, 0, 16384, BOTH, 0x20000000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int rc = try_map(mem, rows[i].off, rows[i].len, rows[i].prot, rows[i].iova);

		if (rc != rows[i].rc)
			fail_msg("row %zu: %d, not %d", i, rc, rows[i].rc);
		assert_non_null(strstr(r3_error_text(), "qemu:edu"));
	}
	assert_int_equal(dev->ops->dma_unmap(dev, 0x20000000, 4096), -EINVAL);
	assert_int_equal(dev->ops->dma_unmap(dev, 0x20001000, 16384), -EINVAL);
	assert_int_equal(dev->ops->dma_unmap(dev, 0x30000000, 4096), -EINVAL);
	assert_int_equal(dev->ops->dma_unmap(dev, 0x20000000, 0), -EINVAL);
	assert_int_equal(dev->ops->dma_unmap(dev, UINT64_MAX - 4095, 8192), -EINVAL);
	/* the edges are the device's */
	map(mem, 0, 4096, BOTH, 0);
	map(mem, 0, 4096, BOTH, R3_QEMU_DOORBELL_IOVA - 4096);
	map(mem, 0, 4096, BOTH, 0xfef00000);
	map(mem, 0, 4096, BOTH, (UINT64_C(1) << 48) - 4096);
	fill_device(0x5a);
	device_writes((UINT64_C(1) << 48) - 4096);
	all_are(bytes_of(mem), 0x5a, LEN);
	unmap(0, UINT64_C(1) << 48);
	r3_mem_unref(mem);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_file_is_plugged_once),    TEST(two_memories_meet),
		TEST(nothing_is_left_behind),      TEST(slots_end_and_come_back),
		TEST(address_space_ends),          TEST(a_file_may_grow),
		TEST(what_may_shrink_is_refused),  TEST(what_is_sealed_is_read_only),
		TEST(another_users_qemu_takes_it), TEST(nonsense_is_refused),
	};

	r3_log_sink(R3_LOG_WARN, keep_log, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
