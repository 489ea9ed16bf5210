/* SPDX-License-Identifier: BSD-2-Clause */
/* A client's access to registers: split into what a device can take, bounded, in order. */
#include "serve/vfio_user/test_rig.h"
#include "util/item.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct access {
	uint64_t off;
	unsigned width;
};

struct accesses {
	struct access at[64];
	unsigned n, writes;
};

static bool record(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
		   uint64_t *value, bool write)
{
	struct accesses *all = fake->user;

	if (all->n < COUNT(all->at))
		all->at[all->n++] = (struct access){off, width};
	all->writes += write;
	return false;
}

static void accesses_are_split_into_legal_ones(void **state)
{
	static const struct {
		unsigned region;
		uint64_t off;
		uint32_t count;
		struct access legal[8];
	} rows[] = {
		{4, 8, 4, {{8, 4}}},
		{4, 8, 8, {{8, 8}}},
		{4, 2, 2, {{2, 2}}},
		{4, 5, 1, {{5, 1}}},
		{4, 4, 8, {{4, 4}, {8, 4}}},
		{4, 1, 8, {{1, 1}, {2, 2}, {4, 4}, {8, 1}}},
		{4, 0, 3, {{0, 2}, {2, 1}}},
		{4, 3, 7, {{3, 1}, {4, 4}, {8, 2}}},
		{4, 0, 12, {{0, 4}, {4, 4}, {8, 4}}},
		{7, 8, 8, {{8, 4}, {12, 4}}},
		{7, 0x3d, 2, {{0x3d, 1}, {0x3e, 1}}},
		{2, 0, 8, {{0, 4}, {4, 4}}},
	};
	struct rig *rig = *state;
	struct accesses all;
	unsigned char data[16];
	int sock = rig_client(rig);

	rig->fake->access = record;
	rig->fake->user = &all;
	for (unsigned i = 0; i < COUNT(rows); i++) {
		for (unsigned write = 0; write < 2; write++) {
			all.n = all.writes = 0;
			memset(data, (int)i, sizeof(data));
			assert_int_equal(write ? rig_write(rig, sock, rows[i].region, rows[i].off,
							   data, rows[i].count)
					       : rig_read(rig, sock, rows[i].region, rows[i].off,
							  rows[i].count),
					 0);
			for (unsigned k = 0; k < all.n; k++) {
				assert_int_equal(all.at[k].off, rows[i].legal[k].off);
				assert_int_equal(all.at[k].width, rows[i].legal[k].width);
			}
			assert_int_equal(rows[i].legal[all.n].width, 0);
			assert_int_equal(all.writes, write ? all.n : 0);
		}
	}
	rig->fake->access = NULL;
	close(sock);
}

static void bytes_arrive_as_they_are(void **state)
{
	struct rig *rig = *state;
	struct vfio_user_region_access access;
	unsigned char data[3000];
	uint64_t seed = test_seed();
	int sock = rig_client(rig);

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)test_random(&seed);
	for (unsigned i = 0; i < 100; i++) {
		unsigned region = i % 2 ? 0 : 4; /* mapped here, and by messages */
		uint32_t off = test_random_below(&seed, 1000);
		uint32_t count = 1 + test_random_below(&seed, 3000);

		assert_int_equal(rig_write(rig, sock, region, off, data, count), 0);
		memcpy(&access, rig->payload, sizeof(access));
		assert_int_equal(rig->header.msg_size, 32);
		assert_int_equal(access.count, count);
		assert_memory_equal((char *)r3_mem_addr(rig->fake->bar[region].mem) + off, data,
				    count);
		assert_int_equal(rig_read(rig, sock, region, off, count), 0);
		memcpy(&access, rig->payload, sizeof(access));
		assert_int_equal(access.offset, off);
		assert_int_equal(access.region, region);
		assert_int_equal(access.count, count);
		assert_int_equal(rig->header.msg_size, 32 + count);
		assert_memory_equal(rig->payload + 16, data, count);
	}
	close(sock);
}

