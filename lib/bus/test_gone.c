/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may notice that a device is gone: another thread, and operations that are not accesses. */
#include "fake/fake_device.h"
#include "unit.h"

#include <ring3/error.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

static struct fake_device *make(void)
{
	struct fake_device *fake = fake_device_new(NULL);

	assert_non_null(fake);
	assert_int_equal(fake_device_adopt(fake), 0);
	return fake;
}

static void *let_it_go(void *arg)
{
	struct fake_device *fake = arg;

	pthread_barrier_wait(fake->user);
	r3_device_set_gone(&fake->base);
	return NULL;
}

/* A region made while another thread notices is either seen by it, or sees it. */
static void another_thread_notices(void **state)
{
	for (unsigned round = 0; round < 200; round++) {
		struct fake_device *fake = make();
		struct r3_region *bar0, *bar4;
		pthread_barrier_t barrier;
		pthread_t thread;
		int rc;

		assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
		fake->user = &barrier;
		assert_int_equal(r3_device_region(&fake->base, 4, &bar4), 0);
		assert_int_equal(pthread_create(&thread, NULL, let_it_go, fake), 0);
		pthread_barrier_wait(&barrier);
		rc = r3_device_region(&fake->base, 0, &bar0);
		if (rc == 0)
			r3_write32(bar0, 0, 1);
		r3_read32(bar4, 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(rc == 0 || rc == -ENODEV);
		if (rc == 0)
			assert_int_equal(r3_read32(bar0, 0), UINT32_MAX);
		assert_int_equal(r3_read32(bar4, 0), UINT32_MAX);
		pthread_barrier_destroy(&barrier);
		r3_device_close(&fake->base);
	}
}

/* Without a quiesce of the carrier's, the core finds out by itself, and says so. */
static void quiesce_notices(void **state)
{
	struct fake_device *fake = make();
	struct r3_region *config;
	unsigned proved;

	assert_int_equal(r3_device_region(&fake->base, R3_REGION_CONFIG, &config), 0);
	r3_error_set(EIO, "stale");
	fake->base.info.name = "fake-q";
	fake->fail_quiesce = -EOPNOTSUPP;
	fake->fail_rw = -ENODEV;
	assert_int_equal(r3_device_quiesce(&fake->base, R3_QUIESCE_DMA, &proved), -ENODEV);
	assert_non_null(strstr(r3_error_text(), "fake-q: the device is gone"));
	r3_device_close(&fake->base);
}

static void dispatch_notices(void **state)
{
	struct fake_device *fake = make();

	fake->fail_dispatch = -ENODEV;
	assert_int_equal(r3_device_dispatch(&fake->base, NULL, 0), -ENODEV);
	assert_true(r3_device_gone(&fake->base));
	r3_device_close(&fake->base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_thread_notices),
		cmocka_unit_test(quiesce_notices),
		cmocka_unit_test(dispatch_notices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
