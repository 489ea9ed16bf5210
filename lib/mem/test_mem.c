/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory to hand around: sealed, shared by its fd, counted. */
#include "unit.h"

#include <ring3/error.h>
#include <ring3/mem.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void created_memory_is_sealed(void **state)
{
	struct r3_mem *mem;
	const unsigned char *at;

	assert_int_equal(r3_mem_create("test", 5000, 0, &mem), 0);
	assert_int_equal(r3_mem_size(mem), 8192);
	assert_int_equal(r3_mem_fd_offset(mem), 0);
	at = r3_mem_addr(mem);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(at[i], 0);
	assert_int_equal(ftruncate(r3_mem_fd(mem), 4096), -1);
	assert_int_equal(ftruncate(r3_mem_fd(mem), 16384), -1);
	assert_int_equal(fcntl(r3_mem_fd(mem), F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fcntl(r3_mem_fd(mem), F_GETFD), FD_CLOEXEC);
	r3_mem_unref(mem);
	r3_mem_unref(NULL);
}

static void absurd_sizes_are_refused(void **state)
{
	struct r3_mem *mem;

	assert_int_equal(r3_mem_create("test", 0, 0, &mem), -EINVAL);
	assert_int_equal(r3_mem_create("test", UINT64_MAX, 0, &mem), -EINVAL);
	assert_int_equal(r3_mem_create("test", UINT64_MAX - 100, R3_MEM_HUGE, &mem), -EINVAL);
	assert_int_equal(r3_mem_create("test", 4096, 1u << 20, &mem), -EINVAL);
	/* more than any address space */
	assert_true(r3_mem_create("test", UINT64_C(1) << 60, 0, &mem) < 0);
	assert_non_null(strstr(r3_error_text(), "test"));
}

static void huge_falls_back_to_small(void **state)
{
	struct r3_mem *mem;

	/* few machines have that many huge pages free */
	assert_int_equal(r3_mem_create("test", UINT64_C(1) << 34, R3_MEM_HUGE, &mem), 0);
	assert_int_equal(r3_mem_size(mem), UINT64_C(1) << 34);
	memset(r3_mem_addr(mem), 1, 1);
	r3_mem_unref(mem);
}

static void import_shares(void **state)
{
	struct r3_mem *mem, *part;
	char *all;

	assert_int_equal(r3_mem_create("test", 16384, 0, &mem), 0);
	all = r3_mem_addr(mem);
	assert_int_equal(r3_mem_import(r3_mem_fd(mem), 4096, 8192, 0, &part), 0);
	assert_int_not_equal(r3_mem_fd(part), r3_mem_fd(mem));
	assert_int_equal(r3_mem_fd_offset(part), 4096);
	assert_int_equal(r3_mem_size(part), 8192);
	all[4096 + 17] = 42;
	assert_int_equal(((char *)r3_mem_addr(part))[17], 42);
	assert_ptr_equal(r3_mem_ref(part), part);
	r3_mem_unref(part);
	r3_mem_unref(mem);
	assert_int_equal(((char *)r3_mem_addr(part))[17], 42);
	r3_mem_unref(part);
}

static void import_checks(void **state)
{
	struct r3_mem *mem, *part;
	int fd;

	assert_int_equal(r3_mem_create("test", 16384, 0, &mem), 0);
	fd = r3_mem_fd(mem);
	assert_int_equal(r3_mem_import(fd, 1, 4096, 0, &part), -EINVAL);
	assert_int_equal(r3_mem_import(fd, 0, 100, 0, &part), -EINVAL);
	assert_int_equal(r3_mem_import(fd, 0, 0, 0, &part), -EINVAL);
	assert_int_equal(r3_mem_import(fd, 0, 20480, 0, &part), -EINVAL);
	assert_int_equal(r3_mem_import(fd, 16384, 4096, 0, &part), -EINVAL);
	assert_int_equal(r3_mem_import(fd, (uint64_t)-4096, 8192, 0, &part), -EINVAL);
	assert_int_equal(r3_mem_import(-1, 0, 4096, 0, &part), -EBADF);
	r3_mem_unref(mem);

	fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(r3_mem_import(fd, 0, 8192, 0, &part), -EPERM);
	assert_non_null(strstr(r3_error_text(), "F_SEAL_SHRINK"));
	assert_int_equal(r3_mem_import(fd, 0, 8192, R3_MEM_UNSEALED, &part), 0);
	r3_mem_unref(part);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
	assert_int_equal(r3_mem_import(fd, 0, 8192, 0, &part), -EPERM); /* cannot be written */
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(created_memory_is_sealed),
		cmocka_unit_test(absurd_sizes_are_refused),
		cmocka_unit_test(huge_falls_back_to_small),
		cmocka_unit_test(import_shares),
		cmocka_unit_test(import_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
