/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues of several threads on a device that needs a reset again and again. */
#include "stub/reset_load.h"
#include "test_bed.h"

static void fail_device(struct bed *bed)
{
	virtio_stub_needs_reset(bed->virtio);
}

static void run(uint64_t features)
{
	const struct virtio_stub_opts opts = {
		.features = VIRTIO_STUB_FEATURES | features, .vectors = 2, .strict = true};
	struct bed bed = {.virtio = virtio_stub_new(&opts, NULL)};

	reset_load(&bed, virtio_stub_device(bed.virtio), &r3_driver_virtio_blk, fail_device);
}

static void test_split(void **state)
{
	run(0);
}

static void test_packed(void **state)
{
	run(PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
