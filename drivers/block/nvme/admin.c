/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin queue: synchronous commands with a bound, passthrough and log pages. Its
 * completions are polled for, so that it works before there are interrupts.
 */
#include "nvme.h"
#include <inttypes.h>
#include <stdio.h>

#define ADMIN_ENTRIES  8u /* room for every role */
#define ROLE_BITS      2u
#define LOG_PLAIN_MOST (4096u * 4) /* 12 bits of dwords, 0's based, without LPA's bit */

int nvme_admin_alloc(struct r3_nvme *nvme)
{
	struct nvme_admin *admin = &nvme->admin;
	unsigned most = NVME_CAP_MQES(nvme->cap) + 1u;
	uint16_t entries = (uint16_t)(most < ADMIN_ENTRIES ? most : ADMIN_ENTRIES);
	int rc = nvme_pair_alloc(nvme, &admin->pair, 0, entries);

	if (rc < 0)
		return rc;
	admin->roles = entries - 1u < NVME_ROLE_ROLES ? 1 : NVME_ROLE_ROLES;
	rc = r3_dma_alloc(nvme->ring_tag, NVME_LIST_LEN, &admin->list, &admin->list_iova);
	if (rc < 0)
		goto free_pair;
	rc = r3_dma_map_create(nvme->prp_tag, nvme->page, &admin->map);
	if (rc < 0)
		goto free_list;
	return 0;

free_list:
	r3_dma_free(nvme->ring_tag, admin->list);
free_pair:
	nvme_pair_free(nvme, &admin->pair);
	return rc;
}

void nvme_admin_free(struct r3_nvme *nvme)
{
	struct nvme_admin *admin = &nvme->admin;

	r3_dma_unload(admin->map);
	r3_dma_map_destroy(admin->map);
	r3_dma_free(nvme->ring_tag, admin->list);
	nvme_pair_free(nvme, &admin->pair);
}

void nvme_admin_reset(struct r3_nvme *nvme)
{
	nvme_pair_reset(&nvme->admin.pair);
	r3_dma_unload(nvme->admin.map);
	for (unsigned i = 0; i < NVME_ROLE_ROLES; i++)
		nvme->admin.slot[i].busy = nvme->admin.slot[i].done = false;
}

int nvme_admin_post(struct r3_nvme *nvme, enum nvme_admin_role role, const struct nvme_cmd *cmd)
{
	struct nvme_admin *admin = &nvme->admin;
	struct nvme_pair *pair = &admin->pair;

	if (role >= admin->roles || admin->slot[role].busy)
		return -EBUSY;

	/* The role and a count, so that a completion that comes late is told apart. */
	uint16_t count = (uint16_t)((admin->slot[role].cid >> ROLE_BITS) + 1);
	uint16_t cid = (uint16_t)((unsigned)count << ROLE_BITS | role);

	pair->sq[pair->sq_tail] = *cmd;
	pair->sq[pair->sq_tail].cid = R3_LE16(cid);
	nvme_pair_push(pair);
	admin->slot[role].cid = cid;
	admin->slot[role].busy = true;
	admin->slot[role].done = false;
	pair->sq_rung = pair->sq_tail;
	r3_write32(nvme->bar, pair->sq_doorbell, pair->sq_tail); /* orders the entry before it */
	return 0;
}

void nvme_admin_poll(struct r3_nvme *nvme)
{
	struct nvme_admin *admin = &nvme->admin;
	struct nvme_pair *pair = &admin->pair;
	unsigned taken = 0;

	/* No more than a queue full at a time, however fast they come. */
	for (; taken < pair->entries; taken++) {
		const struct nvme_cqe *cqe;

		if (!nvme_pair_peek(pair, &cqe))
			break;

		uint16_t cid = R3_LE16(cqe->cid);
		unsigned role = cid & ((1u << ROLE_BITS) - 1);

		if (role < NVME_ROLE_ROLES && admin->slot[role].busy &&
		    admin->slot[role].cid == cid && cqe->sqid == 0) {
			admin->slot[role].cqe = *cqe;
			admin->slot[role].busy = false;
			admin->slot[role].done = true;
		} else {
			r3_ctrl_lie(&nvme->ctrl,
				    "admin completion of unknown command 0x%x of queue %u", cid,
				    R3_LE16(cqe->sqid));
		}
		nvme_pair_pop(pair);
	}
	if (taken)
		nvme_pair_give_back(nvme, pair);
}

