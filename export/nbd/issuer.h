/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From jobs to requests. A job is of any length; a part of it is one request on the
 * queue. Jobs wait in `todo`, where they are cut into parts as slots get free. No
 * memory is allocated meanwhile: jobs lie on the stacks of their callers, and there
 * are as many slots as the queue is deep. One thread.
 */
#ifndef EXPORT_NBD_ISSUER_H
#define EXPORT_NBD_ISSUER_H

#include <ring3/block.h>
#include <semaphore.h>

struct job {
	struct job *next;
	uint64_t off; /* of the part to be cut next */
	uint64_t left;
	unsigned char *buf; /* READ, WRITE */
	uint8_t op, flags;
	bool flush_after; /* FUA on a device without it */
	unsigned parts;   /* cut and not completed */
	int err;
	uint32_t detail;
	sem_t done; /* posted when the job is its caller's again */
};

struct jobs {
	struct job *first, **end;
};

void jobs_init(struct jobs *jobs);
void jobs_add(struct jobs *jobs, struct job *job);
void jobs_move(struct jobs *to, struct jobs *from);

struct issuer {
	struct r3_blkq *queue;
	struct r3_block_limits limits;
	bool gone; /* the device: jobs fail */
	struct jobs todo;
	unsigned depth, used;
	struct part *parts, *free;
	struct r3_blk_req **batch; /* cut, and not yet taken by the queue */
	unsigned batch_at, batch_n;
};

/** Begin; @queue stays the caller's. Errors: ENOMEM. */
int issuer_init(struct issuer *issuer, struct r3_blkq *queue, const struct r3_block_limits *limits);

/** After the queue was closed: every job left fails with @err. Frees the slots. */
void issuer_finish(struct issuer *issuer, int err);

/** Submit what there is room for. -ENODEV: the device is gone; else 0. */
int issuer_issue(struct issuer *issuer);

/** Take what has completed. Returns how many parts. */
unsigned issuer_reap(struct issuer *issuer);

static inline bool issuer_idle(const struct issuer *issuer)
{
	return !issuer->todo.first && issuer->used == 0;
}

/** Most bytes of one request; 0 where the device does not know @op. */
uint64_t issuer_max_len(const struct r3_block_limits *limits, unsigned op);

#endif
