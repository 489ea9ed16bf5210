/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers that lie, one message at a time: in their first words, in what they say of the
 * device, in the descriptors that they send, in the form of their replies. The client refuses
 * to open such a device, does without what it cannot believe, or hangs up; it never crashes,
 * waits, or keeps a descriptor.
 */
#include "backend/vfio_user/test_rig.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* A lie: what is answered to one request, in place of the truth. */
struct lie {
	unsigned cmd;
	unsigned nth; /* which request of that kind; 0: the first */
	/* the reply: of this message id, command and flags relative to the right ones, */
	int id, command;
	uint32_t flags, error;
	int size; /* said in the header, relative to the right one */
	/* with this payload, and so many descriptors */
	const void *payload;
	size_t len;
	unsigned nfds;
	int fd;
};

static bool tell(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	const struct lie *lie = server->user;
	struct vfio_user_header header;
	unsigned char whole[8192];
	int copies[R3_STREAM_FDS];

	if (!lie || msg->header.cmd != lie->cmd || server->seen[lie->cmd] != lie->nth + 1)
		return false;
	r3_vfio_user_reply(&header, &msg->header, lie->len);
	header.msg_id = (uint16_t)(header.msg_id + lie->id);
	header.cmd = (uint16_t)(header.cmd + lie->command);
	header.flags ^= lie->flags;
	header.error_no = lie->error;
	header.msg_size += (uint32_t)lie->size;
	memcpy(whole, &header, sizeof(header));
	if (lie->len)
		memcpy(whole + sizeof(header), lie->payload, lie->len);
	for (unsigned i = 0; i < lie->nfds; i++)
		copies[i] = lie->fd;
	fake_server_send(server, whole, sizeof(header) + lie->len, copies, lie->nfds);
	if (lie->size > 0) /* what was announced never comes */
		fake_server_hang_up(server);
	return true;
}

/* Opening fails with @err, and a text with @part in it. */
static void cannot_open(struct lie *lie, int err, const char *part)
{
	rig.server.hook = tell;
	rig.server.user = lie;
	assert_int_equal(rig_open_with(",timeout=1s"), -err);
	rig_text_has(part);
	rig_text_has("vfio-user:fd:");
	/* the next one */
	rig_teardown(NULL);
	rig_setup(NULL);
}

#define HELLO(text_) \
	{ \
		.cmd = VFIO_USER_VERSION, .payload = text_, .len = sizeof(text_) \
	}
#define V01 "\0\0\1\0" /* the version, little-endian */

static void first_words(void **state)
{
	struct lie lies[] = {
		HELLO("\1\0\1\0{}"),
		HELLO("\0\0\2\0{}"),
		HELLO(V01 "{\"capabilities\":"),
		HELLO(V01 "{\"capabilities\":{\"max_msg_fds\":0}}"),
		HELLO(V01 "{\"capabilities\":{\"pgsizes\":0}}"),
		HELLO(V01 "{\"capabilities\":{\"max_data_xfer_size\":-1}}"),
		HELLO(V01 "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}"),
		HELLO(V01 "{\"capabilities\":{\"twin_socket\":{\"supported\":true,"
			  "\"fd_index\":1}}}"),
		{.cmd = VFIO_USER_VERSION, .payload = "\0", .len = 1},
	};
	struct lie busy = {.cmd = VFIO_USER_VERSION, .flags = VFIO_USER_F_ERROR, .error = EBUSY};

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		skip();
	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		cannot_open(&lies[i], ENODEV, "");
	cannot_open(&busy, EBUSY, "another client");
}

static bool hang_up(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	fake_server_hang_up(server);
	return true;
}

static void none(void **state)
{
	rig.server.hook = hang_up;
	assert_int_equal(rig_open_with(""), -EBUSY);
	rig_text_has("another client");
}

/* It closes what it has not read. */
static void none_and_no_ears(void **state)
{
	struct r3_device *dev;
	char address[64];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(write(ends[0], "x", 1), 1); /* unread in one way, reset in the other */
	snprintf(address, sizeof(address), "vfio-user:fd:%d", ends[0]);
	close(ends[1]);
	assert_int_equal(r3_device_open(address, NULL, &dev), -EBUSY);
	close(ends[0]);
}

