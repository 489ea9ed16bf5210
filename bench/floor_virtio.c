/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor of virtio-blk: one split virtqueue made by hand. The chains of descriptors,
 * one for each read that may be in flight, are written once; a read is its sector, a head
 * in the available ring and an index. The device says by event index when it wants to be
 * notified: told by flags, QEMU is notified far more often than it needs.
 */
#include "bench.h"

#include <errno.h>
#include <ring3/device.h>
#include <ring3/dma.h>
#include <ring3/error.h>
#include <ring3/pci.h>
#include <ring3/spec/virtio_blk.h>
#include <ring3/spec/virtio_pci.h>
#include <ring3/spec/virtio_ring.h>
#include <stdlib.h>

#define CAP_ID_VENDOR 0x09
#define CAPS_MAX      64
#define CHAIN         3u /* descriptors: header, data, status */
#define ENTRIES       128u
#define USED_AT       4096u /* behind descriptors and available ring */
#define WAIT          (5 * R3_NSEC_PER_SEC)

_Static_assert(CHAIN *BENCH_DEPTH_MAX <= ENTRIES, "all chains fit");
_Static_assert(VIRTQ_DESC_BYTES(ENTRIES) + VIRTQ_AVAIL_BYTES(ENTRIES) <= USED_AT, "so do rings");
_Static_assert(VIRTQ_USED_BYTES(ENTRIES) <= 4096, "so do rings");

struct area {
	struct r3_region *region;
	uint64_t offset;
	unsigned cap; /* where its capability is */
};

/* What goes with the data of a read. */
struct slot {
	struct virtio_blk_req req;
	uint8_t status;
	uint8_t pad[15];
};

struct floor {
	struct r3_device *dev;
	struct r3_dma_tag *tag;
	struct area common, notify, config;
	uint64_t doorbell; /* in the region of notify */
	void *rings;
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	r3_iova rings_iova, slots_iova, data_iova;
	uint16_t next, seen; /* indices, counting up */
	struct slot *slots;
	void *data;
	uint64_t blocks; /* of BENCH_LEN */
};

static struct area *area_of(struct floor *floor, unsigned type)
{
	switch (type) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		return &floor->common;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		return &floor->notify;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		return &floor->config;
	default:
		return NULL;
	}
}

static int find_areas(struct floor *floor)
{
	struct r3_pci_cap cap[CAPS_MAX];
	int n = r3_pci_caps(floor->dev, cap, CAPS_MAX), rc = 0;

	for (int i = 0; rc == 0 && i < n && i < CAPS_MAX; i++) {
		unsigned at = cap[i].offset;
		struct area *area = NULL;

		if (!cap[i].extended && cap[i].id == CAP_ID_VENDOR)
			area = area_of(floor, r3_pci_read8(floor->dev, at + 3));
		if (!area || area->region)
			continue;
		area->cap = at;
		area->offset =
			r3_pci_read32(floor->dev, at + offsetof(struct virtio_pci_cap, offset));
		rc = r3_device_region(
			floor->dev,
			r3_pci_read8(floor->dev, at + offsetof(struct virtio_pci_cap, bar)),
			&area->region);
	}
	if (n < 0 || rc < 0)
		return n < 0 ? n : rc;
	if (!floor->common.region || !floor->notify.region || !floor->config.region)
		return r3_error_set(ENODEV, "floor: no modern virtio device");
	return 0;
}

static void set32(struct floor *floor, unsigned reg, uint32_t value)
{
	r3_write32(floor->common.region, floor->common.offset + reg, value);
}

static void set16(struct floor *floor, unsigned reg, uint16_t value)
{
	r3_write16(floor->common.region, floor->common.offset + reg, value);
}

static uint16_t get16(struct floor *floor, unsigned reg)
{
	return r3_read16(floor->common.region, floor->common.offset + reg);
}

static void set_iova(struct floor *floor, unsigned reg, uint64_t iova)
{
	set32(floor, reg, (uint32_t)iova);
	set32(floor, reg + 4, (uint32_t)(iova >> 32));
}

static uint8_t status(struct floor *floor)
{
	return r3_read8(floor->common.region,
			floor->common.offset + VIRTIO_PCI_COMMON(device_status));
}

static void set_status(struct floor *floor, unsigned value)
{
	r3_write8(floor->common.region, floor->common.offset + VIRTIO_PCI_COMMON(device_status),
		  (uint8_t)value);
}

