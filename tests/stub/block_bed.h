/* SPDX-License-Identifier: BSD-2-Clause */
/* A block device on a stub, with a clock that only sleeps: what the unit tests of all
 * block drivers do with it. */
#ifndef STUB_BLOCK_BED_H
#define STUB_BLOCK_BED_H

#include "unit.h"

#include "fake/fake_clock.h"
#include "fake/fake_device.h"

#include <errno.h>
#include <poll.h>
#include <ring3/driver.h>
#include <string.h>

#define BED_TIMEOUT R3_NSEC_PER_SEC

struct bed {
	struct fake_clock clock;
	struct nvme_stub *stub; /* one of the two */
	struct virtio_stub *virtio;
	struct fake_remains remains;
	struct r3_block *block;
	struct r3_blkq *queue;
	unsigned char *mem; /* 1 MiB that the device reaches */
	struct r3_blk_req req;
	struct r3_sg sg;
};

/** Attach a driver. On failure the device is closed, and the stub gone. */
static inline int bed_attach_to(struct bed *bed, struct r3_device *dev,
				const struct r3_driver_v1 *driver, uint32_t nsid)
{
	const struct r3_block_opts opts = {
		.size = sizeof(opts), .nsid = nsid, .timeout_ns = BED_TIMEOUT};
	int rc = driver->attach_block(dev, &opts, &bed->block);

	if (rc < 0)
		r3_device_close(dev);
	return rc;
}

/** A queue, and memory, of the block that is attached. */
static inline void bed_furnish(struct bed *bed)
{
	const struct r3_blkq_opts queue = {.size = sizeof(queue), .depth = 0};
	void *mem;

	assert_int_equal(r3_blkq_open(bed->block, &queue, &bed->queue), 0);
	assert_int_equal(r3_block_alloc(bed->block, 1 << 20, &mem), 0);
	bed->mem = mem;
}

static inline void bed_close(struct bed *bed)
{
	r3_blkq_close(bed->queue);
	r3_block_free(bed->block, bed->mem);
	r3_block_close(bed->block);
	assert_true(bed->remains.closed);
	assert_int_equal(bed->remains.irqs, 0);
}

/** Let time pass as a program does that dispatches when it should. Returns the types of
 *  the events that came, a bit for each. */
static inline unsigned bed_pass(struct bed *bed, uint64_t ns)
{
	struct r3_block_event event[8];
	unsigned seen = 0;

	for (uint64_t end = bed->clock.now + ns; bed->clock.now < end;) {
		int n;

		bed->clock.now += BED_TIMEOUT / 8; /* a tick */
		n = r3_block_dispatch(bed->block, event, 8);
		assert_true(n >= 0);
		while (n--)
			seen |= 1u << event[n].type;
	}
	return seen;
}

static inline int bed_do(struct bed *bed, enum r3_blk_op op, uint64_t off, void *buf, uint64_t len)
{
	return r3_blkq_do(bed->queue, op, 0, off, buf, len, 20 * R3_NSEC_PER_SEC);
}

/** Submit and start bed->req, on the bed's memory at @off. */
static inline void bed_start(struct bed *bed, enum r3_blk_op op, uint64_t off, uint64_t len)
{
	struct r3_blk_req *req = &bed->req;

	bed->sg = (struct r3_sg){bed->mem + off, len};
	*req = (struct r3_blk_req){
		.op = (uint8_t)op, .off = off, .len = len, .sg = &bed->sg, .nsg = 1};
	assert_int_equal(r3_blkq_submit(bed->queue, &req, 1), 1);
	assert_int_equal(r3_blkq_kick(bed->queue), 0);
}

static inline bool bed_readable(const struct bed *bed)
{
	struct pollfd pfd = {.fd = r3_blkq_fd(bed->queue), .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

/** Expect that bed->req, and nothing else, has completed with @err. */
static inline void bed_reap(struct bed *bed, int err)
{
	struct r3_blk_req *reqs[2];

	assert_int_equal(r3_blkq_reap(bed->queue, reqs, 2), 1);
	assert_ptr_equal(reqs[0], &bed->req);
	assert_int_equal(bed->req.err, err);
	assert_int_equal(r3_blkq_inflight(bed->queue), 0);
}

#endif
