/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub's admin commands and asynchronous events. */
#include "stub/nvme_stub_parts.h"

#include <ring3/irq.h>
#include <string.h>

/* ---- events ---- */

static void send_event(struct nvme_stub *stub)
{
	const struct nvme_cmd cmd = {.opcode = NVME_ADMIN_ASYNC_EVENT, .cid = stub->event_cid};

	if (!stub->event_armed || !stub->event_pending)
		return;
	stub->event_armed = stub->event_pending = false;
	nvme_stub_complete(stub, 0, &cmd, 0, stub->event);
}

void nvme_stub_event(struct nvme_stub *stub, unsigned type, unsigned info, uint8_t lid)
{
	pthread_mutex_lock(&stub->fake->lock);
	stub->event = type | info << 8 | (uint32_t)lid << 16;
	stub->event_pending = true;
	send_event(stub);
	pthread_mutex_unlock(&stub->fake->lock);
}

/* ---- admin commands ---- */

static unsigned answer(struct nvme_stub *stub, const struct nvme_cmd *cmd, const void *data,
		       uint32_t len)
{
	return nvme_stub_transfer(stub, cmd, (void *)(uintptr_t)data, len, true);
}

static unsigned identify(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	static const char model[] = "ring3 stub";
	uint8_t cns = cmd->cdw10 & 0xff;
	union {
		struct nvme_id_ctrl ctrl;
		struct nvme_id_ns ns;
		struct nvme_ns_list list;
		uint8_t bytes[4096];
	} data = {.bytes = {0}};
	unsigned n = 0;

	switch (cns) {
	case NVME_CNS_CTRL:
		data.ctrl.vid = R3_LE16(0x1b36);
		memset(data.ctrl.mn, ' ', sizeof(data.ctrl.mn));
		memcpy(data.ctrl.mn, model, sizeof(model) - 1);
		data.ctrl.mdts = stub->opts.mdts;
		data.ctrl.ver = R3_LE32(NVME_VS(1, 4, 0));
		data.ctrl.oaes = R3_LE32(NVME_AEN_NS_CHANGED);
		data.ctrl.acl = data.ctrl.aerl = 3;
		data.ctrl.lpa = NVME_LPA_EXTENDED;
		data.ctrl.sqes = 0x66;
		data.ctrl.cqes = 0x44;
		data.ctrl.nn = R3_LE32(STUB_NAMESPACES);
		data.ctrl.oncs = R3_LE16(NVME_ONCS_DSM | NVME_ONCS_WRITE_ZEROES);
		data.ctrl.vwc = NVME_VWC_PRESENT;
		data.ctrl.sgls = R3_LE32(stub->opts.sgl);
		break;
	case NVME_CNS_NS:
		if (!cmd->nsid || cmd->nsid > STUB_NAMESPACES)
			return NVME_SC_INVALID_NS;
		data.ns.nsze = data.ns.ncap = R3_LE64(stub->ns[cmd->nsid - 1].blocks);
		data.ns.lbaf[0].lbads = (uint8_t)stub->opts.lba_shift;
		data.ns.dlfeat = NVME_DLFEAT_READ_ZERO | NVME_DLFEAT_DEAC;
		break;
	case NVME_CNS_NS_ACTIVE_LIST:
		for (uint32_t id = cmd->nsid + 1; id <= STUB_NAMESPACES; id++)
			if (stub->ns[id - 1].blocks)
				data.list.ns[n++] = R3_LE32(id);
		break;
	case NVME_CNS_CSI_CTRL:
		if (!(NVME_CAP_CSS(stub->cap) & NVME_CAP_CSS_CSI))
			return NVME_SC_INVALID_FIELD;
		break;
	default:
		return NVME_SC_INVALID_FIELD;
	}
	if (stub->hooks && stub->hooks->identify)
		stub->hooks->identify(stub, cns, cmd->nsid, &data);
	return answer(stub, cmd, &data, sizeof(data));
}

static unsigned create_queue(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	uint16_t qid = (uint16_t)cmd->cdw10, size = (uint16_t)((cmd->cdw10 >> 16) + 1);
	uint64_t base = R3_LE64(cmd->dptr.prp[0]);
	bool is_cq = cmd->opcode == NVME_ADMIN_CREATE_CQ;

	if (!qid || qid > stub->opts.queues || (is_cq ? stub->cq[qid].size : stub->sq[qid].size))
		return NVME_SC_QID_INVALID;
	if (size < 2 || size > NVME_CAP_MQES(stub->cap) + 1)
		return NVME_SC_QUEUE_SIZE;
	if (!(cmd->cdw11 & NVME_QUEUE_PC) || base % nvme_stub_page(stub))
		return NVME_SC_INVALID_FIELD;
	if (is_cq) {
		bool irq = cmd->cdw11 & NVME_CQ_IEN;
		uint16_t vector = (uint16_t)(cmd->cdw11 >> 16);

		if (irq && stub->fake->irq_type != R3_IRQ_INTX && vector >= stub->fake->nirqs)
			return NVME_SC_INVALID_VECTOR;
		stub->cq[qid] = (struct nvme_stub_cq){
			.base = base, .size = size, .vector = vector, .phase = 1, .irq = irq};
		return 0;
	}
	if (!stub->cq[cmd->cdw11 >> 16 & 0x3f].size)
		return NVME_SC_CQ_INVALID;
	stub->sq[qid] = (struct nvme_stub_sq){
		.base = base, .size = size, .cqid = (uint16_t)(cmd->cdw11 >> 16)};
	return 0;
}

