/* SPDX-License-Identifier: BSD-2-Clause */
/* What a run prints: where it serves, and, where it is isolated, who serves and how well each
 * is shut in. */
#ifndef TOOLS_RING3_ISOLATE_REPORT_H
#define TOOLS_RING3_ISOLATE_REPORT_H

#include "output.h"
#include "session.h"

/** Print it. Errors: those of output_object(). */
int report_run(const struct session *s, enum output_format format);

/** Warn of what isolation lacks, in one line of the log; nothing where it lacks nothing. */
void report_missing(const struct session *s);

#endif
