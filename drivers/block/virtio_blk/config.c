/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration (5.2.4): what the device says about itself, checked here, once, so
 * that everything behind can rely on it. A field counts only when its feature was
 * negotiated (5.2.5).
 */
#include "class/limits.h"
#include "virtio_blk.h"

#include <inttypes.h>

#define BLK_SIZE_MAX 65536u

const uint64_t vblk_features =
	VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) |
	VIRTIO_FEATURE(VIRTIO_BLK_F_RO) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
	VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) | VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) |
	VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | VIRTIO_FEATURE(VIRTIO_BLK_F_MQ) |
	VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) | VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) |
	VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) | VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) |
	VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) | VIRTIO_FEATURE(VIRTIO_F_IN_ORDER) |
	VIRTIO_FEATURE(VIRTIO_F_NOTIFICATION_DATA);

enum {
	CFG_CAPACITY,
	CFG_SIZE_MAX,
	CFG_SEG_MAX,
	CFG_BLK_SIZE,
	CFG_PHYSICAL_BLOCK_EXP,
	CFG_WRITEBACK,
	CFG_MAX_DISCARD_SECTORS,
	CFG_MAX_DISCARD_SEG,
	CFG_MAX_WRITE_ZEROES_SECTORS,
	CFG_MAX_WRITE_ZEROES_SEG,
	CFG_WRITE_ZEROES_MAY_UNMAP,
	NFIELDS
};

#define FIELD(name, feature, otherwise) \
	{ \
		{VIRTIO_BLK_CONFIG(name), sizeof(((struct virtio_blk_config *)0)->name)}, feature, \
			otherwise \
	}
#define ALWAYS VIRTIO_F_VERSION_1

/* What is where, which feature it needs, and what holds without that. */
static const struct {
	struct r3_virtio_field field;
	unsigned feature;
	uint64_t otherwise;
} fields[NFIELDS] = {
	[CFG_CAPACITY] = FIELD(capacity, ALWAYS, 0),
	[CFG_SIZE_MAX] = FIELD(size_max, VIRTIO_BLK_F_SIZE_MAX, UINT32_MAX),
	[CFG_SEG_MAX] = FIELD(seg_max, VIRTIO_BLK_F_SEG_MAX, 1),
	[CFG_BLK_SIZE] = FIELD(blk_size, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_SECTOR_SIZE),
	[CFG_PHYSICAL_BLOCK_EXP] = FIELD(topology.physical_block_exp, VIRTIO_BLK_F_TOPOLOGY, 0),
	[CFG_WRITEBACK] = FIELD(writeback, VIRTIO_BLK_F_CONFIG_WCE, 1),
	[CFG_MAX_DISCARD_SECTORS] = FIELD(max_discard_sectors, VIRTIO_BLK_F_DISCARD, 0),
	[CFG_MAX_DISCARD_SEG] = FIELD(max_discard_seg, VIRTIO_BLK_F_DISCARD, 0),
	[CFG_MAX_WRITE_ZEROES_SECTORS] =
		FIELD(max_write_zeroes_sectors, VIRTIO_BLK_F_WRITE_ZEROES, 0),
	[CFG_MAX_WRITE_ZEROES_SEG] = FIELD(max_write_zeroes_seg, VIRTIO_BLK_F_WRITE_ZEROES, 0),
	[CFG_WRITE_ZEROES_MAY_UNMAP] = FIELD(write_zeroes_may_unmap, VIRTIO_BLK_F_WRITE_ZEROES, 0),
};

