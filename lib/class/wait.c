/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for a queue, for programs of one thread: whoever waits also does what the
 * block handle has to do meanwhile, or a device whose interrupts come by dispatch
 * would never complete anything.
 */
#include "class/limits.h"

#include <ring3/driver.h>

#include <errno.h>
#include <poll.h>
#include <time.h>

/* A block fd that has just been served is left out of one sleep this long: it stays
 * readable while events are kept for a program that does not ask for them. */
#define PAUSE_NS (250 * R3_NSEC_PER_USEC)

#define QUEUE_READY 1
#define BLOCK_READY 2

/** Sleep on the fds. Returns the set of those that are ready, or -EINTR. */
static int doze(const struct r3_blkq *queue, bool served, uint64_t ns)
{
	struct pollfd fds[2] = {
		{.fd = queue->fd, .events = POLLIN}, /* poll() skips negative ones */
		{.fd = served ? -1 : r3_block_fd(queue->block), .events = POLLIN},
	};

	if (served && ns > PAUSE_NS)
		ns = PAUSE_NS;
	if (ns > R3_NSEC_PER_SEC)
		ns = R3_NSEC_PER_SEC;
	struct timespec ts = {.tv_sec = (time_t)(ns / R3_NSEC_PER_SEC),
			      .tv_nsec = (long)(ns % R3_NSEC_PER_SEC)};
	if (ppoll(fds, 2, &ts, NULL) < 0)
		return r3_error_set(errno, "%s: waiting was interrupted", queue->block->name);
	return (fds[0].revents ? QUEUE_READY : 0) | (fds[1].revents ? BLOCK_READY : 0);
}

int r3_blkq_wait(struct r3_blkq *queue, uint64_t timeout_ns)
{
	struct r3_block *block = queue->block;
	struct r3_wait wait = r3_wait_begin(block->clock, timeout_ns);
	/* On any other clock ppoll() would not know when the time is up. */
	bool sleeps = queue->fd >= 0 && block->clock == r3_clock_system();
	bool served = false;

	for (;;) {
		uint64_t left = r3_wait_left(&wait);
		int rc = r3_blkq_arm(queue);
		if (rc)
			return rc < 0 ? rc : 0;

		rc = doze(queue, served, sleeps ? left : 0);
		if (rc < 0)
			return rc;
		if (rc & QUEUE_READY)
			return 0;
		served = rc & BLOCK_READY;
		if (served) {
			/* What goes wrong there, the requests will say. */
			(void)r3_block_dispatch(block, NULL, 0);
			continue;
		}
		if (sleeps ? !left : !r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT, "%s: nothing completed in %llu ms",
					    block->name,
					    (unsigned long long)(timeout_ns / R3_NSEC_PER_MSEC));
	}
}

/** Run queue->one. Interruptions are no reason to leave it. */
static int run(struct r3_blkq *queue, struct r3_wait *wait)
{
	struct r3_blk_req *req = &queue->one, *done;
	int rc;

	while ((rc = r3_blkq_submit(queue, &req, 1)) == -EAGAIN) {
		rc = r3_blkq_wait(queue, r3_wait_left(wait));
		if (rc && rc != -EINTR)
			return rc;
		if (!r3_wait_left(wait))
			return r3_error_set(ETIMEDOUT, "%s: it did not take a %s in time",
					    queue->block->name, r3_blk_op_name(req->op));
	}
	if (rc < 0)
		return rc;

	/* Should it fail, the request is as good as any other and says so itself. */
	(void)r3_blkq_kick(queue);
	while (!r3_blkq_reap(queue, &done, 1)) {
		rc = r3_blkq_wait(queue, r3_wait_left(wait));
		if (rc && rc != -EINTR)
			return rc;
	}
	if (req->err)
		return r3_error_set(-req->err, "%s: %s of %llu bytes at %llu failed, detail 0x%x",
				    queue->block->name, r3_blk_op_name(req->op),
				    (unsigned long long)req->len, (unsigned long long)req->off,
				    req->detail);
	return 0;
}

static uint64_t longest(const struct r3_block_limits *limits, enum r3_blk_op op, uint64_t off,
			uint64_t len)
{
	uint64_t size = r3_limit(limits, size);
	uint64_t max = op == R3_BLK_WRITE_ZEROES ? r3_limit(limits, max_zeroes_len)
		       : op == R3_BLK_DISCARD    ? r3_limit(limits, max_discard_len)
						 : r3_limit(limits, max_len);

	/* What is wrong as a whole stays whole: submit refuses it before any is done. */
	if (!max || ((off | len) & (limits->block_size - 1)) || off > size || len > size - off)
		return len;
	return max;
}

int r3_blkq_do(struct r3_blkq *queue, enum r3_blk_op op, unsigned flags, uint64_t off, void *buf,
	       uint64_t len, uint64_t timeout_ns)
{
	struct r3_block *block = queue->block;
	struct r3_wait wait = r3_wait_begin(block->clock, timeout_ns);
	bool data = op == R3_BLK_READ || op == R3_BLK_WRITE;
	unsigned char *at = buf;

	if (queue->inflight)
		return r3_error_set(EBUSY, "%s: the queue has requests in flight", block->name);
	if ((unsigned)op >= R3_BLK_NOPS || flags > UINT8_MAX)
		return r3_error_set(EINVAL, "%s: there is no operation %u with flags 0x%x",
				    block->name, (unsigned)op, flags);
	if (op == R3_BLK_FLUSH)
		off = len = 0;

	uint64_t max = longest(&block->limits, op, off, len);
	do {
		uint64_t now = len < max ? len : max;
		queue->one_sg = (struct r3_sg){.addr = at, .len = (size_t)now};
		queue->one = (struct r3_blk_req){
			.op = (uint8_t)op,
			.flags = (uint8_t)flags,
			.nsg = data,
			.off = off,
			.len = now,
			.sg = data ? &queue->one_sg : NULL,
		};
		int rc = run(queue, &wait);
		if (rc)
			return rc;
		off += now;
		len -= now;
		at = data ? at + now : NULL;
	} while (len);
	return 0;
}
