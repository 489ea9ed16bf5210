/* SPDX-License-Identifier: BSD-2-Clause */
/* The IOMMU while the device is reset, unplugged, runs wild, has transfers under way, or is
 * lost with QEMU. NVMe is driven by hand: its rings are in one memory, its data in others. */
#include "iommu_bed.h"

#include <ring3/spec/nvme.h>
#include <signal.h>

#define NVME    "qemu:nvme,size=64M,iommu=on"
#define RINGS   UINT64_C(0x100000) /* device addresses */
#define DATA    UINT64_C(0x700000000)
#define ENTRIES 32
#define SECONDS R3_NSEC_PER_SEC

enum { ASQ = 0, ACQ = 4096, SQ = 8192, CQ = 12288 }; /* in the rings */

static struct r3_mem *rings, *data;

static void enable_nvme(void)
{
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	r3_write32(bar, NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	r3_write64(bar, NVME_REG_ASQ, RINGS + ASQ);
	r3_write64(bar, NVME_REG_ACQ, RINGS + ACQ);
	r3_write32(bar, NVME_REG_CC, NVME_CC_EN | NVME_CC_IOSQES(6) | NVME_CC_IOCQES(4));
	assert_int_equal(r3_region_wait32(bar, NVME_REG_CSTS, 1, 1, 30 * SECONDS, NULL), 0);
}

static int setup_nvme(void **state)
{
	log_text[0] = '\0';
	dev = open_device(NVME);
	bar = open_region(dev, R3_REGION_BAR0);
	rings = new_memory(65536, 0);
	data = new_memory(1 << 20, 0x5a);
	return 0;
}

static int teardown_nvme(void **state)
{
	r3_device_close(dev);
	r3_mem_unref(rings);
	r3_mem_unref(data);
	return 0;
}

/* Put the @at'th command into the ring at @ring. */
static void put(unsigned ring, unsigned at, uint8_t opcode, uint64_t prp, uint32_t cdw10,
		uint32_t cdw11)
{
	struct nvme_cmd *cmd = (struct nvme_cmd *)(bytes_of(rings) + ring) + at % ENTRIES;

	*cmd = (struct nvme_cmd){.opcode = opcode,
				 .cid = R3_LE16((uint16_t)at),
				 .nsid = R3_LE32(1),
				 .dptr = {.prp = {R3_LE64(prp)}},
				 .cdw10 = R3_LE32(cdw10),
				 .cdw11 = R3_LE32(cdw11)};
}

static bool completed(unsigned ring, unsigned at)
{
	struct nvme_cqe *cqe = (struct nvme_cqe *)(bytes_of(rings) + ring) + at % ENTRIES;
	unsigned phase = R3_LE16(__atomic_load_n(&cqe->sf, __ATOMIC_ACQUIRE)) & NVME_CQE_PHASE;

	return phase == (at / ENTRIES % 2 ? 0 : NVME_CQE_PHASE);
}

static void await(unsigned ring, unsigned at)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), 30 * SECONDS);

	while (!completed(ring, at))
		assert_true(r3_wait_step(&wait));
}

static void ring_doorbell(unsigned queue, unsigned tail)
{
	r3_write32(bar, NVME_REG_DOORBELL + 8 * queue, tail);
}

static void admin(unsigned at, uint8_t opcode, uint64_t prp, uint32_t cdw10, uint32_t cdw11)
{
	put(ASQ, at, opcode, prp, cdw10, cdw11);
	ring_doorbell(0, (at + 1) % ENTRIES);
	await(ACQ, at);
	r3_write32(bar, NVME_REG_DOORBELL + 4, (at + 1) % ENTRIES);
}

/* ---- refused transfers of NVMe's ---- */

