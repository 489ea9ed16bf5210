/* SPDX-License-Identifier: BSD-2-Clause */
#include "served.h"

#include <errno.h>
#include <poll.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 30000 /* ms */

static void become(const char *program, const char *address, const char *where, int out)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(out, STDOUT_FILENO) == STDOUT_FILENO)
		/* a device with a thread, of the tests, cannot be served from a sandbox */
		execl(program, program, "serve", address, "--listen", where, "--log-level", "error",
		      strstr(address, ",thread") ? "--no-sandbox" : NULL, (char *)NULL);
	_exit(127);
}

/** The first line says so. */
static int await(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char line[512];

	if (poll(&pfd, 1, PATIENCE) != 1 || read(fd, line, sizeof(line)) <= 0)
		return r3_error_set(EIO, "the broker does not serve");
	return 0;
}

int served_start(struct served *served, const char *program, const char *address)
{
	const char *where = served->address + strlen("vfio-user:");
	int fds[2], rc;

	snprintf(served->folder, sizeof(served->folder), "%s/r3-bench-XXXXXX", P_tmpdir);
	if (!mkdtemp(served->folder))
		return r3_error_set(errno, "%s: %s", served->folder, strerror(errno));
	snprintf(served->address, sizeof(served->address), "vfio-user:unix:%s/s", served->folder);
	if (pipe(fds)) {
		rc = r3_error_set(errno, "pipe: %s", strerror(errno));
		goto remove;
	}
	served->pid = fork();
	if (served->pid == 0)
		become(program, address, where, fds[1]);
	close(fds[1]);
	rc = served->pid < 0 ? r3_error_set(errno, "fork: %s", strerror(errno)) : await(fds[0]);
	close(fds[0]);
	if (rc == 0)
		return 0;
	if (served->pid > 0) {
		kill(served->pid, SIGKILL);
		waitpid(served->pid, NULL, 0);
	}
remove:
	rmdir(served->folder);
	return rc;
}

void served_end(struct served *served)
{
	kill(served->pid, SIGTERM);
	waitpid(served->pid, NULL, 0);
	rmdir(served->folder);
}
