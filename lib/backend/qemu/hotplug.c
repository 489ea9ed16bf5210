/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Removal and other events. The root port's hot-plug interrupt comes as an eventfd through
 * the doorbell; QMP says when a device is deleted; the end of QEMU ends both sockets.
 */
#include "backend/qemu/iommu.h"
#include "backend/qemu/qemu.h"

#include "wire/ivshmem.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define SLOT_ENABLE (PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE)
#define SLOT_EVENTS \
	(PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PFD | PCI_EXP_SLTSTA_MRLSC | PCI_EXP_SLTSTA_PDC | \
	 PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC)

void r3_qemu_raise(struct r3_qemu *q, unsigned pending)
{
	/* an end is told once: nothing can come after it */
	pending &= ~(atomic_load(&q->told) & (R3_QEMU_REMOVED | R3_QEMU_LOST));
	if (pending & R3_QEMU_LOST) {
		q->link.lost = true; /* whoever still tries need not wait again */
		/* Before anybody is told: then requests fail, and their memory goes back to its
		 * owners, which a QEMU that is merely stuck would write to some day. */
		if (!r3_qemu_process_kill(&q->process))
			r3_log(R3_LOG_ERROR,
			       "%s: QEMU, process %d, does not end: it may still write", q->name,
			       q->process.pid);
	}

	unsigned before = atomic_fetch_or(&q->pending, pending);

	if (pending & (R3_QEMU_REMOVED | R3_QEMU_LOST))
		r3_device_set_gone(&q->dev);
	if (pending & ~before)
		eventfd_write(q->wake, 1);
}

bool r3_qemu_present(struct r3_qemu *q)
{
	bool present = r3_pci_present(&q->bus.access, q->number, q->devfn);

	if (q->link.lost)
		r3_qemu_raise(q, R3_QEMU_LOST);
	else if (!present)
		r3_qemu_raise(q, R3_QEMU_REMOVED);
	return present;
}

/* ---- the slot ---- */

static uint16_t slot_get(struct r3_qemu *q, unsigned reg)
{
	return r3_pci_get16(&q->bus.access, 0, q->port_devfn, q->port_express + reg);
}

static void slot_put(struct r3_qemu *q, unsigned reg, uint16_t value)
{
	r3_pci_put16(&q->bus.access, 0, q->port_devfn, q->port_express + reg, value);
}

/* PCIe 6.7.3.4: the port's MSI-X vector 0, at the doorbell. */
static int slot_interrupt(struct r3_qemu *q)
{
	struct r3_pci_access *access = &q->bus.access;
	struct r3_pci_bar bar[7];
	struct r3_pci_msix msix;
	uint16_t peer;
	int rc = r3_pci_size(access, 0, q->port_devfn, bar);

	if (rc < 0)
		return rc;
	if (r3_pci_msix_parse(access, 0, q->port_devfn, bar, &msix) < 0)
		return r3_error_set(ENODEV, "QEMU's root port has no MSI-X");
	rc = r3_qemu_doorbell_join(&q->bell, &q->link, &q->slot_fd, 1, &peer);
	if (rc < 0)
		return rc;
	uint32_t entry[4] = {(uint32_t)q->bell.message, (uint32_t)(q->bell.message >> 32),
			     r3_ivshmem_ring(peer, 0), 0};
	rc = r3_qemu_link_rw(&q->link, R3_QTEST_MEMORY,
			     bar[msix.table_bar].address + msix.table_off, entry, 4, 4,
			     R3_RW_WRITE);
	if (rc < 0)
		return rc;
	return r3_pci_msix_control(access, 0, q->port_devfn, &msix, true, false);
}

