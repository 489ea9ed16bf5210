/* SPDX-License-Identifier: BSD-2-Clause */
/* A device of QEMU's as bus operations, and the scheme "qemu:". */
#include "backend/qemu/backend.h"
#include "backend/qemu/command.h"
#include "backend/qemu/iommu.h"
#include "backend/qemu/qemu.h"
#include "backend/qemu/start.h"
#include "pci/caps.h"
#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* What QEMU gets for an orderly end before it is killed. */
#define GRACE_MS 2000

struct r3_qemu *r3_qemu_of(struct r3_device *dev)
{
	return dev->ops == &r3_qemu_ops ? (struct r3_qemu *)dev : NULL;
}

/* ---- life ---- */

void r3_qemu_qmp_event(void *ctx, const char *event, struct json_object *data)
{
	struct r3_qemu *q = ctx;
	struct json_object *id;

	/* it reads as absent from before this event on */
	if (!strcmp(event, "DEVICE_DELETED") && data && q->id &&
	    json_object_object_get_ex(data, "device", &id) &&
	    !strcmp(json_object_get_string(id), q->id))
		r3_qemu_raise(q, R3_QEMU_REMOVED);
}

void r3_qemu_destroy(struct r3_qemu *q)
{
	r3_qmp_close(q->qmp);
	r3_qemu_link_close(&q->link);
	r3_qemu_process_stop(&q->process, r3_device_gone(&q->dev) ? 0 : GRACE_MS);
	r3_qemu_doorbell_close(&q->bell);
	r3_qemu_irq_close(q);
	r3_qemu_iommu_close(q);
	r3_mem_unref(q->ram);
	r3_fd_close(&q->epoll);
	r3_fd_close(&q->wake);
	r3_fd_close(&q->slot_fd);
	free(q->id);
	free(q);
}

int r3_qemu_create(const struct r3_open_opts *opts, const char *name, struct r3_qemu **out)
{
	struct r3_qemu *q = calloc(1, sizeof(*q));

	if (!q)
		return r3_error_set(ENOMEM, "%s: out of memory", name);
	r3_device_init(&q->dev, &r3_qemu_ops, opts);
	q->process = R3_QEMU_PROCESS_NONE;
	q->link.fd = -1;
	q->bell = R3_QEMU_DOORBELL_NONE;
	q->epoll = epoll_create1(EPOLL_CLOEXEC);
	q->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	q->slot_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r3_qemu_irq_init(q);
	snprintf(q->name, sizeof(q->name), "%s", name);
	q->dev.info.name = q->name;
	if (q->epoll < 0 || q->wake < 0 || q->slot_fd < 0) {
		int rc = r3_error_set(errno, "%s: cannot make its descriptors: %s", name,
				      strerror(errno));
		r3_qemu_destroy(q);
		return rc;
	}
	*out = q;
	return 0;
}

/* Q35 routes INTA of device s on bus 0 to I/O APIC input 20 + s % 4, up to device 24, and
 * a bridge turns the pins by its devices' numbers (PCI-to-PCI bridges 1.2, 9.1). */
static bool route_intx(struct r3_qemu *q)
{
	unsigned pin = r3_pci_get8(&q->bus.access, q->number, q->devfn, PCI_INTERRUPT_PIN);
	unsigned slot = q->devfn >> 3;

	if (pin < 1 || pin > 4 || (q->number && !q->has_port))
		return false;
	if (q->number) {
		pin += slot;
		slot = q->port_devfn >> 3;
	}
	q->irq.gsi = 20 + (slot + pin - 1) % 4;
	return slot <= 24;
}

static unsigned vectors(const struct r3_qemu *q, unsigned n)
{
	return q->bell.address == 0 ? 0 : n < R3_QEMU_VECTORS ? n : R3_QEMU_VECTORS;
}

static void find_caps(struct r3_qemu *q)
{
	struct r3_device_info *info = &q->dev.info;
	struct r3_pci_access *access = &q->bus.access;
	uint32_t devcap = 0;

	if (r3_pci_msi_parse(access, q->number, q->devfn, &q->msi) < 0)
		q->msi.max = 0;
	if (r3_pci_msix_parse(access, q->number, q->devfn, q->bar, &q->msix) < 0)
		q->msix.max = 0;
	if (r3_pci_find_cap(access, q->number, q->devfn, PCI_CAP_ID_EXP, false, &q->express) < 0)
		q->express = 0;
	/* a capability that does not fit is a device's nonsense */
	if (q->express + PCI_EXP_DEVSTA + 2 > PCI_CFG_SPACE_SIZE)
		q->express = 0;
	if (q->express)
		devcap = r3_pci_get32(access, q->number, q->devfn, q->express + PCI_EXP_DEVCAP);
	if (!q->has_port ||
	    r3_pci_find_cap(access, 0, q->port_devfn, PCI_CAP_ID_EXP, false, &q->port_express) < 0)
		q->port_express = 0;

	info->nregions = R3_REGION_CONFIG + 1;
	info->nirqs[R3_IRQ_INTX] = route_intx(q);
	info->nirqs[R3_IRQ_MSI] = vectors(q, q->msi.max);
	info->nirqs[R3_IRQ_MSIX] = vectors(q, q->msix.max);
	info->caps = R3_CAP_PCI;
	if (q->iommu)
		info->caps |= R3_CAP_DMA;
	else if (q->ram)
		info->caps |= R3_CAP_DMA | R3_CAP_DMA_ASSIGNED | R3_CAP_OWN_MEM;
	if (info->nirqs[R3_IRQ_INTX])
		info->caps |= R3_CAP_IRQ_DISPATCH;
	if (info->nirqs[R3_IRQ_MSIX])
		info->caps |= R3_CAP_IRQ_MASK;
	if (devcap & PCI_EXP_DEVCAP_FLR)
		info->caps |= R3_CAP_FLR;
	if (q->has_port)
		info->caps |= R3_CAP_BUS_RESET;
}

