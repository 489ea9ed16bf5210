/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes wrong while a request is in flight, and in which order it is met. */
#include "nvme.h"
#include "test_bed.h"

#include <linux/pci_regs.h>
#include <ring3/irq.h>

#define AT_LEAST(events, type) assert_true((events)&1u << (type))

static bool hold_io(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	return !sqid;
}

static bool hold_all(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	return false;
}

static const struct nvme_stub_hooks holding = {.fetch = hold_io};
static const struct nvme_stub_hooks dead = {.fetch = hold_all};

/* A bed with a request that does not complete. */
static void hang(struct bed *bed, enum r3_blk_op op)
{
	bed_open(bed, NULL);
	memset(bed->mem, 0x42, 4096);
	bed->stub->hooks = &holding;
	bed_start(bed, op, 0, 4096);
}

/* Nothing is done about a request that is young, however late dispatch comes. */
static void test_patience(void **state)
{
	struct bed bed;

	hang(&bed, R3_BLK_READ);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 2), 0);
	bed.clock.now += 100 * BED_TIMEOUT;
	assert_int_equal(r3_block_dispatch(bed.block, NULL, 0), 0);
	assert_int_equal(bed.stub->aborts, 0);
	assert_int_equal(bed.stub->enables, 1);
	nvme_stub_release(bed.stub, 0);
	bed_reap(&bed, 0);
	bed_close(&bed);
}

