/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The result of a measurement, in the form all bench programs share: a row of a table
 * for a reader, or, with -o json, an object on a line of its own for bench/run:
 *
 *	{"name":"nvme_read_qd32","unit":"IOPS","value":384000,"lo":371000,"hi":391000,
 *	 "floor":410000,"budget":null,"pass":null,"host":"Xeon E5, 2 cores, Linux 6.1"}
 */
#ifndef RING3_BENCH_RESULT_H
#define RING3_BENCH_RESULT_H

#include "rounds.h"

enum bench_goal {
	BENCH_NO_GOAL,
	BENCH_AT_LEAST, /* the value is good when it reaches the budget */
	BENCH_AT_MOST,  /* the value is good when it stays within the budget */
};

struct bench_result {
	const char *name;     /* [a-z0-9_]: what was measured, without its unit */
	const char *unit;     /* "IOPS", "ns", "ratio", "instructions" */
	double value, lo, hi; /* the median, and the spread of the rounds */
	double floor;         /* the floor's median in the same run; NAN: it has none */
	enum bench_goal goal; /* what the budget is */
	double budget;        /* ignored where there is no goal */
};

/** Median and spread of @rounds, without floor and goal. */
struct bench_result bench_result_of(const char *name, const char *unit,
				    const struct bench_rounds *rounds);

/** Whether the goal is met, if there is one. */
bool bench_result_pass(const struct bench_result *result);

/** Take what follows -o: "text" or "json". False: neither. The form stays for the run. */
bool bench_form(const char *text);

/** Print a row, headings above the first, or an object, to standard output. */
void bench_print(const struct bench_result *result);

/** "Intel(R) Xeon(R) E5-2680, 2 cores, Linux 6.1.0 x86_64": whose figures they are. */
const char *bench_host(void);

#endif
