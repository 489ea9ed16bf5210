/* SPDX-License-Identifier: BSD-2-Clause */
/* The bed of block drivers, on the stub controller. */
#ifndef NVME_TEST_BED_H
#define NVME_TEST_BED_H

#include "driver.h"
#include "stub/block_bed.h"
#include "stub/nvme_stub.h"

#include <ring3/nvme.h>

/** A stub and nothing attached to it yet. */
static inline void bed_make(struct bed *bed, const struct nvme_stub_opts *opts)
{
	*bed = (struct bed){.clock = fake_clock(R3_NSEC_PER_SEC)};
	bed->stub = nvme_stub_new(opts, &bed->clock.base);
	bed->stub->fake->remains = &bed->remains;
}

static inline int bed_attach(struct bed *bed, uint32_t nsid)
{
	return bed_attach_to(bed, nvme_stub_device(bed->stub), &r3_driver_nvme, nsid);
}

static inline void bed_open(struct bed *bed, const struct nvme_stub_opts *opts)
{
	bed_make(bed, opts);
	assert_int_equal(bed_attach(bed, 0), 0);
	bed_furnish(bed);
}

#endif