static void nvme_is_refused_as_edu_is(void **state)
{
	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	/* mapped, unmapped, and unmapped again; QEMU says success in any case */
	admin(0, NVME_ADMIN_IDENTIFY, DATA, NVME_CNS_CTRL, 0);
	all_are(bytes_of(data), 0x5a, 1 << 20);
	fault_is(DATA, "write");
	map(data, 0, 1 << 20, BOTH, DATA);
	admin(1, NVME_ADMIN_IDENTIFY, DATA, NVME_CNS_CTRL, 0);
	assert_int_not_equal(bytes_of(data)[0], 0x5a);
	unmap(DATA, 1 << 20);
	memset(bytes_of(data), 0x5a, 4096);
	admin(2, NVME_ADMIN_IDENTIFY, DATA, NVME_CNS_CTRL, 0);
	all_are(bytes_of(data), 0x5a, 4096);
	fault_is(DATA, "write");
	/* for reading only */
	map(data, 0, 1 << 20, R3_DMA_DEVICE_READ, DATA);
	admin(3, NVME_ADMIN_IDENTIFY, DATA + 8192, NVME_CNS_CTRL, 0);
	all_are(bytes_of(data), 0x5a, 1 << 20);
	fault_is(DATA + 8192, "write");
	no_event(dev);
}

/* Rings that are nowhere: each doorbell is a transfer that is refused. What is told of it has
 * bounds, also while nobody listens. */
static void a_flood_has_bounds(void **state)
{
	struct r3_event events[64];
	unsigned n = 0, lines = 0;

	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	admin(0, NVME_ADMIN_IDENTIFY, RINGS + 16384, NVME_CNS_CTRL, 0);
	unmap(RINGS, 65536);
	for (unsigned i = 0; i < 200; i++) {
		ring_doorbell(0, (i + 2) % ENTRIES);
		assert_int_not_equal(r3_read32(bar, NVME_REG_CSTS), ~0u);
		assert_int_equal(r3_device_dispatch(dev, events, 0), 0);
	}
	assert_true(readable(r3_device_fd(dev), SOON_MS));
	for (unsigned i = 0; i < 100 && readable(r3_device_fd(dev), 10); i++) {
		int got = r3_device_dispatch(dev, events, 64);

		assert_in_range(got, 0, R3_QEMU_FAULTS + 1);
		for (int j = 0; j < got; j++)
			assert_int_equal(events[j].type, R3_EVENT_DMA_FAULT);
		n += (unsigned)got;
	}
	assert_in_range(n, 1, 4 * R3_QEMU_FAULTS);
	no_event(dev);
	for (const char *at = log_text; (at = strchr(at, '\n')); at++)
		lines++;
	assert_in_range(lines, 1, 40);
	/* nothing is worn out by it */
	assert_int_equal(r3_device_reset(dev, R3_RESET_FUNCTION), 0);
	map(rings, 0, 65536, BOTH, RINGS);
	memset(bytes_of(rings), 0, 65536);
	enable_nvme();
	admin(0, NVME_ADMIN_IDENTIFY, DATA, NVME_CNS_CTRL, 0);
	fault_at(DATA);
}

/* ---- any order ---- */

#define PLACES 24
#define FILES  4
#define PAGES  4 /* of a file, and of a place at most */

static struct {
	unsigned file, page, pages, prot; /* pages 0: nothing is there */
} place[PLACES];

static uint64_t address_of(unsigned i)
{
	/* near each other, and some far away */
	return i % 3 ? DATA + i * PAGES * 4096 : (uint64_t)(i + 1) << 40;
}

/* The device writes a page at a place: it gets where the books say, or nowhere. */
static void check_write(struct r3_mem *const files[], unsigned i, unsigned page, unsigned *at)
{
	uint64_t iova = address_of(i) + page * 4096;
	bool there = page < place[i].pages && place[i].prot & R3_DMA_DEVICE_WRITE;

	for (unsigned f = 0; f < FILES; f++)
		memset(bytes_of(files[f]), 0x5a, PAGES * 4096);
	admin((*at)++, NVME_ADMIN_IDENTIFY, iova, NVME_CNS_CTRL, 0);
	for (unsigned f = 0; f < FILES; f++)
		for (unsigned p = 0; p < PAGES; p++) {
			unsigned char *bytes = bytes_of(files[f]) + p * 4096;

			if (there && f == place[i].file && p == place[i].page + page)
				assert_memory_not_equal(bytes + 4, "\x5a\x5a\x5a\x5a", 4);
			else
				all_are(bytes, 0x5a, 4096);
		}
	if (!there)
		fault_at(iova);
}

