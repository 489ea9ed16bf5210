/* SPDX-License-Identifier: BSD-2-Clause */
#include "load.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

#define CANARY     0xc5
#define PAGE       4096
#define GAP        64 /* most bytes left between two pieces */
#define MAX_PIECES 100

/* What is known of a block. */
#define KNOWN  1
#define FLYING 2 /* a request has it */

/* Memory that requests are laid out in: the device's own, and any. */
struct pool {
	unsigned char *base;
	size_t used;
};

struct slot {
	struct r3_blk_req req;
	struct r3_sg *sg;
	struct pool own, foreign;
	bool flying;
};

static bool fault(struct load *load, const struct r3_blk_req *req, const char *why, uint64_t at)
{
	if (!load->fault[0])
		snprintf(load->fault, sizeof(load->fault),
			 "%s of %llu at %llu, flags %u, %u pieces: %s (%lld); err %d, detail 0x%x",
			 r3_blk_op_name(req->op), (unsigned long long)req->len,
			 (unsigned long long)req->off, req->flags, req->nsg, why, (long long)at,
			 req->err, req->detail);
	return false;
}

static size_t pool_size(const struct load *load)
{
	return load->longest + (size_t)load->pieces * GAP + 2 * PAGE;
}

void load_make(struct load *load)
{
	load->pieces = suite.limits->max_sg < MAX_PIECES ? suite.limits->max_sg : MAX_PIECES;
	load->copy = calloc(1, load->len);
	load->state = calloc(1, load->len / suite.limits->block_size);
	load->slot = calloc(load->slots, sizeof(*load->slot));
	load->list = calloc(load->slots, sizeof(struct r3_blk_req *));
	assert_non_null(load->copy);
	assert_non_null(load->state);
	assert_non_null(load->slot);
	assert_non_null(load->list);
	for (unsigned i = 0; i < load->slots; i++) {
		struct slot *s = &load->slot[i];
		void *own;
		suite_expect(r3_block_alloc(suite.block, pool_size(load), &own), 0, "alloc");
		s->own.base = own;
		s->foreign.base = malloc(pool_size(load));
		s->sg = calloc(load->pieces, sizeof(*s->sg));
		assert_non_null(s->foreign.base);
		assert_non_null(s->sg);
	}
	load->flying = 0;
	load->fault[0] = 0;
}

void load_free(struct load *load)
{
	for (unsigned i = 0; i < load->slots; i++) {
		r3_block_free(suite.block, load->slot[i].own.base);
		free(load->slot[i].foreign.base);
		free(load->slot[i].sg);
	}
	free(load->slot);
	free(load->list);
	free(load->copy);
	free(load->state);
}

static unsigned below(struct load *load, uint64_t n)
{
	return (unsigned)(test_random(&load->random) % n);
}

/* ---- memory ---- */

static void add_piece(struct slot *s, struct pool *pool, size_t skip, size_t len)
{
	s->sg[s->req.nsg++] = (struct r3_sg){pool->base + pool->used + skip, len};
	pool->used += skip + len;
}

/* Pages of the device's own memory, last first: what a driver must not copy. */
static void lay_pages(struct slot *s)
{
	size_t len = s->req.len;
	size_t start = (PAGE - (uintptr_t)s->own.base % PAGE) % PAGE;

	for (unsigned i = (unsigned)(len / PAGE); i > 0; i--)
		s->sg[s->req.nsg++] = (struct r3_sg){s->own.base + start + (i - 1) * PAGE, PAGE};
	s->own.used = start + len;
}

static void lay_out(struct load *load, struct slot *s)
{
	unsigned style = below(load, 6);
	size_t left = s->req.len;

	s->req.nsg = 0;
	s->req.sg = s->sg;
	s->own.used = s->foreign.used = 0;
	if (style == 0 && left % PAGE == 0 && left / PAGE <= load->pieces) {
		lay_pages(s);
	} else if (style <= 1) {
		add_piece(s, &s->own, 0, left);
	} else if (style == 2) {
		add_piece(s, &s->foreign, below(load, GAP), left);
	} else {
		unsigned most = style == 3 ? 4 : load->pieces;
		unsigned n = 1 + below(load, most < load->pieces ? most : load->pieces);
		for (; n > 1 && left > 1; n--) {
			/* about even, and odd */
			size_t len = 1 + below(load, left * 2 / n);
			if (len >= left)
				break;
			add_piece(s, below(load, 2) ? &s->own : &s->foreign, below(load, GAP), len);
			left -= len;
		}
		add_piece(s, below(load, 2) ? &s->own : &s->foreign, below(load, GAP), left);
	}
}

