/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block_faults DEVICE MODE: a disk of QEMU's (qemu:nvme, qemu:virtio-blk with any keys)
 * that fails, hangs, is reset, torn out, stopped or killed with requests in flight.
 * Whatever happens, each request completes exactly once, in bounded time, and the program
 * goes on.
 */
#include "fault_bed.h"

#include "backend/qemu/control.h"

#include <ring3/log.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void test_io_errors(void **state)
{
	static const char rules[] = "[inject-error]\nevent = \"none\"\niotype = \"read\"\n"
				    "sector = \"16\"\nerrno = \"5\"\n\n"
				    "[inject-error]\nevent = \"none\"\niotype = \"write\"\n"
				    "sector = \"40\"\nerrno = \"5\"\n";
	char path[] = "/tmp/ring3-faults-XXXXXX", address[128];
	struct bed bed;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, rules, sizeof(rules) - 1), sizeof(rules) - 1);
	close(fd);
	snprintf(address, sizeof(address), "size=16M,blkdebug=%s", path);
	bed_open(&bed, address, 0);

	/* sectors of 512 bytes: in the third block, and in the sixth */
	bed_send(&bed, R3_BLK_READ, REQUESTS);
	bed_run_until(&bed, 0, 10 * SECONDS);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(bed.req[i].err, i == 2 ? -EIO : 0);
	/* NVMe: media error, unrecovered read; virtio-blk: VIRTIO_BLK_S_IOERR */
	assert_int_equal(bed.req[2].detail, faults_virtio() ? 1 : 0x281);
	bed_send(&bed, R3_BLK_WRITE, REQUESTS);
	bed_run_until(&bed, 0, 10 * SECONDS);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(bed.req[i].err, i == 5 ? -EIO : 0);
	/* NVMe: media error, write fault */
	assert_int_equal(bed.req[5].detail, faults_virtio() ? 1 : 0x280);
	assert_int_equal(bed.req[6].detail, 0);

	assert_int_equal(
		r3_blkq_do(bed.queue, R3_BLK_READ, 0, 2 * BLOCK, bed.mem, BLOCK, 10 * SECONDS),
		-EIO);
	assert_int_equal(
		r3_blkq_do(bed.queue, R3_BLK_READ, 0, 3 * BLOCK, bed.mem, BLOCK, 10 * SECONDS), 0);
	assert_int_equal(bed.events[R3_BLOCK_EVENT_RESET], 0);
	bed_close(&bed);
	unlink(path);
}

/* Slow is not dead: what comes before the time-out is as good as any. */
static void test_slow(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M,blkdebug", 20 * SECONDS);
	bed_expect(r3_qemu_hmp(bed.dev, "qemu-io disk0 \"break pwritev A\"", NULL), 0, "break");
	bed_send(&bed, R3_BLK_WRITE, 1);
	bed_run_for(&bed, 700 * R3_NSEC_PER_MSEC);
	assert_int_equal(bed.flying, 1);
	bed_expect(r3_qemu_hmp(bed.dev, "qemu-io disk0 \"resume A\"", NULL), 0, "resume");
	bed_run_until(&bed, 0, 10 * SECONDS);
	bed_check_all(&bed, 1, 0);
	assert_int_equal(bed.events[R3_BLOCK_EVENT_RESET], 0);
	bed_check_works(&bed);
	bed_close(&bed);
}

/* Time-out, abort (which QEMU's NVMe does not do, and virtio-blk does not have), reset, and another
 * try that succeeds. */
static void test_hang_and_recover(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 500 * R3_NSEC_PER_MSEC);
	bed_throttle(&bed, 1);
	bed_send(&bed, R3_BLK_READ, 16);
	bed_run_until(&bed, R3_BLOCK_EVENT_RESET, 20 * SECONDS);
	bed_throttle(&bed, 0);
	bed_run_until(&bed, 0, 20 * SECONDS);
	bed_check_all(&bed, 16, 0);
	bed_check_works(&bed);
	bed_close(&bed);
}

/* The next two wait for QEMU's own time-out, by dispatch in all modes: one is enough. */
static void only_by_interrupt(void)
{
	if (faults_mode != R3_BLKQ_INTERRUPT)
		skip();
}

/* A request that never ends, in a QEMU that then waits for it for ever. */
static void test_hang_for_ever(void **state)
{
	struct bed bed;

	only_by_interrupt();
	bed_open(&bed, "size=16M,blkdebug", 500 * R3_NSEC_PER_MSEC);
	bed_expect(r3_qemu_hmp(bed.dev, "qemu-io disk0 \"break pwritev A\"", NULL), 0, "break");
	bed_send(&bed, R3_BLK_WRITE, 4);
	bed_run_until(&bed, 0, 60 * SECONDS);
	unsigned failed = 0;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(bed.times[i], 1);
		failed += bed.req[i].err < 0;
	}
	assert_true(failed >= 1);
	bed_close(&bed);
}

