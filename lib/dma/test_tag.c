/* SPDX-License-Identifier: BSD-2-Clause */
/* Tags: each field inherited, the strictest kept; lifetimes; refusals. */
#include "dma/test_dma.h"

#define NEW_TAG(...) carrier_tag(c, (struct r3_dma_constraints){__VA_ARGS__})

static struct r3_dma_tag *derive(struct r3_dma_tag *parent, struct r3_dma_constraints want)
{
	struct r3_dma_tag *tag;

	want.size = sizeof(want);
	assert_int_equal(r3_dma_tag_create(parent->dev, parent, &want, &tag), 0);
	return tag;
}

static void refuse(struct carrier *c, struct r3_dma_tag *parent, struct r3_dma_constraints want,
		   int err, const char *text)
{
	struct r3_dma_tag *tag = NULL;

	want.size = sizeof(want);
	assert_int_equal(r3_dma_tag_create(c->dev, parent, &want, &tag), -err);
	assert_null(tag);
	if (!strstr(r3_error_text(), text))
		fail_msg("'%s' does not say '%s'", r3_error_text(), text);
}

/* X13 */
static void tags_inherit_from_the_bus(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){
		.highest = 0xffffffff, .lowest = 0x100000, .caps = R3_CAP_DMA_ASSIGNED});
	struct r3_dma_tag *tag = NEW_TAG();
	const struct r3_dma_constraints *got = r3_dma_tag_constraints(tag);

	assert_int_equal(got->highest, 0xffffffff);
	assert_int_equal(got->alignment, 1);
	assert_int_equal(got->virt_boundary, 1);
	assert_true(got->max_segments && got->boundary && got->max_segment && got->max_len);
	r3_dma_tag_unref(tag);

	assert_int_equal(r3_dma_tag_create(c->dev, NULL, NULL, &tag), 0);
	assert_int_equal(r3_dma_tag_constraints(tag)->highest, 0xffffffff);
	r3_dma_tag_unref(tag);

	tag = NEW_TAG(.highest = UINT64_MAX);
	assert_int_equal(r3_dma_tag_constraints(tag)->highest, 0xffffffff);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

static void the_stricter_of_both_holds(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct r3_dma_tag *a = NEW_TAG(.max_segments = 8, .alignment = 16, .boundary = 1 << 16,
				       .highest = 0x7fffffff, .max_segment = 8192, .max_len = 65536,
				       .virt_boundary = 512);
	struct r3_dma_tag *b = derive(a, (struct r3_dma_constraints){.max_segments = 9,
								     .alignment = 4,
								     .boundary = 1 << 20,
								     .highest = 0xffffffff,
								     .max_segment = 9000,
								     .max_len = 1 << 20,
								     .virt_boundary = 64});
	struct r3_dma_tag *d = derive(b, (struct r3_dma_constraints){.max_segments = 7,
								     .alignment = 32,
								     .boundary = 1 << 12,
								     .highest = 0x3fffffff,
								     .max_segment = 6000,
								     .max_len = 30000,
								     .virt_boundary = 1024});
	struct r3_dma_constraints laxer = *r3_dma_tag_constraints(b);
	const struct r3_dma_constraints *stricter = r3_dma_tag_constraints(d);

	assert_memory_equal(&laxer, r3_dma_tag_constraints(a), sizeof(laxer));
	assert_int_equal(laxer.max_segments, 8);
	assert_int_equal(laxer.alignment, 16);
	assert_int_equal(laxer.boundary, 1 << 16);
	assert_int_equal(laxer.highest, 0x7fffffff);
	assert_int_equal(laxer.max_segment, 8192);
	assert_int_equal(laxer.max_len, 65536);
	assert_int_equal(laxer.virt_boundary, 512);
	assert_int_equal(stricter->max_segments, 7);
	assert_int_equal(stricter->alignment, 32);
	assert_int_equal(stricter->boundary, 1 << 12);
	assert_int_equal(stricter->highest, 0x3fffffff);
	assert_int_equal(stricter->max_segment, 1 << 12); /* its boundary */
	assert_int_equal(stricter->max_len, 30000);
	assert_int_equal(stricter->virt_boundary, 1024);
	r3_dma_tag_unref(a);
	r3_dma_tag_unref(b);
	r3_dma_tag_unref(d);
	carrier_close(c);
}

