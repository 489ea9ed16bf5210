/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block device of virtio 1.2 (5.2): its feature bits, its configuration and its
 * requests. Names are the specification's; every integer is little-endian. A request is a
 * buffer of struct virtio_blk_req, the data, and one byte of status, split into
 * descriptors as the driver likes (2.7.4).
 */
#ifndef RING3_SPEC_VIRTIO_BLK_H
#define RING3_SPEC_VIRTIO_BLK_H

#include <ring3/spec/virtio.h>
#include <stddef.h>

#ifdef __cplusplus
#define VIRTIO_BLK_ASSERT(what) static_assert(what, #what)
#else
#define VIRTIO_BLK_ASSERT(what) _Static_assert(what, #what)
#endif

/* ---- feature bits (5.2.3), as numbers ---- */

#define VIRTIO_BLK_F_SIZE_MAX     1  /* size_max */
#define VIRTIO_BLK_F_SEG_MAX      2  /* seg_max */
#define VIRTIO_BLK_F_GEOMETRY     4  /* geometry */
#define VIRTIO_BLK_F_RO           5  /* nothing may be written */
#define VIRTIO_BLK_F_BLK_SIZE     6  /* blk_size */
#define VIRTIO_BLK_F_FLUSH        9  /* VIRTIO_BLK_T_FLUSH, so there is a cache */
#define VIRTIO_BLK_F_TOPOLOGY     10 /* topology */
#define VIRTIO_BLK_F_CONFIG_WCE   11 /* writeback can be read and written */
#define VIRTIO_BLK_F_MQ           12 /* num_queues */
#define VIRTIO_BLK_F_DISCARD      13 /* VIRTIO_BLK_T_DISCARD and its limits */
#define VIRTIO_BLK_F_WRITE_ZEROES 14 /* VIRTIO_BLK_T_WRITE_ZEROES and its limits */
#define VIRTIO_BLK_F_LIFETIME     15 /* VIRTIO_BLK_T_GET_LIFETIME */
#define VIRTIO_BLK_F_SECURE_ERASE 16 /* VIRTIO_BLK_T_SECURE_ERASE and its limits */

/* The unit of capacity, sector numbers and lengths, whatever blk_size says. */
#define VIRTIO_BLK_SECTOR_SHIFT 9
#define VIRTIO_BLK_SECTOR_SIZE  512u

/* ---- configuration (5.2.4) ---- */

/* A field is there when its feature was negotiated; capacity always. */
struct virtio_blk_config {
	uint64_t capacity; /* in sectors */
	uint32_t size_max; /* bytes of one segment, */
	uint32_t seg_max;  /* and segments of one request: header and status not counted */
	struct virtio_blk_geometry {
		uint16_t cylinders;
		uint8_t heads;
		uint8_t sectors;
	} geometry;
	uint32_t blk_size; /* the unit that suits it best, in bytes */
	struct virtio_blk_topology {
		uint8_t physical_block_exp; /* a physical block is blk_size << this */
		uint8_t alignment_offset;
		uint16_t min_io_size;
		uint32_t opt_io_size;
	} topology;
	uint8_t writeback; /* 0: writethrough, 1: there is a cache to be flushed */
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors; /* of one segment */
	uint32_t max_discard_seg;     /* segments of one request */
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap; /* VIRTIO_BLK_WRITE_ZEROES_UNMAP does something */
	uint8_t unused1[3];
	uint32_t max_secure_erase_sectors;
	uint32_t max_secure_erase_seg;
	uint32_t secure_erase_sector_alignment;
};

#define VIRTIO_BLK_CONFIG(field) offsetof(struct virtio_blk_config, field)

VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(seg_max) == 12);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(geometry) == 16);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(blk_size) == 20);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(topology) == 24);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(writeback) == 32);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(num_queues) == 34);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(max_discard_sectors) == 36);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(max_write_zeroes_sectors) == 48);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(write_zeroes_may_unmap) == 56);
VIRTIO_BLK_ASSERT(VIRTIO_BLK_CONFIG(max_secure_erase_sectors) == 60);
VIRTIO_BLK_ASSERT(sizeof(struct virtio_blk_config) == 72);

/* ---- requests (5.2.6) ---- */

enum virtio_blk_type {
	VIRTIO_BLK_T_IN = 0,  /* a read */
	VIRTIO_BLK_T_OUT = 1, /* a write */
	VIRTIO_BLK_T_FLUSH = 4,
	VIRTIO_BLK_T_GET_ID = 8, /* 20 bytes of serial number */
	VIRTIO_BLK_T_GET_LIFETIME = 10,
	VIRTIO_BLK_T_DISCARD = 11,
	VIRTIO_BLK_T_WRITE_ZEROES = 13,
	VIRTIO_BLK_T_SECURE_ERASE = 14,
};

/** What the device reads first. The data and the status follow in the buffer. */
struct virtio_blk_req {
	uint32_t type; /* enum virtio_blk_type */
	uint32_t reserved;
	uint64_t sector; /* 0 but for IN and OUT */
};
VIRTIO_BLK_ASSERT(sizeof(struct virtio_blk_req) == 16);

#define VIRTIO_BLK_ID_BYTES 20u

/** The data of DISCARD, WRITE_ZEROES and SECURE_ERASE: one or more of these. */
struct virtio_blk_discard_write_zeroes {
	uint64_t sector;
	uint32_t num_sectors;
	uint32_t flags; /* VIRTIO_BLK_WRITE_ZEROES_UNMAP, else 0 */
};
VIRTIO_BLK_ASSERT(sizeof(struct virtio_blk_discard_write_zeroes) == 16);

#define VIRTIO_BLK_WRITE_ZEROES_UNMAP 1u

/* status, the last byte that the device writes */
#define VIRTIO_BLK_S_OK     0
#define VIRTIO_BLK_S_IOERR  1
#define VIRTIO_BLK_S_UNSUPP 2

#endif
