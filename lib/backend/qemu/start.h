/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting a QEMU of our own. */
#ifndef RING3_BACKEND_QEMU_START_H
#define RING3_BACKEND_QEMU_START_H

#include "backend/qemu/options.h"

struct r3_qemu;

/** Start QEMU with the device: q's process, link, qmp, RAM and doorbell are there when 0 is
 *  returned; otherwise r3_qemu_destroy() frees what is.
 *  Errors: ENODEV no QEMU, or it has no such device; EINVAL it refuses a property; ENOENT,
 *  EACCES, EROFS the image; EBUSY it is in use; ETIMEDOUT. */
int r3_qemu_start(struct r3_qemu *q, const struct r3_qemu_options *options);

#endif
