/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities that peers send: what is believed, what is not, and that what is written can be
 * read. */
#include "unit.h"
#include "wire/vfio_user_caps.h"

#include <errno.h>
#include <string.h>

#define QUOTE(...) #__VA_ARGS__

static struct r3_vfio_user_caps caps;

static int decode(const char *text)
{
	return r3_vfio_user_caps_decode(text, strlen(text), &caps);
}

static void a_peer_that_says_nothing_has_the_defaults(void **state)
{
	static const char *const nothing[] = {
		"{}", "{\"capabilities\":{}}", " { } ",
		"{\"capabilities\":{\"migration\":{\"pgsize\":4096}}}", "{\"other\":[1,2,{}]}"};

	for (unsigned i = 0; i <= sizeof(nothing) / sizeof(*nothing); i++) {
		memset(&caps, 0xff, sizeof(caps));
		if (i == 0)
			assert_int_equal(r3_vfio_user_caps_decode(NULL, 0, &caps), 0);
		else
			assert_int_equal(decode(nothing[i - 1]), 0);
		assert_int_equal(caps.max_msg_fds, 1);
		assert_int_equal(caps.max_data_xfer_size, 1048576);
		assert_int_equal(caps.max_dma_maps, 65535);
		assert_int_equal(caps.pgsizes, 4096);
		assert_false(caps.twin_socket);
		assert_int_equal(caps.twin_fd, -1);
		assert_false(caps.write_multiple);
		assert_false(caps.ring3);
		assert_int_equal(caps.nwindows, 0);
	}
}

static void what_qemu_says_is_read(void **state)
{
	assert_int_equal(
		decode(QUOTE({
			"capabilities" : {
				"migration" : {"pgsize" : 4096, "max_bitmap_size" : 268435456},
				"max_msg_fds" : 8,
				"max_data_xfer_size" : 1048576,
				"pgsizes" : 4096,
				"max_dma_maps" : 65535,
				"write_multiple" : true
			}
		})),
		0);
	assert_int_equal(caps.max_msg_fds, 8);
	assert_true(caps.write_multiple);
}

static void each_is_read(void **state)
{
	assert_int_equal(
		decode(QUOTE({
			"capabilities" : {
				"max_msg_fds" : 16,
				"max_data_xfer_size" : 8,
				"max_dma_maps" : 1,
				"pgsizes" : 2101248,
				"twin_socket" : {"supported" : true, "fd_index" : 3},
				"write_multiple" : false,
				"ring3" : {
					"iova" : [ [ 0, 4095 ], [ 1048576, 18446744073709551615 ] ]
				}
			}
		})),
		0);
	assert_int_equal(caps.max_msg_fds, 16);
	assert_int_equal(caps.max_data_xfer_size, 8);
	assert_int_equal(caps.max_dma_maps, 1);
	assert_int_equal(caps.pgsizes, 2101248);
	assert_true(caps.twin_socket);
	assert_int_equal(caps.twin_fd, 3);
	assert_false(caps.write_multiple);
	assert_true(caps.ring3);
	assert_int_equal(caps.nwindows, 2);
	assert_int_equal(caps.window[0].last, 4095);
	assert_int_equal(caps.window[1].first, 1048576);
	assert_true(caps.window[1].last == UINT64_MAX);
	/* more than 32 bits can tell */
	assert_int_equal(decode("{\"capabilities\":{\"max_data_xfer_size\":99999999999}}"), 0);
	assert_int_equal(caps.max_data_xfer_size, UINT32_MAX);
}

static void what_is_out_of_range_is_refused(void **state)
{
	static const char *const bad[] = {
		"\"max_msg_fds\":0",
		"\"max_msg_fds\":-1",
		"\"max_msg_fds\":\"8\"",
		"\"max_msg_fds\":8.5",
		"\"max_msg_fds\":null",
		"\"max_data_xfer_size\":7",
		"\"max_data_xfer_size\":true",
		"\"max_dma_maps\":0",
		"\"max_dma_maps\":[]",
		"\"pgsizes\":0",
		"\"pgsizes\":-4096",
		"\"pgsizes\":{}",
		"\"twin_socket\":true",
		"\"twin_socket\":{\"supported\":1}",
		"\"twin_socket\":{\"supported\":true,\"fd_index\":16}",
		"\"twin_socket\":{\"supported\":true,\"fd_index\":-1}",
		"\"twin_socket\":{\"supported\":true,\"fd_index\":\"0\"}",
		"\"write_multiple\":1",
		"\"ring3\":1",
		"\"ring3\":{\"iova\":1}",
		"\"ring3\":{\"iova\":[1]}",
		"\"ring3\":{\"iova\":[[1]]}",
		"\"ring3\":{\"iova\":[[1,2,3]]}",
		"\"ring3\":{\"iova\":[[2,1]]}",
		"\"ring3\":{\"iova\":[[-2,1]]}",
		"\"ring3\":{\"iova\":[[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1]]}",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[256];

		snprintf(text, sizeof(text), "{\"capabilities\":{%s}}", bad[i]);
		if (decode(text) != -EINVAL)
			fail_msg("%s was read", text);
	}
}

