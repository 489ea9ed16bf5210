/* SPDX-License-Identifier: BSD-2-Clause */
/* Passthrough, log pages, and what the controller says by itself. */
#include "stub/nvme_stub_parts.h"
#include "test_bed.h"

static void test_passthrough(void **state)
{
	struct nvme_cmd identify = {.opcode = NVME_ADMIN_IDENTIFY, .cdw10 = R3_LE32(NVME_CNS_CTRL)};
	struct nvme_cmd queues = {.opcode = NVME_ADMIN_GET_FEATURES,
				  .cdw10 = R3_LE32(NVME_FID_NUM_QUEUES)};
	struct nvme_cmd unknown = {.opcode = 0xc0};
	struct nvme_id_ctrl id;
	struct r3_nvme *nvme;
	uint32_t result, status;
	struct bed bed;

	bed_open(&bed, NULL);
	nvme = r3_nvme_of(bed.block);
	assert_int_equal(r3_nvme_admin(nvme, &identify, &id, sizeof(id), NULL, &status), 0);
	assert_int_equal(status, 0);
	assert_memory_equal(&id, r3_nvme_id(nvme), sizeof(id));
	assert_memory_equal(id.mn, "ring3 stub  ", 12);
	assert_int_equal(r3_nvme_admin(nvme, &queues, NULL, 0, &result, NULL), 0);
	assert_int_equal(result, 0x70007);
	assert_int_equal(r3_nvme_admin(nvme, &unknown, NULL, 0, NULL, &status), -EIO);
	assert_int_equal(status, NVME_SC_INVALID_OPCODE);
	bed_close(&bed);
}

static void test_refusals(void **state)
{
	static const uint8_t ours[] = {NVME_ADMIN_CREATE_SQ, NVME_ADMIN_DELETE_SQ,
				       NVME_ADMIN_CREATE_CQ, NVME_ADMIN_DELETE_CQ,
				       NVME_ADMIN_ASYNC_EVENT};
	struct nvme_cmd cmd = {.opcode = NVME_ADMIN_SET_FEATURES,
			       .cdw10 = R3_LE32(NVME_FID_NUM_QUEUES)};
	struct r3_nvme *nvme;
	unsigned before;
	struct bed bed;

	bed_open(&bed, NULL);
	nvme = r3_nvme_of(bed.block);
	before = bed.stub->commands;
	assert_int_equal(r3_nvme_admin(nvme, &cmd, NULL, 0, NULL, NULL), -EPERM);
	cmd.cdw10 = R3_LE32(NVME_FID_ASYNC_EVENT); /* or nobody says that a namespace changed */
	assert_int_equal(r3_nvme_admin(nvme, &cmd, NULL, 0, NULL, NULL), -EPERM);
	for (unsigned i = 0; i < sizeof(ours); i++) {
		cmd.opcode = ours[i];
		assert_int_equal(r3_nvme_admin(nvme, &cmd, NULL, 0, NULL, NULL), -EPERM);
	}
	cmd = (struct nvme_cmd){.opcode = NVME_ADMIN_IDENTIFY};
	assert_int_equal(r3_nvme_admin(nvme, &cmd, bed.mem, 4095, NULL, NULL), -EINVAL);
	assert_int_equal(r3_nvme_admin(nvme, &cmd, bed.mem, 2 << 20, NULL, NULL), -EINVAL);
	assert_int_equal(r3_nvme_admin(nvme, &cmd, NULL, 4096, NULL, NULL), -EINVAL);
	cmd.opcode = NVME_ADMIN_ABORT; /* moves no data */
	assert_int_equal(r3_nvme_admin(nvme, &cmd, bed.mem, 4096, NULL, NULL), -EINVAL);
	assert_int_equal(bed.stub->commands, before);
	bed_close(&bed);
}

