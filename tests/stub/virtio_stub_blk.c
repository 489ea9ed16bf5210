/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub as a block device (virtio 1.2, 5.2): its configuration, and requests checked
 * strictly, on blocks in memory. */
#include "stub/virtio_stub_parts.h"

#include <string.h>

#define SECTOR VIRTIO_BLK_SECTOR_SIZE

/* 5.2.2 names queues and header; these are the limits that the stub has chosen. */
#define MAX_DISCARD_SECTORS 2048u
#define MAX_ZEROES_SECTORS  1024u
#define MAX_RANGES          8u

/* ---- configuration ---- */

static bool offers(const struct virtio_stub *stub, unsigned bit)
{
	return stub->offered & VIRTIO_FEATURE(bit);
}

static struct virtio_blk_config make_config(const struct virtio_stub *stub)
{
	struct virtio_blk_config config;

	/* what no feature speaks of is garbage: nobody may look at it */
	memset(&config, 0xa5, sizeof(config));
	config.capacity = R3_LE64(stub->capacity);
	if (offers(stub, VIRTIO_BLK_F_SIZE_MAX))
		config.size_max = R3_LE32(stub->opts.size_max);
	if (offers(stub, VIRTIO_BLK_F_SEG_MAX))
		config.seg_max = R3_LE32(stub->opts.seg_max);
	if (offers(stub, VIRTIO_BLK_F_BLK_SIZE))
		config.blk_size = R3_LE32(stub->opts.blk_size);
	if (offers(stub, VIRTIO_BLK_F_TOPOLOGY))
		config.topology = (struct virtio_blk_topology){
			.physical_block_exp = (uint8_t)(stub->opts.blk_size < 4096 ? 3 : 0),
			.min_io_size = R3_LE16(1),
			.opt_io_size = R3_LE32(8),
		};
	if (offers(stub, VIRTIO_BLK_F_CONFIG_WCE))
		config.writeback = stub->writeback;
	if (offers(stub, VIRTIO_BLK_F_MQ))
		config.num_queues = R3_LE16(stub->opts.queues);
	if (offers(stub, VIRTIO_BLK_F_DISCARD)) {
		config.max_discard_sectors = R3_LE32(MAX_DISCARD_SECTORS);
		config.max_discard_seg = R3_LE32(MAX_RANGES);
		config.discard_sector_alignment = R3_LE32(stub->opts.blk_size / SECTOR);
	}
	if (offers(stub, VIRTIO_BLK_F_WRITE_ZEROES)) {
		config.max_write_zeroes_sectors = R3_LE32(MAX_ZEROES_SECTORS);
		config.max_write_zeroes_seg = R3_LE32(MAX_RANGES);
		config.write_zeroes_may_unmap = 1;
	}
	return config;
}

/* 4.1.3.1: no access is wider than 32 bits, and none straddles its field. */
static bool right_width(uint64_t off, unsigned width)
{
	static const struct {
		uint8_t off, width;
	} narrow[] = {
		{VIRTIO_BLK_CONFIG(geometry.cylinders), 2},
		{VIRTIO_BLK_CONFIG(geometry.heads), 1},
		{VIRTIO_BLK_CONFIG(geometry.sectors), 1},
		{VIRTIO_BLK_CONFIG(topology.physical_block_exp), 1},
		{VIRTIO_BLK_CONFIG(topology.alignment_offset), 1},
		{VIRTIO_BLK_CONFIG(topology.min_io_size), 2},
		{VIRTIO_BLK_CONFIG(writeback), 1},
		{VIRTIO_BLK_CONFIG(unused0), 1},
		{VIRTIO_BLK_CONFIG(num_queues), 2},
		{VIRTIO_BLK_CONFIG(write_zeroes_may_unmap), 1},
	};

	for (unsigned i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++)
		if (narrow[i].off == off)
			return narrow[i].width == width;
	return off % 4 == 0 && width == 4;
}

uint64_t virtio_stub_config_read(struct virtio_stub *stub, uint64_t off, unsigned width)
{
	struct virtio_blk_config config = make_config(stub);
	uint64_t value = 0;

	if (!right_width(off, width))
		virtio_stub_mistake(stub, "the configuration was read in the wrong width");
	if (off < sizeof(config) && width <= sizeof(config) - off)
		memcpy(&value, (uint8_t *)&config + off, width);
	return R3_LE64(value);
}

