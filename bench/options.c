/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include "result.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

int bench_options(int argc, char **argv, const char *letters, bool (*own)(int letter, void *user),
		  struct bench_plan *plan, const char *usage)
{
	bool good = true;
	char all[64];
	int c;

	snprintf(all, sizeof(all), "r:fo:h%s", letters ? letters : "");
	while (good && (c = getopt(argc, argv, all)) != -1) {
		if (c == 'r')
			plan->rounds = (unsigned)atoi(optarg);
		else if (c == 'f')
			plan->anyway = true;
		else if (c == 'o')
			good = bench_form(optarg);
		else if (c == 'h')
			return fputs(usage, stdout) < 0;
		else
			good = c != '?' && own(c, plan->user);
	}
	if (good && optind == argc && plan->rounds >= BENCH_ROUNDS_MIN &&
	    plan->rounds <= BENCH_ROUNDS_MAX)
		return -1;
	fputs(usage, stderr);
	return 2;
}
