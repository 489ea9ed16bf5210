/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract suite: what a program may rely on, whatever carries the device. Each test
 * has the device freshly opened, and leaves no descriptor behind.
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include "bus/ops.h"
#include "unit.h"

#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/pci.h>

struct contract {
	struct r3_device *dev; /* closed by the fixture, where a test has not set it NULL */
	unsigned fds;          /* open before the device was */
	uint64_t random;
};

/** The address of this run. */
extern const char *contract_address;

/** Open contract_address; "fake:VARIANT" is made here. Fails the test if it cannot. */
struct r3_device *contract_open(void);

int contract_setup(void **state);
int contract_teardown(void **state);

#define CONTRACT_TEST(f) \
	{ \
#f, f, contract_setup, contract_teardown, NULL \
	}

/** Skip the test where the device has not all of @caps. */
static inline void contract_need(const struct contract *c, unsigned caps)
{
	if ((c->dev->info.caps & caps) != caps)
		skip();
}

#define assert_ok(call) \
	do { \
		long rc_ = (long)(call); \
		if (rc_ < 0) \
			fail_msg("%s: %ld: %s", #call, rc_, r3_error_text()); \
	} while (0)

/* What a model of a device can be asked to do, for those known (model.c). */
struct contract_model {
	/* Raise an interrupt of @vector, and take a level back, which it is on return: a
	 * write may be posted, and a read comes after it. */
	void (*raise)(struct r3_device *dev, unsigned type, unsigned vector);
	void (*lower)(struct r3_device *dev);
	/* Copy by DMA. Returns whether it said that it has finished. */
	bool (*copy)(struct r3_device *dev, uint64_t to, uint64_t from, unsigned len);
	unsigned longest; /* bytes of one copy */
};

/** NULL where nothing is known of the device. */
const struct contract_model *contract_model(struct r3_device *dev);

/* One list per chapter of the contract. */
extern const struct CMUnitTest contract_life[], contract_regions[], contract_pci[], contract_irq[],
	contract_dma[], contract_walk[];
extern const size_t contract_nlife, contract_nregions, contract_npci, contract_nirq, contract_ndma,
	contract_nwalk;

#endif