static void test_abort(void **state)
{
	struct bed bed;

	hang(&bed, R3_BLK_READ);
	assert_int_equal(bed_pass(&bed, 2 * BED_TIMEOUT), 0);
	assert_int_equal(bed.stub->aborts, 1);
	assert_int_equal(bed.stub->enables, 1);
	bed_reap(&bed, -ETIMEDOUT);
	assert_int_equal(bed.req.detail, NVME_SC_ABORT_REQ);
	bed.stub->hooks = NULL;
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

/* Aborts do not help: the controller is reset, and the request is done after all. */
static void test_reset_and_retry(void **state)
{
	struct bed bed;
	unsigned events;

	hang(&bed, R3_BLK_WRITE);
	bed.stub->ignore_abort = true;
	assert_int_equal(bed_pass(&bed, 2 * BED_TIMEOUT), 0);
	assert_int_equal(bed.stub->aborts, 1);
	bed.stub->hooks = NULL; /* from the reset on all is well */
	events = bed_pass(&bed, 2 * BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed.stub->enables, 2);
	bed_reap(&bed, 0);
	assert_int_equal(bed.stub->ns[0].data[4095], 0x42);
	assert_int_equal(bed_do(&bed, R3_BLK_FLUSH, 0, NULL, 0), 0);
	bed_close(&bed);
}

/* A request that hangs each time is given up; the device is not. */
static void test_poison(void **state)
{
	struct bed bed;

	hang(&bed, R3_BLK_READ);
	bed.stub->ignore_abort = true;
	bed_pass(&bed, 10 * BED_TIMEOUT);
	assert_int_equal(bed.stub->enables, 4);
	bed_reap(&bed, -ETIMEDOUT);
	bed.stub->hooks = NULL;
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

static void fatal(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	if (off == NVME_REG_CSTS)
		*value |= NVME_CSTS_CFS;
}

/* CSTS.CFS once, with requests in flight. */
static void test_fatal_status(void **state)
{
	struct bed bed;
	unsigned events;

	hang(&bed, R3_BLK_READ);
	bed.stub->csts |= NVME_CSTS_CFS;
	bed.stub->hooks = NULL;
	events = bed_pass(&bed, BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed.stub->enables, 2);
	bed_reap(&bed, 0);
	bed_close(&bed);
}

static void expect_gone(struct bed *bed, unsigned events)
{
	struct r3_blk_req again, *list = &again;
	struct r3_sg sg = {bed->mem, 4096};

	AT_LEAST(events, R3_BLOCK_EVENT_GONE);
	bed_reap(bed, -ENODEV);
	again = (struct r3_blk_req){.op = R3_BLK_READ, .len = 4096, .sg = &sg, .nsg = 1};
	assert_int_equal(r3_blkq_submit(bed->queue, &list, 1), -ENODEV);
	assert_int_equal(r3_blkq_kick(bed->queue), -ENODEV);
	/* It is told once, and nobody is woken again. */
	assert_int_equal(r3_blkq_arm(bed->queue), 0);
	assert_int_equal(bed_pass(bed, 5 * BED_TIMEOUT) & 1u << R3_BLOCK_EVENT_GONE, 0);
	assert_false(bed_readable(bed));
	assert_int_equal(r3_blkq_open(bed->block, NULL, &bed->queue), -ENODEV);
}

/* CSTS.CFS for good: the controller does not come back. */
static void test_fatal_for_good(void **state)
{
	const struct nvme_stub_hooks hooks = {.read = fatal, .fetch = hold_io};
	struct bed bed;

	hang(&bed, R3_BLK_READ);
	bed.stub->hooks = &hooks;
	expect_gone(&bed, bed_pass(&bed, BED_TIMEOUT));
	assert_int_equal(bed.stub->fake->quiesces, 1);
	bed_close(&bed);
}

static void fatal_when_used(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	/* Well in reset and identify, then failed: for as long as anybody tries. */
	if (off == NVME_REG_CSTS && stub->event_armed && stub->cq[1].size)
		*value |= NVME_CSTS_CFS;
}

static void test_fails_after_each_reset(void **state)
{
	const struct nvme_stub_hooks hooks = {.read = fatal_when_used, .fetch = hold_io};
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	/* The request fails before the device does. */
	unsigned events = bed_pass(&bed, 5 * BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_GONE);
	assert_true(bed.stub->enables < 8);
	bed_reap(&bed, -EIO);
	bed_close(&bed);
}

/* The controller answers nothing at all, admin commands neither. */
static void test_dead(void **state)
{
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &dead;
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	expect_gone(&bed, bed_pass(&bed, 5 * BED_TIMEOUT));
	bed_close(&bed);
}

static void stuck(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	/* It stays ready until the device is reset from outside. */
	if (off == NVME_REG_CSTS && !stub->fake->resets)
		*value |= NVME_CSTS_RDY | NVME_CSTS_CFS;
}

static void test_device_reset(void **state)
{
	const struct nvme_stub_hooks hooks = {.read = stuck};
	struct bed bed;
	unsigned events;

	hang(&bed, R3_BLK_READ);
	bed.stub->hooks = &hooks;
	events = bed_pass(&bed, 5 * BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed.stub->fake->resets, 1);
	bed_reap(&bed, 0);
	/* and interrupts are back */
	bed.stub->hooks = NULL;
	assert_int_equal(r3_blkq_arm(bed.queue), 0);
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	assert_true(bed_readable(&bed));
	bed_reap(&bed, 0);
	bed_close(&bed);
}

static void test_removal(void **state)
{
	struct pollfd shared = {.events = POLLIN};
	struct bed bed;

	hang(&bed, R3_BLK_READ);
	fake_device_raise(bed.stub->fake, R3_IRQ_MSIX, 0);
	shared.fd = bed.stub->fake->vector[0].fd;
	fake_device_remove(bed.stub->fake);
	expect_gone(&bed, bed_pass(&bed, R3_NSEC_PER_SEC / 10));
	assert_int_equal(poll(&shared, 1, 0), 0); /* its last interrupt wakes nobody for ever */
	assert_int_equal(bed.stub->fake->quiesces, 0);
	bed_close(&bed);
}

static void all_ones(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	*value = UINT64_MAX;
}

/* Removed, and nobody says so: the registers do. */
static void test_silent_removal(void **state)
{
	const struct nvme_stub_hooks hooks = {.read = all_ones, .fetch = hold_all};
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	expect_gone(&bed, bed_pass(&bed, R3_NSEC_PER_SEC));
	bed_close(&bed);
}

static unsigned entered;

/* What a queue's thread would find, were it to come in the middle of a reset. */
static void come_in(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data)
{
	struct bed *bed = stub->user;
	struct r3_blk_req flush = {.op = R3_BLK_FLUSH}, *reqs[2] = {&flush};

	if (cns != NVME_CNS_CTRL) /* the look at the namespaces comes later */
		return;
	assert_int_equal(r3_blkq_submit(bed->queue, reqs, 1), -EAGAIN);
	assert_int_equal(r3_blkq_kick(bed->queue), 0);
	assert_int_equal(r3_blkq_reap(bed->queue, reqs, 2), 0);
	assert_int_equal(r3_blkq_arm(bed->queue), 0);
	entered++;
}

static void test_closed_gate(void **state)
{
	const struct nvme_stub_hooks hooks = {.identify = come_in};
	struct r3_blk_req flush = {.op = R3_BLK_FLUSH}, *reqs[3] = {&flush};
	struct bed bed;

	hang(&bed, R3_BLK_READ);
	bed.stub->hooks = NULL;
	assert_int_equal(r3_blkq_submit(bed.queue, reqs, 1), 1);
	assert_int_equal(r3_blkq_kick(bed.queue), 0); /* it completes, and the other does not */
	bed.stub->user = &bed;
	bed.stub->hooks = &hooks;
	entered = 0;
	bed.stub->csts |= NVME_CSTS_CFS;
	AT_LEAST(bed_pass(&bed, BED_TIMEOUT), R3_BLOCK_EVENT_RESET);
	assert_true(entered > 0);
	assert_true(bed_readable(&bed)); /* it was told that there is room again */
	assert_int_equal(r3_blkq_reap(bed.queue, reqs, 3), 2);
	assert_ptr_equal(reqs[0], &flush);
	assert_int_equal(flush.err | bed.req.err, 0);
	bed_close(&bed);
}

static bool fail_once(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
		      struct nvme_cqe *cqe)
{
	if (sqid)
		cqe->sf = NVME_SC_READ_ERROR << 1;
	return true;
}

/* A reset forgets the event that would have told of a change, and the first look at the
 * namespace gets no answer. */
static bool lose_one(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	bool look = !sqid && cmd->opcode == NVME_ADMIN_IDENTIFY && cmd->cdw10 == NVME_CNS_NS;

	return !look || stub->user || !(stub->user = stub);
}

static void test_changed_meanwhile(void **state)
{
	const struct nvme_stub_hooks hooks = {.fetch = lose_one};
	unsigned events;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	bed.stub->ns[0].blocks /= 2;
	bed.stub->csts |= NVME_CSTS_CFS;
	events = bed_pass(&bed, 2 * BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_RESET);
	AT_LEAST(events, R3_BLOCK_EVENT_GEOMETRY);
	assert_int_equal(events & 1u << R3_BLOCK_EVENT_GONE, 0);
	assert_int_equal(bed.stub->enables, 3);
	assert_int_equal(r3_block_get_limits(bed.block)->size, 8 << 20);
	bed_close(&bed);
}

/* What has completed, and nobody reaped it yet, is neither done again nor lost. */
static void test_completed_before(void **state)
{
	const struct nvme_stub_hooks failing = {.complete = fail_once};
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &failing;
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	bed.stub->hooks = NULL;
	bed.stub->csts |= NVME_CSTS_CFS;
	AT_LEAST(bed_pass(&bed, BED_TIMEOUT), R3_BLOCK_EVENT_RESET);
	bed_reap(&bed, -EIO);
	assert_int_equal(bed.req.detail, NVME_SC_READ_ERROR);

	bed_start(&bed, R3_BLK_READ, 0, 4096);
	fake_device_remove(bed.stub->fake);
	AT_LEAST(bed_pass(&bed, 1), R3_BLOCK_EVENT_GONE);
	bed_reap(&bed, 0);
	bed_close(&bed);
}

/* The namespace goes first, and then the device, with a request in flight. */
static void test_detached_and_removed(void **state)
{
	struct bed bed;

	hang(&bed, R3_BLK_READ);
	bed.stub->ns[0].blocks = 0;
	nvme_stub_event(bed.stub, NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED, NVME_LID_CHANGED_NS);
	AT_LEAST(bed_pass(&bed, 1), R3_BLOCK_EVENT_GONE);
	assert_int_equal(r3_blkq_inflight(bed.queue), 1);
	fake_device_remove(bed.stub->fake);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT), 0); /* it was told already */
	bed_reap(&bed, -ENODEV);
	bed_close(&bed);
}