static int read_fields(struct r3_vblk *vblk, uint64_t value[NFIELDS])
{
	struct r3_virtio_field there[NFIELDS];
	uint64_t got[NFIELDS];
	unsigned n = 0;
	int rc;

	for (unsigned i = 0; i < NFIELDS; i++)
		if (r3_virtio_has(&vblk->virtio, fields[i].feature))
			there[n++] = fields[i].field;
	rc = r3_virtio_config_read(&vblk->virtio, there, n, got);
	if (rc < 0)
		return rc;
	n = 0;
	for (unsigned i = 0; i < NFIELDS; i++)
		value[i] = r3_virtio_has(&vblk->virtio, fields[i].feature) ? got[n++]
									   : fields[i].otherwise;
	return 0;
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t segs_of(const struct r3_vblk *vblk, const uint64_t value[NFIELDS])
{
	return at_most(value[CFG_SEG_MAX], vblk->max_segs);
}

static int check(const struct r3_vblk *vblk, const uint64_t value[NFIELDS])
{
	const char *name = vblk->ctrl.name;
	uint64_t blk_size = value[CFG_BLK_SIZE];

	if (!value[CFG_CAPACITY] || value[CFG_CAPACITY] > INT64_MAX >> VIRTIO_BLK_SECTOR_SHIFT)
		return r3_error_set(EIO, "%s: a capacity of %" PRIu64 " sectors: absurd", name,
				    value[CFG_CAPACITY]);
	if (blk_size < VIRTIO_BLK_SECTOR_SIZE || blk_size > BLK_SIZE_MAX ||
	    blk_size & (blk_size - 1))
		return r3_error_set(EIO,
				    "%s: blocks of %" PRIu64 " bytes (blk_size); powers of two "
				    "from %u to %u are supported",
				    name, blk_size, VIRTIO_BLK_SECTOR_SIZE, BLK_SIZE_MAX);
	if (value[CFG_CAPACITY] << VIRTIO_BLK_SECTOR_SHIFT < blk_size)
		return r3_error_set(EIO,
				    "%s: a capacity of %" PRIu64 " sectors is no block of %" PRIu64,
				    name, value[CFG_CAPACITY], blk_size);
	if (!value[CFG_SEG_MAX])
		return r3_error_set(EIO, "%s: requests without data only (seg_max is 0)", name);
	if (value[CFG_SIZE_MAX] * segs_of(vblk, value) < blk_size)
		return r3_error_set(EIO,
				    "%s: %" PRIu64 " segments of %" PRIu64
				    " bytes hold no block of %" PRIu64,
				    name, segs_of(vblk, value), value[CFG_SIZE_MAX], blk_size);
	if (value[CFG_PHYSICAL_BLOCK_EXP] > 31)
		return r3_error_set(EIO, "%s: a physical block of 2^%" PRIu64 " blocks: absurd",
				    name, value[CFG_PHYSICAL_BLOCK_EXP]);
	if (r3_virtio_has(&vblk->virtio, VIRTIO_BLK_F_CONFIG_WCE) &&
	    !r3_virtio_has(&vblk->virtio, VIRTIO_BLK_F_FLUSH))
		return r3_error_set(
			EIO, "%s: a cache that cannot be flushed (CONFIG_WCE, no FLUSH)", name);
	if (value[CFG_WRITEBACK] > 1)
		return r3_error_set(EIO, "%s: writeback is neither 0 nor 1 but %" PRIu64, name,
				    value[CFG_WRITEBACK]);
	return 0;
}

/* Whole blocks of @len bytes. */
static uint64_t whole(uint64_t len, uint64_t block)
{
	return len & ~(block - 1);
}

/* 5.2.5: without CONFIG_WCE, whoever can be told to flush has something to flush. */
static bool has_cache(const struct r3_vblk *vblk, const uint64_t value[NFIELDS])
{
	return r3_virtio_has(&vblk->virtio, VIRTIO_BLK_F_FLUSH) && value[CFG_WRITEBACK];
}

static struct r3_block_limits limits_of(const struct r3_vblk *vblk, const uint64_t value[NFIELDS])
{
	uint64_t block = value[CFG_BLK_SIZE];
	uint64_t physical = block << value[CFG_PHYSICAL_BLOCK_EXP];
	uint64_t segs = segs_of(vblk, value);
	struct r3_block_limits limits = {
		.size = whole(value[CFG_CAPACITY] << VIRTIO_BLK_SECTOR_SHIFT, block),
		.block_size = (uint32_t)block,
		.physical_block_size = (uint32_t)at_most(physical, VBLK_MAX_LEN),
		.max_len = whole(at_most(segs * value[CFG_SIZE_MAX], VBLK_MAX_LEN), block),
		.max_sg = (uint32_t)segs,
		.max_discard_len =
			whole(value[CFG_MAX_DISCARD_SECTORS] << VIRTIO_BLK_SECTOR_SHIFT, block),
		.max_zeroes_len = whole(
			value[CFG_MAX_WRITE_ZEROES_SECTORS] << VIRTIO_BLK_SECTOR_SHIFT, block),
		.max_queues = vblk->ctrl.nqueues,
		.max_depth = vblk->max_depth,
	};

	if (r3_virtio_has(&vblk->virtio, VIRTIO_BLK_F_RO) || vblk->ctrl.read_only)
		limits.features |= R3_BLOCK_READ_ONLY;
	/* A device without a cache has written what it has completed: FUA is its own. */
	limits.features |= has_cache(vblk, value) ? R3_BLOCK_VOLATILE_CACHE : R3_BLOCK_FUA;
	if (!value[CFG_MAX_DISCARD_SEG])
		limits.max_discard_len = 0;
	if (limits.max_discard_len)
		limits.features |= R3_BLOCK_DISCARD;
	if (!value[CFG_MAX_WRITE_ZEROES_SEG])
		limits.max_zeroes_len = 0;
	if (limits.max_zeroes_len)
		limits.features |= R3_BLOCK_WRITE_ZEROES;
	return limits;
}

int vblk_config_read(struct r3_vblk *vblk, struct r3_block_limits *limits)
{
	uint64_t value[NFIELDS];
	int rc = read_fields(vblk, value);

	vblk->config_stale = rc < 0;
	if (rc == 0)
		rc = check(vblk, value);
	if (rc < 0)
		return rc;
	*limits = limits_of(vblk, value);
	vblk->max_segment = (uint32_t)value[CFG_SIZE_MAX];
	__atomic_store_n(&vblk->may_unmap, value[CFG_WRITE_ZEROES_MAY_UNMAP] != 0,
			 __ATOMIC_RELAXED);
	return 0;
}

int vblk_config_queues(struct r3_vblk *vblk, unsigned *n)
{
	const struct r3_virtio_field field = {VIRTIO_BLK_CONFIG(num_queues), 2};
	uint64_t count = 1;
	int rc = 0;

	if (r3_virtio_has(&vblk->virtio, VIRTIO_BLK_F_MQ))
		rc = r3_virtio_config_read(&vblk->virtio, &field, 1, &count);
	if (rc < 0)
		return rc;
	if (!count || count > vblk->virtio.nqueues)
		return r3_error_set(EIO, "%s: %" PRIu64 " request queues (num_queues) among %u",
				    vblk->ctrl.name, count, vblk->virtio.nqueues);
	*n = (unsigned)at_most(count, VBLK_QUEUES_MAX);
	return 0;
}

/* What requests in flight and tables were made for has to stay. */
static bool stays(const struct r3_block_limits *now, const struct r3_block_limits *limits)
{
	return now->block_size == limits->block_size && now->max_sg == limits->max_sg &&
	       now->max_len == limits->max_len;
}

void vblk_config_refresh(struct r3_vblk *vblk)
{
	const struct r3_block_limits *now = &vblk->block.limits;
	struct r3_block_limits limits;

	if (vblk_config_read(vblk, &limits) < 0) {
		r3_ctrl_lie(&vblk->ctrl, "a change of the configuration: %s", r3_error_text());
		return;
	}
	if (!stays(now, &limits)) {
		r3_ctrl_lie(&vblk->ctrl,
			    "blocks of %u bytes, requests of %u pieces and %" PRIu64
			    " bytes; that was %u, %u and %" PRIu64 ", and cannot change",
			    limits.block_size, limits.max_sg, limits.max_len, now->block_size,
			    now->max_sg, now->max_len);
		return;
	}
	if (r3_block_change_limits(&vblk->block, &limits))
		r3_pending_put(&vblk->pending, R3_BLOCK_EVENT_GEOMETRY, 0);
}
