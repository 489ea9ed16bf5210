/* SPDX-License-Identifier: BSD-2-Clause */
/* See children.h. */
#include "children.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS   10
#define REFUSE_MS 1000 /* how long what does not even end by SIGKILL is waited for */

static struct server_process *find_part(struct children *c, pid_t pid)
{
	for (unsigned i = 0; i < PARTS; i++) {
		if (c->part[i].pid == pid)
			return &c->part[i];
	}
	return NULL;
}

void children_reap(struct children *c)
{
	struct server_process *part;
	int status;
	pid_t pid;

	c->rounds++;
	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (WIFSTOPPED(status)) {
			c->command_stopped |= pid == c->command;
		} else if ((part = find_part(c, pid))) {
			part->was = pid;
			part->pid = 0;
			part->status = status;
			part->round = c->rounds;
		} else if (pid == c->keeper.pid) {
			c->keeper.pid = 0;
		} else if (pid == c->command) {
			c->command = 0;
			c->command_status = status;
		}
	}
}

bool children_serve(const struct children *c)
{
	for (unsigned i = 0; i < PARTS; i++) {
		if (c->part[i].pid)
			return true;
	}
	return false;
}

/** Whether the end of @part is why the one of @other, which is nearer the device, came. */
static bool explains(const struct server_process *part, const struct server_process *other)
{
	bool killed = WIFSIGNALED(part->status), other_killed = WIFSIGNALED(other->status);

	if (killed != other_killed)
		return killed;
	return other->status == 0 && part->round <= other->round;
}

bool children_cause(const struct children *c, char *text, unsigned size)
{
	static const char *const names[PARTS] = {"the broker", "the driver process", "nbdkit"};
	int found = -1;

	for (int i = 0; i < PARTS; i++) {
		if (c->part[i].was && (found < 0 || explains(&c->part[i], &c->part[found])))
			found = i;
	}
	if (found < 0)
		return false;
	const struct server_process *part = &c->part[found];
	if (WIFSIGNALED(part->status))
		snprintf(text, size, "%s (process %d) was killed by signal %d (%s)", names[found],
			 (int)part->was, WTERMSIG(part->status), strsignal(WTERMSIG(part->status)));
	else
		snprintf(text, size, "%s (process %d) has ended with status %d", names[found],
			 (int)part->was, WEXITSTATUS(part->status));
	return true;
}

/** Signal each child of ours that does not serve, and say whether there is one. */
static bool signal_children(struct children *c, int signal)
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
		if (find_part(c, (pid_t)pid) || pid == c->keeper.pid)
			continue;
		any = true;
		kill((pid_t)pid, signal);
	}
	fclose(list);
	return any;
}

static bool signal_all(struct children *c, int signal)
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