static void test_surprise_removal(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 0);
	bed_throttle(&bed, 1);
	bed_send(&bed, R3_BLK_READ, REQUESTS);
	bed_expect(r3_qemu_surprise_remove(bed.dev), 0, "remove");
	bed_run_until(&bed, 0, 10 * SECONDS);
	/* QEMU finishes what it can before it lets go. */
	bed_check_ended(&bed, REQUESTS);
	bed_check_gone(&bed);
	bed_close(&bed);
}

/* In the midst of traffic: the queue is always full, until it takes nothing more. */
static void test_removal_under_load(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 0);
	for (unsigned rounds = 0; bed_refill(&bed) == 0; rounds++) {
		bed_turn(&bed);
		if (rounds == 50)
			bed_expect(r3_qemu_surprise_remove(bed.dev), 0, "remove");
		assert_true(rounds < 100000);
	}
	bed_run_until(&bed, 0, 10 * SECONDS);
	bed_check_ended(&bed, REQUESTS);
	bed_check_gone(&bed);
	bed_close(&bed);
}

/* With the queue closed first: the requests left behind are cancelled. */
static void test_close_removed(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 0);
	bed_throttle(&bed, 1);
	bed_send(&bed, R3_BLK_READ, REQUESTS);
	bed_expect(r3_qemu_surprise_remove(bed.dev), 0, "remove");
	r3_blkq_close(bed.queue);
	bed.queue = NULL;
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(bed.req[i].err, -ECANCELED);
	bed_close(&bed);
}

/* With the device there and at work: what it was told to fill is not filled after the
 * queue was closed, and the next queue starts as if nothing had been. */
static void test_close_in_flight(void **state)
{
	struct bed bed;

	if (!faults_virtio())
		skip(); /* QEMU's NVMe answers a deletion only when the throttle let all through */
	bed_open(&bed, "size=16M", 0);
	bed_check_works(&bed); /* the blocks are not empty any more */
	bed_throttle(&bed, 1);
	bed_send(&bed, R3_BLK_READ, REQUESTS);
	bed_run_for(&bed, 200 * R3_NSEC_PER_MSEC); /* QEMU has taken them all */
	assert_true(bed.flying > REQUESTS / 2);
	r3_blkq_close(bed.queue);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(bed.req[i].err, bed.times[i] ? 0 : -ECANCELED);
	memset(bed.mem, 0xcc, REQUESTS * BLOCK);
	bed.flying = 0;
	bed_throttle(&bed, 0);
	bed_open_queue(&bed);
	bed_expect(r3_blkq_do(bed.queue, R3_BLK_FLUSH, 0, 0, NULL, 0, 10 * SECONDS), 0, "flush");
	bed_run_for(&bed, 200 * R3_NSEC_PER_MSEC);
	for (unsigned i = 0; i < REQUESTS * BLOCK; i++)
		assert_int_equal(bed.mem[i], 0xcc);
	bed_check_works(&bed);
	bed_close(&bed);
}

/* Somebody resets the function behind the driver's back. */
static void test_reset_in_flight(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 500 * R3_NSEC_PER_MSEC);
	bed_throttle(&bed, 1);
	bed_send(&bed, R3_BLK_READ, REQUESTS);
	bed_throttle(&bed, 0);
	bed_expect(r3_device_reset(bed.dev, R3_RESET_FUNCTION), 0, "reset");
	bed_run_until(&bed, 0, 20 * SECONDS);
	bed_check_all(&bed, REQUESTS, 0);
	bed_check_works(&bed);
	bed_close(&bed);
}

/* Again and again, while the queue is kept full. */
static void test_reset_under_load(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 500 * R3_NSEC_PER_MSEC);
	for (unsigned i = 0; i < 6; i++) {
		unsigned enough = bed.completed + 10 * REQUESTS;
		struct r3_wait wait = r3_wait_begin(r3_clock_system(), 20 * SECONDS);

		while (bed.completed < enough) {
			bed_expect(bed_refill(&bed), 0, "refill");
			bed_turn(&bed);
			assert_true(r3_wait_left(&wait) > 0);
		}
		bed_expect(r3_device_reset(bed.dev, i % 2 ? R3_RESET_BUS : R3_RESET_FUNCTION), 0,
			   "reset");
	}
	bed_run_until(&bed, 0, 20 * SECONDS);
	bed_check_all(&bed, REQUESTS, 0);
	assert_true(bed.events[R3_BLOCK_EVENT_RESET] >= 5);
	bed_check_works(&bed);
	bed_close(&bed);
}

