/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring3 bench: a load on a block device, and what it took. All that was asked for is
 * checked against the device, and the device against whoever else uses it, before the
 * first request.
 */
#include "command.h"
#include "in_use.h"
#include "watch.h"

#include <errno.h>
#include <ring3/address.h>
#include <ring3/error.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIME_MAX   (24 * UINT64_C(3600) * R3_NSEC_PER_SEC)
#define DEPTH_MAX  65536u
#define QUEUES_MAX 1024u
#define MEMORY_MAX (UINT64_C(1) << 30) /* for the data of all requests */

struct plan {
	const char *address;
	const char *op, *pattern;
	bool writes;
	struct load_opts load;
	struct watch_opts watch;
	bool whole; /* no --range */
	uint32_t nsid;
};

/* What is printed. */
struct latency {
	const char *op;
	uint64_t count;
	uint64_t min_ns, mean_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns;
};

static const struct field latency_fields[] = {
	FIELD(struct latency, op, STRING),   FIELD(struct latency, count, NUMBER),
	FIELD(struct latency, min_ns, TIME), FIELD(struct latency, mean_ns, TIME),
	FIELD(struct latency, p50_ns, TIME), FIELD(struct latency, p90_ns, TIME),
	FIELD(struct latency, p99_ns, TIME), FIELD(struct latency, p99_9_ns, TIME),
	FIELD(struct latency, max_ns, TIME), {0},
};

struct report {
	const char *address, *name;
	const char *op, *pattern, *mode;
	uint64_t read_percent, block_size, depth, queues, range_offset, range_length, seed;
	uint64_t time_ns;
	bool interrupted;
	uint64_t ios, errors, resets, resizes;
	uint64_t iops, throughput_bytes_per_s, cpu_per_io_ns;
	struct list latency;

	struct latency latency_of[2];
};

static const struct field report_fields[] = {
	FIELD(struct report, address, STRING, .json_only = true),
	FIELD(struct report, name, STRING),
	FIELD(struct report, op, STRING),
	FIELD(struct report, read_percent, NUMBER, .json_only = true),
	FIELD(struct report, pattern, STRING),
	FIELD(struct report, mode, STRING),
	FIELD(struct report, block_size, NUMBER),
	FIELD(struct report, depth, NUMBER),
	FIELD(struct report, queues, NUMBER),
	FIELD(struct report, range_offset, NUMBER, .json_only = true),
	FIELD(struct report, range_length, NUMBER, .json_only = true),
	FIELD(struct report, seed, NUMBER, .json_only = true),
	FIELD(struct report, time_ns, TIME),
	FIELD(struct report, interrupted, BOOL),
	FIELD(struct report, ios, NUMBER),
	FIELD(struct report, errors, NUMBER),
	FIELD(struct report, resets, NUMBER, .json_only = true),
	FIELD(struct report, resizes, NUMBER, .json_only = true),
	FIELD(struct report, iops, NUMBER),
	FIELD(struct report, throughput_bytes_per_s, RATE),
	FIELD(struct report, cpu_per_io_ns, TIME),
	FIELD(struct report, latency, LIST, .fields = latency_fields,
	      .stride = sizeof(struct latency)),
	{0},
};

/* ---- what is asked for ---- */

/* Which of @names the option says; the first one without it. */
static int choose(const struct args *args, const char *option, const char *const *names,
		  unsigned *out)
{
	const char *text = args_value(args, option);
	char list[128] = "";

	*out = 0;
	if (!text)
		return 0;
	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(names[i], text)) {
			*out = i;
			return 0;
		}
		if (i)
			strcat(list, names[i + 1] ? ", " : " or ");
		strcat(list, names[i]);
	}
	return r3_error_set(EINVAL, "bench: --%s '%s' is unknown: use %s", option, text, list);
}

/* The value of an option in units, by the grammar of addresses. */
static int value_of(const struct args *args, const char *option,
		    int (*parse)(const struct r3_params *params, const char *key, uint64_t min,
				 uint64_t max, uint64_t *out),
		    uint64_t min, uint64_t max, uint64_t *out)
{
	const struct r3_param param = {.key = option, .value = args_value(args, option)};
	const struct r3_params params = {.head = "bench", .param = &param, .nparam = 1};

	return param.value ? parse(&params, option, min, max, out) : 0;
}

