/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints which host this is, and then waits for it to be quiet, for scripts that measure:
 * exit status 0 it is, 77 it is too busy. With -f nobody waits. */
#include "result.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc > 2 || (argc == 2 && strcmp(argv[1], "-f") != 0)) {
		fprintf(stderr, "Usage: host_state [-f]\n");
		return 2;
	}
	puts(bench_host());
	fflush(stdout);
	return argc == 2 || bench_await_quiet() ? 0 : BENCH_BUSY;
}
