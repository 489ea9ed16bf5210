/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs come in under the lock; everything else is the reactor's own. It sleeps on the
 * queue's fd, the block's fd, its owner's fd and an eventfd, which is written only
 * when somebody found it asleep: under load nobody makes a system call to hand over.
 */
#include "reactor.h"
#include "issuer.h"

#include <errno.h>
#include <pthread.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_TIMEOUT_NS 1000000000ull /* of the last flush, before closing */

struct reactor {
	pthread_t thread;
	sem_t started;
	int start_err;
	char start_text[1024];

	const char *address;
	const struct r3_block_opts *opts;
	enum r3_blkq_mode mode;
	const struct reactor_ops *ops;
	void *ctx;

	pthread_mutex_t lock; /* for this group */
	struct jobs incoming;
	struct r3_block_limits limits;
	uint64_t deadline; /* of stopping, on CLOCK_MONOTONIC in ns; 0: go on */
	bool asleep;
	int refuse; /* what new jobs get; 0: they are taken */

	int wake_fd, watch_fd, epoll_fd;
	struct r3_block *block;
	struct r3_blkq *queue;
	struct issuer issuer;
	bool gone; /* and said so */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static int watch(struct reactor *r, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= 0 && epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return r3_error_set(errno, "watching a file descriptor: %s", strerror(errno));
	return 0;
}

static int reactor_open(struct reactor *r)
{
	struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = r->mode};
	int rc;

	rc = r3_block_open(r->address, r->opts, &r->block);
	if (rc)
		return rc;
	r->limits = *r3_block_get_limits(r->block);
	rc = r3_blkq_open(r->block, &opts, &r->queue);
	if (rc)
		goto close_block;
	rc = issuer_init(&r->issuer, r->queue, &r->limits);
	if (rc)
		goto close_queue;
	if ((rc = watch(r, r3_blkq_fd(r->queue))) || (rc = watch(r, r3_block_fd(r->block))) ||
	    (rc = watch(r, r->watch_fd)))
		goto finish_issuer;
	return 0;

finish_issuer:
	issuer_finish(&r->issuer, -ESHUTDOWN);
close_queue:
	r3_blkq_close(r->queue);
close_block:
	r3_block_close(r->block);
	return rc;
}

/** Whatever has not completed by now fails; the device is shut down in good order. */
static void reactor_close(struct reactor *r)
{
	uint32_t features = r->issuer.limits.features;

	if (issuer_idle(&r->issuer) && !r->gone && (features & R3_BLOCK_VOLATILE_CACHE) &&
	    !(features & R3_BLOCK_READ_ONLY))
		r3_blkq_do(r->queue, R3_BLK_FLUSH, 0, 0, NULL, 0, FLUSH_TIMEOUT_NS);
	r3_blkq_close(r->queue);
	issuer_finish(&r->issuer, -ESHUTDOWN);
	r3_block_close(r->block);
}

static void device_gone(struct reactor *r, const char *text)
{
	r->issuer.gone = true;
	if (r->gone)
		return;
	r->gone = true;
	pthread_mutex_lock(&r->lock);
	r->refuse = -ENODEV;
	pthread_mutex_unlock(&r->lock);
	r->ops->gone(r, r->ctx, text);
}

static void reactor_dispatch(struct reactor *r)
{
	struct r3_block_event events[8];
	int n;

	do {
		n = r3_block_dispatch(r->block, events, 8);
		for (int i = 0; i < n; i++) {
			if (events[i].type == R3_BLOCK_EVENT_GONE) {
				device_gone(r, "the device is gone");
			} else if (events[i].type == R3_BLOCK_EVENT_GEOMETRY) {
				r->issuer.limits = *r3_block_get_limits(r->block);
				pthread_mutex_lock(&r->lock);
				r->limits = r->issuer.limits;
				pthread_mutex_unlock(&r->lock);
			}
		}
	} while (n == 8);
	if (n < 0)
		device_gone(r, r3_error_text());
}

/** Sleep until there is something to do, and do what is not the queue's. */
static void reactor_sleep(struct reactor *r, uint64_t seen_deadline)
{
	struct epoll_event events[4];
	uint64_t now, deadline;
	/* While it polls, whoever brings a job need not wake it. */
	bool work = r3_blkq_arm(r->queue) == 1;
	int timeout = -1, n;

	pthread_mutex_lock(&r->lock);
	deadline = r->deadline;
	work = work || r->incoming.first || deadline != seen_deadline;
	r->asleep = !work;
	pthread_mutex_unlock(&r->lock);
	if (work) {
		timeout = 0;
	} else if (deadline) {
		now = now_ns();
		timeout = now < deadline ? (int)((deadline - now) / 1000000) + 1 : 0;
	}

	n = epoll_wait(r->epoll_fd, events, 4, timeout);
	pthread_mutex_lock(&r->lock);
	r->asleep = false;
	pthread_mutex_unlock(&r->lock);
	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		eventfd_t count;

		if (fd == r->wake_fd)
			eventfd_read(r->wake_fd, &count);
		else if (fd == r->watch_fd && !r->ops->watch(r, r->ctx))
			epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		else if (fd == r3_block_fd(r->block))
			reactor_dispatch(r);
	}
}