static bool say_nothing(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	return true;
}

static void never_any(void **state)
{
	rig.server.hook = say_nothing;
	assert_int_equal(rig_open_with(",timeout=20ms"), -ETIMEDOUT);
	rig_text_has("does not answer");
}

static void a_twin_that_is_no_socket(void **state)
{
	static const char text[] = V01 "{\"capabilities\":{\"twin_socket\":{\"supported\":true,"
				       "\"fd_index\":0}}}";
	struct lie lie = {
		.cmd = VFIO_USER_VERSION, .payload = text, .len = sizeof(text), .nfds = 1};

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		skip();
	lie.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	rig_setup(NULL);
	cannot_open(&lie, ENODEV, "");
	close(lie.fd);
	rig_setup(NULL);
}

static void what_device_it_is(void **state)
{
	const struct vfio_user_device_info infos[] = {
		{15, 0, 9, 5},
		{16, 0, R3_VFIO_USER_REGIONS + 1, 5},
		{16, 0, 9, R3_VFIO_USER_IRQS + 1},
		{16, 0, UINT32_MAX, UINT32_MAX},
		{16, VFIO_DEVICE_FLAGS_PCI, 7, 5}, /* without configuration space */
	};

	for (unsigned i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
		struct lie lie = {.cmd = VFIO_USER_DEVICE_GET_INFO,
				  .payload = &infos[i],
				  .len = sizeof(infos[i])};

		cannot_open(&lie, ENODEV, "");
		lie.len--;
		cannot_open(&lie, ENODEV, "");
	}
}

static void which_interrupts_it_has(void **state)
{
	const struct vfio_irq_info infos[] = {
		{16, VFIO_IRQ_INFO_EVENTFD, 1, 1}, /* asked for 0 */
		{8, VFIO_IRQ_INFO_EVENTFD, 0, 1},
		{16, VFIO_IRQ_INFO_EVENTFD, 0, UINT32_MAX},
	};

	for (unsigned i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
		struct lie lie = {.cmd = VFIO_USER_DEVICE_GET_IRQ_INFO,
				  .payload = &infos[i],
				  .len = sizeof(infos[i])};

		cannot_open(&lie, ENODEV, "");
	}
}

/* ---- the form of a reply ---- */

static void a_reply_that_is_none(void **state)
{
	static const unsigned char payload[4096];
	struct lie lies[] = {
		{.id = 1, .len = 20},
		{.command = 1, .len = 20},
		{.flags = VFIO_USER_F_TYPE_REPLY | 2, .len = 20}, /* a type that is none */
		{.len = 19},
		{.len = 21},
		{.len = 0},
		{.len = 4096},
		{.len = 20, .size = -21}, /* less than a header */
		{.len = 20, .size = INT32_MAX},
		{.len = 20, .size = 4}, /* ends in the midst */
		{.len = 20, .nfds = 1},
		{.len = 20, .nfds = 17},
		{.len = 20, .nfds = 64},
		{.len = 20}, /* another count: the access is all zeroes */
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct r3_event event;
		uint32_t value = 0;

		lies[i].cmd = VFIO_USER_REGION_READ;
		lies[i].nth = 6; /* after those of the BARs */
		lies[i].payload = payload;
		lies[i].fd = STDERR_FILENO;
		rig.server.hook = tell;
		rig.server.user = &lies[i];
		rig_open();
		assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -ENODEV);
		assert_int_equal(value, UINT32_MAX);
		assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 1);
		assert_int_equal(event.type, R3_EVENT_SERVER_LOST);
		rig_teardown(NULL);
		rig_setup(NULL);
	}
}

