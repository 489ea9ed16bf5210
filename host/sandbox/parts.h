/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of a sandbox, each in a file of its own. A part does what it can and says in the
 * report what it could not; it fails only where going on would be worse than ending. */
#ifndef RING3_HOST_SANDBOX_PARTS_H
#define RING3_HOST_SANDBOX_PARTS_H

#include "config.h"
#include "host/sandbox/sandbox.h"

#include <ring3/api.h>
#include <stddef.h>

/* What a sanitizer does at the end of a process (looking at itself through /proc, starting a
 * thread that traces) is what a sandbox is there to prevent. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZED true
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED false
#endif

/** Who watches this process from inside, and needs more than it: NULL: nobody. */
const char *sandbox_watcher(void);

/** All parts but the filter of system calls, which comes last. */
int sandbox_enter_unfiltered(const struct sandbox *box, struct sandbox_report *report);

/** How a part went. */
void sandbox_say(struct sandbox_report *report, enum sandbox_part part, enum sandbox_state state,
		 const char *fmt, ...) R3_PRINTF(4, 5);

/** Whether nothing of the file system is needed any more. */
bool sandbox_needs_no_files(const struct sandbox *box);

/* identity.c: who we are, and what of root is left */

/** Take away, for good, what an exec could bring back. While /proc is still there. */
int sandbox_drop_bounding(struct sandbox_report *report);
int sandbox_change_id(const struct sandbox *box, struct sandbox_report *report);
int sandbox_drop_caps(struct sandbox_report *report);
void sandbox_no_new_privs(struct sandbox_report *report);
void sandbox_hide_memory(const struct sandbox *box, struct sandbox_report *report);

/* namespaces.c */

int sandbox_unshare(const struct sandbox *box, struct sandbox_report *report);
/** Leave the file system for an empty one. In the new namespace, with its capabilities. */
void sandbox_leave_files(const struct sandbox *box, struct sandbox_report *report);

/* limits.c */

void sandbox_limit(const struct sandbox *box, struct sandbox_report *report);

/* files.c */

/** Look up what is listed, as long as we may; *ruleset is -1 where there is no Landlock.
 *  Errors: ENOENT a path does not exist. */
int sandbox_list_files(const struct sandbox *box, struct sandbox_report *report, int *ruleset);
/** From here on. Takes @ruleset. */
int sandbox_restrict_files(int ruleset);
/** Not even those that were listed. */
void sandbox_restrict_all_files(struct sandbox_report *report);

/* filter.c */

int sandbox_filter(const struct sandbox *box, bool loading, struct sandbox_report *report);

#endif
