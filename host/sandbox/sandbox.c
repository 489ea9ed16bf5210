/* SPDX-License-Identifier: BSD-2-Clause */
/* Entering: see sandbox.h. The order of the parts is what makes them possible, for each takes
 * away what those before it needed. */
#include "host/sandbox/parts.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if R3_WITH_VALGRIND
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/** Threads keep what they have: each has capabilities, a filter and Landlock's rules of its
 *  own. */
static int be_alone(void)
{
	struct stat st;

	/* . and .. and one */
	if (stat("/proc/self/task", &st) == 0 && st.st_nlink > 3)
		return r3_error_set(EBUSY,
				    "a sandbox is entered before there are threads; "
				    "there are %ju",
				    (uintmax_t)st.st_nlink - 2);
	return 0;
}

static int check_required(const struct sandbox *box, const struct sandbox_report *report)
{
	for (unsigned i = 0; i < SANDBOX_PARTS; i++)
		if (box->require & 1u << i && report->part[i].state != SANDBOX_FULL)
			return r3_error_set(EOPNOTSUPP, "the sandbox has no %s: %s",
					    sandbox_part_name(i), report->part[i].why);
	return 0;
}

const char *sandbox_watcher(void)
{
	if (SANDBOX_SANITIZED)
		return "built with a sanitizer";
	return RUNNING_ON_VALGRIND ? "runs under valgrind" : NULL;
}

bool sandbox_needs_no_files(const struct sandbox *box)
{
	return !(box->may_read && box->may_read[0]) && !(box->may_write && box->may_write[0]);
}

int sandbox_enter_unfiltered(const struct sandbox *box, struct sandbox_report *report)
{
	int ruleset, rc;

	memset(report, 0, sizeof(*report));
	for (unsigned i = 0; i < SANDBOX_PARTS; i++)
		sandbox_say(report, i, SANDBOX_MISSING, "entering did not get so far");
	if (box->uid != SANDBOX_SAME_ID && geteuid() != 0)
		return r3_error_set(EPERM, "only root can become uid %u", box->uid);
	if ((rc = be_alone()) < 0)
		return rc;
	/* The namespaces of who is not root begin with all capabilities, which the rest takes. */
	if ((rc = sandbox_unshare(box, report)) < 0 || (rc = sandbox_drop_bounding(report)) < 0 ||
	    (rc = sandbox_list_files(box, report, &ruleset)) < 0)
		return rc;
	sandbox_limit(box, report);
	sandbox_leave_files(box, report);
	sandbox_no_new_privs(report); /* without it no Landlock and no seccomp */
	if ((rc = sandbox_change_id(box, report)) < 0 || (rc = sandbox_drop_caps(report)) < 0) {
		if (ruleset >= 0)
			close(ruleset);
		return rc;
	}
	/* behind the change of uid, which makes a process not dumpable by itself */
	sandbox_hide_memory(box, report);
	return sandbox_restrict_files(ruleset);
}

int sandbox_enter(const struct sandbox *box, struct sandbox_report *report)
{
	int rc = sandbox_enter_unfiltered(box, report);

	if (rc == 0)
		rc = sandbox_filter(box, box->loading, report);
	return rc < 0 ? rc : check_required(box, report);
}

int sandbox_shut(const struct sandbox *box, struct sandbox_report *report)
{
	int rc;

	sandbox_restrict_all_files(report);
	rc = sandbox_filter(box, false, report);
	return rc < 0 ? rc : check_required(box, report);
}
