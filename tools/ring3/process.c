/* SPDX-License-Identifier: BSD-2-Clause */
/* See process.h. The program has one thread, so the child may do more than signals allow. */
#include "process.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FDS 64

void terminal_give(pid_t group)
{
	tcsetpgrp(STDIN_FILENO, group); /* SIGTTOU is blocked by our caller */
}

bool terminal_is_ours(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/** Move @fds to 3, 4, ...: up and out of the way first, for they may overlap. */
static int place_fds(const struct process_opts *opts)
{
	int last = PROCESS_FIRST_FD + (int)opts->nfds, up[MAX_FDS];

	if (opts->nfds > MAX_FDS)
		return -E2BIG;
	for (unsigned i = 0; i < opts->nfds; i++) {
		up[i] = fcntl(opts->fds[i], F_DUPFD_CLOEXEC, last);
		if (up[i] < 0)
			return -errno;
	}
	if (opts->keep >= 0 && fcntl(opts->keep, F_DUPFD, last) < 0)
		return -errno;
	for (unsigned i = 0; i < opts->nfds; i++) {
		if (dup2(up[i], PROCESS_FIRST_FD + (int)i) < 0)
			return -errno;
	}
	return 0;
}

static int announce_sockets(unsigned n)
{
	char text[16];

	if (n == 0)
		return 0;
	snprintf(text, sizeof(text), "%u", n);
	if (setenv("LISTEN_FDS", text, 1))
		return -errno;
	snprintf(text, sizeof(text), "%ld", (long)getpid());
	return setenv("LISTEN_PID", text, 1) ? -errno : 0;
}

/** By descriptor: a path may hold the blanks and colons that part a list of paths. */
static int preload(int index)
{
	const char *before = getenv("LD_PRELOAD");
	char list[PATH_MAX];

	if (index < 0)
		return 0;
	if (snprintf(list, sizeof(list), "%s%s/proc/self/fd/%d", before ? before : "",
		     before ? " " : "", PROCESS_FIRST_FD + index) >= (int)sizeof(list))
		return -ENAMETOOLONG;
	return setenv("LD_PRELOAD", list, 1) ? -errno : 0;
}

static int silence(int out, int err)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(out ? out : fd, STDOUT_FILENO) < 0 ||
	    (err && dup2(err, STDERR_FILENO) < 0))
		return -errno;
	return 0;
}

/** Close whatever else there is, the tether's original number too; not @error_fd. */
static void be_alone(const struct process_opts *opts, int error_fd)
{
	int keep[MAX_FDS + 1];

	for (unsigned i = 0; i < opts->nfds; i++)
		keep[i] = PROCESS_FIRST_FD + (int)i;
	keep[opts->nfds] = error_fd;
	r3_fd_close_others(keep, opts->nfds + 1, sysconf(_SC_OPEN_MAX));
}

/** Of the environment, keep what programs need to be found, to find things and to be tested. */
static void leave_secrets(void)
{
	static const char *const kept[] = {"PATH=", "HOME=",   "TMPDIR=", "LANG=",  "LC_",
					   "LD_",   "LISTEN_", "R3_",     "MALLOC_"};
	char **to = environ;

	for (char **from = environ; *from; from++) {
		bool keep = strstr(*from, "SAN_OPTIONS=") != NULL;

		for (unsigned i = 0; !keep && i < sizeof(kept) / sizeof(kept[0]); i++)
			keep = strncmp(*from, kept[i], strlen(kept[i])) == 0;
		if (keep)
			*to++ = *from;
	}
	*to = NULL;
}

/** In the child. Returns only if it fails; @error_fd is closed by exec. */
static int become(const struct process_opts *opts, int *error_fd)
{
	sigset_t none;
	int rc;

	setpgid(0, 0);
	if (opts->foreground)
		terminal_give(getpid());
	if (opts->tether && (rc = r3_tether_child(opts->tether, true)))
		return rc;
	*error_fd = fcntl(*error_fd, F_DUPFD_CLOEXEC, PROCESS_FIRST_FD + (int)opts->nfds);
	if (*error_fd < 0)
		return -errno;
	if ((opts->quiet && (rc = silence(opts->out, opts->err))) ||
	    (rc = announce_sockets(opts->nlisten)) || (rc = preload(opts->preload)) ||
	    (rc = place_fds(opts)))
		return rc;
	if (opts->alone) {
		be_alone(opts, *error_fd);
		leave_secrets();
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(opts->argv[0], opts->argv);
	return -errno;
}

int process_spawn(const struct process_opts *opts, pid_t *out)
{
	int error_pipe[2], rc = 0;
	pid_t pid;

	if (pipe2(error_pipe, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		rc = -errno;
		close(error_pipe[0]);
		close(error_pipe[1]);
		return rc;
	}
	if (pid == 0) {
		rc = become(opts, &error_pipe[1]);
		if (write(error_pipe[1], &rc, sizeof(rc)) < 0)
			_exit(126);
		_exit(127);
	}
	close(error_pipe[1]);
	setpgid(pid, pid); /* the child does the same: whoever comes first */
	while (read(error_pipe[0], &rc, sizeof(rc)) < 0 && errno == EINTR)
		;
	close(error_pipe[0]);
	if (rc) {
		waitpid(pid, NULL, 0);
		return rc;
	}
	*out = pid;
	return 0;
}
