/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver above a fuzzed device does: a step of it as the input says. */
#ifndef RING3_TESTS_FUZZ_DRIVER_H
#define RING3_TESTS_FUZZ_DRIVER_H

#include "peer.h"

#include <ring3/device.h>
#include <ring3/irq.h>

/** One access to a region, of whatever kind. */
static inline void access_region(struct r3_device *dev, struct input *in)
{
	uint8_t what = take8(in), width = (uint8_t)(1u << (what & 3));
	struct r3_region *region;
	unsigned char data[64];
	uint64_t off = what & 4 ? number(in) : take8(in) * 8u;

	if (r3_device_region(dev, (what >> 3) % 9, &region) < 0)
		return;
	memset(data, 0, sizeof(data));
	if (what & 0x80)
		r3_region_read(region, off, width, data, 1 + take8(in) % 8);
	else if (what & 0x40)
		r3_write32(region, off & ~3u, what);
	else
		r3_region_write(region, off, width, data, 1 + take8(in) % 8);
}

/** Enable, mask, acknowledge or disable. */
static inline void interrupts(struct r3_device *dev, struct r3_irq_set **irq, struct input *in)
{
	uint8_t what = take8(in);
	unsigned n = 1 + (what >> 3);

	if (!*irq) {
		r3_irq_enable(dev, what & 3, 1, n, irq);
		return;
	}
	if (what & 4)
		r3_irq_mask(*irq, n, what & 1);
	r3_irq_ack(*irq, 0);
	if (what & 0x80) {
		r3_irq_disable(*irq);
		*irq = NULL;
	}
}

#endif
