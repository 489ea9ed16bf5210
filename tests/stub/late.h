/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fake device that takes its time, as all real ones do: what it is told is posted to a
 * thread of its own, which does it later, and pauses at random before each register,
 * between a completion and the look whether to interrupt, and before the interrupt.
 * Reads wait for all writes before them.
 */
#ifndef RING3_TESTS_LATE_H
#define RING3_TESTS_LATE_H

#include "fake/fake_device.h"

/** Begin, with a fake device that is open. One at a time. */
void late_begin(struct r3_device *dev, uint64_t random);

/** Have done all that was posted, and be prompt again. Before the device is closed. */
void late_end(void);

/** Let some time pass, or none. */
void late_pause(uint64_t *random);

#endif
