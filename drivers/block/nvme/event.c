/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens by itself: device events, interrupts of the shared vector, asynchronous
 * events of the controller (5.2), and the tick by which time-outs are measured, so that
 * no request has to read a clock.
 *
 * Events are rationed by the tick. A controller that never runs out of them, or that
 * never stops lying, costs a fixed amount of work per tick.
 */
#include "nvme.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define EVENTS_PER_TICK 16u
#define LOGS_PER_TICK   4u

void nvme_lie(struct r3_nvme *nvme, const char *fmt, ...)
{
	uint32_t budget = __atomic_load_n(&nvme->log_budget, __ATOMIC_RELAXED);
	char what[160];
	va_list args;

	if (!budget)
		return;
	__atomic_store_n(&nvme->log_budget, budget - 1, __ATOMIC_RELAXED);
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	r3_log(R3_LOG_WARN, "%s: ignored: %s", nvme->name, what);
}

void nvme_event_ration(struct r3_nvme *nvme)
{
	__atomic_store_n(&nvme->log_budget, LOGS_PER_TICK, __ATOMIC_RELAXED);
	nvme->event_budget = EVENTS_PER_TICK;
}

/* ---- asynchronous events ---- */

void nvme_event_arm(struct r3_nvme *nvme)
{
	const struct nvme_cmd cmd = {.opcode = NVME_ADMIN_ASYNC_EVENT};

	if (nvme->gone || nvme->events_off || !nvme->event_budget ||
	    nvme->admin.slot[NVME_ROLE_EVENT].done)
		return;
	/* Busy: it is armed. A queue without room for it means no events. */
	if (nvme_admin_post(nvme, NVME_ROLE_EVENT, &cmd) == 0)
		nvme->event_budget--;
}

static void warn_health(struct r3_nvme *nvme)
{
	struct nvme_smart_log log;

	if (r3_nvme_log(nvme, NVME_LID_SMART, NVME_NSID_ALL, 0, &log, sizeof(log)) < 0) {
		r3_log(R3_LOG_WARN, "%s: health event, but: %s", nvme->name, r3_error_text());
		return;
	}
	r3_log(R3_LOG_WARN, "%s: the controller warns of its health: 0x%02x", nvme->name,
	       log.critical_warning);
	for (struct nvme_ns *ns = nvme->namespaces; ns; ns = ns->next)
		nvme_ns_event(ns, R3_BLOCK_EVENT_WARNING, log.critical_warning);
}

/* Reading the log page that belongs to an event lets the controller report the next. */
static void clear_event(struct r3_nvme *nvme, uint8_t lid)
{
	uint32_t page[NVME_LIST_MAX];
	uint32_t len = lid == NVME_LID_CHANGED_NS ? sizeof(page) : 512;

	if (lid && r3_nvme_log(nvme, lid, NVME_NSID_ALL, 0, page, len) < 0)
		r3_log(R3_LOG_INFO, "%s: event log: %s", nvme->name, r3_error_text());
}

void nvme_event_take(struct r3_nvme *nvme)
{
	const struct nvme_cqe *cqe = &nvme->admin.slot[NVME_ROLE_EVENT].cqe;

	nvme->admin.slot[NVME_ROLE_CANCEL].done = false; /* the aborted one tells */
	if (!nvme->admin.slot[NVME_ROLE_EVENT].done)
		return;
	nvme->admin.slot[NVME_ROLE_EVENT].done = false;

	unsigned status = NVME_CQE_STATUS(R3_LE16(cqe->sf));
	uint32_t dw0 = R3_LE32(cqe->dw0);

	if (status) {
		nvme->events_off = true;
		r3_log(R3_LOG_WARN, "%s: asynchronous events ended with status 0x%03x", nvme->name,
		       status);
		return;
	}
	if (NVME_AER_TYPE(dw0) == NVME_AER_SMART) {
		warn_health(nvme);
	} else {
		r3_log(R3_LOG_INFO, "%s: event type %u, information 0x%02x, log page 0x%02x",
		       nvme->name, NVME_AER_TYPE(dw0), NVME_AER_INFO(dw0), NVME_AER_LID(dw0));
		clear_event(nvme, NVME_AER_LID(dw0));
		if (NVME_AER_TYPE(dw0) == NVME_AER_NOTICE &&
		    NVME_AER_INFO(dw0) == NVME_AER_NOTICE_NS_CHANGED)
			nvme_ns_refresh_all(nvme);
	}
	nvme_event_arm(nvme);
}

