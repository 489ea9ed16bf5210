/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver, for the table of drivers. */
#ifndef NVME_DRIVER_H
#define NVME_DRIVER_H

#include <ring3/driver.h>

extern const struct r3_driver_v1 r3_driver_nvme;

#endif
