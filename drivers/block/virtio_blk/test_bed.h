/* SPDX-License-Identifier: BSD-2-Clause */
/* The bed of block drivers, on the stub of virtio. */
#ifndef VIRTIO_BLK_TEST_BED_H
#define VIRTIO_BLK_TEST_BED_H

#include "driver.h"
#include "stub/block_bed.h"
#include "stub/virtio_stub.h"

#define PACKED VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)

/** A stub that watches for mistakes, and nothing attached to it yet. */
static inline void bed_make(struct bed *bed, uint64_t features)
{
	const struct virtio_stub_opts opts = {
		.features = VIRTIO_STUB_FEATURES ^ features, .vectors = 4, .strict = true};

	*bed = (struct bed){.clock = fake_clock(R3_NSEC_PER_SEC)};
	bed->virtio = virtio_stub_new(&opts, &bed->clock.base);
	bed->virtio->fake->remains = &bed->remains;
	bed->virtio->user = bed;
}

static inline int bed_attach(struct bed *bed)
{
	return bed_attach_to(bed, virtio_stub_device(bed->virtio), &r3_driver_virtio_blk, 0);
}

/** @features: those that are not as VIRTIO_STUB_FEATURES has them. */
static inline void bed_open(struct bed *bed, uint64_t features)
{
	bed_make(bed, features);
	assert_int_equal(bed_attach(bed), 0);
	bed_furnish(bed);
}

#endif
