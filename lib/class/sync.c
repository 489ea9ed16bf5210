/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of requests in order of submission: first the done, then the waiting. */
#include "class/sync.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_QUEUES 64
#define MAX_DEPTH  1024
#define MAX_SG     1024

struct queue {
	struct r3_blkq base;
	bool armed;    /* somebody sleeps: the next completion has to wake */
	bool signaled; /* the eventfd is readable */
	/* Counters run freely; reaped <= done <= submitted <= reaped + depth. */
	uint32_t reaped, done, submitted;
	uint32_t mask; /* entries of ring, a power of two, less one */
	struct r3_blk_req *ring[];
};

int r3_sync_lba(const struct r3_params *params, uint32_t *lba)
{
	uint64_t value = 512;
	int rc = r3_params_number(params, "lba", 512, 4096, &value);

	if (rc)
		return rc;
	if (value != 512 && value != 4096)
		return r3_error_set(EINVAL, "lba=%u: blocks are of 512 or 4096 bytes",
				    (unsigned)value);
	*lba = (uint32_t)value;
	return 0;
}

static int sync_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts,
			   struct r3_blkq **out)
{
	uint32_t entries = 1;
	int rc;

	while (entries < opts->depth)
		entries *= 2;
	struct queue *q = calloc(1, sizeof(*q) + entries * sizeof(q->ring[0]));
	if (!q)
		return r3_error_set(ENOMEM, "%s: no memory for a queue", block->name);
	q->mask = entries - 1;
	q->base.fd = -1;
	if (opts->mode != R3_BLKQ_POLL) {
		q->base.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->base.fd < 0) {
			rc = r3_error_set(errno, "%s: no eventfd for a queue", block->name);
			goto free;
		}
	}
	*out = &q->base;
	return 0;
free:
	free(q);
	return rc;
}

static void sync_queue_close(struct r3_blkq *queue)
{
	struct queue *q = (struct queue *)queue;

	while (q->reaped != q->submitted)
		q->ring[q->reaped++ & q->mask]->err = -ECANCELED;
	if (q->base.fd >= 0)
		close(q->base.fd);
	free(q);
}

static int sync_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n)
{
	struct queue *q = (struct queue *)queue;

	for (unsigned i = 0; i < n; i++)
		q->ring[q->submitted++ & q->mask] = reqs[i];
	return (int)n;
}

static void signal_fd(struct queue *q)
{
	const uint64_t one = 1;

	/* Cannot fail: the counter is at most 1. */
	q->signaled = write(q->base.fd, &one, sizeof(one)) == sizeof(one);
	q->armed = false;
}

static int sync_kick(struct r3_blkq *queue)
{
	struct queue *q = (struct queue *)queue;
	struct r3_sync_block *block = (struct r3_sync_block *)queue->block;

	for (; q->done != q->submitted; q->done++) {
		struct r3_blk_req *req = q->ring[q->done & q->mask];
		req->err = block->run(block, req);
		req->detail = (uint32_t)-req->err;
	}
	if (q->armed && q->done != q->reaped)
		signal_fd(q);
	return 0;
}

static int sync_reap(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max)
{
	struct queue *q = (struct queue *)queue;
	unsigned n = 0;

	while (n < max && q->reaped != q->done)
		reqs[n++] = q->ring[q->reaped++ & q->mask];
	if (q->signaled && q->reaped == q->done) {
		uint64_t count;
		q->signaled = read(q->base.fd, &count, sizeof(count)) != sizeof(count);
	}
	return (int)n;
}

static int sync_arm(struct r3_blkq *queue)
{
	struct queue *q = (struct queue *)queue;

	if (q->reaped != q->done)
		return 1;
	q->armed = q->base.fd >= 0;
	return 0;
}

static void sync_close(struct r3_block *block)
{
	struct r3_sync_block *sync = (struct r3_sync_block *)block;

	sync->close(sync);
}

static const struct r3_block_ops sync_ops = {
	.size = sizeof(sync_ops),
	.close = sync_close,
	.queue_open = sync_queue_open,
	.queue_close = sync_queue_close,
	.submit = sync_submit,
	.kick = sync_kick,
	.reap = sync_reap,
	.arm = sync_arm,
};

void r3_sync_init(struct r3_sync_block *block, const struct r3_block_opts *opts)
{
	block->base.ops = &sync_ops;
	block->base.clock = opts->clock ? opts->clock : r3_clock_system();
	block->base.limits.max_sg = MAX_SG;
	block->base.limits.max_queues = MAX_QUEUES;
	block->base.limits.max_depth = MAX_DEPTH;
}