static void impossible_accesses_are_errors(void **state)
{
	static const struct {
		unsigned region;
		uint64_t off;
		uint32_t count;
		int read, write;
	} rows[] = {
		{0, 16384, 1, -EINVAL, -EINVAL},
		{0, 16380, 8, -EINVAL, -EINVAL},
		{0, UINT64_MAX, 1, -EINVAL, -EINVAL},
		{0, UINT64_MAX - 1, 4, -EINVAL, -EINVAL},
		{0, 0, 0, -EINVAL, -EINVAL},
		{1, 0, 4, -EINVAL, -EINVAL},
		{8, 0, 4, -EINVAL, -EINVAL},
		{UINT32_MAX, 0, 4, -EINVAL, -EINVAL},
		{6, 0, 4, 0, -EACCES},
	};
	struct rig *rig = *state;
	const struct vfio_user_region_access absurd = {0, 0, R3_VFIO_USER_XFER + 1};
	unsigned char data[8] = {0};
	int sock = rig_client(rig);

	for (unsigned i = 0; i < COUNT(rows); i++) {
		assert_int_equal(rig_read(rig, sock, rows[i].region, rows[i].off, rows[i].count),
				 rows[i].read);
		assert_int_equal(
			rig_write(rig, sock, rows[i].region, rows[i].off, data, rows[i].count),
			rows[i].write);
	}
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_REGION_READ, &absurd, sizeof(absurd), NULL, 0),
		-EINVAL);
	/* a count that is not what comes along */
	const struct vfio_user_region_access lie = {0, 0, 8};
	assert_int_equal(rig_call(rig, sock, VFIO_USER_REGION_WRITE, &lie, sizeof(lie), NULL, 0),
			 -EINVAL);
	rig->fake->fail_rw = -EIO;
	assert_int_equal(rig_read(rig, sock, 4, 0, 4), -EIO);
	assert_int_equal(rig_write(rig, sock, 4, 0, data, 4), -EIO);
	rig->fake->fail_rw = 0;
	assert_int_equal(rig_read(rig, sock, 4, 0, 4), 0);
	close(sock);
}

static void a_write_without_reply_is_posted(void **state)
{
	struct rig *rig = *state;
	int sock = rig_client(rig);

	assert_true(rig_post(sock, 4, 0x40, 0xabcd));
	assert_true(rig_post(sock, 99, 0x40, 0xabcd)); /* an error for which nobody waits */
	/* the reply to the younger is no earlier than the older's effect */
	assert_int_equal(rig_read(rig, sock, 4, 0x40, 4), 0);
	assert_int_equal(r3_item_get_le(rig->payload + 16, 4), 0xabcd);
	assert_int_equal(rig->fake->posted, 1);
	assert_int_equal(rig_receive(rig, sock), -EAGAIN);
	close(sock);
}

static void many_writes_in_one_message(void **state)
{
	struct rig *rig = *state;
	struct {
		uint64_t n;
		struct vfio_user_write_single write[3];
	} multi = {3, {{0x10, 4, 4, {1}}, {0x20, 4, 8, {2}}, {0x31, 4, 1, {3}}}};
	unsigned char *bar = r3_mem_addr(rig->fake->bar[4].mem);
	int sock = rig_ring3(rig);

	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi), NULL, 0),
		0);
	assert_int_equal(rig->header.msg_size, 24);
	assert_int_equal(r3_item_get(rig->payload, 8), 3);
	assert_int_equal(bar[0x10], 1);
	assert_int_equal(bar[0x20], 2);
	assert_int_equal(bar[0x31], 3);
	multi.n = 4; /* more than come along */
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi), NULL, 0),
		-EINVAL);
	multi.n = UINT64_MAX;
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi), NULL, 0),
		-EINVAL);
	multi.n = 3;
	multi.write[1].count = 9;
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi), NULL, 0),
		-EINVAL);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(accesses_are_split_into_legal_ones), TEST(bytes_arrive_as_they_are),
		TEST(impossible_accesses_are_errors),     TEST(a_write_without_reply_is_posted),
		TEST(many_writes_in_one_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