static bool all_canary(const struct pool *pool)
{
	/* Every byte is the canary when the first is, and each equals its neighbour. */
	return !pool->used ||
	       (pool->base[0] == CANARY && memcmp(pool->base, pool->base + 1, pool->used - 1) == 0);
}

/* ---- a request ---- */

static unsigned char *state_of(struct load *load, const struct r3_blk_req *req)
{
	return load->state + (req->off - load->first) / suite.limits->block_size;
}

static void set_state(struct load *load, const struct r3_blk_req *req, unsigned clear, unsigned set)
{
	unsigned char *state = state_of(load, req);

	for (uint64_t i = 0; i < req->len / suite.limits->block_size; i++)
		state[i] = (unsigned char)((state[i] & ~clear) | set);
}

static bool find_room(struct load *load, struct r3_blk_req *req)
{
	const uint32_t block = suite.limits->block_size;
	uint64_t most = load->longest / block;

	/* Mostly short ones; now and then as long as may be. */
	if (below(load, 8) && most > 16)
		most = 16;
	req->len = (1 + below(load, most)) * (uint64_t)block;
	req->off = load->first + below(load, (load->len - req->len) / block + 1) * (uint64_t)block;
	for (uint64_t i = 0; i < req->len / block; i++)
		if (state_of(load, req)[i] & FLYING)
			return false;
	return true;
}

static void choose_op(struct load *load, struct r3_blk_req *req)
{
	unsigned dice = below(load, 100);

	req->op = dice < 45 ? R3_BLK_READ : dice < 85 ? R3_BLK_WRITE : R3_BLK_FLUSH;
	if (dice >= 90 && dice < 96 && suite.limits->features & R3_BLOCK_WRITE_ZEROES)
		req->op = R3_BLK_WRITE_ZEROES;
	if (dice >= 96 && suite.limits->features & R3_BLOCK_DISCARD)
		req->op = R3_BLK_DISCARD;
	if ((req->op == R3_BLK_WRITE || req->op == R3_BLK_WRITE_ZEROES) && !below(load, 8))
		req->flags |= R3_BLK_FUA;
	if (req->op == R3_BLK_WRITE_ZEROES && below(load, 2))
		req->flags |= R3_BLK_MAY_UNMAP;
}

/** Make slot @s a request of @op. Returns false when its blocks are in use. */
static bool prepare(struct load *load, struct slot *s)
{
	struct r3_blk_req *req = &s->req;

	*req = (struct r3_blk_req){.user = s, .err = 1, .detail = 0xdead};
	choose_op(load, req);
	if (req->op == R3_BLK_FLUSH)
		return true;
	if (!find_room(load, req))
		return false;
	unsigned char *copy = load->copy + (req->off - load->first);
	if (req->op == R3_BLK_WRITE_ZEROES) {
		if (req->len > suite.limits->max_zeroes_len)
			req->len = suite.limits->max_zeroes_len;
		memset(copy, 0, req->len);
	} else if (req->op == R3_BLK_DISCARD) {
		if (req->len > suite.limits->max_discard_len)
			req->len = suite.limits->max_discard_len;
	} else {
		lay_out(load, s);
		memset(s->own.base, CANARY, s->own.used);
		memset(s->foreign.base, CANARY, s->foreign.used);
	}
	if (req->op == R3_BLK_WRITE) {
		suite_fill(copy, req->len, test_random(&load->random));
		for (unsigned i = 0; i < req->nsg; copy += s->sg[i++].len)
			memcpy(s->sg[i].addr, copy, s->sg[i].len);
	}
	set_state(load, req, 0, FLYING);
	return true;
}

