/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Namespaces as block devices: what Identify says, checked and turned into limits, and
 * what happens when it changes.
 */
#include "class/limits.h"
#include "nvme.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LBA_SHIFT_MIN 9u
#define LBA_SHIFT_MAX 16u
#define NLB_MAX       UINT64_C(65536) /* blocks of one command (6.9) */
#define NSIDS_MAX     65536u          /* that we list */

/* ---- identify ---- */

static uint64_t round_down_pow2(uint64_t x)
{
	return UINT64_C(1) << (63 - __builtin_clzll(x));
}

static int check_format(struct r3_nvme *nvme, uint32_t nsid, const struct nvme_id_ns *id,
			uint8_t *lba_shift)
{
	unsigned index = NVME_FLBAS_INDEX(id->flbas);
	const struct nvme_lbaf *format = &id->lbaf[index];

	if (!id->nsze)
		return r3_error_set(ENODEV, "%s: namespace %u is not active", nvme->ctrl.name,
				    nsid);
	if (index > id->nlbaf)
		return r3_error_set(EIO, "%s: namespace %u has LBA format %u of %u: absurd",
				    nvme->ctrl.name, nsid, index, id->nlbaf + 1u);
	if (format->lbads < LBA_SHIFT_MIN || format->lbads > LBA_SHIFT_MAX)
		return r3_error_set(EIO,
				    "%s: namespace %u has blocks of 2^%u bytes; 2^%u to 2^%u are "
				    "supported",
				    nvme->ctrl.name, nsid, format->lbads, LBA_SHIFT_MIN,
				    LBA_SHIFT_MAX);
	if (format->ms)
		return r3_error_set(EIO,
				    "%s: namespace %u is formatted with %u bytes of metadata per "
				    "block: format it without",
				    nvme->ctrl.name, nsid, R3_LE16(format->ms));
	if (R3_LE64(id->nsze) > (uint64_t)INT64_MAX >> format->lbads)
		return r3_error_set(EIO, "%s: namespace %u of %" PRIu64 " blocks of 2^%u: absurd",
				    nvme->ctrl.name, nsid, R3_LE64(id->nsze), format->lbads);
	if (UINT32_C(1) << format->lbads > nvme->max_len)
		return r3_error_set(EIO,
				    "%s: namespace %u has blocks of 2^%u bytes, and the controller "
				    "transfers %u at most",
				    nvme->ctrl.name, nsid, format->lbads, nvme->max_len);
	*lba_shift = format->lbads;
	return 0;
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct r3_block_limits limits_of(const struct r3_nvme *nvme, const struct nvme_id_ns *id,
					uint8_t shift)
{
	uint16_t oncs = R3_LE16(nvme->id.oncs);
	uint32_t block = 1u << shift;
	uint64_t granule = id->nsfeat & NVME_NSFEAT_OPTPERF ? R3_LE16(id->npwg) + 1u : 1;
	uint64_t zeroes = nvme->zeroes_len & ~(uint64_t)(block - 1);
	uint16_t mqes = NVME_CAP_MQES(nvme->cap);
	struct r3_block_limits limits = {
		.size = R3_LE64(id->nsze) << shift,
		.block_size = block,
		.physical_block_size =
			(uint32_t)at_most(round_down_pow2(granule) << shift, NVME_MAX_LEN),
		.max_len = at_most(nvme->max_len, NLB_MAX << shift),
		.max_sg = NVME_MAX_SEGS,
		.features = R3_BLOCK_FUA,
		.max_queues = nvme->ctrl.nqueues,
		.max_depth = mqes < NVME_DEPTH_MAX ? mqes : NVME_DEPTH_MAX,
	};

	if (nvme->ctrl.read_only || (id->nsattr & NVME_NSATTR_WRITE_PROTECTED))
		limits.features |= R3_BLOCK_READ_ONLY;
	if (nvme->id.vwc & NVME_VWC_PRESENT)
		limits.features |= R3_BLOCK_VOLATILE_CACHE;
	if ((oncs & NVME_ONCS_WRITE_ZEROES) && zeroes) {
		limits.features |= R3_BLOCK_WRITE_ZEROES;
		limits.max_zeroes_len = at_most(zeroes, NLB_MAX << shift);
	}
	if ((oncs & NVME_ONCS_DSM) && nvme->discard_lbas) {
		limits.features |= R3_BLOCK_DISCARD;
		limits.max_discard_len = (uint64_t)nvme->discard_lbas << shift;
	}
	return limits;
}

static int identify(struct nvme_ns *ns, struct r3_block_limits *limits, uint8_t *shift,
		    uint8_t *dlfeat)
{
	struct r3_nvme *nvme = ns->nvme;
	struct nvme_id_ns id;
	uint32_t status;
	int rc = nvme_identify(nvme, NVME_CNS_NS, ns->nsid, &id, &status);

	if (rc < 0 && status == NVME_SC_INVALID_NS)
		return r3_error_set(ENODEV, "%s: there is no namespace %u", nvme->ctrl.name,
				    ns->nsid);
	if (rc == 0)
		rc = check_format(nvme, ns->nsid, &id, shift);
	if (rc < 0)
		return rc;
	*limits = limits_of(nvme, &id, *shift);
	*dlfeat = id.dlfeat;
	return 0;
}

int r3_nvme_namespaces(struct r3_nvme *nvme, uint32_t *nsid, unsigned max)
{
	struct nvme_ns_list list;
	uint32_t last = 0;
	unsigned n = 0;

	while (n < NSIDS_MAX) {
		int rc = nvme_identify(nvme, NVME_CNS_NS_ACTIVE_LIST, last, &list, NULL);

		if (rc < 0)
			return rc;
		for (unsigned i = 0; i < NVME_LIST_MAX; i++) {
			uint32_t id = R3_LE32(list.ns[i]);

			/* Ascending, so that a list that never ends is no list. */
			if (id <= last || id > R3_LE32(nvme->id.nn))
				return (int)n;
			if (n < max)
				nsid[n] = id;
			n++;
			last = id;
		}
	}
	return (int)n;
}

/* ---- events ---- */

void nvme_ns_event(struct nvme_ns *ns, enum r3_block_event_type type, uint32_t detail)
{
	r3_pending_put(&ns->pending, type, detail);
}

static int ns_dispatch(struct r3_block *block, struct r3_block_event *events, unsigned max)
{
	struct nvme_ns *ns = (struct nvme_ns *)block;

	r3_ctrl_dispatch(&ns->nvme->ctrl);
	return r3_pending_take(&ns->pending, events, max);
}

void nvme_ns_gone(struct nvme_ns *ns)
{
	struct r3_nvme *nvme = ns->nvme;

	if (ns->gone)
		return;
	ns->gone = true;
	for (unsigned i = 0; i < nvme->ctrl.nqueues; i++) {
		struct r3_hwq *q = nvme->ctrl.queue[i];

		if (q && ((struct nvme_queue *)q)->ns == ns)
			r3_hwq_refuse(q);
	}
	nvme_ns_event(ns, R3_BLOCK_EVENT_GONE, 0);
}

void nvme_ns_refresh(struct nvme_ns *ns)
{
	struct r3_block_limits limits;
	uint8_t shift, dlfeat;
	int rc;

	if (ns->gone)
		return;
	rc = identify(ns, &limits, &shift, &dlfeat);
	if (ns->nvme->ctrl.gone)
		return;
	if (rc == -ETIMEDOUT || rc == -EBUSY) { /* no answer says nothing of the namespace */
		ns->nvme->ns_stale = true;
		return;
	}
	if (rc == 0 && shift != ns->lba_shift)
		rc = r3_error_set(EIO, "its block size changed from 2^%u to 2^%u", ns->lba_shift,
				  shift);
	if (rc < 0) {
		/* Requests in terms of the old format would hit other bytes. */
		r3_log(R3_LOG_ERROR, "%s: gone: %s", ns->block.name, r3_error_text());
		nvme_ns_gone(ns);
		return;
	}
	if (r3_block_change_limits(&ns->block, &limits))
		nvme_ns_event(ns, R3_BLOCK_EVENT_GEOMETRY, 0);
}

void nvme_ns_refresh_all(struct r3_nvme *nvme)
{
	nvme->ns_stale = false;
	for (struct nvme_ns *ns = nvme->namespaces; ns && !nvme->ctrl.gone; ns = ns->next)
		nvme_ns_refresh(ns);
}

/* ---- the block device ---- */

static void ns_close(struct r3_block *block)
{
	struct nvme_ns *ns = (struct nvme_ns *)block, **at = &ns->nvme->namespaces;
	struct r3_nvme *owned = ns->owner ? ns->nvme : NULL;

	while (*at != ns)
		at = &(*at)->next;
	*at = ns->next;
	r3_pending_close(&ns->pending);
	free(ns);
	if (owned)
		r3_nvme_close(owned);
}

static int ns_fd(const struct r3_block *block)
{
	return ((const struct nvme_ns *)block)->pending.epoll;
}

static struct r3_device *ns_device(const struct r3_block *block)
{
	return ((const struct nvme_ns *)block)->nvme->ctrl.dev;
}

static int ns_alloc(struct r3_block *block, size_t len, void **out)
{
	return r3_ctrl_alloc(&((struct nvme_ns *)block)->nvme->ctrl, len, out);
}

static void ns_free(struct r3_block *block, void *ptr)
{
	r3_ctrl_free(&((struct nvme_ns *)block)->nvme->ctrl, ptr);
}

static const struct r3_block_ops ns_ops = {
	.size = sizeof(ns_ops),
	.close = ns_close,
	.fd = ns_fd,
	.dispatch = ns_dispatch,
	.alloc = ns_alloc,
	.free = ns_free,
	.device = ns_device,
	.queue_open = nvme_queue_open,
	.queue_close = nvme_queue_close,
	.submit = nvme_submit,
	.kick = nvme_kick,
	.reap = nvme_reap,
	.arm = nvme_arm,
};

struct r3_nvme *r3_nvme_of(struct r3_block *block)
{
	return block->ops == &ns_ops ? ((struct nvme_ns *)block)->nvme : NULL;
}

int nvme_ns_create(struct r3_nvme *nvme, uint32_t nsid, struct nvme_ns **out)
{
	struct nvme_ns *ns = calloc(1, sizeof(*ns));
	int rc;

	if (!ns)
		return r3_error_set(ENOMEM, "%s: no memory", nvme->ctrl.name);
	ns->nvme = nvme;
	ns->nsid = nsid;
	ns->block.ops = &ns_ops;
	ns->block.clock = nvme->ctrl.clock;
	snprintf(ns->block.name, sizeof(ns->block.name), "nvme %s ns %u", nvme->ctrl.name, nsid);
	rc = identify(ns, &ns->block.limits, &ns->lba_shift, &ns->dlfeat);
	if (rc < 0)
		goto free_ns;
	if ((ns->block.limits.features & R3_BLOCK_READ_ONLY) && !nvme->ctrl.read_only) {
		rc = r3_error_set(EROFS, "%s is write protected: open it read-only",
				  ns->block.name);
		goto free_ns;
	}
	rc = r3_pending_open(&ns->pending);
	if (rc == 0)
		rc = r3_pending_watch(&ns->pending, nvme->ctrl.epoll);
	if (rc < 0) {
		rc = r3_error_set(-rc, "%s: event descriptors: %s", ns->block.name, strerror(-rc));
		goto close_fds;
	}
	ns->next = nvme->namespaces;
	nvme->namespaces = ns;
	*out = ns;
	return 0;

close_fds:
	r3_pending_close(&ns->pending);
free_ns:
	free(ns);
	return rc;
}

int r3_nvme_namespace(struct r3_nvme *nvme, uint32_t nsid, struct r3_block **out)
{
	struct nvme_ns *ns = NULL;
	int rc = nvme_ns_create(nvme, nsid, &ns);

	if (rc == 0)
		*out = &ns->block;
	return rc;
}
