/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Namespaces: a network without interfaces, IPC without anybody, and mounts of our own, which
 * are none at all where no file is needed. Root makes them as it is; anybody else inside a
 * user namespace, where the kernel allows that. A process keeps what it has open, its socket
 * of another network too.
 */
#include "host/sandbox/parts.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	int rc = n < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/** Be who we were: an id that nobody mapped is nobody's. */
static int map_ids(uid_t uid, gid_t gid)
{
	char text[64];
	int rc;

	/* Who has changed its uid is not dumpable, and its files in /proc are root's. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return -errno;
	rc = write_file("/proc/self/setgroups", "deny");
	if (rc < 0 && rc != -ENOENT)
		return rc;
	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	rc = write_file("/proc/self/uid_map", text);
	if (rc < 0)
		return rc;
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	return write_file("/proc/self/gid_map", text);
}

int sandbox_unshare(const struct sandbox *box, struct sandbox_report *report)
{
	int flags = CLONE_NEWIPC | CLONE_NEWNS | (box->keep_net ? 0 : CLONE_NEWNET);
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int rc;

	if (unshare(flags) == 0)
		goto done;
	if (errno != EPERM) {
		sandbox_say(report, SANDBOX_NAMESPACES, SANDBOX_MISSING, "%s", strerror(errno));
		return 0;
	}
	if (uid == 0 && box->uid != SANDBOX_SAME_ID) {
		/* a root of few capabilities; in a user namespace there would be no other uid */
		sandbox_say(report, SANDBOX_NAMESPACES, SANDBOX_MISSING, "they take CAP_SYS_ADMIN");
		return 0;
	}
	if (unshare(flags | CLONE_NEWUSER) < 0) {
		sandbox_say(report, SANDBOX_NAMESPACES, SANDBOX_MISSING,
			    "they take root, or user namespaces: %s", strerror(errno));
		return 0;
	}
	rc = map_ids(uid, gid);
	if (rc < 0)
		return r3_error_set(-rc, "mapping uid %u into a user namespace: %s", uid,
				    strerror(-rc));
done:
	if (box->keep_net)
		sandbox_say(report, SANDBOX_NAMESPACES, SANDBOX_PARTLY,
			    "the network was asked to stay");
	else
		sandbox_say(report, SANDBOX_NAMESPACES, SANDBOX_FULL, "%s", "");
	return 0;
}

/* "." on ".": the old root lies on top of the new one until it is unmounted. */
static int swap_root(void)
{
	return syscall(SYS_pivot_root, ".", ".") < 0 ? -1 : umount2(".", MNT_DETACH);
}

/** Make an empty root and go there: on whichever folder is there to mount it on. In a
 *  chroot(2) the root is no mount, which cannot be swapped, but left in the same way again:
 *  nobody comes back without CAP_SYS_CHROOT or a descriptor of a folder. */
static int empty_root(void)
{
	static const char *const places[] = {"/proc", "/dev", "/tmp"};
	const unsigned flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	bool in_chroot = false;

	if (mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0) {
		if (errno != EINVAL)
			return -errno;
		in_chroot = true;
	}
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		/* what is mounted there must not be seen by others */
		if (in_chroot && mount("none", places[i], "none", MS_PRIVATE, "") < 0)
			continue;
		if (mount("empty", places[i], "tmpfs", flags, "size=4k,nr_inodes=2,mode=555") < 0)
			continue;
		if (chdir(places[i]) < 0 || (in_chroot ? chroot(".") : swap_root()) < 0 ||
		    chdir("/") < 0 ||
		    mount("none", "/", "none", MS_REMOUNT | MS_BIND | MS_RDONLY | flags, "") < 0)
			return -errno;
		return 0;
	}
	return -errno;
}

void sandbox_leave_files(const struct sandbox *box, struct sandbox_report *report)
{
	const char *why = sandbox_watcher();

	if (report->part[SANDBOX_NAMESPACES].state == SANDBOX_MISSING ||
	    !sandbox_needs_no_files(box))
		return;
	if (!why) {
		int rc = empty_root();

		why = rc < 0 ? strerror(-rc) : NULL;
	}
	if (why)
		sandbox_say(report, SANDBOX_NAMESPACES, SANDBOX_PARTLY,
			    "the file system stays in sight: %s", why);
}
