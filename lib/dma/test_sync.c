/* SPDX-License-Identifier: BSD-2-Clause */
/* Sync and bounce: which bytes move when, and to whom. */
#include "dma/test_dma.h"

enum { LEN = 5000 };

static unsigned char mine[LEN]; /* no memory of the device's */

static void load_mine(struct r3_dma_map *map, unsigned flags)
{
	assert_int_equal(r3_dma_load(map, mine, LEN, flags, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), LEN);
}

static void prewrite_copies_to_the_device(void **state)
{
	uint64_t seed = test_seed();
	unsigned char seen[LEN], before[LEN];
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 0);

	fill(mine, LEN, &seed);
	memcpy(before, mine, LEN);
	load_mine(map, R3_DMA_TO_DEVICE);
	r3_dma_sync(map, R3_DMA_PREWRITE);
	device_reads(c, map, seen);
	assert_memory_equal(seen, before, LEN);
	/* From here on only another sync moves anything, and none of these writes back. */
	memset(mine, 1, LEN);
	r3_dma_sync(map, R3_DMA_POSTWRITE | R3_DMA_POSTREAD | R3_DMA_PREREAD);
	device_reads(c, map, seen);
	assert_memory_equal(seen, before, LEN);
	for (unsigned i = 0; i < LEN; i++)
		assert_int_equal(mine[i], 1);
	carrier_close_map(c, map);
}

static void postread_copies_from_the_device(void **state)
{
	uint64_t seed = test_seed();
	unsigned char data[LEN];
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 0);

	fill(data, LEN, &seed);
	memset(mine, 2, LEN);
	load_mine(map, R3_DMA_FROM_DEVICE);
	r3_dma_sync(map, R3_DMA_PREREAD);
	device_writes(c, map, data, LEN);
	r3_dma_sync(map, R3_DMA_POSTWRITE);
	for (unsigned i = 0; i < LEN; i++)
		assert_int_equal(mine[i], 2);
	r3_dma_sync(map, R3_DMA_POSTREAD);
	assert_memory_equal(mine, data, LEN);
	memset(mine, 3, LEN);
	r3_dma_unload(map);
	r3_dma_sync(map, R3_DMA_POSTREAD); /* not loaded: nothing */
	for (unsigned i = 0; i < LEN; i++)
		assert_int_equal(mine[i], 3);
	carrier_close_map(c, map);
}

static void what_the_device_leaves_stays(void **state)
{
	uint64_t seed = test_seed();
	unsigned char data[LEN], secret[LEN];
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, LEN);

	/* An earlier transfer left its bytes in the reserved bounce memory. */
	memset(secret, 0x5e, LEN);
	load_mine(map, R3_DMA_FROM_DEVICE);
	r3_dma_sync(map, R3_DMA_PREREAD);
	device_writes(c, map, secret, LEN);
	r3_dma_unload(map);

	fill(data, LEN, &seed);
	memset(mine, 4, LEN);
	load_mine(map, R3_DMA_FROM_DEVICE);
	r3_dma_sync(map, R3_DMA_PREREAD);
	device_writes(c, map, data, 1000);
	r3_dma_sync(map, R3_DMA_POSTREAD);
	assert_memory_equal(mine, data, 1000);
	for (unsigned i = 1000; i < LEN; i++)
		assert_int_equal(mine[i], 4);
	carrier_close_map(c, map);
}

