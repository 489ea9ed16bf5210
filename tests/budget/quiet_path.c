/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quiet_path DEVICE...
 *
 * The data path is quiet: between submit and the doorbell, and between a completion and
 * its reap, the library makes no system call, allocates nothing and takes no lock. A
 * child runs it under a seccomp filter that kills at the first system call; calls of
 * the allocator and of locks are counted, those of the device excepted. That each
 * of these would be noticed is shown by making one.
 */
#include "budget/rig.h"
#include "unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCHES 1000

static char **devices;         /* as rig.h names them */
static volatile bool watching; /* the library runs; compilers think that malloc does not look */
static unsigned allocations, locks;

static void watch(bool library)
{
	watching = library;
}

/* ---- what the linker puts between the library and libc ---- */

#define WRAP(counter, type, name, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		counter += watching; \
		return __real_##name args; \
	}

WRAP(allocations, void *, malloc, (size_t n), (n))
WRAP(allocations, void *, calloc, (size_t n, size_t size), (n, size))
WRAP(allocations, void *, realloc, (void *ptr, size_t n), (ptr, n))
WRAP(allocations, void *, aligned_alloc, (size_t align, size_t n), (align, n))
WRAP(allocations, int, posix_memalign, (void **ptr, size_t align, size_t n), (ptr, align, n))
WRAP(allocations, void, free, (void *ptr), (ptr))
WRAP(locks, int, pthread_mutex_lock, (pthread_mutex_t * lock), (lock))
WRAP(locks, int, pthread_mutex_trylock, (pthread_mutex_t * lock), (lock))
WRAP(locks, int, pthread_spin_lock, (pthread_spinlock_t * lock), (lock))
WRAP(locks, int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
WRAP(locks, int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
WRAP(locks, int, sem_wait, (sem_t * sem), (sem))

/* ---- what breaks the rules, to show that it is seen ---- */

enum crime { NONE, SYSCALL, ALLOCATION, LOCK };

static void commit(enum crime crime)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	watching = true;
	if (crime == SYSCALL)
		syscall(SYS_getppid);
	if (crime == ALLOCATION) {
		void *volatile kept = malloc(1); /* or the compiler leaves it out */

		free(kept);
	}
	if (crime == LOCK) {
		pthread_mutex_lock(&mutex);
		pthread_mutex_unlock(&mutex);
	}
	watching = false;
}

/* From here on only exit_group(2) is allowed. */
static int forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

enum verdict { QUIET, NO_RIG, NO_FILTER, FAILED, ALLOCATED, LOCKED, MADE_A_SYSTEM_CALL };

static enum verdict child(const char *device, unsigned depth, bool foreign, enum crime crime)
{
	struct rig *rig = rig_open(device, watch, foreign);

	if (!rig)
		return NO_RIG;
	/* What happens once only, such as binding a symbol, is not the data path. */
	if (!rig_batch(rig, depth))
		return FAILED;
	if (forbid_system_calls())
		return NO_FILTER;
	allocations = locks = 0;
	for (unsigned i = 0; i < BATCHES; i++) {
		if (!rig_batch(rig, depth))
			return FAILED;
		if (i == BATCHES / 2)
			commit(crime);
	}
	return allocations ? ALLOCATED : locks ? LOCKED : QUIET;
}

static enum verdict judge(const char *device, unsigned depth, bool foreign, enum crime crime)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit((int)child(device, depth, foreign, crime));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return MADE_A_SYSTEM_CALL;
	assert_true(WIFEXITED(status));
	return (enum verdict)WEXITSTATUS(status);
}

static void expect_quiet(unsigned depth, bool foreign)
{
	for (char **device = devices; *device; device++) {
		enum verdict verdict = judge(*device, depth, foreign, NONE);

		if (verdict != QUIET)
			fail_msg("%s, %u in flight: verdict %d", *device, depth, (int)verdict);
	}
}

static void thirty_two_in_flight(void **state)
{
	expect_quiet(32, false);
}

static void one_in_flight(void **state)
{
	expect_quiet(1, false);
}

static void through_a_bounce_copy(void **state)
{
	expect_quiet(32, true);
}

static void noise_is_noticed(void **state)
{
	assert_int_equal(judge(*devices, 1, false, SYSCALL), MADE_A_SYSTEM_CALL);
	assert_int_equal(judge(*devices, 1, false, ALLOCATION), ALLOCATED);
	assert_int_equal(judge(*devices, 1, false, LOCK), LOCKED);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thirty_two_in_flight),
		cmocka_unit_test(one_in_flight),
		cmocka_unit_test(through_a_bounce_copy),
		cmocka_unit_test(noise_is_noticed),
	};

	if (argc < 2) {
		fprintf(stderr, "Usage: budget_quiet_path DEVICE...\n");
		return 2;
	}
	devices = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
