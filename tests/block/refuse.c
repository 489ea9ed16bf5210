/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests that cannot be: refused with the right error, and nothing is changed. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#define MAX_PIECES 4

struct wrong {
	const char *what;
	struct r3_blk_req req;
	size_t piece[MAX_PIECES]; /* none: one of len */
	int rc;
};

static void try_wrong(struct r3_blkq *queue, const struct wrong *wrong, unsigned char *mem)
{
	struct r3_blk_req good = {.op = R3_BLK_FLUSH};
	struct r3_blk_req req = wrong->req, *list[] = {&req, &good};
	struct r3_sg sg[MAX_PIECES];

	for (unsigned i = 0; i < MAX_PIECES; i++)
		sg[i] = (struct r3_sg){mem, wrong->piece[i]};
	if (!wrong->piece[0] && !wrong->piece[1])
		sg[0].len = (size_t)req.len;
	req.sg = sg;
	suite_expect(r3_blkq_submit(queue, list, 2), wrong->rc, wrong->what);
	assert_int_equal(r3_blkq_inflight(queue), 0);

	/* further on it ends the batch; what stands before it is done */
	list[0] = &good;
	list[1] = &req;
	suite_expect(r3_blkq_submit(queue, list, 2), 1, wrong->what);
	assert_int_equal(r3_blkq_inflight(queue), 1);
	suite_expect(r3_blkq_kick(queue), 0, "r3_blkq_kick");
	struct r3_blk_req *done;
	while (!r3_blkq_reap(queue, &done, 1))
		assert_true(suite_sleep(queue, true));
	assert_ptr_equal(done, &good);
	suite_expect(good.err, 0, "flush");
}

void test_requests_at_fault(void **state)
{
	const struct r3_block_limits *l = suite.limits;
	const uint32_t block = l->block_size;
	const size_t window = 4 * (size_t)block;
	struct r3_blkq *queue = suite_queue(0);
	unsigned char *before = malloc(window), *after = malloc(window);
	unsigned char *mem = malloc(window);
	const uint16_t nsg = 1;

#define DATA(op_, off_, len_) \
	{ \
		.op = (op_), .nsg = nsg, .off = (off_), .len = (len_) \
	}
	const struct wrong wrong[] = {
		{"unknown operation", DATA(R3_BLK_NOPS, 0, block), {0}, -EINVAL},
		{"operation 255", DATA(255, 0, block), {0}, -EINVAL},
		{"unknown flag",
		 {.op = R3_BLK_WRITE, .flags = 0x80, .nsg = 1, .len = block},
		 {0},
		 -EINVAL},
		{"no length", DATA(R3_BLK_WRITE, 0, 0), {0}, -EINVAL},
		{"misaligned offset", DATA(R3_BLK_WRITE, 1, block), {0}, -EINVAL},
		{"half a block in", DATA(R3_BLK_WRITE, block / 2, block), {0}, -EINVAL},
		{"misaligned length", DATA(R3_BLK_WRITE, 0, block + 1), {0}, -EINVAL},
		{"at the end", DATA(R3_BLK_WRITE, l->size, block), {0}, -EINVAL},
		{"across the end", DATA(R3_BLK_WRITE, l->size - block, 2 * block), {0}, -EINVAL},
		{"beyond the end", DATA(R3_BLK_READ, l->size + block, block), {0}, -EINVAL},
		{"wraps", DATA(R3_BLK_WRITE, (uint64_t)0 - block, 2 * block), {0}, -EINVAL},
		{"too long", DATA(R3_BLK_WRITE, 0, l->max_len + block), {0}, -EINVAL},
		{"longer than all", DATA(R3_BLK_WRITE, 0, (uint64_t)0 - block), {0}, -EINVAL},
		{"zeroes across the end",
		 DATA(R3_BLK_WRITE_ZEROES, l->size - block, 2 * block),
		 {0},
		 -EINVAL},
		{"zeroes of no length", DATA(R3_BLK_WRITE_ZEROES, 0, 0), {0}, -EINVAL},
		{"discard beyond the end", DATA(R3_BLK_DISCARD, l->size, block), {0}, -EINVAL},
		{"misaligned discard", DATA(R3_BLK_DISCARD, 0, block - 1), {0}, -EINVAL},
		{"no pieces", {.op = R3_BLK_WRITE, .len = block}, {0}, -EINVAL},
		{"one byte less", DATA(R3_BLK_WRITE, 0, block), {block - 1}, -EINVAL},
		{"one byte more", DATA(R3_BLK_WRITE, 0, block), {block + 1}, -EINVAL},
		{"an empty piece",
		 {.op = R3_BLK_WRITE, .nsg = 2, .len = block},
		 {0, block},
		 -EINVAL},
		{"one piece too many",
		 {.op = R3_BLK_WRITE, .nsg = 3, .len = 2 * block},
		 {block, block, block},
		 -EINVAL},
		{"pieces that wrap",
		 {.op = R3_BLK_WRITE, .nsg = 2, .len = block},
		 {SIZE_MAX, block + 1},
		 -EINVAL},
	};
#undef DATA

	assert_non_null(before);
	assert_non_null(after);
	assert_non_null(mem);
	suite_fill(before, window, 5);
	suite_fill(mem, window, 6);
	if (l->size >= window)
		suite_do(queue, R3_BLK_WRITE, 0, 0, before, window);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct wrong one = wrong[i];
		if ((one.req.op == R3_BLK_DISCARD && !l->max_discard_len) ||
		    (one.req.op == R3_BLK_WRITE_ZEROES && !l->max_zeroes_len))
			one.rc = -EOPNOTSUPP;
		try_wrong(queue, &one, mem);
	}
	if (l->size >= window) {
		suite_do(queue, R3_BLK_READ, 0, 0, after, window);
		if (!suite.forgets)
			assert_memory_equal(before, after, window);
	}
	free(before);
	free(after);
	free(mem);
	r3_blkq_close(queue);
}

void test_read_only(void **state)
{
	suite_close();
	suite.opts.read_only = true;
	suite_open();
	suite.opts.read_only = false;

	const uint32_t block = suite.limits->block_size;
	struct r3_blkq *queue = suite_queue(1);
	unsigned char *before = calloc(1, block), *after = calloc(1, block);
	assert_non_null(before);
	assert_non_null(after);

	assert_true(suite.limits->features & R3_BLOCK_READ_ONLY);
	suite_do(queue, R3_BLK_READ, 0, 0, before, block);
	suite_fill(after, block, 1);
	for (unsigned op = R3_BLK_WRITE; op < R3_BLK_NOPS; op++) {
		int want = op == R3_BLK_FLUSH ? 0 : -EROFS;
		suite_expect(r3_blkq_do(queue, op, 0, 0, after, block, PATIENCE_NS), want,
			     r3_blk_op_name(op));
	}
	suite_do(queue, R3_BLK_READ, 0, 0, after, block);
	assert_memory_equal(before, after, block);
	free(before);
	free(after);
	r3_blkq_close(queue);

	suite_close();
	suite_open();
	assert_false(suite.limits->features & R3_BLOCK_READ_ONLY);
}
