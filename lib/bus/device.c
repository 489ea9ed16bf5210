/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a device handle and what concerns all of the device: reset, quiesce, events.
 * The core checks and keeps; the carrier's operations do. */
#include "bus/core.h"
#include "util/kept_text.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

void r3_device_init(struct r3_device *dev, const struct r3_bus_ops *ops,
		    const struct r3_open_opts *opts)
{
	*dev = (struct r3_device){
		.ops = ops,
		.clock = opts && opts->clock ? opts->clock : r3_clock_system(),
		.arena_size = opts ? opts->arena_size : 0,
	};
}

int r3_device_adopt(struct r3_device *dev, const char *address)
{
	const struct r3_bus_ops *ops = dev->ops;
	int rc = 0;

	dev->address = strdup(address);
	dev->info.address = dev->address;
	if (!dev->info.name)
		dev->info.name = dev->address;
	if (!dev->address)
		rc = r3_error_set(ENOMEM, "%s: out of memory", address);
	else if (ops->size != sizeof(*ops) || !ops->region_info || !ops->rw ||
		 dev->info.nregions > R3_REGION_MAX)
		rc = r3_error_set(EPROTO, "%s: its carrier breaks the rules of bus/ops.h", address);
	if (rc)
		r3_device_close(dev);
	return rc;
}

/* Nothing may reach the program's memory once the device is closed. A carrier without
 * means of its own at least loses its right to the bus (PCI 3.0, 6.2.2). */
static int stop_dma(struct r3_device *dev, unsigned want, unsigned *proved)
{
	int rc = dev->ops->quiesce ? dev->ops->quiesce(dev, want, proved) : -EOPNOTSUPP;

	if (rc != -EOPNOTSUPP || !(dev->info.caps & R3_CAP_PCI))
		return rc;

	struct r3_region *config;
	uint16_t command;

	rc = r3_device_region(dev, R3_REGION_CONFIG, &config);
	if (rc)
		return rc;
	command = r3_read16(config, PCI_COMMAND);
	r3_write16(config, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_MASTER);
	/* the answer pushes transfers already under way before it (PCI 3.0, 3.2.5) */
	command = r3_read16(config, PCI_COMMAND);
	if (r3_device_gone(dev))
		return r3_device_alive(dev);
	if (!(command & PCI_COMMAND_MASTER))
		*proved |= R3_QUIESCE_DMA;
	return 0;
}

void r3_device_close(struct r3_device *dev)
{
	struct r3_kept_text why; /* it is closed: often, that something failed */
	unsigned proved = 0;

	if (!dev)
		return;
	r3_error_keep(&why);
	for (unsigned type = 0; type < 3; type++) {
		if (dev->info.nirqs[type] && dev->ops->irq_alloc) {
			dev->ops->irq_alloc(dev, type, 0);
			break; /* whatever the type, it turns all of them off */
		}
	}
	if (!r3_device_gone(dev))
		stop_dma(dev, R3_QUIESCE_DMA, &proved);
	for (unsigned i = 0; i < R3_REGION_MAX; i++)
		r3_device_drop_region(dev, i);
	while (dev->nlent)
		r3_device_drop_lent(dev, dev->nlent - 1);
	r3_device_drop_arena(dev);

	char *address = dev->address;
	dev->ops->close(dev);
	free(address);
	r3_error_put_back(&why);
}

const struct r3_device_info *r3_device_get_info(const struct r3_device *dev)
{
	return &dev->info;
}

struct r3_clock *r3_device_clock(const struct r3_device *dev)
{
	return dev->clock;
}

/* ---- reset and quiesce ---- */

int r3_device_alive(struct r3_device *dev)
{
	return r3_device_gone(dev) ? r3_error_set(ENODEV, "%s: the device is gone", dev->info.name)
				   : 0;
}

int r3_device_answer(struct r3_device *dev, int rc)
{
	if (rc == -ENODEV)
		r3_device_set_gone(dev);
	return rc;
}

int r3_device_reset(struct r3_device *dev, enum r3_reset how)
{
	unsigned caps = dev->info.caps;
	int rc = r3_device_alive(dev);

	if (rc)
		return rc;
	if (how == R3_RESET_ANY)
		how = caps & R3_CAP_FLR ? R3_RESET_FUNCTION : R3_RESET_BUS;
	if ((unsigned)how > R3_RESET_BUS || !dev->ops->reset ||
	    !(caps & (how == R3_RESET_FUNCTION ? R3_CAP_FLR : R3_CAP_BUS_RESET)))
		return r3_error_set(EOPNOTSUPP, "%s: it cannot be reset this way", dev->info.name);
	return r3_device_answer(dev, dev->ops->reset(dev, how));
}

int r3_device_quiesce(struct r3_device *dev, unsigned want, unsigned *proved)
{
	int rc;

	*proved = 0;
	if (r3_device_gone(dev)) {
		/* what is not there transfers nothing; its medium is another matter */
		*proved = want & R3_QUIESCE_DMA;
		return r3_device_alive(dev);
	}
	rc = stop_dma(dev, want, proved);
	*proved &= want;
	if (rc == -EOPNOTSUPP)
		return r3_error_set(EOPNOTSUPP, "%s: nothing can quiesce it", dev->info.name);
	return r3_device_answer(dev, rc);
}

/* ---- events ---- */

int r3_device_fd(const struct r3_device *dev)
{
	return dev->ops->fd ? dev->ops->fd((struct r3_device *)dev) : -1;
}

int r3_device_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max)
{
	int n = dev->ops->dispatch ? dev->ops->dispatch(dev, events, max) : 0;

	if (n < 0)
		return r3_device_answer(dev, n);
	if ((unsigned)n > max)
		n = (int)max;
	for (int i = 0; i < n; i++)
		if (events[i].type == R3_EVENT_REMOVED || events[i].type == R3_EVENT_SERVER_LOST)
			r3_device_set_gone(dev);
	return n;
}

bool r3_device_gone(const struct r3_device *dev)
{
	return __atomic_load_n(&dev->gone, __ATOMIC_RELAXED);
}

/* From any thread, while the device's may be making a region: either it sees here that the
 * device is gone, or the region is seen below. */
void r3_device_set_gone(struct r3_device *dev)
{
	if (__atomic_exchange_n(&dev->gone, true, __ATOMIC_SEQ_CST))
		return;
	r3_log(R3_LOG_WARN, "%s: the device is gone", dev->info.name);
	/* Accesses become messages, which read all ones. Whoever still uses the mapping
	 * may: the pages stay until the device is closed. */
	for (unsigned i = 0; i < R3_REGION_MAX; i++) {
		struct r3_region *region = __atomic_load_n(&dev->region[i], __ATOMIC_SEQ_CST);

		if (region)
			__atomic_store_n(&region->map_len, 0, __ATOMIC_RELAXED);
	}
}

const char *r3_event_name(unsigned type)
{
	static const char *const names[] = {
		[R3_EVENT_NONE] = "none",
		[R3_EVENT_REMOVE_REQUEST] = "remove request",
		[R3_EVENT_REMOVED] = "removed",
		[R3_EVENT_ADDED] = "added",
		[R3_EVENT_ERROR] = "error",
		[R3_EVENT_DMA_FAULT] = "DMA fault",
		[R3_EVENT_SERVER_LOST] = "server lost",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}