static void drop_held(struct nvme_stub *stub, uint16_t sqid)
{
	for (unsigned i = 0; i < STUB_HELD; i++)
		if (stub->held[i].sqid == sqid)
			stub->held[i].sqid = STUB_NO_SQ;
}

static unsigned delete_queue(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	uint16_t qid = (uint16_t)cmd->cdw10;
	bool is_cq = cmd->opcode == NVME_ADMIN_DELETE_CQ;

	if (!qid || qid > STUB_QUEUES || !(is_cq ? stub->cq[qid].size : stub->sq[qid].size))
		return NVME_SC_QID_INVALID;
	if (is_cq && stub->sq[qid].size)
		return NVME_SC_INVALID_QUEUE_DELETION;
	if (is_cq) {
		stub->cq[qid].size = 0;
	} else {
		stub->sq[qid].size = 0;
		drop_held(stub, qid);
	}
	return 0;
}

static unsigned log_page(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	uint32_t len = ((cmd->cdw10 >> 16 | cmd->cdw11 << 16) + 1) * 4;
	uint64_t off = cmd->cdw12 | (uint64_t)cmd->cdw13 << 32;
	union {
		struct nvme_smart_log smart;
		struct nvme_ns_list changed;
		uint8_t bytes[8192];
	} page = {.bytes = {0}};

	switch (cmd->cdw10 & 0xff) {
	case NVME_LID_ERROR:
	case NVME_LID_FW_SLOT:
		break;
	case NVME_LID_SMART:
		page.smart.critical_warning = stub->critical_warning;
		break;
	case NVME_LID_CHANGED_NS:
		page.changed.ns[0] = R3_LE32(NVME_NSID_ALL);
		break;
	default:
		return NVME_SC_INVALID_LOG_PAGE;
	}
	if (off > sizeof(page) || len > sizeof(page) - off)
		return NVME_SC_INVALID_FIELD;
	return answer(stub, cmd, page.bytes + off, len);
}

/* The command aborted completes first, the abort itself then. */
static uint32_t abort_command(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	uint16_t sqid = (uint16_t)cmd->cdw10, cid = (uint16_t)(cmd->cdw10 >> 16);

	stub->aborts++;
	for (unsigned i = 0; i < STUB_HELD && !stub->ignore_abort; i++) {
		if (stub->held[i].sqid != sqid || stub->held[i].cmd.cid != cid)
			continue;
		stub->held[i].sqid = STUB_NO_SQ;
		nvme_stub_complete(stub, sqid, &stub->held[i].cmd, NVME_SC_ABORT_REQ, 0);
		return 0;
	}
	return 1; /* not aborted */
}

static unsigned set_feature(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	uint16_t vector = (uint16_t)cmd->cdw11;

	switch (cmd->cdw10 & 0xff) {
	case NVME_FID_IRQ_COALESCE:
		stub->coalesce = cmd->cdw11;
		return 0;
	case NVME_FID_IRQ_CONFIG:
		if (vector >= FAKE_VECTORS)
			return NVME_SC_INVALID_FIELD;
		stub->not_coalesced[vector] = cmd->cdw11 & NVME_IRQ_CONFIG_CD;
		return 0;
	default:
		return 0;
	}
}

void nvme_stub_admin(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	unsigned status = 0;
	uint32_t dw0 = 0;

	switch (cmd->opcode) {
	case NVME_ADMIN_IDENTIFY:
		status = identify(stub, cmd);
		break;
	case NVME_ADMIN_CREATE_SQ:
	case NVME_ADMIN_CREATE_CQ:
		status = create_queue(stub, cmd);
		break;
	case NVME_ADMIN_DELETE_SQ:
	case NVME_ADMIN_DELETE_CQ:
		status = delete_queue(stub, cmd);
		break;
	case NVME_ADMIN_GET_LOG_PAGE:
		status = log_page(stub, cmd);
		break;
	case NVME_ADMIN_SET_FEATURES:
	case NVME_ADMIN_GET_FEATURES:
		if (cmd->opcode == NVME_ADMIN_SET_FEATURES)
			status = set_feature(stub, cmd);
		if ((cmd->cdw10 & 0xff) == NVME_FID_NUM_QUEUES)
			dw0 = (stub->opts.queues - 1) * 0x10001u;
		break;
	case NVME_ADMIN_ABORT:
		dw0 = abort_command(stub, cmd);
		break;
	case NVME_ADMIN_ASYNC_EVENT:
		if (stub->event_armed) {
			status = NVME_SC_ASYNC_LIMIT;
			break;
		}
		stub->event_armed = true;
		stub->event_cid = cmd->cid;
		send_event(stub);
		return;
	default:
		status = NVME_SC_INVALID_OPCODE;
	}
	nvme_stub_complete(stub, 0, cmd, status, dw0);
}