/* Without EPOLLIN only the other end's end is seen. */
static int watch(struct r3_qemu *q, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};

	if (epoll_ctl(q->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return r3_error_set(errno, "cannot watch QEMU: %s", strerror(errno));
	return 0;
}

int r3_qemu_hotplug_init(struct r3_qemu *q)
{
	int rc = watch(q, q->wake, EPOLLIN);

	/* its lines matter with INTx only, its end always */
	if (rc == 0)
		rc = watch(q, q->link.fd, 0);
	if (rc == 0 && q->qmp)
		rc = watch(q, r3_qmp_fd(q->qmp), EPOLLIN);
	if (rc == 0 && q->iommu)
		rc = watch(q, q->iommu->fault_fd, EPOLLIN);
	if (rc == 0 && q->iommu)
		rc = watch(q, q->iommu->timer, EPOLLIN);
	if (rc < 0 || q->bell.sock < 0 || !q->port_express)
		return rc;
	rc = watch(q, q->slot_fd, EPOLLIN);
	if (rc == 0)
		rc = slot_interrupt(q);
	if (rc < 0)
		return rc;
	slot_put(q, PCI_EXP_SLTSTA, SLOT_EVENTS);
	slot_put(q, PCI_EXP_SLTCTL, slot_get(q, PCI_EXP_SLTCTL) | SLOT_ENABLE);
	return 0;
}

/* PCIe 6.7.3: what the slot reports. The button of a live device asks for its removal; a
 * device in the slot after ours has gone is another one. */
static void read_slot(struct r3_qemu *q)
{
	eventfd_t count;

	if (eventfd_read(q->slot_fd, &count) < 0)
		return;
	uint16_t status = slot_get(q, PCI_EXP_SLTSTA);
	slot_put(q, PCI_EXP_SLTSTA, status & SLOT_EVENTS);
	if (!r3_qemu_present(q)) {
		if (status & PCI_EXP_SLTSTA_PDS && !q->link.lost)
			r3_qemu_raise(q, R3_QEMU_ADDED);
	} else if (r3_device_gone(&q->dev)) {
		r3_qemu_raise(q, R3_QEMU_ADDED);
	} else if (status & PCI_EXP_SLTSTA_ABP) {
		r3_qemu_raise(q, R3_QEMU_REMOVE_REQUEST);
	}
}

int r3_qemu_slot_off(struct r3_qemu *q)
{
	uint16_t control;

	if (!q->port_express)
		return r3_error_set(EOPNOTSUPP, "%s: is in no slot", q->dev.info.name);
	control = slot_get(q, PCI_EXP_SLTCTL) & (uint16_t)~PCI_EXP_SLTCTL_PIC;
	slot_put(q, PCI_EXP_SLTCTL, control | PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
	return r3_qemu_link_settle(&q->link);
}

/* ---- dispatch ---- */

int r3_qemu_fd(struct r3_device *dev)
{
	return r3_qemu_of(dev)->epoll;
}

static unsigned take(struct r3_qemu *q, struct r3_event *events, unsigned max)
{
	static const uint32_t types[] = {R3_EVENT_REMOVE_REQUEST, R3_EVENT_REMOVED, R3_EVENT_ADDED,
					 R3_EVENT_SERVER_LOST};
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]) && n < max; i++) {
		unsigned bit = 1u << i;

		if (!(atomic_load(&q->pending) & bit))
			continue;
		events[n++] = (struct r3_event){.type = types[i]};
		atomic_fetch_or(&q->told, bit);
		atomic_fetch_and(&q->pending, ~bit);
	}
	return n;
}

/* QEMU aborts where a device model is driven beyond what it checks: only here it is said. */
static void say_why(struct r3_qemu *q)
{
	char says[512];

	r3_qemu_process_says(&q->process, says, sizeof(says));
	if (*says)
		r3_log(R3_LOG_ERROR, "%s: QEMU's last words: %s", q->name, says);
}

int r3_qemu_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	bool lost;
	unsigned n;
	eventfd_t count;

	/* before looking, so that what is raised meanwhile wakes again */
	eventfd_read(q->wake, &count);
	lost = r3_qemu_link_drain(&q->link) < 0;
	if (q->qmp && r3_qmp_drain(q->qmp) < 0)
		lost = true;
	if (lost) {
		say_why(q);
		/* a closed socket polls readable for ever: there is nothing more to hear */
		epoll_ctl(q->epoll, EPOLL_CTL_DEL, q->link.fd, NULL);
		if (q->qmp)
			epoll_ctl(q->epoll, EPOLL_CTL_DEL, r3_qmp_fd(q->qmp), NULL);
		epoll_ctl(q->epoll, EPOLL_CTL_DEL, q->slot_fd, NULL);
		r3_qemu_raise(q, R3_QEMU_LOST);
	} else if (q->slot_fd >= 0) {
		read_slot(q);
	}
	r3_qemu_iommu_listen(q);
	n = r3_qemu_iommu_tell(q, events, max);
	if (n < max)
		n += take(q, events + n, max - n);
	if (atomic_load(&q->pending) || r3_qemu_iommu_waits(q))
		eventfd_write(q->wake, 1);
	return (int)n;
}