static void what_is_no_json_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"null",
		"1",
		"[]",
		"\"x\"",
		"{",
		"{\"capabilities\":1}",
		"{}x",

		"{\"a\":1,}",
		"{} {}",
		"[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
		"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}}",
		"{\"a\":\"\xff\xfe\"}",
	};
	static char large[R3_VFIO_USER_CAPS_MAX + 1];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (decode(bad[i]) != -EINVAL)
			fail_msg("%s was read", bad[i]);
	memset(large, ' ', sizeof(large) - 1);
	large[0] = '{';
	large[sizeof(large) - 2] = '}';
	assert_int_equal(decode(large), -EINVAL);
	large[R3_VFIO_USER_CAPS_MAX - 2] = '}';
	assert_int_equal(r3_vfio_user_caps_decode(large, R3_VFIO_USER_CAPS_MAX - 1, &caps), 0);
}

static void what_is_written_can_be_read(void **state)
{
	uint64_t seed = test_seed();

	for (unsigned round = 0; round < 500; round++) {
		struct r3_vfio_user_caps wrote;
		char text[R3_VFIO_USER_CAPS_MAX];
		size_t len;

		memset(&wrote, 0, sizeof(wrote));
		wrote.max_msg_fds = 1 + (uint32_t)test_random_below(&seed, 100);
		wrote.max_data_xfer_size = (uint32_t)test_random(&seed) | 8;
		wrote.max_dma_maps = (uint32_t)test_random(&seed) | 1;
		wrote.pgsizes = test_random(&seed) | 4096;
		wrote.twin_socket = test_random_below(&seed, 2);
		wrote.twin_fd = wrote.twin_socket ? (int)test_random_below(&seed, 17) - 1 : -1;
		wrote.write_multiple = test_random_below(&seed, 2);
		wrote.ring3 = test_random_below(&seed, 4);
		wrote.nwindows = wrote.ring3 ? test_random_below(&seed, 9) : 0;
		wrote.no_dma = wrote.ring3 && !wrote.nwindows && test_random_below(&seed, 2);
		for (unsigned i = 0; i < wrote.nwindows; i++) {
			wrote.window[i].last = test_random(&seed) | UINT64_C(1) << 63;
			wrote.window[i].first = test_random(&seed) >> 1;
		}
		len = r3_vfio_user_caps_encode(&wrote, text);
		assert_int_equal(text[len - 1], 0);
		assert_int_equal(strlen(text), len - 1);
		memset(&caps, 0, sizeof(caps));
		assert_int_equal(r3_vfio_user_caps_decode(text, len - 1, &caps), 0);
		assert_memory_equal(&caps, &wrote, sizeof(caps));
	}
}

static void versions_agree_on_the_lesser_minor(void **state)
{
	uint16_t minor = 99;

	assert_int_equal(r3_vfio_user_version_agree(&(struct vfio_user_version){0, 0}, &minor), 0);
	assert_int_equal(minor, 0);
	assert_int_equal(r3_vfio_user_version_agree(&(struct vfio_user_version){0, 1}, &minor), 0);
	assert_int_equal(minor, 1);
	assert_int_equal(r3_vfio_user_version_agree(&(struct vfio_user_version){0, 7}, &minor), 0);
	assert_int_equal(minor, 1);
	assert_int_equal(r3_vfio_user_version_agree(&(struct vfio_user_version){1, 0}, &minor),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_says_nothing_has_the_defaults),
		cmocka_unit_test(what_qemu_says_is_read),
		cmocka_unit_test(each_is_read),
		cmocka_unit_test(what_is_out_of_range_is_refused),
		cmocka_unit_test(what_is_no_json_is_refused),
		cmocka_unit_test(what_is_written_can_be_read),
		cmocka_unit_test(versions_agree_on_the_lesser_minor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