static void any_order_will_do(void **state)
{
	uint64_t random = test_seed();
	struct r3_mem *files[FILES];
	unsigned at = 0;

	memset(place, 0, sizeof(place));
	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	for (unsigned f = 0; f < FILES; f++)
		files[f] = new_memory(PAGES * 4096, 0);
	for (unsigned round = 0; round < 300; round++) {
		unsigned i = test_random_below(&random, PLACES);

		if (test_random_below(&random, 2)) {
			check_write(files, i, test_random_below(&random, PAGES), &at);
		} else if (place[i].pages) {
			unmap(address_of(i), place[i].pages * 4096);
			place[i].pages = 0;
		} else {
			place[i].file = test_random_below(&random, FILES);
			place[i].page = test_random_below(&random, PAGES);
			place[i].pages = 1 + test_random_below(&random, PAGES - place[i].page);
			place[i].prot = 1 + test_random_below(&random, 3);
			map(files[place[i].file], place[i].page * 4096, place[i].pages * 4096,
			    place[i].prot, address_of(i));
		}
	}
	for (unsigned i = 0; i < PLACES; i++)
		if (place[i].pages)
			unmap(address_of(i), place[i].pages * 4096);
	no_event(dev);
	for (unsigned f = 0; f < FILES; f++)
		r3_mem_unref(files[f]);
}

/* One after the other, all of them taken: there are bounds in time, too. */
static void a_second_has_bounds(void **state)
{
	uint64_t begin = r3_clock_now(r3_clock_system()), took;
	struct r3_event events[64];
	unsigned n = 0;

	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	for (unsigned i = 0; i < 300; i++) {
		admin(i, NVME_ADMIN_IDENTIFY, DATA, NVME_CNS_CTRL, 0);
		n += (unsigned)r3_device_dispatch(dev, events, 64);
	}
	took = r3_clock_now(r3_clock_system()) - begin;
	assert_in_range(n, 1, R3_QEMU_FAULTS_PER_SECOND * (took / SECONDS + 2));
	/* what the IOMMU keeps for one that is over is told in the next */
	if (r3_qemu_of(dev)->iommu->taken < R3_QEMU_FAULTS_PER_SECOND)
		skip(); /* a host this slow makes no flood */
	admin(300, NVME_ADMIN_IDENTIFY, DATA, NVME_CNS_CTRL, 0);
	fault_at(DATA);
}

/* ---- transfers under way ---- */

static void throttle(unsigned iops)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "{\"id\":\"/machine/peripheral/dev0\",\"bps\":0,\"bps_rd\":0,\"bps_wr\":0,"
		 "\"iops\":%u,\"iops_rd\":0,\"iops_wr\":0}",
		 iops);
	if (r3_qemu_execute(dev, "block_set_io_throttle", text, NULL))
		fail_msg("%s", r3_error_text());
}

/* Reads that have begun have their addresses already, whatever the IOMMU says: unmapping
 * waits for them. */
static void unmapped_means_that_no_transfer_is_under_way(void **state)
{
	struct r3_wait watch;

	map(rings, 0, 65536, BOTH, RINGS);
	map(data, 0, 1 << 20, BOTH, DATA);
	enable_nvme();
	admin(0, NVME_ADMIN_CREATE_CQ, RINGS + CQ, (ENTRIES - 1) << 16 | 1, NVME_QUEUE_PC);
	admin(1, NVME_ADMIN_CREATE_SQ, RINGS + SQ, (ENTRIES - 1) << 16 | 1,
	      1 << 16 | NVME_QUEUE_PC);
	throttle(10);
	for (unsigned i = 0; i < 16; i++)
		put(SQ, i, NVME_CMD_READ, DATA + i * 4096, i * 8, 0);
	ring_doorbell(1, 16);
	await(CQ, 0);
	assert_false(completed(CQ, 15));
	unmap(DATA, 1 << 20);
	memset(bytes_of(data), 0x77, 1 << 20);
	throttle(0);
	await(CQ, 15);
	watch = r3_wait_begin(r3_clock_system(), SECONDS / 20);
	while (r3_wait_step(&watch))
		;
	all_are(bytes_of(data), 0x77, 1 << 20);
}

