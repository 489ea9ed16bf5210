/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asynchronous events of the controller (5.2). They are rationed by the tick: a controller
 * that never runs out of them costs a fixed amount of work per tick.
 */
#include "nvme.h"

void nvme_event_arm(struct r3_nvme *nvme)
{
	const struct nvme_cmd cmd = {.opcode = NVME_ADMIN_ASYNC_EVENT};

	if (nvme->ctrl.gone || nvme->events_off || !nvme->event_budget ||
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
		r3_log(R3_LOG_WARN, "%s: health event, but: %s", nvme->ctrl.name, r3_error_text());
		return;
	}
	r3_log(R3_LOG_WARN, "%s: the controller warns of its health: 0x%02x", nvme->ctrl.name,
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
		r3_log(R3_LOG_INFO, "%s: event log: %s", nvme->ctrl.name, r3_error_text());
}

static void take(struct r3_nvme *nvme)
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
		r3_log(R3_LOG_WARN, "%s: asynchronous events ended with status 0x%03x",
		       nvme->ctrl.name, status);
		return;
	}
	if (NVME_AER_TYPE(dw0) == NVME_AER_SMART) {
		warn_health(nvme);
	} else {
		r3_log(R3_LOG_INFO, "%s: event type %u, information 0x%02x, log page 0x%02x",
		       nvme->ctrl.name, NVME_AER_TYPE(dw0), NVME_AER_INFO(dw0), NVME_AER_LID(dw0));
		clear_event(nvme, NVME_AER_LID(dw0));
		if (NVME_AER_TYPE(dw0) == NVME_AER_NOTICE &&
		    NVME_AER_INFO(dw0) == NVME_AER_NOTICE_NS_CHANGED)
			nvme_ns_refresh_all(nvme);
	}
	nvme_event_arm(nvme);
}

void nvme_event_poll(struct r3_ctrl *ctrl, bool came)
{
	struct r3_nvme *nvme = (struct r3_nvme *)ctrl;

	nvme_admin_poll(nvme);
	take(nvme);
}

void nvme_event_tick(struct r3_ctrl *ctrl)
{
	struct r3_nvme *nvme = (struct r3_nvme *)ctrl;

	nvme->event_budget = NVME_EVENTS_PER_TICK;
	nvme_event_arm(nvme);
	if (nvme->ns_stale)
		nvme_ns_refresh_all(nvme);
}
