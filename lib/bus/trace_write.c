/* SPDX-License-Identifier: BSD-2-Clause */
/* See trace_write.h. One table says what the arguments of a record are called; text and
 * JSON are both made from it. */
#include "bus/trace_write.h"
#include "bus/core.h"

#include <ring3/clock.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what the arguments are ---- */

enum shown { NOTHING, HEX, NUMBER, SIGNED, WORD, FLAGS, EVENT };

struct argument {
	const char *name;
	enum shown shown;
	const char *const *word; /* of WORD, by value; of FLAGS, by bit */
	unsigned nword;
};

static const char *const types[] = {"intx", "msi", "msix"};
static const char *const prots[] = {"read", "write"};
static const char *const directions[] = {"for_device", "for_cpu"};
static const char *const resets[] = {"any", "function", "bus"};
static const char *const proofs[] = {"dma", "media"};

#define WORDS(name, shown, words) \
	{ \
		name, shown, words, sizeof(words) / sizeof((words)[0]) \
	}
#define PLAIN(name, shown) \
	{ \
		name, shown, NULL, 0 \
	}

static const struct {
	const char *name;
	struct argument arg[3];
} ops[R3_TRACE_OPS] = {
	[R3_TRACE_READ] = {.name = "read"}, /* these three have a form of their own */
	[R3_TRACE_WRITE] = {.name = "write"},
	[R3_TRACE_WRITE_FAILED] = {.name = "write_failed"},
	[R3_TRACE_IRQ_ALLOC] = {"irq_alloc",
				{WORDS("type", WORD, types), PLAIN("vectors", NUMBER)}},
	[R3_TRACE_IRQ_BIND] = {"irq_bind",
			       {WORDS("type", WORD, types), PLAIN("vector", NUMBER),
				PLAIN("fd", SIGNED)}},
	[R3_TRACE_IRQ_MASK] = {"irq_mask", {WORDS("type", WORD, types), PLAIN("vector", NUMBER)}},
	[R3_TRACE_IRQ_UNMASK] = {"irq_unmask",
				 {WORDS("type", WORD, types), PLAIN("vector", NUMBER)}},
	[R3_TRACE_IRQ_TAKEN] = {"irq",
				{WORDS("type", WORD, types), PLAIN("vector", NUMBER),
				 PLAIN("count", NUMBER)}},
	[R3_TRACE_DMA_MEMORY] = {"dma_memory", {PLAIN("len", NUMBER)}},
	[R3_TRACE_DMA_MAP] = {"dma_map",
			      {PLAIN("iova", HEX), PLAIN("len", NUMBER),
			       WORDS("prot", FLAGS, prots)}},
	[R3_TRACE_DMA_UNMAP] = {"dma_unmap", {PLAIN("iova", HEX), PLAIN("len", NUMBER)}},
	[R3_TRACE_DMA_SYNC] = {"dma_sync",
			       {PLAIN("iova", HEX), PLAIN("len", NUMBER),
				WORDS("direction", WORD, directions)}},
	[R3_TRACE_RESET] = {"reset", {WORDS("how", WORD, resets)}},
	[R3_TRACE_QUIESCE] = {"quiesce",
			      {WORDS("want", FLAGS, proofs), WORDS("proved", FLAGS, proofs)}},
	[R3_TRACE_EVENT] = {"event",
			    {PLAIN("event", EVENT), PLAIN("code", NUMBER), PLAIN("detail", HEX)}},
};

/* ---- a line ---- */

#define NAME_BYTES 400 /* of the device's name, escaped */

/* Longer than any: two names, and numbers. */
struct line {
	size_t n;
	char buf[1024];
};

static void add(struct line *line, const char *fmt, ...) R3_PRINTF(2, 3);

static void add(struct line *line, const char *fmt, ...)
{
	size_t room = sizeof(line->buf) - line->n;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line->buf + line->n, room, fmt, args);
	va_end(args);
	if (n > 0)
		line->n += (size_t)n < room ? (size_t)n : room - 1;
}

/* Whatever a name is made of, the line stays one line, and JSON. */
static void add_name(struct line *line, const char *name, bool json)
{
	const size_t end = line->n + NAME_BYTES;

	for (; *name && line->n < end; name++) {
		unsigned char c = (unsigned char)*name;

		if (json && (c == '"' || c == '\\'))
			add(line, "\\%c", c);
		else if (c >= 0x20 && c < 0x7f)
			add(line, "%c", c);
		else
			add(line, json ? "\\u%04x" : "\\x%02x", c);
	}
}

static void add_flags(struct line *line, const struct argument *arg, uint64_t value)
{
	const char *between = "";

	for (unsigned i = 0; i < arg->nword; i++) {
		if (value >> i & 1) {
			add(line, "%s%s", between, arg->word[i]);
			between = ",";
		}
	}
}

