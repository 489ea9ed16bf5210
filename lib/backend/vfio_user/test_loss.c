/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers that end, stop, do not read, or have bad news. Whatever waits ends, at once or after
 * the time that it was given, and nothing waits after that. */
#include "backend/vfio_user/test_rig.h"

#include <poll.h>
#include <ring3/irq.h>
#include <sched.h>
#include <sys/eventfd.h>

/* The device is gone: all calls say so, and none of them waits. */
static void expect_gone(unsigned event_type)
{
	struct r3_event event;
	struct r3_arena *arena;
	struct r3_irq_set *irq;
	struct r3_region *region;
	unsigned proved;
	uint32_t value = 0;

	assert_true(r3_device_gone(rig.dev));
	assert_int_equal(r3_device_dispatch(rig.dev, NULL, 0), 0);
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 1);
	assert_int_equal(event.type, event_type);
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 0); /* told once */
	assert_int_equal(r3_read32(rig_region(0), 0), UINT32_MAX);
	r3_write32(rig_region(0), 0, 1);
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -ENODEV);
	assert_int_equal(r3_device_region(rig.dev, 2, &region), -ENODEV);
	assert_int_equal(r3_device_arena(rig.dev, &arena), -ENODEV);
	assert_int_equal(r3_device_reset(rig.dev, R3_RESET_ANY), -ENODEV);
	assert_int_equal(r3_device_quiesce(rig.dev, R3_QUIESCE_DMA, &proved), -ENODEV);
	assert_int_equal(r3_irq_enable(rig.dev, R3_IRQ_MSIX, 1, 1, &irq), -ENODEV);
	/* and below the core */
	if (event_type == R3_EVENT_SERVER_LOST) {
		assert_int_equal(rig.dev->ops->rw(rig.dev, 0, 0, &value, 4, 1, 0), -ENODEV);
		assert_int_equal(
			rig.dev->ops->rw(rig.dev, 0, 0, &value, 4, 1, R3_RW_WRITE | R3_RW_POSTED),
			-ENODEV);
		assert_int_equal(rig.dev->ops->reset(rig.dev, R3_RESET_FUNCTION), -ENODEV);
	}
}

/* Time that a test may take to see what it was told by another thread; no goal. */
#define SOON_MS 5000

static void wait_for_news(void)
{
	struct pollfd pfd = {.fd = r3_device_fd(rig.dev), .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, SOON_MS), 1);
}

static void a_server_that_ends_is_heard_of(void **state)
{
	rig_open();
	rig_region(0);
	fake_server_hang_up(&rig.server);
	wait_for_news();
	r3_device_dispatch(rig.dev, NULL, 0);
	expect_gone(R3_EVENT_SERVER_LOST);

	/* once told, there is nothing more to wake for */
	struct pollfd pfd = {.fd = r3_device_fd(rig.dev), .events = POLLIN};
	assert_int_equal(poll(&pfd, 1, 0), 0);
}

static bool hang_up_at_read(struct fake_server *server, const struct r3_vfio_user_msg *msg,
			    int *fds)
{
	struct vfio_user_region_access access;

	if (msg->header.cmd != VFIO_USER_REGION_READ ||
	    r3_vfio_user_get_region_read(msg, 8, &access) || access.region)
		return false;
	fake_server_hang_up(server);
	return true;
}

static void so_is_one_that_ends_in_the_midst_of_a_call(void **state)
{
	uint32_t value;

	rig.server.hook = hang_up_at_read;
	rig_open();
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -ENODEV);
	expect_gone(R3_EVENT_SERVER_LOST);
}

/* Says nothing more, until the client hangs up. */
static bool be_silent(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	struct vfio_user_region_access access;

	return msg->header.cmd == VFIO_USER_REGION_READ &&
	       r3_vfio_user_get_region_read(msg, 8, &access) == 0 && access.region == 0;
}

/* Only from here on: on a loaded host, opening has to wait for the server's turn. */
static void open_impatient(void)
{
	assert_int_equal(rig_open_with(",timeout=20s"), 0);
	rig_region(0);
	assert_int_equal(rig.v->link.timeout_ms, 20000);
	rig.v->link.timeout_ms = 50;
}

static void a_server_that_is_silent_is_lost(void **state)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t begin;
	uint32_t value;

	rig.server.hook = be_silent;
	open_impatient();
	begin = r3_clock_now(clock);
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -ENODEV);
	assert_true(r3_clock_now(clock) - begin >= 50 * R3_NSEC_PER_MSEC);
	expect_gone(R3_EVENT_SERVER_LOST);
}

/* Sends requests instead of an answer, as long as somebody takes them. */
static bool ask_back(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
	} request = {.access = {.addr = 0, .count = 8}};
	struct r3_vfio_user_msg answer;
	int afds[R3_VFIO_USER_FDS];

	if (!be_silent(server, msg, fds))
		return false;
	do {
		r3_vfio_user_request(&request.header, 7, VFIO_USER_DMA_READ,
				     sizeof(request.access));
		fake_server_send(server, &request, sizeof(request), NULL, 0);
	} while (fake_server_receive(server, &answer, afds));
	return true;
}

static void so_is_one_that_says_other_things_all_the_time(void **state)
{
	uint32_t value;

	rig.server.hook = ask_back;
	open_impatient();
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), -ENODEV);
	expect_gone(R3_EVENT_SERVER_LOST);
}

/* ---- one that does not read ---- */

static atomic_bool stopped;

