/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device: regions, interrupts, DMA and reset, whatever carries it. The model
 * is VFIO's (linux/vfio.h), and so are the indexes of regions and interrupts.
 *
 * Life: open by address; get regions, interrupt sets (irq.h) and DMA tags
 * (dma.h); use them; give them back; close. A device handle is used by one
 * thread; regions may be accessed, and interrupt fds polled and read, by any.
 * Nothing here waits without a bound, and the library makes no thread.
 */
#ifndef RING3_DEVICE_H
#define RING3_DEVICE_H

#include <ring3/api.h>
#include <ring3/clock.h>
#include <ring3/mem.h>
#include <ring3/region.h>

R3_BEGIN

struct r3_device;

/** What a device's carrier can do. */
enum r3_device_caps {
	R3_CAP_PCI = 1 << 0,          /* R3_REGION_CONFIG is a PCI configuration space */
	R3_CAP_IRQ_MASK = 1 << 1,     /* vectors can be masked: MSI-X, and MSI if the device can */
	R3_CAP_IRQ_DISPATCH = 1 << 2, /* INTx reaches its eventfd only by r3_device_dispatch() */
	R3_CAP_DMA = 1 << 3,          /* the device can reach memory given to it */
	R3_CAP_DMA_ASSIGNED = 1 << 4, /* the carrier chooses device addresses, not the caller */
	R3_CAP_OWN_MEM = 1 << 5,      /* only the arena of the device can be reached by it */
	R3_CAP_FLR = 1 << 6,          /* R3_RESET_FUNCTION works */
	R3_CAP_BUS_RESET = 1 << 7,    /* R3_RESET_BUS works */
	R3_CAP_UNSAFE = 1 << 8,       /* no IOMMU: the device can reach memory not given to it */
	R3_CAP_IN_PROCESS = 1 << 9,   /* its transfers are copies that this process makes */
};

struct r3_device_info {
	const char *address; /* canonical; lives as long as the device */
	const char *name;    /* for messages: short, says which device */
	unsigned caps;       /* enum r3_device_caps */
	unsigned nregions;   /* indexes 0 .. nregions-1 may exist */
	unsigned nirqs[3];   /* most vectors of R3_IRQ_INTX, _MSI, _MSIX */
};

enum r3_open_flags {
	/** The device must reach memory that others made, at addresses of the caller's choice:
	 *  whoever serves it to another process asks for this. A carrier that has a choice
	 *  (qemu:, which then puts an IOMMU in front of the device) reports neither
	 *  R3_CAP_OWN_MEM nor R3_CAP_DMA_ASSIGNED; the others stay as they are. */
	R3_OPEN_FOREIGN_MEM = 1 << 0,
};

struct r3_open_opts {
	uint32_t size;          /* sizeof(struct r3_open_opts) */
	uint32_t flags;         /* enum r3_open_flags */
	struct r3_clock *clock; /* NULL: the system's; must outlive the device */
	uint64_t arena_size;    /* bytes of DMA memory; 0: the carrier's choice (at least 64 MiB) */
	/* For root, who will not stay it: what processes that carry the device (QEMU) are to be
	 * from their start, while files are opened as who calls. 0: the same as the caller. */
	uint32_t child_uid, child_gid;
};

/** Open the device that @address names (address.h). @opts may be NULL.
 *  May block for a bounded time while the device is started or found.
 *  Errors: EINVAL malformed address or unknown key; ENODEV no such device, or a
 *  scheme that is unknown, not built in or not possible here (the text names the
 *  remedy); EBUSY somebody else has it; EACCES, EPERM not permitted; ETIMEDOUT. */
R3_API int r3_device_open(const char *address, const struct r3_open_opts *opts,
			  struct r3_device **out);

/** Stop the device (interrupts off, DMA off, reset where possible), then free all
 *  that was got from it. Interrupt sets, tags and maps must have been given back.
 *  NULL is allowed. */
R3_API void r3_device_close(struct r3_device *dev);

R3_API const struct r3_device_info *r3_device_get_info(const struct r3_device *dev);
R3_API struct r3_clock *r3_device_clock(const struct r3_device *dev);

/** The region @index (enum r3_region_index), mapped where that is possible. Each
 *  call returns the same handle, which lives as long as the device.
 *  Errors: ENOENT the device has no such region (or of size 0). */
R3_API int r3_device_region(struct r3_device *dev, unsigned index, struct r3_region **out);

/** The device's arena: DMA memory that the device can reach from the first call
 *  of this function on. The device keeps its reference.
 *  Errors: EOPNOTSUPP the carrier offers no DMA; ENOMEM. */
R3_API int r3_device_arena(struct r3_device *dev, struct r3_arena **out);

enum r3_reset {
	R3_RESET_ANY,      /* the least of those below that the device has */
	R3_RESET_FUNCTION, /* FLR (PCIe 6.6.2) */
	R3_RESET_BUS,      /* secondary bus reset, hot reset (PCIe 6.6.1) */
};

/** Reset the device and restore its BARs. Bus mastering, memory decoding and all
 *  interrupts are off afterwards. Blocks for the time the specification allows.
 *  Errors: EOPNOTSUPP no such reset; ETIMEDOUT; ENODEV the device is gone. */
R3_API int r3_device_reset(struct r3_device *dev, enum r3_reset how);

/** What quiesce can prove. */
enum r3_quiesce {
	R3_QUIESCE_DMA = 1 << 0,   /* the device starts no transfer any more */
	R3_QUIESCE_MEDIA = 1 << 1, /* and no accepted write reaches its medium later */
};

/** Make the device harmless. *proved says what of @want is certain now.
 *  Errors: as r3_device_reset(); *proved is valid in any case. */
R3_API int r3_device_quiesce(struct r3_device *dev, unsigned want, unsigned *proved);

/* ---- events ---- */

enum r3_event_type {
	R3_EVENT_NONE,
	R3_EVENT_REMOVE_REQUEST, /* somebody asks for the device: finish and close it */
	R3_EVENT_REMOVED,        /* gone: registers read all-ones, DMA has ended */
	R3_EVENT_ADDED,          /* a device is in the slot again; this handle stays gone */
	R3_EVENT_ERROR,          /* the device or its bus reports an error; see detail */
	R3_EVENT_DMA_FAULT,      /* a transfer was refused at address detail */
	R3_EVENT_SERVER_LOST,    /* whoever carried the device died; as REMOVED for the rest */
};

struct r3_event {
	uint32_t type; /* enum r3_event_type */
	uint32_t code; /* an errno where type says ERROR */
	uint64_t detail;
};

/** A descriptor that polls readable when r3_device_dispatch() has something to
 *  do. The device's; never closed by the caller. -1 where nothing ever happens. */
R3_API int r3_device_fd(const struct r3_device *dev);

/** Take up to @max events; deliver interrupts where the carrier needs a hand
 *  (R3_CAP_IRQ_DISPATCH). With @max 0 events stay where they are, and keep the
 *  descriptor readable. Never blocks. Returns the number of events, or -errno. */
R3_API int r3_device_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max);

/** Whether the device is gone (removed, or its server lost). One load. */
R3_API bool r3_device_gone(const struct r3_device *dev);

R3_API const char *r3_event_name(unsigned type);

R3_END
#endif
