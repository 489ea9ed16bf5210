/* SPDX-License-Identifier: BSD-2-Clause */
/* A load on a device that writes down what it is asked for: where requests go, what is
 * counted, and how it ends, also when the device does not answer or is gone. */
#include "load.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <ring3/driver.h>
#include <string.h>

#define BLOCK    4096u
#define QUEUES   2
#define TAPE     4096u /* requests written down */
#define DEPTH    8u
#define PATIENCE (20 * R3_NSEC_PER_SEC)

struct entry {
	uint64_t off;
	uint8_t op;
};

struct tape_queue {
	struct r3_blkq base;
	struct r3_blk_req *req[DEPTH]; /* in flight */
	unsigned n;
	struct entry *tape;
};

static struct tape_block {
	struct r3_block base;
	int submit_rc, err; /* what submit returns instead; how requests complete */
	unsigned room;      /* most that one submit takes */
	bool silent;        /* nothing completes */
	struct entry tape[QUEUES][TAPE];
	unsigned taped[QUEUES];
	unsigned cancelled;
} dev;

static void block_close(struct r3_block *block)
{
}

static int queue_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out)
{
	struct tape_queue *queue = calloc(1, sizeof(*queue));

	assert_non_null(queue);
	assert_in_range(opts->depth, 1, DEPTH);
	queue->base.fd = -1;
	queue->tape = dev.tape[block->queues];
	*out = &queue->base;
	return 0;
}

static void queue_close(struct r3_blkq *base)
{
	struct tape_queue *queue = (struct tape_queue *)base;

	dev.cancelled += queue->n;
	free(queue);
}

static int submit(struct r3_blkq *base, struct r3_blk_req *const *reqs, unsigned n)
{
	struct tape_queue *queue = (struct tape_queue *)base;
	unsigned *taped = &dev.taped[(queue->tape - dev.tape[0]) / TAPE];
	int rc = __atomic_load_n(&dev.submit_rc, __ATOMIC_RELAXED);

	if (rc)
		return r3_error_set(-rc, "the tape is at its end");
	if (n > dev.room)
		n = dev.room;
	if (queue->n == DEPTH / 2 && dev.room == 1)
		return 0; /* full, for once */
	for (unsigned i = 0; i < n; i++) {
		queue->req[queue->n++] = reqs[i];
		if (*taped < TAPE)
			queue->tape[(*taped)++] = (struct entry){reqs[i]->off, reqs[i]->op};
	}
	return (int)n;
}

static int reap(struct r3_blkq *base, struct r3_blk_req **reqs, unsigned max)
{
	struct tape_queue *queue = (struct tape_queue *)base;
	unsigned n = 0;

	for (; !__atomic_load_n(&dev.silent, __ATOMIC_ACQUIRE) && queue->n > 0 && n < max; n++) {
		reqs[n] = queue->req[--queue->n];
		reqs[n]->err = dev.err;
		reqs[n]->detail = 0x281;
	}
	return (int)n;
}

static int arm(struct r3_blkq *queue)
{
	return 1; /* nobody sleeps here */
}

static const struct r3_block_ops ops = {
	.size = sizeof(ops),
	.close = block_close,
	.queue_open = queue_open,
	.queue_close = queue_close,
	.submit = submit,
	.reap = reap,
	.arm = arm,
};

static struct load *load;
static struct load_opts opts;
static struct load_result result;

static int setup(void **state)
{
	memset(&dev, 0, sizeof(dev));
	dev.base = (struct r3_block){
		.ops = &ops,
		.limits = {.size = 1 << 20,
			   .block_size = 512,
			   .max_len = 1 << 20,
			   .max_sg = 1,
			   .max_queues = QUEUES,
			   .max_depth = DEPTH},
		.name = "tape",
		.clock = r3_clock_system(),
	};
	dev.room = UINT32_MAX;
	opts = (struct load_opts){.read_percent = 100,
				  .len = 1 << 20,
				  .block_size = BLOCK,
				  .depth = DEPTH,
				  .queues = QUEUES,
				  .mode = R3_BLKQ_POLL,
				  .seed = 1};
	return 0;
}

/* Let time pass until it is so. */
static void await_measuring(void)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), PATIENCE);

	while (!load_measures(load))
		assert_true(r3_wait_step(&wait));
}

static void await_progress(uint64_t least)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), PATIENCE);
	uint64_t ios = 0, errors = 0;

	while (ios + errors < least) {
		assert_true(r3_wait_step(&wait));
		load_progress(load, &ios, &errors);
	}
}

static void await_end(void)
{
	struct pollfd fd = {.fd = load_fd(load), .events = POLLIN};

	assert_int_equal(poll(&fd, 1, PATIENCE / R3_NSEC_PER_MSEC), 1);
	assert_true(load_ended(load));
	load_result(load, &result);
}

static void warm_up(void)
{
	assert_int_equal(load_open(&dev.base, &opts, &load), 0);
	assert_int_equal(load_start(load), 0);
}

static void begin(void)
{
	warm_up();
	load_measure(load);
	await_measuring();
}

/* Measure until so many requests have completed. */
static void run(uint64_t least)
{
	begin();
	await_progress(least);
	load_stop(load);
	await_end();
	load_close(load);
}

static void in_order_each_in_its_part(void **state)
{
	const uint64_t first = 64 * BLOCK, half = 3 * BLOCK;

	opts.sequential = true;
	opts.first = first;
	opts.len = 2 * half + BLOCK - 1; /* what is no block is left out */
	run(1000);
	for (unsigned q = 0; q < QUEUES; q++) {
		assert_true(dev.taped[q] > 0);
		for (unsigned i = 0; i < dev.taped[q]; i++)
			assert_int_equal(dev.tape[q][i].off, first + q * half + i % 3 * BLOCK);
	}
}

