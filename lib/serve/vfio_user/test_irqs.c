/* SPDX-License-Identifier: BSD-2-Clause */
/* A client's eventfds: straight to the device, exchanged, masked, and what is refused. */
#include "serve/vfio_user/test_rig.h"

#include <fcntl.h>

#define EVENTFDS (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define TRIGGER  (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
#define MASK     (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK)
#define UNMASK   (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK)

#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI  VFIO_PCI_MSI_IRQ_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define ERR  VFIO_PCI_ERR_IRQ_INDEX
#define REQ  VFIO_PCI_REQ_IRQ_INDEX

#define NFDS 16

struct irqs {
	struct rig *rig;
	int sock;
	int fd[NFDS];
};

static int setup(void **state)
{
	struct irqs *i = calloc(1, sizeof(*i));

	assert_non_null(i);
	i->rig = rig_new();
	rig_serve(i->rig);
	i->sock = rig_client(i->rig);
	for (unsigned n = 0; n < NFDS; n++)
		i->fd[n] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*state = i;
	return 0;
}

static int teardown(void **state)
{
	struct irqs *i = *state;

	for (unsigned n = 0; n < NFDS; n++)
		close(i->fd[n]);
	close(i->sock);
	rig_free(i->rig);
	free(i);
	return 0;
}

static int set(struct irqs *i, unsigned flags, unsigned index, unsigned start, unsigned count,
	       unsigned nfds)
{
	return rig_irqs(i->rig, i->sock, flags, index, start, count, i->fd, nfds);
}

static int set_some(struct irqs *i, unsigned flags, unsigned index, unsigned start, unsigned count,
		    const unsigned char *bools)
{
	unsigned char bytes[sizeof(struct vfio_irq_set) + 8];
	const struct vfio_irq_set some = {.argsz = (uint32_t)sizeof(some) + count,
					  .flags = flags,
					  .index = index,
					  .start = start,
					  .count = count};

	memcpy(bytes, &some, sizeof(some));
	memcpy(bytes + sizeof(some), bools, count);
	return rig_call(i->rig, i->sock, VFIO_USER_DEVICE_SET_IRQS, bytes, sizeof(some) + count,
			NULL, 0);
}

/* How often it was signalled since it was last asked. */
static unsigned taken(int fd)
{
	eventfd_t count = 0;

	eventfd_read(fd, &count);
	return (unsigned)count;
}

static void msix_goes_straight_to_the_client(void **state)
{
	struct irqs *i = *state;
	unsigned turns = i->rig->nevents;

	assert_int_equal(set(i, EVENTFDS, MSIX, 0, NFDS, NFDS), 0);
	assert_int_equal(i->rig->fake->nirqs, NFDS);
	for (unsigned n = 0; n < NFDS; n++)
		fake_device_raise(i->rig->fake, R3_IRQ_MSIX, n);
	/* without the server's doing anything */
	for (unsigned n = 0; n < NFDS; n++)
		assert_int_equal(taken(i->fd[n]), 1);
	assert_int_equal(i->rig->nevents, turns);
}

static void a_set_grows_and_nothing_is_lost(void **state)
{
	struct irqs *i = *state;

	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 2, 2), 0);
	assert_int_equal(rig_irqs(i->rig, i->sock, EVENTFDS, MSIX, 5, 1, &i->fd[5], 1), 0);
	assert_int_equal(i->rig->fake->nirqs, 6);
	/* those that were bound are signalled, for whatever came meanwhile */
	assert_int_equal(taken(i->fd[0]), 1);
	assert_int_equal(taken(i->fd[1]), 1);
	assert_int_equal(taken(i->fd[5]), 0);
	for (unsigned n = 0; n < 6; n++) {
		fake_device_raise(i->rig->fake, R3_IRQ_MSIX, n);
		assert_int_equal(taken(i->fd[n]), n < 2 || n == 5);
	}
}

