/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a served device, and its registers: which messages an access becomes. */
#include "backend/vfio_user/test_rig.h"
#include "valgrind.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/eventfd.h>

static void what_the_server_says_becomes_the_device(void **state)
{
	const struct r3_device_info *info;
	struct r3_region *region;

	rig_open();
	info = r3_device_get_info(rig.dev);
	assert_int_equal(info->caps, R3_CAP_PCI | R3_CAP_DMA | R3_CAP_FLR | R3_CAP_IRQ_MASK);
	assert_int_equal(info->nregions, 9);
	assert_int_equal(info->nirqs[0], 1);
	assert_int_equal(info->nirqs[1], 32);
	assert_int_equal(info->nirqs[2], 64);
	assert_memory_equal(info->address, "vfio-user:fd:", 13);
	/* what the server refused on the way is no failure */
	r3_error_set(EIO, "of another call");
	assert_int_equal(r3_device_region(rig.dev, 2, &region), 0);
	assert_true(rig.server.seen[VFIO_USER_DEVICE_GET_REGION_IO_FDS] > 0);
	assert_string_equal(r3_error_text(), "of another call");
	assert_int_equal(rig_region(0)->size, 16384);
	assert_int_equal(rig_region(0)->flags,
			 R3_REGION_READ | R3_REGION_WRITE | R3_REGION_64BIT | R3_REGION_PREFETCH);
	assert_int_equal(rig_region(2)->flags, R3_REGION_READ | R3_REGION_WRITE | R3_REGION_PORT);
	assert_int_equal(rig_region(7)->size, 4096);
}

static void a_device_need_not_be_pci(void **state)
{
	struct r3_region *region;

	rig.server.flags = 0;
	rig.server.nregions = 2;
	rig.server.region[1].size = 64;
	rig.server.region[1].flags = VFIO_REGION_INFO_FLAG_READ;
	rig.server.nirqs = 0;
	rig_open();
	assert_int_equal(rig.dev->info.caps, R3_CAP_DMA);
	assert_int_equal(rig.dev->info.nregions, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rig.dev->info.nirqs[i], 0);
	r3_write32(rig_region(0), 4, 7);
	assert_int_equal(r3_read32(rig_region(0), 4), 7);
	assert_int_equal(rig_region(1)->flags, R3_REGION_READ);
	assert_int_equal(r3_device_region(rig.dev, 7, &region), -ENOENT);
	assert_int_equal(r3_device_reset(rig.dev, R3_RESET_ANY), -EOPNOTSUPP);
}

static void registers_of_each_width_are_read_and_written(void **state)
{
	struct r3_region *bar;

	rig_open();
	bar = rig_region(0);
	r3_write64(bar, 8, UINT64_C(0x1122334455667788));
	assert_int_equal(r3_read64(bar, 8), UINT64_C(0x1122334455667788));
	assert_int_equal(rig.server.region[0].bytes[8], 0x88); /* little-endian */
	assert_int_equal(r3_read32(bar, 8), 0x55667788);
	assert_int_equal(r3_read16(bar, 12), 0x3344);
	assert_int_equal(r3_read8(bar, 15), 0x11);
	r3_write8(bar, 8, 0xff);
	assert_int_equal(r3_read64(bar, 8), UINT64_C(0x11223344556677ff));
}

/* Each item is an access of its own; those of one call are on their way together. */
static void many_items_are_many_accesses(void **state)
{
	uint16_t data[100], back[100];
	struct r3_region *bar;
	unsigned before;

	rig_open();
	bar = rig_region(0);
	for (unsigned i = 0; i < 100; i++)
		data[i] = (uint16_t)(i * 0x0101);
	before = rig.server.seen[VFIO_USER_REGION_WRITE];
	assert_int_equal(r3_region_write(bar, 64, 2, data, 100), 0);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE] - before, 100);
	before = rig.server.seen[VFIO_USER_REGION_READ];
	assert_int_equal(r3_region_read(bar, 64, 2, back, 100), 0);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_READ] - before, 100);
	assert_memory_equal(data, back, sizeof(data));
}

