/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device, and what a driver, may not say: each lie on its own is found by the other
 * side and named, or is harmless; afterwards the queue is broken until it begins anew.
 */
#include "ring/test_rig.h"

#define FLAGS(wrap) ((wrap) ? R3_VIRTQ_AVAIL_USED : 0u)

/* ---- a device that lies ---- */

/* Before each of these, chains 0 (2 descriptors, 8 bytes to write), 1 (a table if there are
 * any, none to write) and 2 (4 bytes to write) are with the device, 3 is pushed and not
 * published, and 4 was used before. */

static void split_used(struct rig *rig, uint32_t id, uint32_t len, unsigned more)
{
	struct virtq_used *used = rig->q.used;
	uint16_t idx = R3_LE16(used->idx);

	used->ring[idx % rig->q.size] = (struct virtq_used_elem){R3_LE32(id), R3_LE32(len)};
	used->idx = R3_LE16((uint16_t)(idx + more));
}

static void packed_used(struct rig *rig, uint16_t id, uint32_t len, uint16_t flags)
{
	struct pvirtq_desc *desc = &rig->q.pdesc[rig->q.used_at];

	desc->id = R3_LE16(id);
	desc->len = R3_LE32(len);
	desc->flags = R3_LE16(flags);
}

/** The ring's name of the chain with the driver's @id. */
static uint16_t ring_id(const struct rig *rig, uint16_t id)
{
	for (uint16_t i = 0; !rig->q.packed && i < rig->q.size; i++)
		if (rig->q.slot[i].n && rig->q.slot[i].id == id)
			return i;
	return id;
}

/** Say that chain @id was used, in either layout. */
static void say_used(struct rig *rig, uint32_t id, uint32_t len, bool write)
{
	if (rig->q.packed)
		packed_used(rig, (uint16_t)id, len,
			    (uint16_t)(rig->q.used_flags | (write ? VIRTQ_DESC_F_WRITE : 0)));
	else
		split_used(rig, id, len, 1);
}

static void id_of_nobody(struct rig *rig)
{
	say_used(rig, rig->q.size, 0, false);
}

static void id_far_away(struct rig *rig)
{
	say_used(rig, rig->q.packed ? 0xffff : UINT32_MAX, 0, false);
}

static void id_not_in_flight(struct rig *rig)
{
	uint16_t id = 0;

	while (rig->q.slot[id].n)
		id++;
	say_used(rig, id, 0, false);
}

static void id_unpublished(struct rig *rig)
{
	say_used(rig, ring_id(rig, 3), 0, false);
}

static void id_in_mid_chain(struct rig *rig) /* split: the second descriptor of chain 0 */
{
	say_used(rig, rig->q.packed ? 5 : rig->q.slot[ring_id(rig, 0)].last, 0, false);
}

static void one_byte_too_many(struct rig *rig)
{
	say_used(rig, ring_id(rig, 0), 9, true);
}

static void all_bytes_there_are(struct rig *rig)
{
	say_used(rig, ring_id(rig, 0), UINT32_MAX, true);
}

static void write_to_what_it_reads(struct rig *rig)
{
	say_used(rig, ring_id(rig, 1), 1, true);
}

static void twice(struct rig *rig)
{
	uint16_t id = ring_id(rig, 2), got;
	uint32_t len;

	if (rig->q.in_order)
		id = ring_id(rig, 0);
	say_used(rig, id, 4, true);
	assert_int_equal(r3_virtq_pop(&rig->q, &got, &len), 1);
	say_used(rig, id, 4, true);
}

static void index_past_all(struct rig *rig)
{
	split_used(rig, ring_id(rig, 0), 0, 4);
}

static void index_far_past(struct rig *rig)
{
	split_used(rig, ring_id(rig, 0), 0, 40000);
}

static void index_backwards(struct rig *rig)
{
	split_used(rig, ring_id(rig, 0), 0, 0xffff);
}

static void available_undone(struct rig *rig)
{
	packed_used(rig, 0, 0, (uint16_t)FLAGS(!rig->q.used_flags));
}

static void flags_crossed(struct rig *rig)
{
	packed_used(rig, 0, 0, rig->q.used_flags ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL);
}

