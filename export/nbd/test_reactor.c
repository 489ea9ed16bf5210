/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reactor before a device that is none: the block interface below is this test's
 * own, holds requests back as told, and remembers what it saw.
 */
#include "export/nbd/reactor.h"

#include <errno.h>
#include <pthread.h>
#include <ring3/error.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "unit.h"

#define LBA     512u
#define MAX_LEN 65536u
#define SEEN    4096u

struct r3_block {
	pthread_mutex_t lock;
	struct r3_block_limits limits;
	unsigned depth, per_submit; /* how many one call takes */
	unsigned hold_below;        /* nothing completes before so many are in flight */
	unsigned fail_at;           /* this one, counted from 1, fails with EIO, 0x281 */
	bool gone, opened, queue_closed, closed;
	unsigned flying, most_flying, kicks, nseen, nfailed;
	struct r3_blk_req *held[SEEN], seen[SEEN];
	unsigned completed_at_submit[SEEN]; /* how many had completed by then */
	unsigned ncompleted;
	struct r3_block_event event;
	int fd, event_fd;
};

static struct r3_block fake;

int r3_block_open(const char *address, const struct r3_block_opts *opts, struct r3_block **out)
{
	if (strcmp(address, "fake:"))
		return r3_error_set(ENODEV, "%s is not here", address);
	fake.opened = true;
	fake.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fake.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*out = &fake;
	return 0;
}

void r3_block_close(struct r3_block *block)
{
	assert_true(block->queue_closed);
	block->closed = true;
	close(block->fd);
	close(block->event_fd);
}

const struct r3_block_limits *r3_block_get_limits(const struct r3_block *block)
{
	return &block->limits;
}

struct r3_device *r3_block_device(const struct r3_block *block)
{
	return NULL;
}

int r3_block_fd(const struct r3_block *block)
{
	return block->event_fd;
}

int r3_block_dispatch(struct r3_block *block, struct r3_block_event *events, unsigned max)
{
	eventfd_t count;

	assert_true(max > 0);
	if (eventfd_read(block->event_fd, &count))
		return 0;
	events[0] = block->event;
	return 1;
}

int r3_blkq_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out)
{
	*out = (struct r3_blkq *)block;
	return 0;
}

static struct r3_block *of(const struct r3_blkq *queue)
{
	return (struct r3_block *)(uintptr_t)queue;
}

void r3_blkq_close(struct r3_blkq *queue)
{
	of(queue)->queue_closed = true;
}

unsigned r3_blkq_depth(const struct r3_blkq *queue)
{
	return of(queue)->depth;
}

int r3_blkq_fd(const struct r3_blkq *queue)
{
	return of(queue)->fd;
}

int r3_blkq_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n)
{
	struct r3_block *f = of(queue);
	unsigned i;

	if (f->gone)
		return r3_error_set(ENODEV, "fake: is gone");
	pthread_mutex_lock(&f->lock);
	for (i = 0; i < n && i < f->per_submit && f->flying < f->depth; i++) {
		assert_true(f->nseen < SEEN);
		f->completed_at_submit[f->nseen] = f->ncompleted;
		f->seen[f->nseen++] = *reqs[i];
		f->held[f->flying++] = reqs[i];
		if (f->flying > f->most_flying)
			f->most_flying = f->flying;
	}
	pthread_mutex_unlock(&f->lock);
	return i ? (int)i : -EAGAIN;
}

int r3_blkq_kick(struct r3_blkq *queue)
{
	struct r3_block *f = of(queue);

	f->kicks++;
	if (f->flying >= f->hold_below)
		eventfd_write(f->fd, 1);
	return 0;
}

static void transfer(const struct r3_blk_req *req)
{
	uint64_t off = req->off;

	for (unsigned i = 0; i < req->nsg; i++) {
		uint64_t *word = req->sg[i].addr;

		for (size_t n = 0; n < req->sg[i].len / 8; n++, off += 8) {
			if (req->op == R3_BLK_READ)
				word[n] = off;
			else
				assert_int_equal(word[n], off);
		}
	}
}

int r3_blkq_reap(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max)
{
	struct r3_block *f = of(queue);
	eventfd_t count;
	unsigned n = 0;

	if (eventfd_read(f->fd, &count))
		return 0;
	pthread_mutex_lock(&f->lock);
	while (n < max && f->flying) {
		struct r3_blk_req *req = f->held[--f->flying]; /* last come, first served */

		transfer(req);
		f->ncompleted++;
		req->err = f->ncompleted == f->fail_at ? -EIO : 0;
		req->detail = req->err ? 0x281 : 0;
		reqs[n++] = req;
	}
	if (f->flying)
		eventfd_write(f->fd, 1);
	pthread_mutex_unlock(&f->lock);
	return (int)n;
}

