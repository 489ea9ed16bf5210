/* SPDX-License-Identifier: BSD-2-Clause */
/* Sync and bounce: which bytes move when, and to whom; foreign memory. */
#include "dma/test_dma.h"

enum { LEN = 5000 };

static unsigned char mine[LEN]; /* no memory of the device's */

static struct r3_dma_map *bounce_map(struct carrier **c, const struct carrier_opts *opts,
				     uint64_t reserve)
{
	*c = carrier_open(opts);
	struct r3_dma_tag *tag = carrier_tag(*c, (struct r3_dma_constraints){.alignment = 16});
	struct r3_dma_map *map = carrier_map_create(tag, reserve);

	r3_dma_tag_unref(tag);
	return map;
}

static void end(struct carrier *c, struct r3_dma_map *map)
{
	r3_dma_unload(map);
	assert_int_equal(r3_dma_map_destroy(map), 0);
	assert_int_equal(carrier_used(c), 0);
	carrier_close(c);
}

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
	struct r3_dma_map *map = bounce_map(&c, &(struct carrier_opts){0}, 0);

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
	end(c, map);
}

static void postread_copies_from_the_device(void **state)
{
	uint64_t seed = test_seed();
	unsigned char data[LEN];
	struct carrier *c;
	struct r3_dma_map *map = bounce_map(&c, &(struct carrier_opts){0}, 0);

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
	end(c, map);
}

static void what_the_device_leaves_stays(void **state)
{
	uint64_t seed = test_seed();
	unsigned char data[LEN], secret[LEN];
	struct carrier *c;
	struct r3_dma_map *map = bounce_map(&c, &(struct carrier_opts){0}, LEN);

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
	end(c, map);
}

static void ranges_move_their_bytes_alone(void **state)
{
	uint64_t seed = test_seed();
	unsigned char data[LEN], seen[LEN];
	struct carrier *c;
	struct r3_dma_map *map = bounce_map(&c, &(struct carrier_opts){0}, 0);
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
	end(c, map);
}

static void bounce_on_demand_is_given_back(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = bounce_map(&c, &(struct carrier_opts){0}, 0);

	assert_int_equal(carrier_used(c), 0);
	load_mine(map, R3_DMA_TO_DEVICE);
	assert_true(carrier_used(c) >= LEN);
	r3_dma_unload(map);
	assert_int_equal(carrier_used(c), 0);
	end(c, map);
}

static void reserved_bounce_never_fails(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = bounce_map(&c, &(struct carrier_opts){0}, LEN);
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
	end(c, map);
}

static void bounce_can_be_asked_for(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = bounce_map(&c, &(struct carrier_opts){0}, 0);
	unsigned char *buf = carrier_buf(c, LEN, PAGE);

	assert_int_equal(r3_dma_load(map, buf, LEN, R3_DMA_TO_DEVICE | R3_DMA_BOUNCE, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), LEN);
	r3_dma_unload(map);
	r3_arena_free(carrier_arena(c), buf);
	end(c, map);
}

/* ---- carriers that want to be told ---- */

static void the_carrier_is_told_of_each_segment(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = bounce_map(&c,
					    &(struct carrier_opts){.incoherent = true,
								   .caps = R3_CAP_DMA_ASSIGNED,
								   .chunk = 64 << 10},
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
	end(c, map);
}

/* ---- memory outside the arena ---- */

static struct r3_mem *other_memory(void)
{
	struct r3_mem *mem;

	assert_int_equal(r3_mem_create("other", 16 * PAGE, 0, &mem), 0);
	return mem;
}

static void foreign_memory_is_mapped_where_it_can_be(unsigned caps, uint64_t chunk)
{
	uint64_t seed = test_seed();
	struct carrier *c;
	struct r3_dma_map *map =
		bounce_map(&c, &(struct carrier_opts){.caps = caps, .chunk = chunk}, 0);
	struct r3_dma_map *second = carrier_map_create(map->tag, 0);
	struct r3_mem *mem = other_memory();
	unsigned char *bytes = r3_mem_addr(mem), seen[5 * PAGE];
	unsigned before, n;

	carrier_arena(c);
	before = carrier_maps(c);
	fill(bytes, 16 * PAGE, &seed);
	assert_int_equal(r3_dma_load_mem(map, mem, 3 * PAGE + 32, 5 * PAGE, R3_DMA_TO_DEVICE, NULL),
			 0);
	assert_int_equal(r3_dma_bounced(map), 0);
	check_segments(map, 5 * PAGE);
	/* A second load of it at the same time has addresses of its own (the fake refuses
	 * overlaps), and neither may be written by the device. */
	assert_int_equal(r3_dma_load_mem(second, mem, 0, 2 * PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(r3_dma_bounced(second), 0);
	device_reads(c, map, seen);
	assert_memory_equal(seen, bytes + 3 * PAGE + 32, 5 * PAGE);
	assert_null(
		fake_device_reach(c->fake, r3_dma_segs(map, &n)->addr.v, 1, R3_DMA_DEVICE_WRITE));
	r3_dma_unload(map);
	device_reads(c, second, seen);
	assert_memory_equal(seen, bytes, 2 * PAGE);
	assert_int_equal(r3_dma_load_mem(map, mem, 0, PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	r3_dma_unload(second);
	r3_dma_unload(map);
	assert_int_equal(carrier_maps(c), before);

	/* What does not fit the tag as it lies, or cannot be mapped, is bounced. */
	assert_int_equal(r3_dma_load_mem(map, mem, 7, PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), PAGE);
	assert_int_equal(carrier_maps(c), before);
	r3_dma_unload(map);
	c->fake->fail_dma_map = -ENOMEM;
	assert_int_equal(r3_dma_load_mem(map, mem, 0, PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), PAGE);
	r3_dma_unload(map);
	r3_mem_unref(mem);
	assert_int_equal(r3_dma_map_destroy(second), 0);
	end(c, map);
}

static void foreign_memory_is_mapped_at_our_addresses(void **state)
{
	foreign_memory_is_mapped_where_it_can_be(0, 0);
}

static void foreign_memory_is_mapped_at_the_carriers_addresses(void **state)
{
	foreign_memory_is_mapped_where_it_can_be(R3_CAP_DMA_ASSIGNED, 128 << 10);
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
		cmocka_unit_test(bounce_can_be_asked_for),
		cmocka_unit_test(the_carrier_is_told_of_each_segment),
		cmocka_unit_test(foreign_memory_is_mapped_at_our_addresses),
		cmocka_unit_test(foreign_memory_is_mapped_at_the_carriers_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
