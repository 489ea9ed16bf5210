/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a virtqueue: the next available chain, from a driver that may lie
 * and may change what it wrote while we read it.
 */
#include "ring/device.h"
#include "ring/packed.h"

#include <errno.h>
#include <ring3/error.h>
#include <string.h>

/* ---- one descriptor, of either layout ---- */

/* What both kinds of descriptor say, in the CPU's order. */
struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t word; /* split: next; packed: id */
};

/** Copy 16 bytes that may change under our hands, and lie as they like. */
static struct descriptor read_desc(const struct r3_virtqd *q, const void *from)
{
	union {
		struct virtq_desc split;
		struct pvirtq_desc packed;
	} copy;

	memcpy(&copy, from, sizeof(copy));
	/* From here on it is our copy that counts: the compiler may not read it anew. */
	__asm__ __volatile__("" : "+m"(copy));
	if (q->packed)
		return (struct descriptor){R3_LE64(copy.packed.addr), R3_LE32(copy.packed.len),
					   R3_LE16(copy.packed.flags), R3_LE16(copy.packed.id)};
	return (struct descriptor){R3_LE64(copy.split.addr), R3_LE32(copy.split.len),
				   R3_LE16(copy.split.flags), R3_LE16(copy.split.next)};
}

#define lied(q, fmt, ...) \
	((q)->broken = true, r3_error_set(EPROTO, "%s: queue %u: the driver's " fmt, (q)->name, \
					  (q)->index, ##__VA_ARGS__))

/* ---- the pieces of a chain ---- */

struct walk {
	struct r3_virtqd *q;
	struct r3_virtqd_chain *chain;
	struct r3_sg *sg;
	unsigned max;
};

static int add_piece(const struct walk *w, const struct descriptor *d)
{
	struct r3_virtqd_chain *chain = w->chain;
	bool write = d->flags & VIRTQ_DESC_F_WRITE;
	uint64_t addr = d->addr, left = d->len;

	if (!left || addr > UINT64_MAX - left)
		return lied(w->q, "descriptor of %u bytes at 0x%llx", d->len,
			    (unsigned long long)addr);
	if (!write && chain->nin) /* 2.7.4.2, 2.8.17 */
		return lied(w->q, "chain has something to read after something to write");
	if (chain->out_len + chain->in_len + left > UINT64_C(1) << 32) /* 2.7.5 */
		return lied(w->q, "chain is longer than 4 GiB");
	*(write ? &chain->in_len : &chain->out_len) += left;
	while (left) {
		uint64_t len = left;
		void *ptr;

		if (chain->nout + chain->nin == w->max)
			return lied(w->q, "chain has more than %u pieces", w->max);
		ptr = w->q->translate(w->q->opaque, addr, &len, write);
		if (!ptr || !len || len > left)
			return lied(w->q, "address 0x%llx is none of %s", (unsigned long long)addr,
				    write ? "memory to write" : "memory");
		w->sg[chain->nout + chain->nin] = (struct r3_sg){ptr, (size_t)len};
		write ? chain->nin++ : chain->nout++;
		addr += len;
		left -= len;
	}
	return 0;
}

/** A table, and as much of it as lies in one stretch of our memory. */
struct table {
	uint64_t addr, len;
	const unsigned char *ptr;
};

/** Copy entry @i. It may lie across a border of our memory. */
static int read_entry(struct r3_virtqd *q, const struct table *table, uint32_t i,
		      struct descriptor *out)
{
	uint64_t off = i * (uint64_t)sizeof(struct virtq_desc), done = 0;
	unsigned char bytes[sizeof(struct virtq_desc)];

	if (off + sizeof(bytes) <= table->len) {
		*out = read_desc(q, table->ptr + off);
		return 0;
	}
	while (done < sizeof(bytes)) {
		uint64_t len = sizeof(bytes) - done;
		const void *ptr = q->translate(q->opaque, table->addr + off + done, &len, false);

		if (!ptr || !len || len > sizeof(bytes) - done)
			return lied(q, "table of descriptors at 0x%llx is no memory",
				    (unsigned long long)table->addr);
		memcpy(bytes + done, ptr, (size_t)len);
		done += len;
	}
	*out = read_desc(q, bytes);
	return 0;
}

/** The table that @ring_desc points to (2.7.5.3, 2.8.7). */
static int walk_table(const struct walk *w, const struct descriptor *ring_desc)
{
	uint32_t n = ring_desc->len / (uint32_t)sizeof(struct virtq_desc), at = 0;
	struct table table = {.addr = ring_desc->addr, .len = ring_desc->len};
	struct r3_virtqd *q = w->q;

	if (!q->indirect)
		return lied(q, "table of descriptors was not negotiated");
	if (!n || ring_desc->len % sizeof(struct virtq_desc) ||
	    ring_desc->addr > UINT64_MAX - ring_desc->len)
		return lied(q, "table of descriptors has %u bytes at 0x%llx", ring_desc->len,
			    (unsigned long long)ring_desc->addr);
	if (ring_desc->flags & VIRTQ_DESC_F_NEXT)
		return lied(q, "chain goes on behind a table of descriptors");
	table.ptr = q->translate(q->opaque, table.addr, &table.len, false);
	if (!table.ptr)
		table.len = 0; /* read_entry() will say so */
	for (uint32_t seen = 0; seen < n; seen++) {
		struct descriptor d = {0};
		int rc = read_entry(q, &table, at, &d);

		if (rc < 0)
			return rc;
		if (!q->packed && (d.flags & VIRTQ_DESC_F_INDIRECT))
			return lied(q, "table of descriptors has a table in it");
		rc = add_piece(w, &d);
		if (rc < 0)
			return rc;
		if (q->packed) {
			at++; /* all of them, whatever their flags say */
			continue;
		}
		if (!(d.flags & VIRTQ_DESC_F_NEXT))
			return 0;
		at = d.word;
		if (at >= n)
			return lied(q, "table of %u descriptors goes on at %u", n, at);
	}
	return q->packed ? 0 : lied(q, "table of %u descriptors is a loop", n);
}

/** Add what one descriptor of the ring says: 1 the chain goes on, 0 it ends, -EPROTO. */
static int walk_desc(const struct walk *w, const struct descriptor *d)
{
	int rc;

	w->chain->n++;
	if (d->flags & VIRTQ_DESC_F_INDIRECT)
		return walk_table(w, d);
	rc = add_piece(w, d);
	return rc < 0 ? rc : !!(d->flags & VIRTQ_DESC_F_NEXT);
}

/* ---- the two rings ---- */

static int fetch_split(const struct walk *w)
{
	struct r3_virtqd *q = w->q;
	uint16_t fetched = (uint16_t)q->fetched, idx, at;
	int rc;

	if (fetched == q->avail_seen) {
		idx = r3_ring_load16(&q->avail->idx);
		if (idx == fetched)
			return 0;
		if ((uint16_t)(idx - fetched) > q->size - r3_virtqd_in_flight(q))
			return lied(q, "available index went from %u to %u, past its ring", fetched,
				    idx);
		q->avail_seen = idx;
		/* The index vouches for the ring's entries, their descriptors and the data: none
		 * of them may be read before it. */
		r3_barrier_read();
	}
	at = r3_ring_load16(&q->avail->ring[fetched & (q->size - 1)]);
	w->chain->id = at;
	do {
		struct descriptor d;

		if (at >= q->size)
			return lied(q, "chain names descriptor %u of %u", at, q->size);
		if (w->chain->n == q->size)
			return lied(q, "chain from descriptor %u is a loop", w->chain->id);
		d = read_desc(q, &q->desc[at]);
		at = d.word;
		rc = walk_desc(w, &d);
	} while (rc > 0);
	return rc < 0 ? rc : 1;
}

static int fetch_packed(const struct walk *w)
{
	struct r3_virtqd *q = w->q;
	uint32_t flags = r3_ring_load16(&q->pdesc[q->next].flags);
	uint32_t at = q->next, lap = q->avail_flags, room = q->size - q->with_us;
	struct descriptor d = {0};
	int rc;

	if ((flags & R3_VIRTQ_AVAIL_USED) != lap)
		return 0;
	/* The first flags vouch for the whole chain and the data: none of it may be read
	 * before them. */
	r3_barrier_read();
	do {
		if (w->chain->n == room)
			return lied(q, "chain has more than the %u descriptors that are free",
				    room);
		d = read_desc(q, &q->pdesc[at]);
		if ((d.flags & R3_VIRTQ_AVAIL_USED) != lap)
			return lied(q, "descriptor %u is part of a chain, but not available", at);
		if (++at == q->size) {
			at = 0;
			lap ^= R3_VIRTQ_AVAIL_USED;
		}
		rc = walk_desc(w, &d);
	} while (rc > 0);
	if (rc < 0)
		return rc;
	w->chain->id = d.word; /* of the last one (2.8.6) */
	q->next = at;
	q->avail_flags = lap;
	q->with_us += w->chain->n;
	return 1;
}

int r3_virtqd_fetch(struct r3_virtqd *q, struct r3_virtqd_chain *chain, struct r3_sg *sg,
		    unsigned max)
{
	struct walk w = {q, chain, sg, max};
	int rc;

	if (q->broken)
		return lied(q, "ring is broken since it lied");
	*chain = (struct r3_virtqd_chain){0};
	rc = q->packed ? fetch_packed(&w) : fetch_split(&w);
	if (rc > 0)
		q->fetched++;
	return rc;
}
