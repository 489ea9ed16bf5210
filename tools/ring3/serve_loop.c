/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop of `ring3 serve`, sd-event's: the server, signals, and the owner. When the device
 * is gone its client is told so by the server; he gets a moment to leave before we do.
 */
#include "serve.h"

#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <ring3/trace.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define PATIENCE_US (2 * 1000000)
#define EXACT       1 /* else sd-event opens a file, to spread wake-ups, when it is too late */

static int leave(struct serve_loop *loop)
{
	const char *why = r3_serve_dead(loop->serve);

	if (!loop->gone)
		return sd_event_exit(loop->event, 0);
	r3_error_set(EIO, "%s: %s", r3_device_get_info(loop->dev)->name,
		     why ? why : "the device is gone");
	return sd_event_exit(loop->event, -EIO);
}

static int on_server(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct serve_loop *loop = user;
	int rc = r3_serve_dispatch(loop->serve);

	if (rc < 0)
		return sd_event_exit(loop->event, rc);
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

int serve_loop_open(struct serve_loop *loop, struct r3_serve *serve, struct r3_device *dev,
		    int owner)
{
	int rc;

	loop->serve = serve;
	loop->dev = dev;
	rc = sd_event_new(&loop->event);
	if (rc < 0)
		return r3_error_set(-rc, "making an event loop: %s", strerror(-rc));
	if ((rc = sd_event_add_io(loop->event, NULL, r3_serve_fd(serve), EPOLLIN, on_server,
				  loop)) < 0 ||
	    (rc = add_signals(loop)) < 0 ||
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
	loop->gone = true;
	if (!loop->patience || sd_event_now(loop->event, CLOCK_MONOTONIC, &now) < 0 ||
	    sd_event_source_set_time(loop->patience, now + PATIENCE_US) < 0)
		return;
	sd_event_source_set_enabled(loop->patience, SD_EVENT_ONESHOT);
}

int serve_loop_run(struct serve_loop *loop)
{
	return sd_event_loop(loop->event);
}

void serve_loop_close(struct serve_loop *loop)
{
	sd_event_source_unref(loop->patience);
	sd_event_unref(loop->event);
	loop->patience = NULL;
	loop->event = NULL;
}
