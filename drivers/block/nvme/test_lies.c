/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Controllers that lie or fail: each is refused with a reason, or survived, in bounded
 * time. The clock only sleeps, so that bounds are exact and cost nothing.
 */
#include "test_bed.h"

static uint64_t lie; /* what the hook of this test says */

/* ---- registers ---- */

static void cap_lie(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	if (off == NVME_REG_CAP)
		*value = lie;
}

static void test_cap(void **state)
{
	const uint64_t good = UINT64_C(0x20000003ff) | UINT64_C(2) << 24;
	static const struct {
		const char *what;
		uint64_t clear, set;
		int rc;
	} lies[] = {
		{"good", 0, 0, 0},
		{"all ones", 0, ~UINT64_C(0), -ENODEV},
		{"all zeroes", ~UINT64_C(0), 0, -EIO},
		{"MQES 0", 0xffff, 0, -EIO},
		{"MQES 1", 0xffff, 1, 0},
		{"MQES 65535", 0, 0xffff, 0},
		{"TO 0", UINT64_C(0xff) << 24, 0, 0},
		{"I/O command sets of 2.0", UINT64_C(0xff) << 37, UINT64_C(0x40) << 37, 0},
		{"no NVM commands", UINT64_C(0xff) << 37, UINT64_C(0x80) << 37, -EIO},
		{"MPSMIN 15", 0, UINT64_C(0xff) << 48, -EIO},
		{"MPSMIN above MPSMAX", 0, UINT64_C(2) << 48 | UINT64_C(1) << 52, -EIO},
		{"DSTRD 15", 0, UINT64_C(15) << 32, -EIO},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct nvme_stub_hooks hooks = {.read = cap_lie};
		struct bed bed;

		bed_make(&bed, NULL);
		lie = (good & ~lies[i].clear) | lies[i].set;
		bed.stub->cap = lie;
		bed.stub->hooks = &hooks;
		print_message("%s\n", lies[i].what);
		assert_int_equal(bed_attach(&bed, 0), lies[i].rc);
		if (lies[i].rc == 0)
			r3_block_close(bed.block);
		assert_true(bed.remains.closed);
		assert_false(bed.remains.master && lies[i].rc);
		assert_true(bed.clock.now < 20 * R3_NSEC_PER_SEC);
	}
}

static void csts_lie(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	if (off == NVME_REG_CSTS)
		*value = lie;
}

static void test_csts(void **state)
{
	static const struct {
		uint32_t csts;
		int rc;
	} lies[] = {
		{0, -ETIMEDOUT},                             /* never ready */
		{NVME_CSTS_RDY, -ETIMEDOUT},                 /* never disabled */
		{NVME_CSTS_CFS, -EIO},                       /* failed from the first */
		{NVME_CSTS_CFS | NVME_CSTS_RDY, -ETIMEDOUT}, /* and does not even stop */
		{UINT32_MAX, -ENODEV},                       /* not there */
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct nvme_stub_hooks hooks = {.read = csts_lie};
		struct bed bed;
		uint64_t began;

		bed_make(&bed, NULL);
		lie = lies[i].csts;
		bed.stub->hooks = &hooks;
		began = bed.clock.now;
		assert_int_equal(bed_attach(&bed, 0), lies[i].rc);
		assert_true(strstr(r3_error_text(), "fake") != NULL);
		/* CAP.TO of the stub is 1 s, and each of a few waits is bounded by it. */
		assert_true(bed.clock.now - began <= 5 * R3_NSEC_PER_SEC);
	}
}

/* Enabled, it is never disabled again, nor shut down. */
static void csts_stuck(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	if (off == NVME_REG_CSTS && stub->enables)
		*value = NVME_CSTS_RDY;
}

/* Undoing the attachment fails as well, which nobody wants to read. */
static void test_text_of_the_cause(void **state)
{
	const struct nvme_stub_hooks hooks = {.read = csts_stuck};
	struct bed bed;

	bed_make(&bed, NULL);
	bed.stub->hooks = &hooks;
	assert_int_equal(bed_attach(&bed, 77), -ENODEV);
	assert_non_null(strstr(r3_error_text(), "namespace 77"));
}

/* ---- identify ---- */

static void (*change)(void *data);
static uint8_t change_cns;

static void identify_lie(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data)
{
	if (cns == change_cns)
		change(data);
}

