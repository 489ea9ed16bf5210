/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver and the names of its registers, for the tables. */
#ifndef NVME_DRIVER_H
#define NVME_DRIVER_H

#include "bus/regs.h"

#include <ring3/driver.h>

extern const struct r3_driver_v1 r3_driver_nvme;
extern const struct r3_reg_set r3_nvme_regs; /* regs.c */

#endif
