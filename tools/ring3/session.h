/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One `ring3 run`: the processes that serve, the command, and what is heard of them. All
 * of it begins after session_open() and has ended after session_close(), however it went.
 */
#ifndef TOOLS_RING3_SESSION_H
#define TOOLS_RING3_SESSION_H

#include "children.h"
#include "endpoint.h"
#include "isolate.h"
#include "util/tether.h"

struct session {
	struct endpoint endpoint[MAX_ENDPOINTS];
	unsigned nendpoint;
	int owner;   /* our end of the export's socket (export/nbd/owner.h); -1 */
	int signals; /* signalfd */
	int signal;  /* that asked us to end; 0 */
	bool foreground;
	struct r3_tether tether; /* of the command */
	struct children children;
	struct isolation isolation;
	int failed; /* -errno, with its text set: a server or the device is gone */
};

#define SESSION_NONE \
	((struct session){ \
		.owner = -1, \
		.signals = -1, \
		.tether = R3_TETHER_NONE, \
		.children.keeper = KEEPER_NONE, \
		.isolation = ISOLATION_NONE, \
	})

/** Take signals, and prepare to have children. Errors: EMFILE. */
int session_open(struct session *s);

/** Wait for news, at most @timeout_ms (-1: for ever): sets `signal`, reaps, and sets `failed`
 *  where somebody who serves says so or has ended. Returns 1 when the export says that it
 *  serves, else 0. */
int session_wait(struct session *s, int timeout_ms);

/** Wait until whoever has the other end of the pipe @fd has written a line, or has closed it,
 *  or we got a signal. Returns the length of the line, without its end; 0: there was none.
 *  Errors: ETIMEDOUT. */
int session_await_line(struct session *s, int fd, char *line, unsigned size, int timeout_ms);

/** See one of those that serve end that has begun to, or make it. */
void session_end_part(struct session *s, enum server_part part);

/** End the command, and all that it started. Its status is in `children` then. */
void session_end_command(struct session *s);

/** End everybody, in good order unless that takes too long: the command, then the export,
 *  whose end is the end of what stands behind it. The sockets are removed. */
void session_close(struct session *s);

#endif