static void ranges_move_their_bytes_alone(void **state)
{
	uint64_t seed = test_seed();
	unsigned char data[LEN], seen[LEN];
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 0);
	/* Four pieces, so that ranges begin and end inside, at, and across them. */
	struct r3_sg sg[] = {{mine, 1000}, {mine + 1000, 1}, {mine + 1001, 0}, {mine + 1001, 3999}};

	fill(data, LEN, &seed);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t off = i ? test_random_below(&seed, LEN + 100) : UINT64_MAX;
		uint64_t len = i & 1 ? test_random_below(&seed, LEN + 100) : UINT64_MAX - i;

		memset(mine, 0, LEN);
		assert_int_equal(
			r3_dma_load_sg(map, sg, 4, R3_DMA_TO_DEVICE | R3_DMA_FROM_DEVICE, NULL), 0);
		r3_dma_sync(map, R3_DMA_PREWRITE | R3_DMA_PREREAD);
		memcpy(mine, data, LEN);
		r3_dma_sync_range(map, off, len, R3_DMA_PREWRITE);
		device_reads(c, map, seen);
		for (uint64_t j = 0; j < LEN; j++)
			assert_int_equal(seen[j], j >= off && j - off < len ? data[j] : 0);

		memset(mine, 7, LEN);
		device_writes(c, map, data, LEN);
		r3_dma_sync_range(map, off, len, R3_DMA_POSTREAD);
		for (uint64_t j = 0; j < LEN; j++)
			assert_int_equal(mine[j], j >= off && j - off < len ? data[j] : 7);
		r3_dma_unload(map);
	}
	carrier_close_map(c, map);
}

static void bounce_on_demand_is_given_back(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 0);

	assert_int_equal(carrier_used(c), 0);
	load_mine(map, R3_DMA_TO_DEVICE);
	assert_true(carrier_used(c) >= LEN);
	r3_dma_unload(map);
	assert_int_equal(carrier_used(c), 0);
	carrier_close_map(c, map);
}

static void reserved_bounce_never_fails(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, LEN);
	struct r3_dma_map *poor = carrier_map_create(map->tag, 0);
	void *all[4096];
	uint64_t largest;
	unsigned n = 0;

	/* Use up the whole arena. */
	for (r3_arena_usage(carrier_arena(c), NULL, &largest); largest && n < 4096;
	     r3_arena_usage(carrier_arena(c), NULL, &largest)) {
		while (largest && r3_arena_alloc(carrier_arena(c), largest, 0, &all[n]))
			largest /= 2;
		if (!largest)
			break;
		n++;
	}
	uint64_t used = carrier_used(c);

	assert_int_equal(r3_dma_load(poor, mine, LEN, R3_DMA_TO_DEVICE, NULL), -ENOMEM);
	assert_null(r3_dma_segs(poor, &(unsigned){0}));
	for (unsigned len = 1; len <= LEN; len += 613) {
		assert_int_equal(r3_dma_load(map, mine, len, R3_DMA_TO_DEVICE, NULL), 0);
		check_segments(map, len);
		r3_dma_unload(map);
	}
	assert_int_equal(carrier_used(c), used);
	while (n)
		r3_arena_free(carrier_arena(c), all[--n]);
	assert_int_equal(r3_dma_load(poor, mine, LEN, R3_DMA_TO_DEVICE, NULL), 0);
	r3_dma_unload(poor);
	assert_int_equal(r3_dma_map_destroy(poor), 0);
	carrier_close_map(c, map);
}

