/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt sets over the fake device: choice, counting, levels, waits that end. */
#include "fake/fake_clock.h"
#include "fake/fake_device.h"
#include "unit.h"
#include <ring3/error.h>
#include <ring3/irq.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static struct fake_device *fake;
static struct r3_device *dev;

static void start(struct r3_clock *clock)
{
	struct r3_open_opts opts = {.size = sizeof(opts), .clock = clock};

	fake = fake_device_new(&opts);
	assert_non_null(fake);
	dev = &fake->base;
}

static int setup(void **state)
{
	start(NULL);
	assert_int_equal(fake_device_adopt(fake), 0);
	return 0;
}

static int teardown(void **state)
{
	r3_device_close(dev);
	return 0;
}

static void test_choice(void **state)
{
	static const struct {
		unsigned have[3];
		enum r3_irq_type type;
		unsigned min, max;
		int rc;
		enum r3_irq_type got;
		unsigned n;
	} cases[] = {
		{{1, 32, 64}, R3_IRQ_BEST, 1, 4, 0, R3_IRQ_MSIX, 4},
		{{1, 32, 64}, R3_IRQ_BEST, 1, 1000, 0, R3_IRQ_MSIX, 64},
		{{1, 32, 2}, R3_IRQ_BEST, 4, 9, 0, R3_IRQ_MSI, 8},
		{{1, 5, 0}, R3_IRQ_BEST, 1, 9, 0, R3_IRQ_MSI, 4},
		{{1, 0, 0}, R3_IRQ_BEST, 1, 9, 0, R3_IRQ_INTX, 1},
		{{1, 0, 0}, R3_IRQ_BEST, 2, 9, -ENOSPC, 0, 0},
		{{0, 0, 0}, R3_IRQ_BEST, 1, 9, -EOPNOTSUPP, 0, 0},
		{{1, 32, 64}, R3_IRQ_INTX, 1, 64, 0, R3_IRQ_INTX, 1},
		{{1, 32, 64}, R3_IRQ_MSI, 1, 31, 0, R3_IRQ_MSI, 16},
		{{1, 32, 64}, R3_IRQ_MSI, 17, 31, -ENOSPC, 0, 0},
		{{1, 0, 64}, R3_IRQ_MSI, 1, 1, -EOPNOTSUPP, 0, 0},
		{{1, 32, 64}, R3_IRQ_MSIX, 65, 65, -ENOSPC, 0, 0},
		{{9, 0, 0}, R3_IRQ_INTX, 1, 9, 0, R3_IRQ_INTX, 1},
		{{1, 32, 64}, R3_IRQ_BEST, 0, 1, -EINVAL, 0, 0},
		{{1, 32, 64}, R3_IRQ_BEST, 2, 1, -EINVAL, 0, 0},
		{{1, 32, 64}, (enum r3_irq_type)7, 1, 1, -EINVAL, 0, 0},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct r3_irq_set *irq = NULL;
		int rc;

		memcpy(dev->info.nirqs, cases[i].have, sizeof(dev->info.nirqs));
		rc = r3_irq_enable(dev, cases[i].type, cases[i].min, cases[i].max, &irq);
		if (rc != cases[i].rc)
			fail_msg("case %u: %d: %s", i, rc, r3_error_text());
		if (rc) {
			assert_null(irq);
			assert_null(dev->irq);
			continue;
		}
		assert_int_equal(r3_irq_get_type(irq), cases[i].got);
		assert_int_equal(r3_irq_count(irq), cases[i].n);
		assert_int_equal(fake->nirqs, cases[i].n);
		assert_true(r3_irq_fd(irq, cases[i].n - 1) >= 0);
		assert_int_equal(r3_irq_fd(irq, cases[i].n), -1);
		r3_irq_disable(irq);
		assert_int_equal(fake->nirqs, 0);
	}
	r3_irq_disable(NULL);
	assert_string_equal(r3_irq_type_name(R3_IRQ_MSIX), "msix");
	assert_string_equal(r3_irq_type_name((enum r3_irq_type)9), "unknown");
}

