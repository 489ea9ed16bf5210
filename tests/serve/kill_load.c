/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kill_load ADDRESS FD [--mode MODE] [--depth N] [--block BYTES] [--reads N] [--seed N]
 *
 * Keeps the disk at ADDRESS busy until it is killed, or the disk goes, or N reads are done,
 * and keeps the books in the file FD (kill_load.h), for the dead tell nothing. Where the
 * disk goes it ends in good order, with status 0, having said when it was told.
 *
 * A request counts as in flight once the device was told of it, and until the program was
 * told that it is done: the counter stands beside each of the two calls.
 */
#include "serve/kill_load.h"

#include <ring3/block.h>
#include <ring3/driver.h>
#include <ring3/error.h>
#include <ring3/pci.h>

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define DEPTH_MAX 256u
#define PATIENCE  20000 /* ms without anything: it hangs */

static struct load {
	const char *address;
	struct kill_load *books;
	struct r3_block *block;
	struct r3_blkq *queue;
	struct r3_blkq_opts opts;
	uint32_t len;
	uint64_t reads; /* 0: for ever */
	uint64_t random, span;
	struct r3_blk_req req[DEPTH_MAX], *idle[DEPTH_MAX];
	struct r3_sg sg[DEPTH_MAX];
	unsigned nidle;
} load = {.opts = {.size = sizeof(load.opts), .depth = 32}, .len = 65536, .random = 1};

static uint64_t now(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * R3_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void count(uint64_t *counter, unsigned n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "kill_load: %s: %s: %s\n", load.address, what, r3_error_text());
	exit(1);
}

/* ---- the load ---- */

static void prepare(struct r3_blk_req *req)
{
	load.random = load.random * UINT64_C(6364136223846793005) + 1442695040888963407;
	req->op = !load.reads && load.random >> 62 == 0 ? R3_BLK_WRITE : R3_BLK_READ;
	req->off = (load.random >> 20) % load.span * load.len;
}

/** Returns false once the disk is gone. */
static bool send(void)
{
	uint64_t left = load.reads ? load.reads - load.books->submitted : load.nidle;
	unsigned n = load.nidle < left ? load.nidle : (unsigned)left;
	int rc;

	for (unsigned i = load.nidle - n; i < load.nidle; i++)
		prepare(load.idle[i]);
	rc = n ? r3_blkq_submit(load.queue, &load.idle[load.nidle - n], n) : 0;
	if (rc > 0) {
		/* those taken are the first of the list: keep the others idle */
		memmove(&load.idle[load.nidle - n], &load.idle[load.nidle - n + (unsigned)rc],
			(n - (unsigned)rc) * sizeof(load.idle[0]));
		load.nidle -= (unsigned)rc;
		if (r3_blkq_kick(load.queue) == 0)
			count(&load.books->submitted, (unsigned)rc);
		return true;
	}
	if (rc < 0 && rc != -EAGAIN && rc != -ENODEV)
		fail("submit");
	return rc != -ENODEV;
}

static int reap(void)
{
	struct r3_blk_req **list = &load.idle[load.nidle];
	int n = r3_blkq_reap(load.queue, list, load.opts.depth - load.nidle);

	if (n <= 0)
		return n;
	count(&load.books->reaped, (unsigned)n);
	for (int i = 0; i < n; i++)
		count(&load.books->failed, list[i]->err != 0);
	load.nidle += (unsigned)n;
	return n;
}

/** Whether the disk has gone. */
static bool dispatch(void)
{
	struct r3_block_event event[4];
	bool gone = false;

	for (int n = r3_block_dispatch(load.block, event, 4); n > 0; n--)
		gone |= event[n - 1].type == R3_BLOCK_EVENT_GONE;
	return gone;
}

/** Sleep until there is something to do. Returns false once the disk is gone. What the driver
 *  does from time to time is not part of N reads. */
