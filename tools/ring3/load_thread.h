/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread of a load: its queue, its requests, and what it has measured. */
#ifndef TOOLS_RING3_LOAD_THREAD_H
#define TOOLS_RING3_LOAD_THREAD_H

#include "load.h"
#include <pthread.h>

enum load_phase {
	LOAD_WARM_UP,
	LOAD_MEASURE,
	LOAD_STOP,
	LOAD_ABANDON,
};

/** What the threads are told, and how they say that they have ended. */
struct load_orders {
	enum load_phase phase;
	unsigned running;
	int ended_fd; /* an eventfd */
};

struct load_part {
	uint64_t first, blocks; /* where, in bytes; how many requests fit */
};

struct load_slot {
	struct r3_blk_req req; /* first: a request is its slot */
	struct r3_sg sg;
	uint64_t begun;
};

struct load_thread {
	pthread_t id;
	const struct load_opts *opts;
	struct load_orders *orders;
	struct r3_blkq *queue;
	void *data;
	struct load_part part;
	uint64_t random, next;     /* state; which block is next in order */
	struct r3_blk_req **ready; /* not in flight, nready of them; there is room for all */
	unsigned nready;

	enum load_phase phase;       /* that it has seen; stored atomically */
	uint64_t begin, end, cpu_ns; /* of what was measured */
	uint64_t ios, errors;        /* stored atomically: somebody looks on */
	struct histogram latency[2];
	int error; /* of the first that failed */
	char error_text[sizeof(((struct load_result *)0)->error_text)];
	struct load_slot slot[]; /* depth */
};

/** The body of the thread; @thread is a struct load_thread. */
void *load_thread_run(void *thread);

/** The next of a sequence of random numbers (splitmix64). */
static inline uint64_t load_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#endif
