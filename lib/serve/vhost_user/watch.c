/* SPDX-License-Identifier: BSD-2-Clause */
/* What the server sleeps on: one epoll set. */
#include "serve/vhost_user/vhost_user.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

static uint64_t name_of(enum vub_watched what, unsigned index)
{
	return (uint64_t)what << 32 | index;
}

int vub_watch(struct r3_serve_block *serve, int fd, enum vub_watched what, unsigned index)
{
	struct epoll_event event = {
		.events = what == VUB_KICK ? EPOLLIN | EPOLLET : EPOLLIN,
		.data.u64 = name_of(what, index),
	};

	return epoll_ctl(serve->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void change(struct r3_serve_block *serve, int fd, enum vub_watched what, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = name_of(what, 0)};

	if (fd >= 0)
		(void)epoll_ctl(serve->epoll, EPOLL_CTL_MOD, fd, &event);
}

void vub_watch_port(struct r3_serve_block *serve, bool in, bool out)
{
	change(serve, r3_vhost_user_port_fd(&serve->port), VUB_PORT,
	       (in ? (uint32_t)EPOLLIN : 0) | (out ? (uint32_t)EPOLLOUT : 0));
}

void vub_watch_door(struct r3_serve_block *serve, bool on)
{
	change(serve, serve->door.fd, VUB_DOOR, on ? EPOLLIN : 0);
}

void vub_unwatch(struct r3_serve_block *serve, int fd)
{
	(void)epoll_ctl(serve->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void vub_set_deadline(struct r3_serve_block *serve, uint64_t ns)
{
	const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ns / R3_NSEC_PER_SEC),
						     .tv_nsec = (long)(ns % R3_NSEC_PER_SEC)}};

	serve->deadline = ns ? r3_clock_now(r3_clock_system()) + ns : 0;
	(void)timerfd_settime(serve->timer, 0, &when, NULL);
}
