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

#define FOLDER_MAX (PATH_MAX - 64)

/** Find the folder of our parts: in the build tree, or where they are installed. */
static int find_parts(char folder[FOLDER_MAX])
{
	static const char *const places[] = {"export/nbd", "../" R3_LIBDIR "/ring3"};
	char exe[PATH_MAX / 2], part[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return r3_error_set(errno, "/proc/self/exe: %s", strerror(errno));
	exe[n] = 0;
	*strrchr(exe, '/') = 0;
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(folder, FOLDER_MAX, "%s/%s", exe, places[i]);
		snprintf(part, sizeof(part), "%s/" PLUGIN, folder);
		if (access(part, R_OK) == 0)
			return 0;
	}
	return r3_error_set(ENOENT,
			    PLUGIN " is not here: build with nbdkit-plugin-dev installed, then "
				   "install all of ring3");
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

static int push_all(struct line *line, const struct server_opts *opts)
{
	int rc;

	if ((rc = push(line, "address", opts->address)) ||
	    (rc = push(line, "driver", opts->driver)) ||
	    (rc = push(line, "namespace", opts->nsid)) || (rc = push(line, "mode", opts->mode)) ||
	    (rc = push(line, "readonly", opts->read_only ? "true" : NULL)) ||
	    (rc = push(line, "log", opts->log)) ||
	    (rc = push_fd(line, "owner", PROCESS_FIRST_FD + opts->nendpoint, NULL)))
		return rc;
	for (unsigned i = 0; i < opts->nendpoint; i++) {
		const char *path = opts->endpoint[i].path;

		if (path[0] && (rc = push_fd(line, "unix", PROCESS_FIRST_FD + i, path)))
			return rc;
	}
	return 0;
}

int server_start(const struct server_opts *opts, pid_t *pid, int *owner)
{
	char folder[FOLDER_MAX], plugin[PATH_MAX], erratum[PATH_MAX];
	struct line line = {{(char[]){"nbdkit"}, (char[]){"--foreground"},
			     (char[]){"--exit-with-parent"}, (char[]){"--threads"},
			     (char[]){THREADS}, plugin},
			    .fixed = 6,
			    .n = 6};
	int fds[MAX_ENDPOINTS + 2], pair[2], rc;
	struct process_opts process = {.argv = line.word,
				       .quiet = true,
				       .fds = fds,
				       .nfds = opts->nendpoint + 2,
				       .nlisten = opts->nendpoint,
				       .preload = (int)opts->nendpoint + 1,
				       .keep = opts->keep};

	rc = find_parts(folder);
	if (rc)
		return rc;
	snprintf(plugin, sizeof(plugin), "%s/" PLUGIN, folder);
	snprintf(erratum, sizeof(erratum), "%s/" ERRATUM, folder);
	rc = push_all(&line, opts);
	if (rc)
		goto free_line;
	for (unsigned i = 0; i < opts->nendpoint; i++)
		fds[i] = opts->endpoint[i].fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		rc = r3_error_set(errno, "making a socket: %s", strerror(errno));
		goto free_line;
	}
	fds[opts->nendpoint] = pair[1];
	fds[opts->nendpoint + 1] = open(erratum, O_RDONLY | O_CLOEXEC);
	if (fds[opts->nendpoint + 1] < 0) {
		rc = r3_error_set(errno, "%s: %s", erratum, strerror(errno));
		close(pair[0]);
		goto close_pair;
	}
	rc = process_spawn(&process, pid);
	close(fds[opts->nendpoint + 1]);
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

int server_hear(int owner)
{
	const size_t head = offsetof(struct owner_report, text);
	struct owner_report msg;
	ssize_t n = recv(owner, &msg, sizeof(msg), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < (ssize_t)head)
		return r3_error_set(EIO, "nbdkit has ended unexpectedly");
	if (msg.err >= 0)
		return 1;
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
