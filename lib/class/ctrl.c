/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A controller's life, and what happens by itself: events of the device, interrupts of
 * the shared vector, and the tick by which time-outs are measured, so that no request
 * has to read a clock.
 *
 * What a device can make us say is rationed by the tick. One that never stops lying costs
 * a fixed amount of work per tick.
 */
#include "class/ctrl.h"

#include "util/fd.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define IO_TIMEOUT       (30 * R3_NSEC_PER_SEC)
#define TICKS_OF_TIMEOUT 8
#define TICK_MIN         R3_NSEC_PER_MSEC
#define TICK_MAX         (500 * R3_NSEC_PER_MSEC)
#define LOGS_PER_TICK    4u
#define MEM_ALIGN        4096u

static void set_times(struct r3_ctrl *ctrl, uint64_t timeout)
{
	uint64_t io = timeout ? timeout : IO_TIMEOUT;
	uint64_t tick = io / TICKS_OF_TIMEOUT;

	if (tick < TICK_MIN)
		tick = TICK_MIN;
	if (tick > TICK_MAX)
		tick = TICK_MAX;
	ctrl->tick_ns = tick;
	ctrl->io_ticks = io / tick < UINT32_MAX / 4 ? (uint32_t)(io / tick) : UINT32_MAX / 4;
	ctrl->ticked = r3_clock_now(ctrl->clock);
}

void r3_ctrl_init(struct r3_ctrl *ctrl, const struct r3_ctrl_ops *ops, struct r3_device *dev,
		  const struct r3_block_opts *opts)
{
	*ctrl = (struct r3_ctrl){
		.ops = ops,
		.dev = dev,
		.clock = r3_device_clock(dev),
		.name = r3_device_get_info(dev)->name,
		.epoll = -1,
		.timer = -1,
		.log_budget = LOGS_PER_TICK,
		.read_only = opts && opts->read_only,
		.starting = true,
	};
	set_times(ctrl, opts ? opts->timeout_ns : 0);
}

