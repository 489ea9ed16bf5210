/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop: the server, which dispatches the block device too, signals, and the owner. Four
 * calls of epoll are less than any library's loop asks of the kernel, and a driver has thirty
 * calls in all.
 */
#include "host/host.h"

#include <ring3/error.h>
#include <ring3/log.h>
#include <ring3/serve_block.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int watch(const struct host_loop *loop, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};

	if (fd >= 0 && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return r3_error_set(errno, "watching a descriptor: %s", strerror(errno));
	return 0;
}

int host_loop_open(struct host_loop *loop, int owner)
{
	static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	sigset_t set;
	int rc;

	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaddset(&set, ends[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	*loop = (struct host_loop){.epoll = epoll_create1(EPOLL_CLOEXEC),
				   .signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
				   .owner = owner};
	if (loop->epoll < 0 || loop->signals < 0)
		return r3_error_set(errno, "making an event loop: %s", strerror(errno));
	rc = watch(loop, loop->signals);
	return rc < 0 ? rc : watch(loop, owner);
}

static void take_signals(struct host_loop *loop)
{
	struct signalfd_siginfo info;

	while (read(loop->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			loop->account = true;
		else
			loop->ends = true;
	}
}

static void hear(void *ctx, const struct r3_serve_block_event *event)
{
	struct host_loop *loop = ctx;

	r3_log(R3_LOG_INFO, "%s", event->text);
	if (event->type == R3_SERVE_BLOCK_EVENT && event->code == R3_BLOCK_EVENT_GONE)
		loop->gone = true;
}

static int account(struct host *host, const char *news)
{
	manifest_enter(&host->manifest, news);
	return manifest_print(&host->manifest, &host->opts.sandbox, &host->report);
}

static int serve(struct host *host, struct r3_serve_block *server)
{
	struct host_loop *loop = &host->loop;
	int rc = 1;

	while (rc > 0 && !loop->ends && !loop->gone) {
		struct epoll_event events[4];
		int n = epoll_wait(loop->epoll, events, 4, -1);

		if (n < 0 && errno != EINTR)
			return r3_error_set(errno, "waiting: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == loop->signals)
				take_signals(loop);
			else if (events[i].data.fd == loop->owner)
				loop->ends = true;
		}
		rc = r3_serve_block_dispatch(server);
		if (rc >= 0 && loop->account) {
			loop->account = false;
			if (account(host, "front-end") < 0)
				rc = -EIO;
		}
	}
	if (rc >= 0 && loop->gone && !loop->ends)
		return r3_error_set(EIO, "the device is gone");
	return rc < 0 ? rc : 0;
}

int host_loop_run(struct host *host, struct r3_block *block, int fd)
{
	const struct r3_serve_block_opts opts = {
		.size = sizeof(opts), .mode = host->opts.mode, .event = hear, .ctx = &host->loop};
	struct r3_serve_block *server;
	char where[16];
	int rc;

	snprintf(where, sizeof(where), "fd:%d", fd);
	rc = r3_serve_block_open(block, where, &opts, &server);
	close(fd); /* it has its own */
	if (rc < 0)
		return rc;
	rc = watch(&host->loop, r3_serve_block_fd(server));
	if (rc == 0)
		rc = account(host, "server");
	if (rc == 0)
		rc = serve(host, server);
	r3_serve_block_close(server);
	return rc;
}