/* Submit and wait. */
static int execute(struct r3_nvme *nvme, const struct nvme_cmd *cmd, uint32_t *result,
		   uint32_t *status)
{
	struct nvme_admin *admin = &nvme->admin;
	struct r3_wait wait = r3_wait_begin(nvme->ctrl.clock, admin->timeout);
	uint32_t csts;
	int rc = nvme_admin_post(nvme, NVME_ROLE_SYNC, cmd);

	if (rc < 0)
		return r3_error_set(EBUSY, "%s: an admin command is still in flight",
				    nvme->ctrl.name);
	for (;;) {
		nvme_admin_poll(nvme);
		if (admin->slot[NVME_ROLE_SYNC].done)
			break;
		rc = nvme_ctrl_health(nvme, &csts);
		if (rc < 0)
			return rc;
		if (!r3_wait_step(&wait))
			return r3_error_set(
				ETIMEDOUT,
				"%s: admin command 0x%02x did not complete in %" PRIu64 " ms",
				nvme->ctrl.name, cmd->opcode, admin->timeout / R3_NSEC_PER_MSEC);
	}
	admin->slot[NVME_ROLE_SYNC].done = false;

	const struct nvme_cqe *cqe = &admin->slot[NVME_ROLE_SYNC].cqe;
	unsigned sc = NVME_CQE_STATUS(R3_LE16(cqe->sf));

	if (result)
		*result = R3_LE32(cqe->dw0);
	if (status)
		*status = sc;
	if (sc)
		return r3_error_set(EIO, "%s: admin command 0x%02x failed with status 0x%03x",
				    nvme->ctrl.name, cmd->opcode, sc);
	return 0;
}

/* Give the data to the controller, which way the opcode says. */
static int map_data(struct r3_nvme *nvme, struct nvme_cmd *cmd, void *data, uint32_t len)
{
	struct nvme_admin *admin = &nvme->admin;
	bool to = cmd->opcode & NVME_OPCODE_TO_CTRL, from = cmd->opcode & NVME_OPCODE_FROM_CTRL;
	const struct r3_dma_seg *seg;
	unsigned nseg;
	int rc = r3_dma_load(admin->map, data, len,
			     (to ? R3_DMA_TO_DEVICE : 0) | (from ? R3_DMA_FROM_DEVICE : 0), NULL);

	if (rc < 0)
		return r3_error_prefix(rc, "admin command 0x%02x", cmd->opcode);
	/* By PRPs always: over PCIe admin commands have no SGLs (4.4). */
	seg = r3_dma_segs(admin->map, &nseg);
	rc = nvme_prp_build(&cmd->dptr, seg, nseg, nvme->page, admin->list, admin->list_iova);
	if (rc < 0) {
		r3_dma_unload(admin->map);
		return rc;
	}
	r3_dma_sync(admin->map, (to ? R3_DMA_PREWRITE : 0) | (from ? R3_DMA_PREREAD : 0));
	return 0;
}

static void unmap_data(struct r3_nvme *nvme, const struct nvme_cmd *cmd)
{
	bool to = cmd->opcode & NVME_OPCODE_TO_CTRL, from = cmd->opcode & NVME_OPCODE_FROM_CTRL;

	r3_dma_sync(nvme->admin.map, (to ? R3_DMA_POSTWRITE : 0) | (from ? R3_DMA_POSTREAD : 0));
	r3_dma_unload(nvme->admin.map);
}

int nvme_admin(struct r3_nvme *nvme, const struct nvme_cmd *cmd, void *data, uint32_t len,
	       uint32_t *result, uint32_t *status)
{
	struct nvme_cmd own = *cmd;
	char why[160];
	int rc = 0;

	if (status)
		*status = 0;
	if (nvme->ctrl.gone)
		return r3_error_set(ENODEV, "%s: the device is gone", nvme->ctrl.name);
	if (len)
		rc = map_data(nvme, &own, data, len);
	if (rc < 0)
		return rc;
	rc = execute(nvme, &own, result, status);
	if (!nvme->admin.slot[NVME_ROLE_SYNC].busy) {
		unmap_data(nvme, &own);
		return rc;
	}
	/* Not answered: the memory is the controller's until it is disabled. */
	if (!nvme->ctrl.starting) {
		snprintf(why, sizeof(why), "%s", r3_error_text());
		(void)r3_ctrl_recover(&nvme->ctrl, why);
		if (rc == -ENODEV && !nvme->ctrl.gone)
			rc = -EIO; /* somebody had reset it, and it is back */
		r3_error_set(-rc, "%s", why);
	}
	return rc;
}

int nvme_identify(struct r3_nvme *nvme, uint8_t cns, uint32_t nsid, void *data, uint32_t *status)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_ADMIN_IDENTIFY, .nsid = R3_LE32(nsid), .cdw10 = R3_LE32(cns)};

	return r3_error_prefix(nvme_admin(nvme, &cmd, data, 4096, NULL, status), "identify");
}

/* ---- passthrough ---- */

