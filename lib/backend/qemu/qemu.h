/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device of QEMU's, driven over the qtest protocol. What the files here share.
 *
 *      device.c    the device: life, memory      options.c  the address's parameters
 *      start.c     from them to a running QEMU   command.c  its command line
 *      spawn.c     its process                   link.c     its qtest socket
 *      qmp.c       its control socket            machine.c  its bus: we are the firmware
 *      region.c    BARs, ROM                     config.c   configuration space
 *      doorbell.c  eventfds for memory writes    irq.c      interrupts, on top of it
 *      reset.c     reset and quiesce             hotplug.c  removal, events
 *      control.c   what tests do to QEMU         join.c     the other way in: a running QEMU
 *      dma.c       what the device can reach     iommu.c    with an IOMMU in front of it
 *      vtd.c       its registers and queue       vtd_table.c  its page tables
 *      dimm.c      memory plugged in and out     rom.c      what the processor runs
 */
#ifndef RING3_BACKEND_QEMU_H
#define RING3_BACKEND_QEMU_H

#include "backend/qemu/config.h"
#include "backend/qemu/link.h"
#include "backend/qemu/qmp.h"
#include "backend/qemu/spawn.h"
#include "bus/ops.h"
#include "pci/access.h"
#include "pci/msi.h"

#include <ring3/irq.h>
#include <stdatomic.h>

/** QEMU answers in microseconds; what takes longer than this is not answering. */
#define R3_QEMU_TIMEOUT_MS 10000

/** Interrupt vectors that a device gets at most, as eventfds in one peer of ivshmem. */
#define R3_QEMU_VECTORS 64

/** Bytes of RAM that DMA buffers stay away from: the PC's legacy holes. */
#define R3_QEMU_DMA_FIRST UINT64_C(0x1000000)

/* ---- the bus ---- */

struct r3_qemu_bus {
	struct r3_pci_access access; /* by ECAM */
	struct r3_qemu_link *link;
	uint64_t ecam;
};

/** Find ECAM, or place it where nobody has. Errors: ENODEV no q35 there. */
int r3_qemu_bus_init(struct r3_qemu_bus *bus, struct r3_qemu_link *link, bool *was_on);

/** Assign all BARs, as firmware does; @shuffle as in struct r3_pci_windows. */
int r3_qemu_bus_assign(struct r3_qemu_bus *bus, uint32_t shuffle);

/** Address of a BAR that is assigned; 0: it is not. */
uint64_t r3_qemu_bus_bar(struct r3_qemu_bus *bus, unsigned number, unsigned devfn, unsigned bar);

/* ---- the doorbell: an eventfd for a memory write ---- */

struct r3_qemu_doorbell {
	int sock;           /* to the ivshmem device, whose server we are; -1: there is none */
	int probe;          /* eventfd to hear our own rings */
	int sink;           /* eventfd that nobody hears, for vectors bound to none */
	uint64_t address;   /* of its register in the machine; 0: not there */
	uint64_t message;   /* and for devices, whose MSI messages go there */
	unsigned next_peer; /* ids are not used twice: QEMU 7.2 crashes on that */
	unsigned msi_used;  /* vectors of peer 0 given out */
};

#define R3_QEMU_DOORBELL_NONE ((struct r3_qemu_doorbell){.sock = -1, .probe = -1, .sink = -1})

/** Vectors of the ivshmem device, which are per peer. */
#define R3_QEMU_DOORBELL_VECTORS 512

/** Begin to serve on @sock, which becomes the doorbell's in any case. Before QEMU starts. */
int r3_qemu_doorbell_serve(struct r3_qemu_doorbell *bell, int sock);
/** Learn where the device is, after assignment. */
int r3_qemu_doorbell_find(struct r3_qemu_doorbell *bell, struct r3_qemu_bus *bus);
void r3_qemu_doorbell_close(struct r3_qemu_doorbell *bell);

/** A new peer with @fds (-1: nobody) as vectors 0..n-1. Proven by a ring when it returns. */
int r3_qemu_doorbell_join(struct r3_qemu_doorbell *bell, struct r3_qemu_link *link, const int *fds,
			  unsigned n, uint16_t *peer);
int r3_qemu_doorbell_leave(struct r3_qemu_doorbell *bell, uint16_t peer);
/** The same in peer 0, for messages of 16 bits: @n (a power of two) consecutive vectors
 *  from a multiple of @n. They can never be given back. Errors: ENOSPC. */
int r3_qemu_doorbell_append(struct r3_qemu_doorbell *bell, struct r3_qemu_link *link,
			    const int *fds, unsigned n, uint16_t *first);

/* ---- the device ---- */

