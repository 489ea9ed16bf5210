/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the qemu backend share: a device opened, its registers, its events. */
#ifndef RING3_TESTS_QEMU_TEST_H
#define RING3_TESTS_QEMU_TEST_H

#include "backend/qemu/control.h"
#include "unit.h"

#include <poll.h>
#include <ring3/ring3.h>
#include <string.h>

/* Long enough on any machine, and never waited for. */
#define SOON_MS 30000

static inline struct r3_device *open_device(const char *address)
{
	struct r3_device *dev;

	if (r3_device_open(address, NULL, &dev))
		fail_msg("%s: %s", address, r3_error_text());
	return dev;
}

/** It does not open, and the text says why. */
static inline void refused(const char *address, int err, const char *text)
{
	struct r3_device *dev;

	assert_int_equal(r3_device_open(address, NULL, &dev), -err);
	if (!strstr(r3_error_text(), text))
		fail_msg("%s says \"%s\", not \"%s\"", address, r3_error_text(), text);
}

static inline struct r3_region *open_region(struct r3_device *dev, unsigned index)
{
	struct r3_region *region;

	if (r3_device_region(dev, index, &region))
		fail_msg("%s", r3_error_text());
	return region;
}

static inline bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

/** Wait for the next event. */
static inline unsigned next_event(struct r3_device *dev)
{
	struct r3_event event;
	int n = 0;

	while (n == 0) {
		assert_true(readable(r3_device_fd(dev), SOON_MS));
		n = r3_device_dispatch(dev, &event, 1);
	}
	assert_int_equal(n, 1);
	return event.type;
}

/** Nothing is to be told, and the descriptor falls silent. */
static inline void no_event(struct r3_device *dev)
{
	struct r3_event event;

	for (unsigned i = 0; i < 100 && readable(r3_device_fd(dev), 0); i++)
		assert_int_equal(r3_device_dispatch(dev, &event, 1), 0);
	assert_false(readable(r3_device_fd(dev), 0));
}

#endif
