/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory outside the arena: mapped for one load where the carrier can, else bounced. */
#include "dma/test_dma.h"

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
		carrier_open_map(&c, &(struct carrier_opts){.caps = caps, .chunk = chunk}, 0);
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
	r3_error_set(EIO, "before");
	assert_int_equal(r3_dma_load_mem(map, mem, 0, PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	assert_string_equal(r3_error_text(), "before"); /* the load did not fail */
	assert_int_equal(r3_dma_bounced(map), PAGE);
	r3_dma_unload(map);
	r3_mem_unref(mem);
	assert_int_equal(r3_dma_map_destroy(second), 0);
	carrier_close_map(c, map);
}

static void foreign_memory_may_be_cut_into_extents(void **state)
{
	uint64_t seed = test_seed();
	struct carrier *c;
	struct r3_dma_map *map =
		carrier_open_map(&c, &(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED}, 0);
	struct r3_mem *mem = other_memory();
	unsigned char *bytes = r3_mem_addr(mem), seen[5 * PAGE];
	unsigned n;

	carrier_arena(c);
	c->fake->extent_len = 2 * PAGE;
	fill(bytes, 16 * PAGE, &seed);
	assert_int_equal(r3_dma_load_mem(map, mem, PAGE + 512, 5 * PAGE, R3_DMA_TO_DEVICE, NULL),
			 0);
	assert_int_equal(r3_dma_bounced(map), 0);
	assert_int_equal(r3_dma_segs(map, &n)->len, 2 * PAGE - 512);
	assert_int_equal(n, 3);
	check_segments(map, 5 * PAGE);
	device_reads(c, map, seen);
	assert_memory_equal(seen, bytes + PAGE + 512, 5 * PAGE);
	r3_mem_unref(mem);
	carrier_close_map(c, map);
}

/* The arena has the top of the window. */
static void foreign_memory_is_mapped_beside_the_arena(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(
		&c, &(struct carrier_opts){.lowest = 0x180000, .highest = 0x2fffff}, 0);
	struct r3_mem *mem = other_memory();
	uint64_t arena, left;
	unsigned n;

	carrier_arena(c);
	assert_true(r3_device_iova(c->dev, c->dev->arena_base, &arena, &left));
	assert_int_equal(arena, 0x200000);
	assert_int_equal(r3_dma_load_mem(map, mem, 0, PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), 0);
	assert_int_equal(r3_dma_segs(map, &n)->addr.v, 0x1ff000);
	r3_mem_unref(mem);
	carrier_close_map(c, map);
}

static void foreign_memory_smaller_than_the_carriers_pages_is_bounced(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 0);
	struct r3_mem *mem = other_memory();

	carrier_arena(c);
	c->fake->limits.page_size = 32 * PAGE;
	assert_int_equal(r3_dma_load_mem(map, mem, 0, PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), PAGE);
	r3_mem_unref(mem);
	carrier_close_map(c, map);
}

static int boastful_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
			unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	extent[0].len = len;
	*n = R3_DEVICE_ARENA_EXTENTS + 1;
	return 0;
}

static void more_extents_than_there_is_room_for_are_bounced(void **state)
{
	struct carrier *c;
	struct r3_dma_map *map = carrier_open_map(&c, &(struct carrier_opts){0}, 0);
	struct r3_mem *mem = other_memory();

	carrier_arena(c);

	const struct r3_bus_ops *ops = c->dev->ops;
	struct r3_bus_ops boastful = *ops;
	boastful.dma_map = boastful_map;
	c->dev->ops = &boastful;
	assert_int_equal(r3_dma_load_mem(map, mem, 0, PAGE, R3_DMA_TO_DEVICE, NULL), 0);
	assert_int_equal(r3_dma_bounced(map), PAGE);
	c->dev->ops = ops;
	r3_mem_unref(mem);
	carrier_close_map(c, map);
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
		cmocka_unit_test(foreign_memory_may_be_cut_into_extents),
		cmocka_unit_test(foreign_memory_is_mapped_beside_the_arena),
		cmocka_unit_test(foreign_memory_smaller_than_the_carriers_pages_is_bounced),
		cmocka_unit_test(more_extents_than_there_is_room_for_are_bounced),
		cmocka_unit_test(foreign_memory_is_mapped_at_our_addresses),
		cmocka_unit_test(foreign_memory_is_mapped_at_the_carriers_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
