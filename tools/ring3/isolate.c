/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See isolate.h. They are started from the device on, one when the one before is ready, so that
 * what cannot work is said once, by the one who knows why. They end the other way: the export
 * is asked to, and each sees the end of the one before it in its socket. Their tethers, and the
 * keeper who holds these too, are for what does not end by itself.
 */
#include "isolate.h"
#include "export/nbd/owner.h"
#include "process.h"
#include "server.h"
#include "session.h"
#include "uids.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 60000 /* to open a device, or a driver's block device */
#define MAX_ARGS 32

/** A part that is being started. */
struct start {
	enum server_part part;
	char *argv[MAX_ARGS];
	unsigned argc;
	char uid[16];
	int fds[2 + PARTS];
	unsigned nfds;
};

static void push(struct start *start, const char *option, const char *value)
{
	union {
		const char *in;
		char *out;
	} word[] = {{.in = option}, {.in = value}}; /* argv is not written to */

	if (!value)
		return;
	start->argv[start->argc++] = word[0].out;
	start->argv[start->argc++] = word[1].out;
}

static void push_word(struct start *start, const char *word)
{
	push(start, word, "");
	start->argv[--start->argc] = NULL;
}

/** What all parts are told, and given. */
static void push_common(struct start *start, struct session *s, const struct isolate_opts *opts)
{
	uid_t uid = s->isolation.uid[start->part];

	push(start, "--log-level", opts->log);
	snprintf(start->uid, sizeof(start->uid), "%u", uid);
	push(start, "--uid", uid ? start->uid : NULL);
	start->fds[start->nfds++] = s->isolation.tether[start->part].feel;
}

/** Its exit code, where it ended by itself: it has said why. */
static int not_started(struct session *s, enum server_part part)
{
	char text[128];

	session_end_part(s, part);
	if (s->signal)
		return 0; /* whoever sees that knows what to do */
	if (children_cause(&s->children, text, sizeof(text)) &&
	    WIFEXITED(s->children.part[part].status) && s->children.part[part].status)
		return WEXITSTATUS(s->children.part[part].status);
	return r3_error_set(EIO, "%s before it was ready", text);
}

/** Take a line of what it prints: the report of @part. Returns 1; 0: there is none. */
static int take_report(struct session *s, enum server_part part)
{
	struct isolation *isolation = &s->isolation;
	char report[ISOLATE_REPORT_MAX];
	int rc = session_await_line(s, isolation->said[part], report, sizeof(report), START_MS);

	if (rc <= 0)
		return rc;
	free(isolation->report[part]);
	isolation->report[part] = strdup(report);
	return isolation->report[part] ? 1 : r3_error_set(ENOMEM, "out of memory");
}

/** Start it, and wait until it says that it is ready. */
static int start_part(struct session *s, struct start *start)
{
	struct r3_tether *tether = &s->isolation.tether[start->part];
	struct process_opts process = {.argv = start->argv,
				       .quiet = true,
				       .fds = start->fds,
				       .nfds = start->nfds,
				       .preload = -1,
				       .keep = -1,
				       .tether = tether,
				       .alone = true};
	int out[2], rc;

	if (pipe2(out, O_CLOEXEC))
		return r3_error_set(errno, "making a pipe: %s", strerror(errno));
	s->isolation.said[start->part] = out[0];
	process.out = out[1];
	process.err = s->isolation.relay.out;
	rc = process_spawn(&process, &s->children.part[start->part].pid);
	close(out[1]);
	r3_tether_owner(tether);
	if (rc)
		return r3_error_set(-rc, "starting %s: %s", start->argv[0], strerror(-rc));
	rc = take_report(s, start->part);
	if (rc < 0)
		return r3_error_prefix(rc, "%s", start->argv[0]);
	return rc == 0 ? not_started(s, start->part) : 0;
}

