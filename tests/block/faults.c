/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block_faults MODE: an NVMe controller of QEMU that fails, hangs, is reset,
 * torn out, stopped or killed with requests in flight. Whatever happens, each request
 * completes exactly once, in bounded time, and the program goes on.
 */
#include "unit.h"

#include "backend/qemu/control.h"

#include <ring3/block.h>
#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define REQUESTS 32
#define BLOCK    4096u
#define SECONDS  R3_NSEC_PER_SEC

static enum r3_blkq_mode mode;

struct bed {
	struct r3_block *block;
	struct r3_device *dev;
	struct r3_blkq *queue;
	pid_t pid;
	unsigned char *mem;
	struct r3_sg sg[REQUESTS];
	struct r3_blk_req req[REQUESTS], *list[REQUESTS];
	unsigned times[REQUESTS]; /* completed */
	unsigned flying;
	unsigned events[R3_BLOCK_EVENT_WARNING + 1]; /* by type */
};

static void expect(int rc, int want, const char *what)
{
	if (rc != want)
		fail_msg("%s: returned %d, not %d: %s", what, rc, want, r3_error_text());
}

static void bed_open(struct bed *bed, const char *address, uint64_t timeout_ns)
{
	const struct r3_block_opts opts = {.size = sizeof(opts), .timeout_ns = timeout_ns};
	const struct r3_blkq_opts queue_opts = {
		.size = sizeof(queue_opts), .depth = REQUESTS, .mode = mode};
	void *mem;

	*bed = (struct bed){0};
	expect(r3_block_open(address, &opts, &bed->block), 0, address);
	bed->dev = r3_block_device(bed->block);
	bed->pid = r3_qemu_pid(bed->dev);
	assert_true(bed->pid > 0);
	expect(r3_blkq_open(bed->block, &queue_opts, &bed->queue), 0, "r3_blkq_open");
	expect(r3_block_alloc(bed->block, REQUESTS * BLOCK, &mem), 0, "r3_block_alloc");
	bed->mem = mem;
	for (unsigned i = 0; i < REQUESTS; i++) {
		bed->sg[i] = (struct r3_sg){bed->mem + i * BLOCK, BLOCK};
		bed->list[i] = &bed->req[i];
	}
}

/** Close, in bounded time, and leave no process. */
static void bed_close(struct bed *bed)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), 10 * SECONDS);

	r3_blkq_close(bed->queue);
	r3_block_free(bed->block, bed->mem);
	r3_block_close(bed->block);
	assert_true(r3_wait_left(&wait) > 0);
	while (kill(bed->pid, 0) == 0)
		if (!r3_wait_step(&wait))
			fail_msg("QEMU is still there");
	assert_int_equal(errno, ESRCH);
}

/** Submit @n requests of one block each, all to different ones, and start them. */
static void send_requests(struct bed *bed, enum r3_blk_op op, unsigned n)
{
	memset(bed->times, 0, sizeof(bed->times));
	for (unsigned i = 0; i < n; i++)
		bed->req[i] = (struct r3_blk_req){.op = (uint8_t)op,
						  .nsg = 1,
						  .sg = &bed->sg[i],
						  .off = (uint64_t)i * BLOCK,
						  .len = BLOCK,
						  .err = 1};
	expect(r3_blkq_submit(bed->queue, bed->list, n), (int)n, "submit");
	bed->flying = n;
	expect(r3_blkq_kick(bed->queue), 0, "kick");
}

static void take_completions(struct bed *bed)
{
	struct r3_blk_req *done[REQUESTS];
	int n = r3_blkq_reap(bed->queue, done, REQUESTS);

	assert_in_range(n, 0, bed->flying);
	for (int i = 0; i < n; i++) {
		long index = done[i] - bed->req;
		assert_in_range(index, 0, REQUESTS - 1);
		assert_int_equal(++bed->times[index], 1);
		assert_true(done[i]->err <= 0);
		bed->flying--;
	}
}

static void take_events(struct bed *bed)
{
	struct r3_block_event events[4];
	int n = r3_block_dispatch(bed->block, events, 4);

	for (int i = 0; i < n; i++) {
		assert_in_range(events[i].type, 1, R3_BLOCK_EVENT_WARNING);
		bed->events[events[i].type]++;
	}
}

