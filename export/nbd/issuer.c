/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a job is: in todo while pieces of it are left to cut; then only its parts
 * know it. It is finished by whoever sees it with neither pieces nor parts.
 */
#include "issuer.h"

#include <errno.h>
#include <ring3/error.h>
#include <stdlib.h>

struct part {
	struct r3_blk_req req; /* first: the queue gives back its address */
	struct r3_sg sg;
	struct job *job; /* NULL: the slot is free */
	struct part *next_free;
};

void jobs_init(struct jobs *jobs)
{
	jobs->first = NULL;
	jobs->end = &jobs->first;
}

void jobs_add(struct jobs *jobs, struct job *job)
{
	job->next = NULL;
	*jobs->end = job;
	jobs->end = &job->next;
}

void jobs_move(struct jobs *to, struct jobs *from)
{
	if (!from->first)
		return;
	*to->end = from->first;
	to->end = from->end;
	jobs_init(from);
}

static void jobs_drop_first(struct jobs *jobs)
{
	jobs->first = jobs->first->next;
	if (!jobs->first)
		jobs->end = &jobs->first;
}

int issuer_init(struct issuer *is, struct r3_blkq *queue, const struct r3_block_limits *limits)
{
	*is = (struct issuer){.queue = queue, .limits = *limits, .depth = r3_blkq_depth(queue)};
	jobs_init(&is->todo);
	is->parts = calloc(is->depth, sizeof(*is->parts));
	if (!is->parts)
		return r3_error_set(ENOMEM, "out of memory");
	is->batch = calloc(is->depth, sizeof(*is->batch));
	if (!is->batch) {
		free(is->parts);
		return r3_error_set(ENOMEM, "out of memory");
	}
	for (unsigned i = 0; i < is->depth; i++) {
		is->parts[i].next_free = is->free;
		is->free = &is->parts[i];
	}
	return 0;
}

static void job_finish(struct issuer *is, struct job *job)
{
	if (job->flush_after && !job->err) {
		job->flush_after = false;
		job->op = R3_BLK_FLUSH;
		jobs_add(&is->todo, job);
		return;
	}
	sem_post(&job->done);
}

static void part_finish(struct issuer *is, struct part *part, int err, uint32_t detail)
{
	struct job *job = part->job;

	part->job = NULL;
	part->next_free = is->free;
	is->free = part;
	is->used--;
	if (err && !job->err) {
		job->err = err;
		job->detail = detail;
	}
	if (--job->parts == 0 && job->left == 0)
		job_finish(is, job);
}

uint64_t issuer_max_len(const struct r3_block_limits *limits, unsigned op)
{
	switch (op) {
	case R3_BLK_WRITE_ZEROES:
		return limits->max_zeroes_len;
	case R3_BLK_DISCARD:
		return limits->max_discard_len;
	default:
		return limits->max_len;
	}
}

/** Cut the next piece off @job and into the first free slot, which there is. */
static struct part *part_cut(struct issuer *is, struct job *job)
{
	uint64_t max = issuer_max_len(&is->limits, job->op);
	uint64_t len = job->left < max ? job->left : max;
	struct part *part = is->free;

	is->free = part->next_free;
	is->used++;
	part->job = job;
	part->req = (struct r3_blk_req){.op = job->op};
	if (job->op != R3_BLK_FLUSH) {
		part->req.flags = job->flags;
		part->req.off = job->off;
		part->req.len = len;
	}
	if (job->op == R3_BLK_READ || job->op == R3_BLK_WRITE) {
		part->sg = (struct r3_sg){.addr = job->buf, .len = (size_t)len};
		part->req.sg = &part->sg;
		part->req.nsg = 1;
		job->buf += len;
	}
	job->parts++;
	job->off += len;
	job->left -= len;
	return part;
}

static void batch_fill(struct issuer *is)
{
	is->batch_at = is->batch_n = 0;
	while (is->todo.first && is->free) {
		struct job *job = is->todo.first;

		if (is->gone && !job->err)
			job->err = -ENODEV;
		if (job->err) { /* what is left of it is not worth the device's time */
			jobs_drop_first(&is->todo);
			job->left = 0;
			if (job->parts == 0)
				job_finish(is, job);
			continue;
		}
		is->batch[is->batch_n++] = &part_cut(is, job)->req;
		if (job->left == 0)
			jobs_drop_first(&is->todo);
	}
}

int issuer_issue(struct issuer *is)
{
	bool kick = false;

	for (;;) {
		int n;

		if (is->batch_at == is->batch_n)
			batch_fill(is);
		if (is->batch_at == is->batch_n)
			break;
		n = r3_blkq_submit(is->queue, is->batch + is->batch_at, is->batch_n - is->batch_at);
		if (n > 0) {
			is->batch_at += (unsigned)n;
			kick = true;
		} else if (n == -EAGAIN || n == 0) {
			break; /* the queue's fd tells when there is room */
		} else {       /* the fault of the first one */
			if (n == -ENODEV)
				is->gone = true;
			part_finish(is, (struct part *)is->batch[is->batch_at++], n, 0);
		}
	}
	if (kick && r3_blkq_kick(is->queue) == -ENODEV)
		is->gone = true;
	return is->gone ? -ENODEV : 0;
}

unsigned issuer_reap(struct issuer *is)
{
	struct r3_blk_req *done[64];
	unsigned total = 0;
	int n;

	while ((n = r3_blkq_reap(is->queue, done, 64)) > 0) {
		for (int i = 0; i < n; i++)
			part_finish(is, (struct part *)done[i], done[i]->err, done[i]->detail);
		total += (unsigned)n;
	}
	return total;
}

void issuer_finish(struct issuer *is, int err)
{
	while (is->todo.first) {
		struct job *job = is->todo.first;

		jobs_drop_first(&is->todo);
		job->left = 0;
		job->err = job->err ? job->err : err;
		if (job->parts == 0)
			sem_post(&job->done);
	}
	for (unsigned i = 0; i < is->depth; i++) {
		if (is->parts[i].job)
			part_finish(is, &is->parts[i], err, 0);
	}
	free(is->batch);
	free(is->parts);
}
