/* SPDX-License-Identifier: BSD-2-Clause */
/* See session.h. */
#include "session.h"
#include "process.h"
#include "server.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <ring3/error.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define COMMAND_MS 500   /* for a command to end by SIGTERM */
#define SERVER_MS  10000 /* to shut the device down */
#define KILLED_MS  1000  /* for what was killed to be gone */
#define BROKEN_MS  1000  /* for the rest of a chain that is broken */
#define CAUSE_MS   200   /* for news that explain other news */
#define POLL_MS    10

int session_open(struct session *s)
{
	sigset_t set;
	int rc;

	rc = r3_tether_make(&s->tether);
	if (rc)
		return rc;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&set, SIGTTOU); /* giving the terminal away and taking it back */
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (s->signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return r3_error_set(errno, "preparing for children: %s", strerror(errno));
	return 0;
}

/** Who has the device has its trace. */
static void ask_trace(struct session *s)
{
	if (!s->isolation.on)
		server_ask_trace(s->owner);
	else if (s->children.part[PART_BROKER].pid)
		kill(s->children.part[PART_BROKER].pid, SIGUSR1);
}

static void take_signals(struct session *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			ask_trace(s);
		else if (info.ssi_signo != SIGCHLD)
			s->signal = (int)info.ssi_signo;
	}
}

/** Wait for news, at most @timeout_ms: take signals, reap, pass on what was said. Returns whether
 *  @fd has something to say. */
static bool hear_news(struct session *s, int fd, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN},
			       {.fd = fd, .events = POLLIN},
			       {.fd = s->isolation.relay.in, .events = POLLIN}};

	if (poll(fds, 3, timeout_ms) <= 0)
		return false;
	take_signals(s);
	children_reap(&s->children);
	if (fds[2].revents)
		relay_pass(&s->isolation.relay);
	return fds[1].revents;
}

int session_await_line(struct session *s, int fd, char *line, unsigned size, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms, left;
	unsigned n = 0;

	while (!s->signal && (left = end - now_ms()) > 0) {
		ssize_t got;

		if (!hear_news(s, fd, (int)left))
			continue;
		got = read(fd, line + n, size - 1 - n);
		if (got <= 0)
			return 0;
		n += (unsigned)got;
		line[n] = 0;
		char *stop = strchr(line, '\n');
		if (!stop && n < size - 1)
			continue;
		line[stop ? stop - line : n] = 0;
		return (int)strlen(line);
	}
	return s->signal ? 0 : r3_error_set(ETIMEDOUT, "it does not start");
}

/** One who serves has died, or says that the device is gone: who was the first? Those who only
 *  lost sight of the next one say so sooner than the kernel tells us of that one's death. */
static int find_cause(struct session *s, int rc)
{
	int64_t end = now_ms() + CAUSE_MS, left;
	char text[128];

	while ((left = end - now_ms()) > 0)
		hear_news(s, -1, (int)left);
	return children_cause(&s->children, text, sizeof(text)) ? r3_error_set(EIO, "%s", text)
								: rc;
}

/** Whether somebody is missing of those that serve, and why. */
static int look_for_the_dead(const struct session *s)
{
	const struct keeper *keeper = &s->children.keeper;
	char text[128];

	if (children_cause(&s->children, text, sizeof(text)))
		return r3_error_set(EIO, "%s", text);
	return keeper->pipe >= 0 && keeper->pid == 0 ? r3_error_set(EIO, "the keeper was killed")
						     : 0;
}

int session_wait(struct session *s, int timeout_ms)
{
	bool said = hear_news(s, s->failed ? -1 : s->owner, timeout_ms);
	int rc = 0;

	if (said)
		rc = server_hear(s->owner, &s->isolation.report[PART_EXPORT]);
	else if (s->isolation.on && !s->failed)
		rc = look_for_the_dead(s);
	if (rc < 0)
		s->failed = s->isolation.on ? find_cause(s, rc) : rc;
	return rc > 0;
}

/** Wait until nobody serves any more; not past a signal if @hasty. */
static void await_servers(struct session *s, int timeout_ms, bool hasty)
{
	int64_t end = now_ms() + timeout_ms, left;

	s->signal = 0;
	while (children_serve(&s->children) && !(hasty && s->signal) && (left = end - now_ms()) > 0)
		session_wait(s, (int)left);
}

void session_end_part(struct session *s, enum server_part part)
{
	int64_t end = now_ms() + KILLED_MS;

	while (s->children.part[part].pid && now_ms() < end + KILLED_MS) {
		if (now_ms() > end)
			kill(-s->children.part[part].pid, SIGKILL);
		hear_news(s, -1, POLL_MS);
	}
}

static void end_servers(struct session *s)
{
	bool broken = s->isolation.on && s->failed; /* nobody is there any more to end in order */

	s->failed = s->failed ? s->failed : -ESHUTDOWN; /* their last words do not matter */
	if (s->children.part[PART_EXPORT].pid)
		server_ask_end(s->owner);
	r3_fd_close(&s->isolation.link);
	await_servers(s, broken ? BROKEN_MS : SERVER_MS, true);
	for (unsigned i = 0; i < PARTS; i++) {
		if (s->children.part[i].pid)
			kill(-s->children.part[i].pid, SIGKILL);
	}
	await_servers(s, KILLED_MS, false);
}

void session_end_command(struct session *s)
{
	children_end(&s->children, COMMAND_MS);
}

void session_close(struct session *s)
{
	if (s->signals >= 0) { /* else there are none, or none of ours */
		session_end_command(s);
		end_servers(s);
		children_end(&s->children, 0); /* what they left behind */
	}
	if (s->foreground)
		terminal_give(getpgrp());
	r3_tether_cut(&s->tether);
	if (s->owner >= 0)
		close(s->owner);
	if (s->signals >= 0)
		close(s->signals);
	while (s->nendpoint > 0)
		endpoint_close(&s->endpoint[--s->nendpoint]);
	keeper_end(&s->children.keeper);
	isolate_close(&s->isolation);
}