static void at_random_within_the_range(void **state)
{
	unsigned reads = 0, seen = 0, n = 0;

	opts.first = 10 * BLOCK;
	opts.len = 5 * BLOCK;
	opts.read_percent = 25;
	opts.queues = 1;
	run(2 * TAPE);
	for (; n < dev.taped[0]; n++) {
		const struct entry *entry = &dev.tape[0][n];

		assert_in_range(entry->off, opts.first, opts.first + opts.len - BLOCK);
		assert_int_equal(entry->off % BLOCK, 0);
		assert_in_range(entry->op, R3_BLK_READ, R3_BLK_WRITE);
		reads += entry->op == R3_BLK_READ;
		seen |= 1u << (entry->off - opts.first) / BLOCK;
	}
	assert_int_equal(n, TAPE);
	assert_int_equal(seen, 0x1f);
	assert_in_range(reads, TAPE * 20 / 100, TAPE * 30 / 100);
	assert_int_equal(result.errors, 0);
	assert_true(result.latency[0].n > 0 && result.latency[1].n > result.latency[0].n);
}

static void all_or_nothing(void **state)
{
	for (unsigned percent = 0; percent <= 100; percent += 100) {
		setup(state);
		opts.read_percent = percent;
		run(TAPE);
		for (unsigned i = 0; i < dev.taped[0]; i++)
			assert_int_equal(dev.tape[0][i].op, percent ? R3_BLK_READ : R3_BLK_WRITE);
		assert_int_equal(result.latency[percent ? R3_BLK_WRITE : R3_BLK_READ].n, 0);
	}
}

static void a_seed_repeats(void **state)
{
	static struct entry before[TAPE];

	opts.queues = 1;
	run(2 * TAPE);
	assert_int_equal(dev.taped[0], TAPE);
	memcpy(before, dev.tape[0], sizeof(before));
	setup(state);
	opts.queues = 1;
	run(2 * TAPE);
	for (unsigned i = 0; i < TAPE; i++)
		assert_int_equal(before[i].off, dev.tape[0][i].off);
	setup(state);
	opts.seed = 2;
	run(2 * TAPE);
	assert_memory_not_equal(before, dev.tape[0], sizeof(before));
	assert_memory_not_equal(dev.tape[0], dev.tape[1], sizeof(before));
}

static void failures_are_counted_apart(void **state)
{
	dev.err = -EIO;
	run(1000);
	assert_true(result.errors >= 1000);
	assert_int_equal(result.latency[0].n, 0);
	assert_int_equal(result.error, -EIO);
	assert_non_null(strstr(result.error_text, "read of 4096 bytes at "));
	assert_non_null(strstr(result.error_text, "detail 0x281"));
}

static void a_full_queue_loses_nothing(void **state)
{
	dev.room = 1;
	run(1000);
	assert_int_equal(result.errors, 0);
	assert_true(result.latency[0].n >= 1000);
	assert_int_equal(dev.cancelled, 0); /* all that was in flight was waited for */
	assert_true(result.ns > 0);
}

static void a_device_that_goes_ends_it(void **state)
{
	begin();
	await_progress(100);
	__atomic_store_n(&dev.submit_rc, -ENODEV, __ATOMIC_RELAXED);
	await_end(); /* unasked */
	assert_int_equal(result.error, -ENODEV);
	assert_non_null(strstr(result.error_text, "gone"));
	assert_true(result.latency[0].n >= 100);
	assert_true(result.ns > 0);
	load_close(load);
}

static void refused_requests_do_not_end_it(void **state)
{
	dev.submit_rc = -EINVAL;
	run(1000);
	assert_true(result.errors >= 1000);
	assert_int_equal(result.error, -EINVAL);
}

static void silence_is_left_to_close(void **state)
{
	dev.silent = true;
	begin();
	load_stop(load);
	assert_false(load_ended(load)); /* its requests are in flight */
	load_abandon(load);
	await_end();
	assert_int_equal(result.latency[0].n, 0);
	assert_int_equal(dev.cancelled, 0);
	load_close(load);
	assert_int_equal(dev.cancelled, QUEUES * DEPTH);
}

static void requests_that_fail_at_the_end_have_failed(void **state)
{
	dev.silent = true;
	begin();
	load_stop(load);
	dev.err = -EIO;
	__atomic_store_n(&dev.silent, false, __ATOMIC_RELEASE);
	await_end();
	assert_int_equal(result.errors, dev.taped[0] + dev.taped[1]);
	assert_int_equal(result.error, -EIO);
	load_close(load);
}

static void warming_up_is_not_measuring(void **state)
{
	warm_up();
	await_progress(100);
	load_stop(load);
	await_end();
	assert_int_equal(result.latency[0].n, 0);
	assert_int_equal(result.ns, 0);
	load_close(load);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_order_each_in_its_part, setup),
		cmocka_unit_test_setup(at_random_within_the_range, setup),
		cmocka_unit_test_setup(all_or_nothing, setup),
		cmocka_unit_test_setup(a_seed_repeats, setup),
		cmocka_unit_test_setup(failures_are_counted_apart, setup),
		cmocka_unit_test_setup(a_full_queue_loses_nothing, setup),
		cmocka_unit_test_setup(a_device_that_goes_ends_it, setup),
		cmocka_unit_test_setup(refused_requests_do_not_end_it, setup),
		cmocka_unit_test_setup(silence_is_left_to_close, setup),
		cmocka_unit_test_setup(requests_that_fail_at_the_end_have_failed, setup),
		cmocka_unit_test_setup(warming_up_is_not_measuring, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