static void a_set_is_made_without_descriptors(void **state)
{
	struct irqs *i = *state;

	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 64, 0), 0);
	assert_int_equal(i->rig->fake->nirqs, 64);
	assert_int_equal(rig_irqs(i->rig, i->sock, EVENTFDS, MSIX, 60, 4, i->fd, 4), 0);
	fake_device_raise(i->rig->fake, R3_IRQ_MSIX, 63);
	assert_int_equal(taken(i->fd[3]), 1);
	/* and unbound again, all or some */
	assert_int_equal(set(i, EVENTFDS, MSIX, 63, 1, 0), 0);
	fake_device_raise(i->rig->fake, R3_IRQ_MSIX, 63);
	fake_device_raise(i->rig->fake, R3_IRQ_MSIX, 62);
	assert_int_equal(taken(i->fd[3]), 0);
	assert_int_equal(taken(i->fd[2]), 1);
}

static void eventfds_are_exchanged(void **state)
{
	struct irqs *i = *state;
	unsigned fds = test_count_fds();

	assert_int_equal(set(i, EVENTFDS, MSI, 0, 4, 4), 0);
	assert_int_equal(test_count_fds(), fds + 4);
	assert_int_equal(rig_irqs(i->rig, i->sock, EVENTFDS, MSI, 1, 1, &i->fd[9], 1), 0);
	assert_int_equal(test_count_fds(), fds + 4);
	fake_device_raise(i->rig->fake, R3_IRQ_MSI, 1);
	assert_int_equal(taken(i->fd[1]), 0);
	assert_int_equal(taken(i->fd[9]), 1);
	assert_int_equal(set(i, TRIGGER, MSI, 0, 0, 0), 0);
	assert_int_equal(i->rig->fake->nirqs, 0);
	assert_int_equal(test_count_fds(), fds);
	/* off is off already, whatever the index */
	assert_int_equal(set(i, TRIGGER, MSI, 0, 0, 0), 0);
	assert_int_equal(set(i, TRIGGER, MSIX, 0, 0, 0), 0);
}

static void msi_counts_in_powers_of_two(void **state)
{
	struct irqs *i = *state;

	assert_int_equal(set(i, EVENTFDS, MSI, 0, 3, 3), 0);
	assert_int_equal(i->rig->fake->nirqs, 4);
	fake_device_raise(i->rig->fake, R3_IRQ_MSI, 2);
	assert_int_equal(taken(i->fd[2]), 1);
}

static void intx_masks_itself(void **state)
{
	struct irqs *i = *state;

	assert_int_equal(set(i, EVENTFDS, INTX, 0, 1, 1), 0);
	fake_device_raise(i->rig->fake, R3_IRQ_INTX, 0);
	assert_int_equal(taken(i->fd[0]), 1);
	fake_device_raise(i->rig->fake, R3_IRQ_INTX, 0);
	assert_int_equal(taken(i->fd[0]), 0);
	/* still up */
	assert_int_equal(set(i, UNMASK, INTX, 0, 1, 0), 0);
	assert_int_equal(taken(i->fd[0]), 1);
	fake_device_lower(i->rig->fake);
	assert_int_equal(set(i, UNMASK, INTX, 0, 1, 0), 0);
	assert_int_equal(taken(i->fd[0]), 0);
}

static void intx_that_needs_a_hand_gets_it(void **state)
{
	struct irqs *i = *state;

	i->rig->fake->base.info.caps |= R3_CAP_IRQ_DISPATCH;
	assert_int_equal(set(i, EVENTFDS, INTX, 0, 1, 1), 0);
	fake_device_raise(i->rig->fake, R3_IRQ_INTX, 0);
	assert_int_equal(taken(i->fd[0]), 0);
	rig_run(i->rig);
	assert_int_equal(taken(i->fd[0]), 1);
}