/* ---- dispatch ---- */

static void take_device_event(struct r3_nvme *nvme, const struct r3_event *event)
{
	switch (event->type) {
	case R3_EVENT_REMOVE_REQUEST:
		for (struct nvme_ns *ns = nvme->namespaces; ns; ns = ns->next)
			nvme_ns_event(ns, R3_BLOCK_EVENT_REMOVE_REQUEST, 0);
		break;
	case R3_EVENT_REMOVED:
	case R3_EVENT_SERVER_LOST:
		nvme_recover_give_up(nvme, r3_event_name(event->type));
		break;
	case R3_EVENT_ERROR:
	case R3_EVENT_DMA_FAULT:
		/* The requests that it hits fail, or time out and are recovered. */
		r3_log(R3_LOG_ERROR, "%s: %s 0x%" PRIx64, nvme->name, r3_event_name(event->type),
		       event->detail);
		break;
	default:
		break;
	}
}

static bool has_pin(const struct r3_nvme *nvme)
{
	return r3_irq_get_type(nvme->irq) == R3_IRQ_INTX;
}

/* Vector 0 is the admin queue's and that of all queues without one of their own. A pin
 * stays up until they have been reaped, by other threads and later: so it is masked
 * here, in the controller, and each queue unmasks it before it sleeps. */
static bool take_vector(struct r3_nvme *nvme)
{
	uint64_t count;

	if (read(r3_irq_fd(nvme->irq, 0), &count, sizeof(count)) < 0)
		return false;
	if (has_pin(nvme)) {
		r3_write32(nvme->bar, NVME_REG_INTMS, 1);
		(void)r3_irq_ack(nvme->irq, 0); /* the line is down now: re-arm it */
	}
	return true;
}

static void forward_vector(struct r3_nvme *nvme)
{
	bool any = false;

	for (unsigned qid = 1; qid <= nvme->nqueues; qid++) {
		struct nvme_queue *q = nvme->queue[qid];

		if (!q || q->vector || q->blkq.fd < 0)
			continue;
		nvme_queue_signal(q);
		any = true;
	}
	if (!any && has_pin(nvme))
		r3_write32(nvme->bar, NVME_REG_INTMC, 1);
}

void nvme_dispatch(struct r3_nvme *nvme)
{
	struct r3_event event[8];
	uint64_t expired, now = r3_clock_now(nvme->clock);

	(void)!read(nvme->timer, &expired, sizeof(expired));

	int n = r3_device_dispatch(nvme->dev, event, sizeof(event) / sizeof(event[0]));

	for (int i = 0; i < n; i++)
		take_device_event(nvme, &event[i]);

	bool came = take_vector(nvme); /* of a device that is gone, too, or it polls readable */

	if (nvme->gone || r3_device_gone(nvme->dev)) {
		nvme_recover_give_up(nvme, "device gone");
		return;
	}

	nvme_admin_poll(nvme); /* in any case: a look costs a load, and interrupts get lost */
	if (came)
		forward_vector(nvme);
	nvme_event_take(nvme);
	/* Ticks count dispatches as well as time. A program that comes here late makes its
	 * requests live longer, and never has them aborted for its own absence. */
	if (!nvme->gone && now - nvme->ticked >= nvme->tick_ns) {
		nvme->ticked = now;
		__atomic_store_n(&nvme->tick, nvme->tick + 1, __ATOMIC_RELAXED);
		nvme_event_ration(nvme);
		nvme_event_arm(nvme);
		nvme_recover_tick(nvme);
		if (nvme->ns_stale)
			nvme_ns_refresh_all(nvme);
	}
}
