/* SPDX-License-Identifier: BSD-2-Clause */
/* One request at a time: what each operation does to the medium. */
#include "suite.h"

#include <errno.h>
#include <string.h>

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool power_of_two(uint64_t n)
{
	return n && (n & (n - 1)) == 0;
}

static void *take(size_t len)
{
	void *ptr = NULL;

	suite_expect(r3_block_alloc(suite.block, len, &ptr), 0, "r3_block_alloc");
	return ptr;
}

/** Read [off, off+len) and compare it with @want; NULL: zeroes. */
static void check_range(struct r3_blkq *queue, uint64_t off, const void *want, size_t len)
{
	unsigned char *got = take(len);

	memset(got, 0xa5, len);
	suite_do(queue, R3_BLK_READ, 0, off, got, len);
	for (size_t i = 0; i < len && !suite.forgets; i++) {
		unsigned char byte = want ? ((const unsigned char *)want)[i] : 0;
		if (got[i] != byte)
			fail_msg("byte %llu is %02x, not %02x", (unsigned long long)(off + i),
				 got[i], byte);
	}
	r3_block_free(suite.block, got);
}

void test_limits(void **state)
{
	const struct r3_block_limits *l = suite.limits;
	const uint32_t mask = l->block_size - 1;

	print_message("%s: %llu bytes, blocks of %u, max_len %llu, max_sg %u, %u queues of %u, "
		      "features 0x%x\n",
		      r3_block_name(suite.block), (unsigned long long)l->size, l->block_size,
		      (unsigned long long)l->max_len, l->max_sg, l->max_queues, l->max_depth,
		      l->features);
	assert_true(power_of_two(l->block_size));
	assert_in_range(l->block_size, 512, 65536);
	assert_true(power_of_two(l->physical_block_size));
	assert_true(l->physical_block_size >= l->block_size);
	assert_true(l->size && (l->size & mask) == 0);
	assert_true(l->max_len && (l->max_len & mask) == 0);
	assert_int_equal(l->max_zeroes_len & mask, 0);
	assert_int_equal(l->max_discard_len & mask, 0);
	assert_int_equal(!l->max_zeroes_len, !(l->features & R3_BLOCK_WRITE_ZEROES));
	assert_int_equal(!l->max_discard_len, !(l->features & R3_BLOCK_DISCARD));
	assert_true(l->max_sg >= 1);
	assert_true(l->max_queues >= 1);
	assert_true(l->max_depth >= 1);
	assert_true(strlen(r3_block_name(suite.block)) > 0);

	/* the handle's calls on an idle device: nothing happens, nothing blocks */
	struct r3_block_event events[4];
	int n = r3_block_dispatch(suite.block, events, 4);
	assert_in_range(n, 0, 4);
	assert_int_equal(r3_block_dispatch(suite.block, NULL, 0), 0);
	if (r3_block_fd(suite.block) < 0)
		assert_null(r3_block_device(suite.block));
}

/* First, last and some block between; from the device's own memory and from any. */
void test_each_operation(void **state)
{
	const uint32_t block = suite.limits->block_size;
	const uint64_t last = suite.limits->size / block - 1;
	const uint64_t where[] = {0, last, last / 2, test_random(&suite.random) % (last + 1)};
	struct r3_blkq *queue = suite_queue(1);
	unsigned char *own = take(block);
	unsigned char *any = malloc(block + 1);

	assert_non_null(any);
	for (unsigned i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		uint64_t off = where[i] * block;
		suite_fill(own, block, i + 1);
		suite_do(queue, R3_BLK_WRITE, 0, off, own, block);
		check_range(queue, off, own, block);
		suite_fill(any + 1, block, i + 100); /* at an odd address */
		suite_do(queue, R3_BLK_WRITE, R3_BLK_FUA, off, any + 1, block);
		check_range(queue, off, any + 1, block);
		suite_do(queue, R3_BLK_FLUSH, 0, 0, NULL, 0);
		check_range(queue, off, any + 1, block);
	}
	free(any);
	r3_block_free(suite.block, own);
	r3_blkq_close(queue);
}

/* As long as the limits say, in as many pieces as they say, and longer by splitting. */
void test_long_requests(void **state)
{
	const struct r3_block_limits *l = suite.limits;
	const size_t max = at_most(l->max_len, l->size);
	struct r3_blkq *queue = suite_queue(1);
	unsigned char *own = take(max);
	struct r3_sg *sg = calloc(l->max_sg, sizeof(*sg));

	assert_non_null(sg);
	suite_fill(own, max, 1);
	suite_do(queue, R3_BLK_WRITE, 0, l->size - max, own, max);
	check_range(queue, l->size - max, own, max);

	/* max_sg odd pieces of that length */
	uint64_t pieces = at_most(l->max_sg, max);
	struct r3_blk_req req = {.op = R3_BLK_WRITE, .nsg = (uint16_t)pieces, .len = max, .sg = sg};
	suite_fill(own, max, 2);
	size_t each = max / pieces, at = 0;
	for (unsigned i = 0; i < pieces; i++) {
		size_t len = i + 1 == pieces ? max - at : each;
		sg[i] = (struct r3_sg){own + at, len};
		at += len;
	}
	suite_run_all(queue, &req, 1);
	check_range(queue, 0, own, max);
	free(sg);
	r3_block_free(suite.block, own);

	/* r3_blkq_do() cuts it: foreign memory, longer than three requests */
	size_t len = (size_t)at_most(3 * max + 5 * l->block_size, l->size);
	unsigned char *out = malloc(len), *in = malloc(len);
	assert_non_null(out);
	assert_non_null(in);
	suite_fill(out, len, 3);
	suite_do(queue, R3_BLK_WRITE, 0, 0, out, len);
	memset(in, 0, len);
	suite_do(queue, R3_BLK_READ, 0, 0, in, len);
	if (!suite.forgets)
		assert_memory_equal(in, out, len);
	free(out);
	free(in);
	r3_blkq_close(queue);
}