static void test_killed(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 0);
	bed_throttle(&bed, 1);
	bed_send(&bed, R3_BLK_READ, REQUESTS);
	assert_int_equal(kill(bed.pid, SIGKILL), 0);
	bed_run_until(&bed, 0, 10 * SECONDS);
	bed_check_ended(&bed, REQUESTS);
	bed_check_gone(&bed);
	bed_close(&bed);
}

/* Killed while nothing is in flight, and found out only by its event. */
static void test_killed_idle(void **state)
{
	struct bed bed;

	bed_open(&bed, "size=16M", 0);
	bed_check_works(&bed);
	assert_int_equal(kill(bed.pid, SIGKILL), 0);
	bed_check_gone(&bed);
	bed_close(&bed);
}

/* A peer that neither answers nor dies. */
static void test_stopped(void **state)
{
	struct bed bed;

	only_by_interrupt();
	bed_open(&bed, "size=16M", 500 * R3_NSEC_PER_MSEC);
	assert_int_equal(kill(bed.pid, SIGSTOP), 0);
	bed_send(&bed, R3_BLK_READ, 8);
	bed_run_until(&bed, 0, 60 * SECONDS);
	for (unsigned i = 0; i < 8; i++)
		assert_true(bed.req[i].err < 0);
	bed_close(&bed);
}

/* ---- resize ---- */

static void resize(struct bed *bed, uint64_t size)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"node-name\":\"disk0\",\"size\":%llu}",
		 (unsigned long long)size);
	bed_expect(r3_qemu_execute(bed->dev, "block_resize", text, NULL), 0, "block_resize");
}

/* The disk grows and shrinks while the queue is kept full, and says so. */
static void test_resize(void **state)
{
	const struct r3_block_limits *limits;
	uint64_t size = 0, random = test_seed();
	struct bed bed;

	if (!faults_virtio())
		skip(); /* QEMU's NVMe does not notice */
	bed_open(&bed, "size=16M", 0);
	limits = r3_block_get_limits(bed.block);
	assert_int_equal(limits->size, 16 << 20);
	for (unsigned i = 0; i < 20; i++) {
		struct r3_wait wait = r3_wait_begin(r3_clock_system(), 20 * SECONDS);
		unsigned before = bed.events[R3_BLOCK_EVENT_GEOMETRY];

		/* at random moments, and each time another size */
		for (unsigned n = test_random_below(&random, 20); n; n--) {
			bed_expect(bed_refill(&bed), 0, "refill");
			bed_turn(&bed);
		}
		size = (uint64_t)(1 + 2 * test_random_below(&random, 16) + i % 2) << 20;
		resize(&bed, size);
		while (limits->size != size || bed.events[R3_BLOCK_EVENT_GEOMETRY] == before) {
			bed_expect(bed_refill(&bed), 0, "refill");
			bed_turn(&bed);
			assert_true(r3_wait_left(&wait) > 0);
		}
	}
	bed_run_until(&bed, 0, 10 * SECONDS);
	bed_check_all(&bed, REQUESTS, 0);
	assert_int_equal(bed.events[R3_BLOCK_EVENT_RESET], 0);

	/* The last block is there, the next one is not. */
	memset(bed.mem, 0x5a, 2 * BLOCK);
	bed_expect(r3_blkq_do(bed.queue, R3_BLK_WRITE, 0, size - BLOCK, bed.mem, BLOCK, SECONDS), 0,
		   "write");
	bed_expect(r3_blkq_do(bed.queue, R3_BLK_READ, 0, size - BLOCK, bed.mem + BLOCK, BLOCK,
			      SECONDS),
		   0, "read");
	assert_memory_equal(bed.mem, bed.mem + BLOCK, BLOCK);
	assert_int_equal(r3_blkq_do(bed.queue, R3_BLK_READ, 0, size, bed.mem, BLOCK, SECONDS),
			 -EINVAL);
	bed_close(&bed);
}

static void say(void *ctx, enum r3_log_level level, const char *text)
{
	fprintf(stderr, "log: %s\n", text);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io_errors),        cmocka_unit_test(test_slow),
		cmocka_unit_test(test_hang_and_recover), cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_surprise_removal), cmocka_unit_test(test_removal_under_load),
		cmocka_unit_test(test_close_removed),    cmocka_unit_test(test_killed),
		cmocka_unit_test(test_killed_idle),      cmocka_unit_test(test_hang_for_ever),
		cmocka_unit_test(test_stopped),          cmocka_unit_test(test_reset_under_load),
		cmocka_unit_test(test_resize),           cmocka_unit_test(test_close_in_flight),
	};

	if (argc < 3 || r3_blkq_mode_parse(argv[2], &faults_mode)) {
		fprintf(stderr, "Usage: block_faults qemu:MODEL[,KEY=VALUE...] "
				"interrupt|poll|adaptive [TEST]\n");
		return 2;
	}
	faults_device = argv[1];
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	r3_log_sink(R3_LOG_INFO, say, NULL);
	return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
