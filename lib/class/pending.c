/* SPDX-License-Identifier: BSD-2-Clause */
/* Events that wait for dispatch. */
#include "class/pending.h"

#include "util/fd.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int r3_pending_watch(struct r3_pending *pending, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(pending->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int r3_pending_open(struct r3_pending *pending)
{
	int rc;

	*pending = (struct r3_pending){
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	rc = pending->epoll < 0 || pending->eventfd < 0
		     ? -errno
		     : r3_pending_watch(pending, pending->eventfd);
	if (rc < 0)
		r3_pending_close(pending);
	return rc;
}

void r3_pending_close(struct r3_pending *pending)
{
	r3_fd_close(&pending->eventfd);
	r3_fd_close(&pending->epoll);
}

void r3_pending_put(struct r3_pending *pending, enum r3_block_event_type type, uint32_t detail)
{
	uint64_t one = 1;

	pending->event[type].is = true;
	pending->event[type].detail = detail;
	(void)!write(pending->eventfd, &one, sizeof(one)); /* fails only when readable anyway */
}

int r3_pending_take(struct r3_pending *pending, struct r3_block_event *events, unsigned max)
{
	unsigned n = 0, left = 0;
	uint64_t count;

	for (uint32_t type = 1; type <= R3_BLOCK_EVENT_WARNING; type++) {
		if (!pending->event[type].is)
			continue;
		if (n == max) {
			left++;
			continue;
		}
		events[n++] = (struct r3_block_event){.type = type,
						      .detail = pending->event[type].detail};
		pending->event[type].is = false;
	}
	if (!left)
		(void)!read(pending->eventfd, &count, sizeof(count));
	return (int)n;
}
