/* SPDX-License-Identifier: BSD-2-Clause */
/* Help, written from the tables that the arguments are parsed with. */
#include "command.h"
#include <errno.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_options(FILE *out, const struct command_option *options)
{
	for (; options && options->name; options++) {
		char left[64];

		snprintf(left, sizeof(left), "%c%c%s--%s%s%s", options->letter ? '-' : ' ',
			 options->letter ? options->letter : ' ', options->letter ? ", " : "  ",
			 options->name, options->value ? " " : "",
			 options->value ? options->value : "");
		fprintf(out, "  %-28s  %s\n", left, options->summary);
	}
}

#define LINE 79

static void print_paragraph(FILE *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column > 0 && column + 1 + word > LINE) {
			fputc('\n', out);
			column = 0;
		} else if (column > 0) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, word, out);
		column += word;
		text += word + strspn(text + word, " ");
	}
	fputc('\n', out);
}

static void print_command(FILE *out, const struct command *command)
{
	fprintf(out, "ring3 %s: %s\n\nUsage: ring3 %s [OPTION...]%s%s\n", command->name,
		command->summary, command->name, command->usage[0] ? " " : "", command->usage);
	if (command->description) {
		fputc('\n', out);
		print_paragraph(out, command->description);
	}
	fprintf(out, "\nOptions:\n");
	print_options(out, command->options);
	print_options(out, global_options);
	if (command->examples && command->examples[0].line)
		fprintf(out, "\nExamples:\n");
	for (const struct command_example *e = command->examples; e && e->line; e++)
		fprintf(out, "  %s\n      %s\n", e->line, e->what);
}

static void print_program(FILE *out)
{
	fprintf(out, "ring3: device drivers as ordinary processes\n\n"
		     "Usage: ring3 [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:\n");
	for (unsigned i = 0; commands[i]; i++)
		fprintf(out, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\nOptions, before or behind the command:\n");
	print_options(out, global_options);
	fprintf(out,
		"\nExit codes:\n"
		"  0  done\n"
		"  1  failed, or the device is busy\n"
		"  2  wrong arguments\n"
		"  3  no such device, scheme or facility\n"
		"  4  not permitted\n"
		"\nSee 'ring3 COMMAND --help', and ring3-address(7) for how devices are named.\n");
}

int help_write(const struct command *command)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int rc;

	if (!out)
		return r3_error_set(ENOMEM, "help: out of memory");
	if (command)
		print_command(out, command);
	else
		print_program(out);
	rc = fclose(out) == 0 ? output_write(text, len)
			      : r3_error_set(ENOMEM, "help: out of memory");
	free(text);
	return rc;
}

static int help_run(const struct args *args)
{
	const struct command *command = NULL;

	if (args->nword > 0) {
		command = command_find(args->word[0]);
		if (!command)
			return r3_error_set(EINVAL, "no command is called '%s': see 'ring3 help'",
					    args->word[0]);
	}
	return help_write(command);
}

static const struct command_example examples[] = {
	{"ring3 help peek", "the same as ring3 peek --help"},
	{0},
};

const struct command command_help = {
	.name = "help",
	.summary = "print help on ring3 or on a command",
	.usage = "[COMMAND]",
	.max_words = 1,
	.examples = examples,
	.run = help_run,
};
