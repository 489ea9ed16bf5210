/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads: three kinds, one result; every constraint alone; refusals. */
#include "dma/test_dma.h"

#define BOTH (R3_DMA_TO_DEVICE | R3_DMA_FROM_DEVICE)

struct world {
	struct carrier *c;
	struct r3_dma_tag *tag;
	struct r3_dma_map *map;
};

static struct world world(const struct carrier_opts *opts, struct r3_dma_constraints want)
{
	struct world w = {.c = carrier_open(opts)};

	w.tag = carrier_tag(w.c, want);
	w.map = carrier_map_create(w.tag, 0);
	return w;
}

static void end(struct world *w)
{
	r3_dma_unload(w->map);
	assert_int_equal(r3_dma_map_destroy(w->map), 0);
	r3_dma_tag_unref(w->tag);
	assert_int_equal(carrier_used(w->c), 0);
	carrier_close(w->c);
}

static const struct r3_dma_seg *segs(struct world *w, unsigned want)
{
	unsigned n;
	const struct r3_dma_seg *seg = r3_dma_segs(w->map, &n);

	assert_int_equal(n, want);
	return seg;
}

static uint64_t iova_of(struct world *w, const void *ptr)
{
	uint64_t iova, left;

	assert_true(r3_device_iova(w->c->dev, ptr, &iova, &left));
	return iova;
}

static void a_page_of_the_arena_is_used_as_it_is(void **state)
{
	struct world w = world(&(struct carrier_opts){0}, (struct r3_dma_constraints){
								  .virt_boundary = 4096,
								  .alignment = 4,
							  });
	void *buf = carrier_buf(w.c, PAGE, PAGE);

	assert_int_equal(r3_dma_load(w.map, buf, PAGE, R3_DMA_FROM_DEVICE, NULL), 0);
	assert_int_equal(segs(&w, 1)->addr.v, iova_of(&w, buf));
	assert_int_equal(segs(&w, 1)->len, PAGE);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	r3_dma_unload(w.map);
	assert_null(segs(&w, 0));
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

/* X1: the same bytes by each kind of load give the same segments. */
static void the_kinds_of_load_agree(void **state)
{
	static const struct r3_dma_constraints want[] = {
		{0},
		{.boundary = 4096, .max_segments = 64},
		{.max_segment = 1000},
		{.virt_boundary = 512, .max_segment = 512},
		{.alignment = 64, .max_segment = 4096},
	};

	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct world w = world(
			&(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED, .chunk = 256 << 10},
			want[i]);
		unsigned char *buf = carrier_buf(w.c, 400 << 10, PAGE);
		struct r3_mem *mem = r3_arena_mem(carrier_arena(w.c));
		const uint64_t len = 20000;
		unsigned char *at = buf + (200 << 10) + 192; /* across a gap or not */
		struct r3_sg sg[3] = {{at, 5000}, {at + 5000, 0}, {at + 5000, len - 5000}};
		struct r3_dma_seg first[64];
		unsigned n;

		assert_int_equal(r3_dma_load(w.map, at, len, BOTH, NULL), 0);
		check_segments(w.map, len);
		assert_int_equal(r3_dma_bounced(w.map), 0);
		r3_dma_segs(w.map, &n);
		assert_in_range(n, 1, 64);
		memcpy(first, r3_dma_segs(w.map, &n), n * sizeof(first[0]));
		r3_dma_unload(w.map);

		assert_int_equal(r3_dma_load_sg(w.map, sg, 3, BOTH, NULL), 0);
		assert_memory_equal(segs(&w, n), first, n * sizeof(first[0]));
		r3_dma_unload(w.map);

		assert_int_equal(r3_dma_load_mem(w.map, mem,
						 (uint64_t)(at - (unsigned char *)r3_mem_addr(mem)),
						 len, BOTH, NULL),
				 0);
		assert_memory_equal(segs(&w, n), first, n * sizeof(first[0]));
		r3_dma_unload(w.map);
		r3_arena_free(carrier_arena(w.c), buf);
		end(&w);
	}
}

/* ---- each constraint alone ---- */