static bool enabled;

static void failed(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	fatal(stub, off, value);
	enabled = stub->cc & NVME_CC_EN;
}

static void failed_and_stuck(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	if (off == NVME_REG_CSTS)
		*value |= NVME_CSTS_RDY | NVME_CSTS_CFS;
}

static void test_close_when_failed(void **state)
{
	const struct nvme_stub_hooks hooks = {.read = failed};
	struct bed bed;

	bed_make(&bed, NULL);
	assert_int_equal(bed_attach(&bed, 0), 0);
	bed.stub->hooks = &hooks;
	r3_block_close(bed.block);
	assert_true(bed.remains.closed);
	assert_false(enabled);
}

static const struct nvme_stub_hooks stuck_for_good = {.read = failed_and_stuck};

static void empty_and_fail(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data)
{
	if (cns != NVME_CNS_NS_ACTIVE_LIST)
		return;
	memset(data, 0, sizeof(struct nvme_ns_list));
	stub->hooks = &stuck_for_good;
}

/* Not attached, and the device goes back: it must not reach what was freed. */
static void test_fail_when_attaching(void **state)
{
	const struct nvme_stub_hooks hooks = {.identify = empty_and_fail};
	const struct r3_block_opts opts = {.size = sizeof(opts)};
	struct r3_device *dev;
	struct bed bed;

	bed_make(&bed, NULL);
	dev = nvme_stub_device(bed.stub);
	bed.stub->hooks = &hooks;
	assert_true(r3_driver_nvme.attach_block(dev, &opts, &bed.block) < 0);
	assert_false(bed.stub->fake->config[PCI_COMMAND] & PCI_COMMAND_MASTER);
	r3_device_close(dev);
}

