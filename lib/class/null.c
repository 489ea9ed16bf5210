/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "null:SIZE[,lba=512|4096]": forgets what is written and reads as zeroes, at the
 * speed of the class itself. For measuring what stands in front of a block device.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "class/scheme.h"
#include "class/sync.h"

#define MAX_LEN (UINT64_C(4) << 20)

static void null_close(struct r3_block *block)
{
	free(block);
}

static int null_run(struct r3_sync_block *block, const struct r3_blk_req *req)
{
	if (req->op == R3_BLK_READ)
		for (unsigned i = 0; i < req->nsg; i++)
			memset(req->sg[i].addr, 0, req->sg[i].len);
	return 0;
}

static const struct r3_block_ops null_ops = {
	.size = sizeof(null_ops),
	.close = null_close,
	.queue_open = r3_sync_queue_open,
	.queue_close = r3_sync_queue_close,
	.submit = r3_sync_submit,
	.kick = r3_sync_kick,
	.reap = r3_sync_reap,
	.arm = r3_sync_arm,
};

static int null_open(const struct r3_params *params, const struct r3_block_opts *opts,
		     struct r3_block **out)
{
	static const char *const known[] = {"lba", NULL};
	/* The head is the size: give it a key, and units and limits are checked as usual. */
	const struct r3_param head = {.key = "size", .value = params->head};
	const struct r3_params sized = {.head = "", .param = &head, .nparam = 1};
	uint64_t size = 0;
	uint32_t lba;
	int rc;

	rc = r3_params_check(params, "null:", known);
	if (rc)
		return rc;
	rc = r3_sync_lba(params, &lba);
	if (rc)
		return rc;
	rc = r3_params_size(&sized, "size", lba, INT64_MAX, &size);
	if (rc)
		return r3_error_prefix(rc, "null:");
	if (size & (lba - 1))
		return r3_error_set(EINVAL, "null: %llu bytes are not a multiple of lba=%u",
				    (unsigned long long)size, lba);

	struct r3_sync_block *block = calloc(1, sizeof(*block));
	if (!block)
		return r3_error_set(ENOMEM, "null: no memory");
	block->run = null_run;
	block->base.ops = &null_ops;
	block->base.clock = opts->clock ? opts->clock : r3_clock_system();
	snprintf(block->base.name, sizeof(block->base.name), "null:%s", params->head);
	block->base.limits = (struct r3_block_limits){
		.size = size,
		.block_size = lba,
		.physical_block_size = lba,
		.max_len = MAX_LEN,
		.max_zeroes_len = INT64_MAX & ~(uint64_t)UINT32_C(65535),
		.max_discard_len = INT64_MAX & ~(uint64_t)UINT32_C(65535),
		.max_sg = 1024,
		.features = R3_BLOCK_FUA | R3_BLOCK_DISCARD | R3_BLOCK_WRITE_ZEROES |
			    (opts->read_only ? R3_BLOCK_READ_ONLY : 0),
		.max_queues = R3_SYNC_MAX_QUEUES,
		.max_depth = R3_SYNC_MAX_DEPTH,
	};
	*out = &block->base;
	return 0;
}

const struct r3_block_scheme r3_block_null = {
	.name = "null",
	.summary = "null:SIZE[,lba=512|4096]: reads as zeroes, forgets what is written",
	.open = null_open,
};