/* OFFSET:LENGTH */
static int parse_range(const struct args *args, uint64_t *first, uint64_t *len)
{
	const char *text = args_value(args, "range"), *colon = text ? strchr(text, ':') : NULL;
	struct r3_param param[2] = {{.key = "offset"}, {.key = "length"}};
	const struct r3_params params = {.head = "bench: --range", .param = param, .nparam = 2};
	char *offset;
	int rc;

	if (!text)
		return 0;
	if (!colon)
		return r3_error_set(EINVAL,
				    "bench: --range '%s' has no colon: use OFFSET:LENGTH as in "
				    "1G:512M",
				    text);
	offset = strndup(text, (size_t)(colon - text));
	if (!offset)
		return r3_error_set(ENOMEM, "bench: out of memory");
	param[0].value = offset;
	param[1].value = colon + 1;
	rc = r3_params_size(&params, "offset", 0, INT64_MAX, first);
	if (rc == 0)
		rc = r3_params_size(&params, "length", 1, INT64_MAX, len);
	free(offset);
	return rc;
}

/* read, write, mixed, and how much of it reads. */
static int parse_op(const struct args *args, struct plan *plan)
{
	static const char *const ops[] = {"read", "write", "mixed", NULL};
	uint64_t percent = 70;
	unsigned op;
	int rc = choose(args, "op", ops, &op);

	if (rc == 0)
		rc = args_number(args, "read-percent", 1, 99, &percent);
	if (rc < 0)
		return rc;
	if (args_has(args, "read-percent") && op != 2)
		return r3_error_set(EINVAL, "bench: --read-percent is of --op mixed: add that");
	plan->op = ops[op];
	plan->writes = op > 0;
	plan->load.read_percent = op == 0 ? 100 : op == 1 ? 0 : (unsigned)percent;
	if (plan->writes && !args_has(args, "destroy"))
		return r3_error_set(
			EINVAL,
			"bench: --op %s overwrites what is on the device: add --destroy "
			"if nobody needs it",
			plan->op);
	return 0;
}

static int parse(const struct args *args, struct plan *plan)
{
	static const char *const patterns[] = {"rand", "seq", NULL};
	uint64_t size = 4096, depth = 32, queues = 1, seed = 1, nsid = 0;
	const char *mode = args_value(args, "mode");
	unsigned pattern = 0;
	int rc;

	*plan = (struct plan){.address = args->word[0], .whole = !args_has(args, "range")};
	plan->load.mode = R3_BLKQ_ADAPTIVE;
	plan->watch.time_ns = 10 * R3_NSEC_PER_SEC;
	plan->watch.warmup_ns = R3_NSEC_PER_SEC;
	rc = parse_op(args, plan);
	if (rc == 0)
		rc = choose(args, "pattern", patterns, &pattern);
	if (rc == 0 && mode)
		rc = r3_blkq_mode_parse(mode, &plan->load.mode);
	if (rc == 0)
		rc = value_of(args, "size", r3_params_size, 512, UINT32_MAX, &size);
	if (rc == 0)
		rc = args_number(args, "depth", 1, DEPTH_MAX, &depth);
	if (rc == 0)
		rc = args_number(args, "queues", 1, QUEUES_MAX, &queues);
	if (rc == 0)
		rc = value_of(args, "time", r3_params_time, R3_NSEC_PER_MSEC, TIME_MAX,
			      &plan->watch.time_ns);
	if (rc == 0)
		rc = value_of(args, "warmup", r3_params_time, 0, TIME_MAX, &plan->watch.warmup_ns);
	if (rc == 0)
		rc = args_number(args, "namespace", 1, UINT32_MAX - 1, &nsid);
	if (rc == 0)
		rc = args_number(args, "seed", 0, UINT64_MAX, &seed);
	if (rc == 0)
		rc = parse_range(args, &plan->load.first, &plan->load.len);
	if (rc == 0 && size * depth * queues > MEMORY_MAX)
		rc = r3_error_set(
			EINVAL,
			"bench: the requests need %llu bytes, more than %llu: use less of "
			"--size, --depth or --queues",
			(unsigned long long)(size * depth * queues),
			(unsigned long long)MEMORY_MAX);
	plan->pattern = patterns[pattern];
	plan->load.sequential = pattern == 1;
	plan->load.block_size = plan->watch.block_size = (uint32_t)size;
	plan->load.depth = (unsigned)depth;
	plan->load.queues = (unsigned)queues;
	plan->load.seed = seed;
	plan->nsid = (uint32_t)nsid;
	return rc;
}

