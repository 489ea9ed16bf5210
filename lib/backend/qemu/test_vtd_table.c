/* SPDX-License-Identifier: BSD-2-Clause */
/* Page tables against a list of what was mapped, in random order; and against somebody who
 * writes to them. */
#include "backend/qemu/vtd_table.h"
#include "unit.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

#define KIB_4 UINT64_C(0x1000)
#define MIB_2 UINT64_C(0x200000)
#define GIB   UINT64_C(0x40000000)
#define POOL  UINT64_C(0x100000) /* where in the memory the tables begin */
#define RW    (VTD_SL_R | VTD_SL_W)

static struct r3_mem *mem;
static struct r3_arena *arena;
static struct r3_vtd_table table;
static uint64_t empty; /* bytes of an empty table; more than a page under a sanitizer */

static uint64_t used(void)
{
	uint64_t bytes;

	r3_arena_usage(arena, &bytes, NULL);
	return bytes;
}

static void begin(uint64_t size, unsigned largest)
{
	assert_int_equal(r3_mem_create("tables", size, 0, &mem), 0);
	assert_int_equal(r3_arena_create(mem, POOL, size - POOL, &arena), 0);
	assert_int_equal(r3_vtd_table_init(&table, arena, largest), 0);
	empty = used();
}

/* Nothing is left but the root. */
static void end(void)
{
	r3_vtd_table_trim(&table);
	assert_int_equal(used(), empty);
	r3_vtd_table_free(&table);
	r3_arena_unref(arena);
	r3_mem_unref(mem);
}

/* @iova is at @physical, by an entry of @level; @physical 0: nowhere. */
static void is_at(uint64_t iova, uint64_t physical, uint64_t flags, unsigned level)
{
	unsigned found;
	uint64_t entry = r3_vtd_table_look(&table, iova, &found);

	if (!physical) {
		assert_int_equal(entry, 0);
		return;
	}
	uint64_t span = UINT64_C(1) << (12 + 9 * (found - 1));
	assert_int_equal((entry & VTD_SL_ADDR & ~(span - 1)) + (iova & (span - 1)), physical);
	assert_int_equal(entry & RW, flags);
	if (level)
		assert_int_equal(found, level);
}

static void large_pages_are_used_where_they_fit(void **state)
{
	begin(8 << 20, 3);
	/* 4 KiB before a border of 2 MiB, 1 GiB and a bit behind one of 1 GiB */
	assert_int_equal(r3_vtd_table_map(&table, GIB - KIB_4, 7 * GIB - KIB_4,
					  KIB_4 + GIB + MIB_2 + KIB_4, RW),
			 0);
	is_at(GIB - 2 * KIB_4, 0, 0, 0);
	is_at(GIB - KIB_4, 7 * GIB - KIB_4, RW, 1);
	is_at(GIB + 0x12345000, 7 * GIB + 0x12345000, RW, 3);
	is_at(2 * GIB + KIB_4, 8 * GIB + KIB_4, RW, 2);
	is_at(2 * GIB + MIB_2, 8 * GIB + MIB_2, RW, 1);
	is_at(2 * GIB + MIB_2 + KIB_4, 0, 0, 0);
	assert_int_equal(r3_vtd_table_unmap(&table, GIB - KIB_4, KIB_4 + GIB + MIB_2 + KIB_4), 0);
	is_at(GIB, 0, 0, 0);
	end();
}

static void what_the_iommu_lacks_is_not_used(void **state)
{
	begin(8 << 20, 1);
	assert_int_equal(r3_vtd_table_map(&table, GIB, GIB, MIB_2, VTD_SL_R), 0);
	is_at(GIB + KIB_4, GIB + KIB_4, VTD_SL_R, 1);
	assert_int_equal(r3_vtd_table_unmap(&table, GIB, MIB_2), 0);
	end();
}

static void what_is_not_congruent_takes_small_pages(void **state)
{
	begin(8 << 20, 3);
	assert_int_equal(r3_vtd_table_map(&table, GIB, GIB + KIB_4, MIB_2, RW), 0);
	is_at(GIB, GIB + KIB_4, RW, 1);
	is_at(GIB + MIB_2 - KIB_4, GIB + MIB_2, RW, 1);
	assert_int_equal(r3_vtd_table_unmap(&table, GIB, MIB_2), 0);
	end();
}

#define MAPS 40

static struct {
	uint64_t iova, physical, len, flags;
} maps[MAPS];

static bool is_free(uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < MAPS; i++)
		if (maps[i].len && iova < maps[i].iova + maps[i].len && maps[i].iova < iova + len)
			return false;
	return true;
}

static void draw(unsigned i, uint64_t *random)
{
	static const uint64_t units[] = {KIB_4, MIB_2, GIB};
	uint64_t unit = units[test_random_below(random, 3)];
	uint64_t len =
		unit * (1 + test_random_below(random, 4)) + KIB_4 * test_random_below(random, 3);
	uint64_t iova = (uint64_t)test_random_below(random, 16) * GIB +
			test_random_below(random, 4) * MIB_2 + test_random_below(random, 4) * KIB_4;

	if (!is_free(iova, len))
		return;
	maps[i].iova = iova;
	maps[i].len = len;
	maps[i].flags = 1 + test_random_below(random, 3);
	maps[i].physical =
		64 * GIB + (iova & (GIB - 1)) + (test_random_below(random, 2) ? 0 : KIB_4);
	assert_int_equal(r3_vtd_table_map(&table, iova, maps[i].physical, len, maps[i].flags), 0);
}

