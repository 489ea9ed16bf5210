/* SPDX-License-Identifier: BSD-2-Clause */
/* Who the process is, and what of root is left to it: nothing, and no way to get it back. */
#include "host/sandbox/parts.h"

#include <ring3/error.h>

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int sandbox_drop_bounding(struct sandbox_report *report)
{
	capng_get_caps_process();
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)) {
		/* Without root's, and with no_new_privs, there is nobody to make use of it. */
		sandbox_say(report, SANDBOX_CAPS, SANDBOX_PARTLY,
			    "the bounding set stays: emptying it takes CAP_SETPCAP");
		return 0;
	}
	capng_clear(CAPNG_SELECT_BOUNDS);
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return r3_error_set(EPERM, "emptying the bounding set of capabilities failed");
	sandbox_say(report, SANDBOX_CAPS, SANDBOX_FULL, "%s", "");
	return 0;
}

int sandbox_drop_caps(struct sandbox_report *report)
{
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return r3_error_set(EPERM, "giving up capabilities failed");
	/* of no effect where there is no ambient set, which is then empty */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

int sandbox_change_id(const struct sandbox *box, struct sandbox_report *report)
{
	uid_t uid = box->uid;
	gid_t gid = box->gid == SANDBOX_SAME_ID ? uid : box->gid;

	if (uid == SANDBOX_SAME_ID) {
		sandbox_say(report, SANDBOX_UID, SANDBOX_OFF,
			    "it runs as uid %u, as who started it; root can give it one of its own",
			    getuid());
		return 0;
	}
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return r3_error_set(errno, "becoming uid %u, gid %u: %s", uid, gid,
				    strerror(errno));
	sandbox_say(report, SANDBOX_UID, uid ? SANDBOX_FULL : SANDBOX_MISSING, "%s",
		    uid ? "" : "it was told to be root");
	return 0;
}

void sandbox_no_new_privs(struct sandbox_report *report)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		sandbox_say(report, SANDBOX_PRIVS, SANDBOX_MISSING, "%s", strerror(errno));
	else
		sandbox_say(report, SANDBOX_PRIVS, SANDBOX_FULL, "%s", "");
}

void sandbox_hide_memory(const struct sandbox *box, struct sandbox_report *report)
{
	bool visible = box->debug || SANDBOX_SANITIZED;

	if (prctl(PR_SET_DUMPABLE, visible, 0, 0, 0) < 0)
		sandbox_say(report, SANDBOX_MEMORY, SANDBOX_MISSING, "%s", strerror(errno));
	else if (visible)
		sandbox_say(report, SANDBOX_MEMORY, SANDBOX_OFF,
			    box->debug ? "a debugger was asked for" : "built with a sanitizer");
	else
		sandbox_say(report, SANDBOX_MEMORY, SANDBOX_FULL, "%s", "");
}