void test_zeroes_and_discard(void **state)
{
	const struct r3_block_limits *l = suite.limits;
	const uint32_t block = l->block_size;
	const uint64_t blocks = at_most(64, l->size / block);
	const size_t len = (size_t)blocks * block;
	struct r3_blkq *queue = suite_queue(1);
	unsigned char *buf = take(len);
	const unsigned flags[] = {0, R3_BLK_MAY_UNMAP, R3_BLK_FUA, R3_BLK_MAY_UNMAP | R3_BLK_FUA};

	if (l->features & R3_BLOCK_WRITE_ZEROES) {
		for (unsigned i = 0; i < 4; i++) {
			/* zeroes in the midst of data leave the rest alone */
			uint64_t from = blocks / 4, n = blocks / 2 ? blocks / 2 : 1;
			suite_fill(buf, len, i);
			suite_do(queue, R3_BLK_WRITE, 0, 0, buf, len);
			suite_do(queue, R3_BLK_WRITE_ZEROES, flags[i], from * block, NULL,
				 n * block);
			memset(buf + from * block, 0, n * block);
			check_range(queue, 0, buf, len);
		}
		/* as long as one may be; it ends where the device ends */
		uint64_t most = at_most(l->max_zeroes_len, l->size);
		suite_do(queue, R3_BLK_WRITE_ZEROES, R3_BLK_MAY_UNMAP, l->size - most, NULL, most);
		check_range(queue, l->size - most, NULL, block);
		check_range(queue, l->size - block, NULL, block);
	} else {
		suite_expect(r3_blkq_do(queue, R3_BLK_WRITE_ZEROES, 0, 0, NULL, block, PATIENCE_NS),
			     -EOPNOTSUPP, "write-zeroes without the feature");
	}

	if (l->features & R3_BLOCK_DISCARD) {
		uint64_t from = blocks / 4, n = blocks / 2 ? blocks / 2 : 1;
		suite_fill(buf, len, 9);
		suite_do(queue, R3_BLK_WRITE, 0, 0, buf, len);
		suite_do(queue, R3_BLK_DISCARD, 0, from * block, NULL, n * block);
		check_range(queue, 0, buf, from ? from * block : block);
		check_range(queue, (from + n) * block, buf + (from + n) * block,
			    len - (from + n) * block);
		/* what was discarded can be written */
		suite_do(queue, R3_BLK_WRITE, 0, 0, buf, len);
		check_range(queue, 0, buf, len);
		uint64_t most = at_most(l->max_discard_len, l->size);
		suite_do(queue, R3_BLK_DISCARD, 0, l->size - most, NULL, most);
	} else {
		suite_expect(r3_blkq_do(queue, R3_BLK_DISCARD, 0, 0, NULL, block, PATIENCE_NS),
			     -EOPNOTSUPP, "discard without the feature");
	}
	r3_block_free(suite.block, buf);
	r3_blkq_close(queue);
}

/* Only a power cut would show whether the medium has it; that they work amid writes,
 * and on a queue that has written nothing, shows here. */
void test_flush_and_fua(void **state)
{
	const uint32_t block = suite.limits->block_size;
	enum { N = 16 };
	struct r3_blkq *queue = suite_queue(0);
	struct r3_blk_req reqs[2 * N + 1] = {0};
	unsigned char *buf = take((size_t)N * block);
	struct r3_sg sg[N];
	unsigned n = (unsigned)at_most(N, suite.limits->size / block);

	suite_do(queue, R3_BLK_FLUSH, 0, 0, NULL, 0);
	suite_fill(buf, (size_t)N * block, 77);
	for (unsigned i = 0; i < n; i++) {
		sg[i] = (struct r3_sg){buf + (size_t)i * block, block};
		reqs[2 * i] = (struct r3_blk_req){.op = R3_BLK_WRITE,
						  .flags = i % 2 ? R3_BLK_FUA : 0,
						  .nsg = 1,
						  .sg = &sg[i],
						  .off = (uint64_t)i * block,
						  .len = block};
		/* off and len of a flush mean nothing */
		reqs[2 * i + 1] = (struct r3_blk_req){.op = R3_BLK_FLUSH, .off = i, .len = i};
	}
	suite_run_all(queue, reqs, 2 * n);
	check_range(queue, 0, buf, (size_t)n * block);

	if (suite.limits->max_queues > 1) {
		struct r3_blkq *other = suite_queue(1);
		suite_do(other, R3_BLK_FLUSH, 0, 0, NULL, 0);
		check_range(other, 0, buf, (size_t)n * block);
		r3_blkq_close(other);
	}
	r3_block_free(suite.block, buf);
	r3_blkq_close(queue);
}
