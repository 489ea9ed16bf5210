/* SPDX-License-Identifier: BSD-2-Clause */
/* See keeper.h. A fork without exec: there is nothing to find, and nothing that can be missing. */
#include "keeper.h"
#include "children.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/** Let go of all that would keep others waiting: their pipes, their sockets. */
static void hold_nothing_else(const struct keeper_job *job, int owner)
{
	int keep[2 * KEEPER_MAX + 2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned n = 0;

	for (unsigned i = 0; i < job->nfile; i++)
		keep[n++] = job->file[i]->dir_fd;
	for (unsigned i = 0; i < job->nhold; i++)
		keep[n++] = job->hold[i];
	keep[n++] = owner;
	if (job->lock >= 0)
		keep[n++] = job->lock;
	qsort(keep, n, sizeof(*keep), by_number);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	r3_fd_close_others(keep, n, sysconf(_SC_OPEN_MAX));
}

/** Open each file, for good: as long as it is, no other file has its number. Who comes after us
 *  may replace the file before we know of the owner's end, and must not lose his. */
static void pin_files(const struct keeper_job *job)
{
	for (unsigned i = 0; i < job->nfile; i++)
		openat(job->file[i]->dir_fd, job->file[i]->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/** Wait until nobody feels a tether any more: its pipe then has no reader. */
static void await_ends(const struct keeper_job *job)
{
	struct pollfd fds[KEEPER_MAX];
	int64_t end = now_ms() + job->grace_ms, left;
	unsigned alive = job->nhold;

	for (unsigned i = 0; i < job->nhold; i++)
		fds[i] = (struct pollfd){.fd = job->hold[i]};
	while (alive && (left = end - now_ms()) > 0) {
		if (poll(fds, job->nhold, (int)left) < 0)
			continue;
		for (unsigned i = 0; i < job->nhold; i++) {
			if (fds[i].fd >= 0 && fds[i].revents) {
				fds[i].fd = -1;
				alive--;
			}
		}
	}
}

static _Noreturn void keep(const struct keeper_job *job, int owner)
{
	struct pollfd end = {.fd = owner};
	struct socket_file file;
	sigset_t all;

	/* Whatever ends the owner and its friends, a terminal too, must not end us first. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "r3-keeper");
	hold_nothing_else(job, owner);
	pin_files(job);
	while (poll(&end, 1, -1) < 0)
		;
	for (unsigned i = 0; i < job->nfile; i++) {
		file = *job->file[i];
		socket_file_remove(&file);
	}
	await_ends(job);
	for (unsigned i = 0; i < job->nhold; i++)
		close(job->hold[i]);
	_exit(0);
}

int keeper_start(struct keeper *keeper, const struct keeper_job *job)
{
	int ends[2];

	*keeper = KEEPER_NONE;
	if (pipe2(ends, O_CLOEXEC))
		return r3_error_set(errno, "making a pipe: %s", strerror(errno));
	keeper->pid = fork();
	if (keeper->pid == 0) {
		close(ends[1]);
		keep(job, ends[0]);
	}
	close(ends[0]);
	if (keeper->pid < 0) {
		int err = errno;

		close(ends[1]);
		keeper->pid = 0;
		return r3_error_set(err, "starting a process: %s", strerror(err));
	}
	keeper->pipe = ends[1];
	return 0;
}

void keeper_end(struct keeper *keeper)
{
	r3_fd_close(&keeper->pipe);
	while (keeper->pid > 0 && waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	keeper->pid = 0;
}
