/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a chain to requests of the block device (5.2.6). A header, data and a status, cut
 * into descriptors as the driver likes (2.7.4); the data in place, in the driver's memory.
 *
 * A driver knows no limit of a request as a whole, the block device does, and a discard is
 * a list of ranges. So a chain may take several requests, which are made one after the
 * other out of the same memory.
 */
#include "serve/vhost_user/vhost_user.h"

#include <errno.h>
#include <string.h>

/* ---- the pieces of a chain ---- */

/** Take the first @len bytes of the pieces from @at to @end, as far as there are so many.
 *  Returns how many were taken. They are copied once, and only the copy counts. */
static size_t take_front(struct vub_request *r, void *to, size_t len)
{
	size_t done = 0;

	while (done < len && r->at < r->end) {
		struct r3_sg *sg = &r->sg[r->at];
		size_t n = sg->len < len - done ? sg->len : len - done;

		memcpy((unsigned char *)to + done, sg->addr, n);
		__asm__ __volatile__("" ::: "memory");
		done += n;
		sg->addr = (unsigned char *)sg->addr + n;
		sg->len -= n;
		if (!sg->len)
			r->at++;
	}
	return done;
}

/* The last byte to be written is the status. */
static bool take_status(struct vub_request *r)
{
	struct r3_sg *last;

	if (!r->nin)
		return false;
	last = &r->sg[r->chain.nout + r->nin - 1];
	r->status = (uint8_t *)last->addr + --last->len;
	if (!last->len)
		r->nin--;
	return true;
}

static void put_front(struct vub_request *r, const void *from, size_t len)
{
	for (; len && r->at < r->end; r->at++) {
		size_t n = r->sg[r->at].len < len ? r->sg[r->at].len : len;

		memcpy(r->sg[r->at].addr, from, n);
		from = (const unsigned char *)from + n;
		len -= n;
	}
}

/* ---- its end ---- */

void vub_request_fail(struct vub_request *r, int err)
{
	if (r->status)
		__atomic_store_n(r->status,
				 err == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR,
				 __ATOMIC_RELAXED);
}

static int fail(struct vub_request *r, int err)
{
	vub_request_fail(r, err);
	return 0;
}

static int succeed(struct vub_request *r)
{
	__atomic_store_n(r->status, VIRTIO_BLK_S_OK, __ATOMIC_RELAXED);
	return 0;
}

/* ---- data ---- */

/** As much of what is left as one request takes: whole blocks, in so many pieces. 0: the
 *  pieces are cut so that no block is in so few of them. */
static uint64_t fit(const struct vub_request *r, const struct r3_block_limits *limits)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < limits->max_sg && r->at + i < r->end && len < limits->max_len; i++)
		len += r->sg[r->at + i].len;
	if (len > limits->max_len)
		len = limits->max_len;
	return len & ~((uint64_t)limits->block_size - 1);
}

static int next_data(struct vub_request *r, const struct vub_terms *terms)
{
	uint64_t len = fit(r, r3_block_get_limits(terms->device->block)), in = 0;
	unsigned n = 0;

	if (!r->left)
		return succeed(r);
	if (!len)
		return fail(r, -EINVAL);
	while (in < len)
		in += r->sg[r->at + n++].len;
	r->cut = in - len;
	r->sg[r->at + n - 1].len -= (size_t)r->cut;
	r->req.sg = &r->sg[r->at];
	r->req.nsg = (uint16_t)n;
	r->req.off = r->off;
	r->req.len = len;
	return 1;
}

/* The part is done: what follows begins where it was cut. */
static void move_on(struct vub_request *r)
{
	r->at += r->req.nsg;
	r->off += r->req.len;
	r->left -= r->req.len;
	if (r->cut) {
		struct r3_sg *last = &r->sg[--r->at];

		last->addr = (unsigned char *)last->addr + last->len;
		last->len = (size_t)r->cut;
	}
}

/* A driver that was not promised a cache to flush expects none (5.2.6.2). */
static bool writes_through(const struct vub_terms *terms)
{
	return !(terms->features & VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH)) &&
	       (r3_block_get_limits(terms->device->block)->features & R3_BLOCK_VOLATILE_CACHE);
}

static int begin_data(struct vub_request *r, const struct vub_terms *terms, uint64_t sector,
		      uint64_t len)
{
	uint64_t size = r3_block_get_limits(terms->device->block)->size;

	if (sector > size >> VIRTIO_BLK_SECTOR_SHIFT || !len || len % VIRTIO_BLK_SECTOR_SIZE ||
	    len > size - (sector << VIRTIO_BLK_SECTOR_SHIFT))
		return fail(r, -EINVAL);
	r->off = sector << VIRTIO_BLK_SECTOR_SHIFT;
	r->left = len;
	return next_data(r, terms);
}

