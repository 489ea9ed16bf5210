/* SPDX-License-Identifier: BSD-2-Clause */
/* The schemes "qemu:" and "qtest:", and the names of edu's registers, for the lists in all.c. */
#ifndef RING3_BACKEND_QEMU_BACKEND_H
#define RING3_BACKEND_QEMU_BACKEND_H

#include "bus/ops.h"
#include "bus/regs.h"

extern const struct r3_backend r3_qemu_backend;
extern const struct r3_backend r3_qtest_backend;
extern const struct r3_reg_set r3_edu_regs;

#endif
