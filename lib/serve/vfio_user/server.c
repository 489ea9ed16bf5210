/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a server and its event loop: who knocks, who speaks, what the device says, and
 * whose time is over. */
#include "serve/vfio_user/server.h"
#include "util/eventfd.h"
#include "util/fd.h"
#include "util/kept_text.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* What epoll says is ready, beside the place of a peer. */
enum { DOOR = R3_SERVE_PEERS, TIMER, DEVICE };

#define EVENTS 16
/* So often the client is heard without a look at anybody else. */
#define CLIENT_TURNS 16
/* How long nobody is accepted when there is no descriptor for it. */
#define SHUT_NS (100 * R3_NSEC_PER_MSEC)
/* So many faults and errors of the device are told for each client, who can make as many as it
 * likes. */
#define NEWS 64

/* ---- what is told ---- */

void r3_serve_tell(struct r3_serve *serve, const struct r3_serve_event *event, const char *fmt, ...)
{
	struct r3_serve_event told = *event;
	enum r3_log_level level = R3_LOG_INFO;
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!told.client && serve->client) {
		told.client = serve->client->number;
		told.pid = serve->client->pid;
	}
	if (told.err)
		level = told.type == R3_SERVE_DEAD ? R3_LOG_ERROR : R3_LOG_WARN;
	else if (told.type == R3_SERVE_MAPPED || told.type == R3_SERVE_UNMAPPED)
		level = R3_LOG_DEBUG;
	told.text = text;
	r3_log(level, "%s: %s: client %ju%s%s%s", serve->where, r3_serve_event_name(told.type),
	       (uintmax_t)told.client, *text ? ": " : "", text, told.err ? " (failed)" : "");
	if (!serve->opts.event)
		return;
	told.time_ns = r3_clock_now(serve->opts.clock);
	serve->opts.event(serve->opts.ctx, &told);
}

