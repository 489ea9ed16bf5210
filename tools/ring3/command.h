/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command of the ring3 program: one file that defines one struct command, and one
 * row in the table of main.c. Parsing and help come from what the struct says, so
 * that the two cannot disagree.
 */
#ifndef TOOLS_RING3_COMMAND_H
#define TOOLS_RING3_COMMAND_H

#include "host/exit_code.h"
#include "output.h"
#include <stdbool.h>
#include <stdint.h>

/** One option; a table of them ends with an entry whose name is NULL. */
struct command_option {
	const char *name;    /* "width", typed --width */
	char letter;         /* 'w', typed -w; 0: none */
	const char *value;   /* what its value is called in the help; NULL: it takes none */
	const char *summary; /* one line */
};

struct command_example {
	const char *line; /* as typed */
	const char *what; /* what it does */
};

struct args;

struct command {
	const char *name;
	const char *summary; /* one line */
	const char *usage;   /* what follows the name: "ADDRESS REGION OFFSET" */
	unsigned min_words;  /* of the operands */
	unsigned max_words;
	bool runs;               /* what follows "--" is a command to run, not operands */
	const char *description; /* a paragraph for the help; NULL: the summary says it all */
	const struct command_option *options;   /* its own; may be NULL */
	const struct command_example *examples; /* ends with a line that is NULL */

	/** Returns the exit code, or -errno with the text of r3_error_set(). */
	int (*run)(const struct args *args);
};

/** The arguments of one invocation, options sorted out. */
struct args {
	const struct command *command;
	char **word; /* operands, nword of them */
	unsigned nword;
	char **tail; /* what follows "--" where the command runs one: NULL-ended, as for execvp() */
	unsigned ntail;
	enum output_format format; /* -o */
	/* the options that were given, in order: use the calls below */
	struct {
		const struct command_option *option;
		const char *value;
	} * given;
	unsigned ngiven;
};

/** All commands, NULL-ended. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);

/** Where in @argv the command's name is, behind global options; @argc: it is missing.
 *  *help: whether --help is among them. Errors: EINVAL an option that is not global. */
int args_command(int argc, char **argv, int *at, bool *help);

/** Parse @argv, whose first word is the command's name. Errors: EINVAL; ENOMEM.
 *  args_free() is allowed after a failure too. */
int args_parse(const struct command *command, int argc, char **argv, struct args *args);
void args_free(struct args *args);

/** Whether --@name was given. */
bool args_has(const struct args *args, const char *name);
/** The value of --@name: the last one given; NULL: none. */
const char *args_value(const struct args *args, const char *name);
/** The @n-th value of a repeatable --@name, in order; NULL: there are no more. */
const char *args_nth(const struct args *args, const char *name, unsigned n);
/** The value of --@name as a number; *out stays as it is where it was not given. */
int args_number(const struct args *args, const char *name, uint64_t min, uint64_t max,
		uint64_t *out);

/** Decimal, or hexadecimal with 0x. @what names the number in the error's text.
 *  Errors: EINVAL no number, or outside [min, max]. */
int parse_number(const struct args *args, const char *what, const char *text, uint64_t min,
		 uint64_t max, uint64_t *out);

struct r3_device;

struct r3_open_opts;

/** Open the device at @address; @opts may be NULL. Errors: those of r3_device_open(); ENODEV
 *  too for a block device that has no registers, such as file:. */
int device_open(const char *address, const struct r3_open_opts *opts, struct r3_device **dev);

/** From here on lines of the log that nobody takes at once are lost, and nobody who stops
 *  reading our output stops or ends us: for who serves others. */
void log_without_waiting(void);

/** Help on the program (@command NULL) or on a command, to standard output. */
int help_write(const struct command *command);

extern const struct command_option global_options[];

#endif