int r3_blkq_arm(struct r3_blkq *queue)
{
	return 0; /* an eventfd is level-triggered */
}

int r3_blkq_do(struct r3_blkq *queue, enum r3_blk_op op, unsigned flags, uint64_t off, void *buf,
	       uint64_t len, uint64_t timeout_ns)
{
	struct r3_block *f = of(queue);

	assert_int_equal(f->flying, 0);
	f->seen[f->nseen++] = (struct r3_blk_req){.op = (uint8_t)op};
	return 0;
}

/* ---- the reactor's callbacks ---- */

static unsigned gone_calls, watch_calls, closed_calls;

static void gone(struct reactor *reactor, void *ctx, const char *text)
{
	assert_string_not_equal(text, "");
	gone_calls++;
}

static bool watch(struct reactor *reactor, void *ctx)
{
	watch_calls++;
	reactor_stop(reactor, 1000);
	return false;
}

static void closed(void *ctx)
{
	assert_true(fake.closed);
	closed_calls++;
}

static const struct reactor_ops ops = {.gone = gone, .watch = watch, .closed = closed};

static int setup(void **state)
{
	fake = (struct r3_block){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.limits = {.size = 1 << 20,
			   .block_size = LBA,
			   .max_len = MAX_LEN,
			   .max_zeroes_len = 2 * MAX_LEN,
			   .max_discard_len = 4 * MAX_LEN,
			   .features = R3_BLOCK_VOLATILE_CACHE | R3_BLOCK_FUA | R3_BLOCK_DISCARD |
				       R3_BLOCK_WRITE_ZEROES},
		.depth = 64,
		.per_submit = 64,
	};
	gone_calls = watch_calls = closed_calls = 0;
	return 0;
}

static struct reactor *start(void)
{
	struct reactor *r;

	assert_int_equal(reactor_start("fake:", NULL, R3_BLKQ_INTERRUPT, -1, &ops, NULL, &r), 0);
	return r;
}

static void end(struct reactor *r)
{
	reactor_stop(r, 5000);
	reactor_join(r);
	assert_true(fake.closed);
	assert_int_equal(closed_calls, 1);
}

static int once(struct reactor *r, enum r3_blk_op op, unsigned flags, uint64_t off, void *buf,
		uint64_t len)
{
	uint32_t detail;

	return reactor_do(r, op, flags, off, buf, len, &detail);
}

/* ---- many threads ---- */

struct worker {
	pthread_t thread;
	struct reactor *reactor;
	enum r3_blk_op op;
	uint64_t off, len;
	uint64_t *buf;
	int rc;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	w->rc = once(w->reactor, w->op, 0, w->off, w->buf, w->len);
	return NULL;
}

static void workers_start(struct worker *w, unsigned n, struct reactor *r)
{
	for (unsigned i = 0; i < n; i++) {
		w[i] = (struct worker){
			.reactor = r, .op = R3_BLK_READ, .off = i * 4096u, .len = 4096};
		w[i].buf = malloc(w[i].len);
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
}

static void workers_join(struct worker *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		if (w[i].rc == 0) {
			for (unsigned k = 0; k < w[i].len / 8; k++)
				assert_int_equal(w[i].buf[k], w[i].off + 8 * k);
		}
		free(w[i].buf);
	}
}

static void requests_run_side_by_side(void **state)
{
	struct worker w[32];
	struct reactor *r;

	fake.hold_below = 32; /* with fewer at once this test would hang */
	r = start();
	workers_start(w, 32, r);
	workers_join(w, 32);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(w[i].rc, 0);
	assert_int_equal(fake.most_flying, 32);
	end(r);
}

/* ---- one job ---- */

static void fill(uint64_t *buf, uint64_t off, uint64_t len)
{
	for (uint64_t i = 0; i < len / 8; i++)
		buf[i] = off + 8 * i;
}

static void check_cover(uint64_t off, uint64_t len, uint64_t max)
{
	for (unsigned i = 0; i < fake.nseen; i++) {
		assert_int_equal(fake.seen[i].off, off);
		assert_in_range(fake.seen[i].len, LBA, max);
		off += fake.seen[i].len;
		len -= fake.seen[i].len;
	}
	assert_int_equal(len, 0);
}

