/* SPDX-License-Identifier: BSD-2-Clause */
/* Reset, quiesce and DMA on NVMe and edu: what each leaves, and what it proves. */
#include "backend/qemu/qemu.h"
#include "qemu_test.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* NVMe 1.4, 3.1 */
enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30 };
#define CC_ENABLE 0x00460001 /* entries of 64 and 16 bytes */
/* QEMU docs/specs/edu.txt */
enum { EDU_DMA_SRC = 0x80, EDU_DMA_DST = 0x88, EDU_DMA_COUNT = 0x90, EDU_DMA_CMD = 0x98 };
#define EDU_BUFFER 0x40000

/* Run the controller, as a driver does; reset must stop it. */
static void enable(struct r3_device *dev, struct r3_region *bar)
{
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	assert_int_equal(r3_read32(bar, CSTS) & 1, 0);
	r3_write32(bar, AQA, 0x001f001f);
	r3_write64(bar, ASQ, R3_QEMU_DMA_FIRST);
	r3_write64(bar, ACQ, R3_QEMU_DMA_FIRST + 0x1000);
	r3_write32(bar, CC, CC_ENABLE);
	assert_int_equal(r3_region_wait32(bar, CSTS, 1, 1, 30 * R3_NSEC_PER_SEC, NULL), 0);
}

static void resets(const char *address, enum r3_reset how)
{
	struct r3_device *dev = open_device(address);
	struct r3_region *config = open_region(dev, R3_REGION_CONFIG);
	struct r3_region *bar = open_region(dev, R3_REGION_BAR0);
	uint32_t bar0 = r3_read32(config, PCI_BASE_ADDRESS_0);

	for (unsigned i = 0; i < 3; i++) {
		enable(dev, bar);
		r3_write32(config, PCI_BASE_ADDRESS_0, 0xdead0000);
		if (r3_device_reset(dev, how))
			fail_msg("%s", r3_error_text());
		assert_int_equal(r3_read16(config, PCI_COMMAND) & 7, 0);
		assert_int_equal(r3_read32(bar, CSTS), ~0u); /* decoding is off */
		assert_int_equal(r3_read32(config, PCI_BASE_ADDRESS_0), bar0);
	}
	no_event(dev);
	r3_device_close(dev);
}

static void function_level_reset(void **state)
{
	resets("qemu:nvme", R3_RESET_FUNCTION);
}

static void bus_reset(void **state)
{
	resets("qemu:nvme,addr=24", R3_RESET_BUS);
}