/** One turn of an event loop. */
static void turn(struct bed *bed)
{
	struct pollfd fds[2] = {
		{.fd = r3_blkq_fd(bed->queue), .events = POLLIN},
		{.fd = r3_block_fd(bed->block), .events = POLLIN},
	};

	take_completions(bed);
	if (!r3_blkq_arm(bed->queue))
		poll(fds, 2, mode == R3_BLKQ_POLL ? 1 : 50);
	if (fds[1].revents)
		take_events(bed);
}

/** Turn until all requests are done (@event 0), or @event has come. */
static void run_until(struct bed *bed, unsigned event, uint64_t limit_ns)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t end = r3_clock_now(clock) + limit_ns;

	while (event ? !bed->events[event] : bed->flying) {
		turn(bed);
		if (r3_clock_now(clock) > end)
			fail_msg("after %llu s: %u requests in flight, event %u %s",
				 (unsigned long long)(limit_ns / SECONDS), bed->flying, event,
				 event && bed->events[event] ? "came" : "did not come");
	}
}

static void run_for(struct bed *bed, uint64_t ns)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t end = r3_clock_now(clock) + ns;

	while (r3_clock_now(clock) < end)
		turn(bed);
}

/** All @n requests are done, each with @err. */
static void check_all(struct bed *bed, unsigned n, int err)
{
	assert_int_equal(bed->flying, 0);
	assert_int_equal(r3_blkq_inflight(bed->queue), 0);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(bed->times[i], 1);
		if (bed->req[i].err != err)
			fail_msg("request %u: err %d, not %d; detail 0x%x", i, bed->req[i].err, err,
				 bed->req[i].detail);
	}
}

/** All @n requests are done; the device went away before or after. */
static void check_ended(struct bed *bed, unsigned n)
{
	assert_int_equal(bed->flying, 0);
	assert_int_equal(r3_blkq_inflight(bed->queue), 0);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(bed->times[i], 1);
		assert_true(bed->req[i].err == -ENODEV || bed->req[i].err == 0);
	}
}

/** The device is gone for good: it says so at every door. */
static void check_gone(struct bed *bed)
{
	struct r3_blk_req req = {.op = R3_BLK_FLUSH}, *list = &req;
	struct r3_blkq *queue = NULL;

	run_until(bed, R3_BLOCK_EVENT_GONE, 5 * SECONDS);
	assert_int_equal(r3_blkq_submit(bed->queue, &list, 1), -ENODEV);
	assert_int_equal(r3_blkq_kick(bed->queue), -ENODEV);
	assert_int_equal(r3_blkq_open(bed->block, NULL, &queue), -ENODEV);
	assert_int_equal(r3_blkq_do(bed->queue, R3_BLK_READ, 0, 0, bed->mem, BLOCK, SECONDS),
			 -ENODEV);
	run_for(bed, 50 * R3_NSEC_PER_MSEC);
	assert_int_equal(bed->events[R3_BLOCK_EVENT_GONE], 1);
}

/** Write, read back and compare: the device works. */
static void check_works(struct bed *bed)
{
	uint64_t seed = 7;

	for (unsigned i = 0; i < REQUESTS * BLOCK; i++)
		bed->mem[i] = (unsigned char)test_random(&seed);
	send_requests(bed, R3_BLK_WRITE, REQUESTS);
	run_until(bed, 0, 10 * SECONDS);
	check_all(bed, REQUESTS, 0);
	memset(bed->mem, 0, REQUESTS * BLOCK);
	send_requests(bed, R3_BLK_READ, REQUESTS);
	run_until(bed, 0, 10 * SECONDS);
	check_all(bed, REQUESTS, 0);
	seed = 7;
	for (unsigned i = 0; i < REQUESTS * BLOCK; i++)
		assert_int_equal(bed->mem[i], (unsigned char)test_random(&seed));
}

/** Let @iops requests a second through, so that the others are in flight for certain;
 *  0: all. QEMU lets them go when it has to drain, as a reset makes it. */
