/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The allocator for DMA memory. A device may write anywhere in that memory, so the
 * books are kept outside it: one extent per piece, free or live. Neighbours know each
 * other, so that free pieces merge; free extents lie in bins by the magnitude of their
 * length, live ones in a hash by their place.
 */
#include "mem/poison.h"

#include <ring3/error.h>
#include <ring3/mem.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRANULE  64 /* a cache line: no two pieces share one */
#define REDZONE  64 /* behind each piece, when somebody looks */
#define BINS     64 /* bin i holds lengths of [2^i, 2^(i+1)) */
#define HASH_MIN 64

struct extent {
	uint64_t off, len;             /* in the arena */
	struct extent *before, *after; /* neighbours in the arena */
	bool live;
	/* in a bin: doubly linked; in the hash: link_next only */
	struct extent *link_prev, *link_next;
};

struct r3_arena {
	unsigned refs;
	pthread_mutex_t lock;
	struct r3_mem *mem;
	unsigned char *base;
	uint64_t len;
	uint64_t used;
	uint64_t redzone;
	struct extent *bin[BINS];
	struct extent **hash;
	size_t hash_size; /* power of two */
	size_t nlive;
};

/* ---- bins of free extents ---- */

static unsigned bin_of(uint64_t len)
{
	return 63 - (unsigned)__builtin_clzll(len);
}

static void bin_insert(struct r3_arena *arena, struct extent *e)
{
	struct extent **head = &arena->bin[bin_of(e->len)];

	e->live = false;
	e->link_prev = NULL;
	e->link_next = *head;
	if (*head)
		(*head)->link_prev = e;
	*head = e;
}

static void bin_remove(struct r3_arena *arena, struct extent *e)
{
	if (e->link_prev)
		e->link_prev->link_next = e->link_next;
	else
		arena->bin[bin_of(e->len)] = e->link_next;
	if (e->link_next)
		e->link_next->link_prev = e->link_prev;
}

/* ---- hash of live extents ---- */

