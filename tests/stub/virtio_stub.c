/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub's life, and how it looks from outside: a configuration space with virtio's
 * capabilities (virtio 1.2, 4.1.2, 4.1.4), and changes of which it tells. */
#include "stub/virtio_stub_parts.h"

#include <linux/pci_regs.h>
#include <ring3/irq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAR_SIZE 16384u

/* Behind the fake's own capabilities there is room for four; the fifth stands where MSI
 * was, which virtio does not have. */
#define CAP_PCI_CFG FAKE_CAP_MSI
#define CAP_COMMON  (FAKE_CAP_MSIX + PCI_CAP_MSIX_SIZEOF + 4)
#define CAP_NOTIFY  (CAP_COMMON + sizeof(struct virtio_pci_cap))
#define CAP_ISR     (CAP_NOTIFY + sizeof(struct virtio_pci_notify_cap))
#define CAP_DEVICE  (CAP_ISR + sizeof(struct virtio_pci_cap))

/* ---- what a driver is told about itself ---- */

void virtio_stub_mistake(struct virtio_stub *stub, const char *what)
{
	stub->mistakes++;
	stub->mistake = what;
}

void virtio_stub_broken(struct virtio_stub *stub, const char *what)
{
	virtio_stub_mistake(stub, what);
	virtio_stub_needs_reset(stub);
}

void *virtio_stub_reach(struct virtio_stub *stub, uint64_t addr, uint64_t len, unsigned prot)
{
	void *at = fake_device_reach(stub->fake, addr, len, prot);

	stub->faults += !at;
	return at;
}

/* ---- configuration changes ---- */

void virtio_stub_config_changed(struct virtio_stub *stub)
{
	pthread_mutex_lock(&stub->fake->lock);
	if (stub->status & VIRTIO_STATUS_DRIVER_OK)
		virtio_stub_interrupt(stub, stub->config_vector, VIRTIO_PCI_ISR_CONFIG);
	pthread_mutex_unlock(&stub->fake->lock);
}

void virtio_stub_resize(struct virtio_stub *stub, uint64_t sectors)
{
	pthread_mutex_lock(&stub->fake->lock);
	/* the memory is as large as it was at first */
	stub->capacity = stub->data && sectors > stub->opts.size / VIRTIO_BLK_SECTOR_SIZE
				 ? stub->opts.size / VIRTIO_BLK_SECTOR_SIZE
				 : sectors;
	stub->generation++;
	virtio_stub_config_changed(stub);
	pthread_mutex_unlock(&stub->fake->lock);
}

void virtio_stub_needs_reset(struct virtio_stub *stub)
{
	pthread_mutex_lock(&stub->fake->lock);
	stub->status |= VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	virtio_stub_config_changed(stub);
	pthread_mutex_unlock(&stub->fake->lock);
}

void virtio_stub_reset(struct virtio_stub *stub)
{
	for (unsigned i = 0; i < stub->opts.queues; i++)
		virtio_stub_queue_stop(stub, i);
	stub->accepted = 0;
	stub->device_feature_select = stub->driver_feature_select = 0;
	stub->config_vector = VIRTIO_MSI_NO_VECTOR;
	stub->queue_select = 0;
	stub->status = stub->isr = 0;
	stub->writeback = 1;
	if (stub->opts.mapped)
		memset((uint8_t *)r3_mem_addr(stub->fake->bar[0].mem) + VIRTIO_STUB_NOTIFY, 0xff,
		       VIRTIO_STUB_PART);
	fake_device_lower(stub->fake);
}

/* ---- configuration space (4.1.2, 4.1.4) ---- */

static void add_cap(struct fake_device *fake, size_t at, size_t next, uint8_t type, uint32_t off,
		    uint32_t len)
{
	const struct virtio_pci_notify_cap cap = {
		.cap =
			{
				.cap_vndr = PCI_CAP_ID_VNDR,
				.cap_next = (uint8_t)next,
				.cap_len = type == VIRTIO_PCI_CAP_NOTIFY_CFG ||
							   type == VIRTIO_PCI_CAP_PCI_CFG
						   ? sizeof(cap)
						   : sizeof(cap.cap),
				.cfg_type = type,
				.offset = R3_LE32(off),
				.length = R3_LE32(len),
			},
		.notify_off_multiplier =
			R3_LE32(type == VIRTIO_PCI_CAP_NOTIFY_CFG ? VIRTIO_STUB_MULTIPLIER : 0),
	};

	memcpy(fake->config + at, &cap, cap.cap.cap_len);
	memset(fake->config_mask + at, 0, cap.cap.cap_len);
}