static void throttle(struct bed *bed, unsigned iops)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "{\"id\":\"dev0\",\"bps\":0,\"bps_rd\":0,\"bps_wr\":0,\"iops\":%u,"
		 "\"iops_rd\":0,\"iops_wr\":0}",
		 iops);
	expect(r3_qemu_execute(bed->dev, "block_set_io_throttle", text, NULL), 0, "throttle");
}

/* ---- the tests ---- */

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
	snprintf(address, sizeof(address), "qemu:nvme,size=16M,blkdebug=%s", path);
	bed_open(&bed, address, 0);

	/* sectors of 512 bytes: in the third block, and in the sixth */
	send_requests(&bed, R3_BLK_READ, REQUESTS);
	run_until(&bed, 0, 10 * SECONDS);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(bed.req[i].err, i == 2 ? -EIO : 0);
	assert_int_equal(bed.req[2].detail, 0x281); /* media error: unrecovered read */
	send_requests(&bed, R3_BLK_WRITE, REQUESTS);
	run_until(&bed, 0, 10 * SECONDS);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(bed.req[i].err, i == 5 ? -EIO : 0);
	assert_int_equal(bed.req[5].detail, 0x280); /* media error: write fault */
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

	bed_open(&bed, "qemu:nvme,size=16M,blkdebug", 20 * SECONDS);
	expect(r3_qemu_hmp(bed.dev, "qemu-io disk0 \"break pwritev A\"", NULL), 0, "break");
	send_requests(&bed, R3_BLK_WRITE, 1);
	run_for(&bed, 700 * R3_NSEC_PER_MSEC);
	assert_int_equal(bed.flying, 1);
	expect(r3_qemu_hmp(bed.dev, "qemu-io disk0 \"resume A\"", NULL), 0, "resume");
	run_until(&bed, 0, 10 * SECONDS);
	check_all(&bed, 1, 0);
	assert_int_equal(bed.events[R3_BLOCK_EVENT_RESET], 0);
	check_works(&bed);
	bed_close(&bed);
}

/* Time-out, abort (which QEMU does not do), reset, and another try that succeeds. */
static void test_hang_and_recover(void **state)
{
	struct bed bed;

	bed_open(&bed, "qemu:nvme,size=16M", 500 * R3_NSEC_PER_MSEC);
	throttle(&bed, 1);
	send_requests(&bed, R3_BLK_READ, 16);
	run_until(&bed, R3_BLOCK_EVENT_RESET, 20 * SECONDS);
	throttle(&bed, 0);
	run_until(&bed, 0, 20 * SECONDS);
	check_all(&bed, 16, 0);
	check_works(&bed);
	bed_close(&bed);
}

/* The next two wait for QEMU's own time-out, by dispatch in all modes: one is enough. */
static void only_by_interrupt(void)
{
	if (mode != R3_BLKQ_INTERRUPT)
		skip();
}

/* A request that never ends, in a QEMU that then waits for it for ever. */
static void test_hang_for_ever(void **state)
{
	struct bed bed;

	only_by_interrupt();
	bed_open(&bed, "qemu:nvme,size=16M,blkdebug", 500 * R3_NSEC_PER_MSEC);
	expect(r3_qemu_hmp(bed.dev, "qemu-io disk0 \"break pwritev A\"", NULL), 0, "break");
	send_requests(&bed, R3_BLK_WRITE, 4);
	run_until(&bed, 0, 60 * SECONDS);
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

	bed_open(&bed, "qemu:nvme,size=16M", 0);
	throttle(&bed, 1);
	send_requests(&bed, R3_BLK_READ, REQUESTS);
	expect(r3_qemu_surprise_remove(bed.dev), 0, "remove");
	run_until(&bed, 0, 10 * SECONDS);
	/* QEMU finishes what it can before it lets go. */
	check_ended(&bed, REQUESTS);
	check_gone(&bed);
	bed_close(&bed);
}

