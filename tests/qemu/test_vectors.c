/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X on QEMU's NVMe controller: a completion queue per vector (NVMe 1.4, 5.3), and
 * commands that it refuses, so that each is one completion and one interrupt. MSI on
 * edu. Both for what the doorbell behind them has to keep apart.
 */
#include "backend/qemu/qemu.h"
#include "qemu_test.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* NVMe 1.4, 3.1 */
enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELL = 0x1000 };
#define CC_ENABLE 0x00460001 /* entries of 64 and 16 bytes */

enum { CREATE_SQ = 0x01, CREATE_CQ = 0x05, NO_SUCH_COMMAND = 0x7f };

#define VECTORS 5 /* queue i has vector i; 0 is the admin queue */
#define ENTRIES 16

#define SOON  (30 * R3_NSEC_PER_SEC)
#define NEVER (30 * R3_NSEC_PER_MSEC)

static struct r3_device *nvme;
static struct r3_region *bar;
static uint64_t iova; /* of the queues: page 2 * i is submission queue i, then completion */
static uint32_t (*sq[VECTORS])[16];
static volatile uint32_t (*cq[VECTORS])[4];
static unsigned tail[VECTORS];

/* Put a command into queue @q and ring its doorbell. */
static void submit(unsigned q, uint32_t opcode, uint64_t prp, uint32_t dw10, uint32_t dw11)
{
	uint32_t *entry = sq[q][tail[q]];

	memset(entry, 0, 64);
	entry[0] = opcode;
	entry[1] = 1;
	entry[6] = (uint32_t)prp;
	entry[7] = (uint32_t)(prp >> 32);
	entry[10] = dw10;
	entry[11] = dw11;
	tail[q] = (tail[q] + 1) % ENTRIES;
	r3_write32(bar, DOORBELL + 8 * q, tail[q]);
}

/* The device has answered all that was submitted to @q. */
static void consume(unsigned q)
{
	r3_write32(bar, DOORBELL + 8 * q + 4, tail[q]);
}

static void admin(uint32_t opcode, uint64_t prp, uint32_t dw10, uint32_t dw11)
{
	volatile uint32_t *entry = cq[0][tail[0]];
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), SOON);

	submit(0, opcode, prp, dw10, dw11);
	while (!(entry[3] >> 16 & 1)) /* the phase: the queue does not go round */
		assert_true(r3_wait_step(&wait));
	assert_int_equal(entry[3] >> 17, 0);
	consume(0);
}

