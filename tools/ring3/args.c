/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments: getopt_long() driven by the option tables. Operands and options may be
 * mixed; "--" ends the options.
 */
#include "command.h"
#include <errno.h>
#include <getopt.h>
#include <ring3/address.h>
#include <ring3/error.h>
#include <stdlib.h>
#include <string.h>

const struct command_option global_options[] = {
	{"output", 'o', "FORMAT", "text (the default) or json"},
	{"log-level", 0, "LEVEL", "none, error, warn (the default), info or debug"},
	{"help", 'h', NULL, "print help"},
	{0},
};

/* getopt_long() returns OPTION_FIRST + index for what was found. */
#define OPTION_FIRST 256
#define OPTIONS_MAX  24

struct option_set {
	const struct command_option *spec[OPTIONS_MAX];
	struct option getopt[OPTIONS_MAX + 1];
	char letters[2 + 2 * OPTIONS_MAX + 1];
	unsigned n;
};

static void option_set_add(struct option_set *set, const struct command_option *options)
{
	for (; options && options->name && set->n < OPTIONS_MAX; options++, set->n++) {
		set->spec[set->n] = options;
		set->getopt[set->n] = (struct option){
			.name = options->name,
			.has_arg = options->value ? required_argument : no_argument,
			.val = OPTION_FIRST + (int)set->n,
		};
		if (options->letter) {
			char spec[3] = {options->letter, options->value ? ':' : 0, 0};

			strcat(set->letters, spec);
		}
	}
}

static const struct command_option *option_set_find(const struct option_set *set, int code)
{
	if (code >= OPTION_FIRST && code < OPTION_FIRST + (int)set->n)
		return set->spec[code - OPTION_FIRST];
	for (unsigned i = 0; i < set->n; i++) {
		if (set->spec[i]->letter && set->spec[i]->letter == code)
			return set->spec[i];
	}
	return NULL;
}

static int usage_error(const struct command *command, const char *what, const char *which)
{
	if (!command)
		return r3_error_set(EINVAL, "%s '%s': see 'ring3 help'", what, which);
	return r3_error_set(EINVAL, "%s: %s '%s': see 'ring3 %s --help'", command->name, what,
			    which, command->name);
}

/* What getopt_long() refused: optopt is a letter, or what we gave it for a long option
 * that it knows, or 0 where only the argument itself can be shown. */
static int option_error(const struct command *command, int code, char *const *argv)
{
	char letter[3] = {'-', (char)optopt, 0};
	const char *which = optopt > 0 && optopt < OPTION_FIRST ? letter : argv[optind - 1];

	if (code == ':')
		return usage_error(command, "a value is missing behind", which);
	if (optopt >= OPTION_FIRST)
		return usage_error(command, "no value is taken in", which);
	return usage_error(command, "unknown option", which);
}

int args_command(int argc, char **argv, int *at, bool *help)
{
	struct option_set set = {.letters = "+:"}; /* '+': stop at the first operand */
	int code;

	option_set_add(&set, global_options);
	opterr = 0;
	optind = 0;
	*help = false;
	while ((code = getopt_long(argc, argv, set.letters, set.getopt, NULL)) != -1) {
		const struct command_option *option = option_set_find(&set, code);

		if (!option)
			return option_error(NULL, code, argv);
		*help = *help || !strcmp(option->name, "help");
	}
	*at = optind;
	return 0;
}

static int take_format(struct args *args)
{
	const char *format = args_value(args, "output");

	if (!format || !strcmp(format, "text"))
		args->format = OUTPUT_TEXT;
	else if (!strcmp(format, "json"))
		args->format = OUTPUT_JSON;
	else
		return r3_error_set(EINVAL, "output format '%s' is unknown: use text or json",
				    format);
	return 0;
}

static int check_words(const struct args *args)
{
	const struct command *command = args->command;

	if (args->nword < command->min_words)
		return r3_error_set(EINVAL, "%s: an operand is missing: use 'ring3 %s %s'",
				    command->name, command->name, command->usage);
	if (args->nword > command->max_words)
		return usage_error(command, "one operand too many,",
				   args->word[command->max_words]);
	return 0;
}

int args_parse(const struct command *command, int argc, char **argv, struct args *args)
{
	/* '-': operands are returned in their place (as option 1), so that those before "--"
	 * can be told from those behind it. ':' tells a missing value from an unknown option. */
	struct option_set set = {.letters = "-:"};
	int code;

	*args = (struct args){.command = command};
	option_set_add(&set, command->options);
	option_set_add(&set, global_options);

	args->word = calloc((size_t)argc + 1, sizeof(*args->word));
	/* each argument has at most one value; a switch is kept once, however often "-hhh" */
	args->given = calloc((size_t)argc + set.n, sizeof(*args->given));
	if (!args->word || !args->given)
		return r3_error_set(ENOMEM, "%s: out of memory", command->name);

	opterr = 0;
	optind = 0; /* begin anew, with the new mode */
	while ((code = getopt_long(argc, argv, set.letters, set.getopt, NULL)) != -1) {
		const struct command_option *option = option_set_find(&set, code);

		if (code == 1) {
			args->word[args->nword++] = optarg;
		} else if (!option) {
			return option_error(command, code, argv);
		} else if (option->value || !args_has(args, option->name)) {
			args->given[args->ngiven].option = option;
			args->given[args->ngiven++].value = optarg;
		}
	}
	if (command->runs) {
		args->tail = argv + optind;
		args->ntail = (unsigned)(argc - optind);
	} else {
		for (; optind < argc; optind++)
			args->word[args->nword++] = argv[optind];
	}
	if (args_has(args, "help"))
		return 0;
	if (take_format(args) < 0)
		return -EINVAL;
	return check_words(args);
}

void args_free(struct args *args)
{
	free(args->given);
	free(args->word);
	*args = (struct args){0};
}

const char *args_nth(const struct args *args, const char *name, unsigned n)
{
	for (unsigned i = 0; i < args->ngiven; i++) {
		if (!strcmp(args->given[i].option->name, name) && n-- == 0)
			return args->given[i].value;
	}
	return NULL;
}

const char *args_value(const struct args *args, const char *name)
{
	const char *value = NULL;

	for (unsigned i = 0; i < args->ngiven; i++) {
		if (!strcmp(args->given[i].option->name, name))
			value = args->given[i].value;
	}
	return value;
}

bool args_has(const struct args *args, const char *name)
{
	for (unsigned i = 0; i < args->ngiven; i++) {
		if (!strcmp(args->given[i].option->name, name))
			return true;
	}
	return false;
}

int parse_number(const struct args *args, const char *what, const char *text, uint64_t min,
		 uint64_t max, uint64_t *out)
{
	/* as in an address: one grammar of numbers, one text about those that are none */
	const struct r3_param param = {.key = what, .value = text};
	const struct r3_params params = {.head = args->command->name, .param = &param, .nparam = 1};

	return r3_params_number(&params, what, min, max, out);
}

int args_number(const struct args *args, const char *name, uint64_t min, uint64_t max,
		uint64_t *out)
{
	const char *text = args_value(args, name);

	return text ? parse_number(args, name, text, min, max, out) : 0;
}
