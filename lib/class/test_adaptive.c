/* SPDX-License-Identifier: BSD-2-Clause */
/* Adaptive queues: when arm says to look again, and that it always stops saying so. */
#include "unit.h"

#include "class/test_provider.h"

#include <errno.h>
#include <string.h>

#define POLL_NS (10 * R3_NSEC_PER_USEC)

/* A clock that the test moves, and that counts who looks. */
struct hand_clock {
	struct r3_clock base;
	uint64_t now;
	unsigned reads;
};

static uint64_t hand_now(struct r3_clock *clock)
{
	struct hand_clock *hand = (struct hand_clock *)clock;

	hand->reads++;
	return hand->now;
}

static void hand_sleep(struct r3_clock *clock, uint64_t ns)
{
	((struct hand_clock *)clock)->now += ns;
}

struct bed {
	struct provider p;
	struct hand_clock clock;
	struct r3_blkq *queue;
	struct r3_blk_req req[4];
};

static struct bed *make(enum r3_blkq_mode mode, uint64_t poll_ns)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = mode, .poll_ns = poll_ns};
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->clock = (struct hand_clock){.base = {.now = hand_now, .sleep = hand_sleep}};
	provider_init(&bed->p);
	bed->p.base.clock = &bed->clock.base;
	assert_int_equal(r3_blkq_open(&bed->p.base, &opts, &bed->queue), 0);
	return bed;
}

static void end(struct bed *bed)
{
	r3_blkq_close(bed->queue);
	r3_block_close(&bed->p.base);
	free(bed);
}

static void submit(struct bed *bed, unsigned n)
{
	struct r3_blk_req *list[4];

	for (unsigned i = 0; i < n; i++) {
		bed->req[i] = (struct r3_blk_req){.op = R3_BLK_FLUSH};
		list[i] = &bed->req[i];
	}
	assert_int_equal(r3_blkq_submit(bed->queue, list, n), n);
	assert_int_equal(r3_blkq_kick(bed->queue), 0);
}

static int reap(struct bed *bed, unsigned max)
{
	struct r3_blk_req *done[4];

	return r3_blkq_reap(bed->queue, done, max);
}

static void test_polls_then_sleeps(void **state)
{
	struct bed *bed = make(R3_BLKQ_ADAPTIVE, POLL_NS);

	assert_true(r3_blkq_fd(bed->queue) >= 0);
	submit(bed, 2);
	bed->clock.now = 1000000; /* however long ago that was */
	assert_int_equal(r3_blkq_arm(bed->queue), 1);
	bed->clock.now += POLL_NS - 1;
	assert_int_equal(r3_blkq_arm(bed->queue), 1);
	assert_int_equal(bed->p.armed, 0);
	bed->clock.now += 1;
	assert_int_equal(r3_blkq_arm(bed->queue), 0);
	assert_int_equal(bed->p.armed, 1);

	/* Woken in vain: to sleep again at once, without a look at the clock. */
	bed->clock.reads = 0;
	assert_int_equal(r3_blkq_arm(bed->queue), 0);
	assert_int_equal(bed->clock.reads, 0);
	assert_int_equal(bed->p.armed, 2);

	/* Something completes: polling pays again, from the next look in vain on. */
	provider_complete((struct provider_queue *)bed->queue, 0);
	assert_int_equal(reap(bed, 1), 1);
	bed->clock.now += 10 * POLL_NS;
	assert_int_equal(r3_blkq_arm(bed->queue), 1);
	bed->clock.now += POLL_NS;
	assert_int_equal(reap(bed, 1), 1);
	end(bed);
}

/* What is ready is never slept on: when polling is over the provider looks once more. */
static void test_ready_at_the_end(void **state)
{
	struct bed *bed = make(R3_BLKQ_ADAPTIVE, POLL_NS);

	submit(bed, 1);
	assert_int_equal(r3_blkq_arm(bed->queue), 1);
	bed->clock.now += POLL_NS;
	provider_complete((struct provider_queue *)bed->queue, 0);
	assert_int_equal(r3_blkq_arm(bed->queue), 1);
	assert_int_equal(bed->p.armed, 1);
	assert_int_equal(reap(bed, 4), 1);
	end(bed);
}

static void test_idle(void **state)
{
	struct bed *bed = make(R3_BLKQ_ADAPTIVE, R3_NSEC_PER_SEC);

	assert_int_equal(r3_blkq_arm(bed->queue), 0);
	submit(bed, 4);
	provider_complete((struct provider_queue *)bed->queue, 0);
	assert_int_equal(reap(bed, 4), 4);
	assert_int_equal(reap(bed, 4), 0);
	assert_int_equal(r3_blkq_arm(bed->queue), 0);
	assert_int_equal(bed->clock.reads, 0);
	end(bed);
}

