/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues of several threads on a controller that fails again and again. */
#include "stub/reset_load.h"
#include "test_bed.h"

static void fail_controller(struct bed *bed)
{
	pthread_mutex_lock(&bed->stub->fake->lock);
	bed->stub->csts |= NVME_CSTS_CFS;
	pthread_mutex_unlock(&bed->stub->fake->lock);
}

/* A controller that takes its time to come back, which the threads use. */
static void take_time(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data)
{
	const struct timespec ts = {.tv_nsec = 300000};

	pthread_mutex_unlock(&stub->fake->lock);
	nanosleep(&ts, NULL);
	pthread_mutex_lock(&stub->fake->lock);
}

static void test_resets_under_load(void **state)
{
	const struct nvme_stub_opts opts = {.vectors = 2};
	const struct nvme_stub_hooks hooks = {.identify = take_time};
	struct bed bed = {.stub = nvme_stub_new(&opts, NULL)};

	bed.stub->hooks = &hooks;
	reset_load(&bed, nvme_stub_device(bed.stub), &r3_driver_nvme, fail_controller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resets_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