static struct extent **bucket(const struct r3_arena *arena, uint64_t off)
{
	return &arena->hash[(off / GRANULE * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
			    (arena->hash_size - 1)];
}

static void hash_insert(struct r3_arena *arena, struct extent *e)
{
	struct extent **head = bucket(arena, e->off);

	e->live = true;
	e->link_next = *head;
	*head = e;
	arena->nlive++;
}

/* Take the live extent at @off out; NULL where none begins. */
static struct extent *hash_take(struct r3_arena *arena, uint64_t off)
{
	for (struct extent **at = bucket(arena, off); *at; at = &(*at)->link_next) {
		struct extent *e = *at;

		if (e->off == off) {
			*at = e->link_next;
			arena->nlive--;
			return e;
		}
	}
	return NULL;
}

/* Without memory for a larger table the chains just get longer. */
static void hash_grow(struct r3_arena *arena)
{
	if (arena->nlive < arena->hash_size)
		return;

	size_t old_size = arena->hash_size;
	struct extent **old = arena->hash;
	struct extent **table = calloc(old_size * 2, sizeof(struct extent *));
	if (!table)
		return;
	arena->hash = table;
	arena->hash_size = old_size * 2;
	arena->nlive = 0;
	for (size_t i = 0; i < old_size; i++) {
		for (struct extent *e = old[i], *next; e; e = next) {
			next = e->link_next;
			hash_insert(arena, e);
		}
	}
	free(old);
}

/* ---- life ---- */

int r3_arena_create(struct r3_mem *mem, uint64_t off, uint64_t len, struct r3_arena **out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t size = r3_mem_size(mem);

	if (!len || len > size || off > size - len || off % page || len % page)
		return r3_error_set(
			EINVAL,
			"an arena of %ju bytes at %ju does not fit the %ju-byte memory, or "
			"is not made of whole pages",
			(uintmax_t)len, (uintmax_t)off, (uintmax_t)size);

	struct r3_arena *arena = calloc(1, sizeof(*arena));
	if (!arena)
		goto err;
	arena->hash_size = HASH_MIN;
	arena->hash = calloc(arena->hash_size, sizeof(struct extent *));
	if (!arena->hash)
		goto err_arena;
	struct extent *all = calloc(1, sizeof(*all));
	if (!all)
		goto err_hash;

	all->len = len;
	bin_insert(arena, all);
	arena->refs = 1;
	pthread_mutex_init(&arena->lock, NULL);
	arena->mem = r3_mem_ref(mem);
	arena->base = (unsigned char *)r3_mem_addr(mem) + off;
	arena->len = len;
	arena->redzone = r3_poison_watched() ? REDZONE : 0;
	r3_poison(arena->base, arena->len);
	*out = arena;
	return 0;

err_hash:
	free(arena->hash);
err_arena:
	free(arena);
err:
	return r3_error_set(ENOMEM, "out of memory for the books of an arena");
}

struct r3_arena *r3_arena_ref(struct r3_arena *arena)
{
	__atomic_add_fetch(&arena->refs, 1, __ATOMIC_RELAXED);
	return arena;
}

static void free_extents(struct extent *e)
{
	while (e) {
		struct extent *next = e->link_next;

		free(e);
		e = next;
	}
}

void r3_arena_unref(struct r3_arena *arena)
{
	if (!arena || __atomic_sub_fetch(&arena->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned i = 0; i < BINS; i++)
		free_extents(arena->bin[i]);
	for (size_t i = 0; i < arena->hash_size; i++)
		free_extents(arena->hash[i]);
	free(arena->hash);
	r3_unpoison(arena->base, arena->len);
	r3_mem_unref(arena->mem);
	pthread_mutex_destroy(&arena->lock);
	free(arena);
}

struct r3_mem *r3_arena_mem(const struct r3_arena *arena)
{
	return arena->mem;
}

/* ---- allocation ---- */

/* The first place in @e for a piece of @size bytes that takes @len with its redzone. */
static bool fits(const struct extent *e, uint64_t size, uint64_t len, uint64_t align,
		 uint64_t boundary, uint64_t *off)
{
	uint64_t at = (e->off + align - 1) & ~(align - 1);

	if (boundary && (at ^ (at + size - 1)) & ~(boundary - 1)) {
		at = (at + boundary - 1) & ~(boundary - 1);
		at = (at + align - 1) & ~(align - 1);
	}
	*off = at;
	return at >= e->off && at - e->off <= e->len && len <= e->len - (at - e->off);
}

static struct extent *find_free(struct r3_arena *arena, uint64_t size, uint64_t len, uint64_t align,
				uint64_t boundary, uint64_t *off)
{
	for (unsigned i = bin_of(len); i < BINS; i++)
		for (struct extent *e = arena->bin[i]; e; e = e->link_next)
			if (fits(e, size, len, align, boundary, off))
				return e;
	return NULL;
}

static uint64_t largest_free(const struct r3_arena *arena)
{
	uint64_t largest = 0;

	for (unsigned i = BINS; i-- > 0 && !largest;)
		for (const struct extent *e = arena->bin[i]; e; e = e->link_next)
			if (e->len > largest)
				largest = e->len;
	return largest;
}

/* Cut @e, which is in no bin, at @len; the rest, @tail, becomes free. */
static void split(struct extent *e, uint64_t len, struct extent *tail)
{
	*tail = (struct extent){
		.off = e->off + len, .len = e->len - len, .before = e, .after = e->after};
	if (e->after)
		e->after->before = tail;
	e->after = tail;
	e->len = len;
}

/* Books for [off, off+len) of the free extent @e. Uses up to two spare extents. */
static struct extent *carve(struct r3_arena *arena, struct extent *e, uint64_t off, uint64_t len,
			    struct extent *spare[2])
{
	bin_remove(arena, e);
	if (off > e->off) {
		struct extent *piece = spare[0];

		spare[0] = NULL;
		split(e, off - e->off, piece);
		bin_insert(arena, e);
		e = piece;
	}
	if (len < e->len) {
		split(e, len, spare[1]);
		bin_insert(arena, spare[1]);
		spare[1] = NULL;
	}
	return e;
}

int r3_arena_alloc_within(struct r3_arena *arena, uint64_t size, uint64_t align, uint64_t boundary,
			  void **out)
{
	if (!size)
		return r3_error_set(EINVAL, "a piece of 0 bytes cannot be allocated");
	if (align & (align - 1))
		return r3_error_set(EINVAL, "alignment %#jx is no power of two", (uintmax_t)align);
	if (boundary & (boundary - 1) || (boundary && boundary < size))
		return r3_error_set(EINVAL,
				    "boundary %#jx is no power of two of at least the %ju bytes "
				    "asked for",
				    (uintmax_t)boundary, (uintmax_t)size);

	struct extent *spare[2] = {malloc(sizeof(struct extent)), malloc(sizeof(struct extent))};
	uint64_t len, off, largest = 0;
	struct extent *e = NULL;

	if (align < GRANULE)
		align = GRANULE;
	pthread_mutex_lock(&arena->lock);
	if (spare[0] && spare[1] && size <= arena->len) {
		len = (size + arena->redzone + GRANULE - 1) / GRANULE * GRANULE;
		e = find_free(arena, size, len, align, boundary, &off);
	}
	if (e) {
		hash_grow(arena);
		e = carve(arena, e, off, len, spare);
		hash_insert(arena, e);
		arena->used += e->len;
	} else {
		largest = largest_free(arena);
	}
	pthread_mutex_unlock(&arena->lock);
	free(spare[0]);
	free(spare[1]);

	if (!e)
		return r3_error_set(ENOMEM,
				    "no room for %ju bytes of DMA memory, aligned to %ju: the "
				    "largest free piece has %ju; open the device with a larger "
				    "arena",
				    (uintmax_t)size, (uintmax_t)align, (uintmax_t)largest);
	r3_unpoison(arena->base + off, size);
	memset(arena->base + off, 0, size);
	*out = arena->base + off;
	return 0;
}

int r3_arena_alloc(struct r3_arena *arena, uint64_t size, uint64_t align, void **out)
{
	return r3_arena_alloc_within(arena, size, align, 0, out);
}

/* Merge @e with its free neighbours; returns what it became, in no bin. */
static struct extent *merge(struct r3_arena *arena, struct extent *e)
{
	struct extent *before = e->before, *after = e->after;

	if (after && !after->live) {
		bin_remove(arena, after);
		e->len += after->len;
		e->after = after->after;
		if (e->after)
			e->after->before = e;
		free(after);
	}
	if (before && !before->live) {
		bin_remove(arena, before);
		before->len += e->len;
		before->after = e->after;
		if (e->after)
			e->after->before = before;
		free(e);
		e = before;
	}
	return e;
}

int r3_arena_free(struct r3_arena *arena, void *ptr)
{
	uint64_t off = (uint64_t)((uintptr_t)ptr - (uintptr_t)arena->base);

	if (!ptr)
		return 0;
	pthread_mutex_lock(&arena->lock);
	struct extent *e = off < arena->len ? hash_take(arena, off) : NULL;
	if (e) {
		arena->used -= e->len;
		r3_poison(arena->base + e->off, e->len);
		bin_insert(arena, merge(arena, e));
	}
	pthread_mutex_unlock(&arena->lock);
	if (!e)
		return r3_error_set(EINVAL,
				    "%p is no live piece of this arena: freed twice, or never "
				    "allocated",
				    ptr);
	return 0;
}

void r3_arena_usage(const struct r3_arena *arena, uint64_t *used, uint64_t *largest)
{
	struct r3_arena *books = (struct r3_arena *)arena;

	pthread_mutex_lock(&books->lock);
	if (used)
		*used = arena->used;
	if (largest)
		*largest = largest_free(arena);
	pthread_mutex_unlock(&books->lock);
}