/* ---- ranges ---- */

static int next_range(struct vub_request *r, const struct vub_terms *terms)
{
	struct virtio_blk_discard_write_zeroes range;
	bool zeroes = r->req.op == R3_BLK_WRITE_ZEROES;
	uint32_t flags;

	if (!r->left)
		return succeed(r);
	r->left -= sizeof(range);
	if (take_front(r, &range, sizeof(range)) != sizeof(range))
		return fail(r, -EINVAL);
	flags = R3_LE32(range.flags);
	if (flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_UNMAP : 0u))
		return fail(r, -EOPNOTSUPP);
	if (R3_LE64(range.sector) > UINT64_MAX >> VIRTIO_BLK_SECTOR_SHIFT)
		return fail(r, -EINVAL);
	r->req.flags = zeroes && writes_through(terms) ? R3_BLK_FUA : 0;
	if (flags)
		r->req.flags |= R3_BLK_MAY_UNMAP;
	r->req.nsg = 0;
	r->req.sg = NULL;
	r->req.off = R3_LE64(range.sector) << VIRTIO_BLK_SECTOR_SHIFT;
	r->req.len = (uint64_t)R3_LE32(range.num_sectors) << VIRTIO_BLK_SECTOR_SHIFT;
	return 1;
}

static int begin_ranges(struct vub_request *r, const struct vub_terms *terms, uint64_t len)
{
	const size_t one = sizeof(struct virtio_blk_discard_write_zeroes);

	if (!len || len % one || len > VUB_RANGES_MAX * one)
		return fail(r, -EINVAL);
	r->left = len;
	return next_range(r, terms);
}

/* ---- by type ---- */

static int begin_flush(struct vub_request *r)
{
	r->req.op = R3_BLK_FLUSH;
	r->req.nsg = 0;
	r->req.off = r->req.len = 0;
	r->left = 0;
	return 1;
}

static int get_id(struct vub_request *r, const struct vub_terms *terms, uint64_t room)
{
	if (room < VIRTIO_BLK_ID_BYTES)
		return fail(r, -EINVAL);
	put_front(r, terms->device->serial, VIRTIO_BLK_ID_BYTES);
	return succeed(r);
}

/* From the pieces to be read to those to be written. */
static void turn_to_input(struct vub_request *r)
{
	r->at = r->chain.nout;
	r->end = r->chain.nout + r->nin;
}

static int begin(struct vub_request *r, const struct vub_terms *terms, uint64_t sector)
{
	uint64_t out = r->chain.out_len - sizeof(struct virtio_blk_req), in = r->chain.in_len - 1;

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		r->req.op = R3_BLK_READ;
		turn_to_input(r);
		return out ? fail(r, -EINVAL) : begin_data(r, terms, sector, in);
	case VIRTIO_BLK_T_OUT:
		r->req.op = R3_BLK_WRITE;
		r->req.flags = writes_through(terms) ? R3_BLK_FUA : 0;
		return in ? fail(r, -EINVAL) : begin_data(r, terms, sector, out);
	case VIRTIO_BLK_T_FLUSH:
		return begin_flush(r);
	case VIRTIO_BLK_T_GET_ID:
		turn_to_input(r);
		return get_id(r, terms, in);
	case VIRTIO_BLK_T_DISCARD:
		r->req.op = R3_BLK_DISCARD;
		return in ? fail(r, -EINVAL) : begin_ranges(r, terms, out);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		r->req.op = R3_BLK_WRITE_ZEROES;
		return in ? fail(r, -EINVAL) : begin_ranges(r, terms, out);
	default:
		return fail(r, -EOPNOTSUPP);
	}
}

int vub_request_begin(struct vub_request *r, const struct vub_terms *terms)
{
	struct virtio_blk_req header;

	r->status = NULL;
	r->cut = 0;
	r->req = (struct r3_blk_req){.user = r};
	r->at = 0;
	r->end = r->chain.nout;
	r->nin = r->chain.nin;
	/* without a status there is nobody to tell */
	if (!take_status(r) || take_front(r, &header, sizeof(header)) != sizeof(header))
		return fail(r, -EINVAL);
	r->type = R3_LE32(header.type);
	return begin(r, terms, R3_LE64(header.sector));
}

int vub_request_next(struct vub_request *r, const struct vub_terms *terms)
{
	if (r->req.err)
		return fail(r, r->req.err);
	switch (r->req.op) {
	case R3_BLK_READ:
	case R3_BLK_WRITE:
		move_on(r);
		return next_data(r, terms);
	case R3_BLK_FLUSH:
		return succeed(r);
	default:
		return next_range(r, terms);
	}
}
