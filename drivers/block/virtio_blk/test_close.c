/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues that are closed while the device has their requests. It is reset for it, which
 * must not be left out, and which must not harm the requests of other queues.
 */
#include "unit.h"

#include "class/ctrl.h"
#include "driver.h"
#include "fake/fake_clock.h"
#include "stub/virtio_stub.h"

#include <ring3/error.h>
#include <string.h>

#define QUEUES 6
#define BLOCK  4096u

struct bed {
	struct fake_clock clock;
	struct virtio_stub *stub;
	struct r3_block *block;
	struct r3_blkq *queue[QUEUES];
	unsigned char *mem; /* a block for each queue */
	struct r3_blk_req req[QUEUES];
	struct r3_sg sg[QUEUES];
	struct r3_gate *inside; /* a thread is in there, and leaves when time passes */
	uint64_t leaves;
};

static void sleep_and_leave(struct r3_clock *clock, uint64_t ns)
{
	struct bed *bed = (struct bed *)clock;

	bed->clock.now += ns;
	if (bed->inside && bed->clock.now >= bed->leaves) {
		r3_gate_leave(bed->inside);
		bed->inside = NULL;
	}
}

static bool hold(struct virtio_stub *stub, const struct virtio_stub_buf *buf)
{
	return false;
}

static const struct virtio_stub_hooks holds = {.fetch = hold};

static void bed_open(struct bed *bed, bool packed)
{
	const struct virtio_stub_opts stub = {
		.features =
			VIRTIO_STUB_FEATURES | (packed ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0),
		.vectors = 16,
		.strict = true,
	};
	const struct r3_block_opts opts = {.size = sizeof(opts), .timeout_ns = R3_NSEC_PER_SEC};
	void *mem;

	*bed = (struct bed){.clock = fake_clock(R3_NSEC_PER_SEC)};
	bed->clock.base.sleep = sleep_and_leave;
	bed->stub = virtio_stub_new(&stub, &bed->clock.base);
	assert_int_equal(r3_driver_virtio_blk.attach_block(virtio_stub_device(bed->stub), &opts,
							   &bed->block),
			 0);
	for (unsigned i = 0; i < QUEUES; i++)
		assert_int_equal(r3_blkq_open(bed->block, NULL, &bed->queue[i]), 0);
	assert_int_equal(r3_block_alloc(bed->block, (size_t)QUEUES * BLOCK, &mem), 0);
	bed->mem = mem;
	bed->stub->hooks = &holds;
}

static void bed_close(struct bed *bed)
{
	bed->stub->hooks = NULL;
	for (unsigned i = 0; i < QUEUES; i++)
		r3_blkq_close(bed->queue[i]);
	r3_block_free(bed->block, bed->mem);
	r3_block_close(bed->block);
}

static void start(struct bed *bed, unsigned queue)
{
	struct r3_blk_req *req = &bed->req[queue];

	bed->sg[queue] = (struct r3_sg){bed->mem + (size_t)queue * BLOCK, BLOCK};
	*req = (struct r3_blk_req){
		.op = R3_BLK_READ, .len = BLOCK, .nsg = 1, .sg = &bed->sg[queue], .err = 1};
	assert_int_equal(r3_blkq_submit(bed->queue[queue], &req, 1), 1);
	assert_int_equal(r3_blkq_kick(bed->queue[queue]), 0);
}

static void close_queue(struct bed *bed, unsigned queue)
{
	r3_blkq_close(bed->queue[queue]);
	bed->queue[queue] = NULL;
}

/* A program that ends closes one queue after the other; whatever the last one still waits
 * for goes through a reset for each of the others. */
static void test_others_survive(void **state)
{
	struct r3_blk_req *done;
	struct bed bed;

	for (unsigned packed = 0; packed < 2; packed++) {
		bed_open(&bed, packed);
		for (unsigned i = 0; i < QUEUES; i++)
			start(&bed, i);
		for (unsigned i = 1; i < QUEUES; i++) {
			close_queue(&bed, i);
			assert_int_equal(bed.req[i].err, -ECANCELED);
			assert_int_equal(virtio_stub_held(bed.stub), QUEUES - i);
		}
		assert_int_equal(r3_blkq_reap(bed.queue[0], &done, 1), 0);
		virtio_stub_release(bed.stub, 0);
		assert_int_equal(r3_blkq_reap(bed.queue[0], &done, 1), 1);
		assert_int_equal(done->err, 0);
		bed_close(&bed);
	}
}

/* A broken ring does not count any more what is in flight. */
static void test_broken_ring(void **state)
{
	struct r3_blk_req *done;
	struct bed bed;

	for (unsigned packed = 0; packed < 2; packed++) {
		bed_open(&bed, packed);
		start(&bed, 0);
		assert_int_equal(virtio_stub_held(bed.stub), 1);
		virtio_stub_post(bed.stub, 0, (struct virtio_stub_used){.id = 9999, .copies = 1});
		assert_int_equal(r3_blkq_reap(bed.queue[0], &done, 1), 0);
		assert_non_null(strstr(r3_error_text(), "9999"));
		close_queue(&bed, 0);
		assert_int_equal(bed.req[0].err, -ECANCELED);
		/* the device has nothing of it any more, or it would write into that memory */
		assert_int_equal(virtio_stub_held(bed.stub), 0);
		bed_close(&bed);
	}
}

/* On a busy host a thread may be away for long between two instructions. */
static void test_slow_neighbour(void **state)
{
	struct r3_blk_req *done;
	struct bed bed;

	bed_open(&bed, false);
	start(&bed, 0);
	start(&bed, 1);
	bed.inside = &((struct r3_hwq *)bed.queue[0])->gate;
	bed.leaves = bed.clock.now + R3_NSEC_PER_SEC;
	assert_true(r3_gate_enter(bed.inside));
	close_queue(&bed, 1);
	assert_null(bed.inside);
	virtio_stub_release(bed.stub, 0);
	assert_int_equal(r3_blkq_reap(bed.queue[0], &done, 1), 1);
	assert_int_equal(done->err, 0);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_survive),
		cmocka_unit_test(test_broken_ring),
		cmocka_unit_test(test_slow_neighbour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
