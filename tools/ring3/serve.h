/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of `ring3 serve`: what happens at the server told to whoever wants to know, and
 * the loop that it is served in. */
#ifndef TOOLS_RING3_SERVE_H
#define TOOLS_RING3_SERVE_H

#include <ring3/serve.h>
#include <stdbool.h>
#include <stdint.h>

struct args;

/** The command. Where it is not built in: EOPNOTSUPP. */
int serve_run(const struct args *args);

/* ---- events ---- */

/** Events as lines of JSON. The server itself logs what is worth a warning. */
struct serve_events {
	int fd;        /* -1: no lines of JSON */
	uint64_t lost; /* lines that nobody took in time, since the last that was written */
};

/** @where: a file, which is made or emptied, or "fd:N"; NULL: none. Errors: those of open(2). */
int serve_events_open(struct serve_events *events, const char *where);
void serve_events_tell(struct serve_events *events, const struct r3_serve_event *event);
void serve_events_close(struct serve_events *events);

/* ---- loop ---- */

struct sd_event;

struct serve_loop {
	struct sd_event *event;
	int both;     /* an epoll: the server, and sd-event */
	bool changed; /* sd-event has to know */
	struct r3_serve *serve;
	struct r3_device *dev;
	bool client, gone; /* there is one; the device is no more */
	struct sd_event_source *patience;
};

/** Make all that the loop needs: from here on it opens nothing. Blocks the signals that end
 *  it. @owner: its end of file ends the loop; -1: none. Errors: EINVAL @owner cannot be waited
 *  for; ENOMEM; EMFILE. */
int serve_loop_open(struct serve_loop *loop, struct r3_serve *serve, struct r3_device *dev,
		    int owner);
/** What the loop has to know of what happens. */
void serve_loop_tell(struct serve_loop *loop, const struct r3_serve_event *event);
/** Serve until a signal, the owner's end, the end of the only client, or of the device: that
 *  is an error, EIO. */
int serve_loop_run(struct serve_loop *loop);
void serve_loop_close(struct serve_loop *loop);

#endif