static void all_ones(void *data)
{
	memset(data, 0xff, 4096);
}

static void all_zeroes(void *data)
{
	memset(data, 0, 4096);
}

static void mdts_giant(void *data)
{
	((struct nvme_id_ctrl *)data)->mdts = 255;
}

static void nn_giant(void *data)
{
	((struct nvme_id_ctrl *)data)->nn = UINT32_MAX;
}

static void rtd3e_giant(void *data)
{
	((struct nvme_id_ctrl *)data)->rtd3e = UINT32_MAX;
}

static void nsze_giant(void *data)
{
	((struct nvme_id_ns *)data)->nsze = R3_LE64(UINT64_C(1) << 54); /* of 512 bytes: 2^63 */
}

static void nsze_largest(void *data)
{
	((struct nvme_id_ns *)data)->nsze = R3_LE64((UINT64_C(1) << 54) - 1);
}

static void lbads_0(void *data)
{
	((struct nvme_id_ns *)data)->lbaf[0].lbads = 0;
}

static void lbads_8(void *data)
{
	((struct nvme_id_ns *)data)->lbaf[0].lbads = 8;
}

static void lbads_17(void *data)
{
	((struct nvme_id_ns *)data)->lbaf[0].lbads = 17;
}

static void lbads_255(void *data)
{
	((struct nvme_id_ns *)data)->lbaf[0].lbads = 255;
}

static void format_beyond(void *data)
{
	((struct nvme_id_ns *)data)->flbas = 1;
	((struct nvme_id_ns *)data)->lbaf[1].lbads = 9;
}

static void metadata(void *data)
{
	((struct nvme_id_ns *)data)->lbaf[0].ms = R3_LE16(8);
}

static void protected(void *data)
{
	((struct nvme_id_ns *)data)->nsattr = NVME_NSATTR_WRITE_PROTECTED;
}

static void npwg_absurd(void *data)
{
	((struct nvme_id_ns *)data)->nsfeat = NVME_NSFEAT_OPTPERF;
	((struct nvme_id_ns *)data)->npwg = 65535;
}

static void list_endless(void *data)
{
	for (unsigned i = 0; i < NVME_LIST_MAX; i++)
		((struct nvme_ns_list *)data)->ns[i] = R3_LE32(1 + i);
}

static void list_backwards(void *data)
{
	for (unsigned i = 0; i < NVME_LIST_MAX; i++)
		((struct nvme_ns_list *)data)->ns[i] = R3_LE32(NVME_LIST_MAX - i);
}

static void test_identify(void **state)
{
	static const struct {
		const char *what;
		uint8_t cns;
		void (*change)(void *data);
		int rc;
	} lies[] = {
		{"controller of ones", NVME_CNS_CTRL, all_ones, -EIO},
		{"controller of zeroes", NVME_CNS_CTRL, all_zeroes, -EIO},
		{"MDTS 255", NVME_CNS_CTRL, mdts_giant, 0},
		{"NN 2^32 - 1", NVME_CNS_CTRL, nn_giant, 0},
		{"RTD3E 71 minutes", NVME_CNS_CTRL, rtd3e_giant, 0},
		{"namespace of ones", NVME_CNS_NS, all_ones, -EIO},
		{"namespace of zeroes", NVME_CNS_NS, all_zeroes, -ENODEV},
		{"2^63 bytes", NVME_CNS_NS, nsze_giant, -EIO},
		{"one block less", NVME_CNS_NS, nsze_largest, 0},
		{"blocks of 1", NVME_CNS_NS, lbads_0, -EIO},
		{"blocks of 256", NVME_CNS_NS, lbads_8, -EIO},
		{"blocks of 128 KiB", NVME_CNS_NS, lbads_17, -EIO},
		{"blocks of 2^255", NVME_CNS_NS, lbads_255, -EIO},
		{"format beyond the last", NVME_CNS_NS, format_beyond, -EIO},
		{"metadata", NVME_CNS_NS, metadata, -EIO},
		{"write protected", NVME_CNS_NS, protected, -EROFS},
		{"NPWG 65536", NVME_CNS_NS, npwg_absurd, 0},
		{"no namespaces", NVME_CNS_NS_ACTIVE_LIST, all_zeroes, -ENODEV},
		{"namespaces of ones", NVME_CNS_NS_ACTIVE_LIST, all_ones, -ENODEV},
		{"a list that does not end", NVME_CNS_NS_ACTIVE_LIST, list_endless, 0},
		{"a list downwards", NVME_CNS_NS_ACTIVE_LIST, list_backwards, -ENODEV},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct nvme_stub_hooks hooks = {.identify = identify_lie};
		struct bed bed;

		bed_make(&bed, NULL);
		change = lies[i].change;
		change_cns = lies[i].cns;
		bed.stub->hooks = &hooks;
		print_message("%s\n", lies[i].what);
		assert_int_equal(bed_attach(&bed, 0), lies[i].rc);
		if (lies[i].rc == 0) {
			assert_true(r3_block_get_limits(bed.block)->max_len <= 1 << 20);
			r3_block_close(bed.block);
		}
		assert_true(bed.remains.closed);
	}
}