int r3_qemu_setup(struct r3_qemu *q)
{
	int rc = r3_pci_size(&q->bus.access, q->number, q->devfn, q->bar);

	if (rc < 0)
		return rc;
	find_caps(q);
	r3_qemu_config_init(&q->config, &q->bus.access, q->number, q->devfn, q->bar, &q->msi,
			    &q->msix, q->express);
	if (q->dev.info.nirqs[R3_IRQ_INTX])
		rc = r3_qemu_link_command(&q->link, R3_QTEST_INTERCEPT_IOAPIC);
	if (rc == 0)
		rc = r3_qemu_hotplug_init(q);
	return rc;
}

static void close_device(struct r3_device *dev)
{
	r3_qemu_destroy(r3_qemu_of(dev));
}

const struct r3_bus_ops r3_qemu_ops = {
	.size = sizeof(struct r3_bus_ops),
	.close = close_device,
	.region_info = r3_qemu_region_info,
	.rw = r3_qemu_region_rw,
	.irq_alloc = r3_qemu_irq_alloc,
	.irq_bind = r3_qemu_irq_bind,
	.irq_mask = r3_qemu_irq_mask,
	.dma_limits = r3_qemu_dma_limits,
	.dma_memory = r3_qemu_dma_memory,
	.dma_map = r3_qemu_dma_map,
	.dma_unmap = r3_qemu_dma_unmap,
	.reset = r3_qemu_reset,
	.quiesce = r3_qemu_quiesce,
	.fd = r3_qemu_fd,
	.dispatch = r3_qemu_dispatch,
};

/* ---- qemu: ---- */

static int find_device(struct r3_qemu *q, const struct r3_qemu_options *o)
{
	q->has_port = true;
	q->port_devfn = (unsigned)o->slot << 3;
	q->number = r3_pci_get8(&q->bus.access, 0, q->port_devfn, PCI_SECONDARY_BUS);
	if (!q->number || !r3_pci_present(&q->bus.access, q->number, 0))
		return r3_error_set(ENODEV, "%s: is no PCI device", q->name);
	q->id = strdup(R3_QEMU_ID_DEVICE);
	return q->id ? 0 : r3_error_set(ENOMEM, "%s: out of memory", q->name);
}

static int open_private(const struct r3_address *address, const struct r3_open_opts *opts,
			struct r3_device **out)
{
	struct r3_qemu_options options;
	struct r3_qemu *q;
	char name[64];
	bool was_on;
	int rc = r3_qemu_options_parse(&address->rest, opts, &options);

	if (rc < 0)
		return rc;
	options.uid = opts->child_uid;
	options.gid = opts->child_gid;
	snprintf(name, sizeof(name), "qemu:%s", options.model);
	rc = r3_qemu_create(opts, name, &q);
	if (rc < 0)
		return rc;
	rc = r3_qemu_start(q, &options);
	if (rc == 0)
		rc = r3_qemu_bus_init(&q->bus, &q->link, &was_on);
	if (rc == 0)
		rc = r3_qemu_bus_assign(&q->bus, (uint32_t)options.bars);
	if (rc == 0)
		rc = r3_qemu_doorbell_find(&q->bell, &q->bus);
	if (rc == 0)
		rc = find_device(q, &options);
	if (rc == 0 && options.iommu)
		rc = r3_qemu_iommu_open(q);
	if (rc == 0)
		rc = r3_qemu_setup(q);
	if (rc < 0) {
		r3_qemu_destroy(q);
		return rc;
	}
	if (options.vectors && options.vectors < q->dev.info.nirqs[R3_IRQ_MSIX])
		q->dev.info.nirqs[R3_IRQ_MSIX] = (unsigned)options.vectors;
	*out = &q->dev;
	return 0;
}

const struct r3_backend r3_qemu_backend = {
	.scheme = "qemu",
	.summary = "a device model of a private QEMU",
	.open = open_private,
};