static bool is_ours(const struct nvme_cmd *cmd)
{
	switch (cmd->opcode) {
	case NVME_ADMIN_DELETE_SQ:
	case NVME_ADMIN_CREATE_SQ:
	case NVME_ADMIN_DELETE_CQ:
	case NVME_ADMIN_CREATE_CQ:
	case NVME_ADMIN_ASYNC_EVENT:
	case NVME_ADMIN_DBBUF_CONFIG:
		return true;
	case NVME_ADMIN_SET_FEATURES:
		return (R3_LE32(cmd->cdw10) & 0xff) == NVME_FID_NUM_QUEUES ||
		       (R3_LE32(cmd->cdw10) & 0xff) == NVME_FID_ASYNC_EVENT ||
		       (R3_LE32(cmd->cdw10) & 0xff) == NVME_FID_HOST_MEM_BUF;
	default:
		return false;
	}
}

static bool has_queues(const struct r3_nvme *nvme)
{
	for (unsigned i = 0; i < nvme->ctrl.nqueues; i++)
		if (nvme->ctrl.queue[i])
			return true;
	return false;
}

/* Only other controllers' hosts are told of it by an event. */
static bool changes_namespaces(const struct nvme_cmd *cmd)
{
	return cmd->opcode == NVME_ADMIN_FORMAT_NVM || cmd->opcode == NVME_ADMIN_NS_MGMT ||
	       cmd->opcode == NVME_ADMIN_NS_ATTACH;
}

int r3_nvme_admin(struct r3_nvme *nvme, const struct nvme_cmd *cmd, void *data, uint32_t len,
		  uint32_t *result, uint32_t *status)
{
	struct nvme_cmd own = {.opcode = cmd->opcode,
			       .nsid = cmd->nsid,
			       .cdw10 = cmd->cdw10,
			       .cdw11 = cmd->cdw11,
			       .cdw12 = cmd->cdw12,
			       .cdw13 = cmd->cdw13,
			       .cdw14 = cmd->cdw14,
			       .cdw15 = cmd->cdw15};

	if (is_ours(cmd))
		return r3_error_set(EPERM, "%s: admin command 0x%02x is the driver's own",
				    nvme->ctrl.name, cmd->opcode);
	/* Another block size, and requests would hit other bytes. */
	if (cmd->opcode == NVME_ADMIN_FORMAT_NVM && has_queues(nvme))
		return r3_error_set(EBUSY, "%s: close all queues before a format", nvme->ctrl.name);
	if (len && (!data || !(cmd->opcode & (NVME_OPCODE_TO_CTRL | NVME_OPCODE_FROM_CTRL))))
		return r3_error_set(EINVAL, "%s: admin command 0x%02x moves no data",
				    nvme->ctrl.name, cmd->opcode);
	if (len & 3 || len > nvme->max_len)
		return r3_error_set(EINVAL, "%s: %u bytes of data: at most %u, and a multiple of 4",
				    nvme->ctrl.name, len, nvme->max_len);

	int rc = nvme_admin(nvme, &own, data, len, result, status);

	if (rc == 0 && changes_namespaces(cmd))
		nvme_ns_refresh_all(nvme);
	return rc;
}

int r3_nvme_log(struct r3_nvme *nvme, uint8_t lid, uint32_t nsid, uint64_t off, void *buf,
		uint32_t len)
{
	bool extended = nvme->id.lpa & NVME_LPA_EXTENDED;
	uint32_t most = extended ? nvme->max_len : LOG_PLAIN_MOST;

	if (!len || (len | off) & 3)
		return r3_error_set(EINVAL, "%s: log page: offset and length are multiples of 4",
				    nvme->ctrl.name);
	if (most > nvme->max_len)
		most = nvme->max_len;
	if (!extended && (off || len > most))
		return r3_error_set(EINVAL,
				    "%s: log page: the controller reads the first %u bytes only",
				    nvme->ctrl.name, most);
	for (uint32_t done = 0, n; done < len; done += n) {
		uint64_t at = off + done;

		n = len - done < most ? len - done : most;

		uint32_t dwords = n / 4 - 1;
		struct nvme_cmd cmd = {.opcode = NVME_ADMIN_GET_LOG_PAGE,
				       .nsid = R3_LE32(nsid),
				       .cdw10 = R3_LE32(lid | dwords << 16),
				       .cdw11 = R3_LE32(dwords >> 16),
				       .cdw12 = R3_LE32(at),
				       .cdw13 = R3_LE32(at >> 32)};
		int rc = nvme_admin(nvme, &cmd, (char *)buf + done, n, NULL, NULL);

		if (rc < 0)
			return r3_error_prefix(rc, "log page 0x%02x", lid);
	}
	return 0;
}