void virtio_stub_config_write(struct virtio_stub *stub, uint64_t off, unsigned width,
			      uint64_t value)
{
	if (off == VIRTIO_BLK_CONFIG(writeback) && width == 1 && value <= 1 &&
	    virtio_stub_has(stub, VIRTIO_BLK_F_CONFIG_WCE))
		stub->writeback = (uint8_t)value;
	else
		virtio_stub_mistake(stub, "the configuration was written where it is read-only");
}

/* ---- the bytes of a buffer ---- */

static uint64_t length(const struct virtio_stub_buf *buf, unsigned first, unsigned end)
{
	uint64_t len = 0;

	for (unsigned i = first; i < end; i++)
		len += buf->seg[i].len;
	return len;
}

/* Move @len bytes, beginning at byte @off of what is to be read (written) in @buf. @data
 * NULL: only reach them. */
static bool move(struct virtio_stub *stub, const struct virtio_stub_buf *buf, bool to_driver,
		 uint64_t off, uint8_t *data, uint64_t len)
{
	unsigned i = to_driver ? buf->nout : 0, end = to_driver ? buf->nseg : buf->nout;

	for (; i < end && len; i++) {
		uint64_t n = buf->seg[i].len;
		void *at;

		if (off >= n) {
			off -= n;
			continue;
		}
		n = n - off < len ? n - off : len;
		at = virtio_stub_reach(stub, buf->seg[i].addr + off, n,
				       to_driver ? R3_DMA_DEVICE_WRITE : R3_DMA_DEVICE_READ);
		if (!at)
			return false;
		if (data) {
			memcpy(to_driver ? at : data, to_driver ? data : at, n);
			data += n;
		}
		len -= n;
		off = 0;
	}
	return !len;
}

/* ---- requests ---- */

static bool in_range(const struct virtio_stub *stub, uint64_t sector, uint64_t n)
{
	return sector <= stub->capacity && n <= stub->capacity - sector;
}

static void check_pieces(struct virtio_stub *stub, const struct virtio_stub_buf *buf)
{
	/* one for the header and one for the status, if the driver gave them their own */
	if (virtio_stub_has(stub, VIRTIO_BLK_F_SEG_MAX) && buf->nseg > stub->opts.seg_max + 2)
		virtio_stub_mistake(stub, "a request has more than seg_max segments");
	for (unsigned i = 0; i < buf->nseg; i++)
		if (virtio_stub_has(stub, VIRTIO_BLK_F_SIZE_MAX) &&
		    buf->seg[i].len > stub->opts.size_max)
			virtio_stub_mistake(stub, "a segment is longer than size_max");
}

static uint8_t read_or_write(struct virtio_stub *stub, const struct virtio_stub_buf *buf, bool read,
			     uint64_t sector, uint64_t len)
{
	uint8_t *at = stub->data ? stub->data + sector * SECTOR : NULL;

	if (!len || len % SECTOR) {
		virtio_stub_mistake(stub, "a transfer is not of whole sectors");
		return VIRTIO_BLK_S_IOERR;
	}
	if (!in_range(stub, sector, len / SECTOR) || (!read && offers(stub, VIRTIO_BLK_F_RO)))
		return VIRTIO_BLK_S_IOERR;
	stub->writes += !read;
	return move(stub, buf, read, read ? 0 : sizeof(struct virtio_blk_req), at, len)
		       ? VIRTIO_BLK_S_OK
		       : VIRTIO_BLK_S_IOERR;
}

