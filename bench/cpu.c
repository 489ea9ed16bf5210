/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu.h"

#include <dirent.h>
#include <stdio.h>

uint64_t bench_clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t bench_cpu_ns(pid_t pid, unsigned *n)
{
	char path[64], name[64];
	clockid_t clock;
	uint64_t ns = clock_getcpuclockid(pid, &clock) ? 0 : bench_clock_ns(clock);
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
			ns += bench_cpu_ns(below, n);
		if (children)
			fclose(children);
	}
	if (tasks)
		closedir(tasks);
	return ns;
}
