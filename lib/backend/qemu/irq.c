/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts. MSI and MSI-X messages are aimed at the doorbell, which signals the caller's
 * eventfds without us. INTx arrives as lines of the I/O APIC, on the link.
 */
#include "backend/qemu/qemu.h"

#include "util/fd.h"
#include "wire/ivshmem.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kind of kcmp(2) that compares open files. */
#define KCMP_FILE 0

static void signal_intx(struct r3_qemu_irq *irq)
{
	if (!irq->intx_level || irq->intx_masked || irq->intx_fd < 0)
		return;
	irq->intx_masked = true;
	/* full only when nobody has read it for 2^64 interrupts */
	eventfd_write(irq->intx_fd, 1);
}

static void line_changed(void *ctx, unsigned line, bool raised)
{
	struct r3_qemu_irq *irq = ctx;

	if (line != irq->gsi)
		return;
	irq->intx_level = raised;
	signal_intx(irq);
}

void r3_qemu_irq_init(struct r3_qemu *q)
{
	q->irq.type = R3_IRQ_BEST;
	q->irq.intx_fd = -1;
	memset(q->irq.msi_fd, 0xff, sizeof(q->irq.msi_fd));
	q->link.irq_ctx = &q->irq;
	q->link.irq = line_changed;
}

/* The link needs reading for its own sake only while lines matter: else every posted
 * write's reply would wake whoever polls the device. */
static void listen_to_lines(struct r3_qemu *q, bool on)
{
	struct epoll_event ev = {.events = on ? EPOLLIN : 0, .data.fd = q->link.fd};

	epoll_ctl(q->epoll, EPOLL_CTL_MOD, q->link.fd, &ev);
}

static int bind_intx(struct r3_qemu *q, int fd)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (fd >= 0 && copy < 0)
		return r3_error_set(errno, "cannot keep an eventfd: %s", strerror(errno));
	pthread_mutex_lock(&q->link.lock);
	int old = q->irq.intx_fd;
	q->irq.intx_fd = copy;
	q->irq.intx_masked = false;
	signal_intx(&q->irq);
	pthread_mutex_unlock(&q->link.lock);
	r3_fd_close(&old);
	listen_to_lines(q, fd >= 0);
	return 0;
}

/* ---- MSI-X table ---- */

static int write_entry(struct r3_qemu *q, unsigned vector, unsigned field, uint32_t value)
{
	uint64_t at = q->bar[q->msix.table_bar].address + q->msix.table_off +
		      vector * PCI_MSIX_ENTRY_SIZE + field;

	return r3_qemu_rw(q, R3_QTEST_MEMORY, at, &value, 4, 1, R3_RW_WRITE | R3_RW_POSTED);
}

/* The table answers only while the device decodes memory, which is the driver's choice. */
static void table_begin(struct r3_qemu *q)
{
	if (!(q->config.command & PCI_COMMAND_MEMORY))
		r3_pci_put16(&q->bus.access, q->number, q->devfn, PCI_COMMAND,
			     (uint16_t)(q->config.command | PCI_COMMAND_MEMORY));
}

static void table_end(struct r3_qemu *q)
{
	if (!(q->config.command & PCI_COMMAND_MEMORY))
		r3_pci_put16(&q->bus.access, q->number, q->devfn, PCI_COMMAND,
			     (uint16_t)q->config.command);
}

static int mask_entry(struct r3_qemu *q, unsigned vector, bool mask)
{
	return write_entry(q, vector, PCI_MSIX_ENTRY_VECTOR_CTRL,
			   mask ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0);
}

/* Whether any vector is signalled through this peer. */
static bool peer_used(const struct r3_qemu_irq *irq, uint16_t peer)
{
	for (unsigned i = 0; i < irq->n; i++)
		if (irq->msix[i].peer == peer)
			return true;
	return false;
}

static void leave_unused(struct r3_qemu *q, uint16_t peer)
{
	if (peer && !peer_used(&q->irq, peer))
		r3_qemu_doorbell_leave(&q->bell, peer);
}

static int bind_msix(struct r3_qemu *q, unsigned first, unsigned n, const int *fds)
{
	struct r3_qemu_irq *irq = &q->irq;
	uint16_t peer;
	int rc = r3_qemu_doorbell_join(&q->bell, &q->link, fds, n, &peer);

	if (rc < 0)
		return rc;
	table_begin(q);
	for (unsigned i = 0; i < n && rc == 0; i++) {
		unsigned vector = first + i;
		uint16_t old = irq->msix[vector].peer;

		irq->msix[vector].peer = peer;
		rc = mask_entry(q, vector, true);
		if (rc == 0)
			rc = write_entry(q, vector, PCI_MSIX_ENTRY_LOWER_ADDR,
					 (uint32_t)q->bell.message);
		if (rc == 0)
			rc = write_entry(q, vector, PCI_MSIX_ENTRY_UPPER_ADDR,
					 (uint32_t)(q->bell.message >> 32));
		if (rc == 0)
			rc = write_entry(q, vector, PCI_MSIX_ENTRY_DATA,
					 r3_ivshmem_ring(peer, (uint16_t)i));
		if (rc == 0 && !irq->msix[vector].masked)
			rc = mask_entry(q, vector, false);
		leave_unused(q, old);
	}
	table_end(q);
	return rc < 0 ? rc : r3_qemu_link_settle(&q->link);
}

static int alloc_msix(struct r3_qemu *q)
{
	int rc = 0;

	table_begin(q);
	for (unsigned i = 0; i < q->msix.max && rc == 0; i++)
		rc = mask_entry(q, i, true);
	table_end(q);
	memset(q->irq.msix, 0, sizeof(q->irq.msix));
	return rc < 0 ? rc
		      : r3_pci_msix_control(&q->bus.access, q->number, q->devfn, &q->msix, true,
					    false);
}

