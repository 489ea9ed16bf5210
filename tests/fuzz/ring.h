/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets of the ring share: a small virtqueue with both of its sides, in
 * memory exactly as long as it has to be so that a sanitizer sees every byte too many.
 */
#ifndef RING3_TESTS_FUZZ_RING_H
#define RING3_TESTS_FUZZ_RING_H

#include "input.h"
#include "ring/device.h"
#include "ring/virtq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POOL_BASE UINT64_C(0x10000)

enum { POOL = 1024, MOST_SIZE = 32, MOST_PIECES = 24 };

struct ring {
	struct r3_virtq_layout layout;
	struct r3_virtq_config config;
	struct r3_virtq q;
	struct r3_virtqd d;
	unsigned char *mem;
	unsigned char *pool; /* what chains and tables are made of */
};

static inline void *pool_translate(void *opaque, uint64_t addr, uint64_t *len, bool write)
{
	struct ring *ring = opaque;
	uint64_t off = addr - POOL_BASE, left = POOL - off;

	if (off >= POOL)
		return NULL;
	/* A border in the middle. */
	if (off < POOL / 2)
		left = POOL / 2 - off;
	if (*len > left)
		*len = left;
	return ring->pool + off;
}

static inline void start_device(struct ring *ring)
{
	int rc = r3_virtqd_init(&ring->d, &(struct r3_virtqd_config){
						  .name = "fuzz",
						  .size = ring->config.size,
						  .features = ring->config.features,
						  .desc = ring->mem,
						  .driver = ring->mem + ring->layout.driver,
						  .device = ring->mem + ring->layout.device,
						  .translate = pool_translate,
						  .opaque = ring,
					  });

	MUST(rc == 0);
}

/** The first two bytes say which ring it is. */
static inline void open_ring(struct ring *ring, struct input *in)
{
	uint8_t features = take8(in), size = take8(in);
	void *mem = NULL;

	*ring = (struct ring){.config = {.name = "fuzz"}};
	ring->config.features = (features & 1 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0) |
				(features & 2 ? VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) : 0) |
				(features & 4 ? 0 : VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC)) |
				(features & 8 ? VIRTIO_FEATURE(VIRTIO_F_IN_ORDER) : 0);
	ring->config.size = features & 1 ? 1u + size % MOST_SIZE : 1u << size % 6;
	MUST(r3_virtq_layout(ring->config.size, ring->config.features, &ring->layout) == 0);
	MUST(posix_memalign(&mem, ring->layout.align, ring->layout.len) == 0);
	ring->mem = mem;
	ring->pool = calloc(1, POOL);
	ring->config.mem = mem;
	ring->config.slots = malloc(ring->layout.slots);
	MUST(ring->pool && ring->config.slots);
	MUST(r3_virtq_init(&ring->q, &ring->config) == 0);
	start_device(ring);
}

static inline void close_ring(struct ring *ring)
{
	free(ring->mem);
	free(ring->pool);
	free(ring->config.slots);
}

/** The driver pushes an honest chain under @id, as the next byte says. Returns the bytes
 *  that the device may write of it, or a negative errno. */
static inline int push_some(struct ring *ring, struct input *in, uint16_t id)
{
	uint8_t what = take8(in);
	unsigned nout = what & 3, nin = 1 + (what >> 2 & 3);
	uint32_t at = what * 3u, len = 1 + (what >> 4);
	struct virtq_desc *table = (void *)(ring->pool + (id % (POOL / 128)) * 128u);
	struct r3_dma_seg seg[7];
	int rc;

	for (unsigned i = 0; i < nout + nin; i++)
		seg[i] = (struct r3_dma_seg){.addr = {POOL_BASE + at}, .len = len};
	if (ring->q.indirect && what & 0x80) {
		for (unsigned i = 0; i < nout + nin; i++)
			r3_virtq_table_set(&ring->q, &table[i], i, nout + nin, seg[i].addr.v, len,
					   i >= nout);
		rc = r3_virtq_push_indirect(
			&ring->q, id, POOL_BASE + (uint64_t)((unsigned char *)table - ring->pool),
			nout + nin, nin * len);
	} else {
		rc = r3_virtq_push(&ring->q, id, seg, nout, nin);
	}
	return rc < 0 ? rc : (int)(nin * len);
}

/** Write what the input says anywhere into what both sides share. */
static inline void scribble(struct ring *ring, struct input *in)
{
	size_t off = take16(in) % (ring->layout.len - 1);
	uint16_t value = take16(in);

	memcpy(ring->mem + off, &value, sizeof(value));
}

#endif
