/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device in memory, the server of it in a thread, and the client: what the one says is what
 * the other hears. The device is the server thread's; what the test does to it is done there.
 */
#include "bus/core.h"
#include "fake/fake_device.h"
#include "unit.h"

#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/pci.h>
#include <ring3/serve.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	struct fake_device *fake;
	struct r3_serve *serve;
	struct r3_device *dev; /* the client's */
	pthread_t thread;
	int order; /* eventfd: there is something to do */
	sem_t done;
	void (*what)(void *arg); /* NULL: end */
	void *arg;
	unsigned fds;
} both;

/* ---- the server's thread ---- */

static void *run(void *arg)
{
	struct pollfd fds[2] = {{.fd = r3_serve_fd(both.serve), .events = POLLIN},
				{.fd = both.order, .events = POLLIN}};
	eventfd_t count;

	for (;;) {
		poll(fds, 2, -1);
		if (fds[0].revents && r3_serve_dispatch(both.serve) <= 0)
			fds[0].fd = -1; /* its client has left */
		if (eventfd_read(both.order, &count))
			continue;
		if (!both.what)
			return NULL;
		both.what(both.arg);
		sem_post(&both.done);
	}
}

static void order(void (*what)(void *arg), void *arg)
{
	both.what = what;
	both.arg = arg;
	eventfd_write(both.order, 1);
	if (what)
		sem_wait(&both.done);
}

static void raise_irq(void *arg)
{
	const unsigned *vector = arg;

	fake_device_raise(both.fake, vector[0], vector[1]);
}

static void lower_irq(void *arg)
{
	fake_device_lower(both.fake);
}

static void remove_device(void *arg)
{
	fake_device_remove(both.fake);
}

static void make_event(void *arg)
{
	fake_device_event(both.fake, *(unsigned *)arg, 5);
}

static void raise_there(unsigned type, unsigned vector)
{
	unsigned both_of[2] = {type, vector};

	order(raise_irq, both_of);
}

/* ---- the rig ---- */