/* ---- MSI ---- */

/* Binding the same eventfds again, as after a reset, costs no vectors of the doorbell. */
static bool same_file(int a, int b)
{
	pid_t self = getpid();

	return a >= 0 && b >= 0 && syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

/* Keep copies of the eventfds. Returns 1 where any of them is new. */
static int keep_msi(struct r3_qemu *q, unsigned first, unsigned n, const int *fds)
{
	int news = 0;

	for (unsigned i = 0; i < n; i++) {
		int *mine = &q->irq.msi_fd[first + i];
		int copy = -1;

		if ((*mine < 0 && fds[i] < 0) || same_file(*mine, fds[i]))
			continue;
		if (fds[i] >= 0 && (copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3)) < 0)
			return r3_error_set(errno, "cannot keep an eventfd: %s", strerror(errno));
		r3_fd_close(mine);
		*mine = copy;
		news = 1;
	}
	return news;
}

static int bind_msi(struct r3_qemu *q, unsigned first, unsigned n, const int *fds)
{
	struct r3_qemu_irq *irq = &q->irq;
	int rc = keep_msi(q, first, n, fds);

	if (rc < 0)
		return rc;
	if (rc > 0 || irq->msi_n != irq->n) {
		irq->msi_n = 0;
		rc = r3_qemu_doorbell_append(&q->bell, &q->link, irq->msi_fd, irq->n,
					     &irq->msi_first);
		if (rc < 0)
			return rc;
		irq->msi_n = irq->n;
	}
	return r3_pci_msi_program(&q->bus.access, q->number, q->devfn, &q->msi, irq->n,
				  q->bell.message, irq->msi_first);
}

/* ---- the operations ---- */

static void turn_off(struct r3_qemu *q)
{
	const struct r3_qemu_irq *irq = &q->irq;

	if (irq->type == R3_IRQ_MSI)
		r3_pci_msi_program(&q->bus.access, q->number, q->devfn, &q->msi, 0, 0, 0);
	else if (irq->type == R3_IRQ_MSIX)
		r3_pci_msix_control(&q->bus.access, q->number, q->devfn, &q->msix, false, false);
	r3_qemu_irq_forget(q);
}

void r3_qemu_irq_forget(struct r3_qemu *q)
{
	struct r3_qemu_irq *irq = &q->irq;

	if (irq->type == R3_IRQ_INTX)
		bind_intx(q, -1);
	for (unsigned i = 0; i < irq->n && irq->type == R3_IRQ_MSIX; i++) {
		uint16_t peer = irq->msix[i].peer;

		irq->msix[i].peer = 0;
		leave_unused(q, peer);
	}
	irq->type = R3_IRQ_BEST;
	irq->n = 0;
}

void r3_qemu_irq_close(struct r3_qemu *q)
{
	struct r3_qemu_irq *irq = &q->irq;

	for (unsigned i = 0; i < 32; i++)
		r3_fd_close(&irq->msi_fd[i]);
	r3_fd_close(&irq->intx_fd);
}

int r3_qemu_irq_alloc(struct r3_device *dev, unsigned type, unsigned n)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	int rc = 0;

	if (n == 0 && type != q->irq.type)
		return 0;
	turn_off(q);
	if (n == 0)
		return 0;
	if (type > R3_IRQ_MSIX || n > dev->info.nirqs[type])
		return r3_error_set(ENOSPC, "%s: it has no %u vectors of this type", dev->info.name,
				    n);
	if (type == R3_IRQ_MSIX)
		rc = alloc_msix(q);
	if (rc < 0)
		return r3_error_prefix(rc, "%s", dev->info.name);
	q->irq.type = type;
	q->irq.n = n;
	return 0;
}

int r3_qemu_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
		     const int *fds)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	int rc;

	if (type != q->irq.type || first > q->irq.n || n > q->irq.n - first)
		return r3_error_set(EINVAL, "%s: no such vectors are enabled", dev->info.name);
	if (n == 0)
		return 0;
	if (type == R3_IRQ_INTX)
		rc = bind_intx(q, fds[0]);
	else if (type == R3_IRQ_MSI)
		rc = bind_msi(q, first, n, fds);
	else
		rc = bind_msix(q, first, n, fds);
	return rc < 0 ? r3_error_prefix(rc, "%s", dev->info.name) : 0;
}

static int mask_intx(struct r3_qemu *q, bool mask)
{
	/* the driver's last write to its device may have lowered the line */
	int rc = r3_qemu_link_settle(&q->link);

	pthread_mutex_lock(&q->link.lock);
	q->irq.intx_masked = mask;
	signal_intx(&q->irq);
	pthread_mutex_unlock(&q->link.lock);
	return rc;
}

int r3_qemu_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask)
{
	struct r3_qemu *q = r3_qemu_of(dev);
	int rc;

	if (type != q->irq.type || vector >= q->irq.n)
		return r3_error_set(EINVAL, "%s: no such vector is enabled", dev->info.name);
	if (type == R3_IRQ_INTX)
		return mask_intx(q, mask);
	if (type == R3_IRQ_MSI)
		return r3_pci_msi_mask(&q->bus.access, q->number, q->devfn, &q->msi, vector, mask);
	q->irq.msix[vector].masked = mask;
	if (!q->irq.msix[vector].peer)
		return 0;
	table_begin(q);
	rc = mask_entry(q, vector, mask);
	table_end(q);
	return rc < 0 ? rc : r3_qemu_link_settle(&q->link);
}
