/* SPDX-License-Identifier: BSD-2-Clause */
/* The arena against a model of it: pieces never overlap, are zeroed, aligned and where they
 * may be; wrong frees change nothing; everything merges again. */
#include "mem/poison.h"
#include "unit.h"

#include <ring3/error.h>
#include <ring3/mem.h>

#include <errno.h>
#include <string.h>

#define SIZE (UINT64_C(4) << 20)
#define OFF  UINT64_C(8192)

static struct r3_arena *arena_new(void)
{
	struct r3_arena *arena;
	struct r3_mem *mem;

	assert_int_equal(r3_mem_create("test", SIZE + 2 * OFF, 0, &mem), 0);
	assert_int_equal(r3_arena_create(mem, OFF, SIZE, &arena), 0);
	r3_mem_unref(mem); /* the arena keeps it */
	return arena;
}

static unsigned char *base_of(const struct r3_arena *arena)
{
	return (unsigned char *)r3_mem_addr(r3_arena_mem(arena)) + OFF;
}

static void assert_empty(const struct r3_arena *arena)
{
	uint64_t used, largest;

	r3_arena_usage(arena, &used, &largest);
	assert_int_equal(used, 0);
	assert_int_equal(largest, SIZE);
}

static void ranges_are_checked(void **state)
{
	struct r3_arena *arena;
	struct r3_mem *mem;

	assert_int_equal(r3_mem_create("test", 16384, 0, &mem), 0);
	assert_int_equal(r3_arena_create(mem, 0, 0, &arena), -EINVAL);
	assert_int_equal(r3_arena_create(mem, 0, 20480, &arena), -EINVAL);
	assert_int_equal(r3_arena_create(mem, 4096, 16384, &arena), -EINVAL);
	assert_int_equal(r3_arena_create(mem, (uint64_t)-4096, 8192, &arena), -EINVAL);
	assert_int_equal(r3_arena_create(mem, 64, 4096, &arena), -EINVAL);
	assert_int_equal(r3_arena_create(mem, 0, 100, &arena), -EINVAL);
	r3_mem_unref(mem);
	r3_arena_unref(NULL);
}

static void requests_are_checked(void **state)
{
	struct r3_arena *arena = arena_new();
	void *ptr;

	assert_int_equal(r3_arena_alloc(arena, 0, 0, &ptr), -EINVAL);
	assert_int_equal(r3_arena_alloc(arena, 8, 3, &ptr), -EINVAL);
	assert_int_equal(r3_arena_alloc_within(arena, 8, 8, 12, &ptr), -EINVAL);
	assert_int_equal(r3_arena_alloc_within(arena, 4097, 8, 4096, &ptr), -EINVAL);
	assert_int_equal(r3_arena_alloc(arena, SIZE + 1, 0, &ptr), -ENOMEM);
	assert_non_null(strstr(r3_error_text(), "4194304")); /* how much is free */
	assert_int_equal(r3_arena_alloc(arena, UINT64_MAX, 0, &ptr), -ENOMEM);
	assert_int_equal(r3_arena_alloc(arena, 64, UINT64_C(1) << 63, &ptr), 0); /* offset 0 */
	assert_int_equal(r3_arena_alloc(arena, 64, UINT64_C(1) << 63, &ptr), -ENOMEM);
	assert_int_equal(r3_arena_free(arena, NULL), 0);
	r3_arena_unref(arena);
}

static void wrong_frees_change_nothing(void **state)
{
	struct r3_arena *arena = arena_new();
	unsigned char *ptr;
	void *other;
	uint64_t used, after;
	int on_stack;

	assert_int_equal(r3_arena_alloc(arena, 1000, 0, (void **)&ptr), 0);
	assert_int_equal(r3_arena_alloc(arena, 1000, 0, &other), 0);
	r3_arena_usage(arena, &used, NULL);
	assert_int_equal(r3_arena_free(arena, ptr + 64), -EINVAL);
	assert_int_equal(r3_arena_free(arena, ptr + 1), -EINVAL);
	assert_int_equal(r3_arena_free(arena, base_of(arena) - 64), -EINVAL);
	assert_int_equal(r3_arena_free(arena, base_of(arena) + SIZE), -EINVAL);
	assert_int_equal(r3_arena_free(arena, &on_stack), -EINVAL);
	r3_arena_usage(arena, &after, NULL);
	assert_int_equal(used, after);
	assert_int_equal(r3_arena_free(arena, ptr), 0);
	assert_int_equal(r3_arena_free(arena, ptr), -EINVAL);
	assert_non_null(strstr(r3_error_text(), "freed twice"));
	assert_int_equal(r3_arena_free(arena, other), 0);
	assert_empty(arena);
	r3_arena_unref(arena);
}