static int watch(struct r3_ctrl *ctrl, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(ctrl->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_fds(struct r3_ctrl *ctrl)
{
	const struct timespec tick = {.tv_nsec = (long)ctrl->tick_ns};
	const struct itimerspec every = {.it_interval = tick, .it_value = tick};

	ctrl->epoll = epoll_create1(EPOLL_CLOEXEC);
	ctrl->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (ctrl->epoll < 0 || ctrl->timer < 0 ||
	    timerfd_settime(ctrl->timer, 0, &every, NULL) < 0 || watch(ctrl, ctrl->timer) < 0 ||
	    watch(ctrl, r3_irq_fd(ctrl->irq, 0)) < 0 ||
	    (r3_device_fd(ctrl->dev) >= 0 && watch(ctrl, r3_device_fd(ctrl->dev)) < 0))
		return r3_error_set(errno, "%s: event descriptors: %s", ctrl->name,
				    strerror(errno));
	return 0;
}

int r3_ctrl_open(struct r3_ctrl *ctrl)
{
	int rc;

	ctrl->queue = calloc(ctrl->nqueues, sizeof(*ctrl->queue));
	if (!ctrl->queue)
		return r3_error_set(ENOMEM, "%s: no memory", ctrl->name);
	rc = open_fds(ctrl);
	ctrl->starting = rc < 0;
	return rc;
}

void r3_ctrl_close(struct r3_ctrl *ctrl)
{
	r3_fd_close(&ctrl->timer);
	r3_fd_close(&ctrl->epoll);
	free(ctrl->queue);
}

int r3_ctrl_alloc(struct r3_ctrl *ctrl, size_t len, void **out)
{
	struct r3_arena *arena;
	int rc = r3_device_arena(ctrl->dev, &arena);

	return rc < 0 ? rc : r3_arena_alloc(arena, len, MEM_ALIGN, out);
}

void r3_ctrl_free(struct r3_ctrl *ctrl, void *ptr)
{
	struct r3_arena *arena;

	if (r3_device_arena(ctrl->dev, &arena) == 0 && r3_arena_free(arena, ptr) < 0)
		r3_log(R3_LOG_ERROR, "%s: %s", ctrl->name, r3_error_text());
}

void r3_ctrl_lie(struct r3_ctrl *ctrl, const char *fmt, ...)
{
	uint32_t budget = __atomic_load_n(&ctrl->log_budget, __ATOMIC_RELAXED);
	char what[160];
	va_list args;

	if (!budget)
		return;
	__atomic_store_n(&ctrl->log_budget, budget - 1, __ATOMIC_RELAXED);
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	r3_log(R3_LOG_WARN, "%s: ignored: %s", ctrl->name, what);
}

/* ---- dispatch ---- */

static void take_device_event(struct r3_ctrl *ctrl, const struct r3_event *event)
{
	switch (event->type) {
	case R3_EVENT_REMOVE_REQUEST:
		ctrl->ops->tell(ctrl, R3_BLOCK_EVENT_REMOVE_REQUEST, 0);
		break;
	case R3_EVENT_REMOVED:
	case R3_EVENT_SERVER_LOST:
		r3_ctrl_give_up(ctrl, r3_event_name(event->type));
		break;
	case R3_EVENT_ERROR:
	case R3_EVENT_DMA_FAULT:
		/* The requests that it hits fail, or time out and are recovered. */
		r3_log(R3_LOG_ERROR, "%s: %s 0x%" PRIx64, ctrl->name, r3_event_name(event->type),
		       event->detail);
		break;
	default:
		break;
	}
}

/* Vector 0 is the controller's and that of all queues without one of their own. A pin may
 * stay up until they have been reaped, by other threads and later: so it is masked here,
 * in the device, and each queue unmasks it before it sleeps. */
static bool take_vector(struct r3_ctrl *ctrl)
{
	if (!r3_irq_take(ctrl->irq, 0))
		return false;
	if (r3_ctrl_has_pin(ctrl)) {
		ctrl->ops->pin(ctrl, true);
		(void)r3_irq_ack(ctrl->irq, 0); /* the line is down now: re-arm it */
	}
	return true;
}

static void forward_vector(struct r3_ctrl *ctrl)
{
	bool any = false;

	for (unsigned i = 0; i < ctrl->nqueues; i++) {
		struct r3_hwq *q = ctrl->queue[i];

		if (!q || q->vector || q->blkq.fd < 0)
			continue;
		r3_hwq_signal(q);
		any = true;
	}
	if (!any && r3_ctrl_has_pin(ctrl))
		ctrl->ops->pin(ctrl, false);
}

void r3_ctrl_dispatch(struct r3_ctrl *ctrl)
{
	struct r3_event event[8];
	uint64_t expired, now = r3_clock_now(ctrl->clock);

	(void)!read(ctrl->timer, &expired, sizeof(expired));

	int n = r3_device_dispatch(ctrl->dev, event, sizeof(event) / sizeof(event[0]));

	for (int i = 0; i < n; i++)
		take_device_event(ctrl, &event[i]);

	bool came = take_vector(ctrl); /* of a device that is gone, too, or it polls readable */

	if (ctrl->gone || r3_device_gone(ctrl->dev)) {
		r3_ctrl_give_up(ctrl, "device gone");
		return;
	}
	if (came)
		forward_vector(ctrl);
	ctrl->ops->poll(ctrl, came);
	/* Ticks count dispatches as well as time. A program that comes here late makes its
	 * requests live longer, and never has them aborted for its own absence. */
	if (!ctrl->gone && now - ctrl->ticked >= ctrl->tick_ns) {
		ctrl->ticked = now;
		__atomic_store_n(&ctrl->tick, ctrl->tick + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&ctrl->log_budget, LOGS_PER_TICK, __ATOMIC_RELAXED);
		r3_ctrl_look(ctrl);
		if (!ctrl->gone && ctrl->ops->tick)
			ctrl->ops->tick(ctrl);
	}
}
