/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing a controller, and the driver's entry in the table of drivers. */
#include "driver.h"
#include "nvme.h"
#include "util/kept_text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICKS_OF_TIMEOUT  8
#define ADMIN_TIMEOUT_MIN R3_NSEC_PER_SEC
#define TICK_MIN          R3_NSEC_PER_MSEC
#define TICK_MAX          (500 * R3_NSEC_PER_MSEC)

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
	int rc = r3_dma_tag_create(nvme->dev, NULL, &ring, &nvme->ring_tag);

	if (rc == 0)
		rc = r3_dma_tag_create(nvme->dev, NULL, &prp, &nvme->prp_tag);
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
		return r3_dma_tag_create(nvme->dev, NULL, &sgl, &nvme->data_tag);
	nvme->data_tag = r3_dma_tag_ref(nvme->prp_tag);
	return 0;
}

/* ---- time and descriptors ---- */

static void set_times(struct r3_nvme *nvme, uint64_t timeout)
{
	uint64_t io = timeout ? timeout : NVME_IO_TIMEOUT;
	uint64_t tick = io / TICKS_OF_TIMEOUT;

	if (tick < TICK_MIN)
		tick = TICK_MIN;
	if (tick > TICK_MAX)
		tick = TICK_MAX;
	/* What is short for a request can be too short for an Identify. */
	nvme->admin.timeout = timeout ? timeout : NVME_ADMIN_TIMEOUT;
	if (nvme->admin.timeout < ADMIN_TIMEOUT_MIN)
		nvme->admin.timeout = ADMIN_TIMEOUT_MIN;
	nvme->tick_ns = tick;
	nvme->io_ticks = io / tick < UINT32_MAX / 4 ? (uint32_t)(io / tick) : UINT32_MAX / 4;
	nvme->ticked = r3_clock_now(nvme->clock);
}

int nvme_watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_fds(struct r3_nvme *nvme)
{
	const struct timespec tick = {.tv_nsec = (long)nvme->tick_ns};
	const struct itimerspec every = {.it_interval = tick, .it_value = tick};

	nvme->epoll = epoll_create1(EPOLL_CLOEXEC);
	nvme->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (nvme->epoll < 0 || nvme->timer < 0 ||
	    timerfd_settime(nvme->timer, 0, &every, NULL) < 0 ||
	    nvme_watch(nvme->epoll, nvme->timer) < 0 ||
	    nvme_watch(nvme->epoll, r3_irq_fd(nvme->irq, 0)) < 0 ||
	    (r3_device_fd(nvme->dev) >= 0 && nvme_watch(nvme->epoll, r3_device_fd(nvme->dev)) < 0))
		return r3_error_set(errno, "%s: event descriptors: %s", nvme->name,
				    strerror(errno));
	return 0;
}

static void close_fds(struct r3_nvme *nvme)
{
	if (nvme->timer >= 0)
		close(nvme->timer);
	if (nvme->epoll >= 0)
		close(nvme->epoll);
}

/* ---- the controller's life ---- */

int r3_nvme_open(struct r3_device *dev, const struct r3_block_opts *opts, struct r3_nvme **out)
{
	struct r3_nvme *nvme = calloc(1, sizeof(*nvme));
	struct r3_kept_text why;
	unsigned vectors;
	int rc;

	if (!nvme)
		return r3_error_set(ENOMEM, "%s: no memory", r3_device_get_info(dev)->name);
	nvme->dev = dev;
	nvme->name = r3_device_get_info(dev)->name;
	nvme->clock = r3_device_clock(dev);
	nvme->epoll = nvme->timer = -1;
	nvme->read_only = opts && opts->read_only;
	nvme_event_ration(nvme);
	set_times(nvme, opts ? opts->timeout_ns : 0);

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
	nvme->queue = calloc(nvme->nqueues + 1, sizeof(*nvme->queue));
	if (!nvme->queue) {
		rc = r3_error_set(ENOMEM, "%s: no memory", nvme->name);
		goto stop;
	}
	vectors = nvme->nqueues + 1 < NVME_VECTORS_MAX ? nvme->nqueues + 1 : NVME_VECTORS_MAX;
	rc = r3_irq_enable(dev, R3_IRQ_BEST, 1, vectors, &nvme->irq);
	if (rc < 0)
		goto free_queues;
	rc = open_fds(nvme);
	if (rc < 0)
		goto disable_irq;
	r3_log(R3_LOG_INFO, "%s: NVMe, %u I/O queues, %u %s vectors", nvme->name, nvme->nqueues,
	       r3_irq_count(nvme->irq), r3_irq_type_name(r3_irq_get_type(nvme->irq)));
	*out = nvme;
	return 0;

disable_irq:
	close_fds(nvme);
	r3_irq_disable(nvme->irq);
free_queues:
	free(nvme->queue);
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
	close_fds(nvme);
	r3_irq_disable(nvme->irq);
	free(nvme->queue);
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
	dev = nvme->dev;
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
					  nvme->name);
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
