/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI device in memory, for tests of what stands on devices. It has a configuration
 * space with PCIe, MSI and MSI-X, BARs that are memory, records what it is told, and
 * fails on demand.
 *
 * Make one, change what the test wants different, then adopt it:
 *
 *      struct fake_device *fake = fake_device_new(NULL);
 *      fake->base.info.caps &= ~R3_CAP_FLR;
 *      assert_int_equal(fake_device_adopt(fake), 0);
 *      ... &fake->base ...
 *      r3_device_close(&fake->base);
 */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include "bus/ops.h"

#include <pthread.h>

#define FAKE_VECTORS 64
#define FAKE_MAPS    32

/* Where the capabilities are. */
#define FAKE_CAP_EXP  0x40
#define FAKE_CAP_MSI  0x80
#define FAKE_CAP_MSIX 0xa0
#define FAKE_CAP_DSN  0x100

struct fake_bar {
	uint64_t size;  /* 0: none */
	unsigned flags; /* enum r3_region_flags */
	struct r3_mem *mem;
	uint64_t fd_off; /* these as in struct r3_region_info */
	unsigned nareas;
	struct {
		uint64_t off, len;
	} area[R3_REGION_AREAS];
};

struct fake_vector {
	int fd; /* bound by irq_bind, -1: none */
	bool masked, pending;
};

struct fake_map {
	struct r3_mem *mem; /* referenced while it is mapped */
	uint64_t off, len, iova;
	unsigned prot;
};

/** What outlives the device, for tests of closing. */
struct fake_remains {
	bool closed;
	unsigned irqs; /* vectors still enabled, */
	unsigned maps; /* memory still mapped, */
	bool master;   /* bus mastering still on when it closed */
};

struct fake_device {
	struct r3_device base;

	uint8_t config[4096];
	uint8_t config_mask[4096]; /* bits that a write changes */
	struct fake_bar bar[7];    /* [6] is the ROM */

	/** Registers with a will of their own. May be NULL. Called for each item of a
	 *  message access before it is done to memory, with the value in the CPU's byte
	 *  order; true: it was done here. */
	bool (*access)(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
		       uint64_t *value, bool write);
	void *user; /* the test's */
	/** An interrupt is about to be signalled; a device is between two steps of which the
	 *  driver can see the first. Both may be NULL. */
	void (*raising)(struct fake_device *fake);
	void (*between)(struct fake_device *fake);

	/* what it was told */
	unsigned reads, writes, posted; /* calls of rw() */
	unsigned irq_type, nirqs;       /* the set of irq_alloc() */
	struct fake_vector vector[FAKE_VECTORS];
	struct fake_map map[FAKE_MAPS]; /* len 0: a free entry */
	unsigned resets, quiesces;
	struct fake_remains *remains; /* may be NULL */

	/* how it behaves; all 0 at first */
	bool give_fds; /* a mappable BAR's descriptor is whoever's asks (close_fd) */
	int fail_region_info, fail_rw, fail_irq_alloc, fail_irq_bind, fail_dma_map, fail_dma_unmap,
		fail_dma_memory, fail_reset, fail_quiesce, fail_dispatch; /* -errno to return */
	uint64_t extent_len;   /* R3_CAP_DMA_ASSIGNED: longest contiguous piece; 0: any */
	uint64_t assign_first; /* R3_CAP_DMA_ASSIGNED: the first address; 0: some */
	struct r3_dma_limits limits;

	/* its own */
	/* A device may be in a thread of its own: it raises while the driver unmasks, and is in
	 * the midst of a transfer when memory is taken from it. Recursive. */
	pthread_mutex_t lock;
	pthread_t thread;
	bool (*rung)(const struct fake_device *fake);
	void (*turn)(struct fake_device *fake);
	bool threaded, ends;
	bool intx_up, removed;
	struct r3_mem *own_mem;
	int event_fd;
	unsigned nevents;
	struct r3_event event[8];
};

/** A new device, or NULL. It has INTx, 32 MSI and 64 MSI-X vectors, DMA at addresses of the
 *  caller's choice, FLR and bus reset; BAR0 of 16 KiB (64-bit, mappable), BAR2 of 32
 *  ports, BAR4 of 4 KiB (with the MSI-X table; not mappable), a ROM of 2 KiB. */
struct fake_device *fake_device_new(const struct r3_open_opts *opts);

/** Change a BAR or the ROM (6), before the device is adopted; size 0 takes it away.
 *  Flags as the region's: READ and WRITE, MAPPABLE, PORT, 64BIT, PREFETCH. */
int fake_device_set_bar(struct fake_device *fake, unsigned index, uint64_t size, unsigned flags);

/** r3_device_adopt() with the address "fake:test". Closes it on failure. */
int fake_device_adopt(struct fake_device *fake);

/** Raise an interrupt; INTx stays up until fake_device_lower(). */
void fake_device_raise(struct fake_device *fake, unsigned type, unsigned vector);
void fake_device_lower(struct fake_device *fake);

/** The memory that the device reaches at @iova for @prot, or NULL. A device in a thread of
 *  its own calls it, and is done with the memory, under the lock. */
void *fake_device_reach(struct fake_device *fake, uint64_t iova, uint64_t len, unsigned prot);

/** Run the device in a thread of its own: again and again, without the lock, @rung looks
 *  whether there is something to do; while the device is bus master, @turn does it, under
 *  the lock. Until it is stopped, which closing the device does first. Returns -errno. */
int fake_device_start(struct fake_device *fake, bool (*rung)(const struct fake_device *fake),
		      void (*turn)(struct fake_device *fake));
void fake_device_stop(struct fake_device *fake);
/** Do now what that thread would find to do; whether it was something. A message access
 *  comes after the doorbells that were rung before it, for a bus keeps the order of posted
 *  writes (PCI 3.0, 3.2.5). */
bool fake_device_heed(struct fake_device *fake);

/** Queue an event for dispatch. */
void fake_device_event(struct fake_device *fake, unsigned type, uint64_t detail);

/** Surprise removal: from now on it answers nothing, and says so by an event. */
void fake_device_remove(struct fake_device *fake);

#endif
