/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that a child process is to inherit: see fd.h. */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_FDS (1 << 20)

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

/* Close [first, last]. Kernels before 5.9, and valgrind, lack close_range. */
static void close_between(unsigned first, unsigned last, long most)
{
	if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
		return;
	if (most <= 0 || most > MOST_FDS)
		most = MOST_FDS;
	for (unsigned fd = first; fd <= last && fd < (unsigned)most; fd++)
		close((int)fd);
}

void r3_fd_close_others(const int *keep, unsigned n, long most)
{
	unsigned next = STDERR_FILENO + 1;

	for (unsigned i = 0; i < n; i++) {
		unsigned fd = (unsigned)keep[i];

		if (fd < next)
			continue;
		close_between(next, fd - 1, most);
		next = fd + 1;
	}
	close_between(next, ~0u, most);
}
