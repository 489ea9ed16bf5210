/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes wrong, and what changes: requests that do not complete, devices that need a
 * reset or go, resizes, and writes that are to be on the medium.
 */
#include "test_bed.h"

static unsigned held_back; /* buffers that the device keeps before it serves any */

static bool fetch(struct virtio_stub *stub, const struct virtio_stub_buf *buf)
{
	if (!held_back)
		return true;
	held_back--;
	return false;
}

static const struct virtio_stub_hooks holds = {.fetch = fetch};

static void test_overdue(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct bed bed;
		unsigned starts;

		bed_open(&bed, packed ? PACKED : 0);
		starts = bed.virtio->driver_oks;
		bed.virtio->hooks = &holds;
		held_back = 1;
		bed_start(&bed, R3_BLK_READ, 0, 4096);
		assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 2), 0);
		assert_int_equal(bed.virtio->driver_oks, starts);
		assert_int_equal(bed_pass(&bed, BED_TIMEOUT), 1u << R3_BLOCK_EVENT_RESET);
		assert_int_equal(bed.virtio->driver_oks, starts + 1);
		assert_true(bed_readable(&bed));
		bed_reap(&bed, 0);
		bed_close(&bed);
	}
}

/* It goes through a few resets, then it fails; others go on. */
static void test_overdue_for_good(void **state)
{
	struct bed bed;

	bed_open(&bed, 0);
	bed.virtio->hooks = &holds;
	held_back = 3;
	bed_start(&bed, R3_BLK_WRITE, 0, 4096);
	assert_int_equal(bed_pass(&bed, 6 * BED_TIMEOUT), 1u << R3_BLOCK_EVENT_RESET);
	bed_reap(&bed, -ETIMEDOUT);
	assert_int_equal(held_back, 0);
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

static void test_needs_reset(void **state)
{
	struct bed bed;

	bed_open(&bed, 0);
	virtio_stub_needs_reset(bed.virtio);
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	assert_true(bed_pass(&bed, BED_TIMEOUT / 4) & 1u << R3_BLOCK_EVENT_RESET);
	bed_reap(&bed, 0);
	bed_close(&bed);
}

static void test_removed(void **state)
{
	struct r3_blk_req *none;
	struct bed bed;

	bed_open(&bed, 0);
	bed.virtio->hooks = &holds;
	held_back = 1;
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	fake_device_remove(bed.virtio->fake);
	assert_true(bed_pass(&bed, BED_TIMEOUT / 8) & 1u << R3_BLOCK_EVENT_GONE);
	assert_true(bed_readable(&bed));
	bed_reap(&bed, -ENODEV);
	none = &bed.req;
	assert_int_equal(r3_blkq_submit(bed.queue, &none, 1), -ENODEV);
	assert_int_equal(r3_blkq_kick(bed.queue), -ENODEV);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT), 0); /* told once */
	bed_close(&bed);
}

static void test_resize(void **state)
{
	struct r3_blk_req *req;
	struct bed bed;

	bed_open(&bed, 0);
	virtio_stub_resize(bed.virtio, 4096);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 8), 1u << R3_BLOCK_EVENT_GEOMETRY);
	assert_int_equal(r3_block_get_limits(bed.block)->size, 4096 * 512);

	/* under way, and beyond the new end when it is served */
	bed.virtio->hooks = &holds;
	held_back = 1;
	bed_start(&bed, R3_BLK_READ, 512 << 10, 4096);
	virtio_stub_resize(bed.virtio, 512);
	virtio_stub_release(bed.virtio, 0);
	bed_reap(&bed, -EIO);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 8), 1u << R3_BLOCK_EVENT_GEOMETRY);
	req = &bed.req;
	assert_int_equal(r3_blkq_submit(bed.queue, &req, 1), -EINVAL);

	/* a device of nothing is absurd, and ignored */
	virtio_stub_resize(bed.virtio, 0);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 4), 0);
	assert_int_equal(r3_block_get_limits(bed.block)->size, 512 * 512);
	bed_close(&bed);
}

/* ---- writes that are to be on the medium ---- */

static char order[8];
static unsigned nordered;

static bool note(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
		 struct virtio_stub_used *used)
{
	if (nordered < sizeof(order) - 1)
		order[nordered++] = buf->nseg > 2 ? 'd' : 'f';
	order[nordered] = 0;
	return true;
}

static void fua(struct bed *bed, enum r3_blk_op op, const char *expected)
{
	struct r3_blk_req *req = &bed->req;
	const struct virtio_stub_hooks hooks = {.complete = note};

	bed->virtio->hooks = &hooks;
	nordered = 0;
	bed->sg = (struct r3_sg){bed->mem, 4096};
	*req = (struct r3_blk_req){
		.op = (uint8_t)op, .flags = R3_BLK_FUA, .len = 4096, .sg = &bed->sg, .nsg = 1};
	assert_int_equal(r3_blkq_submit(bed->queue, &req, 1), 1);
	assert_int_equal(r3_blkq_kick(bed->queue), 0);
	while (r3_blkq_inflight(bed->queue)) {
		unsigned n = nordered;

		if (r3_blkq_reap(bed->queue, &req, 1) == 1)
			assert_int_equal(req->err, 0);
		else
			assert_true(nordered > n); /* the flush was started */
	}
	assert_string_equal(order, expected);
	bed->virtio->hooks = NULL;
}