static int reset(struct floor *floor)
{
	struct r3_wait wait = r3_wait_begin(r3_device_clock(floor->dev), WAIT);

	set_status(floor, 0);
	while (status(floor))
		if (!r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT, "floor: reset: no end of it");
	return 0;
}

/* 3.1.1, in its order. */
static int start(struct floor *floor)
{
	unsigned driver = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
	uint64_t capacity, off;
	int rc = reset(floor);

	if (rc < 0)
		return rc;
	set_status(floor, driver);
	set32(floor, VIRTIO_PCI_COMMON(driver_feature_select), 0);
	set32(floor, VIRTIO_PCI_COMMON(driver_feature), 1u << VIRTIO_F_EVENT_IDX);
	set32(floor, VIRTIO_PCI_COMMON(driver_feature_select), 1);
	set32(floor, VIRTIO_PCI_COMMON(driver_feature), 1u << (VIRTIO_F_VERSION_1 - 32));
	set_status(floor, driver | VIRTIO_STATUS_FEATURES_OK);
	if (!(status(floor) & VIRTIO_STATUS_FEATURES_OK))
		return r3_error_set(EIO, "floor: the device wants more features");

	set16(floor, VIRTIO_PCI_COMMON(queue_select), 0);
	if (get16(floor, VIRTIO_PCI_COMMON(queue_size)) < ENTRIES)
		return r3_error_set(EIO, "floor: the queue has fewer than %u entries", ENTRIES);
	set16(floor, VIRTIO_PCI_COMMON(queue_size), ENTRIES);
	set_iova(floor, VIRTIO_PCI_COMMON(queue_desc), floor->rings_iova.v);
	set_iova(floor, VIRTIO_PCI_COMMON(queue_driver),
		 floor->rings_iova.v + VIRTQ_DESC_BYTES(ENTRIES));
	set_iova(floor, VIRTIO_PCI_COMMON(queue_device), floor->rings_iova.v + USED_AT);
	off = get16(floor, VIRTIO_PCI_COMMON(queue_notify_off));
	off *= r3_pci_read32(floor->dev, floor->notify.cap + offsetof(struct virtio_pci_notify_cap,
								      notify_off_multiplier));
	floor->doorbell = floor->notify.offset + off;
	set16(floor, VIRTIO_PCI_COMMON(queue_enable), 1);
	set_status(floor, driver | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);

	capacity = r3_read32(floor->config.region, floor->config.offset);
	capacity |= (uint64_t)r3_read32(floor->config.region, floor->config.offset + 4) << 32;
	floor->blocks = capacity / (BENCH_LEN / VIRTIO_BLK_SECTOR_SIZE);
	return floor->blocks ? 0 : r3_error_set(EIO, "floor: the device is empty");
}

/* The chains, for good. Read k is the chain that begins at CHAIN * k. */
static void write_chains(struct floor *floor)
{
	for (unsigned k = 0; k < BENCH_DEPTH_MAX; k++) {
		struct virtq_desc *desc = &floor->desc[CHAIN * k];
		uint64_t slot = floor->slots_iova.v + k * sizeof(struct slot);

		desc[0] = (struct virtq_desc){
			.addr = R3_LE64(slot),
			.len = R3_LE32(sizeof(struct virtio_blk_req)),
			.flags = R3_LE16(VIRTQ_DESC_F_NEXT),
			.next = R3_LE16((uint16_t)(CHAIN * k + 1)),
		};
		desc[1] = (struct virtq_desc){
			.addr = R3_LE64(floor->data_iova.v + k * BENCH_LEN),
			.len = R3_LE32(BENCH_LEN),
			.flags = R3_LE16(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE),
			.next = R3_LE16((uint16_t)(CHAIN * k + 2)),
		};
		desc[2] = (struct virtq_desc){
			.addr = R3_LE64(slot + offsetof(struct slot, status)),
			.len = R3_LE32(1),
			.flags = R3_LE16(VIRTQ_DESC_F_WRITE),
		};
		floor->slots[k].req.type = R3_LE32(VIRTIO_BLK_T_IN);
	}
}

static void floor_close(void *self)
{
	struct floor *floor = self;

	if (floor->common.region)
		(void)reset(floor);
	if (floor->tag) {
		r3_dma_free(floor->tag, floor->data);
		r3_dma_free(floor->tag, floor->slots);
		r3_dma_free(floor->tag, floor->rings);
		r3_dma_tag_unref(floor->tag);
	}
	r3_device_close(floor->dev);
	free(floor);
}

