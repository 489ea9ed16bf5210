/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe driver beside the floor: the same reads on the same kind of device, in
 * turns, so that what disturbs one disturbs the other. Each round gives a ratio; the
 * median of the ratios is the result, because a host that other people use has slow
 * rounds, but seldom slow in one half only.
 */
#include "bench.h"

#include <getopt.h>
#include <ring3/error.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS     "qemu:nvme,null,size=1G"
#define ROUNDS_MAX  99u
#define QUIET       0.9  /* of two CPUs */
#define QUIET_TRIES 200u /* of 50 ms */
#define BUSY        77   /* as test programs say: skipped */

static const unsigned depths[] = {1, 32};
#define NDEPTHS (sizeof(depths) / sizeof(depths[0]))

struct options {
	const char *address;
	unsigned rounds;
	uint64_t ns; /* of each measurement */
	double goal;
	bool anyway;
};

struct results {
	double floor[NDEPTHS][ROUNDS_MAX], driver[NDEPTHS][ROUNDS_MAX], ratio[NDEPTHS][ROUNDS_MAX];
};

static const char usage[] =
	"Usage: first_light [-a ADDRESS] [-r ROUNDS] [-t MILLISECONDS] [-g PERCENT] [-f]\n"
	"Measure the NVMe driver beside a bare loop that rings the same doorbells.\n"
	"\n"
	"  -a ADDRESS       of an NVMe controller (" ADDRESS ")\n"
	"  -r ROUNDS        5 to 99 (7)\n"
	"  -t MILLISECONDS  of each measurement (500)\n"
	"  -g PERCENT       the goal: so much of the bare loop's rate (90)\n"
	"  -f               measure even while the host is busy\n"
	"\n"
	"Exit status: 0 the goal is met; 1 it is not, or something failed; 2 usage;\n"
	"77 the host is too busy.\n";

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, unsigned n)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), by_size);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* kIOPS at each depth, on a device of its own. */
static int measure(const struct subject *subject, const struct options *options, double *kiops)
{
	uint64_t ios, took;
	void *self;
	int rc = subject->open(options->address, &self);

	if (rc)
		goto out;
	for (unsigned i = 0; rc == 0 && i < NDEPTHS; i++) {
		rc = subject->run(self, depths[i], options->ns / 10, &ios, &took); /* warm up */
		if (rc == 0)
			rc = subject->run(self, depths[i], options->ns, &ios, &took);
		if (rc == 0)
			kiops[i] = (double)ios / (double)took * 1e6;
	}
	subject->close(self);
out:
	if (rc)
		fprintf(stderr, "first_light: %s: %s\n", subject->name, r3_error_text());
	return rc;
}

/* Wait for the host to be quiet, but not for long. */
static bool await_quiet(void)
{
	double free_cpus = 0;

	for (unsigned i = 0; i < QUIET_TRIES; i++) {
		free_cpus = bench_free_cpus();
		if (free_cpus >= QUIET)
			return true;
	}
	fprintf(stderr,
		"first_light: the host is too busy to measure: two spinning processes get %.0f %% "
		"of two CPUs (-f measures anyway)\n",
		free_cpus * 100);
	return false;
}

static int round_of(const struct options *options, unsigned round, struct results *results)
{
	double floor[NDEPTHS], driver[NDEPTHS];
	bool swap = round % 2; /* whoever comes first has no advantage from it */
	int rc = measure(swap ? &bench_driver : &bench_floor, options, swap ? driver : floor);

	if (rc == 0)
		rc = measure(swap ? &bench_floor : &bench_driver, options, swap ? floor : driver);
	for (unsigned i = 0; rc == 0 && i < NDEPTHS; i++) {
		results->floor[i][round] = floor[i];
		results->driver[i][round] = driver[i];
		results->ratio[i][round] = driver[i] / floor[i];
	}
	return rc;
}

static bool report(const struct options *options, const struct results *results)
{
	unsigned n = options->rounds;
	bool met = true;

	printf("4 KiB random reads, %s, by polling, median of %u rounds\n\n", options->address, n);
	printf("  depth   floor kIOPS   driver kIOPS   ratio   rounds from, to   goal\n");
	for (unsigned i = 0; i < NDEPTHS; i++) {
		double ratio = median(results->ratio[i], n), low = ratio, high = ratio;

		for (unsigned j = 0; j < n; j++) {
			low = results->ratio[i][j] < low ? results->ratio[i][j] : low;
			high = results->ratio[i][j] > high ? results->ratio[i][j] : high;
		}
		printf("  %5u   %11.1f   %12.1f   %4.0f %%   %5.0f %%, %5.0f %%   %2.0f %% %s\n",
		       depths[i], median(results->floor[i], n), median(results->driver[i], n),
		       ratio * 100, low * 100, high * 100, options->goal * 100,
		       ratio >= options->goal ? "met" : "missed");
		met &= ratio >= options->goal;
	}
	return met;
}

static bool parse(int argc, char **argv, struct options *options)
{
	int c;

	while ((c = getopt(argc, argv, "a:r:t:g:fh")) != -1) {
		switch (c) {
		case 'a':
			options->address = optarg;
			break;
		case 'r':
			options->rounds = (unsigned)atoi(optarg);
			break;
		case 't':
			options->ns = (uint64_t)atoi(optarg) * 1000000;
			break;
		case 'g':
			options->goal = atoi(optarg) / 100.;
			break;
		case 'f':
			options->anyway = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return false;
		}
	}
	return optind == argc && options->rounds >= 5 && options->rounds <= ROUNDS_MAX &&
	       options->ns >= 1000000 && options->ns <= 60 * UINT64_C(1000000000);
}

int main(int argc, char **argv)
{
	struct options options = {.address = ADDRESS, .rounds = 7, .ns = 500000000, .goal = 0.9};
	static struct results results;

	if (!parse(argc, argv, &options)) {
		fputs(usage, stderr);
		return 2;
	}
	for (unsigned round = 0; round < options.rounds; round++) {
		if (!options.anyway && !await_quiet())
			return BUSY;
		if (round_of(&options, round, &results))
			return 1;
	}
	return report(&options, &results) ? 0 : 1;
}
