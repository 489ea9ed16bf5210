/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The events of a server as lines of JSON. Nobody who reads them slowly holds the device up:
 * what he does not take is counted, and the count is a line.
 */
#include "serve.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int serve_events_open(struct serve_events *events, const char *where)
{
	char *end;
	long fd;

	*events = (struct serve_events){.fd = -1};
	if (!where)
		return 0;
	if (strncmp(where, "fd:", 3)) {
		events->fd =
			open(where, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0600);
		return events->fd < 0 ? r3_error_set(errno, "%s: %s", where, strerror(errno)) : 0;
	}
	fd = strtol(where + 3, &end, 10);
	if (!isdigit((unsigned char)where[3]) || *end || fd > INT_MAX)
		return r3_error_set(EINVAL, "--events %s: a descriptor is a number", where);
	events->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (events->fd < 0)
		return r3_error_set(EINVAL, "--events %s: %s", where, strerror(errno));
	return 0;
}

static void add_number(struct json_object *line, const char *key, int64_t value)
{
	json_object_object_add(line, key, json_object_new_int64(value));
}

static void add_hex(struct json_object *line, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	json_object_object_add(line, key, json_object_new_string(text));
}

/** "irq off": irq_off */
static void add_name(struct json_object *line, const char *name)
{
	char text[32];
	size_t n = 0;

	for (; *name && n < sizeof(text) - 1; name++)
		text[n++] = *name == ' ' ? '_' : *name;
	json_object_object_add(line, "event", json_object_new_string_len(text, (int)n));
}

static struct json_object *new_line(uint64_t time_ns, const char *name)
{
	struct json_object *line = json_object_new_object();

	json_object_object_add(line, "schema", json_object_new_string("ring3.serve.event"));
	add_number(line, "version", 1);
	add_number(line, "time_ns", (int64_t)time_ns);
	add_name(line, name);
	return line;
}

/** Whole or not at all: a pipe takes as much as this at once, or nothing. */
static bool put_line(int fd, struct json_object *line)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	char text[PIPE_BUF];
	int len = snprintf(text, sizeof(text), "%s\n",
			   json_object_to_json_string_ext(line, JSON_C_TO_STRING_NOSLASHESCAPE));

	json_object_put(line);
	return len > 0 && len < (int)sizeof(text) && poll(&room, 1, 0) == 1 &&
	       (room.revents & POLLOUT) && write(fd, text, (size_t)len) == len;
}

static void write_line(struct serve_events *events, const struct r3_serve_event *event)
{
	struct json_object *line;

	if (events->lost) {
		line = new_line(event->time_ns, "lost");
		add_number(line, "lines", (int64_t)events->lost);
		if (put_line(events->fd, line))
			events->lost = 0;
	}
	line = new_line(event->time_ns, r3_serve_event_name(event->type));
	add_number(line, "client", (int64_t)event->client);
	if (event->pid)
		add_number(line, "pid", event->pid);
	add_number(line, "err", -event->err);
	if (event->type == R3_SERVE_MAPPED || event->type == R3_SERVE_UNMAPPED ||
	    event->type == R3_SERVE_DMA_FAULT) {
		add_hex(line, "iova", event->iova);
		add_number(line, "len", (int64_t)event->len);
	}
	json_object_object_add(line, "text", json_object_new_string(event->text));
	if (!put_line(events->fd, line))
		events->lost++;
}

void serve_events_tell(struct serve_events *events, const struct r3_serve_event *event)
{
	if (events->fd >= 0)
		write_line(events, event);
}

void serve_events_close(struct serve_events *events)
{
	if (events->fd >= 0)
		close(events->fd);
	events->fd = -1;
}
