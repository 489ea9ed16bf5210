/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller: capabilities, reset, identify, shutdown. What it says about itself is
 * checked here, once, so that everything behind can rely on it.
 */
#include "nvme.h"
#include <inttypes.h>
#include <string.h>

#define PAGE_MAX         65536u /* of MPSMIN: more would make each ring a giant */
#define READY_UNIT       (500 * R3_NSEC_PER_MSEC)
#define SHUTDOWN_MIN     R3_NSEC_PER_SEC
#define SHUTDOWN_MAX     (60 * R3_NSEC_PER_SEC)
#define SHUTDOWN_DEFAULT (5 * R3_NSEC_PER_SEC)

int nvme_ctrl_probe(struct r3_nvme *nvme)
{
	int rc = r3_pci_enable(nvme->ctrl.dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0);

	if (rc < 0)
		return rc;
	rc = r3_device_region(nvme->ctrl.dev, R3_REGION_BAR0, &nvme->bar);
	if (rc < 0)
		return rc;
	if (nvme->bar->size < nvme_cq_doorbell(0, 0) + 4)
		return r3_error_set(EIO, "%s: BAR 0 of %" PRIu64 " bytes is too small for NVMe",
				    nvme->ctrl.name, nvme->bar->size);

	uint64_t cap = r3_read64(nvme->bar, NVME_REG_CAP);
	unsigned mps = NVME_CAP_MPSMIN(cap), dstrd = NVME_CAP_DSTRD(cap);

	if (cap == UINT64_MAX)
		return r3_error_set(ENODEV, "%s: registers read all ones: the device is gone",
				    nvme->ctrl.name);
	if (!(NVME_CAP_CSS(cap) & (NVME_CAP_CSS_NVM | NVME_CAP_CSS_CSI)))
		return r3_error_set(EIO, "%s: the controller has no NVM command set (CAP.CSS 0x%x)",
				    nvme->ctrl.name, NVME_CAP_CSS(cap));
	if (NVME_CAP_MQES(cap) < 1)
		return r3_error_set(EIO,
				    "%s: the controller has no room in its queues (CAP.MQES 0)",
				    nvme->ctrl.name);
	if (mps > NVME_CAP_MPSMAX(cap) || (UINT64_C(4096) << mps) > PAGE_MAX)
		return r3_error_set(EIO,
				    "%s: the controller wants pages of 2^%u bytes (CAP.MPSMIN %u, "
				    "MPSMAX %u); at most %u bytes are supported",
				    nvme->ctrl.name, 12 + mps, mps, NVME_CAP_MPSMAX(cap), PAGE_MAX);
	if (nvme_cq_doorbell(1, dstrd) + 4 > nvme->bar->size)
		return r3_error_set(EIO,
				    "%s: the doorbells (CAP.DSTRD %u) lie beyond BAR 0 of %" PRIu64
				    " bytes",
				    nvme->ctrl.name, dstrd, nvme->bar->size);
	nvme->cap = cap;
	nvme->page = 4096u << mps;
	/* TO counts in units; a controller that says 0 still gets one. */
	nvme->ready_ns = (NVME_CAP_TO(cap) + 1) * READY_UNIT;
	return 0;
}

int nvme_ctrl_health(struct r3_nvme *nvme, uint32_t *csts)
{
	uint32_t value = r3_read32(nvme->bar, NVME_REG_CSTS);

	*csts = value;
	if (value == UINT32_MAX || r3_device_gone(nvme->ctrl.dev))
		return r3_error_set(ENODEV, "%s: the device is gone", nvme->ctrl.name);
	if (value & NVME_CSTS_CFS)
		return r3_error_set(EIO, "%s: the controller reports a fatal error (CSTS.CFS)",
				    nvme->ctrl.name);
	return 0;
}

static int wait_ready(struct r3_nvme *nvme, bool ready)
{
	struct r3_wait wait = r3_wait_begin(nvme->ctrl.clock, nvme->ready_ns);
	uint32_t csts;

	for (;;) {
		int rc = nvme_ctrl_health(nvme, &csts);

		/* A controller that failed still has to obey a reset. */
		if (rc == -ENODEV || (rc < 0 && ready))
			return rc;
		if (!!(csts & NVME_CSTS_RDY) == ready)
			return 0;
		if (!r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT,
					    "%s: the controller did not become %s within %" PRIu64
					    " ms (CAP.TO), CSTS 0x%x",
					    nvme->ctrl.name, ready ? "ready" : "disabled",
					    nvme->ready_ns / R3_NSEC_PER_MSEC, csts);
	}
}

int nvme_ctrl_disable(struct r3_ctrl *ctrl)
{
	struct r3_nvme *nvme = (struct r3_nvme *)ctrl;
	uint32_t cc = r3_read32(nvme->bar, NVME_REG_CC);

	r3_write32(nvme->bar, NVME_REG_CC, cc & ~(NVME_CC_EN | NVME_CC_SHN_MASK));
	return wait_ready(nvme, false);
}