static bool rest(void)
{
	struct pollfd fds[2] = {
		{.fd = r3_blkq_fd(load.queue), .events = POLLIN},
		{.fd = load.reads ? -1 : r3_block_fd(load.block), .events = POLLIN},
	};
	int wait = r3_blkq_arm(load.queue) || load.opts.mode == R3_BLKQ_POLL ? 0 : PATIENCE;

	if (poll(fds, 2, wait) == 0 && wait) {
		fprintf(stderr, "kill_load: %s: nothing completes\n", load.address);
		exit(1);
	}
	return !fds[1].revents || !dispatch();
}

static bool done(void)
{
	return load.reads && load.books->reaped == load.reads;
}

/** Returns whether the disk has gone. */
static bool run(void)
{
	uint64_t seen = now(CLOCK_MONOTONIC);

	while (!done()) {
		if (!send())
			return true;
		if (reap() > 0)
			seen = load.opts.mode == R3_BLKQ_POLL ? now(CLOCK_MONOTONIC) : seen;
		else if (!rest())
			return true;
		if (load.opts.mode == R3_BLKQ_POLL &&
		    now(CLOCK_MONOTONIC) - seen > PATIENCE * R3_NSEC_PER_MSEC)
			fail("nothing completes");
	}
	return false;
}

/* ---- life ---- */

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"mode", required_argument, NULL, 'm'},  {"depth", required_argument, NULL, 'd'},
		{"block", required_argument, NULL, 'b'}, {"reads", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 's'},  {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'm' && r3_blkq_mode_parse(optarg, &load.opts.mode))
			fail("--mode");
		else if (option == 'd')
			load.opts.depth = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == 'b')
			load.len = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == 'r')
			load.reads = strtoull(optarg, NULL, 0);
		else if (option == 's')
			load.random = strtoull(optarg, NULL, 0);
		else if (option == '?')
			exit(2);
	}
	if (optind != argc - 2 || !load.opts.depth || load.opts.depth > DEPTH_MAX || !load.len) {
		fprintf(stderr, "kill_load: an address, a descriptor, a depth, a length\n");
		exit(2);
	}
	load.address = argv[optind];
	load.books = mmap(NULL, sizeof(*load.books), PROT_READ | PROT_WRITE, MAP_SHARED,
			  atoi(argv[optind + 1]), 0);
	if (load.books == MAP_FAILED)
		fail("mmap");
}

static void open_disk(void)
{
	const struct r3_block_limits *limits;
	void *mem;

	if (r3_block_open(load.address, NULL, &load.block) ||
	    r3_blkq_open(load.block, &load.opts, &load.queue) ||
	    r3_block_alloc(load.block, (uint64_t)load.opts.depth * load.len, &mem))
		fail("open");
	limits = r3_block_get_limits(load.block);
	load.span = limits->size / load.len;
	if (!load.span || load.len > limits->max_len || load.len % limits->block_size)
		fail("a length that the disk does not have");
	for (unsigned i = 0; i < load.opts.depth; i++) {
		load.sg[i] = (struct r3_sg){(char *)mem + i * load.len, load.len};
		load.req[i] = (struct r3_blk_req){.len = load.len, .sg = &load.sg[i], .nsg = 1};
		load.idle[i] = &load.req[i];
	}
	load.nidle = load.opts.depth;
	__atomic_store_n(&load.books->opened_ns, now(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
}

/** Wait until whoever carries the device has done all that it was told so far: an answer
 *  comes after every write that was posted before the question. */
static void settle(void)
{
	struct r3_device *dev = r3_block_device(load.block);

	if (dev && r3_device_get_info(dev)->caps & R3_CAP_PCI)
		(void)r3_pci_read16(dev, 0);
}

int main(int argc, char **argv)
{
	bool gone;

	parse(argc, argv);
	open_disk();
	settle();
	load.books->begin_ns = now(CLOCK_REALTIME);
	gone = run();
	load.books->end_ns = now(CLOCK_REALTIME);
	if (gone)
		load.books->lost_ns = now(CLOCK_MONOTONIC);
	/* all that was in flight comes back, with its error */
	while (gone && reap() > 0)
		;
	r3_blkq_close(load.queue);
	r3_block_free(load.block, load.sg[0].addr);
	r3_block_close(load.block);
	if (!gone && load.books->failed)
		fail("reads have failed");
	return 0;
}