static int setup(void **state)
{
	char where[32], address[64];
	int ends[2];

	both.fds = test_count_fds();
	both.fake = fake_device_new(NULL);
	assert_non_null(both.fake);
	assert_int_equal(fake_device_adopt(both.fake), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	snprintf(where, sizeof(where), "fd:%d", ends[0]);
	if (r3_serve_open(&both.fake->base, where, NULL, &both.serve))
		fail_msg("%s", r3_error_text());
	close(ends[0]);
	both.order = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	sem_init(&both.done, 0, 0);
	assert_int_equal(pthread_create(&both.thread, NULL, run, NULL), 0);
	snprintf(address, sizeof(address), "vfio-user:fd:%d", ends[1]);
	if (r3_device_open(address, NULL, &both.dev))
		fail_msg("%s", r3_error_text());
	close(ends[1]);
	return 0;
}

static int teardown(void **state)
{
	r3_device_close(both.dev);
	both.dev = NULL;
	order(NULL, NULL);
	pthread_join(both.thread, NULL);
	r3_serve_close(both.serve);
	r3_device_close(&both.fake->base);
	close(both.order);
	sem_destroy(&both.done);
	assert_int_equal(test_count_fds(), both.fds);
	return 0;
}

static struct r3_region *region(unsigned index)
{
	struct r3_region *got;

	if (r3_device_region(both.dev, index, &got))
		fail_msg("%s", r3_error_text());
	return got;
}

static void expect_event(unsigned type)
{
	struct pollfd pfd = {.fd = r3_device_fd(both.dev), .events = POLLIN};
	struct r3_event event = {.type = R3_EVENT_NONE};

	assert_int_equal(poll(&pfd, 1, 5000), 1);
	while (r3_device_dispatch(both.dev, &event, 1) == 0)
		assert_int_equal(poll(&pfd, 1, 5000), 1);
	assert_string_equal(r3_event_name(event.type), r3_event_name(type));
}

/* ---- tests ---- */

static void the_device_is_the_same_on_both_sides(void **state)
{
	const struct r3_device_info *here = &both.dev->info, *there = &both.fake->base.info;

	/* a bus is not the client's to reset, and the device is in another process for all it
	 * knows */
	assert_int_equal(here->caps,
			 there->caps & ~(unsigned)(R3_CAP_BUS_RESET | R3_CAP_IN_PROCESS));
	assert_memory_equal(here->nirqs, there->nirqs, sizeof(here->nirqs));
	for (unsigned i = 0; i < R3_REGION_VGA; i++) {
		struct r3_region *a, *b;
		int rc = r3_device_region(both.dev, i, &a);

		assert_int_equal(rc, i == 1 || i == 3 || i == 5 ? -ENOENT : 0);
		if (rc)
			continue;
		assert_int_equal(r3_device_region(&both.fake->base, i, &b), 0);
		assert_int_equal(a->size, b->size);
		assert_int_equal(a->flags, b->flags);
		assert_int_equal(a->map_len, b->map_len);
		assert_int_equal(a->map_off, b->map_off);
	}
	assert_int_equal(region(0)->map_len, 16384);
}

static void a_mapped_register_is_memory_of_both(void **state)
{
	r3_write32(region(0), 64, 0x12345678);
	assert_int_equal(((uint32_t *)r3_mem_addr(both.fake->bar[0].mem))[16], R3_LE32(0x12345678));
	assert_int_equal(both.fake->writes, 0);
	/* and the others are reached by messages */
	r3_write32(region(4), 64, 7);
	assert_int_equal(r3_read32(region(4), 64), 7);
	assert_int_equal(both.fake->writes, 1);
}

static void interrupts_arrive(void **state)
{
	static const unsigned counts[] = {1, 32, 64};

	for (unsigned type = R3_IRQ_MSI; type <= R3_IRQ_MSIX; type++) {
		struct r3_irq_set *irq;

		assert_int_equal(r3_irq_enable(both.dev, type, 1, 64, &irq), 0);
		assert_int_equal(r3_irq_count(irq), counts[type]);
		assert_int_equal(both.fake->nirqs, counts[type]);
		for (unsigned i = 0; i < counts[type]; i++) {
			raise_there(type, i);
			assert_int_equal(r3_irq_ack(irq, i), 1);
		}
		r3_irq_disable(irq);
		assert_int_equal(both.fake->nirqs, 0);
	}
}

static void vectors_are_masked(void **state)
{
	struct r3_irq_set *irq;

	assert_int_equal(r3_irq_enable(both.dev, R3_IRQ_MSIX, 20, 20, &irq), 0);
	assert_int_equal(r3_irq_mask(irq, 17, true), 0);
	raise_there(R3_IRQ_MSIX, 17);
	assert_int_equal(r3_irq_ack(irq, 17), 0);
	assert_int_equal(r3_irq_mask(irq, 17, false), 0);
	assert_int_equal(r3_irq_wait(irq, 17, R3_NSEC_PER_SEC), 1);
	r3_irq_disable(irq);
}

static void a_level_comes_again_until_it_is_lowered(void **state)
{
	struct r3_irq_set *irq;

	assert_int_equal(r3_irq_enable(both.dev, R3_IRQ_INTX, 1, 1, &irq), 0);
	raise_there(R3_IRQ_INTX, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(r3_irq_wait(irq, 0, R3_NSEC_PER_SEC), 1);
	order(lower_irq, NULL);
	r3_irq_wait(irq, 0, R3_NSEC_PER_SEC); /* the one that was on its way */
	r3_read16(region(R3_REGION_CONFIG), 0);
	assert_int_equal(r3_irq_ack(irq, 0), 0);
	r3_irq_disable(irq);
}

static void memory_is_in_reach_until_it_is_taken_back(void **state)
{
	struct r3_arena *arena;
	uint64_t iova, left;
	uint32_t *piece, *there;
	void *at;

	assert_int_equal(r3_device_arena(both.dev, &arena), 0);
	assert_int_equal(r3_arena_alloc(arena, 4096, 4096, &at), 0);
	piece = at;
	assert_true(r3_device_iova(both.dev, piece, &iova, &left));
	there = fake_device_reach(both.fake, iova, 4096, R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE);
	assert_non_null(there);
	assert_ptr_not_equal(there, piece); /* the same memory, twice */
	piece[0] = 0xabcd;
	assert_int_equal(there[0], 0xabcd);
	there[1] = 0x1234;
	assert_int_equal(piece[1], 0x1234);
	r3_device_drop_arena(both.dev);
	assert_null(fake_device_reach(both.fake, iova, 4, 0));
}

static void a_reset_is_the_devices(void **state)
{
	struct r3_irq_set *irq;
	unsigned proved;

	assert_int_equal(r3_irq_enable(both.dev, R3_IRQ_MSIX, 2, 2, &irq), 0);
	r3_write16(region(R3_REGION_CONFIG), PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(r3_device_reset(both.dev, R3_RESET_ANY), 0);
	assert_int_equal(both.fake->resets, 1);
	assert_int_equal(both.fake->nirqs, 0);
	assert_int_equal(r3_read16(region(R3_REGION_CONFIG), PCI_COMMAND), 0);
	assert_int_equal(r3_irq_restore(irq), 0);
	raise_there(R3_IRQ_MSIX, 1);
	assert_int_equal(r3_irq_ack(irq, 1), 1);
	r3_irq_disable(irq);
	assert_int_equal(r3_device_quiesce(both.dev, R3_QUIESCE_MEDIA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_MEDIA);
}

static void its_removal_is_ours(void **state)
{
	struct r3_region *bar = region(4);

	order(remove_device, NULL);
	expect_event(R3_EVENT_REMOVED);
	assert_true(r3_device_gone(both.dev));
	assert_int_equal(r3_read32(bar, 0), UINT32_MAX);
}

static void a_call_may_be_the_first_to_know(void **state)
{
	struct r3_region *bar = region(4);
	uint32_t value;

	order(remove_device, NULL);
	assert_int_equal(r3_region_read(bar, 0, 4, &value, 1), -ENODEV);
	expect_event(R3_EVENT_REMOVED);
}

static void a_request_for_it_is_ours(void **state)
{
	unsigned type = R3_EVENT_REMOVE_REQUEST;

	order(make_event, &type);
	expect_event(R3_EVENT_REMOVE_REQUEST);
	assert_false(r3_device_gone(both.dev));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_device_is_the_same_on_both_sides),
		TEST(a_mapped_register_is_memory_of_both),
		TEST(interrupts_arrive),
		TEST(vectors_are_masked),
		TEST(a_level_comes_again_until_it_is_lowered),
		TEST(memory_is_in_reach_until_it_is_taken_back),
		TEST(a_reset_is_the_devices),
		TEST(its_removal_is_ours),
		TEST(a_call_may_be_the_first_to_know),
		TEST(a_request_for_it_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
