/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of a program that measures in rounds. */
#ifndef RING3_BENCH_OPTIONS_H
#define RING3_BENCH_OPTIONS_H

#include "rounds.h"

/** Take -r ROUNDS, -f (do not wait for a quiet host), -o FORM and -h, which all have, and what
 *  @letters (as getopt(3) wants them; NULL: none) add: those are @own's, which says whether it
 *  took optarg. Returns -1 to go on, or what to exit with: -h was asked for, or it is wrong. */
int bench_options(int argc, char **argv, const char *letters, bool (*own)(int letter, void *user),
		  struct bench_plan *plan, const char *usage);

#endif
