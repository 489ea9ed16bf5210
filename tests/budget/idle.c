/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe block device that is attached and idle costs next to nothing: less than 1 %
 * of a CPU, this process and the QEMU below it taken together, over a second in which
 * the program sleeps on the descriptors as it should; by interrupt, and on an adaptive
 * queue, which polls under load.
 */
#include "idle.h"

#include <ring3/error.h>
#include <stdio.h>

#define SECOND R3_NSEC_PER_SEC
#define LIMIT  0.01

static int measure(struct r3_block *block, enum r3_blkq_mode mode)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = mode};
	const char *name = r3_blkq_mode_name(mode);
	struct bench_idle idle = {0};
	struct r3_blkq *queue;
	char data[4096];

	if (r3_blkq_open(block, &opts, &queue) ||
	    r3_blkq_do(queue, R3_BLK_READ, 0, 0, data, sizeof(data), SECOND)) {
		printf("idle, %s: %s\n", name, r3_error_text());
		return 1;
	}
	if (!bench_idle(block, queue, SECOND / 5, &idle) ||
	    !bench_idle(block, queue, SECOND, &idle) || idle.processes < 2) {
		printf("idle, %s: something happened, or QEMU was not seen, or did not live\n",
		       name);
		return 1;
	}
	r3_blkq_close(queue);
	printf("idle, %s: %.2f %% of a CPU in %u processes, woken %u times\n", name,
	       idle.share * 100, idle.processes, idle.woken);
	return idle.share < LIMIT ? 0 : 1;
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
