/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt coalescing: what the controller is asked for, and life with and without it. */
#include "test_bed.h"

#include <ring3/log.h>

#define READS 4u

/* A bed whose queue has a vector of its own, and is coalesced as told. */
static void open_bed(struct bed *bed, const struct nvme_stub_opts *stub,
		     const struct nvme_stub_hooks *hooks, uint32_t coalesce, uint64_t ns)
{
	const struct r3_block_opts opts = {.size = sizeof(opts),
					   .timeout_ns = BED_TIMEOUT,
					   .coalesce = coalesce,
					   .coalesce_ns = ns};
	void *mem;

	bed_make(bed, stub);
	bed->stub->hooks = hooks;
	assert_int_equal(
		r3_driver_nvme.attach_block(nvme_stub_device(bed->stub), &opts, &bed->block), 0);
	assert_int_equal(r3_blkq_open(bed->block, NULL, &bed->queue), 0);
	assert_int_equal(r3_block_alloc(bed->block, 1 << 20, &mem), 0);
	bed->mem = mem;
}

static void test_what_is_asked(void **state)
{
	static const struct {
		uint32_t coalesce;
		uint64_t ns;
		uint32_t want;
	} cases[] = {
		{0, 0, 0},
		{0, 1000000, 0},
		{1, 1000000, 0}, /* one by one: nothing to wait for */
		{2, 0, 0x0101},
		{8, 1, 0x0107},
		{8, 100000, 0x0107},
		{8, 100001, 0x0207},
		{256, 25500000, 0xffff},
		{1000, UINT64_MAX, 0xffff},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bed bed;

		open_bed(&bed, NULL, NULL, cases[i].coalesce, cases[i].ns);
		assert_int_equal(bed.stub->coalesce, cases[i].want);
		assert_int_equal(bed.stub->not_coalesced[0], cases[i].want != 0);
		assert_false(bed.stub->not_coalesced[1]);
		bed_close(&bed);
	}
}

static void start_reads(struct bed *bed, struct r3_blk_req *req, struct r3_sg *sg, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct r3_blk_req *one = &req[i];

		sg[i] = (struct r3_sg){bed->mem + i * 4096, 4096};
		*one = (struct r3_blk_req){
			.op = R3_BLK_READ, .nsg = 1, .sg = &sg[i], .off = i * 4096, .len = 4096};
		assert_int_equal(r3_blkq_submit(bed->queue, &one, 1), 1);
	}
	assert_int_equal(r3_blkq_kick(bed->queue), 0);
}

static void reap_all(struct bed *bed, unsigned n)
{
	struct r3_blk_req *done[2 * READS];

	assert_int_equal(r3_blkq_reap(bed->queue, done, 2 * READS), n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(done[i]->err, 0);
	assert_int_equal(r3_blkq_arm(bed->queue), 0);
}

static void test_fewer_interrupts(void **state)
{
	struct r3_blk_req req[2 * READS];
	struct r3_sg sg[2 * READS];
	unsigned before;
	struct bed bed;

	open_bed(&bed, NULL, NULL, READS, 0);
	assert_int_equal(r3_blkq_arm(bed.queue), 0);
	before = bed.stub->interrupts;
	start_reads(&bed, req, sg, READS - 1);
	assert_false(bed_readable(&bed));
	/* Who looks finds them all the same. */
	reap_all(&bed, READS - 1);
	start_reads(&bed, req, sg, 2 * READS);
	assert_true(bed_readable(&bed));
	assert_int_equal(bed.stub->interrupts - before, 2);
	reap_all(&bed, 2 * READS);

	/* The rest waits for the time to be up. */
	nvme_stub_coalesced(bed.stub);
	assert_true(bed_readable(&bed));
	reap_all(&bed, 0);
	start_reads(&bed, req, sg, 1);
	assert_false(bed_readable(&bed));
	nvme_stub_coalesced(bed.stub);
	assert_true(bed_readable(&bed));
	reap_all(&bed, 1);
	bed_close(&bed);
}

/* The admin queue, and who shares its vector, is never kept waiting. */
static void test_vector_0(void **state)
{
	const struct nvme_stub_opts shared = {.vectors = 1};
	struct r3_block_event event;
	struct bed bed;

	open_bed(&bed, &shared, NULL, READS, 0);
	assert_int_equal(r3_blkq_arm(bed.queue), 0);
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	assert_int_equal(r3_block_dispatch(bed.block, &event, 1), 0);
	assert_true(bed_readable(&bed));
	bed_reap(&bed, 0);
	bed_close(&bed);
}

static void test_after_a_reset(void **state)
{
	struct bed bed;

	open_bed(&bed, NULL, NULL, READS, 300000);
	bed.stub->csts |= NVME_CSTS_CFS;
	assert_true(bed_pass(&bed, BED_TIMEOUT) & 1u << R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed.stub->enables, 2);
	assert_int_equal(bed.stub->coalesce, 0x0303);
	assert_true(bed.stub->not_coalesced[0]);
	bed_close(&bed);
}

static unsigned refused;

static bool refuse(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
		   struct nvme_cqe *cqe)
{
	uint8_t fid = cmd->cdw10 & 0xff;

	if (sqid == 0 && cmd->opcode == NVME_ADMIN_SET_FEATURES &&
	    (fid == NVME_FID_IRQ_COALESCE || fid == NVME_FID_IRQ_CONFIG)) {
		stub->coalesce = 0;
		cqe->sf = NVME_SC_INVALID_FIELD << 1;
		refused++;
	}
	return true;
}

static void count(void *ctx, enum r3_log_level level, const char *text)
{
	*(unsigned *)ctx += strstr(text, "as it is") != NULL;
}

static void test_refused(void **state)
{
	const struct nvme_stub_hooks hooks = {.complete = refuse};
	unsigned told = 0;
	struct bed bed;

	r3_log_sink(R3_LOG_INFO, count, &told);
	open_bed(&bed, NULL, &hooks, READS, 0);
	assert_int_equal(refused, 2);
	assert_int_equal(told, 2);
	assert_int_equal(r3_blkq_arm(bed.queue), 0);
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	assert_true(bed_readable(&bed));
	bed_reap(&bed, 0);
	bed_close(&bed);
	r3_log_sink(R3_LOG_INFO, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_asked), cmocka_unit_test(test_fewer_interrupts),
		cmocka_unit_test(test_vector_0),      cmocka_unit_test(test_after_a_reset),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