static void make_config_space(struct virtio_stub *stub)
{
	struct fake_device *fake = stub->fake;
	bool msix = stub->opts.vectors;

	memcpy(fake->config + PCI_VENDOR_ID, &(uint16_t){R3_LE16(VIRTIO_PCI_VENDOR)}, 2);
	memcpy(fake->config + PCI_DEVICE_ID,
	       &(uint16_t){R3_LE16(VIRTIO_PCI_DEVICE_MODERN + VIRTIO_ID_BLOCK)}, 2);
	fake->config[PCI_REVISION_ID] = 1;
	fake->config[PCI_CLASS_PROG] = 0;
	fake->config[PCI_CLASS_DEVICE] = 0;
	fake->config[PCI_CLASS_DEVICE + 1] = 0x01;
	fake->base.info.nirqs[R3_IRQ_MSI] = 0;
	fake->base.info.nirqs[R3_IRQ_MSIX] = stub->opts.vectors;

	fake->config[FAKE_CAP_EXP + PCI_CAP_LIST_NEXT] = CAP_PCI_CFG;
	memset(fake->config + CAP_PCI_CFG, 0, FAKE_CAP_MSIX - CAP_PCI_CFG);
	memset(fake->config_mask + CAP_PCI_CFG, 0, FAKE_CAP_MSIX - CAP_PCI_CFG);
	add_cap(fake, CAP_PCI_CFG, msix ? FAKE_CAP_MSIX : CAP_COMMON, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
	fake->config[FAKE_CAP_MSIX + PCI_CAP_LIST_NEXT] = CAP_COMMON;
	add_cap(fake, CAP_COMMON, CAP_NOTIFY, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_STUB_COMMON,
		sizeof(struct virtio_pci_common_cfg));
	add_cap(fake, CAP_NOTIFY, CAP_ISR, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_STUB_NOTIFY,
		VIRTIO_STUB_PART);
	add_cap(fake, CAP_ISR, CAP_DEVICE, VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_STUB_ISR, 1);
	add_cap(fake, CAP_DEVICE, 0, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_STUB_DEVICE,
		sizeof(struct virtio_blk_config));
}

/* ---- life ---- */

static struct virtio_stub *stub_of(struct r3_device *dev)
{
	return ((struct fake_device *)dev)->user;
}

static void stub_close(struct r3_device *dev)
{
	struct virtio_stub *stub = stub_of(dev);

	fake_device_stop(stub->fake);
	if (stub->opts.strict && (stub->mistakes || stub->faults)) {
		fprintf(stderr, "virtio stub: %u faults, %u mistakes of the driver: %s\n",
			stub->faults, stub->mistakes, stub->mistake ? stub->mistake : "none");
		abort();
	}
	for (unsigned i = 0; i < stub->opts.queues; i++)
		free(stub->queue[i].turn);
	free(stub->data);
	stub->below->close(dev);
	free(stub);
}

static int stub_reset(struct r3_device *dev, enum r3_reset how)
{
	struct virtio_stub *stub = stub_of(dev);

	pthread_mutex_lock(&stub->fake->lock);
	virtio_stub_reset(stub);
	pthread_mutex_unlock(&stub->fake->lock);
	return stub->below->reset(dev, how);
}

static struct virtio_stub_opts defaults(const struct virtio_stub_opts *opts)
{
	struct virtio_stub_opts all = opts ? *opts : (struct virtio_stub_opts){.vectors = 16};

	if (!all.features)
		all.features = VIRTIO_STUB_FEATURES;
	all.mapped |= all.thread;
	if (!all.size)
		all.size = 16 << 20;
	if (!all.queues)
		all.queues = all.features & VIRTIO_FEATURE(VIRTIO_BLK_F_MQ) ? 8 : 1;
	if (!all.qsize)
		all.qsize = 256;
	if (!all.seg_max)
		all.seg_max = all.qsize < 128 ? (all.qsize > 3 ? all.qsize - 2 : 1) : 126;
	if (!all.size_max)
		all.size_max = 65536;
	if (!all.blk_size)
		all.blk_size = 512;
	if (!all.batch)
		all.batch = 1;
	return all;
}

struct virtio_stub *virtio_stub_new(const struct virtio_stub_opts *opts, struct r3_clock *clock)
{
	const struct r3_open_opts open = {.size = sizeof(open), .clock = clock};
	unsigned flags = R3_REGION_READ | R3_REGION_WRITE | R3_REGION_64BIT;
	struct virtio_stub *stub = calloc(1, sizeof(*stub));
	struct fake_device *fake = fake_device_new(&open);

	if (!stub || !fake)
		abort();
	stub->opts = defaults(opts);
	stub->fake = fake;
	stub->below = fake->base.ops;
	stub->ops = *fake->base.ops;
	stub->ops.close = stub_close;
	stub->ops.reset = stub_reset;

	stub->offered = stub->opts.features;
	stub->capacity = stub->opts.size / VIRTIO_BLK_SECTOR_SIZE;
	stub->data = stub->opts.null ? NULL : calloc(1, stub->opts.size);
	fake->base.ops = &stub->ops;
	fake->user = stub;
	fake->access = virtio_stub_access;
	make_config_space(stub);
	if (stub->opts.mapped)
		flags |= R3_REGION_MAPPABLE;
	if (fake_device_set_bar(fake, 0, BAR_SIZE, flags) < 0)
		abort();
	if (stub->opts.mapped) {
		fake->bar[0].nareas = 1;
		fake->bar[0].area[0].off = VIRTIO_STUB_NOTIFY;
		fake->bar[0].area[0].len = VIRTIO_STUB_PART;
	}
	virtio_stub_reset(stub);
	if (fake_device_adopt(fake) < 0 ||
	    (stub->opts.thread &&
	     fake_device_start(fake, virtio_stub_notified, virtio_stub_turn) < 0))
		abort();
	return stub;
}

struct r3_device *virtio_stub_device(struct virtio_stub *stub)
{
	return &stub->fake->base;
}