static void test_fua(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct bed bed;

		bed_open(&bed, packed ? PACKED : 0);
		assert_true(r3_block_get_limits(bed.block)->features & R3_BLOCK_VOLATILE_CACHE);
		fua(&bed, R3_BLK_WRITE, "df");
		fua(&bed, R3_BLK_WRITE_ZEROES, "df");

		/* a device that has become writethrough needs no flush */
		bed.virtio->writeback = 0;
		bed.virtio->generation++;
		virtio_stub_config_changed(bed.virtio);
		assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 4), 1u << R3_BLOCK_EVENT_GEOMETRY);
		assert_int_equal(r3_block_get_limits(bed.block)->features &
					 (R3_BLOCK_VOLATILE_CACHE | R3_BLOCK_FUA),
				 R3_BLOCK_FUA);
		fua(&bed, R3_BLK_WRITE, "d");
		bed_close(&bed);
	}
}

/* The flush is lost in a reset: both are done again, for the cache may be lost as well. */
static void test_fua_and_reset(void **state)
{
	struct r3_blk_req *req;
	struct bed bed;

	bed_open(&bed, 0);
	req = &bed.req;
	bed.virtio->hooks = &holds;
	held_back = 0;
	bed.sg = (struct r3_sg){bed.mem, 4096};
	*req = (struct r3_blk_req){
		.op = R3_BLK_WRITE, .flags = R3_BLK_FUA, .len = 4096, .sg = &bed.sg, .nsg = 1};
	assert_int_equal(r3_blkq_submit(bed.queue, &req, 1), 1);
	assert_int_equal(r3_blkq_kick(bed.queue), 0);
	held_back = 1;
	assert_int_equal(r3_blkq_reap(bed.queue, &req, 1), 0);
	assert_int_equal(bed.virtio->writes, 1);
	assert_int_equal(virtio_stub_held(bed.virtio), 1);
	(void)bed_pass(&bed, 2 * BED_TIMEOUT);
	assert_int_equal(bed.virtio->writes, 2);
	for (unsigned i = 0; i < 3 && r3_blkq_inflight(bed.queue); i++)
		(void)r3_blkq_reap(bed.queue, &req, 1);
	assert_int_equal(r3_blkq_inflight(bed.queue), 0);
	assert_int_equal(bed.req.err, 0);
	assert_int_equal(bed.virtio->flushes, 1);
	bed_close(&bed);
}

/* Without FLUSH there is nothing to flush, and everybody may ask for it. */
static void test_no_flush(void **state)
{
	struct bed bed;

	bed_open(&bed,
		 VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) | VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE));
	assert_int_equal(bed_do(&bed, R3_BLK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(bed.virtio->requests, 0);
	fua(&bed, R3_BLK_WRITE, "d");
	bed_close(&bed);
}

static unsigned unsteady; /* looks at the generation that are still to differ */

static void stir(struct virtio_stub *stub, uint64_t off, unsigned width, uint64_t *value)
{
	if (off == VIRTIO_STUB_COMMON + VIRTIO_PCI_COMMON(config_generation) && unsteady)
		*value = (uint8_t)(*value + unsteady--);
}

/* A reset may change the configuration and count no generation for it. Where it could not
 * be read then, it is read later. */
static void test_unsteady_after_reset(void **state)
{
	const struct virtio_stub_hooks stirs = {.read = stir};
	struct bed bed;

	bed_open(&bed, 0);
	bed.virtio->hooks = &stirs;
	bed.virtio->capacity /= 2;
	unsteady = 100000;
	virtio_stub_needs_reset(bed.virtio);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 2), 1u << R3_BLOCK_EVENT_RESET);
	assert_true(unsteady);
	unsteady = 0;
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 2), 1u << R3_BLOCK_EVENT_GEOMETRY);
	assert_int_equal(r3_block_get_limits(bed.block)->size,
			 bed.virtio->capacity * VIRTIO_BLK_SECTOR_SIZE);
	bed_close(&bed);
}

static void test_read_only(void **state)
{
	struct bed bed;

	bed_make(&bed, VIRTIO_FEATURE(VIRTIO_BLK_F_RO));
	assert_int_equal(bed_attach(&bed), -EROFS);
	assert_true(bed.remains.closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overdue),     cmocka_unit_test(test_overdue_for_good),
		cmocka_unit_test(test_needs_reset), cmocka_unit_test(test_unsteady_after_reset),
		cmocka_unit_test(test_removed),     cmocka_unit_test(test_resize),
		cmocka_unit_test(test_fua),         cmocka_unit_test(test_fua_and_reset),
		cmocka_unit_test(test_no_flush),    cmocka_unit_test(test_read_only),
	};

	return cmocka_run_group_tests_name("virtio_blk_recover", tests, NULL, NULL);
}
