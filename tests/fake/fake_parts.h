/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the fake device. */
#ifndef FAKE_PARTS_H
#define FAKE_PARTS_H

#include "fake/fake_device.h"

/** Configuration space as after power-on, but for the BARs. */
void fake_config_init(struct fake_device *fake);
/** Write @n bytes of it, as far as they can be written. */
void fake_config_write(struct fake_device *fake, uint64_t off, unsigned n, uint64_t value);

#endif
