/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe controller in this process, on the fake device: it executes a command in the
 * doorbell write, so that tests are deterministic and instructions can be counted. It is
 * strict about what a driver tells it, and lies and fails as a test wants. In commands and
 * completions that it passes around, hooks included, all but the data pointer is in the
 * CPU's byte order; what lies in memory, identify data too, is little-endian.
 *
 *      struct nvme_stub *stub = nvme_stub_new(NULL, NULL);
 *      stub->hooks = &lies;
 *      r3_driver_nvme.attach_block(nvme_stub_device(stub), ...);
 *
 * The device owns the stub: closing it frees both.
 */
#ifndef NVME_STUB_H
#define NVME_STUB_H

#include "fake/fake_device.h"

#include <ring3/spec/nvme.h>

#define STUB_QUEUES     64 /* of I/O, most */
#define STUB_NAMESPACES 4
#define STUB_HELD       256

struct nvme_stub;

struct nvme_stub_hooks {
	/** A register was read, and the value may be changed. */
	void (*read)(struct nvme_stub *stub, uint64_t off, uint64_t *value);
	/** Identify data is about to be returned, 4096 bytes, and may be changed. */
	void (*identify)(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data);
	/** A command was fetched. False: keep it, until nvme_stub_release(). */
	bool (*fetch)(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd);
	/** A completion is about to be posted, and may be changed. False: swallow it. */
	bool (*complete)(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
			 struct nvme_cqe *cqe);
};

struct nvme_stub_opts {
	unsigned namespaces; /* 0: 1 */
	unsigned lba_shift;  /* 0: 9 */
	uint64_t size;       /* bytes of a namespace; 0: 16 MiB */
	unsigned queues;     /* of I/O; 0: 8 */
	unsigned vectors;    /* MSI-X; 0: none, then MSI of nmsi, or INTx */
	unsigned msi;
	uint16_t mqes; /* 0: 1023 */
	uint8_t mdts;
	uint8_t mps;  /* pages are 4096 << mps bytes, no more and no less */
	uint8_t sgl;  /* NVME_SGLS_ANY or _DWORD; 0: none */
	bool null;    /* nothing is kept or copied */
	bool mapped;  /* doorbells of I/O queues are stores to memory; see nvme_stub_run() */
	bool thread;  /* a thread of the device's own calls that; implies mapped */
	uint64_t bar; /* bytes of BAR 0; 0: 16 KiB, or what the doorbells take */
};

struct nvme_stub_sq {
	uint64_t base;
	uint16_t size, head, tail, cqid; /* size 0: no such queue */
};

struct nvme_stub_cq {
	uint64_t base;
	uint16_t size, head, tail, vector;
	uint16_t phase;
	uint16_t quiet; /* entries that no interrupt has told of, being coalesced */
	bool irq;
};

struct nvme_stub_ns {
	uint64_t blocks;
	uint8_t *data; /* the stub's; NULL: null */
	uint64_t size; /* of data */
};

struct nvme_stub {
	struct fake_device *fake;
	struct r3_bus_ops ops; /* the fake's, with our close and reset in front of them */
	const struct r3_bus_ops *below;
	const struct nvme_stub_hooks *hooks; /* may be NULL */
	void *user;                          /* the test's */
	struct nvme_stub_opts opts;

	/* registers */
	uint64_t cap, asq, acq;
	uint32_t cc, csts, aqa, intms;

	struct nvme_stub_sq sq[STUB_QUEUES + 1];
	struct nvme_stub_cq cq[STUB_QUEUES + 1];
	struct nvme_stub_ns ns[STUB_NAMESPACES];

	struct {
		uint16_t sqid; /* UINT16_MAX: free */
		struct nvme_cmd cmd;
	} held[STUB_HELD];
	uint16_t event_cid; /* the request for an asynchronous event, */
	bool event_armed;
	bool event_pending; /* or the event for which there is none */
	uint32_t event;
	uint8_t critical_warning; /* in the SMART log */
	bool ignore_abort;
	uint32_t coalesce; /* as the feature has it; 0: off */
	bool not_coalesced[FAKE_VECTORS];

	/* what happened */
	unsigned enables, commands, doorbells, interrupts, aborts;
	unsigned faults;   /* addresses that the device cannot reach */
	unsigned mistakes; /* of the driver: full queues, doorbells out of range */
	unsigned flushes, sgls, prp_lists, deallocated, fua, deac;
};

/** A controller, adopted as a device, or NULL. Both arguments may be NULL. */
struct nvme_stub *nvme_stub_new(const struct nvme_stub_opts *opts, struct r3_clock *clock);
struct r3_device *nvme_stub_device(struct nvme_stub *stub);

/** Commands kept by the fetch hook. */
unsigned nvme_stub_held(struct nvme_stub *stub);
/** Execute and complete the @n-th of them. */
void nvme_stub_release(struct nvme_stub *stub, unsigned n);

/** Where the doorbells are mapped: heed those that were written. That is how such a
 *  controller ever executes an I/O command. */
void nvme_stub_run(struct nvme_stub *stub);

/** Post any completion to a completion queue; the phase is filled in. */
void nvme_stub_post(struct nvme_stub *stub, uint16_t cqid, struct nvme_cqe cqe);

/** The aggregation time is up: signal what was kept back. */
void nvme_stub_coalesced(struct nvme_stub *stub);

/** Raise an asynchronous event: enum nvme_aer_type, information, log page. */
void nvme_stub_event(struct nvme_stub *stub, unsigned type, unsigned info, uint8_t lid);

#endif
