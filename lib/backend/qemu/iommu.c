/* SPDX-License-Identifier: BSD-2-Clause */
/* The IOMMU in front of the device, and what it refuses: see iommu.h. */
#include "backend/qemu/iommu.h"

#include "backend/qemu/qemu.h"
#include "backend/qemu/rom.h"
#include "util/fd.h"
#include "wire/ivshmem.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Faults that one look at the IOMMU takes at most, however fast the device makes them. */
#define LOOK 8
/* Lines in the log for those of a second. */
#define LINES 16

/* Aim the IOMMU's interrupt at an eventfd: by way of the processor, and of the doorbell. */
static int aim_faults(struct r3_qemu *q)
{
	unsigned char *ram = r3_mem_addr(q->ram);
	struct r3_wait wait =
		r3_wait_begin(r3_clock_system(), R3_QEMU_TIMEOUT_MS * R3_NSEC_PER_MSEC);
	uint32_t *ready = (uint32_t *)(ram + R3_QEMU_ROM_READY);
	uint16_t peer;
	int rc = r3_qemu_doorbell_join(&q->bell, &q->link, &q->iommu->fault_fd, 1, &peer);

	if (rc < 0)
		return rc;
	*(uint32_t *)(ram + R3_QEMU_ROM_ADDRESS) = R3_LE32((uint32_t)q->bell.address);
	*(uint32_t *)(ram + R3_QEMU_ROM_VALUE) = R3_LE32(r3_ivshmem_ring(peer, 0));
	/* an NMI that comes before its handler is there is the end of the machine */
	while (!__atomic_load_n(ready, __ATOMIC_ACQUIRE))
		if (!r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT, "QEMU's processor does not run");
	return r3_vtd_fault_by_nmi(&q->iommu->vtd);
}

int r3_qemu_iommu_open(struct r3_qemu *q)
{
	struct r3_qemu_iommu *iommu = calloc(1, sizeof(*iommu));
	uint64_t page = q->bell.address & ~(uint64_t)(VTD_PAGE - 1);
	int rc;

	if (!iommu)
		return r3_error_set(ENOMEM, "%s: out of memory", q->name);
	iommu->dimms.qmp = q->qmp;
	iommu->dimms.link = &q->link;
	iommu->fault_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	q->iommu = iommu;
	iommu->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (iommu->fault_fd < 0 || iommu->timer < 0)
		return r3_error_set(errno, "%s: cannot make its descriptors: %s", q->name,
				    strerror(errno));
	rc = r3_vtd_open(&iommu->vtd, &q->link, q->ram, R3_QEMU_DMA_FIRST);
	if (rc == 0)
		rc = r3_vtd_table_map(&iommu->vtd.table, R3_QEMU_DOORBELL_IOVA, page, VTD_PAGE,
				      VTD_SL_W);
	q->bell.message = R3_QEMU_DOORBELL_IOVA | (q->bell.address & (VTD_PAGE - 1));
	for (unsigned function = 0; function < 8 && rc == 0; function++)
		rc = r3_vtd_attach(&iommu->vtd,
				   (uint16_t)(q->number << 8 | (q->devfn & 0xf8) | function));
	/* for its hot-plug interrupt */
	if (rc == 0)
		rc = r3_vtd_attach(&iommu->vtd, (uint16_t)q->port_devfn);
	if (rc == 0)
		rc = aim_faults(q);
	return rc < 0 ? r3_error_prefix(rc, "%s", q->name) : 0;
}

void r3_qemu_iommu_close(struct r3_qemu *q)
{
	if (!q->iommu)
		return;
	r3_vtd_close(&q->iommu->vtd);
	r3_fd_close(&q->iommu->fault_fd);
	r3_fd_close(&q->iommu->timer);
	free(q->iommu->map);
	free(q->iommu);
	q->iommu = NULL;
}

/* ---- faults ---- */

/* What is told in a second is bounded, whoever made the device run wild. */
static void begin_second(struct r3_qemu *q)
{
	struct r3_qemu_iommu *iommu = q->iommu;
	uint64_t now = r3_clock_now(r3_clock_system());

	if (now - iommu->second < R3_NSEC_PER_SEC)
		return;
	if (iommu->taken > LINES)
		r3_log(R3_LOG_WARN, "%s: the IOMMU refused %u transfers more", q->dev.info.name,
		       iommu->taken - LINES);
	iommu->second = now;
	iommu->taken = 0;
}

static void say(struct r3_qemu *q, const struct r3_vtd_fault *fault)
{
	if (q->iommu->taken > LINES)
		return;
	r3_log(R3_LOG_WARN, "%s: the IOMMU refused a %s at %#llx by %02x:%02x.%x: %s (reason %#x)",
	       q->dev.info.name, fault->read ? "read" : "write", (unsigned long long)fault->address,
	       fault->source >> 8, fault->source >> 3 & 31, fault->source & 7,
	       r3_vtd_reason(fault->reason), fault->reason);
}

/* Look again, though no interrupt will come: now, or when the second is over. */
static void come_back(struct r3_qemu_iommu *iommu)
{
	uint64_t at = iommu->second + R3_NSEC_PER_SEC;
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / R3_NSEC_PER_SEC),
					       .tv_nsec = (long)(at % R3_NSEC_PER_SEC)}};

	if (iommu->taken < R3_QEMU_FAULTS_PER_SECOND)
		eventfd_write(iommu->fault_fd, 1);
	else
		timerfd_settime(iommu->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void r3_qemu_iommu_faults(struct r3_qemu *q)
{
	struct r3_qemu_iommu *iommu = q->iommu;
	struct r3_vtd_fault fault;

	if (!iommu || q->link.lost)
		return;
	begin_second(q);
	for (unsigned i = 0; i < LOOK && iommu->nfaults < R3_QEMU_FAULTS &&
			     iommu->taken < R3_QEMU_FAULTS_PER_SECOND;
	     i++) {
		if (r3_vtd_take_fault(&iommu->vtd, &fault) <= 0)
			return;
		iommu->taken++;
		say(q, &fault);
		/* the port's, or a stranger's, is not this device's event */
		if (fault.source >> 8 != q->number || (fault.source & 0xf8) != (q->devfn & 0xf8))
			continue;
		iommu->fault[(iommu->first_fault + iommu->nfaults++) % R3_QEMU_FAULTS] =
			fault.address;
	}
	come_back(iommu);
}

void r3_qemu_iommu_listen(struct r3_qemu *q)
{
	struct r3_qemu_iommu *iommu = q->iommu;
	bool interrupted, later;
	uint64_t count;

	if (!iommu)
		return;
	interrupted = read(iommu->fault_fd, &count, sizeof(count)) > 0;
	later = read(iommu->timer, &count, sizeof(count)) > 0;
	if (interrupted || later)
		r3_qemu_iommu_faults(q);
}

bool r3_qemu_iommu_waits(const struct r3_qemu *q)
{
	return q->iommu && q->iommu->nfaults;
}

unsigned r3_qemu_iommu_tell(struct r3_qemu *q, struct r3_event *events, unsigned max)
{
	struct r3_qemu_iommu *iommu = q->iommu;
	unsigned n = 0;

	for (; iommu && n < max && iommu->nfaults; n++, iommu->nfaults--) {
		events[n] = (struct r3_event){.type = R3_EVENT_DMA_FAULT,
					      .detail = iommu->fault[iommu->first_fault]};
		iommu->first_fault = (iommu->first_fault + 1) % R3_QEMU_FAULTS;
	}
	return n;
}