static void batch_longer_than_index(struct rig *rig)
{
	uint32_t len;
	uint16_t id;

	split_used(rig, ring_id(rig, 2), 4, 1); /* chains 0 to 2, but an index of one more */
	assert_int_equal(r3_virtq_pop(&rig->q, &id, &len), 1);
}

enum { SPLIT = 1, PACKED = 2, ORDER = 4, BOTH = SPLIT | PACKED };

static const struct device_lie {
	const char *name;
	void (*tell)(struct rig *);
	unsigned where;
	const char *text; /* in what pop says */
} device_lies[] = {
	{"an id that nobody has", id_of_nobody, BOTH, "does not exist"},
	{"an id far away", id_far_away, BOTH, "does not exist"},
	{"an id not in flight", id_not_in_flight, BOTH, "is not in flight"},
	{"an id not yet published", id_unpublished, BOTH, "is not in flight"},
	{"an id in mid chain", id_in_mid_chain, BOTH, "is not in flight"},
	{"an id twice", twice, BOTH, "is not in flight"},
	{"one byte too many", one_byte_too_many, BOTH, "9 bytes were written"},
	{"all bytes there are", all_bytes_there_are, BOTH, "4294967295 bytes"},
	{"written into what it reads", write_to_what_it_reads, BOTH, "room for 0"},
	{"index past all", index_past_all, SPLIT, "used index went"},
	{"index far past", index_far_past, SPLIT, "used index went"},
	{"index backwards", index_backwards, SPLIT, "used index went"},
	{"made unavailable", available_undone, PACKED, "neither available nor used"},
	{"flags crossed", flags_crossed, PACKED, "neither available nor used"},
	{"batch longer than index", batch_longer_than_index, SPLIT | ORDER, "a batch that ends"},
};

/** @laps chains through the ring first, so that the lie comes at any place of it. */
static void open_in_flight(struct rig *rig, uint64_t features, unsigned laps)
{
	struct r3_virtqd_chain chain;
	struct r3_sg sg[8];
	uint32_t len;
	uint16_t id;

	rig_open(rig, 8, features);
	for (unsigned i = 0; i < laps + 1; i++) {
		assert_int_equal(rig_push(rig, 4, 0, 1, 4, false), 0);
		r3_virtq_publish(&rig->q);
		assert_int_equal(r3_virtqd_fetch(&rig->d, &chain, sg, 8), 1);
		r3_virtqd_complete(&rig->d, &chain, 1);
		r3_virtqd_publish(&rig->d);
		assert_int_equal(r3_virtq_pop(&rig->q, &id, &len), 1);
	}
	assert_int_equal(rig_push(rig, 0, 0, 2, 4, false), 0);
	assert_int_equal(rig_push(rig, 1, 1, 0, 4, features & RIG_INDIRECT), 0);
	assert_int_equal(rig_push(rig, 2, 0, 1, 4, false), 0);
	r3_virtq_publish(&rig->q);
	assert_int_equal(rig_push(rig, 3, 0, 1, 4, false), 0);
}

static void device_lies_once(const struct device_lie *lie, uint64_t features, unsigned laps)
{
	struct r3_virtqd_chain chain;
	struct r3_sg sg[8];
	struct rig rig;
	uint32_t len;
	uint16_t id;

	open_in_flight(&rig, features, laps);
	lie->tell(&rig);
	for (unsigned again = 0; again < 2; again++) {
		assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), -EPROTO);
		if (!strstr(r3_error_text(), lie->text) || !strstr(r3_error_text(), "rig: queue 3"))
			fail_msg("%s: said '%s'", lie->name, r3_error_text());
		assert_int_equal(rig_push(&rig, 5, 1, 0, 4, features & RIG_INDIRECT), -EPROTO);
		assert_int_equal(rig_push(&rig, 6, 1, 0, 4, false), -EPROTO);
		assert_false(r3_virtq_publish(&rig.q));
		assert_true(r3_virtq_arm(&rig.q));
	}
	/* and it begins anew */
	r3_virtq_reset(&rig.q);
	rig_start_device(&rig);
	assert_int_equal(rig_push(&rig, 3, 0, 1, 4, false), 0);
	r3_virtq_publish(&rig.q);
	assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 1);
	r3_virtqd_complete(&rig.d, &chain, 4);
	r3_virtqd_publish(&rig.d);
	assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
	assert_int_equal(id, 3);
	rig_close(&rig);
}

