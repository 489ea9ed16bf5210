/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reset and quiesce. QEMU resets within the write that asks for it, and drains the block
 * devices behind the function first, so a device that answers again is through.
 */
#include "backend/qemu/iommu.h"
#include "backend/qemu/qemu.h"

#include <ring3/error.h>

#include <errno.h>

/* PCIe 6.6.1: a device may take this long before it answers configuration requests. */
#define READY_NS (R3_NSEC_PER_SEC)
/* PCI-to-PCI bridges 1.2, 11.1: Trst, the least time that reset is held. */
#define HOLD_NS (R3_NSEC_PER_MSEC)
/* What QEMU gets to finish the transfers that are under way. */
#define DRAIN_MS 2000

static void write_command(struct r3_qemu *q, unsigned command)
{
	r3_pci_put16(&q->bus.access, q->number, q->devfn, PCI_COMMAND, (uint16_t)command);
	q->config.command = r3_pci_get16(&q->bus.access, q->number, q->devfn, PCI_COMMAND);
}

static void reset_function(struct r3_qemu *q)
{
	unsigned at = q->express + PCI_EXP_DEVCTL;
	uint16_t control = r3_pci_get16(&q->bus.access, q->number, q->devfn, at);

	r3_pci_put16(&q->bus.access, q->number, q->devfn, at, control | PCI_EXP_DEVCTL_BCR_FLR);
}

static void reset_bus(struct r3_qemu *q)
{
	struct r3_pci_access *access = &q->bus.access;
	uint16_t control = r3_pci_get16(access, 0, q->port_devfn, PCI_BRIDGE_CONTROL);
	struct r3_wait hold;

	r3_pci_put16(access, 0, q->port_devfn, PCI_BRIDGE_CONTROL,
		     control | PCI_BRIDGE_CTL_BUS_RESET);
	hold = r3_wait_begin(q->dev.clock, HOLD_NS);
	while (r3_wait_step(&hold))
		;
	r3_pci_put16(access, 0, q->port_devfn, PCI_BRIDGE_CONTROL,
		     control & (uint16_t)~PCI_BRIDGE_CTL_BUS_RESET);
}

int r3_qemu_reset(struct r3_device *dev, enum r3_reset how)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	struct r3_wait wait;

	if (how == R3_RESET_ANY)
		how = dev->info.caps & R3_CAP_FLR ? R3_RESET_FUNCTION : R3_RESET_BUS;
	if (!(dev->info.caps & (how == R3_RESET_FUNCTION ? R3_CAP_FLR : R3_CAP_BUS_RESET)))
		return r3_error_set(EOPNOTSUPP, "%s: it cannot be reset this way", dev->info.name);
	if (!r3_qemu_present(q))
		return r3_error_set(ENODEV, "%s: the device is gone", dev->info.name);
	/* no transfer may be under way when it begins (PCIe 6.6.2) */
	write_command(q, 0);
	q->config.mastered = false;
	if (how == R3_RESET_FUNCTION)
		reset_function(q);
	else
		reset_bus(q);
	wait = r3_wait_begin(dev->clock, READY_NS);
	while (!r3_pci_present(&q->bus.access, q->number, q->devfn)) {
		if (q->link.lost || !r3_wait_step(&wait)) {
			q->config.mastered = true;
			r3_qemu_present(q);
			return r3_error_set(q->link.lost ? ENODEV : ETIMEDOUT,
					    "%s: does not come back from reset", dev->info.name);
		}
	}
	r3_qemu_config_restore(&q->config, q->bar);
	r3_qemu_irq_forget(q);
	r3_qemu_iommu_faults(q);
	return 0;
}

static bool is_running(struct r3_qemu *q)
{
	struct json_object *status, *running;
	bool is = true;

	if (r3_qmp_execute(q->qmp, "query-status", NULL, &status) < 0)
		return true;
	if (json_object_object_get_ex(status, "running", &running))
		is = json_object_get_boolean(running);
	json_object_put(status);
	return is;
}

/* Bus mastering off stops new transfers only: one that the host's kernel carries out has
 * the addresses already. QEMU waits for those when it is stopped, as it may be already. A
 * disk that hangs makes it hang: then nothing is proved, and it is lost. */
int r3_qemu_drain(struct r3_qemu *q)
{
	int rc = 0;

	if (!(q->config.command & PCI_COMMAND_MASTER))
		q->config.mastered = false;
	r3_qmp_set_timeout(q->qmp, DRAIN_MS);
	if (is_running(q)) {
		rc = r3_qmp_execute(q->qmp, "stop", NULL, NULL);
		if (rc == 0)
			rc = r3_qmp_execute(q->qmp, "cont", NULL, NULL);
	}
	r3_qmp_set_timeout(q->qmp, R3_QEMU_TIMEOUT_MS);
	if (rc == -ETIMEDOUT || rc == -ENODEV)
		r3_qemu_raise(q, R3_QEMU_LOST);
	if (rc < 0)
		q->config.mastered = true;
	else
		r3_qemu_iommu_faults(q);
	return rc < 0 ? r3_error_prefix(rc, "%s", q->name) : 0;
}

int r3_qemu_quiesce(struct r3_device *dev, unsigned want, unsigned *proved)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	int rc;

	write_command(q, q->config.command & ~(unsigned)PCI_COMMAND_MASTER);
	if (!r3_qemu_present(q))
		return r3_error_set(ENODEV, "%s: the device is gone", dev->info.name);
	if (q->config.command & PCI_COMMAND_MASTER)
		return r3_error_set(EIO, "%s: keeps its bus mastership", dev->info.name);
	if (want & R3_QUIESCE_MEDIA || !q->qmp) {
		rc = r3_qemu_reset(dev, R3_RESET_ANY);
		*proved = rc < 0 ? 0 : want & (R3_QUIESCE_DMA | R3_QUIESCE_MEDIA);
		return rc;
	}
	rc = r3_qemu_drain(q);
	*proved = rc < 0 ? 0 : want & R3_QUIESCE_DMA;
	return rc;
}