static void long_jobs_are_cut(void **state)
{
	const uint64_t off = 3 * LBA, len = 9 * MAX_LEN + LBA;
	uint64_t *buf = malloc(len);
	struct reactor *r;

	fake.depth = 4; /* fewer slots than parts */
	fake.per_submit = 3;
	r = start();
	fill(buf, off, len);
	assert_int_equal(once(r, R3_BLK_WRITE, 0, off, buf, len), 0);
	check_cover(off, len, MAX_LEN);
	assert_true(fake.most_flying <= 4);

	fake.nseen = 0;
	memset(buf, 0xff, len);
	assert_int_equal(once(r, R3_BLK_READ, 0, off, buf, len), 0);
	check_cover(off, len, MAX_LEN);
	for (uint64_t i = 0; i < len / 8; i++)
		assert_int_equal(buf[i], off + 8 * i);

	fake.nseen = 0;
	assert_int_equal(once(r, R3_BLK_WRITE_ZEROES, R3_BLK_MAY_UNMAP, off, NULL, len), 0);
	check_cover(off, len, 2 * MAX_LEN);
	assert_int_equal(fake.seen[0].flags, R3_BLK_MAY_UNMAP);

	fake.nseen = 0;
	assert_int_equal(once(r, R3_BLK_DISCARD, 0, off, NULL, len), 0);
	check_cover(off, len, 4 * MAX_LEN);
	free(buf);
	end(r);
}

