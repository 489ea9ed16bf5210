/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues of a block device. Every request is checked here, once, against the limits,
 * so that no provider need check one: this is on the data path of all of them.
 */
#include "class/limits.h"
#include "util/kept_text.h"

#include <ring3/driver.h>

#include <errno.h>
#include <string.h>

#define DEFAULT_DEPTH   128
#define DEFAULT_POLL_NS (200 * R3_NSEC_PER_USEC)
#define MAX_POLL_NS     R3_NSEC_PER_SEC
#define LOOK_NS         16 /* less than a reap and an arm ever take */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static const struct rule {
	const char *name;
	uint32_t feature; /* that the device must have */
	uint32_t bars;    /* that it must not have */
	uint8_t flags;    /* that make sense */
} rules[R3_BLK_NOPS] = {
	[R3_BLK_READ] = {"read", 0, 0, 0},
	[R3_BLK_WRITE] = {"write", 0, R3_BLOCK_READ_ONLY, R3_BLK_FUA},
	[R3_BLK_FLUSH] = {"flush", 0, 0, 0},
	[R3_BLK_WRITE_ZEROES] = {"write-zeroes", R3_BLOCK_WRITE_ZEROES, R3_BLOCK_READ_ONLY,
				 R3_BLK_FUA | R3_BLK_MAY_UNMAP},
	[R3_BLK_DISCARD] = {"discard", R3_BLOCK_DISCARD, R3_BLOCK_READ_ONLY, 0},
};

const char *r3_blk_op_name(unsigned op)
{
	return op < R3_BLK_NOPS ? rules[op].name : "unknown operation";
}

static const char *const modes[] = {
	[R3_BLKQ_INTERRUPT] = "interrupt",
	[R3_BLKQ_POLL] = "poll",
	[R3_BLKQ_ADAPTIVE] = "adaptive",
};
#define NMODES (sizeof(modes) / sizeof(modes[0]))

const char *r3_blkq_mode_name(unsigned mode)
{
	return mode < NMODES ? modes[mode] : "unknown mode";
}

int r3_blkq_mode_parse(const char *name, enum r3_blkq_mode *out)
{
	for (unsigned i = 0; i < NMODES; i++)
		if (strcmp(name, modes[i]) == 0) {
			*out = (enum r3_blkq_mode)i;
			return 0;
		}
	return r3_error_set(EINVAL, "there is no mode '%s': say interrupt, poll or adaptive", name);
}

static __attribute__((cold, noinline)) int refuse(const struct r3_block *block,
						  const struct r3_blk_req *req, int err,
						  const char *why)
{
	return r3_error_set(err, "%s: %s of %llu bytes at %llu: %s", block->name,
			    r3_blk_op_name(req->op), (unsigned long long)req->len,
			    (unsigned long long)req->off, why);
}

static int check_pieces(const struct r3_block *block, const struct r3_blk_req *req)
{
	uint64_t left = req->len;

	if (unlikely(!req->nsg || req->nsg > block->limits.max_sg))
		return refuse(block, req, EINVAL, "no pieces of memory, or more than max_sg");
	for (unsigned i = 0; i < req->nsg; i++) {
		/* both an empty piece and one beyond the end */
		if (unlikely(req->sg[i].len - UINT64_C(1) >= left))
			return refuse(block, req, EINVAL, "a piece is empty or one too many");
		left -= req->sg[i].len;
	}
	if (unlikely(left))
		return refuse(block, req, EINVAL, "the pieces add up to less");
	return 0;
}

