/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of others that is lent to a device: found by every load, until it is taken back. */
#include "dma/test_dma.h"

static struct r3_mem *other_memory(void)
{
	struct r3_mem *mem;

	assert_int_equal(r3_mem_create("other", 16 * PAGE, 0, &mem), 0);
	return mem;
}

static void lent_memory_is_not_copied(void **state)
{
	static const unsigned caps[] = {0, R3_CAP_DMA_ASSIGNED};

	for (unsigned i = 0; i < 2; i++) {
		uint64_t seed = test_seed();
		struct carrier *c;
		struct r3_dma_map *map =
			carrier_open_map(&c, &(struct carrier_opts){.caps = caps[i]}, 0);
		struct r3_device *dev = &c->fake->base;
		struct r3_mem *mem = other_memory(), *more = other_memory();
		unsigned char *bytes = r3_mem_addr(mem), seen[3 * PAGE];
		const struct r3_sg sg[] = {{bytes + PAGE, PAGE},
					   {(unsigned char *)r3_mem_addr(more) + PAGE, 2 * PAGE}};
		unsigned before, n;

		carrier_arena(c);
		before = carrier_maps(c);
		fill(bytes, 16 * PAGE, &seed);
		fill(r3_mem_addr(more), 16 * PAGE, &seed);
		assert_int_equal(r3_dma_lend(dev, mem), 0);
		assert_int_equal(r3_dma_load(map, bytes + 64, 512, R3_DMA_TO_DEVICE, NULL), 0);
		assert_int_equal(r3_dma_bounced(map), 0);
		device_reads(c, map, seen);
		assert_memory_equal(seen, bytes + 64, 512);
		/* it can be taken back in any order, and other loads keep away from it */
		assert_int_equal(r3_dma_lend(dev, more), 0);
		r3_dma_unload(map);
		assert_int_equal(r3_dma_load_sg(map, sg, 2, R3_DMA_TO_DEVICE, NULL), 0);
		assert_int_equal(r3_dma_bounced(map), 0);
		r3_dma_segs(map, &n);
		assert_in_range(n, 2, 3);
		device_reads(c, map, seen);
		assert_memory_equal(seen, bytes + PAGE, PAGE);
		assert_memory_equal(seen + PAGE, sg[1].addr, 2 * PAGE);
		r3_dma_unload(map);
		assert_int_equal(carrier_maps(c), before + 2);
		r3_dma_take_back(dev, mem);
		r3_dma_take_back(dev, mem); /* it is not lent */
		assert_int_equal(carrier_maps(c), before + 1);
		assert_int_equal(r3_dma_load_sg(map, sg, 2, R3_DMA_TO_DEVICE, NULL), 0);
		assert_int_equal(r3_dma_bounced(map), 3 * PAGE);
		r3_dma_unload(map);
		/* across its end it is copied as a whole */
		assert_int_equal(r3_dma_load(map, (unsigned char *)r3_mem_addr(more) + 15 * PAGE,
					     PAGE, R3_DMA_TO_DEVICE, NULL),
				 0);
		assert_int_equal(r3_dma_bounced(map), 0);
		r3_dma_unload(map);
		r3_mem_unref(mem);
		r3_mem_unref(more);        /* the device has one of its own, */
		carrier_close_map(c, map); /* and gives it back */
	}
}

static void devices_that_reach_none(void **state)
{
	struct carrier *c =
		carrier_open(&(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED | R3_CAP_OWN_MEM});
	struct r3_mem *mem = other_memory();

	assert_int_equal(r3_dma_lend(&c->fake->base, mem), -EOPNOTSUPP);
	r3_dma_take_back(&c->fake->base, mem);
	carrier_close(c);

	/* in pieces that do not follow each other, or not at all */
	c = carrier_open(&(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED});
	carrier_arena(c);
	c->fake->extent_len = 2 * PAGE;
	assert_int_equal(r3_dma_lend(&c->fake->base, mem), -EOPNOTSUPP);
	c->fake->extent_len = 0;
	c->fake->fail_dma_map = -ENOMEM;
	assert_int_equal(r3_dma_lend(&c->fake->base, mem), -ENOMEM);
	assert_int_equal(c->fake->base.nlent, 0);
	assert_int_equal(carrier_maps(c), 1);
	carrier_close(c);
	r3_mem_unref(mem);
}

static void as_many_as_there_are_places(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){.caps = 0});
	struct r3_mem *mem = other_memory();
	unsigned n = 0;

	while (r3_dma_lend(&c->fake->base, mem) == 0)
		n++;
	assert_int_equal(n, FAKE_MAPS < R3_DEVICE_LENT ? FAKE_MAPS : R3_DEVICE_LENT);
	r3_mem_unref(mem);
	carrier_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lent_memory_is_not_copied),
		cmocka_unit_test(devices_that_reach_none),
		cmocka_unit_test(as_many_as_there_are_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