static bool ignore_creation(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	return sqid || cmd->opcode != NVME_ADMIN_CREATE_CQ;
}

/* The controller may make the queue yet, and it cannot be reset, because another queue's
 * thread does not leave the driver. */
static void test_open_without_answer(void **state)
{
	const struct nvme_stub_hooks hooks = {.fetch = ignore_creation};
	struct r3_blkq *other;
	struct r3_gate *gate;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	gate = &((struct r3_hwq *)bed.queue)->gate;
	assert_true(r3_gate_enter(gate));
	assert_true(r3_blkq_open(bed.block, NULL, &other) < 0);
	assert_false(bed.stub->fake->config[PCI_COMMAND] & PCI_COMMAND_MASTER);
	r3_gate_leave(gate);
	AT_LEAST(bed_pass(&bed, 1), R3_BLOCK_EVENT_GONE);
	bed_close(&bed);
}

/* Close with requests in flight, and a controller that does not delete queues. */
static bool is_deletion(uint16_t sqid, const struct nvme_cmd *cmd)
{
	return !sqid &&
	       (cmd->opcode == NVME_ADMIN_DELETE_SQ || cmd->opcode == NVME_ADMIN_DELETE_CQ);
}

static bool refuse_deletion(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	if (is_deletion(sqid, cmd))
		nvme_stub_post(stub, 0,
			       (struct nvme_cqe){.cid = cmd->cid, .sf = NVME_SC_INTERNAL << 1});
	return !sqid && !is_deletion(sqid, cmd);
}

static bool ignore_deletion(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	return !sqid && !is_deletion(sqid, cmd);
}

static void test_close_in_flight(void **state)
{
	static const struct nvme_stub_hooks hooks[] = {
		{.fetch = hold_io},  {.fetch = refuse_deletion},        {.fetch = ignore_deletion},
		{.fetch = hold_all}, {.fetch = hold_io, .read = fatal},
	};

	for (unsigned i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		struct r3_blk_req flush = {.op = R3_BLK_FLUSH}, *reqs = &flush;
		struct r3_blkq *other;
		struct bed bed;
		int64_t left;

		bed_open(&bed, NULL);
		assert_int_equal(r3_blkq_open(bed.block, NULL, &other), 0);
		bed.stub->hooks = &hooks[i];
		bed_start(&bed, R3_BLK_WRITE, 0, 4096);
		assert_int_equal(r3_blkq_submit(other, &reqs, 1), 1); /* and no kick */
		left = (int64_t)bed.clock.now;
		r3_blkq_close(bed.queue);
		assert_int_equal(bed.req.err, -ECANCELED);
		assert_true((int64_t)bed.clock.now - left < 20 * (int64_t)R3_NSEC_PER_SEC);
		r3_blkq_close(other);
		assert_int_equal(flush.err, -ECANCELED);
		/* The controller has forgotten the queue, or cannot reach memory. */
		assert_false(bed.stub->sq[1].size &&
			     bed.stub->fake->config[PCI_COMMAND] & PCI_COMMAND_MASTER);
		r3_block_free(bed.block, bed.mem);
		r3_block_close(bed.block);
		assert_true(bed.remains.closed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_reset_and_retry),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_fatal_status),
		cmocka_unit_test(test_fatal_for_good),
		cmocka_unit_test(test_fails_after_each_reset),
		cmocka_unit_test(test_dead),
		cmocka_unit_test(test_device_reset),
		cmocka_unit_test(test_removal),
		cmocka_unit_test(test_silent_removal),
		cmocka_unit_test(test_closed_gate),
		cmocka_unit_test(test_changed_meanwhile),
		cmocka_unit_test(test_completed_before),
		cmocka_unit_test(test_detached_and_removed),
		cmocka_unit_test(test_close_in_flight),
		cmocka_unit_test(test_close_when_failed),
		cmocka_unit_test(test_open_without_answer),
		cmocka_unit_test(test_fail_when_attaching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
