/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that is torn out, resets itself, is reset by somebody, or answers with
 * nonsense: once at each of its register accesses from attach to close. Whatever the
 * moment, nothing hangs, and what was read back is what was written.
 */
#include "test_bed.h"

#include "stub/virtio_stub_parts.h"

#define LEN 8192u

enum happening { REMOVED, RESETS_ITSELF, IS_RESET, LIES, HAPPENINGS };

static enum happening happening;
static unsigned accesses, moment; /* counted from 1; when it happens */
static uint64_t random_state;
static bool inside;

static bool happen(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
		   uint64_t *value, bool write)
{
	bool now = !inside && ++accesses == moment, done;

	if (now && happening != LIES) {
		inside = true;
		if (happening == REMOVED)
			fake_device_remove(fake);
		else if (happening == RESETS_ITSELF)
			virtio_stub_reset(fake->user);
		else
			(void)r3_device_reset(&fake->base, R3_RESET_FUNCTION);
		inside = false;
	}
	done = virtio_stub_access(fake, index, off, width, value, write);
	if (now && happening == LIES && !write) {
		const uint64_t nonsense[] = {0, UINT64_MAX, test_random(&random_state)};

		*value = nonsense[test_random_below(&random_state, 3)];
		return true;
	}
	return done;
}

/* Do one request while the time passes. */
static int run(struct bed *bed, enum r3_blk_op op, unsigned flags, void *buf, uint64_t len)
{
	struct r3_blk_req *req = &bed->req;
	int rc;

	bed->sg = (struct r3_sg){buf, len};
	*req = (struct r3_blk_req){.op = (uint8_t)op,
				   .flags = (uint8_t)flags,
				   .len = len,
				   .sg = &bed->sg,
				   .nsg = len != 0};
	for (unsigned ticks = 0; (rc = r3_blkq_submit(bed->queue, &req, 1)) == -EAGAIN; ticks++) {
		assert_true(ticks < 100);
		(void)bed_pass(bed, BED_TIMEOUT / 8);
	}
	if (rc < 0)
		return rc;
	(void)r3_blkq_kick(bed->queue);
	for (unsigned ticks = 0; !r3_blkq_reap(bed->queue, &req, 1); ticks++) {
		assert_true(ticks < 100);
		if (!r3_blkq_arm(bed->queue))
			(void)bed_pass(bed, BED_TIMEOUT / 8);
	}
	return req->err;
}

static int write_and_read(struct bed *bed)
{
	unsigned char *in = bed->mem, *out = bed->mem + LEN;
	int rc;

	memset(in, 0xa5, LEN);
	memset(out, 0, LEN);
	rc = run(bed, R3_BLK_WRITE, R3_BLK_FUA, in, LEN);
	if (rc == 0)
		rc = run(bed, R3_BLK_READ, 0, out, LEN);
	if (rc == 0)
		assert_memory_equal(in, out, LEN);
	return rc;
}

/* Returns whether its moment came. */
static bool live(uint64_t features)
{
	struct bed bed;
	void *mem;
	bool opened;
	int rc;

	bed_make(&bed, features);
	/* what a reset by somebody else makes of what is said to the device is no mistake */
	bed.virtio->opts.strict = false;
	bed.virtio->opts.queues = 2; /* each is a dozen moments more */
	bed.virtio->fake->access = happen;
	accesses = 0;
	rc = bed_attach(&bed);
	if (rc < 0) {
		assert_true(accesses >= moment);
		assert_true(r3_error_text()[0]);
		assert_true(bed.remains.closed);
		return true;
	}
	assert_int_equal(r3_block_alloc(bed.block, 1 << 20, &mem), 0);
	bed.mem = mem;
	rc = r3_blkq_open(bed.block, NULL, &bed.queue);
	opened = rc == 0;
	if (!opened)
		assert_int_equal(rc, -ENODEV);
	for (unsigned i = 0; opened && i < 2; i++) {
		rc = write_and_read(&bed);
		if (happening == RESETS_ITSELF || happening == IS_RESET)
			assert_int_equal(rc, 0);
		else if (happening == REMOVED && rc)
			assert_int_equal(rc, -ENODEV);
		(void)bed_pass(&bed, BED_TIMEOUT / 4);
	}
	if (opened && happening == REMOVED && accesses >= moment)
		assert_int_equal(run(&bed, R3_BLK_FLUSH, 0, NULL, 0), -ENODEV);
	r3_blkq_close(bed.queue);
	r3_block_free(bed.block, bed.mem);
	r3_block_close(bed.block);
	assert_true(bed.remains.closed);
	assert_int_equal(bed.remains.irqs, 0);
	return accesses >= moment;
}

static void test_all(enum happening what)
{
	happening = what;
	for (unsigned packed = 0; packed < 2; packed++)
		for (moment = 1; live(packed ? PACKED : 0); moment++)
			assert_true(moment < 2000);
}

static void test_removed(void **state)
{
	test_all(REMOVED);
}

static void test_resets_itself(void **state)
{
	test_all(RESETS_ITSELF);
}

static void test_is_reset(void **state)
{
	test_all(IS_RESET);
}

static void test_lies(void **state)
{
	random_state = test_seed();
	test_all(LIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_resets_itself),
		cmocka_unit_test(test_is_reset),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