/** Events that wait for dispatch, in the order of their delivery. */
enum r3_qemu_pending {
	R3_QEMU_REMOVE_REQUEST = 1 << 0,
	R3_QEMU_REMOVED = 1 << 1,
	R3_QEMU_ADDED = 1 << 2,
	R3_QEMU_LOST = 1 << 3,
};

struct r3_qemu_irq {
	unsigned type; /* enum r3_irq_type; R3_IRQ_BEST: none */
	unsigned n;
	/* INTx; under the link's lock, as lines arrive with any reply */
	unsigned gsi;
	int intx_fd;
	bool intx_masked, intx_level;
	/* MSI: what is bound, at which vector of peer 0; kept, to bind in part and again */
	int msi_fd[32];
	unsigned msi_n; /* 0: nothing yet */
	uint16_t msi_first;
	/* MSI-X: where each vector goes; peer 0 is nobody */
	struct {
		uint16_t peer;
		bool masked;
	} msix[R3_QEMU_VECTORS];
};

struct r3_qemu {
	struct r3_device dev;
	char name[64];
	struct r3_qemu_process process; /* pid 0: joined, not ours */
	struct r3_qemu_link link;
	struct r3_qmp *qmp;          /* NULL: none */
	struct r3_mem *ram;          /* NULL: no DMA */
	struct r3_qemu_iommu *iommu; /* NULL: none */
	struct r3_qemu_bus bus;
	struct r3_qemu_doorbell bell;

	unsigned number, devfn;   /* where the device is */
	bool has_port;            /* behind a bridge on bus 0 */
	unsigned port_devfn;      /* that bridge ... */
	unsigned port_express;    /* ... and its PCI Express capability; 0: none */
	struct r3_pci_bar bar[7]; /* [6] is the ROM */
	struct r3_qemu_config config;
	struct r3_pci_msi msi;   /* max 0: none */
	struct r3_pci_msix msix; /* max 0: none */
	unsigned express;        /* PCI Express capability; 0: none */
	char *id;                /* its name in QEMU; NULL: unknown */

	struct r3_qemu_irq irq;
	atomic_uint pending; /* enum r3_qemu_pending: to be told */
	atomic_uint told;    /* what dispatch has told */
	int epoll;           /* of the next two, the IOMMU's, the link and QMP */
	int wake;            /* eventfd: something is pending */
	int slot_fd;         /* eventfd: the root port's hot-plug interrupt */
};

/** An empty device, before its sockets are there. */
int r3_qemu_create(const struct r3_open_opts *opts, const char *name, struct r3_qemu **out);
/** What is common to both ways in, once link, qmp, bus, place and RAM are known. */
int r3_qemu_setup(struct r3_qemu *q);
/** QMP's events, for r3_qmp_open(). */
void r3_qemu_qmp_event(void *ctx, const char *event, struct json_object *data);
void r3_qemu_destroy(struct r3_qemu *q);

extern const struct r3_bus_ops r3_qemu_ops;

/** The QEMU device behind @dev, or NULL. */
struct r3_qemu *r3_qemu_of(struct r3_device *dev);

/** Access physical memory or ports of the machine; notices when QEMU is lost. */
int r3_qemu_rw(struct r3_qemu *q, enum r3_qtest_space space, uint64_t address, void *data,
	       unsigned width, uint32_t count, unsigned flags);

/* region.c */
int r3_qemu_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info);
int r3_qemu_region_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data,
		      uint8_t width, uint32_t count, unsigned flags);

/* irq.c */
void r3_qemu_irq_init(struct r3_qemu *q);
void r3_qemu_irq_close(struct r3_qemu *q);
/** The device lost its programming, by a reset. */
void r3_qemu_irq_forget(struct r3_qemu *q);
int r3_qemu_irq_alloc(struct r3_device *dev, unsigned type, unsigned n);
int r3_qemu_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
		     const int *fds);
int r3_qemu_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask);

/* reset.c */
int r3_qemu_reset(struct r3_device *dev, enum r3_reset how);
int r3_qemu_quiesce(struct r3_device *dev, unsigned want, unsigned *proved);
/** Wait for transfers that are under way. Errors: ETIMEDOUT, ENODEV: it is lost. */
int r3_qemu_drain(struct r3_qemu *q);

/* hotplug.c */
int r3_qemu_hotplug_init(struct r3_qemu *q);
void r3_qemu_raise(struct r3_qemu *q, unsigned pending);
/** Whether the device still answers; raises R3_QEMU_REMOVED if not. */
bool r3_qemu_present(struct r3_qemu *q);
/** Turn the slot's power off, which removes what is in it, asked for or not. */
int r3_qemu_slot_off(struct r3_qemu *q);
int r3_qemu_fd(struct r3_device *dev);
int r3_qemu_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max);

#endif
