/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Landlock (linux/landlock.h, Documentation/userspace-api/landlock.rst): which files can be
 * opened, no matter with whose permission. Its ABI grows with the kernel: what an older one
 * does not know is left out of the request. The definitions are our own, for a system's
 * headers may be older than its kernel.
 */
#include "host/sandbox/parts.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CREATE_RULESET_VERSION (1u << 0)
#define RULE_PATH_BENEATH      1

struct ruleset_attr {
	uint64_t access_fs;
	uint64_t access_net; /* ABI 4 */
	uint64_t scoped;     /* ABI 6 */
};

struct path_beneath_attr {
	uint64_t access;
	int32_t parent_fd;
} __attribute__((packed));

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_ABI_1 = (1 << 13) - 1, /* all there was: making and removing of each kind, too */
	FS_REFER = 1 << 13,       /* ABI 2 */
	FS_TRUNCATE = 1 << 14,    /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15,   /* ABI 5 */
	FS_OF_A_FILE = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
	FS_READ = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR,
};
enum { NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1 };
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1 };

static long create_ruleset(const struct ruleset_attr *attr, size_t size, unsigned flags)
{
	return syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

/** All that this ABI can deny and the profile need not have. Returns the size to pass. */
static size_t deny(struct ruleset_attr *attr, const struct sandbox *box, long abi)
{
	*attr = (struct ruleset_attr){.access_fs = FS_ABI_1};
	if (abi >= 2)
		attr->access_fs |= FS_REFER;
	if (abi >= 3)
		attr->access_fs |= FS_TRUNCATE;
	if (abi < 4)
		return sizeof(attr->access_fs);
	attr->access_net = box->keep_net ? 0 : NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 5)
		attr->access_fs |= FS_IOCTL_DEV;
	if (abi < 6)
		return offsetof(struct ruleset_attr, scoped);
	/* a broker ends its device's process, which was there before */
	attr->scoped =
		SCOPE_ABSTRACT_UNIX_SOCKET | (box->profile == SANDBOX_BROKER ? 0 : SCOPE_SIGNAL);
	return sizeof(*attr);
}

static int add_path(int ruleset, const char *path, uint64_t access)
{
	struct path_beneath_attr rule = {.access = access};
	struct stat st;
	int rc = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0 || fstat(rule.parent_fd, &st) < 0) {
		rc = r3_error_set(errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISDIR(st.st_mode))
		rule.access &= FS_OF_A_FILE;
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
		rc = r3_error_set(errno, "%s: landlock: %s", path, strerror(errno));
out:
	if (rule.parent_fd >= 0)
		close(rule.parent_fd);
	return rc;
}

static int add_paths(int ruleset, const char *const *path, uint64_t access)
{
	int rc = 0;

	for (; path && *path && rc == 0; path++)
		rc = add_path(ruleset, *path, access);
	return rc;
}

/** What of it this kernel has not got. */
static void report_abi(struct sandbox_report *report, long abi)
{
	if (SANDBOX_SANITIZED)
		sandbox_say(report, SANDBOX_FILES, SANDBOX_PARTLY,
			    "built with a sanitizer, which may read all");
	else if (abi < 3)
		sandbox_say(report, SANDBOX_FILES, SANDBOX_PARTLY,
			    "landlock of this kernel (ABI %ld) does not deny truncation", abi);
	else
		sandbox_say(report, SANDBOX_FILES, SANDBOX_FULL, "%s", "");
}

int sandbox_list_files(const struct sandbox *box, struct sandbox_report *report, int *out)
{
	static const char *const all[] = {"/", NULL};
	long abi = create_ruleset(NULL, 0, CREATE_RULESET_VERSION);
	struct ruleset_attr attr;
	int ruleset, rc;

	*out = -1;
	if (abi < 0) {
		sandbox_say(report, SANDBOX_FILES, SANDBOX_MISSING, "no landlock: %s",
			    strerror(errno));
		return 0;
	}
	size_t size = deny(&attr, box, abi);
	ruleset = (int)create_ruleset(&attr, size, 0);
	if (ruleset < 0)
		return r3_error_set(errno, "landlock (ABI %ld): %s", abi, strerror(errno));
	rc = add_paths(ruleset, box->may_read, FS_READ);
	if (rc == 0)
		rc = add_paths(ruleset, box->may_write, attr.access_fs & ~(uint64_t)FS_EXECUTE);
	if (rc == 0 && SANDBOX_SANITIZED)
		rc = add_paths(ruleset, all, FS_READ);
	if (rc < 0) {
		close(ruleset);
		return rc;
	}
	report_abi(report, abi);
	*out = ruleset;
	return 0;
}

int sandbox_restrict_files(int ruleset)
{
	int rc = 0;

	if (ruleset < 0)
		return 0;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = r3_error_set(errno, "landlock: %s", strerror(errno));
	close(ruleset);
	return rc;
}

void sandbox_restrict_all_files(struct sandbox_report *report)
{
	struct ruleset_attr attr = {.access_fs = FS_ABI_1};
	int ruleset;

	if (SANDBOX_SANITIZED || report->part[SANDBOX_FILES].state == SANDBOX_MISSING)
		return;
	ruleset = (int)create_ruleset(&attr, sizeof(attr.access_fs), 0);
	if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		sandbox_say(report, SANDBOX_FILES, SANDBOX_PARTLY, "the files of loading stay: %s",
			    strerror(errno));
	if (ruleset >= 0)
		close(ruleset);
}
