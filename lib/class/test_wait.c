/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for a queue, and the one-request call built on it. */
#include "unit.h"

#include "class/test_provider.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#define SECOND R3_NSEC_PER_SEC

static char memory[1 << 20];

/* Years in a moment. */
struct fast_clock {
	struct r3_clock base;
	uint64_t now;
};

static uint64_t fast_now(struct r3_clock *clock)
{
	return ((struct fast_clock *)clock)->now += 100;
}

static void fast_sleep(struct r3_clock *clock, uint64_t ns)
{
	((struct fast_clock *)clock)->now += ns;
}

static struct fast_clock fast = {.base = {.now = fast_now, .sleep = fast_sleep}};

static struct r3_blkq *make(struct provider *p, enum r3_blkq_mode mode)
{
	struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = mode};
	struct r3_blkq *queue;

	provider_init(p);
	assert_int_equal(r3_blkq_open(&p->base, &opts, &queue), 0);
	return queue;
}

static void end(struct provider *p, struct r3_blkq *queue)
{
	r3_blkq_close(queue);
	r3_block_close(&p->base);
	assert_int_equal(p->closed, 1);
}

static bool readable(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};
	return poll(&one, 1, 0) == 1;
}

static void test_ready_at_once(void **state)
{
	const enum r3_blkq_mode modes[] = {R3_BLKQ_INTERRUPT, R3_BLKQ_POLL};

	for (unsigned i = 0; i < 2; i++) {
		struct provider p;
		struct r3_blkq *queue = make(&p, modes[i]);
		struct r3_blk_req req = {.op = R3_BLK_FLUSH}, *list = &req;

		assert_int_equal(r3_blkq_submit(queue, &list, 1), 1);
		assert_int_equal(r3_blkq_wait(queue, 0), -ETIMEDOUT);
		provider_complete((struct provider_queue *)queue, 0);
		assert_int_equal(r3_blkq_wait(queue, 0), 0);
		assert_int_equal(r3_blkq_wait(queue, UINT64_MAX), 0);
		assert_int_equal(r3_blkq_reap(queue, &list, 1), 1);
		assert_int_equal(r3_blkq_wait(queue, R3_NSEC_PER_MSEC), -ETIMEDOUT);
		end(&p, queue);
	}
}

/* Completions that only a dispatch brings, and events that nobody asked for. */
static void test_dispatch_meanwhile(void **state)
{
	struct provider p;
	struct r3_blkq *queue = make(&p, R3_BLKQ_INTERRUPT);
	struct r3_blk_req req = {.op = R3_BLK_FLUSH}, *list = &req;
	struct r3_block_event event;

	assert_int_equal(r3_blkq_submit(queue, &list, 1), 1);
	p.done_in_dispatch = true;
	p.kept_events = 1;
	provider_alert(&p);
	assert_int_equal(r3_blkq_wait(queue, SECOND), 0);
	assert_int_equal(r3_blkq_reap(queue, &list, 1), 1);

	/* The event is still there; waiting on does not spin over it. */
	p.done_in_dispatch = false;
	p.dispatched = 0;
	assert_int_equal(r3_blkq_wait(queue, 20 * R3_NSEC_PER_MSEC), -ETIMEDOUT);
	assert_in_range(p.dispatched, 1, 100);
	assert_true(readable(r3_block_fd(&p.base)));
	assert_int_equal(r3_block_dispatch(&p.base, &event, 1), 1);
	assert_int_equal(event.type, R3_BLOCK_EVENT_WARNING);
	assert_false(readable(r3_block_fd(&p.base)));
	end(&p, queue);
}

static void test_other_clock(void **state)
{
	const enum r3_blkq_mode modes[] = {R3_BLKQ_INTERRUPT, R3_BLKQ_POLL, R3_BLKQ_ADAPTIVE};

	for (unsigned i = 0; i < 3; i++) {
		struct provider p;
		struct r3_blkq *queue = make(&p, modes[i]);
		uint64_t before = fast.now;

		p.base.clock = &fast.base;
		assert_int_equal(r3_blkq_wait(queue, 100 * SECOND), -ETIMEDOUT);
		assert_in_range(fast.now - before, 100 * SECOND, 101 * SECOND);
		end(&p, queue);
	}
}

