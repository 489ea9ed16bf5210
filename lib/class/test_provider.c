/* SPDX-License-Identifier: BSD-2-Clause */
#include "class/test_provider.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void wake(int fd)
{
	(void)!eventfd_write(fd, 1);
}

static void quiet(int fd)
{
	eventfd_t count;
	(void)!eventfd_read(fd, &count);
}

void provider_alert(struct provider *p)
{
	wake(p->fd);
}

void provider_complete(struct provider_queue *q, int err)
{
	while (q->done < q->n)
		q->req[q->done++]->err = err;
	if (q->base.fd >= 0)
		wake(q->base.fd);
}

static void provider_close(struct r3_block *block)
{
	struct provider *p = (struct provider *)block;

	close(p->fd);
	p->fd = -1;
	p->closed++;
}

static int provider_fd(const struct r3_block *block)
{
	return ((const struct provider *)block)->fd;
}

/* The one queue that dispatch completes; tests open no second one for it. */
static struct provider_queue *last_queue;

static int provider_dispatch(struct r3_block *block, struct r3_block_event *events, unsigned max)
{
	struct provider *p = (struct provider *)block;
	unsigned n = 0;

	p->dispatched++;
	if (p->done_in_dispatch)
		provider_complete(last_queue, p->err);
	for (; p->kept_events && n < max; p->kept_events--)
		events[n++] = (struct r3_block_event){.type = R3_BLOCK_EVENT_WARNING};
	if (!p->kept_events)
		quiet(p->fd);
	return (int)n;
}

static int provider_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts,
			       struct r3_blkq **out)
{
	struct provider_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->mode = opts->mode;
	q->base.fd = opts->mode == R3_BLKQ_POLL ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	last_queue = q;
	*out = &q->base;
	return 0;
}

static void provider_queue_close(struct r3_blkq *queue)
{
	struct provider_queue *q = (struct provider_queue *)queue;

	for (unsigned i = 0; i < q->n; i++)
		q->req[i]->err = -ECANCELED;
	if (q->base.fd >= 0)
		close(q->base.fd);
	free(q);
}

static int provider_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n)
{
	struct provider_queue *q = (struct provider_queue *)queue;
	struct provider *p = (struct provider *)queue->block;

	if (p->submit_rc)
		return p->submit_rc;
	if (n > p->room)
		n = p->room;
	for (unsigned i = 0; i < n; i++) {
		q->req[q->n++] = reqs[i];
		p->data_len += reqs[i]->len;
		p->submitted++;
	}
	return (int)n;
}

static int provider_kick(struct r3_blkq *queue)
{
	struct provider *p = (struct provider *)queue->block;

	if (p->done_in_kick)
		provider_complete((struct provider_queue *)queue, p->err);
	return p->kick_rc;
}

static int provider_reap(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max)
{
	struct provider_queue *q = (struct provider_queue *)queue;
	unsigned n = q->done < max ? q->done : max;

	memcpy(reqs, q->req, n * sizeof(*reqs));
	memmove(q->req, q->req + n, (q->n - n) * sizeof(*reqs));
	q->n -= n;
	q->done -= n;
	if (!q->done && q->base.fd >= 0)
		quiet(q->base.fd);
	return (int)n;
}

static int provider_arm(struct r3_blkq *queue)
{
	((struct provider *)queue->block)->armed++;
	return ((struct provider_queue *)queue)->done > 0;
}

static const struct r3_block_ops provider_ops = {
	.size = sizeof(provider_ops),
	.close = provider_close,
	.fd = provider_fd,
	.dispatch = provider_dispatch,
	.queue_open = provider_queue_open,
	.queue_close = provider_queue_close,
	.submit = provider_submit,
	.kick = provider_kick,
	.reap = provider_reap,
	.arm = provider_arm,
};

void provider_init(struct provider *p)
{
	*p = (struct provider){
		.base = {.ops = &provider_ops, .name = "fake", .clock = r3_clock_system()},
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.room = PROVIDER_DEPTH,
	};
	p->base.limits = (struct r3_block_limits){
		.size = 1 << 20,
		.block_size = 4096,
		.physical_block_size = 4096,
		.max_len = 65536,
		.max_zeroes_len = 131072,
		.max_discard_len = 262144,
		.max_sg = 4,
		.features = R3_BLOCK_FUA | R3_BLOCK_DISCARD | R3_BLOCK_WRITE_ZEROES,
		.max_queues = 2,
		.max_depth = PROVIDER_DEPTH,
	};
}
