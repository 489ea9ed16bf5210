/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring3 run: serve a device while a command runs. Three processes stand below us, and
 * none may outlive the others: nbdkit has our socket (export/nbd/owner.h) and ends with
 * us in good order; the device's carrier dies with nbdkit; the command's group is
 * killed by the kernel when we die, for nbdkit, too, holds the tether that does it.
 */
#include "command.h"
#include "isolate_report.h"
#include "process.h"
#include "server.h"
#include "session.h"
#include "util/fd.h"

#include <errno.h>
#include <ring3/block.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS       60000 /* to open the device */
#define SIGNALLED_MS   3000  /* for a command to end, when it was we who got the signal */
#define EXIT_SIGNALLED 128   /* as a shell says it: and the signal's number */
#define EXIT_NOT_RUN   126
#define EXIT_NOT_FOUND 127

/** The broker and the driver process, and the sockets; the export is like any other then. */
static int start_isolated(struct session *s, const struct args *args, const char *level)
{
	const struct isolate_opts opts = {.address = args->word[0],
					  .driver = args_value(args, "driver"),
					  .nsid = args_value(args, "namespace"),
					  .mode = args_value(args, "mode"),
					  .log = level,
					  .read_only = args_has(args, "read-only")};
	int rc = isolate_start(s, &opts);

	return rc || s->signal ? rc : isolate_keep(s);
}

static int start_servers(struct session *s, const struct args *args)
{
	const char *level = args_value(args, "log-level");
	struct server_opts opts = {.address = args->word[0],
				   .driver = args_value(args, "driver"),
				   .nsid = args_value(args, "namespace"),
				   .mode = args_value(args, "mode"),
				   .log = level ? level : "warn",
				   .read_only = args_has(args, "read-only"),
				   .endpoint = s->endpoint,
				   .nendpoint = s->nendpoint,
				   .keep = s->tether.feel,
				   .link = -1};
	int rc;

	if (args_has(args, "isolate")) {
		rc = start_isolated(s, args, opts.log);
		if (rc || s->signal)
			return rc;
		opts.link = s->isolation.link;
		opts.uid = s->isolation.uid[PART_EXPORT];
		opts.tether = &s->isolation.tether[PART_EXPORT];
		opts.err = s->isolation.relay.out;
	}
	rc = server_start(&opts, &s->children.part[PART_EXPORT].pid, &s->owner);
	r3_fd_close(&s->isolation.link); /* whose end is seen at once */
	relay_given(&s->isolation.relay);
	return rc;
}

static int wait_ready(struct session *s)
{
	int64_t end = now_ms() + READY_MS, left;
	bool ready = false;

	while (!ready && !s->failed && !s->signal && (left = end - now_ms()) > 0)
		ready = session_wait(s, (int)left);
	if (s->failed || s->signal)
		return s->failed;
	if (!ready)
		return r3_error_set(ETIMEDOUT, "the device did not open in %d seconds",
				    READY_MS / 1000);
	if (s->isolation.on) {
		report_missing(s);
		return isolate_account(s);
	}
	for (unsigned i = 0; i < s->nendpoint; i++) {
		if (s->endpoint[i].path[0])
			socket_file_find(&s->endpoint[i].file, s->endpoint[i].path);
	}
	return 0;
}

