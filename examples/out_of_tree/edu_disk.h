/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver, for programs that link it. */
#ifndef EDU_DISK_H
#define EDU_DISK_H

#include <ring3/ring3.h>

extern const struct r3_driver_v1 edu_disk;

#endif