/* A driver that finds the bit itself gets what it asks for, and keeps its BARs. */
static void flr_by_the_drivers_own_hand(void **state)
{
	struct r3_device *dev = open_device("qemu:nvme");
	struct r3_region *config = open_region(dev, R3_REGION_CONFIG);
	struct r3_region *bar = open_region(dev, R3_REGION_BAR0);
	unsigned express;

	assert_int_equal(r3_pci_cap_find(dev, PCI_CAP_ID_EXP, &express), 0);
	enable(dev, bar);
	r3_write16(config, express + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
	enable(dev, bar);
	r3_device_close(dev);
}

static void what_a_device_lacks_is_said(void **state)
{
	struct r3_device *dev = open_device("qemu:edu");

	assert_int_equal(r3_device_reset(dev, R3_RESET_FUNCTION), -EOPNOTSUPP);
	assert_int_equal(r3_device_reset(dev, R3_RESET_ANY), 0);
	r3_device_close(dev);
}

/* ---- DMA, by edu, which moves less than 4 KiB between RAM and its buffer ---- */

#define LEN 2048

static struct r3_device *edu;
static struct r3_region *bar;
static unsigned char *buffer;
static uint64_t iova;

static int setup_edu(void **state)
{
	struct r3_arena *arena;
	uint64_t left;
	void *at;

	edu = open_device("qemu:edu");
	bar = open_region(edu, R3_REGION_BAR0);
	assert_int_equal(r3_device_arena(edu, &arena), 0);
	assert_int_equal(r3_arena_alloc(arena, 8192, 4096, &at), 0);
	buffer = at;
	assert_true(r3_device_iova(edu, at, &iova, &left));
	assert_true(iova >= R3_QEMU_DMA_FIRST && left >= 8192);
	assert_int_equal(r3_pci_enable(edu, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	return 0;
}

static int teardown_edu(void **state)
{
	r3_device_close(edu);
	return 0;
}

static void start_dma(uint64_t from, uint64_t to, bool to_ram)
{
	r3_write64(bar, EDU_DMA_SRC, from);
	r3_write64(bar, EDU_DMA_DST, to);
	r3_write64(bar, EDU_DMA_COUNT, LEN);
	r3_write64(bar, EDU_DMA_CMD, to_ram ? 3 : 1);
}

static int finish_dma(void)
{
	return r3_region_wait32(bar, EDU_DMA_CMD, 1, 0, 30 * R3_NSEC_PER_SEC, NULL);
}

static void bytes_go_there_and_back(void **state)
{
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < LEN; i++)
		buffer[i] = (unsigned char)test_random(&seed);
	start_dma(iova, EDU_BUFFER, false);
	assert_int_equal(finish_dma(), 0);
	start_dma(EDU_BUFFER, iova + 4096, true);
	assert_int_equal(finish_dma(), 0);
	assert_memory_equal(buffer, buffer + 4096, LEN);
}

static void quiesced_it_writes_no_more(void **state)
{
	unsigned proved;

	memset(buffer, 0x5a, 8192);
	start_dma(EDU_BUFFER, iova, true);
	assert_int_equal(r3_device_quiesce(edu, R3_QUIESCE_DMA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_DMA);
	assert_int_equal(finish_dma(), 0);
	for (unsigned i = 0; i < LEN; i++)
		assert_int_equal(buffer[i], 0x5a);
	assert_int_equal(r3_device_quiesce(edu, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA);
}

/* A machine that somebody paused stays paused: it was quiet already. */
static void a_paused_machine_is_quiesced_and_left_paused(void **state)
{
	unsigned proved;
	char *status;

	assert_int_equal(r3_qemu_execute(edu, "stop", NULL, NULL), 0);
	assert_int_equal(r3_device_quiesce(edu, R3_QUIESCE_DMA, &proved), 0);
	assert_int_equal(proved, R3_QUIESCE_DMA);
	assert_int_equal(r3_qemu_execute(edu, "query-status", NULL, &status), 0);
	assert_non_null(strstr(status, "\"running\": false"));
	free(status);
}

/* No answer is no proof, and the end: who cannot be asked cannot be trusted. */
static void silence_proves_nothing(void **state)
{
	unsigned proved;

	r3_qemu_of(edu)->link.timeout_ms = 100;
	kill(r3_qemu_pid(edu), SIGSTOP);
	assert_int_equal(r3_device_quiesce(edu, R3_QUIESCE_DMA, &proved), -ENODEV);
	assert_int_equal(proved, 0);
	assert_int_equal(next_event(edu), R3_EVENT_SERVER_LOST);
}

static void only_the_arena_can_be_mapped(void **state)
{
	struct r3_dma_limits limits;
	struct r3_dma_extent extent = {0, 0};
	struct r3_mem *mem;
	unsigned n = 1;

	assert_int_equal(edu->ops->dma_limits(edu, &limits), 0);
	assert_int_equal(limits.nwindows, 1);
	assert_int_equal(limits.page_size, 4096);
	assert_int_equal(r3_mem_create("stranger", 4096, 0, &mem), 0);
	assert_int_equal(edu->ops->dma_map(edu, mem, 0, 4096, R3_DMA_DEVICE_READ, &extent, &n),
			 -EOPNOTSUPP);
	r3_mem_unref(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_level_reset),
		cmocka_unit_test(bus_reset),
		cmocka_unit_test(flr_by_the_drivers_own_hand),
		cmocka_unit_test(what_a_device_lacks_is_said),
		cmocka_unit_test_setup_teardown(bytes_go_there_and_back, setup_edu, teardown_edu),
		cmocka_unit_test_setup_teardown(quiesced_it_writes_no_more, setup_edu,
						teardown_edu),
		cmocka_unit_test_setup_teardown(a_paused_machine_is_quiesced_and_left_paused,
						setup_edu, teardown_edu),
		cmocka_unit_test_setup_teardown(silence_proves_nothing, setup_edu, teardown_edu),
		cmocka_unit_test_setup_teardown(only_the_arena_can_be_mapped, setup_edu,
						teardown_edu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
