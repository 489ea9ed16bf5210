/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory whose owner shrinks it under us: what is registered is survived, all else is none
 * of our business and reaches whoever cared before. */
#include "mem/sigbus.h"
#include "unit.h"
#include "valgrind.h"

#include <ring3/mem.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define SIZE (16 * PAGE)

static sigjmp_buf escape;
static volatile sig_atomic_t caught;

static void earlier(int sig, siginfo_t *info, void *context)
{
	caught++;
	if (info->si_code > 0)
		siglongjmp(escape, 1);
}

/* A program with a handler of its own, which then asks for ours. cmocka puts one of its own
 * there for each test. */
static void enable(void)
{
	const struct sigaction action = {.sa_sigaction = earlier, .sa_flags = SA_SIGINFO};
	static struct sigaction ours;

	test_skip_after_fault();
	if (!r3_sigbus_enabled()) {
		assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
		assert_int_equal(r3_sigbus_enable(), 0);
		assert_true(r3_sigbus_enabled());
		assert_int_equal(sigaction(SIGBUS, NULL, &ours), 0);
	}
	assert_int_equal(r3_sigbus_enable(), 0); /* twice is once */
	assert_int_equal(sigaction(SIGBUS, &ours, NULL), 0);
}

static int stranger(void)
{
	int fd = memfd_create("stranger", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	return fd;
}

static unsigned char *import(int fd, struct r3_mem **mem)
{
	enable();
	assert_int_equal(r3_mem_import(fd, 0, SIZE, R3_MEM_UNSEALED, mem), 0);
	return r3_mem_addr(*mem);
}

static void lost_pages_become_zeroes(void **state)
{
	int fd = stranger();
	struct r3_mem *mem;
	unsigned char *at = import(fd, &mem);

	caught = 0;
	memset(at, 0x5a, SIZE);
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(at[i], i < 4 * PAGE ? 0x5a : 0);
	memset(at + 5 * PAGE, 0xa5, PAGE); /* goes nowhere, and stays there */
	assert_int_equal(at[5 * PAGE + 7], 0xa5);
	assert_int_equal(ftruncate(fd, 0), 0);
	memset(at, 1, SIZE);
	assert_int_equal(caught, 0);
	r3_mem_unref(mem);
	close(fd);
}

static void other_faults_reach_the_earlier_handler(void **state)
{
	int fd = stranger();
	volatile unsigned char *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

	enable();
	assert_true(at != MAP_FAILED);
	assert_int_equal(ftruncate(fd, 0), 0);
	caught = 0;
	if (!sigsetjmp(escape, 1)) {
		(void)at[PAGE];
		fail_msg("there is no page to read");
	}
	assert_int_equal(caught, 1);
	/* sent by somebody, with whatever address */
	assert_int_equal(raise(SIGBUS), 0);
	assert_int_equal(caught, 2);
	munmap((void *)(uintptr_t)at, SIZE);
	close(fd);
}

static void a_neighbour_is_not_ours(void **state)
{
	int fd = stranger();
	volatile unsigned char *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

	enable();
	assert_true(at != MAP_FAILED);
	assert_int_equal(r3_sigbus_watch((void *)(uintptr_t)(at + PAGE), 2 * PAGE, PAGE), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(at[PAGE], 0);
	assert_int_equal(at[3 * PAGE - 1], 0);
	for (volatile unsigned i = 0; i < 2; i++) {
		caught = 0;
		if (!sigsetjmp(escape, 1)) {
			(void)at[i ? 3 * PAGE : PAGE - 1];
			fail_msg("there is no page to read");
		}
		assert_int_equal(caught, 1);
	}
	r3_sigbus_unwatch((void *)(uintptr_t)(at + PAGE));
	munmap((void *)(uintptr_t)at, SIZE);
	close(fd);
}

static void nothing_is_caught_after_the_last_reference(void **state)
{
	struct r3_mem *mem[200];
	int fd = stranger();
	unsigned char *at;

	/* more than one block of the list holds */
	for (unsigned i = 0; i < 200; i++)
		import(fd, &mem[i]);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(((unsigned char *)r3_mem_addr(mem[i]))[8 * PAGE], 0);
	at = r3_mem_addr(mem[100]);
	for (unsigned i = 0; i < 200; i++)
		r3_mem_unref(mem[i]);

	/* the same place, now somebody else's */
	volatile unsigned char *other = mmap(at, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	assert_true(other == at);
	caught = 0;
	if (!sigsetjmp(escape, 1)) {
		(void)other[8 * PAGE];
		fail_msg("there is no page to read");
	}
	assert_int_equal(caught, 1);
	munmap(at, SIZE);
	close(fd);
}

static void a_program_without_a_handler_dies_as_before(void **state)
{
	int fd = stranger(), status;
	volatile unsigned char *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	pid_t child;

	assert_true(at != MAP_FAILED);
	assert_int_equal(ftruncate(fd, 0), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		signal(SIGBUS, SIG_DFL); /* and whatever a sanitizer has */
		if (r3_sigbus_enable())
			_exit(1);
		(void)at[0];
		_exit(2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	munmap((void *)(uintptr_t)at, SIZE);
	close(fd);
}

struct copier {
	unsigned char *at;
	bool stop;
};

static void *copy(void *arg)
{
	struct copier *copier = arg;
	unsigned char page[PAGE];

	while (!__atomic_load_n(&copier->stop, __ATOMIC_RELAXED))
		for (unsigned i = 0; i < SIZE; i += PAGE) {
			memcpy(page, copier->at + i, PAGE);
			memset(copier->at + i, (int)i, PAGE);
		}
	return NULL;
}

static void threads_copy_while_it_shrinks(void **state)
{
	for (unsigned round = 0; round < 20; round++) {
		int fd = stranger();
		struct r3_mem *mem, *other;
		struct copier copier = {.at = import(fd, &mem)};
		pthread_t thread[2];

		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, copy, &copier), 0);
		for (unsigned i = 0; i < 16; i++) {
			assert_int_equal(ftruncate(fd, (off_t)((15 - i) * PAGE)), 0);
			/* the list changes meanwhile */
			assert_int_equal(r3_mem_import(fd, 0, PAGE, R3_MEM_UNSEALED, &other),
					 i == 15 ? -EINVAL : 0);
			if (i < 15)
				r3_mem_unref(other);
		}
		__atomic_store_n(&copier.stop, true, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(pthread_join(thread[i], NULL), 0);
		r3_mem_unref(mem);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_without_a_handler_dies_as_before),
		cmocka_unit_test(lost_pages_become_zeroes),
		cmocka_unit_test(other_faults_reach_the_earlier_handler),
		cmocka_unit_test(a_neighbour_is_not_ours),
		cmocka_unit_test(nothing_is_caught_after_the_last_reference),
		cmocka_unit_test(threads_copy_while_it_shrinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
