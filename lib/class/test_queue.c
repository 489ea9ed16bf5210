/* SPDX-License-Identifier: BSD-2-Clause */
/* What the class lets through to a provider, and how it counts. */
#include "unit.h"

#include "class/test_provider.h"

#include <errno.h>
#include <string.h>

static char memory[262144];

struct bed {
	struct provider p;
	struct r3_block *block;
	struct r3_blkq *queue;
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	if (!bed)
		return -1;
	provider_init(&bed->p);
	bed->block = &bed->p.base;
	*state = bed;
	return r3_blkq_open(bed->block, NULL, &bed->queue);
}

static int teardown(void **state)
{
	struct bed *bed = *state;
	r3_blkq_close(bed->queue);
	r3_block_close(bed->block);
	int rc = bed->p.closed == 1 ? 0 : -1;
	free(bed);
	return rc;
}

static int submit_one(struct bed *bed, struct r3_blk_req *req)
{
	return r3_blkq_submit(bed->queue, &req, 1);
}

/* One request with one piece (or none), tried; taken back when it was accepted. */
static int try(struct bed *bed, unsigned op, unsigned flags, uint64_t off, uint64_t len)
{
	struct r3_sg sg = {memory, (size_t)len};
	struct r3_blk_req req = {
		.op = (uint8_t)op, .flags = (uint8_t)flags, .off = off, .len = len};
	struct r3_blk_req *done;

	if (op <= R3_BLK_WRITE) {
		req.sg = &sg;
		req.nsg = 1;
	}
	int rc = submit_one(bed, &req);
	if (rc == 1) {
		provider_complete((struct provider_queue *)bed->queue, 0);
		assert_int_equal(r3_blkq_reap(bed->queue, &done, 1), 1);
		assert_ptr_equal(done, &req);
	}
	assert_int_equal(r3_blkq_inflight(bed->queue), 0);
	return rc;
}

static void test_ranges(void **state)
{
	struct bed *bed = *state;
	const uint64_t size = 1 << 20;

	for (unsigned op = R3_BLK_READ; op <= R3_BLK_WRITE; op++) {
		assert_int_equal(try(bed, op, 0, 0, 4096), 1);
		assert_int_equal(try(bed, op, 0, size - 65536, 65536), 1);
		assert_int_equal(try(bed, op, 0, 0, 0), -EINVAL);
		assert_int_equal(try(bed, op, 0, 512, 4096), -EINVAL);
		assert_int_equal(try(bed, op, 0, 0, 4097), -EINVAL);
		assert_int_equal(try(bed, op, 0, size, 4096), -EINVAL);
		assert_int_equal(try(bed, op, 0, size - 4096, 8192), -EINVAL);
		assert_int_equal(try(bed, op, 0, (uint64_t)0 - 4096, 4096), -EINVAL);
		assert_int_equal(try(bed, op, 0, (uint64_t)0 - 4096, 8192), -EINVAL);
		assert_int_equal(try(bed, op, 0, 0, 65536 + 4096), -EINVAL);
	}
	assert_int_equal(try(bed, R3_BLK_WRITE_ZEROES, 0, 0, 131072), 1);
	assert_int_equal(try(bed, R3_BLK_WRITE_ZEROES, 0, 0, 131072 + 4096), -EINVAL);
	assert_int_equal(try(bed, R3_BLK_DISCARD, 0, 0, 262144), 1);
	assert_int_equal(try(bed, R3_BLK_DISCARD, 0, 0, 262144 + 4096), -EINVAL);
	assert_int_equal(try(bed, R3_BLK_DISCARD, 0, 0, 0), -EINVAL);
	/* A flush has neither. */
	assert_int_equal(try(bed, R3_BLK_FLUSH, 0, 1, 1), 1);
}