static bool stop_reading(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	while (msg->header.cmd == VFIO_USER_REGION_WRITE && stopped)
		sched_yield();
	return false;
}

static void posted_writes_are_bounded(void **state)
{
	uint32_t value = 1;
	unsigned n = 0;
	int rc;

	rig.server.hook = stop_reading;
	open_impatient();
	stopped = true;
	do
		rc = rig.dev->ops->rw(rig.dev, 0, 0, &value, 4, 1, R3_RW_WRITE | R3_RW_POSTED);
	while (rc == 0 && ++n < 1000000);
	assert_int_equal(rc, -ENODEV);
	stopped = false;
	expect_gone(R3_EVENT_SERVER_LOST);
}

/* As soon as the client finds no room. */
static void *read_again(void *arg)
{
	bool blocked = false;

	while (!blocked) {
		pthread_mutex_lock(&rig.v->link.lock);
		blocked = rig.v->link.sending;
		pthread_mutex_unlock(&rig.v->link.lock);
		sched_yield();
	}
	stopped = false;
	return NULL;
}

/* More than the server takes with one receive, and its socket has room for. */
#define MANY 40000u

/* A slow one is waited for: nothing is lost or changes its order. */
static void posted_writes_wait_for_room(void **state)
{
	uint32_t value = 0;
	pthread_t thread;

	rig.server.hook = stop_reading;
	rig_open();
	rig_region(0);
	stopped = true;
	assert_int_equal(pthread_create(&thread, NULL, read_again, NULL), 0);
	for (uint32_t i = 0; i < MANY; i++)
		r3_write32(rig_region(0), 0, i);
	pthread_join(thread, NULL);
	assert_int_equal(r3_region_read(rig_region(0), 0, 4, &value, 1), 0);
	assert_int_equal(value, MANY - 1);
	assert_int_equal(rig.server.seen[VFIO_USER_REGION_WRITE], MANY);
}

/* ---- all who wait ---- */

static void *read_register(void *arg)
{
	uint32_t value;
	int rc = rig.dev->ops->rw(rig.dev, 0, 0, &value, 4, 1, 0);

	return (void *)(intptr_t)rc;
}

static void its_end_ends_all_who_wait(void **state)
{
	pthread_t thread[4];

	rig.server.hook = be_silent;
	rig_open();
	rig_region(0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_register, NULL), 0);
	while (rig.server.seen[VFIO_USER_REGION_READ] < 10) /* 6 are of the opening */
		sched_yield();
	fake_server_hang_up(&rig.server);
	for (unsigned i = 0; i < 4; i++) {
		void *rc;

		pthread_join(thread[i], &rc);
		assert_int_equal((intptr_t)rc, -ENODEV);
	}
	expect_gone(R3_EVENT_SERVER_LOST);
}

/* ---- bad news ---- */

static void signal_notice(unsigned index)
{
	/* the server's thread has it since the device was opened */
	assert_int_equal(eventfd_write(rig.server.vector[index][0], 1), 0);
}

static void a_request_for_the_device_is_an_event(void **state)
{
	struct r3_event event;

	rig_open();
	signal_notice(VFIO_PCI_REQ_IRQ_INDEX);
	wait_for_news();
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 1);
	assert_int_equal(event.type, R3_EVENT_REMOVE_REQUEST);
	assert_false(r3_device_gone(rig.dev));
}

static void an_error_is_an_event(void **state)
{
	struct r3_event event;

	rig_open();
	rig.server.region[7].bytes[0] = 0x86; /* somebody answers */
	signal_notice(VFIO_PCI_ERR_IRQ_INDEX);
	wait_for_news();
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 1);
	assert_int_equal(event.type, R3_EVENT_ERROR);
	assert_int_equal(event.code, EIO);
	assert_false(r3_device_gone(rig.dev));
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 0);
}

static bool say_no_device(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	if (!server->user)
		return false;
	fake_server_error(server, msg, ENODEV);
	return true;
}

static void an_error_of_a_device_that_is_not_there_is_its_removal(void **state)
{
	rig.server.hook = say_no_device;
	rig_open();
	rig_region(0);
	rig.server.user = &rig;
	signal_notice(VFIO_PCI_ERR_IRQ_INDEX);
	wait_for_news();
	r3_device_dispatch(rig.dev, NULL, 0);
	expect_gone(R3_EVENT_REMOVED);
}

static void so_is_one_where_nobody_answers(void **state)
{
	rig_open();
	rig_region(0);
	memset(rig.server.region[7].bytes, 0xff, 4);
	signal_notice(VFIO_PCI_ERR_IRQ_INDEX);
	wait_for_news();
	r3_device_dispatch(rig.dev, NULL, 0);
	expect_gone(R3_EVENT_REMOVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_server_that_ends_is_heard_of),
		RIG_TEST(so_is_one_that_ends_in_the_midst_of_a_call),
		RIG_TEST(a_server_that_is_silent_is_lost),
		RIG_TEST(so_is_one_that_says_other_things_all_the_time),
		RIG_TEST(posted_writes_are_bounded),
		RIG_TEST(posted_writes_wait_for_room),
		RIG_TEST(its_end_ends_all_who_wait),
		RIG_TEST(a_request_for_the_device_is_an_event),
		RIG_TEST(an_error_is_an_event),
		RIG_TEST(an_error_of_a_device_that_is_not_there_is_its_removal),
		RIG_TEST(so_is_one_where_nobody_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