/* Errors that no errno has, or none at all, are one nevertheless. */
static void odd_errors(void **state)
{
	static const uint32_t errors[] = {0, 4096, 1u << 31, UINT32_MAX};

	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct lie lie = {.cmd = VFIO_USER_REGION_READ,
				  .nth = 6,
				  .flags = VFIO_USER_F_ERROR,
				  .error = errors[i]};
		uint32_t value;

		rig.server.hook = tell;
		rig.server.user = &lie;
		rig_open();
		assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -EIO);
		assert_false(r3_device_gone(rig.dev));
		rig_teardown(NULL);
		rig_setup(NULL);
	}
}

/* An answer that nobody waits for, which a dispatch finds. */
static void an_answer_to_nothing(void **state)
{
	struct vfio_user_header header = {.msg_id = 999,
					  .cmd = VFIO_USER_DMA_MAP,
					  .msg_size = sizeof(header),
					  .flags = VFIO_USER_F_TYPE_REPLY};
	struct r3_event event = {.type = 0};

	rig_open();
	fake_server_send(&rig.server, &header, sizeof(header), NULL, 0);
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 1);
	assert_int_equal(event.type, R3_EVENT_SERVER_LOST);
}

/* ---- regions ---- */

#define RW_MMAP \
	(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP)

