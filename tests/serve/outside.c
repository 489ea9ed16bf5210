/* SPDX-License-Identifier: BSD-2-Clause */
/* For a broker of devices that only tests have. One in a thread of its own is hardware in our
 * midst, and only a process of one thread can enter a sandbox: who serves such a device stays
 * outside. Whoever serves any other of them is inside, as ever. */
#include "host/sandbox/sandbox.h"

#include <dirent.h>
#include <stdio.h>

int __real_sandbox_enter(const struct sandbox *box, struct sandbox_report *report);
int __wrap_sandbox_enter(const struct sandbox *box, struct sandbox_report *report);

static unsigned count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

int __wrap_sandbox_enter(const struct sandbox *box, struct sandbox_report *report)
{
	if (count_threads() == 1)
		return __real_sandbox_enter(box, report);
	for (unsigned part = 0; part < SANDBOX_PARTS; part++) {
		report->part[part].state = SANDBOX_OFF;
		snprintf(report->part[part].why, sizeof(report->part[part].why),
			 "the device of this test has a thread");
	}
	return 0;
}
