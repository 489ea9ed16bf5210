/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver, as a program uses it: r3_block, and a r3_blkq that is polled or adaptive. */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <ring3/block.h>
#include <ring3/error.h>
#include <stdlib.h>

#define WAIT (5 * R3_NSEC_PER_SEC)

struct driver {
	struct r3_block *block;
	struct r3_blkq *queue;
	void *data;
	uint64_t blocks; /* of BENCH_LEN */
	bool sleeps;
	struct r3_blk_req req[BENCH_DEPTH_MAX];
	struct r3_sg sg[BENCH_DEPTH_MAX];
};

static void driver_close(void *self)
{
	struct driver *driver = self;

	r3_blkq_close(driver->queue);
	if (driver->block)
		r3_block_free(driver->block, driver->data);
	r3_block_close(driver->block);
	free(driver);
}

static int open_in(enum r3_blkq_mode mode, const char *address, void **out)
{
	const struct r3_blkq_opts opts = {
		.size = sizeof(opts), .depth = BENCH_ENTRIES - 1, .mode = mode};
	struct driver *driver = calloc(1, sizeof(*driver));
	int rc;

	if (!driver)
		return r3_error_set(ENOMEM, "driver: no memory");
	rc = r3_block_open(address, NULL, &driver->block);
	if (rc == 0)
		rc = r3_block_alloc(driver->block, BENCH_DEPTH_MAX * BENCH_LEN, &driver->data);
	if (rc == 0)
		rc = r3_blkq_open(driver->block, &opts, &driver->queue);
	if (rc < 0) {
		driver_close(driver);
		return rc;
	}
	driver->blocks = r3_block_get_limits(driver->block)->size / BENCH_LEN;
	for (unsigned i = 0; i < BENCH_DEPTH_MAX; i++) {
		driver->sg[i] = (struct r3_sg){(char *)driver->data + i * BENCH_LEN, BENCH_LEN};
		driver->req[i] = (struct r3_blk_req){
			.op = R3_BLK_READ, .nsg = 1, .len = BENCH_LEN, .sg = &driver->sg[i]};
	}
	driver->sleeps = mode != R3_BLKQ_POLL;
	*out = driver;
	return 0;
}

static int driver_open(const char *address, void **out)
{
	return open_in(R3_BLKQ_POLL, address, out);
}

static int adaptive_open(const char *address, void **out)
{
	return open_in(R3_BLKQ_ADAPTIVE, address, out);
}

static int submit(struct driver *driver, struct r3_blk_req **reqs, unsigned n, uint64_t *state)
{
	for (unsigned i = 0; i < n; i++)
		reqs[i]->off = bench_next(state, driver->blocks) * BENCH_LEN;
	if (r3_blkq_submit(driver->queue, reqs, n) != (int)n)
		return r3_error_set(EIO, "driver: submit: %s", r3_error_text());
	return r3_blkq_kick(driver->queue);
}

/* One turn of an event loop that found nothing to reap. */
static void sleep_on(struct driver *driver)
{
	struct pollfd fds[] = {{.fd = r3_blkq_fd(driver->queue), .events = POLLIN},
			       {.fd = r3_block_fd(driver->block), .events = POLLIN}};

	if (r3_blkq_arm(driver->queue) == 0 && poll(fds, 2, WAIT / R3_NSEC_PER_MSEC) > 0 &&
	    fds[1].revents)
		(void)r3_block_dispatch(driver->block, NULL, 0);
}

static int driver_run(void *self, unsigned depth, uint64_t ns, uint64_t *ios, uint64_t *took)
{
	struct driver *driver = self;
	struct r3_clock *clock = r3_clock_system();
	struct r3_blk_req *reqs[BENCH_DEPTH_MAX];
	uint64_t begin = r3_clock_now(clock), last = begin, done = 0, state = 1;
	unsigned inflight = depth;
	int rc;

	for (unsigned i = 0; i < depth; i++)
		reqs[i] = &driver->req[i];
	rc = submit(driver, reqs, depth, &state);
	while (rc == 0 && inflight) {
		bool more = last - begin < ns;
		int n = r3_blkq_reap(driver->queue, reqs, depth);

		for (int i = 0; i < n; i++)
			if (reqs[i]->err)
				return r3_error_set(-reqs[i]->err, "driver: read: status 0x%x",
						    reqs[i]->detail);
		if (n > 0) {
			if (more)
				rc = submit(driver, reqs, (unsigned)n, &state);
			else
				inflight -= (unsigned)n;
			done += (unsigned)n;
			last = r3_clock_now(clock);
		} else if (n < 0 || r3_clock_now(clock) - last > WAIT) {
			return r3_error_set(ETIMEDOUT, "driver: read: no answer");
		} else if (driver->sleeps) {
			sleep_on(driver);
		}
	}
	*ios = done;
	*took = last - begin;
	return rc;
}

const struct subject bench_driver = {
	.name = "driver",
	.open = driver_open,
	.run = driver_run,
	.close = driver_close,
};

const struct subject bench_adaptive = {
	.name = "adaptive",
	.open = adaptive_open,
	.run = driver_run,
	.close = driver_close,
};