static void test_one_set(void **state)
{
	struct r3_irq_set *irq, *other = NULL;
	int fd;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 2, &irq), 0);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_INTX, 1, 1, &other), -EBUSY);
	fd = r3_irq_fd(irq, 1);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	r3_irq_disable(irq);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_INTX, 1, 1, &other), 0);
	r3_irq_disable(other);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_unwinding(void **state)
{
	struct r3_irq_set *irq = NULL;
	struct rlimit old, few;
	unsigned before = open_fds();
	int next = dup(0);

	close(next);
	fake->fail_irq_alloc = -EIO;
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 8, &irq), -EIO);
	fake->fail_irq_alloc = 0;
	fake->fail_irq_bind = -ENOSPC;
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 8, &irq), -ENOSPC);
	assert_int_equal(fake->nirqs, 0);
	fake->fail_irq_bind = 0;
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){(rlim_t)next + 4, old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 8, &irq), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_null(irq);
	assert_int_equal(open_fds(), before);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 8, &irq), 0);
	r3_irq_disable(irq);
}

static void test_edges(void **state)
{
	struct r3_irq_set *irq;
	struct pollfd pfd;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 4, 4, &irq), 0);
	assert_int_equal(r3_irq_ack(irq, 2), 0);
	fake_device_raise(fake, R3_IRQ_MSIX, 2);
	fake_device_raise(fake, R3_IRQ_MSIX, 2);
	pfd = (struct pollfd){r3_irq_fd(irq, 2), POLLIN, 0};
	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(r3_irq_ack(irq, 2), 2);
	assert_int_equal(r3_irq_ack(irq, 2), 0);
	assert_int_equal(r3_irq_ack(irq, 4), -EINVAL);
	assert_int_equal(r3_irq_wait(irq, 4, 0), -EINVAL);
	assert_int_equal(r3_irq_mask(irq, 4, true), -EINVAL);
	eventfd_write(r3_irq_fd(irq, 0), UINT64_MAX - 1);
	assert_int_equal(r3_irq_ack(irq, 0), INT64_MAX);
	r3_irq_disable(irq);
}

static void test_mask(void **state)
{
	struct r3_irq_set *irq;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 2, 2, &irq), 0);
	assert_int_equal(r3_irq_mask(irq, 1, true), 0);
	fake_device_raise(fake, R3_IRQ_MSIX, 1);
	fake_device_raise(fake, R3_IRQ_MSIX, 0);
	assert_int_equal(r3_irq_ack(irq, 1), 0);
	assert_int_equal(r3_irq_ack(irq, 0), 1);
	assert_int_equal(r3_irq_mask(irq, 1, false), 0);
	assert_int_equal(r3_irq_ack(irq, 1), 1);
	dev->info.caps &= ~(unsigned)R3_CAP_IRQ_MASK;
	assert_int_equal(r3_irq_mask(irq, 1, true), -EOPNOTSUPP);
	r3_irq_disable(irq);
}

static void test_level(void **state)
{
	struct r3_irq_set *irq;
	uint64_t count;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_INTX, 1, 1, &irq), 0);
	fake_device_raise(fake, R3_IRQ_INTX, 0);
	fake_device_raise(fake, R3_IRQ_INTX, 0); /* masked since the first */
	assert_int_equal(r3_irq_ack(irq, 0), 1);
	/* the line is still up: acknowledging delivered it again */
	assert_int_equal(r3_irq_wait(irq, 0, 0), 1);
	fake_device_lower(fake);
	assert_int_equal(r3_irq_ack(irq, 0), 1);
	assert_int_equal(r3_irq_ack(irq, 0), 0);

	/* a program that reads the eventfd itself still re-arms */
	fake_device_raise(fake, R3_IRQ_INTX, 0);
	assert_int_equal(read(r3_irq_fd(irq, 0), &count, sizeof(count)), sizeof(count));
	fake_device_lower(fake);
	assert_int_equal(r3_irq_ack(irq, 0), 0);
	fake_device_raise(fake, R3_IRQ_INTX, 0);
	assert_int_equal(r3_irq_ack(irq, 0), 1);
	fake_device_lower(fake);
	assert_int_equal(r3_irq_ack(irq, 0), 1);

	/* what the program masked stays masked */
	assert_int_equal(r3_irq_mask(irq, 0, true), 0);
	assert_int_equal(r3_irq_ack(irq, 0), 0);
	fake_device_raise(fake, R3_IRQ_INTX, 0);
	assert_int_equal(r3_irq_ack(irq, 0), 0);
	assert_int_equal(r3_irq_mask(irq, 0, false), 0);
	assert_int_equal(r3_irq_ack(irq, 0), 1);
	r3_irq_disable(irq);
}

