/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtqueues of every size class and feature: their layout, what a chain looks like, full
 * and empty, wrap-around, order, and what reset forgets. */
#include "ring/test_rig.h"

static const uint32_t split_sizes[] = {1, 2, 4, 8, 64, 256, 1024, 32768};
static const uint32_t packed_sizes[] = {1, 2, 3, 5, 7, 64, 100, 257, 1024, 32767, 32768};

#define EACH(size, list) \
	for (const uint32_t *size = (list); size < (list) + sizeof(list) / sizeof(*(list)); size++)

static void layout(void **state)
{
	struct r3_virtq_layout l;

	EACH(size, split_sizes)
	{
		assert_int_equal(r3_virtq_layout(*size, 0, &l), 0);
		assert_true(l.driver >= 16 * (size_t)*size && l.driver % 2 == 0);
		assert_true(l.device >= l.driver + 6 + 2 * (size_t)*size && l.device % 4 == 0);
		assert_true(l.len >= l.device + 6 + 8 * (size_t)*size);
		assert_true(l.align % 16 == 0);
	}
	EACH(size, packed_sizes)
	{
		assert_int_equal(r3_virtq_layout(*size, RIG_PACKED, &l), 0);
		assert_true(l.driver >= 16 * (size_t)*size && l.driver % 4 == 0);
		assert_true(l.device >= l.driver + 4 && l.device % 4 == 0);
		assert_true(l.len >= l.device + 4);
	}
	assert_int_equal(r3_virtq_layout(0, 0, &l), -EINVAL);
	assert_int_equal(r3_virtq_layout(3, 0, &l), -EINVAL);
	assert_int_equal(r3_virtq_layout(65536, 0, &l), -EINVAL);
	assert_int_equal(r3_virtq_layout(0, RIG_PACKED, &l), -EINVAL);
	assert_int_equal(r3_virtq_layout(32769, RIG_PACKED, &l), -EINVAL);
}

static void refused_memory(void **state)
{
	struct r3_virtq_config config;
	struct r3_virtq q;
	struct rig rig;

	rig_open(&rig, 8, 0);
	config = rig.config;
	config.mem = (unsigned char *)rig.mem + 16;
	assert_int_equal(r3_virtq_init(&q, &config), -EINVAL);
	assert_non_null(strstr(r3_error_text(), "rig: queue 3"));
	config.mem = NULL;
	assert_int_equal(r3_virtq_init(&q, &config), -EINVAL);
	config = rig.config;
	config.slots = NULL;
	assert_int_equal(r3_virtq_init(&q, &config), -EINVAL);
	config = rig.config;
	config.size = 24;
	assert_int_equal(r3_virtq_init(&q, &config), -EINVAL);
	assert_non_null(strstr(r3_error_text(), "24"));
	rig_close(&rig);
}

/* What lies in memory, byte by byte, against the specification and not against our own
 * device's side. */
static void split_in_memory(void **state)
{
	static const unsigned char want_desc[] = {
		0,    0,    0, 0, 7, 0, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, /* out, next 1 */
		0x40, 0,    0, 0, 7, 0, 0, 0, 16, 0, 0, 0, 3, 0, 2, 0, /* in, next 2 */
		0x80, 0,    0, 0, 7, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0, /* in, last */
		0,    0x05, 0, 0, 7, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0, 0, /* table of 2 */
	};
	static const unsigned char want_table[] = {
		0x00, 0x03, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0,
		0x40, 0x03, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0,
	};
	unsigned char *driver;
	struct rig rig;

	rig_open(&rig, 8, RIG_INDIRECT);
	driver = (unsigned char *)rig.mem + rig.layout.driver;
	assert_int_equal(rig_push(&rig, 0, 1, 2, 16, false), 0);
	assert_int_equal(rig_push(&rig, 1, 1, 1, 8, true), 0);
	assert_memory_equal(rig.mem, want_desc, sizeof(want_desc));
	assert_memory_equal(rig_piece(&rig, 1, RIG_PIECES), want_table, sizeof(want_table));
	/* no interrupts yet, nothing available yet, the heads 0 and 3 */
	assert_memory_equal(driver, "\1\0\0\0\0\0\3\0", 8);
	assert_true(r3_virtq_publish(&rig.q));
	assert_memory_equal(driver, "\1\0\2\0\0\0\3\0", 8);
	assert_false(r3_virtq_publish(&rig.q)); /* nothing new */
	assert_int_equal(r3_virtq_notify_data(&rig.q), 2);
	assert_false(r3_virtq_arm(&rig.q));
	assert_memory_equal(driver, "\0\0\2\0", 4);
	rig_close(&rig);
}