static void vectors_are_masked(void **state)
{
	struct irqs *i = *state;

	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 4, 4), 0);
	assert_int_equal(set_some(i, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_MASK, MSIX, 0, 4,
				  (const unsigned char[]){0, 1, 0, 1}),
			 0);
	for (unsigned n = 0; n < 4; n++) {
		fake_device_raise(i->rig->fake, R3_IRQ_MSIX, n);
		assert_int_equal(taken(i->fd[n]), !(n & 1));
	}
	assert_int_equal(set(i, UNMASK, MSIX, 0, 4, 0), 0);
	for (unsigned n = 0; n < 4; n++)
		assert_int_equal(taken(i->fd[n]), n & 1); /* was pending */
	i->rig->fake->base.info.caps &= ~(unsigned)R3_CAP_IRQ_MASK;
	assert_int_equal(set(i, MASK, MSIX, 0, 1, 0), -ENOTSUP);
	assert_int_equal(
		set(i, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, MSIX, 0, 1, 1),
		-ENOTSUP);
}

static void a_client_rings_its_own_bell(void **state)
{
	struct irqs *i = *state;

	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 4, 4), 0);
	assert_int_equal(set(i, TRIGGER, MSIX, 2, 1, 0), 0);
	assert_int_equal(taken(i->fd[2]), 1);
	assert_int_equal(set_some(i, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, MSIX, 1,
				  2, (const unsigned char[]){0, 1}),
			 0);
	assert_int_equal(taken(i->fd[1]), 0);
	assert_int_equal(taken(i->fd[2]), 1);
	assert_int_equal(set(i, EVENTFDS, ERR, 0, 1, 1), 0);
	assert_int_equal(set(i, TRIGGER, ERR, 0, 1, 0), 0);
	assert_int_equal(taken(i->fd[0]), 1);
	/* one that is full would make us wait: it has the news already */
	assert_int_equal(eventfd_write(i->fd[3], UINT64_MAX - 1), 0);
	assert_int_equal(fcntl(i->fd[3], F_SETFL, 0), 0);
	assert_int_equal(set(i, TRIGGER, MSIX, 3, 1, 0), 0);
}

static void impossible_sets_are_errors(void **state)
{
	static const struct {
		unsigned flags, index, start, count, nfds;
		int rc;
	} rows[] = {
		{EVENTFDS, MSIX, 0, 65, 0, -EINVAL},
		{EVENTFDS, MSIX, 64, 1, 1, -EINVAL},
		{EVENTFDS, MSIX, UINT32_MAX, 1, 1, -EINVAL},
		{EVENTFDS, MSIX, UINT32_MAX, 2, 2, -EINVAL},
		{EVENTFDS, MSIX, 0, 2, 1, -EINVAL},
		{EVENTFDS, MSIX, 0, 0, 0, -EINVAL},
		{EVENTFDS, INTX, 0, 2, 2, -EINVAL},
		{EVENTFDS, ERR, 0, 2, 2, -EINVAL},
		{EVENTFDS, REQ, 1, 1, 1, -EINVAL},
		{EVENTFDS, 5, 0, 1, 1, -EINVAL},
		{TRIGGER, MSIX, 0, 1, 0, -EINVAL}, /* not on */
		{MASK, MSIX, 0, 1, 0, -EINVAL},
		{MASK, ERR, 0, 1, 0, -ENOTSUP},
		{0, MSIX, 0, 1, 0, -EINVAL},
		{EVENTFDS | VFIO_IRQ_SET_ACTION_MASK, MSIX, 0, 1, 1, -EINVAL},
		{TRIGGER, MSIX, 0, 1, 1, -EINVAL}, /* descriptors for nothing */
		{TRIGGER | 1u << 20, MSIX, 0, 1, 0, -EINVAL},
	};
	struct irqs *i = *state;
	unsigned fds = test_count_fds();

	for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		assert_int_equal(set(i, rows[n].flags, rows[n].index, rows[n].start, rows[n].count,
				     rows[n].nfds),
				 rows[n].rc);
		assert_int_equal(i->rig->fake->nirqs, 0);
		assert_int_equal(test_count_fds(), fds);
	}
	/* one type at a time */
	assert_int_equal(set(i, EVENTFDS, MSI, 0, 1, 1), 0);
	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 1, 1), -EINVAL);
	fake_device_raise(i->rig->fake, R3_IRQ_MSI, 0);
	assert_int_equal(taken(i->fd[0]), 1);
}