static int start_command(struct session *s, char **argv)
{
	const char *path = "";
	struct process_opts opts = {.argv = argv,
				    .preload = -1,
				    .keep = -1,
				    .tether = &s->tether,
				    .foreground = terminal_is_ours()};
	int rc;

	for (unsigned i = 0; i < s->nendpoint && !path[0]; i++)
		path = s->endpoint[i].path;
	if (setenv("uri", s->endpoint[0].uri, 1) || setenv("unixsocket", path, 1))
		return r3_error_set(ENOMEM, "out of memory");
	s->foreground = opts.foreground;
	rc = process_spawn(&opts, &s->children.command);
	s->children.group = s->children.command;
	r3_tether_owner(&s->tether);
	if (rc == 0)
		return 0;
	if (s->foreground)
		terminal_give(getpgrp());
	fprintf(stderr, "ring3: cannot run '%s': %s\n", argv[0], strerror(-rc));
	return rc == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

/** The command was stopped from the terminal: stop as well, as a shell expects, and
 *  let it go on when we may. */
static void stop_with_command(struct session *s)
{
	s->children.command_stopped = false;
	if (!s->foreground)
		return;
	terminal_give(getpgrp());
	raise(SIGSTOP);
	terminal_give(s->children.group);
	kill(-s->children.group, SIGCONT);
}

/** Until the command ends, or, without one, until a signal; or until it fails. */
static void serve(struct session *s, bool command)
{
	int64_t end = 0, left = -1;

	while (!s->failed && left != 0 && (command ? s->children.command != 0 : !s->signal)) {
		session_wait(s, (int)left);
		if (s->children.command_stopped)
			stop_with_command(s);
		if (command && s->signal && s->children.command) {
			kill(-s->children.group, s->signal);
			s->signal = 0;
			end = end ? end : now_ms() + SIGNALLED_MS;
		}
		if (end)
			left = end > now_ms() ? end - now_ms() : 0;
	}
	session_wait(s, 0); /* the command may have ended because the device is gone */
}

static int session_run(struct session *s, const struct args *args)
{
	int rc = start_servers(s, args), status;

	if (rc == 0 && !s->signal)
		rc = wait_ready(s);
	if (rc || s->signal)
		return rc ? rc : EXIT_SIGNALLED + s->signal;
	rc = args->ntail ? start_command(s, args->tail) : report_run(s, args->format);
	if (rc)
		return rc;
	serve(s, args->ntail > 0);
	rc = s->failed;
	session_end_command(s);
	if (rc)
		return r3_error_prefix(-EIO, "%s", args->word[0]);
	if (args->ntail == 0)
		return EXIT_OK;
	status = s->children.command_status;
	return WIFSIGNALED(status) ? EXIT_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The server has other descriptors to sleep on: it cannot only poll. */
static int check_mode(const char *name)
{
	enum r3_blkq_mode mode = R3_BLKQ_INTERRUPT;
	int rc = name ? r3_blkq_mode_parse(name, &mode) : 0;

	if (rc == 0 && mode == R3_BLKQ_POLL)
		rc = r3_error_set(EINVAL, "--mode poll is not for serving: say adaptive");
	return rc;
}

static int run(const struct args *args)
{
	struct session s = SESSION_NONE;
	const char *text;
	uint64_t nsid;
	int rc;

	rc = args_number(args, "namespace", 1, UINT32_MAX - 1, &nsid);
	if (rc == 0)
		rc = check_mode(args_value(args, "mode"));
	while (rc == 0 && (text = args_nth(args, "export", s.nendpoint))) {
		if (s.nendpoint == MAX_ENDPOINTS)
			rc = r3_error_set(EINVAL, "more than %d exports", MAX_ENDPOINTS);
		else
			rc = endpoint_open(text, &s.endpoint[s.nendpoint]);
		s.nendpoint += rc == 0;
	}
	if (rc == 0 && s.nendpoint == 0)
		rc = r3_error_set(EINVAL, "no --export is given: try --export nbd:unix:PATH");
	if (rc == 0)
		rc = session_open(&s);
	if (rc == 0)
		rc = session_run(&s, args);
	session_close(&s);
	return rc;
}

static const struct command_option options[] = {
	{"export", 0, "KIND:WHERE", "serve there: nbd:unix:PATH or nbd:tcp:HOST:PORT; repeatable"},
	{"driver", 0, "NAME", "use this driver, not the one that matches best"},
	{"namespace", 0, "N", "which namespace; without it the first"},
	{"mode", 0, "MODE", "wait by interrupt (default), or adaptive: poll while it is busy"},
	{"isolate", 0, NULL, "run device, driver and export as three processes, each shut in"},
	{"read-only", 0, NULL, "refuse whatever changes the medium"},
	{0},
};

static const struct command_example examples[] = {
	{"ring3 run qemu:nvme,size=1G --export nbd:unix:./r3.sock -- sh -c 'nbdinfo \"$uri\"'",
	 "ask an NVMe controller in QEMU for its size, and end it"},
	{"ring3 run --isolate qemu:nvme,size=1G --export nbd:unix:./r3.sock",
	 "the same controller, with a driver that can open and connect to nothing"},
	{"ring3 run file:disk.img --read-only --export nbd:tcp:127.0.0.1:10809",
	 "serve a file until interrupted"},
	{0},
};

const struct command command_run = {
	.name = "run",
	.summary = "serve a block device while a command runs",
	.usage = "ADDRESS --export KIND:WHERE [-- COMMAND...]",
	.min_words = 1,
	.max_words = 1,
	.runs = true,
	.description =
		"Opens the device, serves it, runs COMMAND with $uri and $unixsocket in its "
		"environment, and ends with its status: 128+N after signal N, 127 where there is "
		"no such command, 126 where it cannot be run. Without COMMAND it prints the "
		"URIs and serves until SIGINT, SIGTERM, SIGHUP or SIGQUIT. When it has ended, so "
		"have the server and all that COMMAND started. On SIGUSR1 a device opened with "
		"trace+ "
		"in front writes its trace.",
	.options = options,
	.examples = examples,
	.run = run,
};