/* In the midst of traffic: the queue is always full, until it takes nothing more. */
static void test_removal_under_load(void **state)
{
	struct bed bed;
	unsigned rounds = 0;
	int rc = 0;

	bed_open(&bed, "qemu:nvme,size=16M", 0);
	memset(bed.times, 0, sizeof(bed.times));
	while (rc != -ENODEV) {
		for (unsigned i = 0; i < REQUESTS; i++) {
			struct r3_blk_req *req = &bed.req[i];
			if (rc == -ENODEV || (rounds && !bed.times[i]))
				continue;
			bed.times[i] = 0;
			*req = (struct r3_blk_req){.op = i % 2,
						   .nsg = 1,
						   .sg = &bed.sg[i],
						   .off = i * BLOCK,
						   .len = BLOCK};
			rc = r3_blkq_submit(bed.queue, &bed.list[i], 1);
			if (rc == -ENODEV)
				bed.times[i] = 1;
			else
				expect(rc, 1, "submit");
			bed.flying += rc == 1;
		}
		rc = rc == -ENODEV ? rc : r3_blkq_kick(bed.queue);
		turn(&bed);
		if (++rounds == 50)
			expect(r3_qemu_surprise_remove(bed.dev), 0, "remove");
		assert_true(rounds < 100000);
	}
	run_until(&bed, 0, 10 * SECONDS);
	check_ended(&bed, REQUESTS);
	check_gone(&bed);
	bed_close(&bed);
}

/* With the queue closed first: the requests left behind are cancelled. */
static void test_close_removed(void **state)
{
	struct bed bed;

	bed_open(&bed, "qemu:nvme,size=16M", 0);
	throttle(&bed, 1);
	send_requests(&bed, R3_BLK_READ, REQUESTS);
	expect(r3_qemu_surprise_remove(bed.dev), 0, "remove");
	r3_blkq_close(bed.queue);
	bed.queue = NULL;
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(bed.req[i].err, -ECANCELED);
	bed_close(&bed);
}

/* Somebody resets the function behind the driver's back. */
static void test_reset_in_flight(void **state)
{
	struct bed bed;

	bed_open(&bed, "qemu:nvme,size=16M", 500 * R3_NSEC_PER_MSEC);
	throttle(&bed, 1);
	send_requests(&bed, R3_BLK_READ, REQUESTS);
	throttle(&bed, 0);
	expect(r3_device_reset(bed.dev, R3_RESET_FUNCTION), 0, "reset");
	run_until(&bed, 0, 20 * SECONDS);
	check_all(&bed, REQUESTS, 0);
	check_works(&bed);
	bed_close(&bed);
}

static void test_killed(void **state)
{
	struct bed bed;

	bed_open(&bed, "qemu:nvme,size=16M", 0);
	throttle(&bed, 1);
	send_requests(&bed, R3_BLK_READ, REQUESTS);
	assert_int_equal(kill(bed.pid, SIGKILL), 0);
	run_until(&bed, 0, 10 * SECONDS);
	check_ended(&bed, REQUESTS);
	check_gone(&bed);
	bed_close(&bed);
}

/* Killed while nothing is in flight, and found out only by its event. */
static void test_killed_idle(void **state)
{
	struct bed bed;

	bed_open(&bed, "qemu:nvme,size=16M", 0);
	check_works(&bed);
	assert_int_equal(kill(bed.pid, SIGKILL), 0);
	check_gone(&bed);
	bed_close(&bed);
}

/* A peer that neither answers nor dies. */
static void test_stopped(void **state)
{
	struct bed bed;

	only_by_interrupt();
	bed_open(&bed, "qemu:nvme,size=16M", 500 * R3_NSEC_PER_MSEC);
	assert_int_equal(kill(bed.pid, SIGSTOP), 0);
	send_requests(&bed, R3_BLK_READ, 8);
	run_until(&bed, 0, 60 * SECONDS);
	for (unsigned i = 0; i < 8; i++)
		assert_true(bed.req[i].err < 0);
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
		cmocka_unit_test(test_stopped),
	};

	if (argc < 2 || r3_blkq_mode_parse(argv[1], &mode)) {
		fprintf(stderr, "Usage: block_faults interrupt|poll|adaptive [TEST]\n");
		return 2;
	}
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	r3_log_sink(R3_LOG_INFO, say, NULL);
	return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