static int floor_open(const char *address, void **out)
{
	const struct r3_dma_constraints pages = {.size = sizeof(pages), .alignment = 4096};
	struct floor *floor = calloc(1, sizeof(*floor));
	void *slots;
	int rc;

	if (!floor)
		return r3_error_set(ENOMEM, "floor: no memory");
	rc = r3_device_open(address, NULL, &floor->dev);
	if (rc == 0)
		rc = r3_pci_enable(floor->dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0);
	if (rc == 0)
		rc = find_areas(floor);
	if (rc == 0)
		rc = r3_dma_tag_create(floor->dev, NULL, &pages, &floor->tag);
	if (rc == 0)
		rc = r3_dma_alloc(floor->tag, USED_AT + 4096, &floor->rings, &floor->rings_iova);
	if (rc == 0)
		rc = r3_dma_alloc(floor->tag, BENCH_DEPTH_MAX * sizeof(struct slot), &slots,
				  &floor->slots_iova);
	if (rc < 0)
		goto fail;
	floor->slots = slots;
	floor->desc = floor->rings;
	floor->avail = (void *)((char *)floor->rings + VIRTQ_DESC_BYTES(ENTRIES));
	floor->used = (void *)((char *)floor->rings + USED_AT);
	rc = r3_dma_alloc(floor->tag, BENCH_DEPTH_MAX * BENCH_LEN, &floor->data, &floor->data_iova);
	if (rc < 0)
		goto fail;
	write_chains(floor);
	rc = start(floor);
	if (rc < 0)
		goto fail;
	*out = floor;
	return 0;
fail:
	floor_close(floor);
	return rc;
}

static inline void read_block(struct floor *floor, unsigned k, uint64_t block)
{
	floor->slots[k].req.sector = R3_LE64(block * (BENCH_LEN / VIRTIO_BLK_SECTOR_SIZE));
	floor->avail->ring[floor->next++ % ENTRIES] = R3_LE16((uint16_t)(CHAIN * k));
}

static inline void notify(struct floor *floor)
{
	const uint16_t *event = (const uint16_t *)&floor->used->ring[ENTRIES];
	uint16_t old = R3_LE16(floor->avail->idx);

	/* the entries before the index, and the index before the look at the event (2.7.13) */
	__atomic_store_n(&floor->avail->idx, R3_LE16(floor->next), __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vring_need_event(R3_LE16(__atomic_load_n(event, __ATOMIC_RELAXED)), floor->next, old))
		r3_write16(floor->notify.region, floor->doorbell, 0);
}

/* Which read is complete, and whether it failed; false: none is. */
static inline bool pop(struct floor *floor, unsigned *k, bool *failed)
{
	uint16_t idx = R3_LE16(__atomic_load_n(&floor->used->idx, __ATOMIC_ACQUIRE));

	if (idx == floor->seen)
		return false;
	*k = R3_LE32(floor->used->ring[floor->seen++ % ENTRIES].id) / CHAIN;
	*failed = *k >= BENCH_DEPTH_MAX || floor->slots[*k].status != VIRTIO_BLK_S_OK;
	return true;
}

static int floor_run(void *self, unsigned depth, uint64_t ns, uint64_t *ios, uint64_t *took)
{
	struct floor *floor = self;
	struct r3_clock *clock = r3_clock_system();
	uint64_t begin = r3_clock_now(clock), last = begin, done = 0, state = 1;
	unsigned inflight = depth;

	for (unsigned k = 0; k < depth; k++)
		read_block(floor, k, bench_next(&state, floor->blocks));
	notify(floor);
	while (inflight) {
		unsigned k, taken = 0;
		bool more = last - begin < ns, failed;

		while (taken < depth && pop(floor, &k, &failed)) {
			if (failed)
				return r3_error_set(EIO, "floor: a read failed");
			taken++;
			if (more)
				read_block(floor, k, bench_next(&state, floor->blocks));
		}
		if (taken) {
			if (more)
				notify(floor);
			else
				inflight -= taken;
			done += taken;
			last = r3_clock_now(clock);
		} else if (r3_clock_now(clock) - last > WAIT) {
			return r3_error_set(ETIMEDOUT, "floor: read: no answer");
		}
	}
	*ios = done;
	*took = last - begin;
	return 0;
}

const struct subject bench_floor_virtio = {
	.name = "floor",
	.open = floor_open,
	.run = floor_run,
	.close = floor_close,
};