static bool compare(struct load *load, const struct slot *s)
{
	const struct r3_blk_req *req = &s->req;
	const unsigned char *copy = load->copy + (req->off - load->first);
	const unsigned char *state = state_of(load, req);
	const uint32_t block = suite.limits->block_size;
	uint64_t at = 0;

	for (unsigned i = 0; i < req->nsg; i++) {
		unsigned char *mem = s->sg[i].addr;
		/* by runs within one block: each block is known or not by itself */
		for (size_t done = 0; done < s->sg[i].len;) {
			size_t run = block - at % block;
			if (run > s->sg[i].len - done)
				run = s->sg[i].len - done;
			bool known = req->op == R3_BLK_WRITE ||
				     (state[at / block] & KNOWN && !suite.forgets);
			if (known && memcmp(mem + done, copy + at, run))
				return fault(load, req, "wrong data in the block at", at);
			done += run;
			at += run;
		}
		memset(mem, CANARY, s->sg[i].len);
	}
	if (!all_canary(&s->own) || !all_canary(&s->foreign))
		return fault(load, req, "bytes beside the pieces have changed", 0);
	return true;
}

static bool finish(struct load *load, struct r3_blk_req *req)
{
	struct slot *s = req->user;

	if (s < load->slot || s >= load->slot + load->slots || req != &s->req)
		return fault(load, req, "reaped, and never submitted", 0);
	if (!s->flying)
		return fault(load, req, "completed twice", 0);
	s->flying = false;
	load->flying--;
	if (req->err)
		return fault(load, req, "failed", 0);
	if (req->op == R3_BLK_FLUSH)
		return true;
	bool same = req->op > R3_BLK_WRITE || compare(load, s);
	bool known = req->op == R3_BLK_WRITE || req->op == R3_BLK_WRITE_ZEROES;
	set_state(load, req, req->op == R3_BLK_DISCARD ? FLYING | KNOWN : FLYING,
		  known ? KNOWN : 0);
	return same;
}

/* ---- the load ---- */

static bool reap(struct load *load)
{
	struct r3_blk_req *done[16];
	int n;

	while ((n = r3_blkq_reap(load->queue, done, 1 + below(load, 16))) == 0)
		if (!suite_sleep(load->queue, load->dispatch))
			return fault(load, &load->slot[0].req, "none completes of", load->flying);
	for (int i = 0; i < n; i++)
		if (!finish(load, done[i]))
			return false;
	if (r3_blkq_inflight(load->queue) != load->flying)
		return fault(load, done[0], "inflight is wrong", r3_blkq_inflight(load->queue));
	return true;
}

/** Submit what is prepared, in one go or in several. A queue can be full of pieces before it
 *  is full of requests, but never while it is empty. */
static bool submit(struct load *load, unsigned n)
{
	for (unsigned sent = 0; sent < n;) {
		unsigned batch = 1 + below(load, n - sent);
		int rc = r3_blkq_submit(load->queue, load->list + sent, batch);
		if (rc == -EAGAIN && load->flying) {
			if (r3_blkq_kick(load->queue) || !reap(load))
				return false;
			continue;
		}
		if (rc <= 0)
			return fault(load, load->list[sent], "was not taken", (uint64_t)rc);
		for (int i = 0; i < rc; i++, sent++) {
			((struct slot *)load->list[sent]->user)->flying = true;
			load->flying++;
		}
	}
	return true;
}

/** At the end: everything is still as it was written. */
static bool read_all(struct load *load)
{
	struct slot *s = &load->slot[0];

	for (uint64_t at = 0, len; at < load->len; at += len) {
		len = load->len - at < load->longest ? load->len - at : load->longest;
		s->req = (struct r3_blk_req){
			.op = R3_BLK_READ, .user = s, .off = load->first + at, .len = len};
		lay_out(load, s);
		memset(s->own.base, CANARY, s->own.used);
		memset(s->foreign.base, CANARY, s->foreign.used);
		load->list[0] = &s->req;
		if (!submit(load, 1) || r3_blkq_kick(load->queue) || !reap(load))
			return false;
	}
	return true;
}

bool load_run(struct load *load, unsigned n)
{
	for (unsigned sent = 0; sent < n || load->flying;) {
		unsigned batch = 0;
		for (unsigned i = 0; i < load->slots && sent + batch < n; i++)
			if (!load->slot[i].flying && prepare(load, &load->slot[i]))
				load->list[batch++] = &load->slot[i].req;
		if (batch && !submit(load, batch))
			return false;
		sent += batch;
		int rc = r3_blkq_kick(load->queue);
		if (rc)
			return fault(load, &load->slot[0].req, "kick failed", (uint64_t)rc);
		if (load->flying && !reap(load))
			return false;
	}
	return read_all(load);
}