/* The rules, each with its own words for whoever breaks it. */
static __attribute__((noinline)) int check_rules(const struct r3_block *block,
						 const struct r3_blk_req *req)
{
	const struct r3_block_limits *limits = &block->limits;
	uint32_t features = r3_limit(limits, features);
	uint64_t size = r3_limit(limits, size);

	if (unlikely(req->op >= R3_BLK_NOPS))
		return refuse(block, req, EINVAL, "no such operation");
	const struct rule *rule = &rules[req->op];
	if (unlikely(features & rule->bars))
		return refuse(block, req, EROFS, "the device is read-only");
	if (unlikely(rule->feature & ~features))
		return refuse(block, req, EOPNOTSUPP, "the device cannot do that");
	if (unlikely(req->flags & ~rule->flags))
		return refuse(block, req, EINVAL, "a flag that the operation does not have");
	if (unlikely(req->op == R3_BLK_FLUSH))
		return 0;

	if (unlikely((req->off | req->len) & (limits->block_size - 1)))
		return refuse(block, req, EINVAL, "not a multiple of the block size");
	if (unlikely(req->off > size || req->len > size - req->off))
		return refuse(block, req, EINVAL, "beyond the end of the device");

	uint64_t max = r3_limit(limits, max_len);
	if (unlikely(req->op > R3_BLK_WRITE))
		max = req->op == R3_BLK_DISCARD ? r3_limit(limits, max_discard_len)
						: r3_limit(limits, max_zeroes_len);
	if (unlikely(req->len - 1 >= max)) /* 0 too */
		return refuse(block, req, EINVAL, "no length, or one above the limit");
	return req->op <= R3_BLK_WRITE ? check_pieces(block, req) : 0;
}

_Static_assert(R3_BLK_READ == 0 && R3_BLK_WRITE == 1 && R3_BLOCK_READ_ONLY == 1,
	       "op & features tells a write to a read-only device");

/* The first members of a request at once. */
union head {
	struct {
		uint8_t op, flags;
		uint16_t nsg;
	};
	uint32_t all;
};
_Static_assert(offsetof(struct r3_blk_req, op) == offsetof(union head, op) &&
		       offsetof(struct r3_blk_req, flags) == offsetof(union head, flags) &&
		       offsetof(struct r3_blk_req, nsg) == offsetof(union head, nsg),
	       "a request begins with its head");

/* Most requests are plain reads and writes of one piece: for them, the same rules in
 * some 20 instructions. @mask: the block size less one. */
static inline int check(const struct r3_block *block, const struct r3_blk_req *req, uint32_t mask)
{
	const union head write = {.op = R3_BLK_WRITE}, plain = {.op = R3_BLK_READ, .nsg = 1};
	const struct r3_block_limits *limits = &block->limits;
	const uint64_t off = req->off, len = req->len, size = r3_limit(limits, size);
	union head head;

	memcpy(&head, req, sizeof(head));
	if (likely((head.all & ~write.all) == plain.all &&
		   !(req->op & r3_limit(limits, features)) && !((off | len) & mask) &&
		   off <= size && len <= size - off && len - 1 < r3_limit(limits, max_len) &&
		   req->sg->len == len))
		return 0;
	return check_rules(block, req);
}

/* Of the first version, which ended with the mode. */
#define OPTS_SIZE_MIN (offsetof(struct r3_blkq_opts, mode) + sizeof(enum r3_blkq_mode))

/* Also fill in the default. */
static int check_mode(const struct r3_block *block, struct r3_blkq_opts *opts)
{
	if ((unsigned)opts->mode >= NMODES)
		return r3_error_set(EINVAL, "%s: queue mode %d is unknown", block->name,
				    (int)opts->mode);
	if (opts->mode != R3_BLKQ_ADAPTIVE)
		opts->poll_ns = 0;
	else if (!opts->poll_ns)
		opts->poll_ns = DEFAULT_POLL_NS;
	if (opts->poll_ns > MAX_POLL_NS)
		return r3_error_set(EINVAL,
				    "%s: an adaptive queue polls for a second at most, not %llu ns",
				    block->name, (unsigned long long)opts->poll_ns);
	return 0;
}