static void segments_too_short_to_meet_are_one(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct r3_dma_tag *tag = NEW_TAG(.max_segments = 8, .max_segment = 512, .alignment = 4096);

	assert_int_equal(r3_dma_tag_constraints(tag)->max_segments, 1);
	r3_dma_tag_unref(tag);
	tag = NEW_TAG(.max_segments = 8, .boundary = 512, .virt_boundary = 4096);
	assert_int_equal(r3_dma_tag_constraints(tag)->max_segments, 1);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

static void the_number_of_segments_has_a_bound(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct r3_dma_tag *tag = NEW_TAG(.max_segments = UINT32_MAX);

	assert_int_equal(r3_dma_tag_constraints(tag)->max_segments, R3_DMA_SEGMENTS_MOST);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

static void what_leaves_nothing_is_refused(void **state)
{
	struct carrier *c = carrier_open(
		&(struct carrier_opts){.first = 0x40000000, .caps = R3_CAP_DMA_ASSIGNED});
	struct r3_dma_tag *tag;
	struct r3_dma_constraints unsized = {.alignment = 1};

	refuse(c, NULL, (struct r3_dma_constraints){.alignment = 3}, EINVAL, "alignment 3");
	refuse(c, NULL, (struct r3_dma_constraints){.boundary = 4097}, EINVAL, "boundary 4097");
	refuse(c, NULL, (struct r3_dma_constraints){.virt_boundary = 7}, EINVAL, "virt_boundary 7");
	refuse(c, NULL, (struct r3_dma_constraints){.highest = 0xfffffff}, EINVAL, "0xfffffff");
	refuse(c, NULL, (struct r3_dma_constraints){.alignment = UINT64_C(1) << 40}, EINVAL,
	       "leave nothing");
	assert_int_equal(r3_dma_tag_create(c->dev, NULL, &unsized, &tag), -EINVAL);
	carrier_close(c);
}

static void constraints_of_a_younger_program_are_understood(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct {
		struct r3_dma_constraints known;
		uint64_t unknown;
	} more = {.known = {.size = sizeof(more), .alignment = 8}};
	struct r3_dma_constraints less = {.size = 24, .alignment = 16, .boundary = 3};
	struct r3_dma_tag *tag;

	assert_int_equal(r3_dma_tag_create(c->dev, NULL, &more.known, &tag), 0);
	assert_int_equal(r3_dma_tag_constraints(tag)->alignment, 8);
	r3_dma_tag_unref(tag);
	less.size = offsetof(struct r3_dma_constraints, boundary);
	assert_int_equal(r3_dma_tag_create(c->dev, NULL, &less, &tag), 0);
	assert_int_equal(r3_dma_tag_constraints(tag)->alignment, 16);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

/* X11, for tags: of another device, and memory given back with the wrong one. */
static void the_wrong_tag_is_refused(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct carrier *other = carrier_open(&(struct carrier_opts){0});
	struct r3_dma_tag *tag = NEW_TAG(), *wrong = NEW_TAG(), *foreign;
	uint64_t before = carrier_used(c);
	void *ptr;
	r3_iova iova;

	foreign = carrier_tag(other, (struct r3_dma_constraints){0});
	refuse(c, foreign, (struct r3_dma_constraints){0}, EINVAL, "another device");

	assert_int_equal(r3_dma_alloc(tag, 100, &ptr, &iova), 0);
	r3_dma_free(wrong, ptr);
	r3_dma_free(foreign, ptr);
	assert_true(carrier_used(c) > before);
	r3_dma_free(tag, ptr);
	assert_int_equal(carrier_used(c), before);
	r3_dma_free(tag, ptr); /* twice: nothing */
	assert_int_equal(carrier_used(c), before);

	r3_dma_tag_unref(foreign);
	r3_dma_tag_unref(wrong);
	r3_dma_tag_unref(tag);
	carrier_close(other);
	carrier_close(c);
}

/* X14 */
static void derivation_terminates(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct r3_dma_tag *tag = NEW_TAG(.alignment = 64);

	/* Deeper than any stack, if giving them back were a recursion. */
	for (unsigned i = 0; i < 200000; i++) {
		struct r3_dma_tag *child = derive(tag, (struct r3_dma_constraints){0});

		r3_dma_tag_unref(tag);
		tag = child;
	}
	assert_int_equal(r3_dma_tag_constraints(tag)->alignment, 64);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

/* X15: whatever the order in which its owner and its users let go. */
static void a_tag_in_use_is_not_freed(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct r3_dma_tag *tag = NEW_TAG(.max_segments = 2), *child;
	struct r3_dma_map *map = carrier_map_create(tag, 0);
	void *ptr, *buf = carrier_buf(c, 64, 0);
	r3_iova iova;

	child = derive(tag, (struct r3_dma_constraints){0});
	assert_int_equal(r3_dma_alloc(tag, 64, &ptr, &iova), 0);
	r3_dma_tag_unref(tag);

	assert_int_equal(r3_dma_tag_constraints(tag)->max_segments, 2); /* ASan watches */
	assert_int_equal(r3_dma_load(map, buf, 64, R3_DMA_TO_DEVICE, NULL), 0);
	r3_dma_unload(map);
	assert_int_equal(r3_dma_map_destroy(map), 0);
	assert_int_equal(r3_dma_tag_constraints(tag)->max_segments, 2);
	r3_dma_free(tag, ptr);
	assert_int_equal(child->parent->refs, 1);
	r3_dma_tag_unref(child);
	r3_arena_free(carrier_arena(c), buf);
	assert_int_equal(carrier_used(c), 0);
	carrier_close(c);
}

static void a_device_without_dma_has_no_tags(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});

	c->dev->info.caps &= ~(unsigned)R3_CAP_DMA;
	refuse(c, NULL, (struct r3_dma_constraints){0}, EOPNOTSUPP, "no DMA");
	carrier_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_inherit_from_the_bus),
		cmocka_unit_test(the_stricter_of_both_holds),
		cmocka_unit_test(segments_too_short_to_meet_are_one),
		cmocka_unit_test(the_number_of_segments_has_a_bound),
		cmocka_unit_test(what_leaves_nothing_is_refused),
		cmocka_unit_test(constraints_of_a_younger_program_are_understood),
		cmocka_unit_test(the_wrong_tag_is_refused),
		cmocka_unit_test(derivation_terminates),
		cmocka_unit_test(a_tag_in_use_is_not_freed),
		cmocka_unit_test(a_device_without_dma_has_no_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