static void test_restore(void **state)
{
	struct r3_irq_set *irq;
	int fd;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 3, 3, &irq), 0);
	fd = r3_irq_fd(irq, 2);
	assert_int_equal(r3_device_reset(dev, R3_RESET_ANY), 0);
	fake_device_raise(fake, R3_IRQ_MSIX, 2);
	assert_int_equal(r3_irq_ack(irq, 2), 0);
	assert_int_equal(r3_irq_restore(irq), 0);
	assert_int_equal(r3_irq_fd(irq, 2), fd);
	fake_device_raise(fake, R3_IRQ_MSIX, 2);
	assert_int_equal(r3_irq_ack(irq, 2), 1);
	fake->fail_irq_bind = -EIO;
	assert_int_equal(r3_irq_restore(irq), -EIO);
	assert_int_equal(fake->nirqs, 0);
	r3_irq_disable(irq);
}

/* ---- waits ---- */

static void test_wait(void **state)
{
	struct r3_irq_set *irq;
	uint64_t begin;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 2, 2, &irq), 0);
	begin = r3_clock_now(r3_clock_system());
	assert_int_equal(r3_irq_wait(irq, 1, 20 * R3_NSEC_PER_MSEC), -ETIMEDOUT);
	assert_true(r3_clock_now(r3_clock_system()) - begin >= 20 * R3_NSEC_PER_MSEC);
	assert_non_null(strstr(r3_error_text(), "no msix interrupt on vector 1 within 20 ms"));
	fake_device_raise(fake, R3_IRQ_MSIX, 1);
	assert_int_equal(r3_irq_wait(irq, 1, UINT64_MAX), 1);
	assert_int_equal(r3_irq_wait(irq, 1, 0), -ETIMEDOUT);
	r3_irq_disable(irq);
}

static void *raise_later(void *arg)
{
	struct pollfd never = {-1, 0, 0};

	poll(&never, 1, 30);
	eventfd_write(*(int *)arg, 3);
	return NULL;
}

static void test_wait_sleeps(void **state)
{
	struct r3_irq_set *irq;
	pthread_t thread;
	int fd;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 1, &irq), 0);
	fd = r3_irq_fd(irq, 0);
	assert_int_equal(pthread_create(&thread, NULL, raise_later, &fd), 0);
	assert_int_equal(r3_irq_wait(irq, 0, 20 * R3_NSEC_PER_SEC), 3);
	pthread_join(thread, NULL);
	r3_irq_disable(irq);
}

/* Levels that need dispatch, while events wait for somebody else. */
static void test_wait_dispatch(void **state)
{
	struct r3_irq_set *irq;
	struct r3_event events[4];

	dev->info.caps |= R3_CAP_IRQ_DISPATCH;
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_INTX, 1, 1, &irq), 0);
	fake_device_raise(fake, R3_IRQ_INTX, 0);
	assert_int_equal(r3_irq_ack(irq, 0), 0); /* nobody has dispatched */
	assert_int_equal(r3_irq_wait(irq, 0, R3_NSEC_PER_SEC), 1);
	fake_device_lower(fake);
	assert_int_equal(r3_device_dispatch(dev, events, 4), 0);
	r3_irq_ack(irq, 0);

	fake_device_event(fake, R3_EVENT_REMOVE_REQUEST, 7);
	fake_device_raise(fake, R3_IRQ_INTX, 0);
	assert_int_equal(r3_irq_wait(irq, 0, R3_NSEC_PER_SEC), 1);
	fake_device_lower(fake);
	r3_irq_ack(irq, 0);
	assert_int_equal(r3_irq_wait(irq, 0, 20 * R3_NSEC_PER_MSEC), -ETIMEDOUT);
	assert_int_equal(r3_device_dispatch(dev, events, 4), 1);
	assert_int_equal(events[0].type, R3_EVENT_REMOVE_REQUEST);
	assert_int_equal(events[0].detail, 7);
	r3_irq_disable(irq);
}

