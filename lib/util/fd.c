/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that a child process is to inherit: see fd.h. */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int r3_fd_above_stdio(int *fd)
{
	int up;

	if (*fd > STDERR_FILENO)
		return 0;
	up = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (up < 0)
		return -errno;
	close(*fd);
	*fd = up;
	return 0;
}

void r3_fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
