/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring3 program: finds the command, runs it, and turns what the library returned
 * into one line and an exit code. It uses nothing of the library but its public API.
 */
#include "command.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern const struct command command_bench;
extern const struct command command_help;
extern const struct command command_ls;
extern const struct command command_peek;
extern const struct command command_poke;
extern const struct command command_run;
extern const struct command command_serve;
extern const struct command command_show;
extern const struct command command_version;

/* In the order of the help, a row each. */
/* clang-format off */
const struct command *const commands[] = {
	&command_ls,
	&command_show,
	&command_peek,
	&command_poke,
	&command_run,
	&command_serve,
	&command_bench,
	&command_version,
	&command_help,
	NULL,
};
/* clang-format on */

const struct command *command_find(const char *name)
{
	for (unsigned i = 0; commands[i]; i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

static bool patient = true;

void log_without_waiting(void)
{
	signal(SIGPIPE, SIG_IGN);
	patient = false;
}

/* One line, whatever was typed or a device said. */
static void say(const char *prefix, const char *text)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[1024];
	int len = snprintf(line, sizeof(line) - 1, "ring3: %s%s", prefix, text);

	if (len < 0)
		return;
	if ((size_t)len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (int i = 0; i < len; i++) {
		if (iscntrl((unsigned char)line[i]))
			line[i] = '?';
	}
	line[len] = '\n';
	if (!patient && poll(&room, 1, 0) != 1)
		return;
	if (write(STDERR_FILENO, line, (size_t)len + 1) < 0)
		return; /* there is nobody left to tell */
}

static const char *const level_names[] = {"none", "error", "warn", "info", "debug", NULL};

static void log_line(void *ctx, enum r3_log_level level, const char *text)
{
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%s: ", level_names[level]);
	say(prefix, text);
}

static int log_start(const struct args *args)
{
	const char *name = args_value(args, "log-level");
	unsigned level = R3_LOG_WARN;

	if (name) {
		for (level = 0; level_names[level]; level++) {
			if (!strcmp(level_names[level], name))
				break;
		}
		if (!level_names[level])
			return r3_error_set(EINVAL,
					    "log level '%s' is unknown: use none, error, warn, "
					    "info or debug",
					    name);
	}
	r3_log_sink((enum r3_log_level)level, log_line, NULL);
	return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct args args;
	int rc = args_parse(command, argc, argv, &args);

	if (rc == 0)
		rc = log_start(&args);
	if (rc == 0)
		rc = args_has(&args, "help") ? help_write(command) : command->run(&args);
	args_free(&args);
	return rc;
}

/* Global options may stand before the command: bring its name to the front, and what
 * follows is one list for args_parse(). */
static int dispatch(int argc, char **argv)
{
	const struct command *command;
	char *name;
	bool help;
	int at, rc;

	if (argc > 1 && !strcmp(argv[1], "--version"))
		argv[1] += 2; /* everybody tries this one */
	rc = args_command(argc, argv, &at, &help);
	if (rc < 0)
		return rc;
	if (at >= argc)
		return help ? help_write(NULL)
			    : r3_error_set(EINVAL, "no command is given: see 'ring3 help'");
	name = argv[at];
	command = command_find(name);
	if (!command)
		return r3_error_set(EINVAL, "no command is called '%s': see 'ring3 help'", name);
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(*argv));
	argv[1] = name;
	return run(command, argc - 1, argv + 1);
}

/* A file opened later must not become standard output. */
static void keep_standard_fds(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) < 0)
			return;
	}
}

int main(int argc, char **argv)
{
	int rc;

	keep_standard_fds();
	rc = dispatch(argc, argv);
	if (rc >= 0)
		return rc;
	say("", r3_error_text()[0] ? r3_error_text() : strerror(-rc));
	return (int)exit_code_of(-rc);
}
