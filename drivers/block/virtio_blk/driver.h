/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver, for the table of drivers. */
#ifndef VIRTIO_BLK_DRIVER_H
#define VIRTIO_BLK_DRIVER_H

#include <ring3/driver.h>

extern const struct r3_driver_v1 r3_driver_virtio_blk;

#endif