void r3_serve_alarm(struct r3_serve *serve, uint64_t at)
{
	struct itimerspec when = {.it_value = {.tv_nsec = 1}};

	if (at) {
		/* time of another clock passes where its owner says so, and then dispatches */
		if (serve->opts.clock != r3_clock_system() || (serve->alarm && serve->alarm <= at))
			return;
		when.it_value.tv_sec = (time_t)(at / R3_NSEC_PER_SEC);
		when.it_value.tv_nsec = (long)(at % R3_NSEC_PER_SEC);
	}
	serve->alarm = at ? at : 1;
	timerfd_settime(serve->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- the door ---- */

static int watch(struct r3_serve *serve, int fd, uint32_t who)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = who};

	if (epoll_ctl(serve->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return r3_error_set(errno, "%s: cannot wait for it: %m", serve->where);
	return 0;
}

static void shut_door(struct r3_serve *serve, int rc)
{
	r3_log(R3_LOG_WARN, "%s: cannot accept a client: %s", serve->where, strerror(-rc));
	epoll_ctl(serve->epoll, EPOLL_CTL_DEL, serve->door.fd, NULL);
	serve->door_opens = r3_clock_now(serve->opts.clock) + SHUT_NS;
	r3_serve_alarm(serve, serve->door_opens);
}

static void open_door(struct r3_serve *serve, uint64_t now)
{
	if (now >= serve->door_opens && !watch(serve, serve->door.fd, DOOR))
		serve->door_opens = 0;
	else
		r3_serve_alarm(serve, now + SHUT_NS);
}

static int let_in(struct r3_serve *serve, int sock, struct r3_serve_peer **out)
{
	struct r3_stream *stream;
	int rc = r3_stream_open(sock, &stream);

	if (rc) {
		close(sock);
		return rc;
	}
	rc = r3_serve_peer_new(serve, stream, out);
	if (rc)
		r3_stream_close(stream);
	return rc;
}

static void answer_door(struct r3_serve *serve)
{
	/* a flood of guests is let in in groups, and each is heard at once */
	for (unsigned i = 0; i < EVENTS; i++) {
		struct r3_serve_peer *peer;
		int sock, rc = r3_socket_accept(&serve->door, &sock);

		if (!rc)
			rc = let_in(serve, sock, &peer);
		if (rc == -EAGAIN)
			return;
		if (rc) {
			shut_door(serve, rc);
			return;
		}
		r3_serve_peer_turn(serve, peer);
	}
}

/* ---- the device ---- */

void r3_serve_check_gone(struct r3_serve *serve)
{
	if (!r3_device_gone(serve->dev) || serve->gone_told)
		return;
	serve->gone_told = true;
	r3_serve_tell(serve, &(struct r3_serve_event){.type = R3_SERVE_REMOVED, .err = -ENODEV},
		      "the device is gone");
	r3_eventfd_signal(serve->irqs.err);
}

/* A fault says that a transfer was refused, which is the client's to know but no reason to
 * believe the device lost: ERR_IRQ would say that. Likewise an error of the bus. */
static void tell_device_event(struct r3_serve *serve, const struct r3_event *event)
{
	struct r3_serve_event told = {.iova = event->detail};

	if (event->type == R3_EVENT_DMA_FAULT || event->type == R3_EVENT_ERROR)
		if (serve->news++ >= NEWS)
			return;
	switch (event->type) {
	case R3_EVENT_DMA_FAULT:
		told.type = R3_SERVE_DMA_FAULT;
		told.err = -EFAULT;
		r3_serve_tell(serve, &told, "%s was refused a transfer at %#jx",
			      serve->dev->info.name, (uintmax_t)event->detail);
		break;
	case R3_EVENT_ERROR:
		told.type = R3_SERVE_ERROR;
		told.err = -(int)(event->code ? event->code : EIO);
		r3_serve_tell(serve, &told, "%s reports an error: %s, %#jx", serve->dev->info.name,
			      strerror(-told.err), (uintmax_t)event->detail);
		break;
	case R3_EVENT_REMOVE_REQUEST:
		told.type = R3_SERVE_REMOVE_REQUEST;
		r3_serve_tell(serve, &told, "somebody asks for %s", serve->dev->info.name);
		r3_eventfd_signal(serve->irqs.req);
		break;
	default: /* that it is gone is seen by itself */
		break;
	}
}

/* Delivers interrupts as well, where they need a hand (R3_CAP_IRQ_DISPATCH). */
static void dispatch_device(struct r3_serve *serve)
{
	struct r3_event events[EVENTS];
	int n = r3_device_dispatch(serve->dev, events, EVENTS);

	for (int i = 0; i < n; i++)
		tell_device_event(serve, &events[i]);
	r3_serve_check_gone(serve);
	if (n < 0 && !r3_device_gone(serve->dev))
		r3_serve_tell(serve, &(struct r3_serve_event){.type = R3_SERVE_ERROR, .err = n},
			      "%s", r3_error_text());
	/* a descriptor that stays readable with nothing behind it is not waited for again */
	if (n < 0 || (n == 0 && r3_device_gone(serve->dev)))
		epoll_ctl(serve->epoll, EPOLL_CTL_DEL, r3_device_fd(serve->dev), NULL);
}

/* ---- dispatch ---- */

static void look_at_clock(struct r3_serve *serve)
{
	bool waits = serve->door_opens;
	uint64_t now;

	for (unsigned i = 0; i < R3_SERVE_PEERS; i++)
		waits = waits || serve->peer[i].deadline;
	if (!waits)
		return;
	now = r3_clock_now(serve->opts.clock);
	for (unsigned i = 0; i < R3_SERVE_PEERS; i++) {
		r3_serve_peer_expire(serve, &serve->peer[i], now);
		if (serve->peer[i].deadline)
			r3_serve_alarm(serve, serve->peer[i].deadline);
	}
	if (serve->door_opens)
		open_door(serve, now);
}

static void ring(struct r3_serve *serve)
{
	uint64_t count;

	(void)!read(serve->timer, &count, sizeof(count));
	serve->alarm = 0;
	/* what was left of a long turn */
	if (serve->client)
		r3_serve_peer_turn(serve, serve->client);
}

static void attend(struct r3_serve *serve, uint32_t who)
{
	if (who == DOOR)
		answer_door(serve);
	else if (who == TIMER)
		ring(serve);
	else if (who == DEVICE)
		dispatch_device(serve);
	else if (serve->peer[who].stream)
		r3_serve_peer_turn(serve, &serve->peer[who]);
}

/* Those that no descriptor tells of. */
static void hear_streams(struct r3_serve *serve)
{
	for (unsigned i = 0; i < R3_SERVE_PEERS; i++)
		if (serve->peer[i].stream && r3_stream_fd(serve->peer[i].stream) < 0)
			r3_serve_peer_turn(serve, &serve->peer[i]);
}

static bool is_over(const struct r3_serve *serve)
{
	if (!serve->door.connected)
		return false;
	for (unsigned i = 0; i < R3_SERVE_PEERS; i++)
		if (serve->peer[i].stream)
			return false;
	return true;
}

int r3_serve_dispatch(struct r3_serve *serve)
{
	struct epoll_event events[EVENTS];
	int n;

	/* almost always it is the client, with one message, and that costs one receive and one
	 * send; but whoever talks without a pause is not the only one */
	if (serve->client && ++serve->turns % CLIENT_TURNS &&
	    r3_serve_peer_turn(serve, serve->client))
		return !is_over(serve);
	n = epoll_wait(serve->epoll, events, EVENTS, 0);
	if (n < 0 && errno != EINTR)
		return r3_error_set(errno, "%s: cannot wait: %m", serve->where);
	for (int i = 0; i < n; i++)
		attend(serve, events[i].data.u32);
	hear_streams(serve);
	look_at_clock(serve);
	return !is_over(serve);
}

/* ---- life ---- */

static int fill_opts(const struct r3_serve_opts *opts, struct r3_serve_opts *own)
{
	*own = (struct r3_serve_opts){.size = sizeof(*own)};
	if (opts && opts->size < offsetof(struct r3_serve_opts, max_maps))
		return r3_error_set(EINVAL, "r3_serve_opts.size is %u: set it to the struct's size",
				    opts->size);
	if (opts)
		memcpy(own, opts, opts->size < sizeof(*own) ? opts->size : sizeof(*own));
	if (own->on_disconnect > R3_SERVE_ON_DISCONNECT_RETAIN)
		return r3_error_set(EINVAL, "r3_serve_opts.on_disconnect is %u",
				    own->on_disconnect);
	if (!own->max_maps)
		own->max_maps = 256;
	if (!own->max_fds)
		own->max_fds = 512;
	if (!own->max_bytes)
		own->max_bytes = UINT64_C(64) << 30;
	if (!own->timeout_ns)
		own->timeout_ns = 2 * R3_NSEC_PER_SEC;
	if (!own->clock)
		own->clock = r3_clock_system();
	return 0;
}

static int open_fds(struct r3_serve *serve)
{
	int device = r3_device_fd(serve->dev), rc;

	serve->epoll = epoll_create1(EPOLL_CLOEXEC);
	serve->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (serve->epoll < 0 || serve->timer < 0)
		return r3_error_set(errno, "%s: no descriptors to wait with: %m", serve->where);
	rc = watch(serve, serve->timer, TIMER);
	if (!rc && device >= 0)
		rc = watch(serve, device, DEVICE);
	return rc;
}

/* Map what can be mapped of the regions now: a server may be in a sandbox later. */
static int know_regions(struct r3_device *dev)
{
	struct r3_region *region;
	int rc = 0;

	for (unsigned i = 0; i < dev->info.nregions && (!rc || rc == -ENOENT); i++)
		rc = r3_device_region(dev, i, &region);
	return rc == -ENOENT ? 0 : rc;
}

static int prepare(struct r3_device *dev, const char *where, const struct r3_serve_opts *opts,
		   struct r3_serve **out)
{
	struct r3_serve *serve = calloc(1, sizeof(*serve));
	int rc = r3_device_alive(dev);

	if (!serve)
		return r3_error_set(ENOMEM, "%s: out of memory", where);
	serve->dev = dev;
	serve->door.fd = serve->epoll = serve->timer = -1;
	serve->irqs.err = serve->irqs.req = -1;
	serve->where = strdup(where);
	if (!serve->where)
		rc = r3_error_set(ENOMEM, "%s: out of memory", where);
	if (!rc)
		rc = fill_opts(opts, &serve->opts);
	if (!rc)
		rc = know_regions(dev);
	if (!rc)
		rc = open_fds(serve);
	if (rc)
		r3_serve_close(serve);
	else
		*out = serve;
	return rc;
}

static int begin(struct r3_serve *serve, int rc, struct r3_serve **out)
{
	if (rc) {
		r3_serve_close(serve);
		return rc;
	}
	r3_serve_tell(serve, &(struct r3_serve_event){.type = R3_SERVE_READY}, "%s",
		      serve->dev->info.name);
	*out = serve;
	return 0;
}

int r3_serve_open(struct r3_device *dev, const char *where, const struct r3_serve_opts *opts,
		  struct r3_serve **out)
{
	struct r3_serve_peer *peer;
	struct r3_serve *serve;
	int rc = prepare(dev, where, opts, &serve);

	if (rc)
		return rc;
	rc = r3_socket_listen(where, &serve->door);
	if (!rc && serve->door.connected) {
		int sock = serve->door.fd; /* the client's from here on */

		serve->door.fd = -1;
		rc = let_in(serve, sock, &peer);
	} else if (!rc) {
		rc = watch(serve, serve->door.fd, DOOR);
	}
	return begin(serve, rc, out);
}

int r3_serve_open_stream(struct r3_device *dev, struct r3_stream *stream, const char *where,
			 const struct r3_serve_opts *opts, struct r3_serve **out)
{
	struct r3_serve_peer *peer;
	struct r3_serve *serve;
	int rc = prepare(dev, where, opts, &serve);

	if (rc)
		return rc;
	serve->door.connected = true;
	return begin(serve, r3_serve_peer_new(serve, stream, &peer), out);
}

void r3_serve_close(struct r3_serve *serve)
{
	struct r3_kept_text why; /* it is closed: often, that something failed */

	if (!serve)
		return;
	r3_error_keep(&why);
	serve->ending = true;
	for (unsigned i = 0; i < R3_SERVE_PEERS; i++)
		if (serve->peer[i].stream)
			r3_serve_peer_close(serve, &serve->peer[i], ESHUTDOWN, "the server ends");
	if (serve->door.fd >= 0)
		r3_socket_unlisten(&serve->door);
	r3_fd_close(&serve->timer);
	r3_fd_close(&serve->epoll);
	free(serve->dead);
	free(serve->where);
	free(serve);
	r3_error_put_back(&why);
}

int r3_serve_fd(const struct r3_serve *serve)
{
	return serve->epoll;
}

const char *r3_serve_where(const struct r3_serve *serve)
{
	return serve->where;
}

const char *r3_serve_dead(const struct r3_serve *serve)
{
	if (serve->dead)
		return serve->dead;
	return r3_device_gone(serve->dev) ? "the device is gone" : NULL;
}
