/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate with a thread on each side, with membarrier and without: while it is closed, what
 * it guards is the control thread's alone. */
#include "fake/fake_clock.h"
#include "unit.h"
#include "util/gate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#define ROUNDS 60

/* The guarded words are plain: if both threads get at them at once, they differ. */
struct shared {
	struct r3_gate gate;
	uint64_t a, b;
	uint64_t passed;
	uint64_t torn;
	bool stop;
};

static void *queue_thread(void *arg)
{
	struct shared *shared = arg;

	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		if (!r3_gate_enter(&shared->gate)) {
			sched_yield();
			continue;
		}
		shared->torn += shared->a != shared->b;
		shared->a++;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		shared->b++;
		r3_gate_leave(&shared->gate);
		__atomic_store_n(&shared->passed, shared->passed + 1, __ATOMIC_RELAXED);
		if (shared->passed % 64 == 0)
			sched_yield(); /* valgrind runs one thread at a time, unfairly */
	}
	return NULL;
}

static void wait_for_progress(struct shared *shared)
{
	uint64_t passed = __atomic_load_n(&shared->passed, __ATOMIC_RELAXED);
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), 10 * R3_NSEC_PER_SEC);

	while (__atomic_load_n(&shared->passed, __ATOMIC_RELAXED) == passed)
		assert_true(r3_wait_step(&wait));
}

static void closed_means_alone(bool fence)
{
	struct shared shared = {.a = 0};
	pthread_t thread;
	uint64_t a;

	r3_gate_init(&shared.gate, fence);
	assert_true(shared.gate.fence || !fence);
	assert_int_equal(pthread_create(&thread, NULL, queue_thread, &shared), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i % 16 == 0)
			wait_for_progress(&shared);
		assert_int_equal(
			r3_gate_close(&shared.gate, r3_clock_system(), 10 * R3_NSEC_PER_SEC), 0);
		a = shared.a;
		assert_int_equal(a, shared.b);
		shared.a += 1000;
		sched_yield();
		assert_int_equal(shared.a, a + 1000);
		shared.b += 1000;
		r3_gate_open(&shared.gate);
	}
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(shared.torn, 0);
	assert_int_equal(shared.a, shared.b);
	assert_int_equal(shared.a, shared.passed + UINT64_C(1000) * ROUNDS);
}

static void with_membarrier(void **state)
{
	closed_means_alone(false);
}

static void with_fences(void **state)
{
	closed_means_alone(true);
}

static void whoever_stays_is_waited_for(void **state)
{
	struct fake_clock clock = fake_clock(0);
	struct r3_gate gate;

	r3_gate_init(&gate, false);
	assert_true(r3_gate_enter(&gate));
	assert_int_equal(r3_gate_close(&gate, &clock.base, R3_NSEC_PER_SEC), -ETIMEDOUT);
	assert_true(clock.now >= R3_NSEC_PER_SEC);
	r3_gate_leave(&gate);
	assert_false(r3_gate_enter(&gate)); /* it stayed closed */
	clock.now = 0;
	assert_int_equal(r3_gate_close(&gate, &clock.base, R3_NSEC_PER_SEC), 0);
	assert_int_equal(clock.now, 0);
	r3_gate_open(&gate);
	assert_true(r3_gate_enter(&gate));
	r3_gate_leave(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_membarrier),
		cmocka_unit_test(with_fences),
		cmocka_unit_test(whoever_stays_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
