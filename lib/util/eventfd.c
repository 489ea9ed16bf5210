/* SPDX-License-Identifier: BSD-2-Clause */
/* Eventfds of others: see eventfd.h. */
#include "util/eventfd.h"

#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdint.h>
#include <sys/vfs.h>
#include <unistd.h>

/* It is a kernel object without a file system, and refuses this one number. Others of those take
 * no writes at all. */
bool r3_is_eventfd(int fd)
{
	const uint64_t refused = UINT64_MAX;
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == ANON_INODE_FS_MAGIC &&
	       write(fd, &refused, sizeof(refused)) < 0 && errno == EINVAL;
}

void r3_eventfd_signal(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	const uint64_t one = 1;

	if (fd >= 0 && poll(&pfd, 1, 0) > 0 && pfd.revents & POLLOUT)
		(void)!write(fd, &one, sizeof(one));
}
