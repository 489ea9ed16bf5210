/* SPDX-License-Identifier: BSD-2-Clause */
/* Is this host quiet enough to measure on? The answer is tried, not looked up: a load
 * average lags by a minute, and does not see other guests of the same machine. */
#include "rounds.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SPIN_NS     50000000ull
#define QUIET       0.9  /* of two CPUs */
#define QUIET_TRIES 200u /* of SPIN_NS */

static uint64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* How much of SPIN_NS of wall time this process was on a CPU. */
static double spin(void)
{
	uint64_t wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t passed;

	while ((passed = now(CLOCK_MONOTONIC) - wall) < SPIN_NS)
		;
	return (double)(now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)passed;
}

double bench_free_cpus(void)
{
	pid_t child = fork();
	double mine;
	int status;

	if (child == 0)
		_exit((int)(spin() * 100));
	mine = spin();
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 0;
	double theirs = WEXITSTATUS(status) / 100.;
	return (mine + theirs) / 2;
}

bool bench_await_quiet(void)
{
	double free_cpus = 0;

	for (unsigned i = 0; i < QUIET_TRIES; i++) {
		free_cpus = bench_free_cpus();
		if (free_cpus >= QUIET)
			return true;
	}
	fprintf(stderr,
		"%s: the host is too busy to measure: two spinning processes get %.0f %% of two "
		"CPUs (-f measures anyway)\n",
		program_invocation_short_name, free_cpus * 100);
	return false;
}