/* The clock is read by arm alone, and by nobody in the other modes. */
static void test_clock_reads(void **state)
{
	for (unsigned mode = R3_BLKQ_INTERRUPT; mode <= R3_BLKQ_ADAPTIVE; mode++) {
		struct bed *bed = make((enum r3_blkq_mode)mode, 0);

		submit(bed, 3);
		assert_int_equal(reap(bed, 4), 0);
		provider_complete((struct provider_queue *)bed->queue, 0);
		assert_int_equal(reap(bed, 2), 2);
		assert_int_equal(bed->clock.reads, 0);
		r3_blkq_arm(bed->queue);
		assert_int_equal(bed->clock.reads, mode == R3_BLKQ_ADAPTIVE);
		end(bed);
	}
}

static void test_clock_stands_still(void **state)
{
	const uint64_t periods[] = {1, 0, POLL_NS, R3_NSEC_PER_MSEC};

	for (unsigned i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		struct bed *bed = make(R3_BLKQ_ADAPTIVE, periods[i]);
		unsigned looks = 0;

		submit(bed, 1);
		while (r3_blkq_arm(bed->queue))
			assert_true(looks++ < 100000);
		assert_int_equal(bed->p.armed, 1);
		end(bed);
	}
}

static void test_wait(void **state)
{
	struct bed *bed = make(R3_BLKQ_ADAPTIVE, POLL_NS);
	unsigned looks = 0;
	int rc;

	submit(bed, 1);
	while ((rc = r3_blkq_wait(bed->queue, R3_NSEC_PER_SEC)) == 0) {
		assert_int_equal(reap(bed, 1), 0);
		assert_true(looks++ < 100000);
	}
	assert_true(looks > 0);
	assert_int_equal(rc, -ETIMEDOUT);
	provider_complete((struct provider_queue *)bed->queue, 0);
	assert_int_equal(r3_blkq_wait(bed->queue, R3_NSEC_PER_SEC), 0);
	assert_int_equal(reap(bed, 1), 1);
	bed->p.done_in_kick = true;
	assert_int_equal(r3_blkq_do(bed->queue, R3_BLK_FLUSH, 0, 0, NULL, 0, R3_NSEC_PER_SEC), 0);
	end(bed);
}

static void test_options(void **state)
{
	struct bed *bed = make(R3_BLKQ_ADAPTIVE, 0);
	struct {
		uint32_t size, depth;
		enum r3_blkq_mode mode;
	} first = {.size = sizeof(first), .mode = R3_BLKQ_ADAPTIVE};
	struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = R3_BLKQ_ADAPTIVE + 1};
	struct r3_blkq *queue;
	enum r3_blkq_mode mode;

	assert_int_equal(r3_blkq_open(&bed->p.base, &opts, &queue), -EINVAL);
	opts.mode = R3_BLKQ_ADAPTIVE;
	opts.poll_ns = R3_NSEC_PER_SEC + 1;
	assert_int_equal(r3_blkq_open(&bed->p.base, &opts, &queue), -EINVAL);
	opts.mode = R3_BLKQ_INTERRUPT; /* which has no use for it */
	assert_int_equal(r3_blkq_open(&bed->p.base, &opts, &queue), 0);
	r3_blkq_close(queue);

	/* What programs of the first version hand over; nothing behind it is read. */
	struct r3_blkq_opts *old = malloc(sizeof(first));

	assert_non_null(old);
	memcpy(old, &first, sizeof(first));
	assert_int_equal(r3_blkq_open(&bed->p.base, old, &queue), 0);
	r3_blkq_close(queue);
	free(old);

	for (unsigned i = R3_BLKQ_INTERRUPT; i <= R3_BLKQ_ADAPTIVE; i++) {
		assert_int_equal(r3_blkq_mode_parse(r3_blkq_mode_name(i), &mode), 0);
		assert_int_equal(mode, i);
	}
	assert_int_equal(r3_blkq_mode_parse("polling", &mode), -EINVAL);
	assert_string_equal(r3_blkq_mode_name(3), "unknown mode");
	end(bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_polls_then_sleeps),
		cmocka_unit_test(test_ready_at_the_end),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_clock_reads),
		cmocka_unit_test(test_clock_stands_still),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_options),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