void nvme_ctrl_fence(struct r3_nvme *nvme)
{
	if (nvme_ctrl_disable(&nvme->ctrl) == 0)
		return;
	r3_log(R3_LOG_WARN, "%s", r3_error_text());
	(void)r3_pci_enable(nvme->ctrl.dev, 0, R3_PCI_MASTER);
}

/* CC.EN must not change before CSTS.RDY has followed its last change (3.1.5): whoever had
 * the controller before us may have left in between. One that does not follow is
 * disabled all the same. */
static void settle(struct r3_nvme *nvme)
{
	uint32_t cc = r3_read32(nvme->bar, NVME_REG_CC);

	if (cc != UINT32_MAX && (cc & NVME_CC_EN))
		(void)wait_ready(nvme, true);
}

static int enable(struct r3_nvme *nvme)
{
	const struct nvme_pair *admin = &nvme->admin.pair;
	uint32_t size = admin->entries - 1u;
	unsigned mps = NVME_CAP_MPSMIN(nvme->cap);
	unsigned css =
		NVME_CAP_CSS(nvme->cap) & NVME_CAP_CSS_NVM ? NVME_CC_CSS_NVM : NVME_CC_CSS_ALL;

	nvme_admin_reset(nvme);
	r3_write32(nvme->bar, NVME_REG_AQA, size << 16 | size);
	r3_write64(nvme->bar, NVME_REG_ASQ, admin->sq_iova.v);
	r3_write64(nvme->bar, NVME_REG_ACQ, admin->cq_iova.v);
	r3_write32(nvme->bar, NVME_REG_CC,
		   NVME_CC_EN | NVME_CC_CSS(css) | NVME_CC_MPS(mps) | NVME_CC_AMS_RR |
			   NVME_CC_IOSQES(6) | NVME_CC_IOCQES(4));
	return wait_ready(nvme, true);
}

static bool in_range(uint8_t sizes, unsigned want)
{
	return (sizes & 0xfu) <= want && want <= sizes >> 4;
}

/* Limits of write zeroes and deallocate, which came with 2.0 (CNS 06h). */
static int identify_nvm(struct r3_nvme *nvme)
{
	struct nvme_id_ctrl_nvm nvm;
	uint32_t status;
	int rc;

	nvme->zeroes_len = UINT64_MAX;
	nvme->discard_lbas = UINT32_MAX;
	if (!(NVME_CAP_CSS(nvme->cap) & NVME_CAP_CSS_CSI) &&
	    r3_read32(nvme->bar, NVME_REG_VS) < NVME_VS(2, 0, 0))
		return 0;
	rc = nvme_identify(nvme, NVME_CNS_CSI_CTRL, 0, &nvm, &status);
	if (rc < 0)
		return status ? 0 : rc; /* optional until 2.0: then there are no limits */
	if (nvm.wzsl && nvm.wzsl < 64 - 16)
		nvme->zeroes_len = (uint64_t)nvme->page << nvm.wzsl;
	if (nvm.dmrsl)
		nvme->discard_lbas = R3_LE32(nvm.dmrsl);
	if (nvm.dmsl && R3_LE64(nvm.dmsl) < nvme->discard_lbas)
		nvme->discard_lbas = (uint32_t)R3_LE64(nvm.dmsl);
	return 0;
}

static int identify(struct r3_nvme *nvme)
{
	struct nvme_id_ctrl *id = &nvme->id;
	int rc = nvme_identify(nvme, NVME_CNS_CTRL, 0, id, NULL);

	if (rc < 0)
		return rc;
	/* Nothing but zeroes or ones fails here too. */
	if (!in_range(id->sqes, 6) || !in_range(id->cqes, 4))
		return r3_error_set(EIO,
				    "%s: absurd Identify Controller data: queue entry sizes 0x%x "
				    "and 0x%x do not allow 64 and 16 bytes",
				    nvme->ctrl.name, id->sqes, id->cqes);
	nvme->max_len = NVME_MAX_LEN;
	if (id->mdts && id->mdts < 16 && (nvme->page << id->mdts) < NVME_MAX_LEN)
		nvme->max_len = nvme->page << id->mdts;

	uint32_t sgls = R3_LE32(id->sgls) & NVME_SGLS_SUPPORT_MASK;

	nvme->sgl = sgls == NVME_SGLS_ANY || sgls == NVME_SGLS_DWORD;
	return identify_nvm(nvme);
}

static int set_feature(struct r3_nvme *nvme, uint8_t fid, uint32_t value, uint32_t *result,
		       uint32_t *status)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = R3_LE32(fid), .cdw11 = R3_LE32(value)};

	return nvme_admin(nvme, &cmd, NULL, 0, result, status);
}

/* How many I/O queue pairs there are (5.21.1.7). Once asked, the number stays: whoever
 * has a queue keeps it over a reset. */