static int file(uint64_t size, unsigned flags, int seals)
{
	int fd = memfd_create("lies", MFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* BAR 0 is @mapped bytes of what can be had by a load; all of it works by messages. */
static void expect_mapped(uint64_t mapped)
{
	struct r3_region *bar;
	unsigned fds;

	rig_open();
	fds = test_count_fds();
	bar = rig_region(0);
	assert_int_equal(test_count_fds(), fds); /* nobody keeps the descriptor */
	assert_int_equal(bar->map_len, mapped);
	if (!mapped) {
		r3_write32(bar, 16380, 7);
		assert_int_equal(r3_read32(bar, 16380), 7);
	}
	rig_teardown(NULL);
	rig_setup(NULL);
}

static void descriptors_that_cannot_be_mapped(void **state)
{
	FILE *plain = tmpfile();

	assert_non_null(plain);
	assert_int_equal(ftruncate(fileno(plain), 16384), 0);
	rig_setup(NULL);
	/* ends before it */
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(16383, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
	expect_mapped(0);
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(16384, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
	rig.server.region[0].fd_off = 4096;
	expect_mapped(0);
	/* begins in the midst of a page */
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(32768, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
	rig.server.region[0].fd_off = 8;
	expect_mapped(0);
	/* can shrink, and refuses a seal */
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(16384, 0, 0);
	expect_mapped(0);
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = dup(fileno(plain));
	expect_mapped(0);
	fclose(plain);
	rig_setup(NULL);
	/* is no memory at all */
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = epoll_create1(EPOLL_CLOEXEC);
	expect_mapped(0);
	/* is not there */
	rig.server.region[0].flags = RW_MMAP;
	expect_mapped(0);
	/* can only be read */
	rig.server.region[0].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_MMAP;
	rig.server.region[0].fd = file(16384, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
	rig_open();
	assert_int_equal(rig_region(0)->map_len, 0);
}

static void descriptors_that_can(void **state)
{
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(16384, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
	expect_mapped(16384);
	/* is sealed by us */
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(20480, MFD_ALLOW_SEALING, 0);
	rig.server.region[0].fd_off = 4096;
	expect_mapped(16384);
}

static void the_mapping_is_the_servers_memory(void **state)
{
	uint32_t *memory;
	int fd = file(16384, MFD_ALLOW_SEALING, F_SEAL_SHRINK);

	memory = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(memory != MAP_FAILED);
	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = fd;
	rig_open();
	r3_write32(rig_region(0), 8, 0x1234);
	assert_int_equal(memory[2], R3_LE32(0x1234));
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE], 0);
	munmap(memory, 16384);
}

/* More pieces than are taken: neighbours are one, and then the largest count. */
static void pieces_that_can_be_mapped(void **state)
{
	static const struct r3_vfio_user_sparse sparse = {
		.n = 7,
		.area = {{0x3000, 0x1000},
			 {0x0000, 0x800},
			 {0x1000, 0x1000},
			 {0x2000, 0x800},
			 {0x2800, 0x800}, /* with its neighbours 0x1000 to 0x4000 */
			 {0x0800, 0x100},
			 {0x0a00, 0x100}},
	};
	struct r3_region_info info = {.fd = -1};

	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(16384, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
	rig.server.region[0].sparse = &sparse;
	rig_open();
	assert_int_equal(rig.dev->ops->region_info(rig.dev, 0, &info), 0);
	assert_true(info.close_fd);
	close(info.fd);
	assert_int_equal(info.nareas, 3);
	assert_int_equal(info.area[0].off, 0);
	assert_int_equal(info.area[0].len, 0x900);
	assert_int_equal(info.area[1].off, 0xa00);
	assert_int_equal(info.area[2].off, 0x1000);
	assert_int_equal(info.area[2].len, 0x3000);
	assert_int_equal(rig_region(0)->map_off, 0x1000);
	assert_int_equal(rig_region(0)->map_len, 0x3000);
	/* the rest by messages */
	r3_write32(rig_region(0), 0x900, 5);
	assert_int_equal(r3_read32(rig_region(0), 0x900), 5);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE], 1);
}

static void no_piece_is_not_all_of_it(void **state)
{
	static const struct r3_vfio_user_sparse sparse = {.n = 0};

	rig.server.region[0].flags = RW_MMAP;
	rig.server.region[0].fd = file(16384, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
	rig.server.region[0].sparse = &sparse;
	expect_mapped(0);
}

/* What the codec finds wrong is the end; that it is asked is shown by one case of each. */
static void regions_that_make_no_sense(void **state)
{
	struct {
		struct vfio_region_info info;
		struct vfio_info_cap_header header; /* of a sparse mmap capability, */
		uint32_t nr_areas, reserved;        /* and the rest of it */
		struct vfio_region_sparse_mmap_area area[4];
	} reply = {
		.info = {.argsz = sizeof(reply),
			 .flags = RW_MMAP | VFIO_REGION_INFO_FLAG_CAPS,
			 .cap_offset = sizeof(reply.info),
			 .size = 16384},
		.header = {VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0},
		.nr_areas = 1,
		.area = {{0, 4096}},
	};
	struct lie lie = {.cmd = VFIO_USER_DEVICE_GET_REGION_INFO,
			  .payload = &reply,
			  .len = sizeof(reply),
			  .nfds = 3};

	for (unsigned i = 0; i < 6; i++) {
		struct r3_region *region;
		typeof(reply) right = reply;

		if (i == 0)
			reply.info.index = 1;
		else if (i == 1)
			reply.info.argsz = UINT32_MAX;
		else if (i == 2)
			reply.info.cap_offset = UINT32_MAX - 4;
		else if (i == 3)
			reply.nr_areas = UINT32_MAX;
		else if (i == 4)
			reply.area[0].offset = 16384;
		lie.fd = file(16384, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
		rig_setup(NULL);
		rig.server.hook = tell;
		rig.server.user = &lie;
		rig_open();
		if (i == 5) { /* more descriptors than are of use */
			assert_int_equal(rig_region(0)->map_len, 4096);
		} else {
			assert_int_equal(r3_device_region(rig.dev, 0, &region), -ENODEV);
			assert_true(r3_device_gone(rig.dev));
		}
		reply = right;
		rig_teardown(NULL);
		close(lie.fd);
	}
	rig_setup(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(first_words),
		RIG_TEST(none),
		RIG_TEST(none_and_no_ears),
		RIG_TEST(never_any),
		RIG_TEST(a_twin_that_is_no_socket),
		RIG_TEST(what_device_it_is),
		RIG_TEST(which_interrupts_it_has),
		RIG_TEST(a_reply_that_is_none),
		RIG_TEST(odd_errors),
		RIG_TEST(an_answer_to_nothing),
		RIG_TEST(descriptors_that_cannot_be_mapped),
		RIG_TEST(descriptors_that_can),
		RIG_TEST(the_mapping_is_the_servers_memory),
		RIG_TEST(pieces_that_can_be_mapped),
		RIG_TEST(no_piece_is_not_all_of_it),
		RIG_TEST(regions_that_make_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