/* ---- what the device allows ---- */

static int check_range(const struct r3_block_limits *limits, const char *name, struct plan *plan)
{
	struct load_opts *load = &plan->load;

	if (plan->whole)
		load->len = limits->size;
	if (load->first > limits->size || load->len > limits->size - load->first)
		return r3_error_set(EINVAL, "%s: --range ends beyond it: it has %llu bytes", name,
				    (unsigned long long)limits->size);
	if (load->first % limits->block_size)
		return r3_error_set(EINVAL, "%s: --range begins within a block: they have %u bytes",
				    name, limits->block_size);
	if (load->len / load->block_size < load->queues)
		return r3_error_set(
			EINVAL,
			"%s: %s for %llu requests of %u bytes, and each queue needs one: "
			"use less --size%s or fewer --queues",
			name, plan->whole ? "it has room" : "--range has room",
			(unsigned long long)(load->len / load->block_size), load->block_size,
			plan->whole ? "" : ", a longer --range");
	return 0;
}

static int check_limits(const struct r3_block *block, struct plan *plan)
{
	const struct r3_block_limits *limits = r3_block_get_limits(block);
	const char *name = r3_block_name(block);
	const struct load_opts *load = &plan->load;

	if (plan->writes && limits->features & R3_BLOCK_READ_ONLY)
		return r3_error_set(EROFS, "%s: cannot be written: leave out --op %s", name,
				    plan->op);
	if (load->block_size % limits->block_size)
		return r3_error_set(EINVAL, "%s: --size %u is no multiple of its block size, %u",
				    name, load->block_size, limits->block_size);
	if (load->block_size > limits->max_len)
		return r3_error_set(EINVAL, "%s: --size %u is above its limit, %llu", name,
				    load->block_size, (unsigned long long)limits->max_len);
	if (load->depth > limits->max_depth)
		return r3_error_set(EINVAL, "%s: --depth %u is above its limit, %u", name,
				    load->depth, limits->max_depth);
	if (load->queues > limits->max_queues)
		return r3_error_set(EINVAL, "%s: --queues %u is above its limit, %u", name,
				    load->queues, limits->max_queues);
	return check_range(limits, name, plan);
}

/* ---- what it took ---- */

static struct latency latency_of(const char *op, const struct histogram *histogram)
{
	return (struct latency){
		.op = op,
		.count = histogram->n,
		.min_ns = histogram->min,
		.mean_ns = histogram->n ? histogram->sum / histogram->n : 0,
		.p50_ns = histogram_percentile(histogram, 50),
		.p90_ns = histogram_percentile(histogram, 90),
		.p99_ns = histogram_percentile(histogram, 99),
		.p99_9_ns = histogram_percentile(histogram, 99.9),
		.max_ns = histogram->max,
	};
}

static void describe(const struct plan *plan, const struct r3_block *block,
		     const struct load_result *load, const struct watch_result *watch,
		     struct report *report)
{
	const struct load_opts *opts = &plan->load;
	uint64_t ios = load->latency[0].n + load->latency[1].n;
	double seconds = (double)load->ns / 1e9;
	double iops = load->ns ? (double)ios / seconds : 0;

	*report = (struct report){
		.address = plan->address,
		.name = r3_block_name(block),
		.op = plan->op,
		.pattern = plan->pattern,
		.mode = r3_blkq_mode_name(opts->mode),
		.read_percent = opts->read_percent,
		.block_size = opts->block_size,
		.depth = opts->depth,
		.queues = opts->queues,
		.range_offset = opts->first,
		.range_length = opts->len,
		.seed = opts->seed,
		.time_ns = load->ns,
		.interrupted = watch->interrupted,
		.ios = ios,
		.errors = load->errors,
		.resets = watch->resets,
		.resizes = watch->resizes,
		.iops = (uint64_t)iops,
		.throughput_bytes_per_s = (uint64_t)(iops * opts->block_size),
		.cpu_per_io_ns = ios ? load->cpu_ns / ios : 0,
	};
	for (unsigned op = R3_BLK_READ; op <= R3_BLK_WRITE; op++) {
		if (op == R3_BLK_READ ? opts->read_percent > 0 : plan->writes)
			report->latency_of[report->latency.n++] =
				latency_of(r3_blk_op_name(op), &load->latency[op]);
	}
	report->latency.item = report->latency_of;
}

