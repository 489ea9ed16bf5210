/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wake-ups. After r3_blkq_arm() returned 0 the fd must become readable, whenever the
 * completion comes: before, between or after. Random pauses move it about.
 */
#include "suite.h"

#include <errno.h>
#include <poll.h>

static void pause_a_little(void)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t end = r3_clock_now(clock) + test_random_below(&suite.random, 60000);

	if (test_random_below(&suite.random, 2))
		while (r3_clock_now(clock) < end)
			;
}

static bool readable(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, 0) == 1;
}

/** Whether the fd becomes readable without anybody looking at the queue. */
static bool wakes(struct r3_blkq *queue)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t end = r3_clock_now(clock) + PATIENCE_NS;
	struct pollfd fds[2] = {
		{.fd = r3_blkq_fd(queue), .events = POLLIN},
		{.fd = r3_block_fd(suite.block), .events = POLLIN},
	};

	while (fds[0].fd >= 0 && !fds[0].revents && r3_clock_now(clock) < end) {
		poll(fds, 2, PATIENCE_MS);
		if (fds[1].revents) {
			struct r3_block_event events[4];
			(void)r3_block_dispatch(suite.block, events, 4);
		}
	}
	return fds[0].fd < 0 || fds[0].revents;
}

/* Late interrupts may wake once more; an idle queue must come to rest all the same, or
 * its program would spin. */
static void check_rest(struct r3_blkq *queue)
{
	struct r3_blk_req *none;
	unsigned wakes = 0;

	if (r3_blkq_fd(queue) < 0)
		return;
	do {
		assert_int_equal(r3_blkq_reap(queue, &none, 1), 0);
		assert_int_equal(r3_blkq_arm(queue), 0);
		assert_true(wakes++ < 100);
	} while (readable(r3_blkq_fd(queue)));
}

static void check_rest_of_wait(struct r3_blkq *queue)
{
	struct r3_blk_req *none;
	unsigned wakes = 0;
	int rc;

	while ((rc = r3_blkq_wait(queue, R3_NSEC_PER_MSEC)) == 0) {
		assert_int_equal(r3_blkq_reap(queue, &none, 1), 0);
		assert_true(wakes++ < 100);
	}
	suite_expect(rc, -ETIMEDOUT, "r3_blkq_wait when idle");
}

static void try_wakes(unsigned depth, unsigned rounds)
{
	const uint32_t block = suite.limits->block_size;
	struct r3_blkq *queue = suite_queue(depth);
	struct r3_blk_req *reqs = calloc(depth, sizeof(*reqs));
	struct r3_blk_req **list = calloc(depth, sizeof(struct r3_blk_req *));
	struct r3_blk_req *done[8];
	const int fd = r3_blkq_fd(queue);
	struct r3_sg sg;

	assert_non_null(reqs);
	assert_non_null(list);
	if (suite.mode != R3_BLKQ_POLL)
		assert_true(fd >= 0);
	suite_expect(r3_block_alloc(suite.block, block, &sg.addr), 0, "r3_block_alloc");
	sg.len = block;
	for (unsigned i = 0; i < depth; i++)
		list[i] = &reqs[i];

	for (unsigned round = 0; round < rounds; round++) {
		unsigned n = depth < 3 ? depth : depth - test_random_below(&suite.random, 3);
		for (unsigned i = 0; i < n; i++)
			reqs[i] = (struct r3_blk_req){.nsg = 1, .sg = &sg, .len = block};
		assert_int_equal(r3_blkq_submit(queue, list, n), n);
		/* armed before the kick, too: that is allowed, and must wake */
		bool armed = test_random_below(&suite.random, 4) == 0 && !r3_blkq_arm(queue);
		suite_expect(r3_blkq_kick(queue), 0, "r3_blkq_kick");
		if (armed && !wakes(queue))
			fail_msg("depth %u, round %u: armed, kicked and not woken", depth, round);
		pause_a_little();
		while (n) {
			if (!suite_sleep(queue, true))
				fail_msg("depth %u, round %u: a wake-up was lost, %u in flight",
					 depth, round, n);
			pause_a_little();
			int rc = r3_blkq_reap(queue, done, 1 + test_random_below(&suite.random, 8));
			assert_in_range(rc, 0, n);
			n -= (unsigned)rc;
		}
		assert_int_equal(r3_blkq_fd(queue), fd);
		if (round % 64 == 0)
			check_rest(queue);
	}
	check_rest(queue);

	/* and by the library's own loop */
	for (unsigned round = 0; round < rounds / 4; round++) {
		reqs[0] = (struct r3_blk_req){.nsg = 1, .sg = &sg, .len = block};
		assert_int_equal(r3_blkq_submit(queue, list, 1), 1);
		suite_expect(r3_blkq_kick(queue), 0, "r3_blkq_kick");
		while (!r3_blkq_reap(queue, done, 1))
			suite_expect(r3_blkq_wait(queue, PATIENCE_NS), 0, "r3_blkq_wait");
	}
	check_rest_of_wait(queue);

	r3_block_free(suite.block, sg.addr);
	r3_blkq_close(queue);
	free(reqs);
	free(list);
}

void test_wake_ups(void **state)
{
	unsigned max = suite.limits->max_depth < 64 ? suite.limits->max_depth : 64;

	try_wakes(1, suite_rounds(1000));
	try_wakes(max, suite_rounds(200));
}