static void many_writes_are_one_message_where_that_is_offered(void **state)
{
	uint32_t data[100], back[100];
	struct r3_region *bar;

	rig.server.caps.write_multiple = true;
	rig_open();
	bar = rig_region(0);
	for (unsigned i = 0; i < 100; i++)
		data[i] = i * 0x01010101u;
	assert_int_equal(r3_region_write(bar, 64, 4, data, 100), 0);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE_MULTI], 2);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE], 0);
	assert_int_equal(r3_region_read(bar, 64, 4, back, 100), 0);
	assert_memory_equal(data, back, sizeof(data));
	/* posted, too */
	assert_int_equal(rig.dev->ops->rw(rig.dev, 0, 1024, data, 4, 3, R3_RW_WRITE | R3_RW_POSTED),
			 0);
	assert_int_equal(r3_read32(bar, 1032), data[2]);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE_MULTI], 3);
	r3_write32(bar, 0, 5); /* one alone is no crowd */
	assert_int_equal(r3_read32(bar, 0), 5);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE], 1);
}

static bool note_no_reply(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	if (msg->header.cmd == VFIO_USER_REGION_WRITE && msg->header.flags & VFIO_USER_F_NO_REPLY)
		++*(unsigned *)server->user;
	return false;
}

static void only_checked_writes_want_a_reply(void **state)
{
	static unsigned posted; /* the hook is called until the device is closed */
	uint32_t value = 9;

	rig.server.hook = note_no_reply;
	rig.server.user = &posted;
	rig_open();
	r3_write32(rig_region(0), 0, 7);
	assert_int_equal(r3_region_write(rig_region(0), 4, 4, &value, 1), 0);
	assert_int_equal(r3_read32(rig_region(0), 0), 7);
	assert_int_equal(posted, 1);
}

static bool refuse_access(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	if (msg->header.cmd != VFIO_USER_REGION_READ && msg->header.cmd != VFIO_USER_REGION_WRITE)
		return false;
	fake_server_error(server, msg, *(int *)server->user);
	return true;
}

static void an_error_reply_is_the_accesss_error(void **state)
{
	static int err = EIO;
	uint32_t value = 0;

	rig.server.flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_PCI; /* reads BARs when opened */
	rig.server.hook = refuse_access;
	rig.server.user = &err;
	rig_open();
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -EIO);
	rig_text_has("VFIO_USER_REGION_READ");
	assert_int_equal(r3_read32(rig_region(0), 0), UINT32_MAX);
	err = EACCES;
	assert_int_equal(r3_region_write(rig_region(0), 0, 4, &value, 1), -EACCES);
	assert_false(r3_device_gone(rig.dev));
}

static void no_device_is_the_end_of_it(void **state)
{
	struct r3_event event;
	static int err = ENODEV;
	uint32_t value;

	rig.server.flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_PCI;
	rig.server.hook = refuse_access;
	rig.server.user = &err;
	rig_open();
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -ENODEV);
	assert_true(r3_device_gone(rig.dev));
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 1);
	assert_int_equal(event.type, R3_EVENT_REMOVED);
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 0);
}

/* Answers reads two at a time, the younger first. */
static bool answer_in_reverse(struct fake_server *server, const struct r3_vfio_user_msg *msg,
			      int *fds)
{
	static struct r3_vfio_user_msg older;
	static unsigned char payload[64];
	struct vfio_user_region_access access;

	if (msg->header.cmd != VFIO_USER_REGION_READ ||
	    r3_vfio_user_get_region_read(msg, 8, &access) || access.region)
		return false;
	if (!server->user) {
		older = *msg;
		older.payload = memcpy(payload, msg->payload, msg->len);
		server->user = &older;
		return true;
	}
	fake_server_do(server, msg, fds);
	fake_server_do(server, &older, fds);
	server->user = NULL;
	return true;
}

static void replies_come_in_any_order(void **state)
{
	uint32_t data[8];

	rig.server.hook = answer_in_reverse;
	rig_open();
	for (unsigned i = 0; i < 8; i++)
		r3_write32(rig_region(0), 4 * i, 100 + i);
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, data, 8), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(data[i], 100 + i);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS  400

static void *access_own_register(void *arg)
{
	uint64_t off = (uint64_t)(uintptr_t)arg * 8;
	struct r3_region *bar = rig.dev->region[0];
	uintptr_t wrong = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		r3_write32(bar, off, i);
		wrong += r3_read32(bar, off) != i;
	}
	return (void *)wrong;
}

static void any_thread_may(void **state)
{
	pthread_t thread[THREADS];

	rig_open();
	rig_region(0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, access_own_register, (void *)i),
				 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(thread[i], &wrong);
		assert_null(wrong);
	}
}

