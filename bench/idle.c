/* SPDX-License-Identifier: BSD-2-Clause */
#include "idle.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Nanoseconds; 0: the clock is of a process that is gone. */
static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
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

/* Sleep for @ns as a program does that waits for work. */
static bool sleep_on_both(struct r3_block *block, struct r3_blkq *queue, uint64_t ns,
			  unsigned *woken)
{
	struct pollfd fds[] = {{.fd = r3_block_fd(block), .events = POLLIN},
			       {.fd = r3_blkq_fd(queue), .events = POLLIN}};
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + ns, now;
	struct r3_block_event events[8];
	struct r3_blk_req *reqs[8];

	*woken = 0;
	while ((now = clock_ns(CLOCK_MONOTONIC)) < end) {
		if (r3_blkq_arm(queue) && r3_blkq_reap(queue, reqs, 8))
			return false; /* nothing was submitted */
		if (poll(fds, 2, (int)((end - now) / R3_NSEC_PER_MSEC) + 1) > 0) {
			++*woken;
			if (r3_block_dispatch(block, events, 8) < 0)
				return false;
		}
	}
	return true;
}

bool bench_idle(struct r3_block *block, struct r3_blkq *queue, uint64_t ns, struct bench_idle *out)
{
	unsigned before = 0;
	uint64_t wall, cpu;

	*out = (struct bench_idle){0};
	cpu = cpu_ns(getpid(), &before);
	wall = clock_ns(CLOCK_MONOTONIC);
	if (!sleep_on_both(block, queue, ns, &out->woken))
		return false;
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	cpu = cpu_ns(getpid(), &out->processes) - cpu;
	out->share = (double)cpu / (double)wall;
	return before == out->processes;
}