static void add_argument(struct line *line, const struct argument *arg, uint64_t value, bool json)
{
	const char *quote = json && arg->shown != NUMBER && arg->shown != SIGNED ? "\"" : "";

	add(line, json ? ",\"%s\":%s" : " %s=%s", arg->name, quote);
	switch (arg->shown) {
	case HEX:
		add(line, "0x%jx", (uintmax_t)value);
		break;
	case NUMBER:
		add(line, "%ju", (uintmax_t)value);
		break;
	case SIGNED:
		add(line, "%jd", (intmax_t)value);
		break;
	case WORD:
		add(line, "%s", value < arg->nword ? arg->word[value] : "unknown");
		break;
	case FLAGS:
		add_flags(line, arg, value);
		break;
	case EVENT:
		add(line, "%s", r3_event_name((unsigned)value));
		break;
	case NOTHING:
		break;
	}
	add(line, "%s", quote);
}

static void begin(struct line *line, const struct r3_trace_writer *writer, uint64_t ts_ns)
{
	bool json = writer->format == R3_TRACE_JSON;

	line->n = 0;
	if (json)
		add(line, "{\"ts_ns\":%ju,\"dev\":\"", (uintmax_t)ts_ns);
	else
		add(line, "%ju.%09ju ", (uintmax_t)(ts_ns / R3_NSEC_PER_SEC),
		    (uintmax_t)(ts_ns % R3_NSEC_PER_SEC));
	add_name(line, writer->dev, json);
	if (json)
		add(line, "\"");
}

static void write_out(struct r3_trace_writer *writer)
{
	for (size_t at = 0; at < writer->n && !writer->err;) {
		ssize_t n = write(writer->fd, writer->buf + at, writer->n - at);

		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || errno != EINTR)
			writer->err = n == 0 ? -EIO : -errno;
	}
	writer->n = 0;
}

static void end(struct line *line, struct r3_trace_writer *writer)
{
	add(line, writer->format == R3_TRACE_JSON ? "}\n" : "\n");
	if (writer->n + line->n > sizeof(writer->buf))
		write_out(writer);
	memcpy(writer->buf + writer->n, line->buf, line->n);
	writer->n += line->n;
}

/* ---- records ---- */

static void add_access(struct line *line, const struct r3_trace_writer *writer,
		       const struct r3_trace_record *record)
{
	const char *region = r3_region_name(record->region);
	uintmax_t off = record->arg[0], value = record->arg[1];
	int digits = 2 * record->width;
	char name[R3_REG_NAME_MAX];
	bool named = r3_reg_name(writer->names, record->region, off, record->width, name);

	if (writer->format == R3_TRACE_JSON) {
		add(line,
		    ",\"region\":\"%s\",\"offset\":\"0x%jx\",\"width\":%u,\"op\":\"%s\","
		    "\"value\":\"0x%0*jx\",\"reg\":",
		    region, off, record->width, ops[record->op].name, digits, value);
		add(line, named ? "\"%s\"" : "null", name);
	} else {
		add(line, " %-5s %s+0x%jx/%u 0x%0*jx%s%s", ops[record->op].name, region, off,
		    record->width, digits, value, named ? " " : "", name);
	}
}

void r3_trace_write(struct r3_trace_writer *writer, const struct r3_trace_record *record)
{
	bool json = writer->format == R3_TRACE_JSON;
	struct line line;

	begin(&line, writer, record->ts_ns);
	if (!json)
		add(&line, " [%u]", record->thread);
	if (record->op <= R3_TRACE_WRITE_FAILED) {
		add_access(&line, writer, record);
	} else {
		add(&line, json ? ",\"op\":\"%s\"" : " %s", ops[record->op].name);
		for (unsigned i = 0; i < 3 && ops[record->op].arg[i].name; i++)
			add_argument(&line, &ops[record->op].arg[i], record->arg[i], json);
	}
	if (json)
		add(&line, ",\"thread\":%u", record->thread);
	if (record->err)
		add(&line, json ? ",\"err\":%u" : " failed: errno %u", record->err);
	end(&line, writer);
}

void r3_trace_write_lost(struct r3_trace_writer *writer, uint64_t n,
			 const struct r3_trace_record *next)
{
	struct line line;

	begin(&line, writer, next ? next->ts_ns : 0);
	add(&line,
	    writer->format == R3_TRACE_JSON ? ",\"op\":\"lost\",\"records\":%ju"
					    : " lost records=%ju",
	    (uintmax_t)n);
	end(&line, writer);
}

int r3_trace_write_end(struct r3_trace_writer *writer)
{
	write_out(writer);
	return writer->err;
}