/* ---- the device's life ---- */

static void tables_outlive_a_reset(void **state)
{
	for (unsigned how = R3_RESET_FUNCTION; how <= R3_RESET_BUS; how++) {
		map(rings, 0, 65536, BOTH, RINGS);
		for (unsigned i = 0; i < 2; i++) {
			memset(bytes_of(rings), 0, 65536);
			enable_nvme();
			admin(0, NVME_ADMIN_IDENTIFY, RINGS + 16384, NVME_CNS_CTRL, 0);
			assert_int_not_equal(bytes_of(rings)[16384 + 4], 0); /* its serial number */
			admin(1, NVME_ADMIN_IDENTIFY, DATA, NVME_CNS_CTRL, 0);
			fault_is(DATA, "write");
			assert_int_equal(r3_device_reset(dev, (enum r3_reset)how), 0);
		}
		unmap(RINGS, 65536);
	}
	no_event(dev);
}

/* Nothing is waited for that cannot be: after a reset nothing is under way. */
static void a_reset_saves_the_wait(void **state)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	assert_true(q->config.mastered);
	unmap(RINGS, 65536);
	assert_true(q->config.mastered);
	assert_int_equal(r3_device_reset(dev, R3_RESET_FUNCTION), 0);
	assert_false(q->config.mastered);
	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	assert_true(q->config.mastered);
	assert_int_equal(r3_pci_enable(dev, 0, R3_PCI_MASTER), 0);
	assert_true(q->config.mastered);
	unmap(RINGS, 65536);
	assert_false(q->config.mastered);
}

static void memory_comes_back_from_a_removed_device(void **state)
{
	struct r3_qemu_iommu *iommu = r3_qemu_of(dev)->iommu;

	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	assert_int_equal(r3_qemu_surprise_remove(dev), 0);
	assert_int_equal(next_event(dev), R3_EVENT_REMOVED);
	unmap(RINGS, 65536);
	assert_int_equal(iommu->nmaps, 0);
	for (unsigned i = 0; i < R3_QEMU_DIMM_SLOTS; i++)
		assert_int_equal(iommu->dimms.slot[i].refs, 0);
	no_event(dev);
}

/* Who does not answer cannot show that it is through. So it is ended, and then it is. */
static void memory_comes_back_from_a_lost_qemu(void **state)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	map(rings, 0, 65536, BOTH, RINGS);
	enable_nvme();
	q->link.timeout_ms = 100;
	kill(r3_qemu_pid(dev), SIGSTOP);
	unmap(RINGS, 65536);
	assert_true(r3_device_gone(dev));
	assert_int_equal(next_event(dev), R3_EVENT_SERVER_LOST);
}

static void a_killed_qemu_is_no_obstacle(void **state)
{
	map(rings, 0, 65536, BOTH, RINGS);
	map(data, 0, 1 << 20, BOTH, DATA);
	enable_nvme();
	kill(r3_qemu_pid(dev), SIGKILL);
	unmap(DATA, 1 << 20);
	assert_int_equal(next_event(dev), R3_EVENT_SERVER_LOST);
	unmap(RINGS, 65536);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_nvme, teardown_nvme)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nvme_is_refused_as_edu_is),
		TEST(any_order_will_do),
		TEST(a_flood_has_bounds),
		TEST(a_second_has_bounds),
		TEST(unmapped_means_that_no_transfer_is_under_way),
		TEST(tables_outlive_a_reset),
		TEST(a_reset_saves_the_wait),
		TEST(memory_comes_back_from_a_removed_device),
		TEST(memory_comes_back_from_a_lost_qemu),
		TEST(a_killed_qemu_is_no_obstacle),
	};

	r3_log_sink(R3_LOG_WARN, keep_log, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
