/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue: what the driver made available is fetched, submitted to a queue of the block
 * device, reaped and given back. No allocation, and no system call but what the block
 * device makes, and the driver's interrupt where it wants one.
 *
 * The block device's queue is made when the driver first kicks: a front-end may set up more
 * queues than it uses.
 */
#include "serve/vhost_user/vhost_user.h"
#include "util/eventfd.h"

#include <errno.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <stdlib.h>

/* Rounds of one queue before the others have their turn. */
#define ROUNDS_MOST 16u

static struct vub_terms terms_of(const struct vub_queue *q)
{
	return (struct vub_terms){&q->serve->device, q->serve->features};
}

/* The ring, or what is to serve it, is of no use: the front-end has to make it anew. */
static __attribute__((cold, noinline)) void break_ring(struct vub_queue *q)
{
	if (q->broken)
		return;
	q->broken = true;
	r3_log(R3_LOG_WARN, "vhost-user: %s: queue %u is not served any more: %s",
	       r3_block_name(q->serve->device.block), q->index, r3_error_text());
	r3_eventfd_signal(q->err);
}

/* ---- the block device's side ---- */

static int alloc_requests(struct vub_queue *q)
{
	q->request = calloc(q->depth, sizeof(*q->request));
	q->free = calloc(q->depth, sizeof(*q->free));
	q->ready = calloc(q->depth, sizeof(*q->ready));
	if (!q->request || !q->free || !q->ready)
		return r3_error_set(ENOMEM, "vhost-user: no memory for a queue of %u", q->depth);
	for (uint32_t i = 0; i < q->depth; i++)
		q->free[i] = &q->request[i];
	q->nfree = q->depth;
	q->nready = q->with_block = 0;
	return 0;
}

/* From here on nobody touches the driver's memory. */
static void close_blkq(struct vub_queue *q)
{
	if (q->blkq_fd >= 0)
		vub_unwatch(q->serve, q->blkq_fd);
	q->blkq_fd = -1;
	r3_blkq_close(q->blkq);
	q->blkq = NULL;
}

static void close_block(struct vub_queue *q)
{
	close_blkq(q);
	free(q->request);
	free(q->free);
	free(q->ready);
	q->request = NULL;
	q->free = NULL;
	q->ready = NULL;
	q->depth = q->nfree = q->nready = q->with_block = 0;
}

static int open_block(struct vub_queue *q)
{
	struct r3_block *block = q->serve->device.block;
	uint32_t most = r3_block_get_limits(block)->max_depth;
	const struct r3_blkq_opts opts = {
		.size = sizeof(opts),
		.depth = q->num < most ? q->num : most,
		.mode = q->serve->opts.mode,
		.poll_ns = q->serve->opts.poll_ns,
	};
	int rc = r3_blkq_open(block, &opts, &q->blkq);

	if (rc < 0)
		return rc;
	q->depth = opts.depth;
	rc = alloc_requests(q);
	if (rc == 0 && r3_blkq_fd(q->blkq) >= 0) {
		rc = vub_watch(q->serve, r3_blkq_fd(q->blkq), VUB_BLKQ, q->index);
		if (rc == 0)
			q->blkq_fd = r3_blkq_fd(q->blkq);
	}
	if (rc < 0)
		close_block(q);
	return rc;
}

/* ---- requests on their way ---- */

static void give_back(struct vub_queue *q, struct vub_request *r)
{
	r->busy = false;
	r3_virtqd_complete(&q->ring, &r->chain, (uint32_t)r->chain.in_len);
}

/** What begin or next of a request said: it has another part, or its chain goes back. */
static void proceed(struct vub_queue *q, struct vub_request *r, int more)
{
	if (more) {
		q->ready[q->nready++] = &r->req;
		return;
	}
	give_back(q, r);
	q->free[q->nfree++] = r;
}

static void refused(struct vub_queue *q, struct r3_blk_req *req, int err)
{
	const struct vub_terms terms = terms_of(q);
	struct vub_request *r = req->user;

	req->err = err;
	proceed(q, r, vub_request_next(r, &terms));
}

/** Hand in what is ready. Returns whether the block device took any, or refused any. */
static bool submit(struct vub_queue *q)
{
	uint32_t done = 0, n = q->nready;
	struct r3_blk_req *list[VUB_BATCH];

	while (done < n) {
		uint32_t batch = n - done < VUB_BATCH ? n - done : VUB_BATCH;
		int rc;

		for (uint32_t i = 0; i < batch; i++)
			list[i] = q->ready[done + i];
		rc = r3_blkq_submit(q->blkq, list, batch);
		if (rc == -EAGAIN || rc == 0)
			break;
		if (rc > 0) {
			q->with_block += (uint32_t)rc;
			done += (uint32_t)rc;
			continue;
		}
		done++;
		refused(q, list[0], rc); /* which may make no other one ready */
	}
	q->nready -= done;
	for (uint32_t i = 0; i < q->nready && done; i++)
		q->ready[i] = q->ready[i + done];
	if (done)
		(void)r3_blkq_kick(q->blkq); /* should it fail, the requests will say so */
	return done;
}

static bool reap(struct vub_queue *q)
{
	const struct vub_terms terms = terms_of(q);
	struct r3_blk_req *done[VUB_BATCH];
	int n = r3_blkq_reap(q->blkq, done, VUB_BATCH);

	for (int i = 0; i < n; i++) {
		struct vub_request *r = done[i]->user;

		q->with_block--;
		proceed(q, r, vub_request_next(r, &terms));
	}
	return n > 0;
}

