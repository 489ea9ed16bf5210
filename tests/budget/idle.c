/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe block device that is attached and idle costs next to nothing: less than 1 %
 * of a CPU, this process and the QEMU below it taken together, over a second in which
 * the program sleeps on the descriptors as it should.
 */
#include <dirent.h>
#include <poll.h>
#include <ring3/block.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define LIMIT     0.01

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0; /* of a process that is gone */
	return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* CPU time so far of @pid and all below it; *n counts them. */
static uint64_t cpu_ns(pid_t pid, unsigned *n)
{
	char path[64], name[64];
	clockid_t clock;
	uint64_t ns = clock_getcpuclockid(pid, &clock) ? 0 : clock_ns(clock);
	const struct dirent *entry;
	DIR *tasks;

	++*n;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		FILE *children;
		int below;

		snprintf(name, sizeof(name), "%.20s/%.20s/children", path, entry->d_name);
		children = entry->d_name[0] == '.' ? NULL : fopen(name, "re");
		while (children && fscanf(children, "%d", &below) == 1)
			ns += cpu_ns(below, n);
		if (children)
			fclose(children);
	}
	if (tasks)
		closedir(tasks);
	return ns;
}

/* Sleep for @ns as a program does that waits for work. How often it was woken, or -1. */
static int idle(struct r3_block *block, struct r3_blkq *queue, uint64_t ns)
{
	struct pollfd fds[] = {{.fd = r3_block_fd(block), .events = POLLIN},
			       {.fd = r3_blkq_fd(queue), .events = POLLIN}};
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + ns, now;
	struct r3_block_event events[8];
	struct r3_blk_req *reqs[8];
	int woken = 0;

	while ((now = clock_ns(CLOCK_MONOTONIC)) < end) {
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

int main(void)
{
	struct r3_block *block;
	struct r3_blkq *queue;
	char data[4096];
	unsigned before = 0, after = 0;
	uint64_t cpu, wall;
	int woken;

	if (r3_block_open("qemu:nvme,null,size=1G", NULL, &block) ||
	    r3_blkq_open(block, NULL, &queue) ||
	    r3_blkq_do(queue, R3_BLK_READ, 0, 0, data, sizeof(data), SECOND_NS) ||
	    idle(block, queue, SECOND_NS / 5) < 0) {
		printf("idle: %s\n", r3_error_text());
		return 1;
	}
	cpu = cpu_ns(getpid(), &before);
	wall = clock_ns(CLOCK_MONOTONIC);
	woken = idle(block, queue, SECOND_NS);
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	cpu = cpu_ns(getpid(), &after) - cpu;
	r3_blkq_close(queue);
	r3_block_close(block);

	double share = (double)cpu / (double)wall;
	printf("idle: %.2f %% of a CPU in %u processes, woken %d times\n", share * 100, after,
	       woken);
	if (before < 2 || before != after) {
		printf("idle: QEMU was not seen, or did not live\n");
		return 1;
	}
	return woken >= 0 && share < LIMIT ? 0 : 1;
}
