/* SPDX-License-Identifier: BSD-2-Clause */
/* One way to print a result, so that all tables look alike and bench/run reads one form. */
#include "result.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define HOST_MAX 160u

static bool json;

struct bench_result bench_result_of(const char *name, const char *unit,
				    const struct bench_rounds *rounds)
{
	return (struct bench_result){.name = name,
				     .unit = unit,
				     .value = bench_median(rounds),
				     .lo = bench_percentile(rounds, 0),
				     .hi = bench_percentile(rounds, 100),
				     .floor = NAN};
}

bool bench_result_pass(const struct bench_result *result)
{
	switch (result->goal) {
	case BENCH_AT_LEAST:
		return result->value >= result->budget;
	case BENCH_AT_MOST:
		return result->value <= result->budget;
	default:
		return true;
	}
}

bool bench_form(const char *text)
{
	json = !strcmp(text, "json");
	return json || !strcmp(text, "text");
}

/* The first "model name" of /proc/cpuinfo, which not every architecture has. */
static void cpu_model(char *out, size_t len)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, len, "unknown CPU");
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (!colon || strncmp(line, "model name", 10))
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(out, len, "%s", colon + 1 + strspn(colon + 1, " "));
		break;
	}
	if (file)
		fclose(file);
}

const char *bench_host(void)
{
	static char host[HOST_MAX];
	struct utsname uts;
	char model[80];

	if (host[0])
		return host;
	cpu_model(model, sizeof(model));
	if (uname(&uts) < 0)
		memset(&uts, 0, sizeof(uts));
	snprintf(host, sizeof(host), "%s, %ld cores, %.20s %.30s %.16s", model,
		 sysconf(_SC_NPROCESSORS_ONLN), uts.sysname, uts.release, uts.machine);
	return host;
}

static void print_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			putchar('?');
		else
			putchar(c);
	}
	putchar('"');
}

/* JSON has no infinity and no NaN. */
static void print_number(const char *name, double value)
{
	if (isfinite(value))
		printf(",\"%s\":%.10g", name, value);
	else
		printf(",\"%s\":null", name);
}

static void print_json(const struct bench_result *result)
{
	bool goal = result->goal != BENCH_NO_GOAL;

	printf("{\"name\":");
	print_string(result->name);
	printf(",\"unit\":");
	print_string(result->unit);
	print_number("value", result->value);
	print_number("lo", result->lo);
	print_number("hi", result->hi);
	print_number("floor", result->floor);
	print_number("budget", goal ? result->budget : NAN);
	printf(",\"pass\":%s", !goal ? "null" : bench_result_pass(result) ? "true" : "false");
	printf(",\"host\":");
	print_string(bench_host());
	printf("}\n");
}

/* Four digits that count, or all before the point. */
static void column(int width, double value)
{
	double size = fabs(value);

	if (isfinite(value))
		printf(" %*.*f", width,
		       size < 10     ? 3
		       : size < 100  ? 2
		       : size < 1000 ? 1
				     : 0,
		       value);
	else
		printf(" %*s", width, "-");
}

static void print_text(const struct bench_result *result)
{
	static const char *const signs[] = {"", ">=", "<="};
	static bool begun;

	if (!begun)
		printf("%-36s %10s %10s %10s %10s %12s %-6s %s\n", "name", "value", "from", "to",
		       "floor", "budget", "", "unit");
	begun = true;
	printf("%-36s", result->name);
	column(10, result->value);
	column(10, result->lo);
	column(10, result->hi);
	column(10, result->floor);
	printf(" %2s", signs[result->goal]);
	column(9, result->goal == BENCH_NO_GOAL ? NAN : result->budget);
	printf(" %-6s %s\n",
	       result->goal == BENCH_NO_GOAL ? ""
	       : bench_result_pass(result)   ? "met"
					     : "missed",
	       result->unit);
}

void bench_print(const struct bench_result *result)
{
	if (json)
		print_json(result);
	else
		print_text(result);
	fflush(stdout);
}
