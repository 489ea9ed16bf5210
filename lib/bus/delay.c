/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `delay` filter: register accesses take longer, as on a slow or distant bus.
 *
 *      delay,read=5us,write=1us+SCHEME:REST
 *
 * Each item of an access costs its delay on the device's clock, and the call that every
 * filter costs. Short delays are spun, longer ones slept, so they are a lower bound.
 * Interrupts and DMA keep their speed.
 */
#include "bus/filter.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdlib.h>

#define MOST (100 * R3_NSEC_PER_MSEC) /* per item */

struct delay {
	struct r3_device base;
	struct r3_bus_ops ops;
	uint64_t read_ns, write_ns;
};

static int delay_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		    uint32_t count, unsigned flags)
{
	struct delay *delay = (struct delay *)dev;
	uint64_t each = flags & R3_RW_WRITE ? delay->write_ns : delay->read_ns, all;

	if (each) {
		if (__builtin_mul_overflow(each, count, &all))
			all = UINT64_MAX;

		const struct r3_wait wait = r3_wait_begin(dev->clock, all);
		for (uint64_t left = all; left; left = r3_wait_left(&wait))
			r3_clock_sleep(dev->clock, left);
	}
	return r3_filter_ops.rw(dev, index, off, data, width, count, flags);
}

static int delay_wrap(struct r3_device *lower, const struct r3_params *params,
		      struct r3_device **out)
{
	static const char *const known[] = {"read", "write", NULL};
	struct delay *delay;
	int rc;

	rc = r3_params_check(params, "delay", known);
	if (rc)
		return rc;
	delay = calloc(1, sizeof(*delay));
	if (!delay)
		return r3_error_set(ENOMEM, "delay: out of memory");
	rc = r3_params_time(params, "read", 0, MOST, &delay->read_ns);
	if (!rc)
		rc = r3_params_time(params, "write", 0, MOST, &delay->write_ns);
	if (rc) {
		free(delay);
		return rc;
	}
	delay->ops = r3_filter_ops;
	delay->ops.rw = delay_rw;
	r3_filter_init(&delay->base, &delay->ops, lower);
	*out = &delay->base;
	return 0;
}

const struct r3_filter r3_filter_delay = {
	.name = "delay",
	.summary = "slows register accesses down: delay,read=5us,write=1us",
	.wrap = delay_wrap,
};
