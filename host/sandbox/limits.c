/* SPDX-License-Identifier: BSD-2-Clause */
/* Resource limits: what a process could take from others without asking for anything. Hard
 * limits too, so that they stay. */
#include "host/sandbox/parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_FDS  1024u
#define MAX_FILE (UINT64_C(64) << 20) /* where nobody says: a log has room */

void sandbox_limit(const struct sandbox *box, struct sandbox_report *report)
{
	const struct {
		__rlimit_resource_t which;
		rlim_t most;
		const char *name;
		bool off;
	} limits[] = {
		{RLIMIT_CORE, 0, "core", box->debug},
		{RLIMIT_NOFILE, box->max_fds ? box->max_fds : MAX_FDS, "nofile", false},
		{RLIMIT_FSIZE, box->max_file ? box->max_file : MAX_FILE, "fsize", false},
		{RLIMIT_DATA, box->max_data, "data", SANDBOX_SANITIZED},
		/* a sanitizer looks for leaks in a thread of its own */
		{RLIMIT_NPROC, box->max_procs, "nproc", SANDBOX_SANITIZED},
		{RLIMIT_MSGQUEUE, 0, "msgqueue", false},
		{RLIMIT_NICE, 0, "nice", false},
		{RLIMIT_RTPRIO, 0, "rtprio", false},
	};
	char missing[100] = "";
	size_t used = 0;

	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit now = {0};

		if (limits[i].which == RLIMIT_DATA && !box->max_data)
			continue;

		getrlimit(limits[i].which, &now);
		rlim_t most = limits[i].most < now.rlim_max ? limits[i].most : now.rlim_max;
		struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
		if (!limits[i].off && setrlimit(limits[i].which, &limit) == 0)
			continue;
		used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s",
					 used ? ", " : "", limits[i].name);
	}
	sandbox_say(report, SANDBOX_LIMITS, used ? SANDBOX_PARTLY : SANDBOX_FULL, "%s%s",
		    used ? "not limited: " : "", missing);
}