/* A wait beside an event that nobody takes does not spin. */
static void test_wait_crowded(void **state)
{
	struct r3_irq_set *irq;
	struct timespec before, after;
	int64_t used;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 1, &irq), 0);
	fake_device_event(fake, R3_EVENT_ERROR, 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	assert_int_equal(r3_irq_wait(irq, 0, 200 * R3_NSEC_PER_MSEC), -ETIMEDOUT);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	used = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
	assert_true(used < 150 * (int64_t)R3_NSEC_PER_MSEC);
	r3_irq_disable(irq);
}

static const struct r3_bus_ops *fake_ops;
static unsigned dispatches;

static int dispatch_and_raise(struct r3_device *device, struct r3_event *events, unsigned max)
{
	if (++dispatches == 3)
		fake_device_raise(fake, R3_IRQ_INTX, 0);
	return fake_ops->dispatch(device, events, max);
}

/* Beside such an event, a level that comes later is still looked for. */
static void test_wait_crowded_level(void **state)
{
	struct r3_bus_ops ops = *dev->ops;
	struct r3_irq_set *irq;

	fake_ops = dev->ops;
	ops.dispatch = dispatch_and_raise;
	dispatches = 0;
	dev->ops = &ops;
	dev->info.caps |= R3_CAP_IRQ_DISPATCH;
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_INTX, 1, 1, &irq), 0);
	fake_device_event(fake, R3_EVENT_ERROR, 0);
	assert_int_equal(r3_irq_wait(irq, 0, R3_NSEC_PER_SEC / 2), 1);
	r3_irq_disable(irq);
	dev->ops = fake_ops;
}

static void test_gone(void **state)
{
	struct r3_irq_set *irq, *other = NULL;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 1, &irq), 0);
	fake_device_raise(fake, R3_IRQ_MSIX, 0);
	r3_device_set_gone(dev);
	assert_int_equal(r3_irq_ack(irq, 0), 1); /* came before it went */
	assert_int_equal(r3_irq_ack(irq, 0), -ENODEV);
	assert_int_equal(r3_irq_wait(irq, 0, UINT64_MAX), -ENODEV);
	assert_int_equal(r3_irq_mask(irq, 0, true), -ENODEV);
	assert_int_equal(r3_irq_restore(irq), -ENODEV);
	r3_irq_disable(irq);
	assert_int_equal(fake->vector[0].fd, -1);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 1, &other), -ENODEV);
}

/* A carrier that notices while it is asked. */
static void test_gone_meanwhile(void **state)
{
	struct r3_irq_set *irq = NULL;

	fake->removed = true;
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 1, &irq), -ENODEV);
	assert_true(r3_device_gone(dev));
}

static void on_signal(int sig)
{
}

static void test_signal(void **state)
{
	struct sigaction action = {.sa_handler = on_signal}, old;
	struct itimerval soon = {.it_value.tv_usec = 20000};
	struct r3_irq_set *irq;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 1, &irq), 0);
	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(r3_irq_wait(irq, 0, 20 * R3_NSEC_PER_SEC), -EINTR);
	sigaction(SIGALRM, &old, NULL);
	r3_irq_disable(irq);
}

/* Years of waiting on a clock of the test's own. */
static void test_other_clock(void **state)
{
	struct fake_clock clock = fake_clock(5);
	struct r3_irq_set *irq;

	start(&clock.base);
	assert_int_equal(fake_device_adopt(fake), 0);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 1, &irq), 0);
	assert_int_equal(r3_irq_wait(irq, 0, 3 * R3_NSEC_PER_SEC), -ETIMEDOUT);
	assert_true(clock.now >= 5 + 3 * R3_NSEC_PER_SEC);
	fake_device_raise(fake, R3_IRQ_MSIX, 0);
	assert_int_equal(r3_irq_wait(irq, 0, 3 * R3_NSEC_PER_SEC), 1);
	r3_irq_disable(irq);
	r3_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_choice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unwinding, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_sleeps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_dispatch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_crowded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_crowded_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test(test_other_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