static uint8_t ranges(struct virtio_stub *stub, const struct virtio_stub_buf *buf, bool zero,
		      uint64_t len)
{
	struct virtio_blk_discard_write_zeroes range[MAX_RANGES];
	uint32_t most = zero ? MAX_ZEROES_SECTORS : MAX_DISCARD_SECTORS;

	if (!virtio_stub_has(stub, zero ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD)) {
		virtio_stub_mistake(stub, "a discard or write-zeroes that was not negotiated");
		return VIRTIO_BLK_S_UNSUPP;
	}
	if (!len || len % sizeof(range[0]) || len > sizeof(range)) {
		virtio_stub_mistake(stub, "a list of ranges has a wrong length");
		return VIRTIO_BLK_S_IOERR;
	}
	if (!move(stub, buf, false, sizeof(struct virtio_blk_req), (uint8_t *)range, len))
		return VIRTIO_BLK_S_IOERR;
	for (unsigned i = 0; i < len / sizeof(range[0]); i++) {
		uint64_t sector = R3_LE64(range[i].sector);
		uint32_t n = R3_LE32(range[i].num_sectors), flags = R3_LE32(range[i].flags);

		if (flags & ~(zero ? VIRTIO_BLK_WRITE_ZEROES_UNMAP : 0u)) {
			virtio_stub_mistake(stub, "a range has reserved flags");
			return VIRTIO_BLK_S_UNSUPP;
		}
		if (n > most) {
			virtio_stub_mistake(stub, "a range is longer than the limit");
			return VIRTIO_BLK_S_IOERR;
		}
		if (!in_range(stub, sector, n) || offers(stub, VIRTIO_BLK_F_RO))
			return VIRTIO_BLK_S_IOERR;
		*(zero ? &stub->zeroed : &stub->discarded) += n;
		stub->unmapped += flags & VIRTIO_BLK_WRITE_ZEROES_UNMAP ? n : 0;
		if (stub->data)
			memset(stub->data + sector * SECTOR, zero ? 0 : 0xd5, n * (size_t)SECTOR);
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t flush(struct virtio_stub *stub, const struct virtio_blk_req *req, uint64_t len)
{
	if (len || req->sector)
		virtio_stub_mistake(stub, "a flush has data, or a sector");
	if (!virtio_stub_has(stub, VIRTIO_BLK_F_FLUSH)) {
		virtio_stub_mistake(stub, "a flush that was not negotiated");
		return VIRTIO_BLK_S_UNSUPP;
	}
	stub->flushes++;
	return VIRTIO_BLK_S_OK;
}

static uint8_t get_id(struct virtio_stub *stub, const struct virtio_stub_buf *buf, uint64_t len)
{
	char id[VIRTIO_BLK_ID_BYTES] = "ring3 stub";

	if (len != sizeof(id)) {
		virtio_stub_mistake(stub, "a serial number is not of its length");
		return VIRTIO_BLK_S_IOERR;
	}
	return move(stub, buf, true, 0, (uint8_t *)id, sizeof(id)) ? VIRTIO_BLK_S_OK
								   : VIRTIO_BLK_S_IOERR;
}

void virtio_stub_blk(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
		     struct virtio_stub_used *used)
{
	uint64_t out = length(buf, 0, buf->nout), in = length(buf, buf->nout, buf->nseg);
	struct virtio_blk_req req;
	uint64_t sector;

	used->status = VIRTIO_BLK_S_IOERR;
	if (out < sizeof(req) || !in) {
		virtio_stub_mistake(stub, "a request has no header, or no status");
		return;
	}
	if (!move(stub, buf, false, 0, (uint8_t *)&req, sizeof(req)))
		return;
	check_pieces(stub, buf);
	used->len = (uint32_t)in;
	out -= sizeof(req);
	in -= 1;
	sector = R3_LE64(req.sector);
	if (req.reserved)
		virtio_stub_mistake(stub, "a request has something in its reserved bytes");
	switch (R3_LE32(req.type)) {
	case VIRTIO_BLK_T_IN:
		if (out)
			virtio_stub_mistake(stub, "a read has something to write");
		used->status = read_or_write(stub, buf, true, sector, in);
		break;
	case VIRTIO_BLK_T_OUT:
		if (in)
			virtio_stub_mistake(stub, "a write has something to read");
		used->status = read_or_write(stub, buf, false, sector, out);
		break;
	case VIRTIO_BLK_T_FLUSH:
		used->status = flush(stub, &req, in + out);
		break;
	case VIRTIO_BLK_T_GET_ID:
		used->status = get_id(stub, buf, in);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		if (sector)
			virtio_stub_mistake(stub, "a discard or write-zeroes has a sector");
		used->status =
			ranges(stub, buf, R3_LE32(req.type) == VIRTIO_BLK_T_WRITE_ZEROES, out);
		break;
	default:
		virtio_stub_mistake(stub, "a request of a type that was not negotiated");
		used->status = VIRTIO_BLK_S_UNSUPP;
	}
}
