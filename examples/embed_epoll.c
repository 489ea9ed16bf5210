/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in a program's own epoll loop: embed_epoll ADDRESS [BYTES [MODE]] prints the
 * checksum of what it read. Before each sleep the loop asks to be woken; a yes to "is
 * something there already?" means a look at the other descriptors without sleeping. So
 * the same loop serves every mode, and an adaptive queue sleeps by itself when it is idle.
 */
#include "embed_read.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return r3_error_set(errno, "epoll: %s", strerror(errno));
	return 0;
}

/* Two descriptors of the disk, and one that stands for all else that a program has. */
static int set_up(struct reading *r, int epoll, int timer)
{
	const struct itimerspec every_second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
	int rc = watch(epoll, r3_blkq_fd(r->queue));

	if (rc == 0 && r3_block_fd(r->block) >= 0) /* a file: has none */
		rc = watch(epoll, r3_block_fd(r->block));
	if (rc == 0)
		rc = watch(epoll, timer);
	if (rc == 0 && timerfd_settime(timer, 0, &every_second, NULL) < 0)
		rc = r3_error_set(errno, "timer: %s", strerror(errno));
	return rc;
}

static int loop(struct reading *r, int epoll, int timer)
{
	for (;;) {
		struct epoll_event event[3];
		uint64_t expired;
		int rc = reading_step(r), n;

		if (rc < 0 || reading_is_done(r))
			return rc;
		n = epoll_wait(epoll, event, 3, r3_blkq_arm(r->queue) ? 0 : -1);
		if (n < 0 && errno != EINTR)
			return r3_error_set(errno, "epoll: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			if (event[i].data.fd == r3_block_fd(r->block))
				reading_dispatch(r);
			else if (event[i].data.fd == timer &&
				 read(timer, &expired, sizeof(expired)) > 0)
				reading_progress(r);
			/* the queue's needs no more than that we came: the next step reaps */
		}
	}
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct reading r;
	int rc = reading_open(&r, argc, argv);

	if (rc == 0)
		rc = set_up(&r, epoll, timer);
	if (rc == 0)
		rc = loop(&r, epoll, timer);
	rc = reading_close(&r, rc);
	close(timer);
	close(epoll);
	return rc;
}