/* ---- eventfds instead of messages ---- */

struct kicks {
	int fd[3];
	unsigned n;
	struct vfio_user_sub_region sub[6];
};

static bool give_kicks(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	const struct kicks *kicks = server->user;
	struct {
		struct vfio_user_region_io_fds head;
		struct vfio_user_sub_region sub[6];
	} reply;

	if (msg->header.cmd != VFIO_USER_DEVICE_GET_REGION_IO_FDS)
		return false;
	memset(&reply, 0, sizeof(reply));
	memcpy(&reply.head, msg->payload, sizeof(reply.head));
	if (reply.head.index) {
		fake_server_error(server, msg, EINVAL);
		return true;
	}
	reply.head.count = kicks->n;
	reply.head.argsz = (uint32_t)(sizeof(reply.head) + kicks->n * sizeof(reply.sub[0]));
	memcpy(reply.sub, kicks->sub, sizeof(reply.sub));
	fake_server_reply(server, msg, &reply, reply.head.argsz, kicks->fd, 3);
	return true;
}

static unsigned kicked(int fd)
{
	eventfd_t count = 0;

	return eventfd_read(fd, &count) ? 0 : (unsigned)count;
}

static void a_write_may_be_an_eventfd(void **state)
{
	int pipes[2];
	static struct kicks kicks = {
		.n = 6,
		.sub =
			{
				{.offset = 0x1000, .size = 4, .fd_index = 0},
				{.offset = 0x1004, .size = 0, .fd_index = 0},
				{.offset = 0x1008,
				 .size = 4,
				 .fd_index = 1,
				 .datamatch = 7,
				 .flags = KVM_IOEVENTFD_FLAG_DATAMATCH},
				{.offset = 0x100c, .size = 4, .fd_index = 2}, /* of a pipe */
				{.offset = 0x1010,
				 .size = 4,
				 .fd_index = 0,
				 .type = VFIO_USER_IO_FD_TYPE_IOREGIONFD},
				{.offset = 0x100000, .size = 4, .fd_index = 0}, /* outside */
			},
	};
	struct r3_region *bar;
	unsigned writes;

	test_skip_passed_fds();
	kicks.fd[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	kicks.fd[1] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(pipe(pipes), 0);
	close(pipes[0]); /* a write to it would be our end */
	kicks.fd[2] = pipes[1];
	rig.server.hook = give_kicks;
	rig.server.user = &kicks;
	rig_open();
	bar = rig_region(0);

	r3_write32(bar, 0x1000, 1);
	r3_write32(bar, 0x1004, 1);
	r3_write8(bar, 0x1004, 1);
	assert_int_equal(kicked(kicks.fd[0]), 3);
	r3_write16(bar, 0x1000, 1); /* another width */
	r3_write32(bar, 0x1008, 8); /* another value */
	r3_write32(bar, 0x100c, 1);
	r3_write32(bar, 0x1010, 1);
	r3_read32(bar, 0);
	writes = rig.server.seen[VFIO_USER_REGION_WRITE];
	assert_int_equal(writes, 4);
	r3_write32(bar, 0x1008, 7);
	assert_int_equal(kicked(kicks.fd[1]), 1);
	/* one that is full is not waited for: it says what it has to say */
	assert_int_equal(eventfd_write(kicks.fd[1], UINT64_MAX - 1), 0);
	assert_int_equal(fcntl(kicks.fd[1], F_SETFL, 0), 0); /* the server has it, too */
	r3_write32(bar, 0x1008, 7);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE], writes);
	for (unsigned i = 0; i < 3; i++)
		close(kicks.fd[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(what_the_server_says_becomes_the_device),
		RIG_TEST(a_device_need_not_be_pci),
		RIG_TEST(registers_of_each_width_are_read_and_written),
		RIG_TEST(many_items_are_many_accesses),
		RIG_TEST(many_writes_are_one_message_where_that_is_offered),
		RIG_TEST(only_checked_writes_want_a_reply),
		RIG_TEST(an_error_reply_is_the_accesss_error),
		RIG_TEST(no_device_is_the_end_of_it),
		RIG_TEST(replies_come_in_any_order),
		RIG_TEST(any_thread_may),
		RIG_TEST(a_write_may_be_an_eventfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
