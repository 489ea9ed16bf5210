/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of requests: piece n is in slot n % READ_DEPTH, and requests complete in any order. */
#include "embed_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int reading_open(struct reading *r, int argc, char **argv)
{
	struct r3_blkq_opts opts = {.size = sizeof(opts), .depth = READ_DEPTH};
	const struct r3_block_limits *limits;
	void *memory;
	int rc;

	*r = (struct reading){.a = 1};
	if (argc < 2)
		return r3_error_set(EINVAL, "usage: %s ADDRESS [BYTES [MODE]]", argv[0]);
	if (argc > 3 && (rc = r3_blkq_mode_parse(argv[3], &opts.mode)) < 0)
		return rc;
	if (opts.mode == R3_BLKQ_POLL)
		return r3_error_set(EINVAL, "a polled queue wakes no loop: use adaptive");
	if ((rc = r3_block_open(argv[1], NULL, &r->block)) < 0 ||
	    (rc = r3_blkq_open(r->block, &opts, &r->queue)) < 0)
		return rc;
	limits = r3_block_get_limits(r->block);
	r->piece = limits->max_len < READ_PIECE ? limits->max_len : READ_PIECE;
	r->size = argc > 2 ? strtoull(argv[2], NULL, 0) : limits->size;
	if (r->size > limits->size || r->size % limits->block_size)
		return r3_error_set(EINVAL, "%s: cannot read %s bytes of %" PRIu64, argv[1],
				    argv[2], limits->size);
	rc = r3_block_alloc(r->block, READ_DEPTH * r->piece, &memory);
	if (rc < 0)
		return rc;
	r->memory = memory;
	reading_progress(r);
	return 0;
}

static void sum(struct reading *r, const unsigned char *at, uint64_t len)
{
	while (len--) {
		r->a = (r->a + *at++) % 65521;
		r->b = (r->b + r->a) % 65521;
	}
}

static int ask(struct reading *r)
{
	while (r->asked < r->size && r->asked - r->summed < READ_DEPTH * r->piece) {
		unsigned slot = (unsigned)(r->asked / r->piece % READ_DEPTH);
		uint64_t left = r->size - r->asked, len = left < r->piece ? left : r->piece;
		struct r3_blk_req *req = &r->req[slot];
		int rc;

		r->sg[slot] = (struct r3_sg){r->memory + slot * r->piece, len};
		*req = (struct r3_blk_req){.op = R3_BLK_READ,
					   .off = r->asked,
					   .len = len,
					   .sg = &r->sg[slot],
					   .nsg = 1};
		rc = r3_blkq_submit(r->queue, &req, 1);
		if (rc < 0)
			return rc == -EAGAIN ? 0 : rc; /* later: the device is being reset */
		r->asked += len;
	}
	return 0;
}

int reading_step(struct reading *r)
{
	struct r3_blk_req *done[READ_DEPTH];
	int n = r3_blkq_reap(r->queue, done, READ_DEPTH), rc;

	for (int i = 0; i < n; i++) {
		if (done[i]->err)
			return r3_error_set(-done[i]->err, "%s: cannot read at %" PRIu64,
					    r3_block_name(r->block), done[i]->off);
		r->arrived[done[i] - r->req] = true;
	}
	for (unsigned slot;
	     slot = (unsigned)(r->summed / r->piece % READ_DEPTH), r->arrived[slot];) {
		sum(r, r->sg[slot].addr, r->sg[slot].len);
		r->summed += r->sg[slot].len;
		r->arrived[slot] = false;
	}
	rc = ask(r);
	return rc < 0 ? rc : r3_blkq_kick(r->queue);
}

void reading_dispatch(struct reading *r)
{
	struct r3_block_event event[4];
	int n = r3_block_dispatch(r->block, event, 4);

	for (int i = 0; i < n; i++)
		fprintf(stderr, "%s: event %u\n", r3_block_name(r->block), event[i].type);
}

void reading_progress(const struct reading *r)
{
	fprintf(stderr, "%" PRIu64 " of %" PRIu64 " bytes\n", r->summed, r->size);
}

int reading_close(struct reading *r, int rc)
{
	if (rc < 0)
		fprintf(stderr, "%s\n", r3_error_text());
	else
		printf("%08" PRIx32 " %" PRIu64 " bytes\n", r->b << 16 | r->a, r->size);
	r3_blkq_close(r->queue);
	if (r->memory)
		r3_block_free(r->block, r->memory);
	r3_block_close(r->block);
	return rc < 0;
}
