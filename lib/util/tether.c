/* SPDX-License-Identifier: BSD-2-Clause */
/* Tether: see tether.h. */
#include "util/tether.h"

#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int r3_tether_make(struct r3_tether *tether)
{
	int ends[2];

	*tether = R3_TETHER_NONE;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return r3_error_set(errno, "cannot make a pipe: %s", strerror(errno));
	int rc = r3_fd_above_stdio(&ends[0]);
	if (rc == 0)
		rc = r3_fd_above_stdio(&ends[1]);
	if (rc < 0) {
		close(ends[0]);
		close(ends[1]);
		return r3_error_set(-rc, "cannot make a pipe: %s", strerror(-rc));
	}
	tether->feel = ends[0];
	tether->hold = ends[1];
	return 0;
}

void r3_tether_owner(struct r3_tether *tether)
{
	r3_fd_close(&tether->feel);
}

int r3_tether_child(struct r3_tether *tether, bool group)
{
	r3_fd_close(&tether->hold);
	if (fcntl(tether->feel, F_SETOWN, group ? -getpgrp() : getpid()) < 0 ||
	    fcntl(tether->feel, F_SETSIG, SIGKILL) < 0 ||
	    fcntl(tether->feel, F_SETFL, O_RDONLY | O_ASYNC) < 0 ||
	    fcntl(tether->feel, F_SETFD, 0) < 0)
		return -errno;

	/* An owner that died before O_ASYNC was on has sent nothing. */
	struct pollfd end = {.fd = tether->feel};
	if (poll(&end, 1, 0) != 0)
		return -EPIPE;
	return 0;
}

void r3_tether_cut(struct r3_tether *tether)
{
	r3_fd_close(&tether->hold);
	r3_fd_close(&tether->feel);
}
