/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filters: a device in front of another one. A filter copies r3_filter_ops, replaces
 * the operations it is about, and embeds struct r3_device first, as a carrier does.
 * Everything that it leaves alone is forwarded.
 *
 * A filter sees every access, so no region of it is mapped: each access becomes a call,
 * and a message where the lower device is not mapped either. DMA and eventfds pass by.
 */
#ifndef R3_BUS_FILTER_H
#define R3_BUS_FILTER_H

#include "bus/ops.h"

/** Forwards everything; close() closes the lower device and frees the filter. */
extern const struct r3_bus_ops r3_filter_ops;

/** Fill the base part from @lower: its caps, counts, clock, name. */
void r3_filter_init(struct r3_device *filter, const struct r3_bus_ops *ops,
		    struct r3_device *lower);

extern const struct r3_filter r3_filter_delay; /* delay.c */
extern const struct r3_filter r3_filter_trace; /* trace.c */

#endif
