/* SPDX-License-Identifier: BSD-2-Clause */
/* Coherent memory: one segment that fits the tag, wherever the device's addresses lie. */
#include "dma/test_dma.h"

static void check_piece(struct carrier *c, struct r3_dma_tag *tag, void *ptr, r3_iova iova,
			uint64_t len)
{
	const struct r3_dma_constraints *want = r3_dma_tag_constraints(tag);
	unsigned char *seen = carrier_at(c, iova.v, len, R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE);

	assert_ptr_equal(seen, ptr);
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(seen[i], 0);
	assert_int_equal(iova.v & (want->alignment - 1), 0);
	assert_true(iova.v + len - 1 <= want->highest);
	assert_int_equal(iova.v / want->boundary, (iova.v + len - 1) / want->boundary);
	memset(ptr, 0xa5, len);
}

static void try_all(struct carrier *c)
{
	static const struct r3_dma_constraints want[] = {
		{0},
		{.alignment = 4096},
		{.alignment = 65536},
		{.boundary = 4096},
		{.boundary = 16384, .alignment = 256},
		{.boundary = 65536, .alignment = 8192, .max_segment = 40000},
	};
	static const uint64_t lens[] = {1, 64, 3000, 4096, 12000, 40000};

	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct r3_dma_tag *tag = carrier_tag(c, want[i]);
		void *ptr[64];
		unsigned n = 0;

		for (unsigned j = 0; j < 18; j++) {
			uint64_t len = lens[j % 6];
			r3_iova iova;

			if (len > r3_dma_tag_constraints(tag)->max_segment)
				continue;
			if (r3_dma_alloc(tag, len, &ptr[n], &iova))
				fail_msg("%u: %s", i, r3_error_text());
			check_piece(c, tag, ptr[n++], iova, len);
		}
		while (n)
			r3_dma_free(tag, ptr[--n]);
		assert_int_equal(carrier_used(c), 0);
		r3_dma_tag_unref(tag);
	}
	carrier_close(c);
}

static void alloc_fits_the_tag(void **state)
{
	try_all(carrier_open(&(struct carrier_opts){.arena = 4 << 20}));
}

static void alloc_fits_the_tag_at_odd_addresses(void **state)
{
	try_all(carrier_open(&(struct carrier_opts){
		.arena = 4 << 20, .caps = R3_CAP_DMA_ASSIGNED, .first = 0x12345000}));
}

static void alloc_fits_the_tag_with_gaps(void **state)
{
	try_all(carrier_open(&(struct carrier_opts){.arena = 4 << 20,
						    .caps = R3_CAP_DMA_ASSIGNED,
						    .first = 0x12345000,
						    .chunk = 256 << 10}));
}

static void no_piece_lies_across_a_gap(void **state)
{
	struct carrier *c = carrier_open(
		&(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED, .chunk = 64 << 10});
	struct r3_dma_tag *tag = carrier_tag(c, (struct r3_dma_constraints){0});
	void *ptr[8];
	r3_iova iova;

	for (unsigned i = 0; i < 8; i++) {
		if (r3_dma_alloc(tag, 40000, &ptr[i], &iova))
			fail_msg("%u: %s", i, r3_error_text());
		check_piece(c, tag, ptr[i], iova, 40000);
	}
	for (unsigned i = 0; i < 8; i++)
		r3_dma_free(tag, ptr[i]);
	assert_int_equal(carrier_used(c), 0);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

static void alloc_stays_below_the_highest_address(void **state)
{
	struct carrier *c = carrier_open(
		&(struct carrier_opts){.caps = R3_CAP_DMA_ASSIGNED, .first = 0x100000});
	struct r3_dma_tag *tag =
		carrier_tag(c, (struct r3_dma_constraints){.highest = 0x100000 + 64 * PAGE - 1});
	void *ptr[100];
	unsigned n = 0;
	r3_iova iova;

	while (n < 100 && r3_dma_alloc(tag, PAGE, &ptr[n], &iova) == 0)
		check_piece(c, tag, ptr[n++], iova, PAGE);
	assert_in_range(n, 32, 64); /* some is lost to alignment, no more */
	assert_non_null(strstr(r3_error_text(), "no 4096 free bytes below 0x13ffff"));
	while (n)
		r3_dma_free(tag, ptr[--n]);
	assert_int_equal(carrier_used(c), 0);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

static void alloc_refuses_what_no_segment_holds(void **state)
{
	struct carrier *c = carrier_open(&(struct carrier_opts){0});
	struct r3_dma_tag *tag = carrier_tag(
		c, (struct r3_dma_constraints){.max_segment = 4096, .max_len = 1 << 24});
	struct r3_dma_tag *large = carrier_tag(c, (struct r3_dma_constraints){0});
	void *ptr = NULL;
	r3_iova iova;

	assert_int_equal(r3_dma_alloc(tag, 0, &ptr, &iova), -EINVAL);
	assert_int_equal(r3_dma_alloc(tag, 4097, &ptr, &iova), -EINVAL);
	assert_int_equal(r3_dma_alloc(large, 8 << 20, &ptr, &iova), -ENOMEM);
	assert_null(ptr);
	r3_dma_free(tag, NULL);
	r3_dma_tag_unref(large);
	r3_dma_tag_unref(tag);
	carrier_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alloc_fits_the_tag),
		cmocka_unit_test(alloc_fits_the_tag_at_odd_addresses),
		cmocka_unit_test(alloc_fits_the_tag_with_gaps),
		cmocka_unit_test(no_piece_lies_across_a_gap),
		cmocka_unit_test(alloc_stays_below_the_highest_address),
		cmocka_unit_test(alloc_refuses_what_no_segment_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
