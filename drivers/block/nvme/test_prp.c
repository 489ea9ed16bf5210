/* SPDX-License-Identifier: BSD-2-Clause */
/* PRPs and SGLs of every offset and length, read back as a controller reads them. */
#include "unit.h"

#include "nvme.h"
#include <string.h>

#define LIST_IOVA UINT64_C(0x7000800)

static uint64_t list[NVME_LIST_LEN / sizeof(uint64_t)];
static struct nvme_sgl_desc descs[NVME_MAX_SEGS];

/* Walk the PRPs (4.3), and fail unless they are the segments, byte for byte. */
static void check_prps(const union nvme_dptr *dptr, const struct r3_dma_seg *seg, unsigned nseg,
		       uint32_t page)
{
	const uint64_t *next = &dptr->prp[1];
	uint64_t at = R3_LE64(dptr->prp[0]), step = page - at % page, len = 0, in_seg = 0;
	unsigned entries = 0, i = 0;

	for (unsigned s = 0; s < nseg; s++)
		len += seg[s].len;
	assert_int_equal(at & 3, 0);
	if (len > step + page) {
		assert_int_equal(R3_LE64(dptr->prp[1]), LIST_IOVA);
		next = list;
	}
	while (len) {
		uint64_t n = len < step ? len : step;

		for (uint64_t done = 0; done < n;) {
			uint64_t piece = seg[i].len - in_seg;

			if (piece > n - done)
				piece = n - done;
			assert_int_equal(at + done, seg[i].addr.v + in_seg);
			done += piece;
			in_seg += piece;
			if (in_seg == seg[i].len) {
				i++;
				in_seg = 0;
			}
		}
		len -= n;
		if (!len)
			break;
		assert_true(entries++ < sizeof(list) / sizeof(list[0]));
		at = R3_LE64(*next++);
		step = page;
		assert_int_equal(at % page, 0);
	}
	assert_int_equal(i, nseg);
	if (!entries)
		assert_int_equal(dptr->prp[1], 0);
}

static void build(const struct r3_dma_seg *seg, unsigned nseg, uint32_t page)
{
	union nvme_dptr dptr;

	memset(list, 0xa5, sizeof(list));
	assert_true(nvme_prp_fits(seg, nseg, page));
	assert_int_equal(nvme_prp_build(&dptr, seg, nseg, page, list, (r3_iova){LIST_IOVA}), 0);
	check_prps(&dptr, seg, nseg, page);
}

static void test_one_piece(void **state)
{
	for (uint64_t off = 0; off < 4096; off += 4) {
		for (uint64_t len = 512; len <= 5 * 4096; len += 512) {
			struct r3_dma_seg seg = {.addr = {0x100000 + off}, .len = len};

			build(&seg, 1, 4096);
		}
	}
}

static void test_page_sizes(void **state)
{
	for (uint32_t page = 4096; page <= 65536; page *= 2) {
		for (uint64_t off = 0; off < page; off += 508) {
			struct r3_dma_seg seg = {.addr = {0x40000000 + off}, .len = NVME_MAX_LEN};

			build(&seg, 1, page);
			seg.len = page;
			build(&seg, 1, page);
			seg.len = page - off;
			build(&seg, 1, page);
		}
	}
}

static void test_many_pieces(void **state)
{
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 20000; round++) {
		struct r3_dma_seg seg[16];
		unsigned nseg = 1 + test_random_below(&random, 16);

		for (unsigned i = 0; i < nseg; i++) {
			uint64_t head = i ? 0 : 4 * test_random_below(&random, 1024);
			uint64_t pages = 1 + test_random_below(&random, 4);
			uint64_t tail = i < nseg - 1 ? 0 : 4 * test_random_below(&random, 1024);

			/* anywhere, and sometimes right behind the one before */
			seg[i].addr.v =
				(1 + (uint64_t)i * 8 + test_random_below(&random, 4)) * 4096 + head;
			seg[i].len = pages * 4096 - head;
			if (seg[i].len > tail)
				seg[i].len -= tail;
		}
		build(seg, nseg, 4096);
	}
}

static void test_what_prps_cannot(void **state)
{
	struct r3_dma_seg odd = {.addr = {0x1002}, .len = 512};
	struct r3_dma_seg short_head[2] = {{.addr = {0x1000}, .len = 512},
					   {.addr = {0x2000}, .len = 512}};
	struct r3_dma_seg late_tail[2] = {{.addr = {0x1000}, .len = 4096},
					  {.addr = {0x3004}, .len = 512}};
	struct r3_dma_seg giant = {.addr = {0x1004}, .len = NVME_MAX_LEN + 4096};
	union nvme_dptr dptr;

	assert_false(nvme_prp_fits(&odd, 1, 4096));
	assert_false(nvme_prp_fits(short_head, 2, 4096));
	assert_false(nvme_prp_fits(late_tail, 2, 4096));
	assert_int_equal(nvme_prp_build(&dptr, &giant, 1, 4096, list, (r3_iova){LIST_IOVA}),
			 -EFBIG);
}

static void test_sgl(void **state)
{
	struct r3_dma_seg seg[NVME_MAX_SEGS + 1];
	union nvme_dptr dptr;

	for (unsigned i = 0; i <= NVME_MAX_SEGS; i++)
		seg[i] = (struct r3_dma_seg){.addr = {0x1001 + i * 0x1100}, .len = 3 + i};

	assert_int_equal(nvme_sgl_build(&dptr, seg, 1, descs, (r3_iova){LIST_IOVA}), 0);
	assert_int_equal(dptr.sgl.type, NVME_SGL_DATA);
	assert_int_equal(R3_LE64(dptr.sgl.addr), seg[0].addr.v);
	assert_int_equal(R3_LE32(dptr.sgl.len), seg[0].len);

	for (unsigned n = 2; n <= NVME_MAX_SEGS; n++) {
		assert_int_equal(nvme_sgl_build(&dptr, seg, n, descs, (r3_iova){LIST_IOVA}), 0);
		assert_int_equal(dptr.sgl.type, NVME_SGL_LAST_SEGMENT);
		assert_int_equal(R3_LE64(dptr.sgl.addr), LIST_IOVA);
		assert_int_equal(R3_LE32(dptr.sgl.len), n * sizeof(descs[0]));
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(descs[i].type, NVME_SGL_DATA);
			assert_int_equal(R3_LE64(descs[i].addr), seg[i].addr.v);
			assert_int_equal(R3_LE32(descs[i].len), seg[i].len);
		}
	}
	assert_int_equal(nvme_sgl_build(&dptr, seg, NVME_MAX_SEGS + 1, descs, (r3_iova){LIST_IOVA}),
			 -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_piece),   cmocka_unit_test(test_page_sizes),
		cmocka_unit_test(test_many_pieces), cmocka_unit_test(test_what_prps_cannot),
		cmocka_unit_test(test_sgl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