static void packed_in_memory(void **state)
{
	static const unsigned char want_desc[] = {
		0,    0,    0, 0, 7, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0,    0, /* withheld */
		0x40, 0,    0, 0, 7, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0x83, 0, /* in, next, avail */
		0x80, 0,    0, 0, 7, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0x82, 0, /* in, last */
		0,    0x05, 0, 0, 7, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0x84, 0, /* table of 2 */
	};
	static const unsigned char want_table[] = {
		0x00, 0x03, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
		0x40, 0x03, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 2, 0,
	};
	unsigned char *mem, *driver;
	struct rig rig;

	rig_open(&rig, 5, RIG_INDIRECT | RIG_PACKED | RIG_EVENT);
	mem = rig.mem;
	driver = mem + rig.layout.driver;
	assert_int_equal(rig_push(&rig, 0, 1, 2, 16, false), 0);
	assert_int_equal(rig_push(&rig, 1, 1, 1, 8, true), 0);
	assert_memory_equal(mem, want_desc, sizeof(want_desc));
	assert_memory_equal(rig_piece(&rig, 1, RIG_PIECES), want_table, sizeof(want_table));
	assert_memory_equal(driver, "\0\0\1\0", 4); /* disarmed */
	assert_true(r3_virtq_publish(&rig.q));
	assert_memory_equal(mem + 14, "\x81\0", 2);
	assert_int_equal(r3_virtq_notify_data(&rig.q), 0x8004);
	assert_false(r3_virtq_arm(&rig.q));
	assert_memory_equal(driver, "\0\x80\2\0", 4);
	rig_close(&rig);
}

static void refused_chains(void **state)
{
	struct r3_dma_seg seg[9] = {0};

	for (unsigned i = 0; i < 2; i++) {
		struct rig rig;

		rig_open(&rig, 8, i ? RIG_PACKED : 0);
		for (unsigned j = 0; j < 9; j++)
			seg[j] = (struct r3_dma_seg){.addr = {RIG_BASE}, .len = 1};
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, 0, 0), -EINVAL);
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, 9, 0), -EINVAL);
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, 8, 1), -EINVAL);
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, UINT32_MAX, 2), -EINVAL);
		assert_int_equal(r3_virtq_push(&rig.q, 8, seg, 1, 1), -EINVAL);
		seg[1].len = 0;
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, 1, 1), -EINVAL);
		seg[1].len = UINT32_MAX;
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, 1, 1), -EINVAL);
		seg[1].len = UINT64_MAX;
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, 1, 1), -EINVAL);
		assert_int_equal(r3_virtq_in_flight(&rig.q), 0);
		seg[1].len = 1;
		assert_int_equal(r3_virtq_push(&rig.q, 0, seg, 4, 4), 0);
		assert_int_equal(r3_virtq_push(&rig.q, 1, seg, 1, 0), -EAGAIN);
		rig_close(&rig);
	}
}

/* Fill the queue, see that it is full, drain it, see that it is empty; as often as takes
 * every index and wrap counter round more than once. */