static int start_broker(struct session *s, const struct isolate_opts *opts, int client)
{
	struct start start = {.part = PART_BROKER, .fds = {client}, .nfds = 1};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return r3_error_set(errno, "/proc/self/exe: %s", strerror(errno));
	self[n] = 0;
	push_word(&start, self);
	push_word(&start, "serve");
	push_common(&start, s, opts);
	/* A driver that is not what it seems may close its tether; it is not the last one then. */
	start.fds[start.nfds++] = s->isolation.tether[PART_DRIVER].feel;
	start.fds[start.nfds++] = s->isolation.tether[PART_EXPORT].feel;
	push(&start, "--output", "json");
	push(&start, "--listen", "fd:3");
	push(&start, "--", opts->address);
	return start_part(s, &start);
}

static int start_driver(struct session *s, const struct isolate_opts *opts, int broker, int export)
{
	static const struct server_place places[] = {{"host", "r3-host"},
						     {"../" R3_LIBDIR "/ring3", "r3-host"}};
	struct start start = {.part = PART_DRIVER, .fds = {broker, export}, .nfds = 2};
	char program[PATH_MAX];
	int rc = server_find_part(places, 2, program);

	if (rc)
		return rc;
	push_word(&start, program);
	push_common(&start, s, opts);
	push(&start, "--device", "vfio-user:fd:3");
	push(&start, "--serve", "vhost-user:fd:4");
	push(&start, "--owner", "fd:5"); /* its tether: what is not named is closed */
	push(&start, "--driver", opts->driver);
	push(&start, "--namespace", opts->nsid);
	push(&start, "--mode", opts->mode);
	if (opts->read_only)
		push_word(&start, "--read-only");
	return start_part(s, &start);
}

static int make_pair(int pair[2])
{
	pair[0] = pair[1] = -1;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)
		       ? r3_error_set(errno, "making a socket: %s", strerror(errno))
		       : 0;
}

int isolate_start(struct session *s, const struct isolate_opts *opts)
{
	struct isolation *isolation = &s->isolation;
	int vfio[2] = {-1, -1}, vhost[2] = {-1, -1}, rc = 0;

	isolation->on = true;
	if (geteuid() == 0)
		rc = uids_take(isolation->uid, PARTS, &isolation->uid_lock);
	if (rc == 0)
		rc = relay_open(&isolation->relay);
	for (unsigned i = 0; rc == 0 && i < PARTS; i++)
		rc = r3_tether_make(&isolation->tether[i]);
	if (rc == 0)
		rc = make_pair(vfio);
	if (rc == 0)
		rc = make_pair(vhost);
	if (rc == 0)
		rc = start_broker(s, opts, vfio[0]);
	r3_fd_close(&vfio[0]); /* whose end is seen at once */
	if (rc == 0 && !s->signal)
		rc = start_driver(s, opts, vfio[1], vhost[0]);
	r3_fd_close(&vfio[1]);
	r3_fd_close(&vhost[0]);
	isolation->link = vhost[1];
	return rc;
}

int isolate_keep(struct session *s)
{
	struct keeper_job job = {.grace_ms = OWNER_GRACE_MS, .lock = s->isolation.uid_lock};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < s->nendpoint; i++) {
		struct endpoint *endpoint = &s->endpoint[i];

		if (!endpoint->path[0])
			continue;
		rc = socket_file_bind(&endpoint->file, endpoint->fd, endpoint->path);
		if (rc == 0)
			job.file[job.nfile++] = &endpoint->file;
	}
	for (unsigned i = PARTS; i-- > 0;) /* the broker, who has them all, goes last */
		job.hold[job.nhold++] = s->isolation.tether[i].hold;
	return rc ? rc : keeper_start(&s->children.keeper, &job);
}

int isolate_account(struct session *s)
{
	kill(s->children.part[PART_DRIVER].pid, SIGUSR1);
	return take_report(s, PART_DRIVER) < 0 ? -EIO : 0;
}

void isolate_close(struct isolation *isolation)
{
	for (unsigned i = 0; i < PARTS; i++) {
		r3_fd_close(&isolation->said[i]);
		r3_tether_cut(&isolation->tether[i]);
		free(isolation->report[i]);
		isolation->report[i] = NULL;
	}
	r3_fd_close(&isolation->link);
	r3_fd_close(&isolation->uid_lock);
	relay_close(&isolation->relay);
}
