/* SPDX-License-Identifier: BSD-2-Clause */
/* A client and the server in a thread that it talks to. No descriptor may be left over. */
#ifndef RING3_BACKEND_VFIO_USER_TEST_RIG_H
#define RING3_BACKEND_VFIO_USER_TEST_RIG_H

#include "backend/vfio_user/vfio_user.h"
#include "bus/core.h"
#include "fake/fake_server.h"
#include "unit.h"

#include <errno.h>
#include <ring3/error.h>
#include <string.h>
#include <unistd.h>

struct rig {
	struct fake_server server;
	struct r3_device *dev;
	struct r3_vfio_user *v;
	unsigned fds;
};

static struct rig rig;

static int rig_setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	rig.fds = test_count_fds();
	fake_server_init(&rig.server);
	return 0;
}

/* Start the server and open its device. */
static inline int rig_open_with(const char *keys)
{
	int fd = fake_server_start(&rig.server), rc;
	char address[64];

	snprintf(address, sizeof(address), "vfio-user:fd:%d%s", fd, keys);
	rc = r3_device_open(address, NULL, &rig.dev);
	close(fd);
	rig.v = rc ? NULL : r3_vfio_user_of(rig.dev);
	if (rc)
		rig.dev = NULL;
	return rc;
}

static inline void rig_open(void)
{
	int rc = rig_open_with("");

	if (rc)
		fail_msg("%d: %s", rc, r3_error_text());
}

static int rig_teardown(void **state)
{
	r3_device_close(rig.dev);
	rig.dev = NULL;
	if (rig.server.stream)
		fake_server_stop(&rig.server);
	rig.server.stream = NULL;
	assert_int_equal(test_count_fds(), rig.fds);
	return 0;
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

static inline struct r3_region *rig_region(unsigned index)
{
	struct r3_region *region;

	if (r3_device_region(rig.dev, index, &region))
		fail_msg("%s", r3_error_text());
	return region;
}

/* Fails unless the last failure's text has @part in it. */
static inline void rig_text_has(const char *part)
{
	if (!strstr(r3_error_text(), part))
		fail_msg("\"%s\" is not in: %s", part, r3_error_text());
}

#endif
