/* SPDX-License-Identifier: BSD-2-Clause */
/* See session.h. */
#include "session.h"
#include "process.h"
#include "server.h"

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

static void take_signals(struct session *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			server_ask_trace(s->owner);
		else if (info.ssi_signo != SIGCHLD)
			s->signal = (int)info.ssi_signo;
	}
}

int session_wait(struct session *s, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN},
			       {.fd = s->failed ? -1 : s->owner, .events = POLLIN}};
	int rc;

	if (poll(fds, 2, timeout_ms) <= 0)
		return 0;
	take_signals(s);
	children_reap(&s->children);
	if (!fds[1].revents)
		return 0;
	rc = server_hear(s->owner);
	if (rc < 0)
		s->failed = rc;
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

static void end_servers(struct session *s)
{
	s->failed = s->failed ? s->failed : -ESHUTDOWN; /* their last words do not matter */
	if (s->children.part[PART_EXPORT].pid)
		server_ask_end(s->owner);
	await_servers(s, SERVER_MS, true);
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
}