static void device_lies_all(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		uint64_t features = rig_features(i);
		unsigned where = features & RIG_PACKED ? PACKED : SPLIT;

		for (unsigned j = 0; j < sizeof(device_lies) / sizeof(*device_lies); j++) {
			const struct device_lie *lie = &device_lies[j];

			if (!(lie->where & where) ||
			    (lie->where & ORDER && !(features & RIG_ORDER)))
				continue;
			for (unsigned laps = 0; laps < 17; laps++)
				device_lies_once(lie, features, laps);
		}
	}
}

/* What a device may not do and nobody minds. */
static void harmless(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		struct rig rig;
		uint32_t len;
		uint16_t id;

		open_in_flight(&rig, rig_features(i), i);
		if (rig.q.packed) {
			/* a length without WRITE is no length (2.8.5) */
			say_used(&rig, 0, 77, false);
			assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
			assert_int_equal(len, 0);
			/* reserved and silly suppression: at worst a notification */
			rig.q.device->flags = R3_LE16(0xffff);
			rig.q.device->desc = R3_LE16(0xffff);
			assert_true(r3_virtq_publish(&rig.q) || rig.q.event_idx);
		} else {
			/* the driver's own areas are not what it goes by */
			memset(rig.q.desc, 0xff, VIRTQ_DESC_BYTES(rig.q.size));
			memset(rig.q.avail, 0xff, VIRTQ_AVAIL_BYTES(rig.q.size));
			say_used(&rig, ring_id(&rig, 0), 8, true);
			assert_int_equal(r3_virtq_pop(&rig.q, &id, &len), 1);
			assert_int_equal(id, 0);
			assert_int_equal(rig_push(&rig, 5, 0, 1, 4, false), 0);
		}
		rig_close(&rig);
	}
}

/* ---- a driver that lies ---- */

/* One descriptor of the ring, or of a table, in either layout. */
static void put(struct rig *rig, void *at, unsigned i, uint64_t addr, uint32_t len, uint32_t flags,
		uint16_t next)
{
	if (rig->q.packed)
		((struct pvirtq_desc *)at)[i] = (struct pvirtq_desc){
			R3_LE64(addr), R3_LE32(len), R3_LE16(next), R3_LE16((uint16_t)flags)};
	else
		((struct virtq_desc *)at)[i] = (struct virtq_desc){
			R3_LE64(addr), R3_LE32(len), R3_LE16((uint16_t)flags), R3_LE16(next)};
}

#define N        VIRTQ_DESC_F_NEXT
#define W        VIRTQ_DESC_F_WRITE
#define I        VIRTQ_DESC_F_INDIRECT
#define A        VIRTQ_DESC_F_AVAIL /* both layouts: a split one does not look at it */
#define POOL_END (RIG_BASE + 8 * (uint64_t)RIG_ID)