static void it_can_be_used_up(void **state)
{
	struct r3_arena *arena = arena_new();
	uint64_t largest;
	void *ptr, *all[SIZE / 4096];
	unsigned n = 0;

	while (r3_arena_alloc(arena, 4096 - (r3_poison_watched() ? 64 : 0), 0, &ptr) == 0)
		all[n++] = ptr;
	assert_int_equal(n, SIZE / 4096);
	r3_arena_usage(arena, NULL, &largest);
	assert_int_equal(largest, 0);
	/* every second one, then the rest: nothing merges, then all of it does */
	for (unsigned i = 0; i < n; i += 2)
		assert_int_equal(r3_arena_free(arena, all[i]), 0);
	r3_arena_usage(arena, NULL, &largest);
	assert_int_equal(largest, 4096);
	for (unsigned i = 1; i < n; i += 2)
		assert_int_equal(r3_arena_free(arena, all[i]), 0);
	assert_empty(arena);
	r3_arena_unref(arena);
}

/* ---- random ---- */

#define PIECES 200

struct piece {
	unsigned char *at;
	uint64_t len;
	unsigned char fill;
};

static void check_piece(const struct piece *p)
{
	assert_int_equal(p->at[0], p->fill);
	assert_int_equal(p->at[p->len / 2], p->fill);
	assert_int_equal(p->at[p->len - 1], p->fill);
}

static void allocate(struct r3_arena *arena, struct piece *p, uint64_t *random)
{
	uint64_t align =
		test_random_below(random, 3) ? 0 : UINT64_C(1) << test_random_below(random, 17);
	uint64_t boundary = 0;
	void *ptr;

	p->len = 1 + test_random_below(random, test_random_below(random, 10) ? 5000 : 200000);
	if (!test_random_below(random, 4))
		boundary = UINT64_C(1) << (63 - __builtin_clzll(p->len * 2) +
					   (int)test_random_below(random, 3));
	if (r3_arena_alloc_within(arena, p->len, align, boundary, &ptr)) {
		uint64_t largest;

		/* refused only where it could be true */
		r3_arena_usage(arena, NULL, &largest);
		assert_true(largest < p->len + 64 + (align > boundary ? align : boundary) +
					      (align < 64 ? 64 : align));
		return;
	}
	p->at = ptr;

	uint64_t off = (uint64_t)(p->at - base_of(arena));
	assert_true(p->at >= base_of(arena) && off <= SIZE - p->len);
	assert_int_equal(off & ((align ? align : 64) - 1), 0);
	if (boundary)
		assert_int_equal(off / boundary, (off + p->len - 1) / boundary);
	for (uint64_t i = 0; i < p->len; i++)
		if (p->at[i])
			fail_msg("byte %ju of %ju is not zero", (uintmax_t)i, (uintmax_t)p->len);
	p->fill = (unsigned char)(1 + test_random_below(random, 255));
	memset(p->at, p->fill, p->len);
}

static void random_pieces(void **state)
{
	struct r3_arena *arena = arena_new();
	struct piece pieces[PIECES] = {0};
	uint64_t random = test_seed();

	for (unsigned i = 0; i < 10000; i++) {
		struct piece *p = &pieces[test_random_below(&random, PIECES)];

		if (!p->at) {
			allocate(arena, p, &random);
			continue;
		}
		check_piece(p);
		assert_int_equal(r3_arena_free(arena, p->at), 0);
		p->at = NULL;
	}
	for (unsigned i = 0; i < PIECES; i++) {
		if (pieces[i].at) {
			check_piece(&pieces[i]);
			assert_int_equal(r3_arena_free(arena, pieces[i].at), 0);
		}
	}
	assert_empty(arena);
	r3_arena_unref(arena);
}

/* ---- the checkers see overflows ---- */

#ifdef R3_WITH_ASAN
static void overflows_are_seen(void **state)
{
	struct r3_arena *arena = arena_new();
	unsigned char *a, *b;

	assert_int_equal(r3_arena_alloc(arena, 100, 0, (void **)&a), 0);
	assert_int_equal(r3_arena_alloc(arena, 4096, 4096, (void **)&b), 0);
	assert_false(__asan_address_is_poisoned(a));
	assert_false(__asan_address_is_poisoned(a + 99));
	assert_true(__asan_address_is_poisoned(a + 100));
	assert_true(__asan_address_is_poisoned(a + 163));
	assert_true(__asan_address_is_poisoned(b - 1));
	assert_false(__asan_address_is_poisoned(b + 4095));
	assert_true(__asan_address_is_poisoned(b + 4096));
	assert_int_equal(r3_arena_free(arena, a), 0);
	assert_true(__asan_address_is_poisoned(a));
	r3_arena_unref(arena);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_checked),
		cmocka_unit_test(requests_are_checked),
		cmocka_unit_test(wrong_frees_change_nothing),
		cmocka_unit_test(it_can_be_used_up),
		cmocka_unit_test(random_pieces),
#ifdef R3_WITH_ASAN
		cmocka_unit_test(overflows_are_seen),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