static void boundary_cuts(void **state)
{
	struct world w =
		world(&(struct carrier_opts){0}, (struct r3_dma_constraints){.boundary = 4096});
	unsigned char *buf = carrier_buf(w.c, 4 * PAGE, PAGE);

	assert_int_equal(r3_dma_load(w.map, buf + 4000, 4192 + 96, BOTH, NULL), 0);
	assert_int_equal(segs(&w, 3)[0].len, 96);
	assert_int_equal(segs(&w, 3)[1].len, 4096);
	assert_int_equal(segs(&w, 3)[2].len, 96);
	r3_dma_unload(w.map);
	/* also what is shorter than a segment may be */
	assert_int_equal(r3_dma_load(w.map, buf + 4000, 192, BOTH, NULL), 0);
	assert_int_equal(segs(&w, 2)[1].addr.v, iova_of(&w, buf) + 4096);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

/* Nothing is read or written before a sync, so that the byte need not exist. */
static void a_byte_behind_the_arena_is_not_the_device_s(void **state)
{
	struct world w = world(&(struct carrier_opts){0}, (struct r3_dma_constraints){0});
	void *last = (void *)(w.tag->base + w.tag->span - 16);

	assert_int_equal(r3_dma_load(w.map, last, 16, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	r3_dma_unload(w.map);
	assert_int_equal(r3_dma_load(w.map, last, 17, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 17);
	end(&w);
}

static void max_segment_cuts(void **state)
{
	struct world w =
		world(&(struct carrier_opts){0}, (struct r3_dma_constraints){.max_segment = 1500});
	unsigned char *buf = carrier_buf(w.c, PAGE, 64);

	assert_int_equal(r3_dma_load(w.map, buf, 3001, BOTH, NULL), 0);
	assert_int_equal(segs(&w, 3)[1].addr.v, iova_of(&w, buf) + 1500);
	assert_int_equal(segs(&w, 3)[2].len, 1);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

static void segments_are_cut_where_they_may_begin(void **state)
{
	struct world w = world(&(struct carrier_opts){0},
			       (struct r3_dma_constraints){.alignment = 64, .max_segment = 100});
	unsigned char *buf = carrier_buf(w.c, PAGE, 64);

	assert_int_equal(r3_dma_load(w.map, buf, 200, BOTH, NULL), 0);
	assert_int_equal(segs(&w, 3)[0].len, 64);
	assert_int_equal(segs(&w, 3)[1].len, 64);
	assert_int_equal(segs(&w, 3)[2].len, 72);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

static void misaligned_memory_is_bounced(void **state)
{
	struct world w =
		world(&(struct carrier_opts){0}, (struct r3_dma_constraints){.alignment = 64});
	unsigned char *buf = carrier_buf(w.c, PAGE, 64);

	assert_int_equal(r3_dma_load(w.map, buf + 4, 100, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 100);
	check_segments(w.map, 100);
	r3_dma_unload(w.map);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

static void memory_beyond_the_highest_address_is_bounced(void **state)
{
	struct world w =
		world(&(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED, .first = 0x100000},
		      (struct r3_dma_constraints){.highest = 0x100000 + 128 * PAGE - 1});
	unsigned char *buf = carrier_buf(w.c, 200 * PAGE, PAGE);
	unsigned char *limit = (unsigned char *)w.c->dev->arena_base + 128 * PAGE;

	assert_int_equal(r3_dma_load(w.map, limit - 100, 100, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	r3_dma_unload(w.map);

	/* Half of it is too high, then all; and what is free is too. */
	assert_int_equal(r3_dma_load(w.map, limit + 100, 100, BOTH, NULL), -ENOMEM);
	assert_int_equal(r3_dma_load(w.map, limit - 100, 200, BOTH, NULL), -ENOMEM);
	assert_null(segs(&w, 0));
	r3_arena_free(carrier_arena(w.c), buf);
	assert_int_equal(r3_dma_load(w.map, limit - 100, 200, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 200);
	check_segments(w.map, 200);
	end(&w);
}

static void virt_boundary_lets_ends_be_anywhere(void **state)
{
	struct world w = world(&(struct carrier_opts){0},
			       (struct r3_dma_constraints){.virt_boundary = 4096});
	unsigned char *buf = carrier_buf(w.c, 8 * PAGE, PAGE);
	struct r3_sg good[] = {{buf + 512, 4096 - 512}, {buf + 4 * PAGE, 4096}, {buf, 100}};
	struct r3_sg early[] = {{buf, 100}, {buf + 4096, 100}};
	struct r3_sg late[] = {{buf, 4096}, {buf + 4 * PAGE + 64, 100}};

	assert_int_equal(r3_dma_load_sg(w.map, good, 3, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	check_segments(w.map, 4096 - 512 + 4096 + 100);
	segs(&w, 3);
	r3_dma_unload(w.map);
	assert_int_equal(r3_dma_load_sg(w.map, early, 2, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 200);
	segs(&w, 1);
	r3_dma_unload(w.map);
	assert_int_equal(r3_dma_load_sg(w.map, late, 2, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 4196);
	r3_dma_unload(w.map);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

/* X12 */
static void never_more_than_max_segments(void **state)
{
	struct world w = world(&(struct carrier_opts){0},
			       (struct r3_dma_constraints){.max_segments = 3, .max_segment = 1024});
	unsigned char *buf = carrier_buf(w.c, 16 * PAGE, PAGE);
	struct r3_sg sg[4] = {{buf, 64}, {buf + 128, 64}, {buf + 256, 64}, {buf + 512, 64}};

	assert_int_equal(r3_dma_load_sg(w.map, sg, 3, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	segs(&w, 3);
	r3_dma_unload(w.map);
	assert_int_equal(r3_dma_load_sg(w.map, sg, 4, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 256);
	segs(&w, 1);
	r3_dma_unload(w.map);
	assert_int_equal(r3_dma_load(w.map, buf, 3072, BOTH, NULL), 0);
	segs(&w, 3);
	r3_dma_unload(w.map);
	uint64_t before = carrier_used(w.c);
	assert_int_equal(r3_dma_load(w.map, buf, 3073, BOTH, NULL), -EFBIG);
	assert_non_null(strstr(r3_error_text(), "3073 bytes need more than 3 segments"));
	assert_null(segs(&w, 0));
	assert_int_equal(carrier_used(w.c), before);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

static void neighbours_are_merged(void **state)
{
	struct world w = world(&(struct carrier_opts){0}, (struct r3_dma_constraints){
								  .max_segments = 1,
								  .virt_boundary = 4096,
								  .alignment = 64,
							  });
	unsigned char *buf = carrier_buf(w.c, PAGE, PAGE);
	struct r3_sg sg[] = {{buf, 10}, {buf + 10, 100}, {buf + 110, 1}};

	assert_int_equal(r3_dma_load_sg(w.map, sg, 3, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	assert_int_equal(segs(&w, 1)->len, 111);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

static void gaps_between_extents_are_kept(void **state)
{
	struct world w =
		world(&(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED, .chunk = 64 << 10},
		      (struct r3_dma_constraints){0});
	unsigned char *buf = carrier_buf(w.c, 200 << 10, PAGE);
	unsigned char *edge = (unsigned char *)w.c->dev->arena_base + (128 << 10);

	assert_int_equal(r3_dma_load(w.map, edge - 500, 1000, BOTH, NULL), 0);
	assert_int_equal(r3_dma_bounced(w.map), 0);
	assert_int_equal(segs(&w, 2)[0].len, 500);
	assert_int_equal(segs(&w, 2)[1].addr.v, iova_of(&w, edge));
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

/* ---- refusals ---- */

static void refused_loads_leave_the_map_as_it_was(void **state)
{
	struct world w =
		world(&(struct carrier_opts){0}, (struct r3_dma_constraints){.max_len = 65536});
	unsigned char *buf = carrier_buf(w.c, 65536, PAGE);
	struct r3_mem *mem = r3_arena_mem(carrier_arena(w.c));
	struct r3_sg huge[] = {{buf, SIZE_MAX}, {buf, 2}};
	struct r3_sg empty[] = {{buf, 0}, {buf, 0}};
	struct r3_dma_tag *any = carrier_tag(w.c, (struct r3_dma_constraints){0});
	struct r3_dma_map *other, *endless = carrier_map_create(any, 0);

	r3_dma_tag_unref(any);

	assert_int_equal(r3_dma_load(w.map, buf, 64, 0, NULL), -EINVAL);
	assert_int_equal(r3_dma_load(w.map, buf, 64, R3_DMA_BOUNCE, NULL), -EINVAL);
	assert_int_equal(r3_dma_load(w.map, buf, 64, BOTH | 8, NULL), -EINVAL);
	assert_int_equal(r3_dma_load(w.map, buf, 0, BOTH, NULL), -EINVAL);
	assert_int_equal(r3_dma_load(w.map, buf, 65537, BOTH, NULL), -EINVAL);
	assert_int_equal(r3_dma_load_sg(w.map, huge, 2, BOTH, NULL), -EINVAL);
	assert_int_equal(r3_dma_load_sg(w.map, empty, 2, BOTH, NULL), -EINVAL);
	assert_int_equal(r3_dma_load_sg(w.map, empty, 0, BOTH, NULL), -EINVAL);
	assert_int_equal(r3_dma_load_mem(w.map, mem, r3_mem_size(mem), 1, BOTH, NULL), -EINVAL);
	assert_int_equal(r3_dma_load_mem(endless, mem, 8, UINT64_MAX - 4, BOTH, NULL), -EINVAL);
	assert_non_null(strstr(r3_error_text(), "of a memory of"));
	assert_int_equal(r3_dma_map_destroy(endless), 0);
	assert_null(segs(&w, 0));
	assert_int_equal(r3_dma_bounced(w.map), 0);
	r3_dma_sync(w.map, R3_DMA_PREWRITE);
	r3_dma_unload(w.map);

	assert_int_equal(r3_dma_load(w.map, buf, 64, BOTH, NULL), 0);
	assert_int_equal(r3_dma_load(w.map, buf, 128, BOTH, NULL), -EBUSY);
	assert_int_equal(r3_dma_load(w.map, buf, 0, BOTH, NULL), -EBUSY);
	assert_int_equal(r3_dma_load_sg(w.map, huge, 2, BOTH, NULL), -EBUSY);
	assert_int_equal(r3_dma_load_mem(w.map, mem, 0, 64, BOTH, NULL), -EBUSY);
	assert_int_equal(r3_dma_map_destroy(w.map), -EBUSY);
	assert_int_equal(segs(&w, 1)->len, 64);
	assert_int_equal(r3_dma_map_create(w.tag, 65537, &other), -EINVAL);
	assert_int_equal(r3_dma_map_destroy(NULL), 0);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

/* X11, for maps: each goes by its own tag, whichever others there are. */
static void a_map_knows_its_tag(void **state)
{
	struct world w = world(&(struct carrier_opts){0}, (struct r3_dma_constraints){0});
	struct r3_dma_tag *narrow =
		carrier_tag(w.c, (struct r3_dma_constraints){.max_segment = 512});
	struct r3_dma_map *map = carrier_map_create(narrow, 0);
	unsigned char *buf = carrier_buf(w.c, PAGE, PAGE);
	unsigned n;

	r3_dma_tag_unref(narrow);
	assert_int_equal(r3_dma_load(map, buf, PAGE, BOTH, NULL), 0);
	assert_int_equal(r3_dma_load(w.map, buf, PAGE, BOTH, NULL), 0);
	r3_dma_segs(map, &n);
	assert_int_equal(n, 8);
	segs(&w, 1);
	r3_dma_unload(map);
	assert_int_equal(r3_dma_map_destroy(map), 0);
	r3_arena_free(carrier_arena(w.c), buf);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_of_the_arena_is_used_as_it_is),
		cmocka_unit_test(the_kinds_of_load_agree),
		cmocka_unit_test(boundary_cuts),
		cmocka_unit_test(a_byte_behind_the_arena_is_not_the_device_s),
		cmocka_unit_test(max_segment_cuts),
		cmocka_unit_test(segments_are_cut_where_they_may_begin),
		cmocka_unit_test(misaligned_memory_is_bounced),
		cmocka_unit_test(memory_beyond_the_highest_address_is_bounced),
		cmocka_unit_test(virt_boundary_lets_ends_be_anywhere),
		cmocka_unit_test(never_more_than_max_segments),
		cmocka_unit_test(neighbours_are_merged),
		cmocka_unit_test(gaps_between_extents_are_kept),
		cmocka_unit_test(refused_loads_leave_the_map_as_it_was),
		cmocka_unit_test(a_map_knows_its_tag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
