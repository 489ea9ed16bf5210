/* SPDX-License-Identifier: BSD-2-Clause */
/* The trace of a device on standard error, whose reader may take its time, or never come:
 * the reactor makes the text, a thread writes it. */
#ifndef RING3_NBD_PRINTER_H
#define RING3_NBD_PRINTER_H

struct r3_device;

/** Print what @dev's trace holds now. Errors: those of r3_trace_dump(); EBUSY the last one is
 *  not printed yet. Reactor's thread. */
int printer_start(struct r3_device *dev);

/** Wait until it is printed, or @timeout_ms are over and nobody seems to read. */
void printer_end(unsigned timeout_ms);

#endif
