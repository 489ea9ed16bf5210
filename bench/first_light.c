/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver beside its floor: the same reads on the same kind of device, in
 * turns, so that what disturbs one disturbs the other. Each round gives a ratio; the
 * median of the ratios is the result, because a host that other people use has slow
 * rounds, but seldom slow in one half only.
 */
#include "bench.h"
#include "result.h"

#include <getopt.h>
#include <ring3/error.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS "qemu:nvme,null,size=1G"
static const unsigned depths[] = {1, 32};
#define NDEPTHS (sizeof(depths) / sizeof(depths[0]))

enum { FLOOR, DRIVER, NSUBJECTS };

/* A notification is a call in QEMU's main loop, as a doorbell of NVMe is. */
#define VIRTIO_BLK "qemu:virtio-blk,null,size=1G,prop.ioeventfd=off"

/* What can be measured. */
static const struct kind {
	const char *name, *address;
	const struct subject *subjects[NSUBJECTS];
} kinds[] = {
	{"nvme", "qemu:nvme,null,size=1G", {&bench_floor_nvme, &bench_driver}},
	{"virtio_blk_split", VIRTIO_BLK, {&bench_floor_virtio, &bench_driver}},
	/* the floor takes no feature that it does not need: its ring is split here too */
	{"virtio_blk_packed", VIRTIO_BLK ",prop.packed=on", {&bench_floor_virtio, &bench_driver}},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

struct options {
	const struct kind *kind;
	const char *address; /* NULL: that of the kind */
	unsigned rounds;
	uint64_t ns; /* of each measurement */
	double goal;
	bool anyway;
};

struct run {
	const struct options *options;
	struct bench_rounds iops[NSUBJECTS][NDEPTHS];
};

static const char usage[] =
	"Usage: first_light [-d KIND] [-a ADDRESS] [-r ROUNDS] [-t MILLISECONDS] [-g PERCENT] [-f] "
	"[-o "
	"FORM]\n"
	"Measure a driver beside a bare loop that rings the same doorbells.\n"
	"\n"
	"  -d KIND          nvme (the default), virtio_blk_split or virtio_blk_packed\n"
	"  -a ADDRESS       of such a device; without it one of QEMU's that stores nothing\n"
	"  -r ROUNDS        5 to 99 (7)\n"
	"  -t MILLISECONDS  of each measurement (500)\n"
	"  -g PERCENT       the goal: so much of the bare loop's rate (90)\n"
	"  -f               measure even while the host is busy\n"
	"  -o FORM          text, or json: an object a line\n"
	"\n"
	"Exit status: 0 the goal is met; 1 it is not, or something failed; 2 usage;\n"
	"77 the host is too busy.\n";

/* Reads a second at each depth, on a device of its own. */
static int measure(const struct subject *subject, const struct options *options, double *iops)
{
	uint64_t done, took;
	void *self;
	int rc = subject->open(options->address ? options->address : options->kind->address, &self);

	if (rc)
		goto out;
	for (unsigned i = 0; rc == 0 && i < NDEPTHS; i++) {
		rc = subject->run(self, depths[i], options->ns / 10, &done, &took); /* warm up */
		if (rc == 0)
			rc = subject->run(self, depths[i], options->ns, &done, &took);
		if (rc == 0)
			iops[i] = (double)done / (double)took * 1e9;
	}
	subject->close(self);
out:
	if (rc)
		fprintf(stderr, "first_light: %s: %s\n", subject->name, r3_error_text());
	return rc;
}

static int measure_one(void *user, unsigned subject)
{
	struct run *run = user;
	double iops[NDEPTHS];
	int rc = measure(run->options->kind->subjects[subject], run->options, iops);

	for (unsigned i = 0; rc == 0 && i < NDEPTHS; i++)
		bench_rounds_add(&run->iops[subject][i], iops[i]);
	return rc ? 1 : 0;
}

static bool report(const struct run *run)
{
	const char *kind = run->options->kind->name;
	bool met = true;

	for (unsigned i = 0; i < NDEPTHS; i++) {
		const struct bench_rounds *floor = &run->iops[FLOOR][i];
		const struct bench_rounds *driver = &run->iops[DRIVER][i];
		struct bench_rounds ratios;
		struct bench_result rate, ratio;
		char name[40];

		snprintf(name, sizeof(name), "%s_read_qd%u", kind, depths[i]);
		rate = bench_result_of(name, "IOPS", driver);
		rate.floor = bench_median(floor);
		bench_print(&rate);
		bench_ratios(driver, floor, &ratios);
		snprintf(name, sizeof(name), "%s_read_qd%u_of_floor", kind, depths[i]);
		ratio = bench_result_of(name, "ratio", &ratios);
		ratio.goal = BENCH_AT_LEAST;
		ratio.budget = run->options->goal;
		bench_print(&ratio);
		met &= bench_result_pass(&ratio);
	}
	return met;
}

static const struct kind *kind_of(const char *name)
{
	for (unsigned i = 0; i < NKINDS; i++) {
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	}
	return NULL;
}

static bool parse(int argc, char **argv, struct options *options)
{
	int c;

	while ((c = getopt(argc, argv, "d:a:r:t:g:fo:h")) != -1) {
		switch (c) {
		case 'd':
			options->kind = kind_of(optarg);
			if (!options->kind)
				return false;
			break;
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
		case 'o':
			if (!bench_form(optarg))
				return false;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return false;
		}
	}
	return optind == argc && options->rounds >= BENCH_ROUNDS_MIN &&
	       options->rounds <= BENCH_ROUNDS_MAX && options->ns >= 1000000 &&
	       options->ns <= 60 * UINT64_C(1000000000);
}

int main(int argc, char **argv)
{
	struct options options = {.kind = &kinds[0], .rounds = 7, .ns = 500000000, .goal = 0.9};
	static struct run run = {0};
	struct bench_plan plan = {.subjects = NSUBJECTS, .measure = measure_one, .user = &run};
	int rc;

	if (!parse(argc, argv, &options)) {
		fputs(usage, stderr);
		return 2;
	}
	run.options = &options;
	plan.rounds = options.rounds;
	plan.anyway = options.anyway;
	rc = bench_interleave(&plan);
	return rc ? rc : report(&run) ? 0 : 1;
}