static int ask_queues(struct r3_nvme *nvme)
{
	unsigned stride = 4u << NVME_CAP_DSTRD(nvme->cap);
	/* The last doorbell of a stride needs no more than its own 4 bytes. */
	uint64_t fit = ((nvme->bar->size - NVME_REG_DOORBELL - 4) / stride - 1) / 2;
	uint32_t ask = fit < NVME_QUEUES_MAX ? (uint32_t)fit : NVME_QUEUES_MAX;
	uint32_t got;
	int rc;

	if (nvme->ctrl.nqueues)
		ask = nvme->ctrl.nqueues;
	rc = set_feature(nvme, NVME_FID_NUM_QUEUES, (ask - 1) << 16 | (ask - 1), &got, NULL);
	if (rc < 0)
		return rc;

	uint32_t sqs = (got & 0xffff) + 1, cqs = (got >> 16) + 1;

	/* It may grant more than was asked for, which nobody needs to believe. */
	if (sqs < ask)
		ask = sqs;
	if (cqs < ask)
		ask = cqs;
	if (nvme->ctrl.nqueues && ask < nvme->ctrl.nqueues)
		return r3_error_set(EIO, "%s: %u I/O queues after a reset, %u before",
				    nvme->ctrl.name, ask, nvme->ctrl.nqueues);
	nvme->ctrl.nqueues = ask;
	return 0;
}

/* Of use, and no more: a controller that refuses works as well. */
static int set_if_it_can(struct r3_nvme *nvme, uint8_t fid, uint32_t value, const char *what)
{
	uint32_t status;
	int rc = set_feature(nvme, fid, value, NULL, &status);

	if (rc < 0 && status) {
		r3_log(R3_LOG_INFO, "%s: %s as it is: %s", nvme->ctrl.name, what, r3_error_text());
		rc = 0;
	}
	return rc;
}

/* Never of vector 0: the admin queue's is not meant to be delayed, nor are the queues
 * that share it. Before it is coalesced, so that none of these ever is. */
static int ask_coalescing(struct r3_nvme *nvme)
{
	int rc;

	if (!nvme->coalesce)
		return 0;
	rc = set_if_it_can(nvme, NVME_FID_IRQ_CONFIG, NVME_IRQ_CONFIG_CD, "vector 0 stays");
	if (rc == 0)
		rc = set_if_it_can(nvme, NVME_FID_IRQ_COALESCE, nvme->coalesce,
				   "interrupt coalescing stays");
	return rc;
}

static int ask_events(struct r3_nvme *nvme)
{
	uint32_t offered = R3_LE32(nvme->id.oaes) & (NVME_AEN_NS_CHANGED | NVME_AEN_FW_ACTIVATION);
	int rc = set_if_it_can(nvme, NVME_FID_ASYNC_EVENT, NVME_AEN_SMART_MASK | offered,
			       "events stay");

	if (rc < 0)
		return rc;
	nvme->events_off = false;
	nvme_event_arm(nvme);
	return 0;
}

int nvme_ctrl_start(struct r3_nvme *nvme)
{
	int rc;

	settle(nvme);
	rc = nvme_ctrl_disable(&nvme->ctrl);
	if (rc == 0)
		rc = enable(nvme);
	if (rc == 0)
		rc = identify(nvme);
	if (rc == 0)
		rc = ask_queues(nvme);
	if (rc == 0)
		rc = ask_coalescing(nvme);
	if (rc == 0)
		rc = ask_events(nvme);
	return rc;
}

void nvme_ctrl_shutdown(struct r3_nvme *nvme)
{
	uint64_t limit = R3_LE32(nvme->id.rtd3e) * R3_NSEC_PER_USEC;
	uint32_t csts, cc = r3_read32(nvme->bar, NVME_REG_CC);

	if (nvme->ctrl.gone)
		return;
	if (nvme_ctrl_health(nvme, &csts) < 0) {
		nvme_ctrl_fence(nvme); /* a failed controller can still transfer */
		return;
	}
	if (!limit)
		limit = SHUTDOWN_DEFAULT;
	else if (limit < SHUTDOWN_MIN)
		limit = SHUTDOWN_MIN;
	else if (limit > SHUTDOWN_MAX)
		limit = SHUTDOWN_MAX;

	r3_write32(nvme->bar, NVME_REG_CC, (cc & ~NVME_CC_SHN_MASK) | NVME_CC_SHN_NORMAL);
	if (r3_region_wait32(nvme->bar, NVME_REG_CSTS, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_COMPLETE,
			     limit, &csts) < 0)
		r3_log(R3_LOG_WARN, "%s: no orderly shutdown within %" PRIu64 " ms (CSTS 0x%x)",
		       nvme->ctrl.name, limit / R3_NSEC_PER_MSEC, csts);
	nvme_ctrl_fence(nvme);
}