static void check(uint64_t *random)
{
	for (unsigned i = 0; i < MAPS; i++) {
		uint64_t off = maps[i].len / KIB_4
				       ? (test_random(random) % (maps[i].len / KIB_4)) * KIB_4
				       : 0;

		if (!maps[i].len)
			continue;
		is_at(maps[i].iova + off, maps[i].physical + off, maps[i].flags, 0);
		if (is_free(maps[i].iova + maps[i].len, KIB_4))
			is_at(maps[i].iova + maps[i].len, 0, 0, 0);
		if (maps[i].iova && is_free(maps[i].iova - KIB_4, KIB_4))
			is_at(maps[i].iova - KIB_4, 0, 0, 0);
	}
}

static void any_order_will_do(void **state)
{
	uint64_t random = test_seed();

	begin(64 << 20, 3);
	memset(maps, 0, sizeof(maps));
	for (unsigned round = 0; round < 1500; round++) {
		unsigned i = test_random_below(&random, MAPS);

		if (!maps[i].len) {
			draw(i, &random);
		} else {
			assert_int_equal(r3_vtd_table_unmap(&table, maps[i].iova, maps[i].len), 0);
			maps[i].len = 0;
			if (test_random_below(&random, 2))
				r3_vtd_table_trim(&table);
		}
		if (round % 16 == 0)
			check(&random);
	}
	for (unsigned i = 0; i < MAPS; i++)
		if (maps[i].len)
			r3_vtd_table_unmap(&table, maps[i].iova, maps[i].len);
	end();
}

/* What the IOMMU may still know is not used for something else. */
static void a_table_is_kept_until_it_is_forgotten(void **state)
{
	uint64_t before;

	begin(8 << 20, 3);
	assert_int_equal(r3_vtd_table_map(&table, GIB, 64 * GIB, KIB_4, RW), 0);
	before = used();
	assert_int_equal(r3_vtd_table_unmap(&table, GIB, KIB_4), 0);
	assert_int_equal(used(), before);
	assert_int_equal(r3_vtd_table_map(&table, GIB, 64 * GIB, KIB_4, RW), 0);
	assert_true(used() > before);
	r3_vtd_table_trim(&table);
	assert_int_equal(used(), before);
	assert_int_equal(r3_vtd_table_unmap(&table, GIB, KIB_4), 0);
	end();
}

static void no_room_is_said_and_undone(void **state)
{
	begin(POOL + 12 * VTD_PAGE, 1);
	assert_int_equal(r3_vtd_table_map(&table, GIB, 64 * GIB, 16 * MIB_2, RW), -ENOMEM);
	assert_non_null(strstr(r3_error_text(), "mem="));
	assert_int_equal(r3_vtd_table_unmap(&table, GIB, 16 * MIB_2), 0);
	r3_vtd_table_trim(&table);
	assert_int_equal(r3_vtd_table_map(&table, GIB, 64 * GIB, MIB_2, RW), 0);
	assert_int_equal(r3_vtd_table_unmap(&table, GIB, MIB_2), 0);
	end();
}

#define OTHERS (16 * VTD_PAGE)

/* Write nonsense to an entry of some table; often what looks like one. */
static void spoil(uint64_t *random)
{
	unsigned pages = (unsigned)(r3_mem_size(mem) / VTD_PAGE);
	unsigned tables[64], n = 0;
	uint64_t *at = r3_mem_addr(mem);

	for (unsigned page = 0; page < pages && n < 64; page++)
		if (table.page[page] == UINT32_MAX)
			tables[n++] = page;
	at += tables[test_random_below(random, n)] * VTD_ENTRIES;
	at[test_random_below(random, 9)] =
		test_random_below(random, 2) ? test_random(random)
					     : POOL + test_random_below(random, 64) * VTD_PAGE + RW;
}

/* QEMU can write where the tables are. Nothing but them may be touched for that, and nothing
 * may take for ever. */
static void nonsense_in_the_tables_is_survived(void **state)
{
	uint64_t random = test_seed();
	unsigned char *others; /* what lies between the tables */

	for (unsigned round = 0; round < 300; round++) {
		begin(4 << 20, 3);
		assert_int_equal(r3_arena_alloc(arena, OTHERS, VTD_PAGE, (void **)&others), 0);
		memset(others, 0x5a, OTHERS);
		for (unsigned i = 0; i < 8; i++)
			r3_vtd_table_map(&table, i * GIB + i * MIB_2, 64 * GIB, 3 * KIB_4, RW);
		for (unsigned i = 0; i < 8; i++) {
			spoil(&random);
			spoil(&random);
			r3_vtd_table_unmap(&table, i * GIB + i * MIB_2, 3 * KIB_4);
			r3_vtd_table_trim(&table);
			r3_vtd_table_map(&table, i * GIB, 64 * GIB, MIB_2, RW);
		}
		for (unsigned i = 0; i < OTHERS; i++)
			assert_int_equal(others[i], 0x5a);
		r3_vtd_table_free(&table);
		r3_arena_unref(arena);
		r3_mem_unref(mem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_pages_are_used_where_they_fit),
		cmocka_unit_test(what_the_iommu_lacks_is_not_used),
		cmocka_unit_test(what_is_not_congruent_takes_small_pages),
		cmocka_unit_test(any_order_will_do),
		cmocka_unit_test(a_table_is_kept_until_it_is_forgotten),
		cmocka_unit_test(no_room_is_said_and_undone),
		cmocka_unit_test(nonsense_in_the_tables_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
