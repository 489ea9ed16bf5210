/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts and reset: which of the caller's eventfds the server has, and when it is told. */
#include "backend/vfio_user/test_rig.h"

#include <linux/pci_regs.h>
#include <ring3/irq.h>
#include <sys/eventfd.h>

/* The server has done all that it was told before. */
static void settle(void)
{
	r3_read16(rig_region(7), 0);
}

static void raise_vector(unsigned type, unsigned vector)
{
	assert_true(rig.server.vector[type][vector] >= 0);
	assert_int_equal(eventfd_write(rig.server.vector[type][vector], 1), 0);
}

static struct r3_irq_set *enable(enum r3_irq_type type, unsigned n)
{
	struct r3_irq_set *irq;

	if (r3_irq_enable(rig.dev, type, n, n, &irq))
		fail_msg("%s", r3_error_text());
	return irq;
}

static unsigned bound(unsigned type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 64; i++)
		n += rig.server.vector[type][i] >= 0;
	return n;
}

static void each_type_of_interrupt_arrives(void **state)
{
	static const unsigned counts[] = {1, 32, 64};

	rig_open();
	for (unsigned type = R3_IRQ_INTX; type <= R3_IRQ_MSIX; type++) {
		struct r3_irq_set *irq = enable(type, counts[type]);

		assert_int_equal(bound(type), counts[type]);
		for (unsigned i = 0; i < counts[type]; i++) {
			raise_vector(type, i);
			assert_int_equal(r3_irq_ack(irq, i), 1);
			assert_int_equal(r3_irq_ack(irq, (i + 1) % counts[type]), 0);
		}
		r3_irq_disable(irq);
		settle();
		assert_int_equal(bound(type), 0);
	}
}

/* The server says how many descriptors one message may have. */
static void descriptors_go_in_as_many_messages_as_they_need(void **state)
{
	unsigned before;

	rig.server.caps.max_msg_fds = 5;
	rig_open();
	before = rig.server.seen[VFIO_USER_DEVICE_SET_IRQS];
	struct r3_irq_set *irq = enable(R3_IRQ_MSIX, 12);
	assert_int_equal(rig.server.seen[VFIO_USER_DEVICE_SET_IRQS] - before, 3);
	assert_int_equal(bound(R3_IRQ_MSIX), 12);
	raise_vector(R3_IRQ_MSIX, 11);
	assert_int_equal(r3_irq_ack(irq, 11), 1);
	r3_irq_disable(irq);
}