static void what_is_no_eventfd_is_refused(void **state)
{
	struct irqs *i = *state;
	int pipes[2], file = rig_memfd(RIG_PAGE, 0);
	unsigned fds;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	fds = test_count_fds();
	const int bad[] = {pipes[0], pipes[1], file, i->sock};
	for (unsigned n = 0; n < 4; n++) {
		const int both[2] = {i->fd[0], bad[n]};

		assert_int_equal(rig_irqs(i->rig, i->sock, EVENTFDS, MSIX, 0, 2, both, 2), -EINVAL);
		assert_int_equal(rig_irqs(i->rig, i->sock, EVENTFDS, ERR, 0, 1, &bad[n], 1),
				 -EINVAL);
	}
	assert_int_equal(test_count_fds(), fds);
	close(pipes[0]);
	close(pipes[1]);
	close(file);
}

static void a_bind_that_fails_leaves_nothing(void **state)
{
	struct irqs *i = *state;
	unsigned fds = test_count_fds();

	i->rig->fake->fail_irq_alloc = -EIO;
	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 2, 2), -EIO);
	assert_int_equal(test_count_fds(), fds);
	i->rig->fake->fail_irq_alloc = 0;
	i->rig->fake->fail_irq_bind = -EIO;
	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 2, 2), -EIO);
	assert_int_equal(test_count_fds(), fds);
	i->rig->fake->fail_irq_bind = 0;
	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 2, 2), 0);
	/* growing is making anew */
	i->rig->fake->fail_irq_alloc = -EIO;
	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 4, 4), -EIO);
	assert_int_equal(i->rig->fake->nirqs, 0);
	assert_int_equal(test_count_fds(), fds);
	i->rig->fake->fail_irq_alloc = 0;
	assert_int_equal(set(i, EVENTFDS, MSIX, 0, 4, 4), 0);
}

static void a_client_has_so_many_descriptors(void **state)
{
	struct rig *rig = rig_new();
	int memory = rig_memfd(RIG_PAGE, F_SEAL_SHRINK), fds[4], sock;

	rig->opts.max_fds = 5;
	rig_serve(rig);
	sock = rig_client(rig);
	rig_bind(rig, sock, fds, 4);
	assert_int_equal(rig_map(rig, sock, memory, 0, 0x10000, RIG_PAGE), 0);
	assert_int_equal(rig_irqs(rig, sock, EVENTFDS, ERR, 0, 1, fds, 1), -ENOSPC);
	assert_int_equal(rig_map(rig, sock, memory, 0, 0x20000, RIG_PAGE), -ENOSPC);
	assert_int_equal(rig_unmap(rig, sock, 0x10000, RIG_PAGE), 0);
	assert_int_equal(rig_irqs(rig, sock, EVENTFDS, ERR, 0, 1, fds, 1), 0);
	assert_int_equal(rig_irqs(rig, sock, EVENTFDS, MSIX, 0, 1, NULL, 0), 0);
	assert_int_equal(rig_irqs(rig, sock, EVENTFDS, REQ, 0, 1, fds, 1), 0);
	for (unsigned n = 0; n < 4; n++)
		close(fds[n]);
	close(memory);
	close(sock);
	rig_free(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(msix_goes_straight_to_the_client),
		TEST(a_set_grows_and_nothing_is_lost),
		TEST(a_set_is_made_without_descriptors),
		TEST(eventfds_are_exchanged),
		TEST(msi_counts_in_powers_of_two),
		TEST(intx_masks_itself),
		TEST(intx_that_needs_a_hand_gets_it),
		TEST(vectors_are_masked),
		TEST(a_client_rings_its_own_bell),
		TEST(impossible_sets_are_errors),
		TEST(what_is_no_eventfd_is_refused),
		TEST(a_bind_that_fails_leaves_nothing),
		cmocka_unit_test(a_client_has_so_many_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
