/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both sides of one virtqueue on memory of the test, for tests of the ring: an address of
 * the device's is an offset in the rig's pool, shifted so that none is 0 or a pointer.
 */
#ifndef RING3_RING_TEST_RIG_H
#define RING3_RING_TEST_RIG_H

#include "ring/device.h"
#include "ring/virtq.h"

#include "unit.h"
#include <errno.h>
#include <ring3/error.h>
#include <string.h>

#define RIG_BASE UINT64_C(0x700000000) /* address of the pool's first byte */

enum { RIG_PIECE = 64, RIG_PIECES = 8, RIG_ID = RIG_PIECE * RIG_PIECES + 256 };

struct rig {
	struct r3_virtq q;
	struct r3_virtqd d;
	struct r3_virtq_layout layout;
	struct r3_virtq_config config;
	void *mem;
	unsigned char *pool; /* RIG_ID bytes for each id: RIG_PIECES pieces, then a table */
	size_t pool_len;
	uint64_t border; /* a stretch of memory ends at each multiple of it; 0: it is one */
};

static inline uint64_t rig_addr(const struct rig *rig, const void *ptr)
{
	return RIG_BASE + (uint64_t)((const unsigned char *)ptr - rig->pool);
}

static inline void *rig_translate(void *opaque, uint64_t addr, uint64_t *len, bool write)
{
	const struct rig *rig = opaque;
	uint64_t off = addr - RIG_BASE, left;

	if (off >= rig->pool_len)
		return NULL;
	left = rig->pool_len - off;
	if (rig->border && rig->border - off % rig->border < left)
		left = rig->border - off % rig->border;
	if (*len > left)
		*len = left;
	return rig->pool + off;
}

/** What the device is told of the ring that the driver has set up. */
static inline struct r3_virtqd_config rig_device_config(struct rig *rig)
{
	return (struct r3_virtqd_config){
		.name = "rig",
		.index = 3,
		.size = rig->config.size,
		.features = rig->config.features,
		.desc = rig->mem,
		.driver = (unsigned char *)rig->mem + rig->layout.driver,
		.device = (unsigned char *)rig->mem + rig->layout.device,
		.translate = rig_translate,
		.opaque = rig,
	};
}

/** The device starts anew on it. */
static inline void rig_start_device(struct rig *rig)
{
	const struct r3_virtqd_config config = rig_device_config(rig);

	assert_int_equal(r3_virtqd_init(&rig->d, &config), 0);
}

static inline void rig_open(struct rig *rig, uint32_t size, uint64_t features)
{
	*rig = (struct rig){
		.config = {.name = "rig", .index = 3, .size = size, .features = features}};
	assert_int_equal(r3_virtq_layout(size, features, &rig->layout), 0);
	/* Exactly as long as it says, so that a sanitizer sees one byte too many. */
	assert_int_equal(posix_memalign(&rig->mem, rig->layout.align, rig->layout.len), 0);
	memset(rig->mem, 0xa5, rig->layout.len);
	rig->pool_len = (size_t)size * RIG_ID;
	rig->pool = calloc(1, rig->pool_len);
	rig->config.mem = rig->mem;
	rig->config.slots = malloc(rig->layout.slots);
	assert_non_null(rig->pool);
	assert_non_null(rig->config.slots);
	assert_int_equal(r3_virtq_init(&rig->q, &rig->config), 0);
	rig_start_device(rig);
}

static inline void rig_close(struct rig *rig)
{
	free(rig->mem);
	free(rig->pool);
	free(rig->config.slots);
}

static inline unsigned char *rig_piece(const struct rig *rig, uint16_t id, unsigned i)
{
	return rig->pool + (size_t)id * RIG_ID + i * (size_t)RIG_PIECE;
}

/** Push a chain of pieces of the id's own memory, each of @len bytes, as a table or in
 *  descriptors of the ring. */
static inline int rig_push(struct rig *rig, uint16_t id, unsigned nout, unsigned nin, uint32_t len,
			   bool table)
{
	struct virtq_desc *entry = (void *)rig_piece(rig, id, RIG_PIECES);
	struct r3_dma_seg seg[RIG_PIECES];

	assert_in_range(nout + nin, 1, RIG_PIECES);
	for (unsigned i = 0; i < nout + nin; i++) {
		uint64_t addr = rig_addr(rig, rig_piece(rig, id, i));

		seg[i] = (struct r3_dma_seg){.addr = {addr}, .len = len};
		if (table)
			r3_virtq_table_set(&rig->q, &entry[i], i, nout + nin, addr, len, i >= nout);
	}
	if (table)
		return r3_virtq_push_indirect(&rig->q, id, rig_addr(rig, entry), nout + nin,
					      nin * len);
	return r3_virtq_push(&rig->q, id, seg, nout, nin);
}

#define RIG_PACKED   VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)
#define RIG_EVENT    VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX)
#define RIG_INDIRECT VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC)
#define RIG_ORDER    VIRTIO_FEATURE(VIRTIO_F_IN_ORDER)

/** The features of combination @i of 16. */
static inline uint64_t rig_features(unsigned i)
{
	return (i & 1 ? RIG_PACKED : 0) | (i & 2 ? RIG_EVENT : 0) | (i & 4 ? RIG_INDIRECT : 0) |
	       (i & 8 ? RIG_ORDER : 0);
}

#endif
