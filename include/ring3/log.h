/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log. The library never prints. A program that wants to hear what the library
 * and its drivers notice installs one sink for the process.
 */
#ifndef RING3_LOG_H
#define RING3_LOG_H

#include <ring3/api.h>

R3_BEGIN

enum r3_log_level {
	R3_LOG_NONE,
	R3_LOG_ERROR, /* something is lost or refused */
	R3_LOG_WARN,  /* something is wrong and was survived */
	R3_LOG_INFO,  /* life of a device: found, attached, reset, gone */
	R3_LOG_DEBUG, /* for the developer of a driver or a backend */
};

/** A sink. @text is one line without a newline and is valid during the call only.
 *  May be called from any thread that uses the library; must not call the library. */
typedef void r3_log_fn(void *ctx, enum r3_log_level level, const char *text);

/** Install @fn for messages at @level and more serious ones; NULL turns the log
 *  off. Not to be called while other threads use the library. */
R3_API void r3_log_sink(enum r3_log_level level, r3_log_fn *fn, void *ctx);

/** Say something. Costs one comparison when nobody listens at @level. */
R3_API void r3_log(enum r3_log_level level, const char *fmt, ...) R3_PRINTF(2, 3);

R3_END
#endif