static void test_list_that_grows(void **state)
{
	const struct nvme_stub_hooks hooks = {.identify = identify_lie};
	struct bed bed;
	uint32_t nsid[8];

	bed_open(&bed, NULL);
	change = list_endless;
	change_cns = NVME_CNS_NS_ACTIVE_LIST;
	bed.stub->hooks = &hooks;
	/* The same ids for ever are no more than those up to NN. */
	assert_int_equal(r3_nvme_namespaces(r3_nvme_of(bed.block), nsid, 8), STUB_NAMESPACES);
	bed.stub->hooks = NULL;
	bed_close(&bed);
}

/* ---- completions ---- */

static unsigned countdown;

/* One queue more than there is, or none that can be made. */
static bool queues_lie(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
		       struct nvme_cqe *cqe)
{
	if (cmd->opcode == NVME_ADMIN_SET_FEATURES && !sqid &&
	    (cmd->cdw10 & 0xff) == NVME_FID_NUM_QUEUES)
		cqe->dw0 = (uint32_t)lie;
	return true;
}

static void test_number_of_queues(void **state)
{
	static const struct {
		uint32_t result;
		unsigned queues;
	} lies[] = {
		{UINT32_MAX, 1024}, {0, 1}, {0xffff0000, 1}, {0x0000ffff, 1}, {0x00400040, 65},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct nvme_stub_hooks hooks = {.complete = queues_lie};
		const struct r3_block_limits *limits;
		struct r3_blkq *queue[STUB_QUEUES + 1];
		struct bed bed;
		unsigned n = 0;
		int rc;

		bed_make(&bed, NULL);
		lie = lies[i].result;
		bed.stub->hooks = &hooks;
		assert_int_equal(bed_attach(&bed, 0), 0);
		limits = r3_block_get_limits(bed.block);
		assert_int_equal(limits->max_queues, lies[i].queues);
		do
			rc = r3_blkq_open(bed.block, NULL, &queue[n]);
		while (rc == 0 && ++n <= STUB_QUEUES);
		assert_true(rc == -EIO || rc == -ENOSPC);
		assert_true(n >= 1 && n <= bed.stub->opts.queues);
		while (n--)
			r3_blkq_close(queue[n]);
		r3_block_close(bed.block);
		assert_true(bed.remains.closed);
	}
}

/* Doorbells so far apart that BAR 0 has room for those of one queue. */
static void test_doorbells_far_apart(void **state)
{
	const struct nvme_stub_opts opts = {.vectors = 4, .bar = 512 << 10};
	struct r3_blkq *queue;
	struct bed bed;

	bed_make(&bed, &opts);
	bed.stub->cap |= UINT64_C(15) << 32; /* DSTRD */
	assert_int_equal(bed_attach(&bed, 0), 0);
	assert_int_equal(r3_block_get_limits(bed.block)->max_queues, 1);
	assert_int_equal(r3_blkq_open(bed.block, NULL, &queue), 0);
	r3_blkq_close(queue);
	r3_block_close(bed.block);
}

static struct nvme_cqe forged;

/* Each completion is preceded by a forged one. */
static bool forge(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
		  struct nvme_cqe *cqe)
{
	struct nvme_cqe first = *cqe;

	first.cid = (uint16_t)(first.cid ^ forged.cid);
	first.sqid = (uint16_t)(first.sqid ^ forged.sqid);
	first.sqhd = (uint16_t)(first.sqhd ^ forged.sqhd);
	first.sf = NVME_SC_INTERNAL << 1; /* so that it shows who is believed */
	nvme_stub_post(stub, sqid, first);
	return true;
}

