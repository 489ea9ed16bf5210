/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the core ask of each other. */
#ifndef R3_BUS_CORE_H
#define R3_BUS_CORE_H

#include "bus/ops.h"

/** Undo what r3_device_region() and r3_device_arena() made, if anything. */
void r3_device_drop_region(struct r3_device *dev, unsigned index);
void r3_device_drop_arena(struct r3_device *dev);

/** What region @index (enum r3_region_index) is called: "bar0", "config". */
const char *r3_region_name(unsigned index);

#endif
