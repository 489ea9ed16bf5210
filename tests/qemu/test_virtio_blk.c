/* SPDX-License-Identifier: BSD-2-Clause */
/* What QEMU's virtio-blk is told on its command line is what the block device says of
 * itself, and with each of it a write can be read back. */
#include "qemu_test.h"

#include <errno.h>

#define SIZE  (16u << 20)
#define ALL   (R3_BLOCK_VOLATILE_CACHE | R3_BLOCK_DISCARD | R3_BLOCK_WRITE_ZEROES)
#define MAX_S ((UINT64_C(1) << 31) - 512) /* 4194303 sectors */

static const struct variant {
	const char *keys;
	unsigned features;
	uint32_t block_size, max_sg, max_queues, max_depth;
	uint64_t max_discard_len, max_zeroes_len;
} variants[] = {
	{"", ALL, 512, 125, 1, 256, MAX_S, MAX_S},
	{",prop.packed=on", ALL, 512, 125, 1, 256, MAX_S, MAX_S},
	{",lba=4096", ALL, 4096, 125, 1, 256, MAX_S & ~UINT64_C(4095), MAX_S & ~UINT64_C(4095)},
	{",prop.num-queues=5", ALL, 512, 125, 5, 256, MAX_S, MAX_S},
	{",prop.num-queues=5,prop.vectors=2", ALL, 512, 125, 5, 256, MAX_S, MAX_S},
	{",prop.num-queues=5,prop.vectors=0", ALL, 512, 125, 5, 256, MAX_S, MAX_S},
	{",prop.discard=off", ALL & ~R3_BLOCK_DISCARD, 512, 125, 1, 256, 0, MAX_S},
	{",prop.write-zeroes=off", ALL & ~R3_BLOCK_WRITE_ZEROES, 512, 125, 1, 256, MAX_S, 0},
	{",prop.max-discard-sectors=8", ALL, 512, 125, 1, 256, 4096, MAX_S},
	{",prop.max-write-zeroes-sectors=16", ALL, 512, 125, 1, 256, MAX_S, 8192},
	{",prop.queue-size=16", ALL, 512, 14, 1, 16, MAX_S, MAX_S},
	{",prop.queue-size=16,prop.seg-max-adjust=off", ALL, 512, 14, 1, 16, MAX_S, MAX_S},
	{",prop.queue-size=1024", ALL, 512, 125, 1, 1024, MAX_S, MAX_S},
	{",prop.indirect_desc=off,prop.event_idx=off", ALL, 512, 125, 1, 85, MAX_S, MAX_S},
	/* without a cache, or with one that is off, FUA costs nothing */
	{",prop.write-cache=off", (ALL & ~R3_BLOCK_VOLATILE_CACHE) | R3_BLOCK_FUA, 512, 125, 1, 256,
	 MAX_S, MAX_S},
	{",prop.write-cache=off,prop.config-wce=off",
	 (ALL & ~R3_BLOCK_VOLATILE_CACHE) | R3_BLOCK_FUA, 512, 125, 1, 256, MAX_S, MAX_S},
	{",prop.config-wce=off", ALL, 512, 125, 1, 256, MAX_S, MAX_S},
	{",prop.ioeventfd=off", ALL, 512, 125, 1, 256, MAX_S, MAX_S},
	{",prop.iommu_platform=on", ALL, 512, 125, 1, 256, MAX_S, MAX_S},
	{",prop.disable-legacy=off", ALL, 512, 125, 1, 256, MAX_S, MAX_S},
	{",prop.page-per-vq=on,prop.num-queues=3", ALL, 512, 125, 3, 256, MAX_S, MAX_S},
};

static struct r3_block *open_block(const char *address, bool read_only)
{
	const struct r3_block_opts opts = {.size = sizeof(opts), .read_only = read_only};
	struct r3_block *block;

	if (r3_block_open(address, &opts, &block))
		fail_msg("%s: %s", address, r3_error_text());
	return block;
}

static void write_and_read(struct r3_block *block)
{
	static unsigned char out[4096], in[4096];
	struct r3_blkq *queue;

	memset(out, 0x3c, sizeof(out));
	memset(in, 0, sizeof(in));
	assert_int_equal(r3_blkq_open(block, NULL, &queue), 0);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_WRITE, R3_BLK_FUA, 8192, out, sizeof(out),
				    SOON_MS * R3_NSEC_PER_MSEC),
			 0);
	assert_int_equal(
		r3_blkq_do(queue, R3_BLK_READ, 0, 8192, in, sizeof(in), SOON_MS * R3_NSEC_PER_MSEC),
		0);
	assert_memory_equal(in, out, sizeof(out));
	r3_blkq_close(queue);
}

static void keys_and_limits(void **state)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		const struct variant *want = &variants[i];
		const struct r3_block_limits *got;
		struct r3_block *block;
		char address[160];

		snprintf(address, sizeof(address), "qemu:virtio-blk,size=%u%s", SIZE, want->keys);
		print_message("%s\n", address);
		block = open_block(address, false);
		got = r3_block_get_limits(block);
		assert_int_equal(got->size, SIZE);
		assert_int_equal(got->features, want->features);
		assert_int_equal(got->block_size, want->block_size);
		assert_int_equal(got->max_sg, want->max_sg);
		assert_int_equal(got->max_queues, want->max_queues);
		assert_int_equal(got->max_depth, want->max_depth);
		assert_int_equal(got->max_discard_len, want->max_discard_len);
		assert_int_equal(got->max_zeroes_len, want->max_zeroes_len);
		write_and_read(block);
		r3_block_close(block);
	}
}

static void read_only(void **state)
{
	struct r3_block *block;

	assert_int_equal(r3_block_open("qemu:virtio-blk,size=1M,readonly", NULL, &block), -EROFS);
	block = open_block("qemu:virtio-blk,size=1M,readonly", true);
	assert_true(r3_block_get_limits(block)->features & R3_BLOCK_READ_ONLY);
	r3_block_close(block);
}

static void legacy_only(void **state)
{
	struct r3_block *block;
	int rc = r3_block_open("qemu:virtio-blk,size=1M,prop.disable-modern=on,"
			       "prop.disable-legacy=off",
			       NULL, &block);

	assert_int_equal(rc, -EOPNOTSUPP);
	assert_non_null(strstr(r3_error_text(), "disable-legacy=on"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_limits),
		cmocka_unit_test(read_only),
		cmocka_unit_test(legacy_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
