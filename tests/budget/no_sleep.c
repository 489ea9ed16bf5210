/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * no_sleep ADDRESS [--sleep]: a load on adaptive queues, for no_sleep.py to watch the
 * system calls of: two threads with event loops of their own, one whose polling pays and
 * one whose never does, then the library's own wait. "begin" and "end" on standard error
 * say what belongs to the load. With --sleep it does once what nobody should.
 */
#include <poll.h>
#include <pthread.h>
#include <ring3/block.h>
#include <ring3/error.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK   4096u
#define DEPTH   32u
#define SECONDS R3_NSEC_PER_SEC

struct load {
	pthread_t thread;
	struct r3_blkq *queue;
	unsigned depth, reads; /* in flight; in all */
	struct r3_blk_req req[DEPTH], *list[DEPTH];
	struct r3_sg sg[DEPTH];
	const char *fault;
};

static atomic_uint running;

static void say(const char *word)
{
	(void)!write(STDERR_FILENO, word, strlen(word));
}

static int open_load(struct load *load, struct r3_block *block, uint64_t poll_ns)
{
	const struct r3_blkq_opts opts = {
		.size = sizeof(opts), .depth = DEPTH, .mode = R3_BLKQ_ADAPTIVE, .poll_ns = poll_ns};
	void *mem;
	int rc = r3_blkq_open(block, &opts, &load->queue);

	if (rc == 0)
		rc = r3_block_alloc(block, DEPTH * BLOCK, &mem);
	for (unsigned i = 0; rc == 0 && i < DEPTH; i++) {
		load->sg[i] = (struct r3_sg){(char *)mem + i * BLOCK, BLOCK};
		load->req[i] = (struct r3_blk_req){.op = R3_BLK_READ,
						   .nsg = 1,
						   .sg = &load->sg[i],
						   .off = i * BLOCK,
						   .len = BLOCK};
		load->list[i] = &load->req[i];
	}
	return rc;
}

static void send_reads(struct load *load, unsigned n)
{
	if (n > load->reads)
		n = load->reads;
	load->reads -= n;
	if (n &&
	    (r3_blkq_submit(load->queue, load->list, n) != (int)n || r3_blkq_kick(load->queue)))
		load->fault = "submit";
}

/** Until all reads are done, sleeping in one poll() when arm says so. */
static void *run(void *arg)
{
	struct load *load = arg;
	struct pollfd pfd = {.fd = r3_blkq_fd(load->queue), .events = POLLIN};

	send_reads(load, load->depth);
	while (!load->fault && r3_blkq_inflight(load->queue)) {
		int n = r3_blkq_reap(load->queue, load->list, DEPTH);

		for (int i = 0; i < n; i++)
			if (load->list[i]->err)
				load->fault = "read";
		if (n > 0)
			send_reads(load, (unsigned)n);
		else if (r3_blkq_arm(load->queue) == 0 && poll(&pfd, 1, 10000) != 1)
			load->fault = "not woken";
	}
	running--;
	return NULL;
}

/** The same by the library's wait, for a program of one thread. */
static void run_waiting(struct load *load, unsigned reads)
{
	while (!load->fault && reads--)
		if (r3_blkq_do(load->queue, R3_BLK_READ, 0, 0, load->sg[0].addr, BLOCK,
			       10 * SECONDS))
			load->fault = "r3_blkq_do";
}

static void run_both(struct load *load, struct r3_block *block)
{
	struct pollfd pfd = {.fd = r3_block_fd(block), .events = POLLIN};
	struct r3_block_event events[4];

	running = 2;
	for (unsigned i = 0; i < 2; i++)
		if (pthread_create(&load[i].thread, NULL, run, &load[i]))
			_exit(1);
	while (running)
		if (poll(&pfd, 1, 10) > 0)
			(void)r3_block_dispatch(block, events, 4);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(load[i].thread, NULL);
}

int main(int argc, char **argv)
{
	static struct load load[2];
	struct r3_block *block;

	if (argc < 2 || r3_block_open(argv[1], NULL, &block) || open_load(&load[0], block, 0) ||
	    open_load(&load[1], block, 1000)) {
		fprintf(stderr, "no_sleep: %s\n", argc < 2 ? "no address" : r3_error_text());
		return 1;
	}
	load[0].depth = DEPTH;
	load[0].reads = 20000;
	load[1].depth = 1;
	load[1].reads = 500;
	say("begin\n");
	run_both(load, block);
	if (argc > 2 && strcmp(argv[2], "--sleep") == 0)
		usleep(1);
	run_waiting(&load[1], 200);
	say("end\n");
	for (unsigned i = 0; i < 2; i++) {
		if (load[i].fault)
			fprintf(stderr, "no_sleep: queue %u: %s\n", i, load[i].fault);
		r3_blkq_close(load[i].queue);
		r3_block_free(block, load[i].sg[0].addr);
	}
	r3_block_close(block);
	return load[0].fault || load[1].fault ? 1 : 0;
}