static const struct driver_lie {
	const char *name;
	unsigned where;
	struct {
		uint64_t addr;
		uint32_t len, flags;
		uint16_t next;
	} desc[3], entry[3]; /* of the ring from 0 on, and of a table at the pool's begin */
	const char *text;
} driver_lies[] = {
	{"empty descriptor", BOTH, {{RIG_BASE, 0, A, 0}}, {{0}}, "descriptor of 0 bytes"},
	{"no memory", BOTH, {{1, 4, A, 0}}, {{0}}, "is none of memory"},
	{"past the end of memory", BOTH, {{POOL_END - 3, 4, A, 0}}, {{0}}, "is none of memory"},
	{"addresses wrap", BOTH, {{UINT64_MAX - 2, 4, A, 0}}, {{0}}, "descriptor of 4 bytes"},
	{"read after write",
	 BOTH,
	 {{RIG_BASE, 4, A | N | W, 1}, {RIG_BASE, 4, A, 0}},
	 {{0}},
	 "to read after"},
	{"too long together",
	 BOTH,
	 {{RIG_BASE, 64, A | N, 1}, {RIG_BASE, UINT32_MAX, A, 2}},
	 {{0}},
	 "longer than 4 GiB"},
	{"loop of one", SPLIT, {{RIG_BASE, 4, N, 0}}, {{0}}, "is a loop"},
	{"loop of three",
	 SPLIT,
	 {{RIG_BASE, 4, N, 1}, {RIG_BASE, 4, N, 2}, {RIG_BASE, 4, N, 0}},
	 {{0}},
	 "is a loop"},
	{"next beyond the ring", SPLIT, {{RIG_BASE, 4, N, 8}}, {{0}}, "names descriptor 8 of 8"},
	{"chain without an end",
	 PACKED,
	 {{RIG_BASE, 4, A | N, 0}, {RIG_BASE, 4, A | N, 0}, {RIG_BASE, 4, N, 0}},
	 {{0}},
	 "descriptor 2 is part of a chain"},
	{"table is empty", BOTH, {{RIG_BASE, 0, A | I, 0}}, {{0}}, "table of descriptors has 0"},
	{"table is cut", BOTH, {{RIG_BASE, 40, A | I, 0}}, {{0}}, "table of descriptors has 40"},
	{"table is nowhere", BOTH, {{16, 32, A | I, 0}}, {{0}}, "at 0x10 is no memory"},
	{"table past the end", BOTH, {{POOL_END - 8, 16, A | I, 0}}, {{0}}, "is no memory"},
	{"table wraps", BOTH, {{UINT64_MAX - 15, 32, A | I, 0}}, {{0}}, "has 32 bytes at"},
	{"table and more",
	 BOTH,
	 {{RIG_BASE, 16, A | I | N, 1}, {RIG_BASE, 4, A, 0}},
	 {{RIG_BASE, 4, 0, 0}},
	 "goes on behind a table"},
	{"table in a table",
	 SPLIT,
	 {{RIG_BASE, 16, I, 0}},
	 {{RIG_BASE, 16, I, 0}},
	 "has a table in it"},
	{"table is a loop",
	 SPLIT,
	 {{RIG_BASE, 32, I, 0}},
	 {{RIG_BASE, 4, N, 1}, {RIG_BASE, 4, N, 0}},
	 "table of 2 descriptors is a loop"},
	{"table goes on beyond itself",
	 SPLIT,
	 {{RIG_BASE, 32, I, 0}},
	 {{RIG_BASE, 4, N, 2}},
	 "goes on at 2"},
	{"entry is nowhere",
	 BOTH,
	 {{RIG_BASE, 16, A | I, 0}},
	 {{5, 4, W, 0}},
	 "none of memory to write"},
	{"more pieces than room",
	 BOTH,
	 {{RIG_BASE, 48, A | I, 0}},
	 {{RIG_BASE, 1, N, 1}, {RIG_BASE, 1, N, 2}, {RIG_BASE, 1, 0, 0}},
	 "more than 2 pieces"},
};

static void must_refuse(struct rig *rig, const char *name, const char *text)
{
	struct r3_virtqd_chain chain;
	struct r3_sg sg[8];
	unsigned max = strstr(text, "pieces") ? 2 : 8;
	int rc = r3_virtqd_fetch(&rig->d, &chain, sg, max);

	if (rc != -EPROTO || !strstr(r3_error_text(), text) ||
	    !strstr(r3_error_text(), "rig: queue 3"))
		fail_msg("%s: %d, '%s'", name, rc, r3_error_text());
	assert_true(r3_virtqd_arm(&rig->d));
	assert_int_equal(r3_virtqd_fetch(&rig->d, &chain, sg, max), -EPROTO);
	assert_int_equal(r3_virtqd_in_flight(&rig->d), 0);
}