int r3_blkq_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out)
{
	const struct r3_block_limits *limits = &block->limits;
	struct r3_blkq_opts all = {.size = sizeof(all)};
	struct r3_blkq *queue;
	int rc;

	if (opts && opts->size < OPTS_SIZE_MIN)
		return r3_error_set(EINVAL, "%s: r3_blkq_opts.size is %u, not %zu", block->name,
				    opts->size, sizeof(all));
	if (opts)
		memcpy(&all, opts, opts->size < sizeof(all) ? opts->size : sizeof(all));
	all.size = sizeof(all);
	rc = check_mode(block, &all);
	if (rc)
		return rc;
	if (!all.depth)
		all.depth = limits->max_depth < DEFAULT_DEPTH ? limits->max_depth : DEFAULT_DEPTH;
	if (all.depth > limits->max_depth)
		return r3_error_set(EINVAL, "%s: queue depth %u is above the limit, %u",
				    block->name, all.depth, limits->max_depth);
	if (block->queues >= limits->max_queues)
		return r3_error_set(ENOSPC, "%s: all of its %u queues are in use", block->name,
				    limits->max_queues);

	rc = block->ops->queue_open(block, &all, &queue);
	if (rc)
		return rc;
	queue->ops = block->ops;
	queue->block = block;
	queue->depth = all.depth;
	queue->inflight = 0;
	queue->looks = 0;
	queue->max_looks = (uint32_t)(all.poll_ns / LOOK_NS);
	queue->poll_ns = all.poll_ns;
	block->queues++;
	*out = queue;
	return 0;
}

void r3_blkq_close(struct r3_blkq *queue)
{
	if (!queue)
		return;
	struct r3_block *block = queue->block;
	struct r3_kept_text why; /* it is closed: often, that something failed */
	r3_error_keep(&why);
	queue->ops->queue_close(queue);
	r3_error_put_back(&why);
	block->queues--;
}

unsigned r3_blkq_depth(const struct r3_blkq *queue)
{
	return queue->depth;
}

unsigned r3_blkq_inflight(const struct r3_blkq *queue)
{
	return queue->inflight;
}

int r3_blkq_fd(const struct r3_blkq *queue)
{
	return queue->fd;
}

/* Providers leave no text on the data path. */
static __attribute__((cold, noinline)) int failed(const struct r3_block *block, int rc)
{
	return rc == -ENODEV ? r3_error_set(ENODEV, "%s: the device is gone", block->name) : rc;
}

int r3_blkq_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n)
{
	const struct r3_block *block = queue->block;
	const uint32_t mask = block->limits.block_size - 1;
	unsigned room = queue->depth - queue->inflight;
	unsigned good;
	int rc = 0;

	for (good = 0; good < n && good < room; good++) {
		rc = check(block, reqs[good], mask);
		if (unlikely(rc))
			break;
	}
	if (unlikely(!good)) /* the first is at fault, the queue is full, or n is 0 */
		return rc ? rc : n ? -EAGAIN : 0;

	rc = queue->ops->submit(queue, reqs, good);
	if (unlikely(rc <= 0))
		return rc ? failed(block, rc) : -EAGAIN;
	queue->inflight += (unsigned)rc;
	return rc;
}

int r3_blkq_kick(struct r3_blkq *queue)
{
	int rc = queue->ops->kick ? queue->ops->kick(queue) : 0;

	return unlikely(rc < 0) ? failed(queue->block, rc) : rc;
}

int r3_blkq_reap(struct r3_blkq *queue, struct r3_blk_req **reqs, unsigned max)
{
	int n = queue->ops->reap(queue, reqs, max);

	if (n > 0) {
		queue->inflight -= (unsigned)n;
		queue->looks = 0;
	}
	return n;
}

/* Whether looking again pays more than sleeping. It does for poll_ns from the first look
 * in vain; nobody reads the clock while there is something to reap. A clock that stands
 * still, as a test's may, ends it by the number of looks. */
static bool keeps_polling(struct r3_blkq *queue)
{
	if (!queue->inflight || queue->looks >= queue->max_looks)
		return false;

	uint64_t now = r3_clock_now(queue->block->clock);

	if (!queue->looks)
		queue->poll_from = now;
	else if (now - queue->poll_from >= queue->poll_ns) {
		queue->looks = queue->max_looks;
		return false;
	}
	queue->looks++;
	return true;
}

int r3_blkq_arm(struct r3_blkq *queue)
{
	if (queue->max_looks && keeps_polling(queue))
		return 1;
	return queue->ops->arm ? queue->ops->arm(queue) : 0;
}
