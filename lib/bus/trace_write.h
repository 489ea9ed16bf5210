/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of the trace as lines of text or JSON. */
#ifndef RING3_BUS_TRACE_WRITE_H
#define RING3_BUS_TRACE_WRITE_H

#include "bus/regs.h"
#include "bus/trace_ring.h"

#include <ring3/trace.h>

/** Lines on their way to a file. */
struct r3_trace_writer {
	int fd;
	enum r3_trace_format format;
	const char *dev;                /* the device's name */
	const struct r3_reg_map *names; /* of registers */
	int err;                        /* of the first write that failed; -errno */
	size_t n;
	char buf[8192];
};

void r3_trace_write(struct r3_trace_writer *writer, const struct r3_trace_record *record);

/** Before @next, @n records were lost; @next NULL: at the end. */
void r3_trace_write_lost(struct r3_trace_writer *writer, uint64_t n,
			 const struct r3_trace_record *next);

/** Write what is left. Returns 0, or -errno of whatever write failed; without a text. */
int r3_trace_write_end(struct r3_trace_writer *writer);

#endif