static void fill_and_drain(uint32_t size, uint64_t features, unsigned laps)
{
	struct r3_virtqd_chain chain;
	struct r3_sg sg[4];
	struct rig rig;
	uint32_t len;
	uint16_t id;

	rig_open(&rig, size, features);
	for (unsigned lap = 0; lap < laps; lap++) {
		bool table = features & RIG_INDIRECT && lap & 1;
		unsigned most = table || size < 2 ? size : size / 2, nin = most < size ? 1 : 0;

		if (table)
			nin = 1;
		for (uint32_t i = 0; i < most; i++)
			assert_int_equal(rig_push(&rig, (uint16_t)i, 1, nin, 8, table), 0);
		if (most == size || size % 2 == 0)
			assert_int_equal(rig_push(&rig, 0, 1, nin, 8, table), -EAGAIN);
		assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 4), 0);
		r3_virtq_publish(&rig.q);
		assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 0);
		for (uint32_t i = 0; i < most; i++) {
			assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 4), 1);
			assert_int_equal(chain.nout, 1);
			assert_int_equal(chain.nin, nin);
			assert_ptr_equal(sg[0].addr, rig_piece(&rig, (uint16_t)i, 0));
			r3_virtqd_complete(&rig.d, &chain, nin * (i % 9));
		}
		assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 4), 0);
		assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 0);
		r3_virtqd_publish(&rig.d);
		for (uint32_t i = 0; i < most; i++) {
			assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
			assert_int_equal(id, i);
			assert_int_equal(len, nin * (i % 9));
		}
		assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 0);
		assert_int_equal(r3_virtq_in_flight(&rig.q), 0);
		assert_int_equal(r3_virtqd_in_flight(&rig.d), 0);
	}
	rig_close(&rig);
}

static void every_size(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		if (rig_features(i) & RIG_PACKED)
			EACH(size, packed_sizes)
		fill_and_drain(*size, rig_features(i), *size > 1024 ? 3 : 7);
		else EACH(size, split_sizes)
			fill_and_drain(*size, rig_features(i), *size > 1024 ? 5 : 7);
	}
}

/* Used out of order, with chains of different lengths: every id comes back once, with its
 * own length. */
static void out_of_order(void **state)
{
	static const unsigned lengths[] = {3, 1, 2, 1}, order[] = {2, 0, 3, 1};
	uint32_t len;
	uint16_t id;

	for (unsigned i = 0; i < 8; i++) { /* without IN_ORDER */
		struct r3_virtqd_chain chain[4];
		struct r3_sg sg[4];
		struct rig rig;

		rig_open(&rig, 8, rig_features(i));
		for (unsigned lap = 0; lap < 50; lap++) {
			for (uint16_t j = 0; j < 4; j++)
				assert_int_equal(rig_push(&rig, j, 0, lengths[j], 4, false), 0);
			r3_virtq_publish(&rig.q);
			for (unsigned j = 0; j < 4; j++)
				assert_int_equal(r3_virtqd_fetch(&rig.d, &chain[j], sg, 4), 1);
			for (unsigned j = 0; j < 4; j++) {
				r3_virtqd_complete(&rig.d, &chain[order[j]], order[j]);
				r3_virtqd_publish(&rig.d);
				assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
				assert_int_equal(id, order[j]);
				assert_int_equal(len, order[j]);
				assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 0);
			}
		}
		rig_close(&rig);
	}
}

/* In order, one used element speaks for a batch: only the last is written (2.7.9). */
static void in_order_batch(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		uint64_t features = RIG_ORDER | (packed ? RIG_PACKED : 0);
		struct r3_virtqd_chain chain;
		struct r3_sg sg[4];
		struct rig rig;
		uint32_t len;
		uint16_t id;

		rig_open(&rig, 16, features);
		for (uint16_t lap = 0; lap < 40; lap++) {
			for (uint16_t j = 0; j < 5; j++)
				assert_int_equal(rig_push(&rig, 9 - j, 1, 2, 10, false), 0);
			r3_virtq_publish(&rig.q);
			for (unsigned j = 0; j < 5; j++) {
				assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 4), 1);
				r3_virtqd_complete(&rig.d, &chain, j == 4 ? 7 : 20);
			}
			r3_virtqd_publish(&rig.d);
			if (packed) {
				uint32_t at = lap * 15u % 16, behind = (at + 3) % 16;

				assert_int_equal(R3_LE16(rig.q.pdesc[at].id), 5);
				assert_int_equal(R3_LE32(rig.q.pdesc[at].len), 7);
				/* what lies behind was not touched */
				assert_int_equal(R3_LE32(rig.q.pdesc[behind].len), 10);
			} else {
				assert_int_equal(R3_LE32(rig.q.used->ring[lap * 5 % 16].id),
						 (lap * 15 + 12) % 16);
			}
			for (uint16_t j = 0; j < 5; j++) {
				if (j)
					assert_true(r3_virtq_arm(&rig.q));
				assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
				assert_int_equal(id, 9 - j);
				assert_int_equal(len, j == 4 ? 7 : 20);
			}
			assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 0);
		}
		rig_close(&rig);
	}
}