static void test_operations_and_flags(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(try(bed, R3_BLK_NOPS, 0, 0, 4096), -EINVAL);
	assert_int_equal(try(bed, 255, 0, 0, 4096), -EINVAL);
	assert_int_equal(try(bed, R3_BLK_READ, R3_BLK_FUA, 0, 4096), -EINVAL);
	assert_int_equal(try(bed, R3_BLK_WRITE, R3_BLK_FUA, 0, 4096), 1);
	assert_int_equal(try(bed, R3_BLK_WRITE, R3_BLK_MAY_UNMAP, 0, 4096), -EINVAL);
	assert_int_equal(try(bed, R3_BLK_WRITE, 1 << 7, 0, 4096), -EINVAL);
	assert_int_equal(try(bed, R3_BLK_WRITE_ZEROES, R3_BLK_FUA | R3_BLK_MAY_UNMAP, 0, 4096), 1);
	assert_int_equal(try(bed, R3_BLK_DISCARD, R3_BLK_FUA, 0, 4096), -EINVAL);
	assert_int_equal(try(bed, R3_BLK_FLUSH, R3_BLK_FUA, 0, 0), -EINVAL);

	/* The device may do FUA by a flush of its own; the others it has or has not. */
	bed->block->limits.features = 0;
	assert_int_equal(try(bed, R3_BLK_WRITE, R3_BLK_FUA, 0, 4096), 1);
	assert_int_equal(try(bed, R3_BLK_WRITE_ZEROES, 0, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(try(bed, R3_BLK_DISCARD, 0, 0, 4096), -EOPNOTSUPP);

	bed->block->limits.features = R3_BLOCK_READ_ONLY;
	assert_int_equal(try(bed, R3_BLK_READ, 0, 0, 4096), 1);
	assert_int_equal(try(bed, R3_BLK_FLUSH, 0, 0, 0), 1);
	assert_int_equal(try(bed, R3_BLK_WRITE, 0, 0, 4096), -EROFS);
	assert_int_equal(try(bed, R3_BLK_WRITE_ZEROES, 0, 0, 4096), -EROFS);
	assert_int_equal(try(bed, R3_BLK_DISCARD, 0, 0, 4096), -EROFS);
	assert_non_null(strstr(r3_error_text(), "discard of 4096 bytes at 0"));
}

static void test_pieces(void **state)
{
	struct bed *bed = *state;
	static const struct {
		size_t len[5];
		uint16_t nsg;
		int rc;
	} cases[] = {
		{{4096, 4096}, 2, 1},
		{{1, 8190, 1}, 3, 1},
		{{2048, 2048, 2048, 2048}, 4, 1},
		{{8192}, 0, -EINVAL},
		{{4096}, 1, -EINVAL},
		{{8191}, 1, -EINVAL},
		{{8193}, 1, -EINVAL},
		{{8192, 0}, 2, -EINVAL},
		{{8192, 1}, 2, -EINVAL},
		{{0, 8192}, 2, -EINVAL},
		{{4096, 0, 4096}, 3, -EINVAL},
		{{4096, SIZE_MAX - 4095, 8192}, 3, -EINVAL}, /* adds up modulo 2^64 */
		{{SIZE_MAX, 8193}, 2, -EINVAL},
		{{4096, 1024, 1024, 1024, 1024}, 5, -EINVAL},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct r3_sg sg[5];
		for (unsigned j = 0; j < 5; j++)
			sg[j] = (struct r3_sg){memory, cases[i].len[j]};
		struct r3_blk_req req = {
			.op = R3_BLK_WRITE, .nsg = cases[i].nsg, .len = 8192, .sg = sg};
		int rc = submit_one(bed, &req);
		if (rc != cases[i].rc)
			fail_msg("case %u: %d, not %d", i, rc, cases[i].rc);
		struct r3_blk_req *done;
		provider_complete((struct provider_queue *)bed->queue, 0);
		assert_int_equal(r3_blkq_reap(bed->queue, &done, 1), rc == 1);
	}
}

static void fill(struct r3_blk_req *reqs, struct r3_blk_req **list, unsigned n)
{
	static const struct r3_sg sg = {memory, 4096};

	for (unsigned i = 0; i < n; i++) {
		reqs[i] = (struct r3_blk_req){.len = 4096, .off = i * 4096, .nsg = 1, .sg = &sg};
		list[i] = &reqs[i];
	}
}

static void test_counts(void **state)
{
	struct bed *bed = *state;
	/* some are left in flight for the teardown, so they outlive this function */
	static struct r3_blk_req reqs[PROVIDER_DEPTH + 8];
	struct r3_blk_req *list[PROVIDER_DEPTH + 8];

	fill(reqs, list, PROVIDER_DEPTH + 8);
	assert_int_equal(r3_blkq_depth(bed->queue), PROVIDER_DEPTH);
	assert_int_equal(r3_blkq_submit(bed->queue, list, 0), 0);

	/* no more than the provider takes */
	bed->p.room = 5;
	assert_int_equal(r3_blkq_submit(bed->queue, list, 20), 5);
	bed->p.room = 0;
	assert_int_equal(r3_blkq_submit(bed->queue, list, 1), -EAGAIN);
	bed->p.room = PROVIDER_DEPTH;
	assert_int_equal(r3_blkq_inflight(bed->queue), 5);

	/* and no more than the depth, ever */
	assert_int_equal(r3_blkq_submit(bed->queue, list + 5, PROVIDER_DEPTH + 3),
			 PROVIDER_DEPTH - 5);
	assert_int_equal(r3_blkq_submit(bed->queue, list + PROVIDER_DEPTH, 1), -EAGAIN);
	assert_int_equal(r3_blkq_inflight(bed->queue), PROVIDER_DEPTH);
	assert_int_equal(bed->p.submitted, PROVIDER_DEPTH);

	provider_complete((struct provider_queue *)bed->queue, 0);
	struct r3_blk_req *done[PROVIDER_DEPTH];
	assert_int_equal(r3_blkq_reap(bed->queue, done, 3), 3);
	assert_int_equal(r3_blkq_inflight(bed->queue), PROVIDER_DEPTH - 3);
	assert_int_equal(r3_blkq_submit(bed->queue, list + PROVIDER_DEPTH, 8), 3);
	assert_int_equal(r3_blkq_reap(bed->queue, done, PROVIDER_DEPTH), PROVIDER_DEPTH - 3);
	assert_int_equal(r3_blkq_inflight(bed->queue), 3);
}

static void test_fault_ends_batch(void **state)
{
	struct bed *bed = *state;
	struct r3_blk_req reqs[4], *list[4];

	fill(reqs, list, 4);
	reqs[2].off = 1;
	assert_int_equal(r3_blkq_submit(bed->queue, list, 4), 2);
	assert_int_equal(r3_blkq_submit(bed->queue, list + 2, 2), -EINVAL);
	assert_int_equal(r3_blkq_inflight(bed->queue), 2);

	bed->p.submit_rc = -ENODEV;
	r3_error_set(EIO, "stale");
	assert_int_equal(r3_blkq_submit(bed->queue, list, 2), -ENODEV);
	assert_string_equal(r3_error_text(), "fake: the device is gone");
	assert_int_equal(r3_blkq_inflight(bed->queue), 2);
	bed->p.kick_rc = -ENODEV;
	r3_error_set(EIO, "stale");
	assert_int_equal(r3_blkq_kick(bed->queue), -ENODEV);
	assert_string_equal(r3_error_text(), "fake: the device is gone");

	/* closed with two in flight; teardown has none left to close */
	r3_blkq_close(bed->queue);
	bed->queue = NULL;
	assert_int_equal(reqs[0].err, -ECANCELED);
	assert_int_equal(reqs[1].err, -ECANCELED);
	assert_int_equal(reqs[3].err, 0);
}

static void test_queue_options(void **state)
{
	struct bed *bed = *state;
	struct r3_blkq_opts opts = {.size = sizeof(opts), .depth = PROVIDER_DEPTH + 1};
	struct r3_blkq *queue = NULL, *third = NULL;

	assert_int_equal(r3_blkq_open(bed->block, &opts, &queue), -EINVAL);
	opts.depth = 3;
	opts.mode = R3_BLKQ_POLL;
	opts.size = 4;
	assert_int_equal(r3_blkq_open(bed->block, &opts, &queue), -EINVAL);
	opts.size = sizeof(opts);
	assert_int_equal(r3_blkq_open(bed->block, &opts, &queue), 0);
	assert_int_equal(r3_blkq_depth(queue), 3);
	assert_int_equal(r3_blkq_fd(queue), -1);

	assert_int_equal(r3_blkq_open(bed->block, NULL, &third), -ENOSPC);
	/* a block with queues does not go away under them */
	r3_block_close(bed->block);
	assert_int_equal(bed->p.closed, 0);
	r3_blkq_close(queue);
	assert_int_equal(r3_blkq_open(bed->block, NULL, &third), 0);
	r3_blkq_close(third);
	r3_blkq_close(NULL);
}

static void test_default_memory(void **state)
{
	struct bed *bed = *state;
	void *ptr = NULL;

	assert_int_equal(r3_block_alloc(bed->block, 0, &ptr), -EINVAL);
	assert_int_equal(r3_block_alloc(bed->block, SIZE_MAX, &ptr), -EINVAL);
	assert_int_equal(r3_block_alloc(bed->block, 5000, &ptr), 0);
	assert_int_equal((uintptr_t)ptr % 4096, 0);
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(((char *)ptr)[i], 0);
	r3_block_free(bed->block, ptr);
	r3_block_free(bed->block, NULL);
	assert_null(r3_block_device(bed->block));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_operations_and_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fault_ends_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_default_memory, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
