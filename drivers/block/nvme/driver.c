/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing a controller, and the driver's entry in the table of drivers. */
#include "driver.h"
#include "nvme.h"
#include "util/kept_text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ADMIN_TIMEOUT_MIN R3_NSEC_PER_SEC

/* ---- DMA ---- */

static int make_tags(struct r3_nvme *nvme)
{
	const struct r3_dma_constraints ring = {
		.size = sizeof(ring), .max_segments = 1, .alignment = nvme->page};
	const struct r3_dma_constraints prp = {.size = sizeof(prp),
					       .max_segments = NVME_MAX_SEGS,
					       .alignment = 4,
					       .max_len = NVME_MAX_LEN,
					       .virt_boundary = nvme->page};
	int rc = r3_dma_tag_create(nvme->ctrl.dev, NULL, &ring, &nvme->ring_tag);

	if (rc == 0)
		rc = r3_dma_tag_create(nvme->ctrl.dev, NULL, &prp, &nvme->prp_tag);
	return rc;
}

/* SGLs take what PRPs cannot describe, and so would have to be bounced. */
static int make_data_tag(struct r3_nvme *nvme)
{
	uint32_t sgls = R3_LE32(nvme->id.sgls) & NVME_SGLS_SUPPORT_MASK;
	uint64_t unit = sgls == NVME_SGLS_DWORD ? 4 : 1; /* of addresses and of lengths */
	const struct r3_dma_constraints sgl = {.size = sizeof(sgl),
					       .max_segments = NVME_MAX_SEGS,
					       .alignment = unit,
					       .max_len = NVME_MAX_LEN,
					       .virt_boundary = unit};

	if (nvme->sgl)
		return r3_dma_tag_create(nvme->ctrl.dev, NULL, &sgl, &nvme->data_tag);
	nvme->data_tag = r3_dma_tag_ref(nvme->prp_tag);
	return 0;
}

/* ---- the controller's life ---- */

static int restart(struct r3_ctrl *ctrl)
{
	int rc = nvme_ctrl_start((struct r3_nvme *)ctrl);

	for (struct r3_hwq *q = r3_ctrl_next(ctrl, NULL); rc == 0 && q; q = r3_ctrl_next(ctrl, q))
		rc = nvme_queue_create((struct nvme_queue *)q);
	return rc;
}

static int health(struct r3_ctrl *ctrl)
{
	uint32_t csts;

	return nvme_ctrl_health((struct r3_nvme *)ctrl, &csts);
}

static void tell(struct r3_ctrl *ctrl, enum r3_block_event_type type, uint32_t detail)
{
	struct r3_nvme *nvme = (struct r3_nvme *)ctrl;

	if (type == R3_BLOCK_EVENT_RESET)
		nvme->ns_stale = true; /* it forgot events that were not told yet */
	for (struct nvme_ns *ns = nvme->namespaces; ns; ns = ns->next) {
		if (type == R3_BLOCK_EVENT_GONE)
			nvme_ns_gone(ns);
		else
			nvme_ns_event(ns, type, detail);
	}
}

static void pin(struct r3_ctrl *ctrl, bool mask)
{
	r3_write32(((struct r3_nvme *)ctrl)->bar, mask ? NVME_REG_INTMS : NVME_REG_INTMC, 1);
}

static const struct r3_ctrl_ops ctrl_ops = {
	.disable = nvme_ctrl_disable,
	.restart = restart,
	.collect = nvme_io_collect,
	.ring = nvme_io_ring,
	.again = nvme_io_again,
	.cancel = nvme_io_cancel,
	.health = health,
	.tell = tell,
	.poll = nvme_event_poll,
	.tick = nvme_event_tick,
	.pin = pin,
};

static void set_admin_timeout(struct r3_nvme *nvme, uint64_t timeout)
{
	nvme->admin.timeout = timeout ? timeout : NVME_ADMIN_TIMEOUT;
	/* What is short for a request can be too short for an Identify. */
	if (nvme->admin.timeout < ADMIN_TIMEOUT_MIN)
		nvme->admin.timeout = ADMIN_TIMEOUT_MIN;
}

/* What it cannot do exactly it does less of: fewer requests together, a shorter wait. */
static uint32_t coalescing(const struct r3_block_opts *opts)
{
	uint64_t units = 1;

	if (!opts || opts->coalesce < 2)
		return 0;
	if (opts->coalesce_ns)
		units = (opts->coalesce_ns - 1) / NVME_IRQ_COALESCE_UNIT_NS + 1;
	return NVME_IRQ_COALESCE(opts->coalesce < 256 ? opts->coalesce - 1 : 255,
				 units < 255 ? (uint32_t)units : 255);
}