static void driver_lies_all(void **state)
{
	for (unsigned i = 0; i < sizeof(driver_lies) / sizeof(*driver_lies); i++) {
		const struct driver_lie *lie = &driver_lies[i];

		for (unsigned packed = 0; packed < 2; packed++) {
			struct rig rig;

			if (!(lie->where & (packed ? PACKED : SPLIT)))
				continue;
			rig_open(&rig, 8, RIG_INDIRECT | (packed ? RIG_PACKED : 0));
			for (unsigned j = 0; j < 3; j++) {
				put(&rig, rig.q.desc, j, lie->desc[j].addr, lie->desc[j].len,
				    lie->desc[j].flags, lie->desc[j].next);
				put(&rig, rig.pool, j, lie->entry[j].addr, lie->entry[j].len,
				    lie->entry[j].flags, lie->entry[j].next);
			}
			if (!packed)
				rig.q.avail->idx = R3_LE16(1);
			must_refuse(&rig, lie->name, lie->text);
			rig_close(&rig);
		}
	}
}

static void driver_lies_about_the_ring(void **state)
{
	struct rig rig;

	rig_open(&rig, 8, 0);
	rig.q.avail->idx = R3_LE16(9);
	must_refuse(&rig, "index past the ring", "available index went from 0 to 9");
	rig_close(&rig);

	rig_open(&rig, 8, 0);
	rig.q.avail->idx = R3_LE16(1);
	rig.q.avail->ring[0] = R3_LE16(8);
	must_refuse(&rig, "no such head", "names descriptor 8 of 8");
	rig_close(&rig);

	rig_open(&rig, 8, 0);
	put(&rig, rig.q.desc, 0, RIG_BASE, 16, I, 0);
	rig.q.avail->idx = R3_LE16(1);
	must_refuse(&rig, "table not negotiated", "was not negotiated");
	rig_close(&rig);

	rig_open(&rig, 3, RIG_PACKED);
	for (unsigned i = 0; i < 3; i++)
		put(&rig, rig.q.desc, i, RIG_BASE, 4, A | N, 0);
	must_refuse(&rig, "longer than the ring", "more than the 3 descriptors");
	rig_close(&rig);
}

/* More than the ring holds, one honest chain after another. */
static void driver_overfills(void **state)
{
	struct r3_virtqd_chain chain;
	struct r3_sg sg[8];
	struct rig rig;

	rig_open(&rig, 4, 0);
	put(&rig, rig.q.desc, 0, RIG_BASE, 4, 0, 0);
	rig.q.avail->idx = R3_LE16(4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 1);
	rig.q.avail->idx = R3_LE16(5);
	assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), -EPROTO);
	r3_virtqd_complete(&rig.d, &chain, 0); /* what was fetched can be given back */
	r3_virtqd_publish(&rig.d);
	rig_close(&rig);

	rig_open(&rig, 4, RIG_PACKED);
	for (unsigned i = 0; i < 4; i++)
		put(&rig, rig.q.desc, i, RIG_BASE, 4, A, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), 1);
	put(&rig, rig.q.desc, 0, RIG_BASE, 4, VIRTQ_DESC_F_USED, 0);
	assert_int_equal(r3_virtqd_fetch(&rig.d, &chain, sg, 8), -EPROTO);
	rig_close(&rig);
}

static void device_refuses_areas(void **state)
{
	struct r3_virtqd_config config = {.name = "rig", .size = 8};
	struct r3_virtqd d;
	struct rig rig;

	rig_open(&rig, 8, 0);
	assert_int_equal(r3_virtqd_init(&d, &config), -EINVAL);
	config.desc = rig.mem;
	config.driver = rig.mem;
	config.device = (unsigned char *)rig.mem + 2;
	assert_int_equal(r3_virtqd_init(&d, &config), -EINVAL);
	config.device = rig.mem;
	assert_int_equal(r3_virtqd_init(&d, &config), 0);
	config.size = 6;
	assert_int_equal(r3_virtqd_init(&d, &config), -EINVAL);
	config.features = RIG_PACKED;
	assert_int_equal(r3_virtqd_init(&d, &config), 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_lies_all),  cmocka_unit_test(harmless),
		cmocka_unit_test(driver_lies_all),  cmocka_unit_test(driver_lies_about_the_ring),
		cmocka_unit_test(driver_overfills), cmocka_unit_test(device_refuses_areas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
