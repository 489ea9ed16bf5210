/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See uids.h. The range is the one that distributions leave to users that live as long as a
 * process (systemd's UIDS-GIDS document: 61184 to 65519). A number is taken by a lock on the
 * byte of that number in a file that is root's alone: the kernel gives it back, whatever
 * becomes of us, and nobody else can take it away.
 */
#include "uids.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <ring3/error.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/run/ring3"
#define LOCKS  FOLDER "/uids"
#define FIRST  61184u
#define LAST   65519u

static bool has_account(uid_t uid)
{
	return getpwuid(uid) || getgrgid((gid_t)uid);
}

static bool take(int locks, uid_t uid)
{
	struct flock byte = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)uid, .l_len = 1};

	return fcntl(locks, F_OFD_SETLK, &byte) == 0;
}

int uids_take(uid_t *uid, unsigned n, int *lock)
{
	/* by whom, so that two who begin together do not go the same way */
	uid_t at = FIRST + (uid_t)getpid() * n % (LAST - FIRST + 1);
	unsigned found = 0;
	int locks;

	if (mkdir(FOLDER, 0755) && errno != EEXIST)
		return r3_error_set(errno, "making " FOLDER ": %s", strerror(errno));
	locks = open(LOCKS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (locks < 0)
		return r3_error_set(errno, LOCKS ": %s", strerror(errno));
	for (uid_t i = FIRST; found < n && i <= LAST; i++) {
		if (!has_account(at) && take(locks, at))
			uid[found++] = at;
		at = at == LAST ? FIRST : at + 1;
	}
	if (found < n) {
		close(locks);
		return r3_error_set(EBUSY, "all users from %u to %u are taken", FIRST, LAST);
	}
	*lock = locks;
	return 0;
}