static void test_log_pages(void **state)
{
	struct nvme_smart_log smart;
	struct nvme_ns_list list;
	struct r3_nvme *nvme;
	struct bed bed;

	bed_open(&bed, NULL);
	nvme = r3_nvme_of(bed.block);
	bed.stub->critical_warning = NVME_SMART_TEMPERATURE;
	assert_int_equal(r3_nvme_log(nvme, NVME_LID_SMART, NVME_NSID_ALL, 0, &smart, sizeof(smart)),
			 0);
	assert_int_equal(smart.critical_warning, NVME_SMART_TEMPERATURE);
	memset(&list, 0x55, sizeof(list));
	assert_int_equal(r3_nvme_log(nvme, NVME_LID_CHANGED_NS, NVME_NSID_ALL, 4, &list, 4092), 0);
	assert_int_equal(list.ns[0], 0);
	assert_int_equal(list.ns[1023], 0x55555555);
	assert_int_equal(r3_nvme_log(nvme, NVME_LID_SMART, 0, 2, &smart, 512), -EINVAL);
	assert_int_equal(r3_nvme_log(nvme, NVME_LID_SMART, 0, 0, &smart, 0), -EINVAL);
	assert_int_equal(r3_nvme_log(nvme, 0x77, 0, 0, &smart, 512), -EIO);
	bed_close(&bed);
}

static bool silent(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	return cmd->opcode != NVME_ADMIN_IDENTIFY || cmd->cdw10 != 0x77;
}

/* A command without an answer costs a reset: until then its memory is the controller's. */
static void test_no_answer(void **state)
{
	const struct nvme_stub_hooks hooks = {.fetch = silent};
	struct nvme_cmd cmd = {.opcode = NVME_ADMIN_IDENTIFY, .cdw10 = R3_LE32(0x77)};
	struct bed bed;
	uint64_t began;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	began = bed.clock.now;
	assert_int_equal(r3_nvme_admin(r3_nvme_of(bed.block), &cmd, bed.mem, 4096, NULL, NULL),
			 -ETIMEDOUT);
	assert_true(bed.clock.now - began < 3 * BED_TIMEOUT);
	assert_int_equal(bed.stub->enables, 2);
	assert_int_equal(nvme_stub_held(bed.stub), 0);
	assert_int_equal(bed_pass(&bed, 1), 1u << R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

static void test_health(void **state)
{
	struct pollfd pfd = {.events = POLLIN};
	struct r3_block_event event;
	struct bed bed;

	bed_open(&bed, NULL);
	for (unsigned n = 1; n < 40; n++) { /* the request for events is made again */
		bed.stub->critical_warning = (uint8_t)n;
		nvme_stub_event(bed.stub, NVME_AER_SMART, 1, NVME_LID_SMART);
		bed.clock.now += BED_TIMEOUT;
		assert_int_equal(r3_block_dispatch(bed.block, &event, 1), 1);
		assert_int_equal(event.type, R3_BLOCK_EVENT_WARNING);
		assert_int_equal(event.detail, n);
	}
	/* Kept for later, when there is no room. */
	nvme_stub_event(bed.stub, NVME_AER_SMART, 1, NVME_LID_SMART);
	for (unsigned n = 0; n < 3; n++) /* the interrupts of reading the log, too */
		assert_int_equal(r3_block_dispatch(bed.block, NULL, 0), 0);
	pfd.fd = r3_block_fd(bed.block);
	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(r3_block_dispatch(bed.block, &event, 1), 1);
	assert_int_equal(r3_block_dispatch(bed.block, &event, 1), 0);
	/* Events that mean nothing to us. */
	nvme_stub_event(bed.stub, NVME_AER_VENDOR, 0xff, 0xc0);
	nvme_stub_event(bed.stub, NVME_AER_ERROR, 3, NVME_LID_ERROR);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT), 0);
	bed_close(&bed);
}

static unsigned namespace_changed(struct bed *bed)
{
	nvme_stub_event(bed->stub, NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED,
			NVME_LID_CHANGED_NS);
	return bed_pass(bed, 1);
}

static void test_geometry(void **state)
{
	struct r3_blk_req req, *list = &req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	assert_int_equal(namespace_changed(&bed), 0);
	bed.stub->ns[0].blocks /= 2;
	assert_int_equal(namespace_changed(&bed), 1u << R3_BLOCK_EVENT_GEOMETRY);
	assert_int_equal(r3_block_get_limits(bed.block)->size, 8 << 20);

	/* Another block size: requests would hit other bytes. */
	bed.stub->opts.lba_shift = 12;
	assert_int_equal(namespace_changed(&bed), 1u << R3_BLOCK_EVENT_GONE);
	sg = (struct r3_sg){bed.mem, 4096};
	req = (struct r3_blk_req){.op = R3_BLK_READ, .len = 4096, .sg = &sg, .nsg = 1};
	assert_int_equal(r3_blkq_submit(bed.queue, &list, 1), -ENODEV);
	bed_close(&bed);
}