static void reactor_loop(struct reactor *r)
{
	for (;;) {
		uint64_t deadline;

		pthread_mutex_lock(&r->lock);
		jobs_move(&r->issuer.todo, &r->incoming);
		deadline = r->deadline;
		pthread_mutex_unlock(&r->lock);
		if (deadline && (issuer_idle(&r->issuer) || now_ns() >= deadline))
			return;
		if (issuer_issue(&r->issuer) == -ENODEV)
			device_gone(r, r3_error_text());
		if (issuer_reap(&r->issuer) == 0)
			reactor_sleep(r, deadline);
	}
}

static void *reactor_main(void *arg)
{
	struct reactor *r = arg;

	r->start_err = reactor_open(r);
	if (r->start_err) {
		snprintf(r->start_text, sizeof(r->start_text), "%s", r3_error_text());
		sem_post(&r->started);
		return NULL;
	}
	sem_post(&r->started);
	reactor_loop(r);
	reactor_close(r);
	r->ops->closed(r->ctx);
	return NULL;
}

static void reactor_free(struct reactor *r)
{
	close(r->epoll_fd);
	close(r->wake_fd);
	pthread_mutex_destroy(&r->lock);
	sem_destroy(&r->started);
	free(r);
}

/** Signals are for nbdkit's own threads. */
static int start_thread(struct reactor *r)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&r->thread, NULL, reactor_main, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? r3_error_set(rc, "starting a thread: %s", strerror(rc)) : 0;
}

int reactor_start(const char *address, const struct r3_block_opts *opts, enum r3_blkq_mode mode,
		  int watch_fd, const struct reactor_ops *ops, void *ctx, struct reactor **out)
{
	struct reactor *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return r3_error_set(ENOMEM, "out of memory");
	r->address = address;
	r->opts = opts;
	r->mode = mode;
	r->ops = ops;
	r->ctx = ctx;
	r->watch_fd = watch_fd;
	jobs_init(&r->incoming);
	pthread_mutex_init(&r->lock, NULL);
	sem_init(&r->started, 0, 0);
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->wake_fd < 0 || r->epoll_fd < 0) {
		rc = r3_error_set(errno, "making an event loop: %s", strerror(errno));
		goto free_reactor;
	}
	rc = watch(r, r->wake_fd);
	if (rc)
		goto free_reactor;
	rc = start_thread(r);
	if (rc)
		goto free_reactor;
	while (sem_wait(&r->started) && errno == EINTR)
		;
	if (r->start_err) {
		pthread_join(r->thread, NULL);
		rc = r3_error_set(-r->start_err, "%s", r->start_text);
		goto free_reactor;
	}
	*out = r;
	return 0;

free_reactor:
	reactor_free(r);
	return rc;
}

static int job_check(const struct job *job, const struct r3_block_limits *limits)
{
	if (job->op == R3_BLK_FLUSH)
		return 0;
	if (issuer_max_len(limits, job->op) == 0)
		return -EOPNOTSUPP;
	if ((job->off | job->left) & (limits->block_size - 1))
		return -EINVAL;
	if (job->off > limits->size || job->left > limits->size - job->off)
		return -EINVAL;
	return 0;
}

int reactor_do(struct reactor *r, enum r3_blk_op op, unsigned flags, uint64_t off, void *buf,
	       uint64_t len, uint32_t *detail)
{
	struct job job = {.op = (uint8_t)op,
			  .flags = (uint8_t)flags,
			  .off = off,
			  .left = op == R3_BLK_FLUSH ? 0 : len,
			  .buf = buf};
	bool wake = false;
	int rc;

	*detail = 0;
	if (len == 0 && op != R3_BLK_FLUSH)
		return 0;
	pthread_mutex_lock(&r->lock);
	if ((flags & R3_BLK_FUA) &&
	    (op == R3_BLK_DISCARD || !(r->limits.features & R3_BLOCK_FUA))) {
		job.flags &= (uint8_t)~R3_BLK_FUA;
		job.flush_after = r->limits.features & R3_BLOCK_VOLATILE_CACHE;
	}
	rc = r->refuse ? r->refuse : job_check(&job, &r->limits);
	if (rc == 0) {
		sem_init(&job.done, 0, 0);
		jobs_add(&r->incoming, &job);
		wake = r->asleep;
		r->asleep = false; /* one wake-up is enough */
	}
	pthread_mutex_unlock(&r->lock);
	if (rc)
		return rc;
	if (wake)
		eventfd_write(r->wake_fd, 1);
	while (sem_wait(&job.done) && errno == EINTR)
		;
	sem_destroy(&job.done);
	*detail = job.detail;
	return job.err;
}

void reactor_limits(struct reactor *r, struct r3_block_limits *limits)
{
	pthread_mutex_lock(&r->lock);
	*limits = r->limits;
	pthread_mutex_unlock(&r->lock);
}

struct r3_device *reactor_device(const struct reactor *r)
{
	return r3_block_device(r->block);
}

void reactor_stop(struct reactor *r, unsigned drain_ms)
{
	uint64_t deadline = now_ns() + drain_ms * 1000000ull;

	pthread_mutex_lock(&r->lock);
	if (!r->deadline || deadline < r->deadline)
		r->deadline = deadline;
	if (!r->refuse)
		r->refuse = -ESHUTDOWN;
	pthread_mutex_unlock(&r->lock);
	eventfd_write(r->wake_fd, 1);
}

void reactor_join(struct reactor *r)
{
	pthread_join(r->thread, NULL);
	reactor_free(r);
}