static void fua_reaches_the_medium(void **state)
{
	uint64_t buf[3 * MAX_LEN / 8];
	struct reactor *r = start();

	fill(buf, 0, sizeof(buf));
	assert_int_equal(once(r, R3_BLK_WRITE, R3_BLK_FUA, 0, buf, sizeof(buf)), 0);
	assert_int_equal(fake.nseen, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(fake.seen[i].flags, R3_BLK_FUA);

	/* A discard has no such flag. */
	fake.nseen = 0;
	assert_int_equal(once(r, R3_BLK_DISCARD, R3_BLK_FUA, 0, NULL, LBA), 0);
	assert_int_equal(fake.nseen, 2);
	assert_int_equal(fake.seen[0].flags, 0);
	assert_int_equal(fake.seen[1].op, R3_BLK_FLUSH);
	end(r);
}

static void fua_without_the_feature_flushes_behind_all_parts(void **state)
{
	uint64_t buf[3 * MAX_LEN / 8];
	struct reactor *r;

	fake.limits.features &= ~(uint32_t)R3_BLOCK_FUA;
	r = start();
	fill(buf, 0, sizeof(buf));
	assert_int_equal(once(r, R3_BLK_WRITE, R3_BLK_FUA, 0, buf, sizeof(buf)), 0);
	assert_int_equal(fake.nseen, 4);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(fake.seen[i].flags, 0);
	assert_int_equal(fake.seen[3].op, R3_BLK_FLUSH);
	assert_int_equal(fake.completed_at_submit[3], 3);
	end(r);
}

static void fua_without_a_cache_needs_no_flush(void **state)
{
	uint64_t buf[LBA / 8];
	struct reactor *r;

	fake.limits.features = 0;
	r = start();
	fill(buf, 0, sizeof(buf));
	assert_int_equal(once(r, R3_BLK_WRITE, R3_BLK_FUA, 0, buf, sizeof(buf)), 0);
	assert_int_equal(fake.nseen, 1);
	end(r);
	assert_int_equal(fake.nseen, 1);
}

static void the_last_flush_comes_before_closing(void **state)
{
	struct reactor *r = start();

	end(r);
	assert_int_equal(fake.nseen, 1);
	assert_int_equal(fake.seen[0].op, R3_BLK_FLUSH);
}

static void bad_jobs_are_refused(void **state)
{
	uint64_t buf[LBA / 8] = {0};
	struct reactor *r;

	fake.limits.max_discard_len = 0;
	r = start();
	assert_int_equal(once(r, R3_BLK_READ, 0, 1, buf, LBA), -EINVAL);
	assert_int_equal(once(r, R3_BLK_READ, 0, 0, buf, LBA - 1), -EINVAL);
	assert_int_equal(once(r, R3_BLK_READ, 0, 1 << 20, buf, LBA), -EINVAL);
	assert_int_equal(once(r, R3_BLK_READ, 0, 0 - (uint64_t)LBA, buf, 2 * LBA), -EINVAL);
	assert_int_equal(once(r, R3_BLK_DISCARD, 0, 0, NULL, LBA), -EOPNOTSUPP);
	assert_int_equal(once(r, R3_BLK_READ, 0, 0, buf, 0), 0);
	assert_int_equal(fake.nseen, 0);
	end(r);
}

static void an_error_ends_its_job_alone(void **state)
{
	const uint64_t len = 8 * MAX_LEN;
	uint64_t *buf = malloc(len);
	struct reactor *r;
	uint32_t detail;

	fake.depth = 2;
	fake.fail_at = 1;
	r = start();
	assert_int_equal(reactor_do(r, R3_BLK_READ, 0, 0, buf, len, &detail), -EIO);
	assert_int_equal(detail, 0x281);
	assert_true(fake.nseen < 8); /* what was left was not asked for */
	assert_int_equal(reactor_do(r, R3_BLK_READ, 0, 0, buf, len, &detail), 0);
	assert_int_equal(detail, 0);
	free(buf);
	end(r);
}

/* ---- the end ---- */

static void wait_flying(unsigned n)
{
	unsigned flying;

	do {
		pthread_mutex_lock(&fake.lock);
		flying = fake.flying;
		pthread_mutex_unlock(&fake.lock);
		sched_yield();
	} while (flying < n);
}

static void what_hangs_fails_when_stopped(void **state)
{
	struct worker w[8];
	struct reactor *r;

	fake.depth = 4; /* half of them do not even get on the queue */
	fake.hold_below = 1000;
	r = start();
	workers_start(w, 8, r);
	wait_flying(4);
	reactor_stop(r, 1);
	workers_join(w, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(w[i].rc, -ESHUTDOWN);
	reactor_join(r);
	assert_true(fake.closed);
	assert_int_equal(fake.nseen, 4); /* and no flush behind what hangs */
}

static void what_is_at_hand_completes_before_stopping(void **state)
{
	struct worker w[8];
	struct reactor *r;

	fake.hold_below = 9;
	r = start();
	workers_start(w, 8, r);
	wait_flying(8);
	reactor_stop(r, 10000);
	assert_int_equal(once(r, R3_BLK_FLUSH, 0, 0, NULL, 0), -ESHUTDOWN);
	eventfd_write(fake.fd, 1);
	workers_join(w, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(w[i].rc, 0);
	reactor_join(r);
}

static void a_device_that_is_gone_fails_every_job(void **state)
{
	uint64_t buf[LBA / 8];
	struct reactor *r;

	fake.gone = true;
	r = start();
	assert_int_equal(once(r, R3_BLK_READ, 0, 0, buf, LBA), -ENODEV);
	assert_int_equal(once(r, R3_BLK_FLUSH, 0, 0, NULL, 0), -ENODEV);
	end(r); /* the reactor refuses jobs a moment before it says so */
	assert_int_equal(gone_calls, 1);
	assert_int_equal(fake.nseen, 0);
}

static void events_of_the_device(void **state)
{
	struct r3_block_limits limits;
	struct reactor *r = start();

	fake.limits.size = 2 << 20;
	fake.event = (struct r3_block_event){.type = R3_BLOCK_EVENT_GEOMETRY};
	eventfd_write(fake.event_fd, 1);
	do
		reactor_limits(r, &limits);
	while (limits.size == 1 << 20);
	assert_int_equal(limits.size, 2 << 20);

	fake.event = (struct r3_block_event){.type = R3_BLOCK_EVENT_GONE};
	eventfd_write(fake.event_fd, 1);
	while (once(r, R3_BLK_FLUSH, 0, 0, NULL, 0) != -ENODEV)
		;
	end(r);
	assert_int_equal(gone_calls, 1);
}

static void the_owner_is_watched(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct reactor *r;

	assert_int_equal(reactor_start("fake:", NULL, R3_BLKQ_INTERRUPT, fd, &ops, NULL, &r), 0);
	reactor_join(r); /* the callback stops it */
	assert_int_equal(watch_calls, 1);
	assert_true(fake.closed);
	close(fd);
}

static void what_cannot_be_opened_says_why(void **state)
{
	struct reactor *r;

	assert_int_equal(reactor_start("lost:", NULL, R3_BLKQ_INTERRUPT, -1, &ops, NULL, &r),
			 -ENODEV);
	assert_string_equal(r3_error_text(), "lost: is not here");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(requests_run_side_by_side, setup),
		cmocka_unit_test_setup(long_jobs_are_cut, setup),
		cmocka_unit_test_setup(fua_reaches_the_medium, setup),
		cmocka_unit_test_setup(fua_without_the_feature_flushes_behind_all_parts, setup),
		cmocka_unit_test_setup(fua_without_a_cache_needs_no_flush, setup),
		cmocka_unit_test_setup(the_last_flush_comes_before_closing, setup),
		cmocka_unit_test_setup(bad_jobs_are_refused, setup),
		cmocka_unit_test_setup(an_error_ends_its_job_alone, setup),
		cmocka_unit_test_setup(what_hangs_fails_when_stopped, setup),
		cmocka_unit_test_setup(what_is_at_hand_completes_before_stopping, setup),
		cmocka_unit_test_setup(a_device_that_is_gone_fails_every_job, setup),
		cmocka_unit_test_setup(events_of_the_device, setup),
		cmocka_unit_test_setup(the_owner_is_watched, setup),
		cmocka_unit_test_setup(what_cannot_be_opened_says_why, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
