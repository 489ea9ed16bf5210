/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an adaptive queue gives up for not keeping a CPU busy: the same reads by it and
 * by polling, in short turns on two devices of the same kind, and what it costs when it
 * is idle. The median of the rounds' ratios is the result.
 */
#include "bench.h"
#include "idle.h"
#include "options.h"
#include "result.h"

#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ADDRESS "qemu:nvme,null,size=1G"

static const unsigned depths[] = {1, 32};
#define NDEPTHS (sizeof(depths) / sizeof(depths[0]))

enum { POLL, ADAPTIVE, NSUBJECTS };
static const struct subject *const subjects[NSUBJECTS] = {&bench_driver, &bench_adaptive};

struct run {
	const char *address;
	uint64_t ns; /* of each measurement */
	double goal;
	void *self[NSUBJECTS];
	struct bench_rounds iops[NSUBJECTS][NDEPTHS];
};

static const char usage[] =
	"Usage: adaptive [-a ADDRESS] [-r ROUNDS] [-t MILLISECONDS] [-g PERCENT] [-f]\n"
	"                [-o FORM]\n"
	"Measure an adaptive queue beside a polled one, and idle.\n"
	"\n"
	"  -a ADDRESS       of a block device (" ADDRESS ")\n"
	"  -r ROUNDS        5 to 99 (15)\n"
	"  -t MILLISECONDS  of each measurement (50)\n"
	"  -g PERCENT       the goal: so much of the polled rate (95)\n"
	"  -f               measure even while the host is busy\n"
	"  -o FORM          text, or json: an object a line\n"
	"\n"
	"Exit status: 0 the goals are met; 1 they are not, or something failed; 2 usage;\n"
	"77 the host is too busy.\n";

static int measure(void *user, unsigned subject)
{
	struct run *run = user;
	uint64_t done, took;

	for (unsigned i = 0; i < NDEPTHS; i++) {
		void *self = run->self[subject];
		int rc = subjects[subject]->run(self, depths[i], run->ns / 10, &done, &took);

		if (rc == 0)
			rc = subjects[subject]->run(self, depths[i], run->ns, &done, &took);
		if (rc) {
			fprintf(stderr, "adaptive: %s: %s\n", subjects[subject]->name,
				r3_error_text());
			return 1;
		}
		bench_rounds_add(&run->iops[subject][i], (double)done / (double)took * 1e9);
	}
	return 0;
}

static bool report(const struct run *run)
{
	bool met = true;

	for (unsigned i = 0; i < NDEPTHS; i++) {
		const struct bench_rounds *poll = &run->iops[POLL][i];
		const struct bench_rounds *adaptive = &run->iops[ADAPTIVE][i];
		struct bench_rounds ratios;
		struct bench_result rate, ratio;
		char name[40];

		snprintf(name, sizeof(name), "adaptive_read_qd%u", depths[i]);
		rate = bench_result_of(name, "IOPS", adaptive);
		rate.floor = bench_median(poll);
		bench_print(&rate);
		bench_ratios(adaptive, poll, &ratios);
		snprintf(name, sizeof(name), "adaptive_read_qd%u_of_polled", depths[i]);
		ratio = bench_result_of(name, "ratio", &ratios);
		ratio.goal = BENCH_AT_LEAST;
		ratio.budget = run->goal;
		bench_print(&ratio);
		met &= bench_result_pass(&ratio);
	}
	return met;
}

/* On a device of its own, so that QEMU of the others is not counted. */
static int report_idle(const struct run *run, bool *met)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = R3_BLKQ_ADAPTIVE};
	struct bench_rounds rounds = {0};
	struct bench_result result;
	struct bench_idle idle = {0};
	struct r3_blkq *queue = NULL;
	struct r3_block *block;
	int rc = r3_block_open(run->address, NULL, &block);

	if (rc)
		goto out;
	rc = r3_blkq_open(block, &opts, &queue);
	for (unsigned i = 0; rc == 0 && i < BENCH_ROUNDS_MIN; i++) {
		if (bench_idle(block, queue, R3_NSEC_PER_SEC / 2, &idle))
			bench_rounds_add(&rounds, idle.share);
	}
	r3_blkq_close(queue);
	r3_block_close(block);
	if (rc == 0) {
		result = bench_result_of("adaptive_idle_cpu", "ratio", &rounds);
		result.goal = BENCH_AT_MOST;
		result.budget = 0.01;
		bench_print(&result);
		*met &= bench_result_pass(&result);
	}
out:
	if (rc)
		fprintf(stderr, "adaptive: idle: %s\n", r3_error_text());
	return rc;
}

static int run_all(struct run *run, const struct bench_plan *plan)
{
	bool met = true;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < NSUBJECTS; i++) {
		rc = subjects[i]->open(run->address, &run->self[i]);
		if (rc)
			fprintf(stderr, "adaptive: %s: %s\n", subjects[i]->name, r3_error_text());
	}
	if (rc == 0)
		rc = bench_interleave(plan);
	for (unsigned i = 0; i < NSUBJECTS; i++)
		if (run->self[i])
			subjects[i]->close(run->self[i]);
	if (rc == 0) {
		met = report(run);
		rc = report_idle(run, &met);
	}
	return rc == BENCH_BUSY ? rc : rc || !met;
}

static bool take_option(int letter, void *user)
{
	struct run *run = user;

	if (letter == 'a')
		run->address = optarg;
	else if (letter == 't')
		run->ns = (uint64_t)atoi(optarg) * R3_NSEC_PER_MSEC;
	else
		run->goal = atoi(optarg) / 100.;
	return run->ns >= R3_NSEC_PER_MSEC && run->ns <= 60 * R3_NSEC_PER_SEC;
}

int main(int argc, char **argv)
{
	static struct run run = {.address = ADDRESS, .ns = 50 * R3_NSEC_PER_MSEC, .goal = 0.95};
	struct bench_plan plan = {
		.rounds = 15, .subjects = NSUBJECTS, .measure = measure, .user = &run};
	int rc = bench_options(argc, argv, "a:t:g:", take_option, &plan, usage);

	return rc >= 0 ? rc : run_all(&run, &plan);
}