/* A device is reset in the middle of everything; the ring begins anew. */
static void again_after_reset(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		struct r3_virtqd_chain chain;
		struct r3_sg sg[8];
		struct rig rig;
		uint32_t len;
		uint16_t id;

		rig_open(&rig, 4, rig_features(i));
		for (unsigned life = 0; life < 3; life++) {
			for (unsigned j = 0; j < 7; j++) {
				assert_int_equal(rig_push(&rig, 2, 1, 1, 5, false), 0);
				r3_virtq_publish(&rig.q);
				assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 1);
				r3_virtqd_complete(&rig.d, &chain, 5);
				r3_virtqd_publish(&rig.d);
				assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
			}
			assert_int_equal(rig_push(&rig, 0, 1, 1, 5, false), 0);
			r3_virtq_publish(&rig.q);
			assert_int_equal(rig_push(&rig, 1, 1, 1, 5, false), 0);
			assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 1);
			r3_virtqd_complete(&rig.d, &chain, 5);
			r3_virtqd_publish(&rig.d);
			r3_virtq_reset(&rig.q);
			rig_start_device(&rig);
			assert_int_equal(r3_virtq_in_flight(&rig.q), 0);
			assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 0);
			assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 0);
			assert_false(r3_virtq_publish(&rig.q));
		}
		rig_close(&rig);
	}
}

/* Nobody is told who did not ask, and everybody who did. */
static void suppression(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct r3_virtqd_chain chain;
		struct r3_sg sg[8];
		struct rig rig;
		uint32_t len;
		uint16_t id;

		rig_open(&rig, 8, rig_features(i));
		for (unsigned lap = 0; lap < 20; lap++) {
			r3_virtqd_disarm(&rig.d);
			assert_int_equal(rig_push(&rig, 0, 1, 0, 5, false), 0);
			assert_false(r3_virtq_publish(&rig.q));
			assert_true(r3_virtqd_arm(&rig.d)); /* it is there already */
			assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 1);
			assert_false(r3_virtqd_arm(&rig.d));
			assert_int_equal(rig_push(&rig, 1, 1, 0, 5, false), 0);
			assert_true(r3_virtq_publish(&rig.q));
			assert_int_equal(rig_push(&rig, 2, 1, 0, 5, false), 0);
			/* an index is passed once, a flag stays */
			assert_int_equal(r3_virtq_publish(&rig.q), !rig.q.event_idx);

			r3_virtq_disarm(&rig.q);
			r3_virtqd_complete(&rig.d, &chain, 0);
			assert_false(r3_virtqd_publish(&rig.d));
			assert_true(r3_virtq_arm(&rig.q));
			assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
			assert_false(r3_virtq_arm(&rig.q));
			for (unsigned j = 0; j < 2; j++) {
				assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 1);
				r3_virtqd_complete(&rig.d, &chain, 0);
				assert_int_equal(r3_virtqd_publish(&rig.d), !j || !rig.q.event_idx);
				assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
			}
			assert_false(r3_virtqd_publish(&rig.d)); /* nothing new */
		}
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout),
		cmocka_unit_test(refused_memory),
		cmocka_unit_test(split_in_memory),
		cmocka_unit_test(packed_in_memory),
		cmocka_unit_test(refused_chains),
		cmocka_unit_test(every_size),
		cmocka_unit_test(out_of_order),
		cmocka_unit_test(in_order_batch),
		cmocka_unit_test(again_after_reset),
		cmocka_unit_test(suppression),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