static void on_alarm(int signo)
{
}

static void test_interrupted(void **state)
{
	struct provider p;
	struct r3_blkq *queue = make(&p, R3_BLKQ_INTERRUPT);
	const struct sigaction act = {.sa_handler = on_alarm};
	const struct itimerval soon = {.it_interval = {0, 2000}, .it_value = {0, 2000}}, off = {0};

	/* stays: a last signal may be under way when the timer is off */
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(r3_blkq_wait(queue, 10 * SECOND), -EINTR);
	/* r3_blkq_do() goes on until its own time is up. */
	assert_int_equal(r3_blkq_do(queue, R3_BLK_FLUSH, 0, 0, NULL, 0, 20 * R3_NSEC_PER_MSEC),
			 -ETIMEDOUT);
	setitimer(ITIMER_REAL, &off, NULL);

	/* What timed out is still in flight: the queue takes nothing else by this way. */
	assert_int_equal(r3_blkq_do(queue, R3_BLK_FLUSH, 0, 0, NULL, 0, SECOND), -EBUSY);
	end(&p, queue);
}

static void test_do_splits(void **state)
{
	struct provider p;
	struct r3_blkq *queue = make(&p, R3_BLKQ_INTERRUPT);
	static const struct {
		enum r3_blk_op op;
		uint64_t len;
		unsigned n;
	} cases[] = {
		{R3_BLK_READ, 4096, 1},
		{R3_BLK_READ, 65536, 1},
		{R3_BLK_WRITE, 65536 + 4096, 2},
		{R3_BLK_READ, 1 << 20, 16},
		{R3_BLK_WRITE_ZEROES, 1 << 20, 8},
		{R3_BLK_DISCARD, 1 << 20, 4},
	};

	p.done_in_kick = true;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p.submitted = 0;
		p.data_len = 0;
		assert_int_equal(r3_blkq_do(queue, cases[i].op, 0, 0, memory, cases[i].len, SECOND),
				 0);
		assert_int_equal(p.submitted, cases[i].n);
		assert_int_equal(p.data_len, cases[i].len);
	}
	p.submitted = 0;
	assert_int_equal(r3_blkq_do(queue, R3_BLK_FLUSH, 0, 7, NULL, 7, SECOND), 0);
	assert_int_equal(p.submitted, 1);

	/* Nothing is done of what is wrong as a whole. */
	p.submitted = 0;
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 4096, memory, 1 << 20, SECOND), -EINVAL);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 0, memory, 65536 + 512, SECOND),
			 -EINVAL);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 0, memory, 0, SECOND), -EINVAL);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 256, 0, memory, 4096, SECOND), -EINVAL);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_NOPS, 0, 0, memory, 4096, SECOND), -EINVAL);
	p.base.limits.max_discard_len = 0;
	p.base.limits.features &= ~(uint32_t)R3_BLOCK_DISCARD;
	assert_int_equal(r3_blkq_do(queue, R3_BLK_DISCARD, 0, 0, NULL, 4096, SECOND), -EOPNOTSUPP);
	assert_int_equal(p.submitted, 0);

	p.err = -EIO;
	assert_int_equal(r3_blkq_do(queue, R3_BLK_WRITE, 0, 0, memory, 1 << 20, SECOND), -EIO);
	assert_int_equal(p.submitted, 1);
	assert_non_null(strstr(r3_error_text(), "write of 65536 bytes at 0"));
	/* A kick that fails says less than the request does. */
	p.err = -ENODEV;
	p.kick_rc = -ENODEV;
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 0, memory, 4096, SECOND), -ENODEV);
	assert_int_equal(r3_blkq_inflight(queue), 0);
	end(&p, queue);
}

static void test_do_without_room(void **state)
{
	struct provider p;
	struct r3_blkq *queue = make(&p, R3_BLKQ_INTERRUPT);

	p.base.clock = &fast.base;
	p.room = 0;
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 0, memory, 4096, SECOND), -ETIMEDOUT);
	assert_int_equal(r3_blkq_inflight(queue), 0);
	end(&p, queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready_at_once), cmocka_unit_test(test_dispatch_meanwhile),
		cmocka_unit_test(test_other_clock),   cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_do_splits),     cmocka_unit_test(test_do_without_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
