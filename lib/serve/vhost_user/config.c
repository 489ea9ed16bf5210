/* SPDX-License-Identifier: BSD-2-Clause */
/* What we say of the block device: features (5.2.3) and configuration (5.2.4), both made of
 * its limits. */
#include "serve/vhost_user/vhost_user.h"

#define AT_MOST(a, b) ((a) < (b) ? (a) : (b))

const uint64_t vub_protocol_features = VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_MQ) |
				       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
				       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
				       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG) |
				       VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);

uint64_t vub_features(const struct vub_device *device)
{
	uint32_t has = r3_block_get_limits(device->block)->features;
	uint64_t features =
		VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) |
		VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) |
		VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);

	if (has & R3_BLOCK_READ_ONLY)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	if (has & R3_BLOCK_VOLATILE_CACHE)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH);
	if (has & R3_BLOCK_DISCARD)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD);
	if (has & R3_BLOCK_WRITE_ZEROES)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	return features & ~device->hide;
}

static uint32_t sectors(uint64_t len)
{
	return (uint32_t)AT_MOST(len >> VIRTIO_BLK_SECTOR_SHIFT, UINT32_MAX & ~UINT64_C(127));
}

static uint8_t exponent(uint32_t physical, uint32_t block)
{
	uint8_t exp = 0;

	while (block << exp < physical && exp < 15)
		exp++;
	return exp;
}

struct virtio_blk_config vub_config(const struct vub_device *device)
{
	const struct r3_block_limits *l = r3_block_get_limits(device->block);
	struct virtio_blk_config config = {
		.capacity = R3_LE64(l->size >> VIRTIO_BLK_SECTOR_SHIFT),
		/* more would be no whole block in one request, if they are cut badly */
		.seg_max = R3_LE32(AT_MOST(l->max_sg, VUB_SEG_MAX)),
		.blk_size = R3_LE32(l->block_size),
		.topology =
			{
				.physical_block_exp =
					exponent(l->physical_block_size, l->block_size),
				.min_io_size = R3_LE16(1),
			},
		.writeback = !!(l->features & R3_BLOCK_VOLATILE_CACHE),
		.num_queues = R3_LE16(device->nqueues),
	};

	if (l->features & R3_BLOCK_DISCARD) {
		config.max_discard_sectors = R3_LE32(sectors(l->max_discard_len));
		config.max_discard_seg = R3_LE32(VUB_RANGES_MAX);
		config.discard_sector_alignment = R3_LE32(l->block_size >> VIRTIO_BLK_SECTOR_SHIFT);
	}
	if (l->features & R3_BLOCK_WRITE_ZEROES) {
		config.max_write_zeroes_sectors = R3_LE32(sectors(l->max_zeroes_len));
		config.max_write_zeroes_seg = R3_LE32(VUB_RANGES_MAX);
		config.write_zeroes_may_unmap = 1;
	}
	return config;
}
