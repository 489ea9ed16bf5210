/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a load: memory and queues for its threads, orders to them, and their sum. */
#include "load_thread.h"

#include <errno.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct load {
	struct r3_block *block;
	struct load_opts opts;
	struct load_orders orders;
	unsigned started;
	struct load_thread *thread[];
};

/* Not zeroes, which some devices do not store; different for each request. */
static void fill(unsigned char *data, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += sizeof(seed)) {
		seed = load_random(&seed);
		memcpy(data + i, &seed, len - i < sizeof(seed) ? len - i : sizeof(seed));
	}
}

/* The part of thread @i: where it works and in which order. */
static struct load_part part_of(const struct load_opts *opts, unsigned i)
{
	uint64_t blocks = opts->len / opts->block_size, begin = 0, end = blocks;

	if (opts->sequential) { /* 128 bits: blocks * i may not fit */
		begin = (uint64_t)((unsigned __int128)blocks * i / opts->queues);
		end = (uint64_t)((unsigned __int128)blocks * (i + 1) / opts->queues);
	}
	return (struct load_part){.first = opts->first + begin * opts->block_size,
				  .blocks = end - begin};
}

static int thread_open(struct load *load, unsigned i)
{
	const struct load_opts *opts = &load->opts;
	const struct r3_blkq_opts queue_opts = {
		.size = sizeof(queue_opts), .depth = opts->depth, .mode = opts->mode};
	size_t len = sizeof(struct load_thread) + opts->depth * sizeof(struct load_slot);
	struct load_thread *thread;
	int rc;

	/* a thread's counters share no cache line with another's */
	thread = aligned_alloc(64, (len + 63) & ~(size_t)63);
	if (!thread)
		return r3_error_set(ENOMEM, "bench: no memory for a queue");
	memset(thread, 0, len);
	load->thread[i] = thread;
	thread->ready = calloc(opts->depth, sizeof(thread->ready[0]));
	if (!thread->ready)
		return r3_error_set(ENOMEM, "bench: no memory for a queue");
	thread->opts = opts;
	thread->orders = &load->orders;
	thread->part = part_of(opts, i);
	thread->random = opts->seed + i;
	(void)load_random(&thread->random);

	rc = r3_block_alloc(load->block, (size_t)opts->depth * opts->block_size, &thread->data);
	if (rc < 0)
		return r3_error_prefix(rc, "%s: use less of --size, --depth or --queues",
				       r3_block_name(load->block));
	fill(thread->data, (size_t)opts->depth * opts->block_size, thread->random);
	rc = r3_blkq_open(load->block, &queue_opts, &thread->queue);
	if (rc < 0)
		return rc;
	for (unsigned j = 0; j < opts->depth; j++) {
		struct load_slot *slot = &thread->slot[j];

		slot->sg = (struct r3_sg){(char *)thread->data + (size_t)j * opts->block_size,
					  opts->block_size};
		slot->req = (struct r3_blk_req){.nsg = 1, .len = opts->block_size, .sg = &slot->sg};
		thread->ready[j] = &slot->req;
	}
	return 0;
}

int load_open(struct r3_block *block, const struct load_opts *opts, struct load **out)
{
	struct load *load = calloc(1, sizeof(*load) + opts->queues * sizeof(load->thread[0]));
	int rc = 0;

	if (!load)
		return r3_error_set(ENOMEM, "bench: no memory");
	load->block = block;
	load->opts = *opts;
	load->orders.running = opts->queues;
	load->orders.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (load->orders.ended_fd < 0)
		rc = r3_error_set(errno, "bench: no eventfd: %s", strerror(errno));
	for (unsigned i = 0; rc == 0 && i < opts->queues; i++)
		rc = thread_open(load, i);
	if (rc < 0)
		load_close(load);
	else
		*out = load;
	return rc;
}

int load_start(struct load *load)
{
	sigset_t all, before;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	while (!err && load->started < load->opts.queues) {
		struct load_thread *thread = load->thread[load->started];

		err = pthread_create(&thread->id, NULL, load_thread_run, thread);
		load->started += !err;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		return 0;
	/* those that run end now, as if all others had */
	__atomic_fetch_sub(&load->orders.running, load->opts.queues - load->started,
			   __ATOMIC_RELAXED);
	load_stop(load);
	return r3_error_set(err, "bench: no thread for queue %u: %s: use fewer --queues",
			    load->started, strerror(err));
}

static void order(struct load *load, enum load_phase phase)
{
	__atomic_store_n(&load->orders.phase, phase, __ATOMIC_RELAXED);
}

void load_measure(struct load *load)
{
	order(load, LOAD_MEASURE);
}

bool load_measures(const struct load *load)
{
	for (unsigned i = 0; i < load->started; i++) {
		if (__atomic_load_n(&load->thread[i]->phase, __ATOMIC_RELAXED) < LOAD_MEASURE)
			return false;
	}
	return true;
}

void load_stop(struct load *load)
{
	order(load, LOAD_STOP);
}

void load_abandon(struct load *load)
{
	order(load, LOAD_ABANDON);
}

int load_fd(const struct load *load)
{
	return load->orders.ended_fd;
}

bool load_ended(const struct load *load)
{
	return __atomic_load_n(&load->orders.running, __ATOMIC_ACQUIRE) == 0;
}

void load_progress(const struct load *load, uint64_t *ios, uint64_t *errors)
{
	*ios = *errors = 0;
	for (unsigned i = 0; i < load->started; i++) {
		*ios += __atomic_load_n(&load->thread[i]->ios, __ATOMIC_RELAXED);
		*errors += __atomic_load_n(&load->thread[i]->errors, __ATOMIC_RELAXED);
	}
}

static void join(struct load *load)
{
	for (; load->started > 0; load->started--)
		pthread_join(load->thread[load->started - 1]->id, NULL);
}

void load_result(struct load *load, struct load_result *result)
{
	uint64_t begin = UINT64_MAX, end = 0;

	join(load);
	*result = (struct load_result){0};
	for (unsigned i = 0; i < load->opts.queues; i++) {
		const struct load_thread *thread = load->thread[i];

		if (thread->begin && thread->begin < begin)
			begin = thread->begin;
		if (thread->end > end)
			end = thread->end;
		result->cpu_ns += thread->cpu_ns;
		result->errors += thread->errors;
		/* one that was stopped while it warmed up has measured nothing */
		for (unsigned op = 0; op < 2 && thread->begin; op++)
			histogram_merge(&result->latency[op], &thread->latency[op]);
		if (thread->error && !result->error) {
			result->error = thread->error;
			memcpy(result->error_text, thread->error_text, sizeof(result->error_text));
		}
	}
	result->ns = end > begin ? end - begin : 0;
}

void load_close(struct load *load)
{
	if (!load)
		return;
	join(load);
	for (unsigned i = 0; i < load->opts.queues && load->thread[i]; i++) {
		/* the queue first: until then the device may reach the memory */
		r3_blkq_close(load->thread[i]->queue);
		r3_block_free(load->block, load->thread[i]->data);
		free(load->thread[i]->ready);
		free(load->thread[i]);
	}
	if (load->orders.ended_fd >= 0)
		close(load->orders.ended_fd);
	free(load);
}
