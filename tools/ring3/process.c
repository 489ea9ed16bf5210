/* SPDX-License-Identifier: BSD-2-Clause */
/* See process.h. The program has one thread, so the child may do more than signals allow. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS   10
#define REFUSE_MS 1000 /* how long what does not even end by SIGKILL is waited for */

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
	int last = PROCESS_FIRST_FD + (int)opts->nfds, up[64];

	if (opts->nfds > sizeof(up) / sizeof(up[0]))
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

static int silence(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		return -errno;
	return 0;
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
	if ((opts->quiet && (rc = silence())) || (rc = announce_sockets(opts->nlisten)) ||
	    (rc = preload(opts->preload)) || (rc = place_fds(opts)))
		return rc;
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

void children_reap(struct children *c)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (WIFSTOPPED(status)) {
			c->command_stopped |= pid == c->command;
		} else if (pid == c->server) {
			c->server = 0;
		} else if (pid == c->command) {
			c->command = 0;
			c->command_status = status;
		}
	}
}

/** Signal each child of ours but the server, and say whether there is one. */
static bool signal_children(const struct children *c, int signal)
{
	char path[64];
	bool any = false;
	FILE *list;
	long pid;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
	list = fopen(path, "re");
	if (!list)
		return false;
	while (fscanf(list, "%ld", &pid) == 1) {
		if (pid == c->server)
			continue;
		any = true;
		kill((pid_t)pid, signal);
	}
	fclose(list);
	return any;
}

static bool signal_all(const struct children *c, int signal)
{
	bool in_group = c->group && kill(-c->group, signal) == 0;

	return signal_children(c, signal) || in_group;
}

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void children_end(struct children *c, unsigned grace_ms)
{
	int64_t begin = now_ms(), ms;

	children_reap(c);
	if (!signal_all(c, SIGTERM))
		goto all_gone;
	signal_all(c, SIGCONT); /* what is stopped cannot end */
	while ((ms = now_ms() - begin) < (int64_t)grace_ms + REFUSE_MS) {
		poll(NULL, 0, POLL_MS);
		children_reap(c);
		if (!signal_all(c, ms < (int64_t)grace_ms ? 0 : SIGKILL))
			goto all_gone;
	}
	return;

all_gone:
	c->group = 0; /* the number may become another's */
}
