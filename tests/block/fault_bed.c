/* SPDX-License-Identifier: BSD-2-Clause */
/* The bed of fault_bed.h: one queue, one event loop, and books about every request. */
#include "fault_bed.h"

#include "backend/qemu/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

enum r3_blkq_mode faults_mode;
const char *faults_device;

bool faults_virtio(void)
{
	return !strncmp(faults_device, "qemu:virtio-blk", strlen("qemu:virtio-blk"));
}

void bed_expect(int rc, int want, const char *what)
{
	if (rc != want)
		fail_msg("%s: returned %d, not %d: %s", what, rc, want, r3_error_text());
}

void bed_open_queue(struct bed *bed)
{
	const struct r3_blkq_opts opts = {
		.size = sizeof(opts), .depth = REQUESTS, .mode = faults_mode};

	bed_expect(r3_blkq_open(bed->block, &opts, &bed->queue), 0, "r3_blkq_open");
}

void bed_open(struct bed *bed, const char *keys, uint64_t timeout_ns)
{
	const struct r3_block_opts opts = {.size = sizeof(opts), .timeout_ns = timeout_ns};
	char address[256];
	void *mem;

	/* Each request is to stand for itself, and one more queue to be there for the asking. */
	snprintf(address, sizeof(address), "%s,%s%s", faults_device, keys,
		 faults_virtio() ? ",prop.request-merging=off,prop.num-queues=2" : "");
	*bed = (struct bed){0};
	bed_expect(r3_block_open(address, &opts, &bed->block), 0, address);
	bed->dev = r3_block_device(bed->block);
	bed->pid = r3_qemu_pid(bed->dev);
	assert_true(bed->pid > 0);
	bed_open_queue(bed);
	bed_expect(r3_block_alloc(bed->block, REQUESTS * BLOCK, &mem), 0, "r3_block_alloc");
	bed->mem = mem;
	for (unsigned i = 0; i < REQUESTS; i++) {
		bed->sg[i] = (struct r3_sg){bed->mem + i * BLOCK, BLOCK};
		bed->list[i] = &bed->req[i];
		bed->times[i] = 1;
	}
}

void bed_close(struct bed *bed)
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

void bed_send(struct bed *bed, enum r3_blk_op op, unsigned n)
{
	memset(bed->times, 0, sizeof(bed->times));
	for (unsigned i = 0; i < n; i++)
		bed->req[i] = (struct r3_blk_req){.op = (uint8_t)op,
						  .nsg = 1,
						  .sg = &bed->sg[i],
						  .off = (uint64_t)i * BLOCK,
						  .len = BLOCK,
						  .err = 1};
	bed_expect(r3_blkq_submit(bed->queue, bed->list, n), (int)n, "submit");
	bed->flying = n;
	bed_expect(r3_blkq_kick(bed->queue), 0, "kick");
}

int bed_refill(struct bed *bed)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		int rc;

		if (!bed->times[i])
			continue;
		bed->req[i] = (struct r3_blk_req){.op = i % 2,
						  .nsg = 1,
						  .sg = &bed->sg[i],
						  .off = (uint64_t)i * BLOCK,
						  .len = BLOCK,
						  .err = 1};
		rc = r3_blkq_submit(bed->queue, &bed->list[i], 1);
		if (rc < 0) /* what was not submitted has ended like this */
			bed->req[i].err = rc;
		if (rc == -ENODEV)
			return rc;
		if (rc == -EAGAIN)
			break; /* it is being reset */
		bed_expect(rc, 1, "submit");
		bed->times[i] = 0;
		bed->flying++;
	}
	return r3_blkq_kick(bed->queue);
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
		bed->completed++;
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

void bed_turn(struct bed *bed)
{
	struct pollfd fds[2] = {
		{.fd = r3_blkq_fd(bed->queue), .events = POLLIN},
		{.fd = r3_block_fd(bed->block), .events = POLLIN},
	};

	take_completions(bed);
	if (!r3_blkq_arm(bed->queue))
		poll(fds, 2, faults_mode == R3_BLKQ_POLL ? 1 : 50);
	if (fds[1].revents)
		take_events(bed);
}

void bed_run_until(struct bed *bed, unsigned event, uint64_t limit_ns)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t end = r3_clock_now(clock) + limit_ns;

	while (event ? !bed->events[event] : bed->flying) {
		bed_turn(bed);
		if (r3_clock_now(clock) > end)
			fail_msg("after %llu s: %u requests in flight, event %u %s",
				 (unsigned long long)(limit_ns / SECONDS), bed->flying, event,
				 event && bed->events[event] ? "came" : "did not come");
	}
}

void bed_run_for(struct bed *bed, uint64_t ns)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t end = r3_clock_now(clock) + ns;

	while (r3_clock_now(clock) < end)
		bed_turn(bed);
}

void bed_check_all(struct bed *bed, unsigned n, int err)
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

void bed_check_ended(struct bed *bed, unsigned n)
{
	assert_int_equal(bed->flying, 0);
	assert_int_equal(r3_blkq_inflight(bed->queue), 0);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(bed->times[i], 1);
		assert_true(bed->req[i].err == -ENODEV || bed->req[i].err == 0);
	}
}

void bed_check_gone(struct bed *bed)
{
	struct r3_blk_req req = {.op = R3_BLK_FLUSH}, *list = &req;
	struct r3_blkq *queue = NULL;

	bed_run_until(bed, R3_BLOCK_EVENT_GONE, 5 * SECONDS);
	assert_int_equal(r3_blkq_submit(bed->queue, &list, 1), -ENODEV);
	assert_int_equal(r3_blkq_kick(bed->queue), -ENODEV);
	assert_int_equal(r3_blkq_open(bed->block, NULL, &queue), -ENODEV);
	assert_int_equal(r3_blkq_do(bed->queue, R3_BLK_READ, 0, 0, bed->mem, BLOCK, SECONDS),
			 -ENODEV);
	bed_run_for(bed, 50 * R3_NSEC_PER_MSEC);
	assert_int_equal(bed->events[R3_BLOCK_EVENT_GONE], 1);
}

void bed_check_works(struct bed *bed)
{
	uint64_t seed = 7;

	for (unsigned i = 0; i < REQUESTS * BLOCK; i++)
		bed->mem[i] = (unsigned char)test_random(&seed);
	bed_send(bed, R3_BLK_WRITE, REQUESTS);
	bed_run_until(bed, 0, 10 * SECONDS);
	bed_check_all(bed, REQUESTS, 0);
	memset(bed->mem, 0, REQUESTS * BLOCK);
	bed_send(bed, R3_BLK_READ, REQUESTS);
	bed_run_until(bed, 0, 10 * SECONDS);
	bed_check_all(bed, REQUESTS, 0);
	seed = 7;
	for (unsigned i = 0; i < REQUESTS * BLOCK; i++)
		assert_int_equal(bed->mem[i], (unsigned char)test_random(&seed));
}

void bed_throttle(struct bed *bed, unsigned iops)
{
	char text[224];

	snprintf(text, sizeof(text),
		 "{\"id\":\"/machine/peripheral/"
		 "dev0%s\",\"bps\":0,\"bps_rd\":0,\"bps_wr\":0,\"iops\":%u,"
		 "\"iops_rd\":0,\"iops_wr\":0}",
		 faults_virtio() ? "/virtio-backend" : "", iops);
	bed_expect(r3_qemu_execute(bed->dev, "block_set_io_throttle", text, NULL), 0, "throttle");
}
