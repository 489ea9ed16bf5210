/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop of `ring3 serve`: signals, the owner and patience are sd-event's. The server stands
 * beside it, because a client waits for each of its answers, and a turn of sd-event's loop
 * takes a tenth of the time that such a round takes: both are waited for at once, and as
 * long as nobody but the server has work, sd-event sleeps on.
 *
 * When the device is gone its client is told so by the server; he gets a moment to leave
 * before we do.
 */
#include "serve.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <ring3/trace.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define PATIENCE_US (2 * 1000000)
#define EXACT       1 /* else sd-event opens a file, to spread wake-ups, when it is too late */

/** End the loop, which is so from its next turn on. */
static int leave_with(struct serve_loop *loop, int rc)
{
	loop->changed = true;
	return sd_event_exit(loop->event, rc);
}

static int leave(struct serve_loop *loop)
{
	const char *why = r3_serve_dead(loop->serve);

	if (!loop->gone)
		return leave_with(loop, 0);
	r3_error_set(EIO, "%s: %s", r3_device_get_info(loop->dev)->name,
		     why ? why : "the device is gone");
	return leave_with(loop, -EIO);
}

static int serve(struct serve_loop *loop)
{
	int rc = r3_serve_dispatch(loop->serve);

	if (rc < 0)
		return leave_with(loop, rc);
	if (rc == 0 || (loop->gone && !loop->client))
		return leave(loop);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
	struct serve_loop *loop = user;

	if (info->ssi_signo != SIGUSR1)
		return sd_event_exit(loop->event, 0);
	if (r3_trace_flush(loop->dev))
		r3_log(R3_LOG_WARN, "no trace: %s", r3_error_text());
	return 0;
}

static int on_owner(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct serve_loop *loop = user;
	char word[64];

	return read(fd, word, sizeof(word)) > 0 ? 0 : sd_event_exit(loop->event, 0);
}

static int on_impatience(sd_event_source *source, uint64_t usec, void *user)
{
	return leave(user);
}

static int add_signals(struct serve_loop *loop)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1};
	sigset_t set;
	int rc = 0;

	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (unsigned i = 0; rc >= 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		rc = sd_event_add_signal(loop->event, NULL, numbers[i], on_signal, loop);
	return rc;
}

static int watch(struct serve_loop *loop, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(loop->both, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int serve_loop_open(struct serve_loop *loop, struct r3_serve *serve, struct r3_device *dev,
		    int owner)
{
	int rc;

	loop->serve = serve;
	loop->dev = dev;
	loop->both = epoll_create1(EPOLL_CLOEXEC);
	rc = loop->both < 0 ? -errno : sd_event_new(&loop->event);
	if (rc < 0)
		return r3_error_set(-rc, "making an event loop: %s", strerror(-rc));
	if ((rc = watch(loop, r3_serve_fd(serve))) < 0 ||
	    (rc = watch(loop, sd_event_get_fd(loop->event))) < 0 || (rc = add_signals(loop)) < 0 ||
	    (rc = sd_event_add_time(loop->event, &loop->patience, CLOCK_MONOTONIC, UINT64_MAX,
				    EXACT, on_impatience, loop)) < 0)
		return r3_error_set(-rc, "filling an event loop: %s", strerror(-rc));
	if (owner < 0)
		return 0;
	rc = sd_event_add_io(loop->event, NULL, owner, EPOLLIN, on_owner, loop);
	return rc < 0 ? r3_error_set(EINVAL, "--owner fd:%d: %s", owner, strerror(-rc)) : 0;
}

void serve_loop_tell(struct serve_loop *loop, const struct r3_serve_event *event)
{
	uint64_t now;

	if (event->type == R3_SERVE_CONNECTED)
		loop->client = true;
	else if (event->type == R3_SERVE_DISCONNECTED)
		loop->client = false;
	if (event->type != R3_SERVE_REMOVED && event->type != R3_SERVE_DEAD)
		return;
	loop->gone = loop->changed = true;
	if (!loop->patience || sd_event_now(loop->event, CLOCK_MONOTONIC, &now) < 0 ||
	    sd_event_source_set_time(loop->patience, now + PATIENCE_US) < 0)
		return;
	sd_event_source_set_enabled(loop->patience, SD_EVENT_ONESHOT);
}

/** Serve, until sd-event is to look at its sources. */
static int wait_and_serve(struct serve_loop *loop)
{
	struct epoll_event ready[2];
	int rc = 0;

	for (bool due = false; rc == 0 && !due;) {
		int n = epoll_wait(loop->both, ready, 2, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; rc == 0 && i < n; i++) {
			if (ready[i].data.fd == r3_serve_fd(loop->serve))
				rc = serve(loop);
			else
				due = true;
		}
		due |= loop->changed;
	}
	return rc;
}

int serve_loop_run(struct serve_loop *loop)
{
	int rc = 0, code;

	while (rc >= 0 && sd_event_get_state(loop->event) != SD_EVENT_FINISHED) {
		loop->changed = false;
		rc = sd_event_prepare(loop->event);
		if (rc == 0) {
			rc = wait_and_serve(loop);
			if (rc == 0)
				rc = sd_event_wait(loop->event, 0);
		}
		if (rc > 0)
			rc = sd_event_dispatch(loop->event);
	}
	return rc < 0 ? rc : sd_event_get_exit_code(loop->event, &code) < 0 ? -EIO : code;
}

void serve_loop_close(struct serve_loop *loop)
{
	sd_event_source_unref(loop->patience);
	sd_event_unref(loop->event);
	loop->patience = NULL;
	loop->event = NULL;
	r3_fd_close(&loop->both);
}