static void test_unknown_commands(void **state)
{
	static const struct nvme_cqe lies[] = {
		{.cid = 0x8000}, {.cid = 1},  {.cid = 0x3ff},   {.cid = 0x400},
		{.cid = 0xffff}, {.sqid = 1}, {.sqid = 0xfff0}, {.sqhd = 0x8000},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct nvme_stub_hooks hooks = {.complete = forge};
		struct bed bed;

		bed_open(&bed, NULL);
		forged = lies[i];
		bed.stub->hooks = &hooks;
		for (unsigned n = 0; n < 300; n++) { /* round the queue, more than once */
			memset(bed.mem, (int)n, 4096);
			assert_int_equal(bed_do(&bed, R3_BLK_WRITE, 4096, bed.mem, 4096), 0);
			memset(bed.mem, 0, 4096);
			assert_int_equal(bed_do(&bed, R3_BLK_READ, 4096, bed.mem, 4096), 0);
			assert_int_equal(bed.mem[4095], n & 0xff);
		}
		/* Admin completions are looked at as closely. */
		if (!lies[i].sqhd) {
			struct nvme_id_ctrl id;
			struct nvme_cmd cmd = {.opcode = NVME_ADMIN_IDENTIFY,
					       .cdw10 = R3_LE32(NVME_CNS_CTRL)};

			assert_int_equal(r3_nvme_admin(r3_nvme_of(bed.block), &cmd, &id, sizeof(id),
						       NULL, NULL),
					 0);
		}
		bed_close(&bed);
	}
}

/* The same completion again, long after. */
static bool repeat(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
		   struct nvme_cqe *cqe)
{
	static struct nvme_cqe old;

	if (!sqid)
		return true;
	if (countdown++)
		nvme_stub_post(stub, sqid, old);
	old = *cqe;
	old.sf = NVME_SC_INTERNAL << 1;
	return true;
}

static void test_stale_command(void **state)
{
	const struct nvme_stub_hooks hooks = {.complete = repeat};
	struct bed bed;

	bed_open(&bed, NULL);
	countdown = 0;
	bed.stub->hooks = &hooks;
	for (unsigned n = 0; n < 200; n++)
		assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

/* Nothing but lies: a queue full of completions that nobody asked for. */
static void test_only_lies(void **state)
{
	struct r3_blk_req *reqs[8];
	struct bed bed;

	bed_open(&bed, NULL);
	for (unsigned n = 0; n < 1000; n++) {
		nvme_stub_post(bed.stub, 1, (struct nvme_cqe){.cid = (uint16_t)n, .sqid = 1});
		assert_int_equal(r3_blkq_reap(bed.queue, reqs, 8), 0);
	}
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

/* ---- events ---- */

static bool events_for_ever(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	if (!sqid && cmd->opcode == NVME_ADMIN_ASYNC_EVENT) {
		countdown++;
		stub->event_pending = true;
		stub->event = NVME_AER_SMART | NVME_LID_SMART << 16;
	}
	return true;
}

static void test_events_without_end(void **state)
{
	const struct nvme_stub_hooks hooks = {.fetch = events_for_ever};
	struct bed bed;

	bed_make(&bed, NULL);
	countdown = 0;
	bed.stub->hooks = &hooks;
	assert_int_equal(bed_attach(&bed, 0), 0);
	for (unsigned n = 0; n < 10000; n++)
		assert_true(r3_block_dispatch(bed.block, NULL, 0) >= 0);
	assert_true(countdown < 100); /* no time has passed: there is a ration */
	assert_int_equal(bed_pass(&bed, R3_NSEC_PER_SEC) & 1u << R3_BLOCK_EVENT_WARNING,
			 1u << R3_BLOCK_EVENT_WARNING);
	r3_block_close(bed.block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_csts),
		cmocka_unit_test(test_text_of_the_cause),
		cmocka_unit_test(test_identify),
		cmocka_unit_test(test_list_that_grows),
		cmocka_unit_test(test_number_of_queues),
		cmocka_unit_test(test_doorbells_far_apart),
		cmocka_unit_test(test_unknown_commands),
		cmocka_unit_test(test_stale_command),
		cmocka_unit_test(test_only_lies),
		cmocka_unit_test(test_events_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