int r3_nvme_open(struct r3_device *dev, const struct r3_block_opts *opts, struct r3_nvme **out)
{
	struct r3_nvme *nvme = calloc(1, sizeof(*nvme));
	struct r3_kept_text why;
	unsigned vectors;
	int rc;

	if (!nvme)
		return r3_error_set(ENOMEM, "%s: no memory", r3_device_get_info(dev)->name);
	r3_ctrl_init(&nvme->ctrl, &ctrl_ops, dev, opts);
	set_admin_timeout(nvme, opts ? opts->timeout_ns : 0);
	nvme->event_budget = NVME_EVENTS_PER_TICK;
	nvme->coalesce = coalescing(opts);

	rc = nvme_ctrl_probe(nvme);
	if (rc < 0)
		goto free_nvme;
	rc = make_tags(nvme);
	if (rc < 0)
		goto free_tags;
	rc = nvme_admin_alloc(nvme);
	if (rc < 0)
		goto free_tags;
	rc = nvme_ctrl_start(nvme);
	if (rc < 0)
		goto stop;
	rc = make_data_tag(nvme);
	if (rc < 0)
		goto stop;
	vectors = nvme->ctrl.nqueues + 1;
	if (vectors > NVME_VECTORS_MAX)
		vectors = NVME_VECTORS_MAX;
	rc = r3_irq_enable(dev, R3_IRQ_BEST, 1, vectors, &nvme->ctrl.irq);
	if (rc < 0)
		goto stop;
	rc = r3_ctrl_open(&nvme->ctrl);
	if (rc < 0)
		goto disable_irq;
	r3_log(R3_LOG_INFO, "%s: NVMe, %u I/O queues, %u %s vectors", nvme->ctrl.name,
	       nvme->ctrl.nqueues, r3_irq_count(nvme->ctrl.irq),
	       r3_irq_type_name(r3_irq_get_type(nvme->ctrl.irq)));
	*out = nvme;
	return 0;

disable_irq:
	r3_ctrl_close(&nvme->ctrl);
	r3_irq_disable(nvme->ctrl.irq);
stop:
	r3_error_keep(&why);
	nvme_ctrl_fence(nvme);
	r3_error_put_back(&why);
	nvme_admin_free(nvme);
free_tags:
	r3_dma_tag_unref(nvme->data_tag);
	r3_dma_tag_unref(nvme->prp_tag);
	r3_dma_tag_unref(nvme->ring_tag);
free_nvme:
	free(nvme);
	return rc;
}

/* Everything but the device, which goes back to whoever gave it. */
static void stop(struct r3_nvme *nvme)
{
	struct r3_kept_text why; /* it stops: often, that something failed */

	r3_error_keep(&why);
	nvme_ctrl_shutdown(nvme);
	r3_error_put_back(&why);
	r3_ctrl_close(&nvme->ctrl);
	r3_irq_disable(nvme->ctrl.irq);
	nvme_admin_free(nvme);
	r3_dma_tag_unref(nvme->data_tag);
	r3_dma_tag_unref(nvme->prp_tag);
	r3_dma_tag_unref(nvme->ring_tag);
	free(nvme);
}

void r3_nvme_close(struct r3_nvme *nvme)
{
	struct r3_device *dev;

	if (!nvme)
		return;
	dev = nvme->ctrl.dev;
	stop(nvme);
	r3_device_close(dev);
}

const struct nvme_id_ctrl *r3_nvme_id(const struct r3_nvme *nvme)
{
	return &nvme->id;
}

/* ---- the driver ---- */

static int attach(struct r3_device *dev, const struct r3_block_opts *opts, struct r3_block **out)
{
	uint32_t nsid = opts ? opts->nsid : 0;
	struct r3_nvme *nvme;
	struct nvme_ns *ns;
	int rc = r3_nvme_open(dev, opts, &nvme);

	if (rc < 0)
		return rc;
	if (!nsid) {
		rc = r3_nvme_namespaces(nvme, &nsid, 1);
		if (rc == 0)
			rc = r3_error_set(ENODEV, "%s: the controller has no active namespace",
					  nvme->ctrl.name);
		if (rc < 0)
			goto stop;
	}
	rc = nvme_ns_create(nvme, nsid, &ns);
	if (rc < 0)
		goto stop;
	ns->owner = true;
	*out = &ns->block;
	return 0;

stop:
	stop(nvme);
	return rc;
}

static const struct r3_match match[] = {
	/* Mass storage, non-volatile memory, NVM Express; whoever made it. */
	{R3_MATCH_ANY, R3_MATCH_ANY, 0x010802, 0xffffff},
};

const struct r3_driver_v1 r3_driver_nvme = {
	.size = sizeof(r3_driver_nvme),
	.abi = R3_DRIVER_ABI,
	.name = "nvme",
	.summary = "NVM Express controllers",
	.class_id = R3_CLASS_BLOCK,
	.nmatch = sizeof(match) / sizeof(match[0]),
	.match = match,
	.attach_block = attach,
};

R3_DRIVER_OBJECT(r3_driver_nvme);
