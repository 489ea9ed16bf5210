/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that stops, and another one that goes on with the ring where it was. */
#include "ring/test_rig.h"

/* One chain there and back. */
static void round_trip(struct rig *rig, uint16_t id)
{
	struct r3_virtqd_chain chain;
	struct r3_sg sg[RIG_PIECES];
	uint32_t len;
	uint16_t got;

	assert_int_equal(rig_push(rig, id, 1, 1, 8, false), 0);
	r3_virtq_publish(&rig->q);
	assert_int_equal(r3_virtqd_fetch(&rig->d, &chain, sg, RIG_PIECES), 1);
	r3_virtqd_complete(&rig->d, &chain, 8);
	r3_virtqd_publish(&rig->d);
	assert_int_equal(r3_virtq_pop(&rig->q, &got, &len), 1);
	assert_int_equal(got, id);
	assert_int_equal(len, 8);
}

static struct r3_virtqd_config resumed(struct rig *rig, uint16_t place)
{
	struct r3_virtqd_config config = rig_device_config(rig);

	config.resume = true;
	config.place = place;
	return config;
}

static void goes_on(void **state)
{
	/* beyond 65536 chains, where the index of a split ring wraps */
	const unsigned rounds = 70000, every = 997;

	for (unsigned i = 0; i < 8; i++) {
		struct rig rig;

		rig_open(&rig, i & 1 ? 7 : 8, rig_features(i));
		for (unsigned n = 0; n < rounds; n++) {
			struct r3_virtqd_config config = resumed(&rig, r3_virtqd_place(&rig.d));

			if (n % every == 0 || (n > 65530 && n < 65540)) {
				memset(&rig.d, 0xee, sizeof(rig.d));
				assert_int_equal(r3_virtqd_init(&rig.d, &config), 0);
				assert_int_equal(r3_virtqd_place(&rig.d), config.place);
				assert_int_equal(r3_virtqd_in_flight(&rig.d), 0);
			}
			round_trip(&rig, (uint16_t)(n % 7));
		}
		rig_close(&rig);
	}
}

/* A new ring begins at place 0, and a packed one with its wrap counter at 1 (2.8.1). */
static void from_the_beginning(void **state)
{
	struct rig rig;

	for (unsigned packed = 0; packed < 2; packed++) {
		struct r3_virtqd_config config;

		rig_open(&rig, 8, packed ? RIG_PACKED : 0);
		assert_int_equal(r3_virtqd_place(&rig.d), packed ? 0x8000 : 0);
		config = resumed(&rig, packed ? 0x8000 : 0);
		assert_int_equal(r3_virtqd_init(&rig.d, &config), 0);
		round_trip(&rig, 1);
		rig_close(&rig);
	}
}

static void places_that_cannot_be(void **state)
{
	struct r3_virtqd_config config;
	struct rig rig;

	rig_open(&rig, 8, 0);
	round_trip(&rig, 1);
	config = resumed(&rig, 0); /* the chain has been used: it is not to be used again */
	assert_int_equal(r3_virtqd_init(&rig.d, &config), -EPROTO);
	config.place = 2; /* nobody would ever use the second one */
	assert_int_equal(r3_virtqd_init(&rig.d, &config), -EPROTO);
	assert_non_null(strstr(r3_error_text(), "rig: queue 3"));
	config.place = 1;
	assert_int_equal(r3_virtqd_init(&rig.d, &config), 0);
	rig_close(&rig);

	rig_open(&rig, 7, RIG_PACKED);
	config = resumed(&rig, 7);
	assert_int_equal(r3_virtqd_init(&rig.d, &config), -EINVAL);
	config.place = 0xffff;
	assert_int_equal(r3_virtqd_init(&rig.d, &config), -EINVAL);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on),
		cmocka_unit_test(from_the_beginning),
		cmocka_unit_test(places_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