static void some_vectors_may_have_no_descriptor(void **state)
{
	int fds[6];

	rig_open();
	for (unsigned i = 0; i < 6; i++)
		fds[i] = i == 2 || i == 3 ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(rig.dev->ops->irq_alloc(rig.dev, R3_IRQ_MSIX, 8), 0);
	assert_int_equal(rig.dev->ops->irq_bind(rig.dev, R3_IRQ_MSIX, 1, 6, fds), 0);
	assert_int_equal(bound(R3_IRQ_MSIX), 4);
	assert_int_equal(rig.server.vector[R3_IRQ_MSIX][0], -1);
	assert_int_equal(rig.server.vector[R3_IRQ_MSIX][3], -1);
	assert_true(rig.server.vector[R3_IRQ_MSIX][5] >= 0);
	/* not of this set */
	assert_int_equal(rig.dev->ops->irq_bind(rig.dev, R3_IRQ_MSIX, 3, 6, fds), -EINVAL);
	assert_int_equal(rig.dev->ops->irq_bind(rig.dev, R3_IRQ_MSI, 0, 1, fds), -EINVAL);
	assert_int_equal(rig.dev->ops->irq_mask(rig.dev, R3_IRQ_MSIX, 8, true), -EINVAL);
	assert_int_equal(rig.dev->ops->irq_alloc(rig.dev, R3_IRQ_MSIX, 0), 0);
	assert_int_equal(bound(R3_IRQ_MSIX), 0);
	for (unsigned i = 0; i < 6; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static bool note_sets(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	struct vfio_irq_set *notes = server->user, set;
	const unsigned char *bools;

	if (msg->header.cmd == VFIO_USER_DEVICE_SET_IRQS &&
	    r3_vfio_user_get_set_irqs(msg, &set, &bools) == 0 && notes[0].count < 15)
		notes[++notes[0].count] = set;
	return false;
}

/* A server of our own learns how large the set is to be, before the first descriptor. */
static void a_set_is_announced_to_our_own(void **state)
{
	static struct vfio_irq_set notes[16]; /* the hook is called until the device is closed */
	struct r3_irq_set *irq;

	rig.server.caps.ring3 = true;
	rig.server.hook = note_sets;
	rig.server.user = notes;
	rig_open();
	notes[0].count = 0;
	irq = enable(R3_IRQ_MSIX, 20);
	assert_int_equal(notes[0].count, 4);
	assert_int_equal(notes[1].count, 20);
	assert_int_equal(notes[1].flags, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
	assert_int_equal(notes[4].start, 16);
	r3_irq_disable(irq);
}

static void a_set_that_cannot_grow_fits_into_one_message(void **state)
{
	rig.server.irq[R3_IRQ_MSIX].flags |= VFIO_IRQ_INFO_NORESIZE;
	rig_open();
	assert_int_equal(rig.dev->info.nirqs[R3_IRQ_MSIX], 8);
	assert_int_equal(rig.dev->info.nirqs[R3_IRQ_MSI], 32);
}

static void what_no_eventfd_tells_of_is_not_there(void **state)
{
	rig.server.irq[R3_IRQ_MSI].flags = 0;
	rig.server.irq[R3_IRQ_MSIX].count = 4000; /* more than a table has */
	rig.server.irq[R3_IRQ_MSIX].flags = VFIO_IRQ_INFO_EVENTFD;
	rig.server.irq[R3_IRQ_MSIX].count = 2048;
	rig.server.irq[R3_IRQ_INTX].count = 3;
	rig_open();
	assert_int_equal(rig.dev->info.nirqs[R3_IRQ_INTX], 1);
	assert_int_equal(rig.dev->info.nirqs[R3_IRQ_MSI], 0);
	assert_int_equal(rig.dev->info.nirqs[R3_IRQ_MSIX], 2048);
	assert_false(rig.dev->info.caps & R3_CAP_IRQ_MASK);
}

static void vectors_are_masked(void **state)
{
	struct r3_irq_set *irq;

	rig_open();
	irq = enable(R3_IRQ_MSIX, 3);
	assert_int_equal(r3_irq_mask(irq, 2, true), 0);
	assert_int_equal(rig.server.masked[R3_IRQ_MSIX][2], 1);
	assert_int_equal(rig.server.masked[R3_IRQ_MSIX][1], 0);
	assert_int_equal(r3_irq_mask(irq, 2, false), 0);
	assert_int_equal(rig.server.masked[R3_IRQ_MSIX][2], 0);
	r3_irq_disable(irq);
	/* the server says that MSI cannot be */
	irq = enable(R3_IRQ_MSI, 2);
	assert_int_equal(r3_irq_mask(irq, 1, true), -EOPNOTSUPP);
	r3_irq_disable(irq);
}

/* A level masks itself, and every acknowledge takes that back, without a word in return. */
static void a_level_is_rearmed(void **state)
{
	struct r3_irq_set *irq;

	rig_open();
	irq = enable(R3_IRQ_INTX, 1);
	rig.server.masked[R3_IRQ_INTX][0] = 1;
	raise_vector(R3_IRQ_INTX, 0);
	assert_int_equal(r3_irq_wait(irq, 0, R3_NSEC_PER_SEC), 1);
	settle();
	assert_int_equal(rig.server.masked[R3_IRQ_INTX][0], 0);
	assert_int_equal(r3_irq_mask(irq, 0, true), 0);
	assert_int_equal(rig.server.masked[R3_IRQ_INTX][0], 1);
	assert_int_equal(r3_irq_ack(irq, 0), 0);
	settle();
	assert_int_equal(rig.server.masked[R3_IRQ_INTX][0], 1); /* held */
	r3_irq_disable(irq);
}

static void a_pulse_needs_no_rearming(void **state)
{
	struct r3_irq_set *irq;
	unsigned before;

	rig.server.irq[R3_IRQ_INTX].flags = VFIO_IRQ_INFO_EVENTFD;
	rig_open();
	irq = enable(R3_IRQ_INTX, 1);
	before = rig.server.seen[VFIO_USER_DEVICE_SET_IRQS];
	raise_vector(R3_IRQ_INTX, 0);
	assert_int_equal(r3_irq_ack(irq, 0), 1);
	settle();
	assert_int_equal(rig.server.seen[VFIO_USER_DEVICE_SET_IRQS], before);
	assert_int_equal(r3_irq_mask(irq, 0, true), -EOPNOTSUPP);
	r3_irq_disable(irq);
}

/* ---- reset ---- */

static uint32_t config32(unsigned at)
{
	return r3_read32(rig_region(7), at);
}

/* Does to the device what a bare one does to itself. */
static bool wipe(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds)
{
	unsigned char *config = server->region[7].bytes;

	if (msg->header.cmd != VFIO_USER_DEVICE_RESET)
		return false;
	server->user = (void *)(uintptr_t)(config[PCI_COMMAND] | 0x100);
	memset(config + PCI_BASE_ADDRESS_0, 0, 24);
	config[PCI_COMMAND] = PCI_COMMAND_MEMORY; /* on, as Linux leaves it */
	return false;
}

static void a_reset_leaves_all_off_and_in_place(void **state)
{
	struct r3_irq_set *irq;

	rig.server.hook = wipe;
	rig_open();
	r3_write32(rig_region(7), PCI_BASE_ADDRESS_0 + 4, 0x12345000);
	r3_write16(rig_region(7), PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	irq = enable(R3_IRQ_MSIX, 4);
	assert_int_equal(r3_device_reset(rig.dev, R3_RESET_BUS), -EOPNOTSUPP);
	assert_int_equal(r3_device_reset(rig.dev, R3_RESET_ANY), 0);
	assert_int_equal(rig.server.seen[VFIO_USER_DEVICE_RESET], 1);
	/* no transfer was under way when it began */
	assert_int_equal((uintptr_t)rig.server.user, 0x100);
	assert_int_equal(r3_read16(rig_region(7), PCI_COMMAND), 0);
	assert_int_equal(config32(PCI_BASE_ADDRESS_0 + 4), 0x12345000);
	assert_int_equal(bound(R3_IRQ_MSIX), 0);
	assert_int_equal(r3_irq_restore(irq), 0);
	assert_int_equal(bound(R3_IRQ_MSIX), 4);
	r3_irq_disable(irq);
}

static void what_a_server_cannot_reset_is_not_reset(void **state)
{
	unsigned proved = 0;

	rig.server.flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_RESET;
	rig_open();
	assert_false(rig.dev->info.caps & R3_CAP_FLR);
	assert_int_equal(r3_device_reset(rig.dev, R3_RESET_ANY), -EOPNOTSUPP);
	r3_write16(rig_region(7), PCI_COMMAND, PCI_COMMAND_MASTER);
	assert_int_equal(r3_device_quiesce(rig.dev, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_DMA);
	assert_int_equal(r3_read16(rig_region(7), PCI_COMMAND), 0);
}

static void a_reset_proves_more(void **state)
{
	unsigned proved = 0;

	rig_open();
	assert_int_equal(r3_device_quiesce(rig.dev, R3_QUIESCE_DMA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_DMA);
	assert_int_equal(rig.server.seen[VFIO_USER_DEVICE_RESET], 0);
	assert_int_equal(r3_device_quiesce(rig.dev, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA);
	assert_int_equal(rig.server.seen[VFIO_USER_DEVICE_RESET], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(each_type_of_interrupt_arrives),
		RIG_TEST(descriptors_go_in_as_many_messages_as_they_need),
		RIG_TEST(some_vectors_may_have_no_descriptor),
		RIG_TEST(a_set_is_announced_to_our_own),
		RIG_TEST(a_set_that_cannot_grow_fits_into_one_message),
		RIG_TEST(what_no_eventfd_tells_of_is_not_there),
		RIG_TEST(vectors_are_masked),
		RIG_TEST(a_level_is_rearmed),
		RIG_TEST(a_pulse_needs_no_rearming),
		RIG_TEST(a_reset_leaves_all_off_and_in_place),
		RIG_TEST(what_a_server_cannot_reset_is_not_reset),
		RIG_TEST(a_reset_proves_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
