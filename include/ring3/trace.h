/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace filter writes down what passes between a driver and its device: register
 * accesses by name, interrupts being set up and masked, DMA being mapped, resets, events.
 * It is put in front of a device by its address:
 *
 *      trace,ring=1M,file=PATH,format=json+qemu:nvme
 *
 * It remembers in a ring in memory, formats nothing until it is asked to, and so can stay
 * on. The calls below may come from any thread while the device is open and in use.
 */
#ifndef RING3_TRACE_H
#define RING3_TRACE_H

#include <ring3/api.h>

R3_BEGIN

struct r3_device;

enum r3_trace_format {
	R3_TRACE_TEXT, /* a line for people */
	R3_TRACE_JSON, /* an object in each line */
};

/** Write what the ring of @dev's trace filter (the one nearest the driver) holds now to
 *  @fd, oldest first. Nothing is taken out of the ring. A line tells how many records
 *  were lost where some were.
 *  Errors: ENOENT no trace filter is in front of the device; those of write(2). */
R3_API int r3_trace_dump(struct r3_device *dev, int fd, enum r3_trace_format format);

/** Write what has come since the last time to the filter's own file. That is done without
 *  asking when the device is closed.
 *  Errors: ENOENT as above, or the filter has no file=; those of write(2): what was
 *  not written then is lost. */
R3_API int r3_trace_flush(struct r3_device *dev);

R3_END
#endif
