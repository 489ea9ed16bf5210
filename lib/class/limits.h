/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits that change while the device is in use. Dispatch writes them, and threads of
 * queues check requests against them at the same time. Each field is right by itself,
 * before and after; a request that passed by the old ones is for the device to refuse.
 * So no order between fields is needed, and on the data path a relaxed load is a load.
 */
#ifndef RING3_CLASS_LIMITS_H
#define RING3_CLASS_LIMITS_H

#include "util/kit.h"

#include <ring3/driver.h>

#define r3_limit(limits, field) __atomic_load_n(&(limits)->field, __ATOMIC_RELAXED)

/** Make @limits those of an open device. What tables and queues were made for stays: its
 *  block_size, max_sg, max_queues and max_depth are not looked at. Returns whether they
 *  are others than before. */
R3_KIT bool r3_block_change_limits(struct r3_block *block, const struct r3_block_limits *limits);

#endif
