/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING3_VIRTIO_REGS_H
#define RING3_VIRTIO_REGS_H

#include "bus/regs.h"

/** The common configuration, notifications, interrupt status; the device configuration
 *  by its words, for it differs from type to type. */
extern const struct r3_reg_set r3_virtio_regs;

#endif