/* QEMU's looks at MSI-X when a queue is made, so this comes after enabling that. */
static void start_controller(void)
{
	uint32_t size = (ENTRIES - 1) << 16;

	for (unsigned q = 0; q < VECTORS; q++) {
		tail[q] = 0;
		memset((void *)(uintptr_t)cq[q], 0, 4096);
	}
	assert_int_equal(r3_pci_enable(nvme, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	r3_write32(bar, CC, 0);
	assert_int_equal(r3_region_wait32(bar, CSTS, 1, 0, SOON, NULL), 0);
	r3_write32(bar, AQA, size | (ENTRIES - 1));
	r3_write64(bar, ASQ, iova);
	r3_write64(bar, ACQ, iova + 4096);
	r3_write32(bar, CC, CC_ENABLE);
	assert_int_equal(r3_region_wait32(bar, CSTS, 1, 1, SOON, NULL), 0);
}

/* With a completion queue for each vector. */
static void start(void)
{
	uint32_t size = (ENTRIES - 1) << 16;

	start_controller();
	for (unsigned q = 1; q < VECTORS; q++) {
		admin(CREATE_CQ, iova + 8192 * q + 4096, size | q, q << 16 | 3);
		admin(CREATE_SQ, iova + 8192 * q, size | q, q << 16 | 1);
	}
}

static int setup(void **state)
{
	struct r3_arena *arena;
	uint64_t left;
	void *at;

	nvme = open_device("qemu:nvme,null");
	bar = open_region(nvme, R3_REGION_BAR0);
	assert_int_equal(r3_device_arena(nvme, &arena), 0);
	assert_int_equal(r3_arena_alloc(arena, 8192 * VECTORS, 4096, &at), 0);
	assert_true(r3_device_iova(nvme, at, &iova, &left) && left >= 8192 * VECTORS);
	for (unsigned q = 0; q < VECTORS; q++) {
		sq[q] = (void *)((char *)at + 8192 * q);
		cq[q] = (void *)((char *)at + 8192 * q + 4096);
	}
	return 0;
}

static int teardown(void **state)
{
	r3_device_close(nvme);
	return 0;
}

/* One interrupt on @vector, sometime. */
static void raise_vector(unsigned vector)
{
	submit(vector, NO_SUCH_COMMAND, 0, 0, 0);
}

static struct r3_irq_set *enable(unsigned n)
{
	struct r3_irq_set *irq;

	if (r3_irq_enable(nvme, R3_IRQ_MSIX, n, n, &irq))
		fail_msg("%s", r3_error_text());
	start();
	for (unsigned v = 0; v < n; v++)
		r3_irq_ack(irq, v);
	return irq;
}

static void each_vector_has_its_eventfd(void **state)
{
	struct r3_irq_set *irq = enable(VECTORS);

	for (unsigned round = 0; round < 3; round++)
		for (unsigned v = 0; v < VECTORS; v++) {
			raise_vector(v);
			assert_int_equal(r3_irq_wait(irq, v, SOON), 1);
			for (unsigned other = 0; other < VECTORS; other++)
				assert_int_equal(r3_irq_ack(irq, other), 0);
			consume(v);
		}
	r3_irq_disable(irq);
}

static void a_masked_vector_waits(void **state)
{
	struct r3_irq_set *irq = enable(VECTORS);

	assert_int_equal(r3_irq_mask(irq, 2, true), 0);
	raise_vector(2);
	assert_int_equal(r3_irq_wait(irq, 2, NEVER), -ETIMEDOUT);
	raise_vector(1);
	assert_int_equal(r3_irq_wait(irq, 1, SOON), 1);
	assert_int_equal(r3_irq_mask(irq, 2, false), 0);
	assert_int_equal(r3_irq_wait(irq, 2, SOON), 1);
	r3_irq_disable(irq);
}

static void fewer_vectors_than_the_device_has(void **state)
{
	struct r3_irq_set *irq = enable(2);

	raise_vector(4);
	raise_vector(1);
	assert_int_equal(r3_irq_wait(irq, 1, SOON), 1);
	assert_int_equal(r3_irq_ack(irq, 0), 0);
	r3_irq_disable(irq);
}

/* A driver may leave decoding of memory off while it sets its interrupts up. */
static void enabling_needs_no_memory_decoding(void **state)
{
	struct r3_irq_set *irq;

	assert_int_equal(r3_read32(bar, CSTS), ~0u);
	assert_int_equal(r3_irq_enable(nvme, R3_IRQ_MSIX, VECTORS, VECTORS, &irq), 0);
	assert_int_equal(r3_read32(bar, CSTS), ~0u);
	start();
	raise_vector(3);
	assert_int_equal(r3_irq_wait(irq, 3, SOON), 1);
	r3_irq_disable(irq);
}

/* The table is the carrier's: what a driver writes there changes nothing. */
static void the_table_cannot_be_written(void **state)
{
	struct r3_irq_set *irq = enable(VECTORS);
	uint64_t table = r3_qemu_of(nvme)->msix.table_off;
	uint32_t nonsense[4 * VECTORS], before = r3_read32(bar, table + 8);

	memset(nonsense, 0xab, sizeof(nonsense));
	assert_int_equal(r3_region_write(bar, table, 4, nonsense, 4 * VECTORS), 0);
	assert_int_equal(r3_read32(bar, table + 8), before);
	raise_vector(0);
	assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
	r3_irq_disable(irq);
}

static void restored_after_reset(void **state)
{
	static const enum r3_reset how[] = {R3_RESET_FUNCTION, R3_RESET_BUS};
	struct r3_irq_set *irq = enable(VECTORS);

	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(r3_device_reset(nvme, how[i % 2]), 0);
		r3_irq_ack(irq, 0);
		start_controller();
		raise_vector(0);
		assert_int_equal(r3_irq_wait(irq, 0, NEVER), -ETIMEDOUT);
		assert_int_equal(r3_irq_restore(irq), 0);
		start();
		raise_vector(3);
		assert_int_equal(r3_irq_wait(irq, 3, SOON), 1);
	}
	r3_irq_disable(irq);
}

/* Bound in parts and to nobody, over and over, with the same descriptors at QEMU's. */
static void rebinding_costs_qemu_nothing(void **state)
{
	const struct r3_bus_ops *ops = nvme->ops;
	int fds[VECTORS], none = -1;
	uint64_t count;

	for (unsigned v = 0; v < VECTORS; v++)
		fds[v] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(ops->irq_alloc(nvme, R3_IRQ_MSIX, VECTORS), 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(ops->irq_bind(nvme, R3_IRQ_MSIX, 0, VECTORS, fds), 0);
		assert_int_equal(ops->irq_bind(nvme, R3_IRQ_MSIX, 1, 1, &none), 0);
		assert_int_equal(ops->irq_bind(nvme, R3_IRQ_MSIX, 2, 2, fds + 3), 0);
	}
	start();
	assert_int_equal(read(fds[0], &count, sizeof(count)), sizeof(count));
	raise_vector(1); /* goes to nobody, 2 to fds[3] */
	raise_vector(2);
	assert_true(readable(fds[3], SOON_MS));
	assert_false(readable(fds[1], 0));
	assert_false(readable(fds[2], 0));
	assert_int_equal(read(fds[3], &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	raise_vector(0);
	assert_true(readable(fds[0], SOON_MS));
	assert_int_equal(ops->irq_alloc(nvme, R3_IRQ_MSIX, 0), 0);
	for (unsigned v = 0; v < VECTORS; v++)
		close(fds[v]);
}

/* MSI vectors of the doorbell are not given back: the same eventfds must not take more. */
static void msi_is_restored_without_end_and_new_until_worn(void **state)
{
	struct r3_device *edu = open_device("qemu:edu");
	struct r3_region *registers = open_region(edu, R3_REGION_BAR0);
	struct r3_irq_set *irq;
	unsigned lives;
	int rc = 0;

	assert_int_equal(r3_pci_enable(edu, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	assert_int_equal(r3_irq_enable(edu, R3_IRQ_MSI, 1, 1, &irq), 0);
	for (unsigned i = 0; i < 2 * R3_QEMU_DOORBELL_VECTORS; i++)
		assert_int_equal(r3_irq_restore(irq), 0);
	r3_write32(registers, 0x60, 1);
	assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
	r3_write32(registers, 0x64, 1);
	r3_irq_disable(irq);
	for (lives = 1; rc == 0 && lives < 2 * R3_QEMU_DOORBELL_VECTORS; lives++) {
		rc = r3_irq_enable(edu, R3_IRQ_MSI, 1, 1, &irq);
		if (rc == 0)
			r3_irq_disable(irq);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(lives, R3_QEMU_DOORBELL_VECTORS + 1);
	/* the line is still there */
	assert_int_equal(r3_irq_enable(edu, R3_IRQ_INTX, 1, 1, &irq), 0);
	r3_write32(registers, 0x60, 1);
	assert_int_equal(r3_irq_wait(irq, 0, SOON), 1);
	r3_irq_disable(irq);
	r3_device_close(edu);
}

#define VECTOR_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VECTOR_TEST(each_vector_has_its_eventfd),
		VECTOR_TEST(a_masked_vector_waits),
		VECTOR_TEST(fewer_vectors_than_the_device_has),
		VECTOR_TEST(enabling_needs_no_memory_decoding),
		VECTOR_TEST(the_table_cannot_be_written),
		VECTOR_TEST(restored_after_reset),
		VECTOR_TEST(rebinding_costs_qemu_nothing),
		cmocka_unit_test(msi_is_restored_without_end_and_new_until_worn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