/* A namespace that is detached, while a request of another one goes on. */
static void test_detached(void **state)
{
	const struct nvme_stub_opts opts = {.vectors = 4, .namespaces = 2};
	struct r3_block *second;
	struct bed bed;

	bed_open(&bed, &opts);
	assert_int_equal(r3_nvme_namespace(r3_nvme_of(bed.block), 2, &second), 0);
	bed.stub->ns[1].blocks = 0;
	assert_int_equal(namespace_changed(&bed), 0);

	struct r3_block_event event;
	struct r3_blkq *queue;

	assert_int_equal(r3_block_dispatch(second, &event, 1), 1);
	assert_int_equal(event.type, R3_BLOCK_EVENT_GONE);
	assert_int_equal(r3_blkq_open(second, NULL, &queue), -ENODEV);
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	r3_block_close(second);
	bed_close(&bed);
}

static bool change_namespace(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	if (cmd->opcode == NVME_ADMIN_FORMAT_NVM)
		stub->opts.lba_shift = 12;
	else if (cmd->opcode == NVME_ADMIN_NS_ATTACH)
		stub->ns[0].blocks /= 2;
	else
		return true;
	nvme_stub_complete(stub, sqid, cmd, 0, 0);
	return false;
}

/* What the caller does to namespaces by itself. The controller tells others of it. */
static void test_format(void **state)
{
	const struct nvme_stub_hooks hooks = {.fetch = change_namespace};
	struct nvme_cmd cmd = {.opcode = NVME_ADMIN_NS_ATTACH, .nsid = 1, .cdw10 = 1};
	struct r3_nvme *nvme;
	struct bed bed;

	bed_open(&bed, NULL);
	nvme = r3_nvme_of(bed.block);
	bed.stub->hooks = &hooks;
	assert_int_equal(r3_nvme_admin(nvme, &cmd, NULL, 0, NULL, NULL), 0);
	assert_int_equal(bed_pass(&bed, 1), 1u << R3_BLOCK_EVENT_GEOMETRY);
	cmd = (struct nvme_cmd){.opcode = NVME_ADMIN_FORMAT_NVM, .nsid = 1};
	assert_int_equal(r3_nvme_admin(nvme, &cmd, NULL, 0, NULL, NULL), -EBUSY);
	assert_int_equal(bed.stub->opts.lba_shift, 9);
	r3_blkq_close(bed.queue);
	assert_int_equal(r3_nvme_admin(nvme, &cmd, NULL, 0, NULL, NULL), 0);
	assert_int_equal(bed_pass(&bed, 1), 1u << R3_BLOCK_EVENT_GONE);
	assert_int_equal(r3_blkq_open(bed.block, NULL, &bed.queue), -ENODEV);
	r3_block_free(bed.block, bed.mem);
	r3_block_close(bed.block);
}

static bool refuse_events(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	const struct nvme_cqe cqe = {.cid = cmd->cid, .sf = NVME_SC_ASYNC_LIMIT << 1};

	if (sqid || cmd->opcode != NVME_ADMIN_ASYNC_EVENT)
		return true;
	nvme_stub_post(stub, 0, cqe);
	*(unsigned *)stub->user += 1;
	return false;
}

static void test_no_events(void **state)
{
	const struct nvme_stub_hooks hooks = {.fetch = refuse_events};
	unsigned refused = 0;
	struct bed bed;

	bed_make(&bed, NULL);
	bed.stub->hooks = &hooks;
	bed.stub->user = &refused;
	assert_int_equal(bed_attach(&bed, 0), 0);
	assert_int_equal(bed_pass(&bed, 10 * BED_TIMEOUT), 0);
	assert_int_equal(refused, 1);
	r3_block_close(bed.block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passthrough), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_log_pages),   cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_health),      cmocka_unit_test(test_geometry),
		cmocka_unit_test(test_detached),    cmocka_unit_test(test_no_events),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
