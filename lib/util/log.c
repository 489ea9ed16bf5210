/* SPDX-License-Identifier: BSD-2-Clause */
/* One sink for the process; without one, nothing is even formatted. */
#include <ring3/log.h>

#include <stdarg.h>
#include <stdio.h>

static struct {
	enum r3_log_level level;
	r3_log_fn *fn;
	void *ctx;
} sink;

void r3_log_sink(enum r3_log_level level, r3_log_fn *fn, void *ctx)
{
	sink.level = fn ? level : R3_LOG_NONE;
	sink.fn = fn;
	sink.ctx = ctx;
}

void r3_log(enum r3_log_level level, const char *fmt, ...)
{
	if (level > sink.level || level == R3_LOG_NONE)
		return;

	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sink.fn(sink.ctx, level, text);
}