static bool fetch(struct vub_queue *q)
{
	const struct vub_terms terms = terms_of(q);
	bool any = false;

	while (q->nfree && !q->paused && !q->broken) {
		struct vub_request *r = q->free[q->nfree - 1];
		int rc = r3_virtqd_fetch(&q->ring, &r->chain, r->sg, VUB_SG);

		if (rc < 0)
			break_ring(q);
		if (rc <= 0)
			break;
		q->nfree--;
		r->busy = true;
		proceed(q, r, vub_request_begin(r, &terms));
		any = true;
	}
	return any;
}

/* Show the driver what has completed, and wake it if it sleeps. */
static void publish(struct vub_queue *q)
{
	if (r3_virtqd_publish(&q->ring))
		r3_eventfd_signal(q->call);
}

static bool is_served(const struct vub_queue *q)
{
	return q->open && q->enabled && (q->kicked || q->polled);
}

bool vub_queue_serve(struct vub_queue *q)
{
	bool any = false;

	if (!is_served(q) && !q->blkq)
		return false;
	if (!q->blkq && !q->broken && !q->paused && open_block(q) < 0)
		break_ring(q);
	if (!q->blkq)
		return false;
	if (q->armed) {
		r3_virtqd_disarm(&q->ring);
		q->armed = false;
	}
	for (unsigned round = 0; round < ROUNDS_MOST; round++) {
		bool progress = reap(q);

		progress |= is_served(q) && fetch(q);
		progress |= submit(q);
		publish(q);
		if (!progress)
			break;
		any = true;
	}
	return any;
}

bool vub_queue_arm(struct vub_queue *q)
{
	if (!q->blkq)
		return is_served(q) && !q->broken && !q->paused;
	/* When all requests are on their way, only their completion changes anything. */
	if (is_served(q) && q->nfree && !q->paused && !q->broken) {
		q->armed = true;
		if (r3_virtqd_arm(&q->ring) || q->polled)
			return true;
	}
	return r3_blkq_arm(q->blkq) != 0 || (q->serve->opts.mode == R3_BLKQ_POLL && q->with_block);
}

bool vub_queue_busy(const struct vub_queue *q)
{
	return q->blkq && q->nfree != q->depth;
}

void vub_queue_cancel(struct vub_queue *q)
{
	if (!q->blkq)
		return;
	close_blkq(q);
	for (uint32_t i = 0; i < q->depth; i++) {
		if (!q->request[i].busy)
			continue;
		vub_request_fail(&q->request[i], -ECANCELED);
		give_back(q, &q->request[i]);
	}
	publish(q);
	close_block(q);
}

/* ---- rings come and go ---- */

static int find_ring(struct vub_queue *q)
{
	bool packed = q->serve->features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	const struct vub_memory *memory = &q->serve->memory;
	const struct r3_virtqd_config config = {
		.name = r3_block_name(q->serve->device.block),
		.index = q->index,
		.size = q->num,
		.features = q->serve->features,
		.desc = vub_memory_at(memory, q->addr.descriptor, VIRTQ_DESC_BYTES(q->num)),
		.driver = vub_memory_at(memory, q->addr.available,
					packed ? PVIRTQ_SUPPRESS_BYTES : VIRTQ_AVAIL_BYTES(q->num)),
		.device = vub_memory_at(memory, q->addr.used,
					packed ? PVIRTQ_SUPPRESS_BYTES : VIRTQ_USED_BYTES(q->num)),
		.resume = q->placed,
		.place = q->place,
		.translate = vub_memory_translate,
		.opaque = &q->serve->memory,
	};

	if (!config.desc || !config.driver || !config.device)
		return r3_error_set(EINVAL, "queue %u of %u entries lies outside of the memory",
				    q->index, q->num);
	return r3_virtqd_init(&q->ring, &config);
}

static void keep_place(struct vub_queue *q)
{
	q->place = r3_virtqd_place(&q->ring);
	q->placed = true;
}

int vub_queue_open(struct vub_queue *q)
{
	int rc = find_ring(q);

	if (rc < 0)
		return rc;
	q->open = true;
	q->broken = q->kicked = q->armed = false;
	if (!(q->serve->features & VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES)))
		q->enabled = true;
	return 0;
}

void vub_queue_move(struct vub_queue *q)
{
	if (!q->open)
		return;
	keep_place(q);
	q->armed = false;
	if (find_ring(q) < 0)
		break_ring(q);
}

void vub_queue_stop(struct vub_queue *q)
{
	if (q->open)
		keep_place(q);
	close_block(q);
	if (q->kick >= 0)
		vub_unwatch(q->serve, q->kick);
	r3_stream_close_fds(&q->kick, q->kick >= 0);
	q->kick = -1;
	q->open = q->kicked = q->polled = q->paused = q->broken = false;
}

void vub_queue_reset(struct vub_queue *q)
{
	vub_queue_stop(q);
	r3_stream_close_fds(&q->call, q->call >= 0);
	r3_stream_close_fds(&q->err, q->err >= 0);
	*q = (struct vub_queue){.serve = q->serve,
				.index = q->index,
				.kick = -1,
				.call = -1,
				.err = -1,
				.blkq_fd = -1};
}

uint32_t vub_queue_base(const struct vub_queue *q)
{
	bool packed = q->serve->features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	uint32_t place = q->placed ? q->place : packed ? VHOST_USER_PACKED_WRAP : 0;

	return packed ? place | place << VHOST_USER_PACKED_USED : place;
}
