/* SPDX-License-Identifier: BSD-2-Clause */
/* See server.h. What the plugin's parameters mean is told in export/nbd/plugin.c. */
#include "server.h"
#include "export/nbd/owner.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ring3/error.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLUGIN  "nbdkit-ring3-plugin.so"
#define ERRATUM "nbdkit-ring3-hangup.so" /* see export/nbd/hangup.c */
#define THREADS "64"                     /* of each connection: 32 requests in flight, and room */

int server_find_part(const struct server_place *places, unsigned n, char *path)
{
	char exe[PATH_MAX / 2];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (len < 0)
		return r3_error_set(errno, "/proc/self/exe: %s", strerror(errno));
	exe[len] = 0;
	*strrchr(exe, '/') = 0;
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, PATH_MAX, "%s/%s/%s", exe, places[i].folder, places[i].name);
		if (access(path, R_OK) == 0)
			return 0;
	}
	return r3_error_set(ENOENT,
			    "%s is not here: build with all that 'make deps' installs, then "
			    "install all of ring3",
			    places[0].name);
}

static int find_library(const char *name, char *path)
{
	const struct server_place places[] = {{"export/nbd", name},
					      {"../" R3_LIBDIR "/ring3", name}};

	return server_find_part(places, 2, path);
}

/** The command line: fixed words, then "KEY=VALUE"s, which are allocations. */
struct line {
	char *word[80];
	unsigned fixed, n;
};

static int push(struct line *line, const char *key, const char *value)
{
	if (!value)
		return 0;
	if (asprintf(&line->word[line->n], "%s=%s", key, value) < 0)
		return r3_error_set(ENOMEM, "out of memory");
	line->n++;
	return 0;
}

static int push_fd(struct line *line, const char *key, unsigned fd, const char *path)
{
	char value[16 + SOCKET_PATH_MAX];

	snprintf(value, sizeof(value), path ? "%u:%s" : "%u", fd, path);
	return push(line, key, value);
}

/** The descriptors that nbdkit inherits, in order; those of isolation only with it. */
enum { FD_OWNER, FD_ERRATUM, FD_LINK, FD_TETHER, FD_KEEP, FDS };

/** Which device, and how; the driver process, where there is one, knows better. */
static int push_device(struct line *line, const struct server_opts *opts)
{
	char address[32];
	int rc;

	if (opts->link < 0)
		return (rc = push(line, "address", opts->address)) ||
				       (rc = push(line, "driver", opts->driver)) ||
				       (rc = push(line, "namespace", opts->nsid))
			       ? rc
			       : 0;
	snprintf(address, sizeof(address), "vhost-user:fd:%u",
		 PROCESS_FIRST_FD + opts->nendpoint + FD_LINK);
	rc = push(line, "address", address);
	if (rc == 0)
		rc = push(line, "sandbox", "true");
	if (rc == 0 && opts->uid) {
		snprintf(address, sizeof(address), "%u", opts->uid);
		rc = push(line, "uid", address);
	}
	return rc;
}

static int push_all(struct line *line, const struct server_opts *opts)
{
	int rc;

	if ((rc = push_device(line, opts)) || (rc = push(line, "mode", opts->mode)) ||
	    (rc = push(line, "readonly", opts->read_only ? "true" : NULL)) ||
	    (rc = push(line, "log", opts->log)) ||
	    (rc = push_fd(line, "owner", PROCESS_FIRST_FD + opts->nendpoint + FD_OWNER, NULL)))
		return rc;
	for (unsigned i = 0; opts->link < 0 && i < opts->nendpoint; i++) {
		const char *path = opts->endpoint[i].path;

		if (path[0] && (rc = push_fd(line, "unix", PROCESS_FIRST_FD + i, path)))
			return rc;
	}
	return 0;
}

int server_start(const struct server_opts *opts, pid_t *pid, int *owner)
{
	char plugin[PATH_MAX], erratum[PATH_MAX];
	struct line line = {{(char[]){"nbdkit"}, (char[]){"--foreground"},
			     (char[]){"--exit-with-parent"}, (char[]){"--threads"},
			     (char[]){THREADS}, plugin},
			    .fixed = 6,
			    .n = 6};
	int fds[MAX_ENDPOINTS + FDS], *own = fds + opts->nendpoint, pair[2], rc;
	bool isolated = opts->link >= 0;
	struct process_opts process = {.argv = line.word,
				       .quiet = true,
				       .fds = fds,
				       .nfds = opts->nendpoint + (isolated ? FDS : FD_LINK),
				       .nlisten = opts->nendpoint,
				       .preload = (int)opts->nendpoint + FD_ERRATUM,
				       .keep = isolated ? -1 : opts->keep,
				       .err = opts->err,
				       .tether = opts->tether,
				       .alone = isolated};

	rc = find_library(PLUGIN, plugin);
	if (rc == 0)
		rc = find_library(ERRATUM, erratum);
	if (rc)
		return rc;
	rc = push_all(&line, opts);
	if (rc)
		goto free_line;
	for (unsigned i = 0; i < opts->nendpoint; i++)
		fds[i] = opts->endpoint[i].fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		rc = r3_error_set(errno, "making a socket: %s", strerror(errno));
		goto free_line;
	}
	own[FD_OWNER] = pair[1];
	own[FD_ERRATUM] = open(erratum, O_RDONLY | O_CLOEXEC);
	own[FD_LINK] = opts->link;
	own[FD_TETHER] = opts->tether ? opts->tether->feel : -1;
	own[FD_KEEP] = opts->keep;
	if (own[FD_ERRATUM] < 0) {
		rc = r3_error_set(errno, "%s: %s", erratum, strerror(errno));
		close(pair[0]);
		goto close_pair;
	}
	rc = process_spawn(&process, pid);
	close(own[FD_ERRATUM]);
	if (opts->tether)
		r3_tether_owner(opts->tether);
	if (rc) {
		r3_error_set(-rc,
			     rc == -ENOENT ? "cannot find the program nbdkit: install nbdkit"
					   : "starting nbdkit: %s",
			     strerror(-rc));
		close(pair[0]);
		goto close_pair;
	}
	*owner = pair[0];

close_pair:
	close(pair[1]);
free_line:
	while (line.n > line.fixed)
		free(line.word[--line.n]);
	return rc;
}

int server_hear(int owner, char **report)
{
	const size_t head = offsetof(struct owner_report, text);
	struct owner_report msg;
	ssize_t n = recv(owner, &msg, sizeof(msg), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < (ssize_t)head)
		return r3_error_set(EIO, "nbdkit has ended unexpectedly");
	if (msg.err >= 0) {
		*report = (size_t)n > head ? strndup(msg.text, (size_t)n - head) : NULL;
		return 1;
	}
	return r3_error_set(-msg.err, "%.*s", (int)((size_t)n - head), msg.text);
}

static void ask(int owner, char word)
{
	send(owner, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void server_ask_end(int owner)
{
	ask(owner, OWNER_END);
}

void server_ask_trace(int owner)
{
	ask(owner, OWNER_TRACE);
}
