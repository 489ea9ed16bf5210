/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "null:SIZE[,lba=512|4096]": forgets what is written and reads as zeroes, at the
 * speed of the class itself. For measuring what stands in front of a block device.
 */
#include "class/scheme.h"
#include "class/sync.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LEN    (UINT64_C(4) << 20)
#define MAX_EXTENT (UINT64_C(1) << 62)

static void null_close(struct r3_sync_block *block)
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

static int null_open(const struct r3_params *params, const struct r3_block_opts *opts,
		     struct r3_block **out)
{
	static const char *const known[] = {"lba", NULL};
	/* The head is the size: give it a key, and units and limits are checked as usual. */
	const struct r3_param head = {.key = "size", .value = params->head};
	const struct r3_params sized = {.head = "null", .param = &head, .nparam = 1};
	uint64_t size = 0;
	uint32_t lba;
	int rc;

	rc = r3_params_check(params, "null", known);
	if (rc)
		return rc;
	rc = r3_sync_lba(params, &lba);
	if (rc)
		return rc;
	rc = r3_params_size(&sized, "size", lba, INT64_MAX, &size);
	if (rc)
		return rc;
	if (size & (lba - 1))
		return r3_error_set(EINVAL, "null: %llu bytes are not a multiple of lba=%u",
				    (unsigned long long)size, lba);

	struct r3_sync_block *block = calloc(1, sizeof(*block));
	if (!block)
		return r3_error_set(ENOMEM, "null: no memory");
	r3_sync_init(block, opts);
	block->run = null_run;
	block->close = null_close;
	snprintf(block->base.name, sizeof(block->base.name), "null:%s", params->head);

	struct r3_block_limits *limits = &block->base.limits;
	limits->size = size;
	limits->block_size = limits->physical_block_size = lba;
	limits->max_len = MAX_LEN;
	limits->max_zeroes_len = limits->max_discard_len = MAX_EXTENT;
	limits->features = R3_BLOCK_FUA | R3_BLOCK_DISCARD | R3_BLOCK_WRITE_ZEROES;
	if (opts->read_only)
		limits->features |= R3_BLOCK_READ_ONLY;
	*out = &block->base;
	return 0;
}

const struct r3_block_scheme r3_block_null = {
	.name = "null",
	.summary = "null:SIZE[,lba=512|4096]: reads as zeroes, forgets writes",
	.open = null_open,
};