static int measure(const struct args *args, struct plan *plan, struct r3_block *block)
{
	struct load_result *result = calloc(1, sizeof(*result));
	struct watch_result watched = {0};
	struct load *load = NULL;
	struct report report;
	int rc;

	if (!result)
		return r3_error_set(ENOMEM, "bench: out of memory");
	rc = load_open(block, &plan->load, &load);
	if (rc == 0)
		rc = watch_load(block, load, &plan->watch, &watched);
	if (rc < 0)
		goto out;
	load_result(load, result);
	describe(plan, block, result, &watched, &report);
	rc = output_object(args->format, "bench", report_fields, &report);
	if (rc == 0 && result->error)
		rc = r3_error_set(EIO, "%s: %llu requests failed; the first: %s",
				  r3_block_name(block), (unsigned long long)result->errors,
				  result->error_text);
out:
	load_close(load);
	free(result);
	return rc;
}

static int bench_run(const struct args *args)
{
	struct r3_block_opts opts = {.size = sizeof(opts)};
	struct r3_block *block = NULL;
	struct plan plan;
	int claim = -1;
	int rc = parse(args, &plan);

	if (rc == 0)
		rc = in_use_claim(plan.address, plan.writes, &claim);
	if (rc < 0)
		return rc;
	opts.driver = args_value(args, "driver");
	opts.nsid = plan.nsid;
	opts.read_only = !plan.writes;
	rc = r3_block_open(plan.address, &opts, &block);
	if (rc == 0)
		rc = check_limits(block, &plan);
	if (rc == 0)
		rc = measure(args, &plan, block);
	r3_block_close(block);
	if (claim >= 0)
		close(claim);
	return rc;
}

static const struct command_option options[] = {
	{"op", 0, "OP", "read (the default), write or mixed"},
	{"destroy", 0, NULL, "allow to overwrite what is on the device"},
	{"read-percent", 0, "N", "of --op mixed (70)"},
	{"pattern", 0, "PATTERN", "rand (the default), or seq: each queue in a part of its own"},
	{"size", 0, "BYTES", "of a request, as in 64K (4K)"},
	{"depth", 0, "N", "requests in flight in each queue (32)"},
	{"queues", 0, "N", "queues, each with a thread (1)"},
	{"mode", 0, "MODE", "how to wait: interrupt, poll or adaptive (the default)"},
	{"time", 0, "TIME", "to measure, as in 500ms (10s)"},
	{"warmup", 0, "TIME", "before that (1s)"},
	{"range", 0, "OFFSET:LENGTH", "where, as in 1G:512M; without it everywhere"},
	{"seed", 0, "N", "of the random numbers (1)"},
	{"driver", 0, "NAME", "use this driver, not the one that matches best"},
	{"namespace", 0, "N", "which namespace; without it the first"},
	{0},
};

static const struct command_example examples[] = {
	{"ring3 bench qemu:nvme,null,size=1G --time 5s", "random reads of an NVMe controller"},
	{"ring3 bench file:disk.img --op write --destroy --pattern seq --size 1M --depth 4",
	 "overwrite an image from its beginning to its end, again and again"},
	{0},
};

const struct command command_bench = {
	.name = "bench",
	.summary = "measure how fast a block device is",
	.usage = "ADDRESS",
	.min_words = 1,
	.max_words = 1,
	.description =
		"Keeps so many requests in flight for so long, and prints their rate, the times "
		"they took and the CPU time spent on each. Reads only, unless --op says otherwise, "
		"which needs --destroy, and is refused where somebody uses the target. An "
		"interrupt ends it early; what was measured until then is printed.",
	.options = options,
	.examples = examples,
	.run = bench_run,
};
