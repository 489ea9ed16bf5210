/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe block device that is attached and idle costs next to nothing: less than 1 %
 * of a CPU, this process and the QEMU below it taken together, over a second in which
 * the program sleeps on the descriptors as it should; by interrupt, and on an adaptive
 * queue, which polls under load.
 */
#include "cpu.h"

#include <poll.h>
#include <ring3/block.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define LIMIT     0.01

/* Sleep for @ns as a program does that waits for work. How often it was woken, or -1. */
static int idle(struct r3_block *block, struct r3_blkq *queue, uint64_t ns)
{
	struct pollfd fds[] = {{.fd = r3_block_fd(block), .events = POLLIN},
			       {.fd = r3_blkq_fd(queue), .events = POLLIN}};
	uint64_t end = bench_clock_ns(CLOCK_MONOTONIC) + ns, now;
	struct r3_block_event events[8];
	struct r3_blk_req *reqs[8];
	int woken = 0;

	while ((now = bench_clock_ns(CLOCK_MONOTONIC)) < end) {
		if (r3_blkq_arm(queue) && r3_blkq_reap(queue, reqs, 8))
			return -1; /* nothing was submitted */
		if (poll(fds, 2, (int)((end - now) / 1000000) + 1) > 0) {
			woken++;
			if (r3_block_dispatch(block, events, 8) < 0)
				return -1;
		}
	}
	return woken;
}

static int measure(struct r3_block *block, enum r3_blkq_mode mode)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = mode};
	const char *name = r3_blkq_mode_name(mode);
	unsigned before = 0, after = 0;
	struct r3_blkq *queue;
	uint64_t cpu, wall;
	char data[4096];
	int woken;

	if (r3_blkq_open(block, &opts, &queue) ||
	    r3_blkq_do(queue, R3_BLK_READ, 0, 0, data, sizeof(data), SECOND_NS) ||
	    idle(block, queue, SECOND_NS / 5) < 0) {
		printf("idle, %s: %s\n", name, r3_error_text());
		return 1;
	}
	cpu = bench_cpu_ns(getpid(), &before);
	wall = bench_clock_ns(CLOCK_MONOTONIC);
	woken = idle(block, queue, SECOND_NS);
	wall = bench_clock_ns(CLOCK_MONOTONIC) - wall;
	cpu = bench_cpu_ns(getpid(), &after) - cpu;
	r3_blkq_close(queue);

	double share = (double)cpu / (double)wall;
	printf("idle, %s: %.2f %% of a CPU in %u processes, woken %d times\n", name, share * 100,
	       after, woken);
	if (before < 2 || before != after) {
		printf("idle: QEMU was not seen, or did not live\n");
		return 1;
	}
	return woken >= 0 && share < LIMIT ? 0 : 1;
}

int main(void)
{
	struct r3_block *block;
	int rc;

	if (r3_block_open("qemu:nvme,null,size=1G", NULL, &block)) {
		printf("idle: %s\n", r3_error_text());
		return 1;
	}
	rc = measure(block, R3_BLKQ_INTERRUPT);
	rc |= measure(block, R3_BLKQ_ADAPTIVE);
	r3_block_close(block);
	return rc;
}