static void a_reserve_too_small_is_not_used(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 64);
	uint64_t used = carrier_used(c);

	assert_int_equal(r3_dma_load(map, mine, 64, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(carrier_used(c), used);
	r3_dma_unload(map);
	assert_int_equal(r3_dma_load(map, mine, 65, R3_DMA_TO_DEVICE, NULL), 0);
	assert_true(carrier_used(c) > used);
	r3_dma_unload(map);
	assert_int_equal(carrier_used(c), used);
	carrier_close_map(c, map);
}

/* Two segments hold it only if they meet in the middle. */
static void a_copy_lies_where_it_needs_few_segments(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	void *odd = carrier_buf(c, 64, 0);
	struct r3_dma_tag *tag = carrier_tag(c, (struct r3_dma_constraints){.virt_boundary = 2048,
									    .max_segment = 2500,
									    .max_segments = 2});
	struct r3_dma_map *map = carrier_map_create(tag, 0);

	r3_dma_tag_unref(tag);
	assert_int_equal(r3_dma_load(map, mine, 2048 + 2500, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(r3_dma_load(map, mine, 2048 + 2501, R3_DMA_TO_DEVICE, NULL), -EBUSY);
	r3_dma_unload(map);
	assert_int_equal(r3_dma_load(map, mine, 2048 + 2501, R3_DMA_TO_DEVICE, NULL), -EFBIG);
	r3_arena_free(carrier_arena(c), odd);
	carrier_close_map(c, map);
}

static void bounce_can_be_asked_for(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 0);
	unsigned char *buf = carrier_buf(c, LEN, PAGE);

	assert_int_equal(r3_dma_load(map, buf, LEN, R3_DMA_TO_DEVICE | R3_DMA_BOUNCE, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), LEN);
	r3_dma_unload(map);
	r3_arena_free(carrier_arena(c), buf);
	carrier_close_map(c, map);
}

/* ---- carriers that want to be told ---- */

static void the_carrier_is_told_of_each_segment(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(
		&c,
		&(struct carrier_opts){
			.incoherent = true, .caps = R3_CAP_DMA_ASSIGNED, .chunk = 64 << 10},
		0);
	unsigned char *buf = carrier_buf(c, 200 << 10, PAGE);
	unsigned char *edge = (unsigned char *)c->dev->arena_base + (128 << 10);
	const struct r3_dma_seg *seg;
	unsigned n;

	assert_int_equal(r3_dma_load(map, edge - 512, 1000, R3_DMA_TO_DEVICE, NULL), 0);
	seg = r3_dma_segs(map, &n);
	assert_int_equal(n, 2);
	r3_dma_sync(map, R3_DMA_PREWRITE);
	assert_int_equal(c->nsyncs, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(c->sync[i].iova, seg[i].addr.v);
		assert_int_equal(c->sync[i].len, seg[i].len);
		assert_int_equal(c->sync[i].direction, R3_DMA_FOR_DEVICE);
	}
	c->nsyncs = 0;
	r3_dma_sync_range(map, 600, 50, R3_DMA_POSTWRITE);
	assert_int_equal(c->nsyncs, 1);
	assert_int_equal(c->sync[0].iova, seg[1].addr.v + 88);
	assert_int_equal(c->sync[0].len, 50);
	assert_int_equal(c->sync[0].direction, R3_DMA_FOR_CPU);
	c->nsyncs = 0;
	r3_dma_sync(map, R3_DMA_PREREAD | R3_DMA_POSTREAD); /* not loaded for it */
	assert_int_equal(c->nsyncs, 0);
	r3_dma_unload(map);

	/* One segment: the fast path tells too. */
	assert_int_equal(r3_dma_load(map, buf, 64, R3_DMA_FROM_DEVICE, NULL), 0);
	r3_dma_sync(map, R3_DMA_PREREAD);
	r3_dma_sync(map, R3_DMA_POSTREAD);
	assert_int_equal(c->nsyncs, 2);
	assert_int_equal(c->sync[0].direction, R3_DMA_FOR_DEVICE);
	assert_int_equal(c->sync[1].direction, R3_DMA_FOR_CPU);
	r3_dma_unload(map);
	r3_dma_sync(map, R3_DMA_POSTREAD);
	assert_int_equal(c->nsyncs, 2);
	r3_arena_free(carrier_arena(c), buf);
	carrier_close_map(c, map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prewrite_copies_to_the_device),
		cmocka_unit_test(postread_copies_from_the_device),
		cmocka_unit_test(what_the_device_leaves_stays),
		cmocka_unit_test(ranges_move_their_bytes_alone),
		cmocka_unit_test(bounce_on_demand_is_given_back),
		cmocka_unit_test(reserved_bounce_never_fails),
		cmocka_unit_test(a_reserve_too_small_is_not_used),
		cmocka_unit_test(a_copy_lies_where_it_needs_few_segments),
		cmocka_unit_test(bounce_can_be_asked_for),
		cmocka_unit_test(the_carrier_is_told_of_each_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
