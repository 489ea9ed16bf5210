/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes wrong while requests are in flight: in which order it is met, and that every
 * request completes exactly once, whatever happens.
 */
#include "test_bed.h"

#define AT_LEAST(events, type) assert_true((events)&1u << (type))

/* ---- one thing at a time ---- */

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

static void expect_reaped(struct bed *bed, struct r3_blk_req *req, int err)
{
	struct r3_blk_req *reqs[4];

	assert_int_equal(r3_blkq_reap(bed->queue, reqs, 4), 1);
	assert_ptr_equal(reqs[0], req);
	assert_int_equal(req->err, err);
	assert_int_equal(r3_blkq_inflight(bed->queue), 0);
}

/* Nothing is done about a request that is young, however late dispatch comes. */
static void test_patience(void **state)
{
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 2), 0);
	bed.clock.now += 100 * BED_TIMEOUT;
	assert_int_equal(r3_block_dispatch(bed.block, NULL, 0), 0);
	assert_int_equal(bed.stub->aborts, 0);
	nvme_stub_release(bed.stub, 0);
	expect_reaped(&bed, &req, 0);
	bed_close(&bed);
}

static void test_abort(void **state)
{
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	assert_int_equal(bed_pass(&bed, 2 * BED_TIMEOUT), 0);
	assert_int_equal(bed.stub->aborts, 1);
	assert_int_equal(bed.stub->enables, 1);
	expect_reaped(&bed, &req, -ETIMEDOUT);
	assert_int_equal(req.detail, NVME_SC_ABORT_REQ);
	bed.stub->hooks = NULL;
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

/* Aborts do not help: the controller is reset, and the request is done after all. */
static void test_reset_and_retry(void **state)
{
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;
	unsigned events;

	bed_open(&bed, NULL);
	memset(bed.mem, 0x42, 4096);
	bed.stub->hooks = &holding;
	bed.stub->ignore_abort = true;
	bed_start(&bed, &req, &sg, R3_BLK_WRITE, 0, 4096);
	assert_int_equal(bed_pass(&bed, 2 * BED_TIMEOUT), 0);
	assert_int_equal(bed.stub->aborts, 1);
	bed.stub->hooks = NULL; /* from the reset on all is well */
	events = bed_pass(&bed, 2 * BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed.stub->enables, 2);
	expect_reaped(&bed, &req, 0);
	assert_int_equal(bed.stub->ns[0].data[4095], 0x42);
	assert_int_equal(bed_do(&bed, R3_BLK_FLUSH, 0, NULL, 0), 0);
	bed_close(&bed);
}

/* A request that hangs each time is given up; the device is not. */
static void test_poison(void **state)
{
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed.stub->ignore_abort = true;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	bed_pass(&bed, 10 * BED_TIMEOUT);
	assert_int_equal(bed.stub->enables, 4);
	expect_reaped(&bed, &req, -ETIMEDOUT);
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
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;
	unsigned events;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	bed.stub->csts |= NVME_CSTS_CFS;
	bed.stub->hooks = NULL;
	events = bed_pass(&bed, BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed.stub->enables, 2);
	expect_reaped(&bed, &req, 0);
	bed_close(&bed);
}

static void expect_gone(struct bed *bed, struct r3_blk_req *req, unsigned events)
{
	struct r3_blk_req again, *list = &again;
	struct r3_sg sg = {bed->mem, 4096};

	AT_LEAST(events, R3_BLOCK_EVENT_GONE);
	expect_reaped(bed, req, -ENODEV);
	again = (struct r3_blk_req){.op = R3_BLK_READ, .len = 4096, .sg = &sg, .nsg = 1};
	assert_int_equal(r3_blkq_submit(bed->queue, &list, 1), -ENODEV);
	assert_int_equal(r3_blkq_kick(bed->queue), -ENODEV);
	/* It is told once. */
	assert_int_equal(bed_pass(bed, 5 * BED_TIMEOUT) & 1u << R3_BLOCK_EVENT_GONE, 0);
	assert_int_equal(r3_blkq_open(bed->block, NULL, &bed->queue), -ENODEV);
}

/* CSTS.CFS for good: the controller does not come back. */
static void test_fatal_for_good(void **state)
{
	const struct nvme_stub_hooks hooks = {.read = fatal, .fetch = hold_io};
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	bed.stub->hooks = &hooks;
	expect_gone(&bed, &req, bed_pass(&bed, BED_TIMEOUT));
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
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	/* The request fails before the device does. */
	unsigned events = bed_pass(&bed, 5 * BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_GONE);
	assert_true(bed.stub->enables < 8);
	expect_reaped(&bed, &req, -EIO);
	bed_close(&bed);
}

/* The controller answers nothing at all, admin commands neither. */
static void test_dead(void **state)
{
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &dead;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	expect_gone(&bed, &req, bed_pass(&bed, 5 * BED_TIMEOUT));
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
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;
	unsigned events;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	bed.stub->hooks = &hooks;
	events = bed_pass(&bed, 5 * BED_TIMEOUT);
	AT_LEAST(events, R3_BLOCK_EVENT_RESET);
	assert_int_equal(bed.stub->fake->resets, 1);
	expect_reaped(&bed, &req, 0);
	/* and interrupts are back */
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	bed_close(&bed);
}

static void test_removal(void **state)
{
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	fake_device_remove(bed.stub->fake);
	expect_gone(&bed, &req, bed_pass(&bed, R3_NSEC_PER_SEC / 10));
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
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	expect_gone(&bed, &req, bed_pass(&bed, R3_NSEC_PER_SEC));
	bed_close(&bed);
}

/* The namespace goes first, and then the device, with a request in flight. */
static void test_detached_and_removed(void **state)
{
	struct r3_blk_req req;
	struct r3_sg sg;
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &holding;
	bed_start(&bed, &req, &sg, R3_BLK_READ, 0, 4096);
	bed.stub->ns[0].blocks = 0;
	nvme_stub_event(bed.stub, NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED, NVME_LID_CHANGED_NS);
	AT_LEAST(bed_pass(&bed, 1), R3_BLOCK_EVENT_GONE);
	assert_int_equal(r3_blkq_inflight(bed.queue), 1);
	fake_device_remove(bed.stub->fake);
	assert_int_equal(bed_pass(&bed, BED_TIMEOUT), 0); /* it was told already */
	expect_reaped(&bed, &req, -ENODEV);
	bed_close(&bed);
}

/* Close with requests in flight, and a controller that does not delete queues. */
static bool refuse_deletion(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
			    struct nvme_cqe *cqe)
{
	if (!sqid && (cmd->opcode == NVME_ADMIN_DELETE_SQ || cmd->opcode == NVME_ADMIN_DELETE_CQ))
		cqe->sf = NVME_SC_INTERNAL << 1;
	return true;
}

static bool ignore_deletion(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	return !sqid && cmd->opcode != NVME_ADMIN_DELETE_SQ;
}

static void test_close_in_flight(void **state)
{
	static const struct nvme_stub_hooks hooks[] = {
		{.fetch = hold_io},
		{.fetch = hold_io, .complete = refuse_deletion},
		{.fetch = ignore_deletion},
		{.fetch = hold_all},
		{.fetch = hold_io, .read = fatal},
	};

	for (unsigned i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		struct r3_blk_req req[2], *reqs[2];
		struct r3_blkq *other;
		struct r3_sg sg[2];
		struct bed bed;
		int64_t left;

		bed_open(&bed, NULL);
		assert_int_equal(r3_blkq_open(bed.block, NULL, &other), 0);
		bed.stub->hooks = &hooks[i];
		bed_start(&bed, &req[0], &sg[0], R3_BLK_WRITE, 0, 4096);
		req[1] = (struct r3_blk_req){.op = R3_BLK_FLUSH};
		reqs[0] = &req[1];
		assert_int_equal(r3_blkq_submit(other, reqs, 1), 1); /* and no kick */
		left = (int64_t)bed.clock.now;
		r3_blkq_close(bed.queue);
		assert_int_equal(req[0].err, -ECANCELED);
		assert_true((int64_t)bed.clock.now - left < 20 * (int64_t)R3_NSEC_PER_SEC);
		r3_blkq_close(other);
		assert_int_equal(req[1].err, -ECANCELED);
		assert_int_equal(nvme_stub_held(bed.stub) &&
					 !r3_device_gone(&bed.stub->fake->base) &&
					 (bed.stub->cc & NVME_CC_EN) && bed.stub->sq[1].size,
				 0);
		r3_block_free(bed.block, bed.mem);
		r3_block_close(bed.block);
		assert_true(bed.remains.closed);
	}
}

/* ---- everything at random ---- */

#define SLOTS 24

struct chaos {
	struct bed bed;
	uint64_t random;
	bool calm;             /* no more faults */
	unsigned state[SLOTS]; /* 0 idle, 1 in flight */
	struct r3_blk_req req[SLOTS];
	struct r3_sg sg[SLOTS];
	uint8_t wrote[SLOTS]; /* pattern of the block on the medium */
	bool known[SLOTS];
	unsigned admins; /* commands since one was not answered */
	unsigned ok, failed, resets, lies;
};

static unsigned roll(struct chaos *chaos, unsigned n)
{
	return test_random_below(&chaos->random, n);
}

static bool chaos_fetch(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	struct chaos *chaos = stub->user;

	if (chaos->calm)
		return true;
	if (sqid)
		return roll(chaos, 4) != 0;
	/* One admin command in a few hundred, and never two in one recovery, which would
	 * be the end of the device. */
	if (cmd->opcode == NVME_ADMIN_ASYNC_EVENT || chaos->admins++ < 50 || roll(chaos, 100))
		return true;
	chaos->admins = 0;
	return false;
}

static bool chaos_complete(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
			   struct nvme_cqe *cqe)
{
	struct chaos *chaos = stub->user;

	if (chaos->calm || !sqid)
		return true;
	switch (roll(chaos, 60)) {
	case 0:
		cqe->sf = NVME_SC_INTERNAL << 1;
		break;
	case 1: /* twice */
		chaos->lies++;
		nvme_stub_post(stub, sqid, *cqe);
		break;
	case 2: /* for nobody */
		chaos->lies++;
		nvme_stub_post(stub, sqid, (struct nvme_cqe){.cid = (uint16_t)roll(chaos, 65536)});
		break;
	case 3: /* never */
		return false;
	}
	return true;
}

static void chaos_submit(struct chaos *chaos, unsigned i)
{
	static const uint8_t ops[] = {R3_BLK_READ, R3_BLK_WRITE, R3_BLK_WRITE, R3_BLK_FLUSH};
	struct r3_blk_req *req = &chaos->req[i];
	uint8_t op = ops[roll(chaos, sizeof(ops))];
	int rc;

	chaos->sg[i] = (struct r3_sg){chaos->bed.mem + i * 4096, 4096};
	*req = (struct r3_blk_req){.op = op,
				   .off = op == R3_BLK_FLUSH ? 0 : i * 4096u,
				   .len = op == R3_BLK_FLUSH ? 0 : 4096,
				   .sg = &chaos->sg[i],
				   .nsg = op == R3_BLK_FLUSH ? 0 : 1};
	memset(chaos->bed.mem + i * 4096, op == R3_BLK_WRITE ? (int)roll(chaos, 256) : 0xee, 4096);
	rc = r3_blkq_submit(chaos->bed.queue, &req, 1);
	assert_int_equal(rc, 1);
	chaos->state[i] = 1;
}

static void chaos_reap(struct chaos *chaos)
{
	struct r3_blk_req *reqs[SLOTS];
	int n = r3_blkq_reap(chaos->bed.queue, reqs, 1 + roll(chaos, SLOTS));

	while (n-- > 0) {
		unsigned i = (unsigned)(reqs[n] - chaos->req);
		const uint8_t *mem = chaos->bed.mem + i * 4096;

		assert_true(i < SLOTS);
		assert_int_equal(chaos->state[i], 1); /* once */
		chaos->state[i] = 0;
		*(reqs[n]->err ? &chaos->failed : &chaos->ok) += 1;
		if (reqs[n]->op == R3_BLK_WRITE) {
			chaos->known[i] = !reqs[n]->err;
			chaos->wrote[i] = mem[0];
		} else if (reqs[n]->op == R3_BLK_READ && !reqs[n]->err && chaos->known[i]) {
			assert_int_equal(mem[0], chaos->wrote[i]);
			assert_int_equal(mem[4095], chaos->wrote[i]);
		}
	}
}

static void chaos_dispatch(struct chaos *chaos)
{
	struct r3_block_event event[4];
	int n = r3_block_dispatch(chaos->bed.block, event, 4);

	while (n-- > 0) {
		assert_int_not_equal(event[n].type, R3_BLOCK_EVENT_GONE);
		chaos->resets += event[n].type == R3_BLOCK_EVENT_RESET;
	}
}

static void chaos_step(struct chaos *chaos)
{
	struct nvme_stub *stub = chaos->bed.stub;
	unsigned held = nvme_stub_held(stub);

	switch (roll(chaos, 8)) {
	case 0:
	case 1:
	case 2:
		for (unsigned i = roll(chaos, SLOTS); i < SLOTS; i++)
			if (!chaos->state[i])
				chaos_submit(chaos, i);
		if (roll(chaos, 8))
			assert_int_equal(r3_blkq_kick(chaos->bed.queue), 0);
		break;
	case 3:
		if (held)
			nvme_stub_release(stub, roll(chaos, held));
		break;
	case 4:
		chaos->bed.clock.now += roll(chaos, 4) * R3_NSEC_PER_SEC / 10;
		chaos_dispatch(chaos);
		break;
	case 5:
		stub->ignore_abort = roll(chaos, 2);
		if (!roll(chaos, 500))
			stub->csts |= NVME_CSTS_CFS;
		break;
	default:
		chaos_reap(chaos);
	}
}

static void test_exactly_once(void **state)
{
	const struct nvme_stub_hooks hooks = {.fetch = chaos_fetch, .complete = chaos_complete};
	struct chaos *chaos = calloc(1, sizeof(*chaos));
	struct nvme_stub *stub;

	assert_non_null(chaos);
	chaos->random = test_seed();
	bed_open(&chaos->bed, NULL);
	stub = chaos->bed.stub;
	stub->user = chaos;
	stub->hooks = &hooks;
	for (unsigned n = 0; n < 60000; n++)
		chaos_step(chaos);
	chaos->calm = true;
	assert_int_equal(r3_blkq_kick(chaos->bed.queue), 0);
	for (unsigned n = 0; n < 400 && r3_blkq_inflight(chaos->bed.queue); n++) {
		chaos->bed.clock.now += R3_NSEC_PER_SEC / 5;
		chaos_dispatch(chaos);
		chaos_reap(chaos);
	}
	assert_int_equal(r3_blkq_inflight(chaos->bed.queue), 0);
	for (unsigned i = 0; i < SLOTS; i++)
		assert_int_equal(chaos->state[i], 0);
	print_message("%u done, %u failed, %u resets, %u aborts, %u lies\n", chaos->ok,
		      chaos->failed, chaos->resets, stub->aborts, chaos->lies);
	assert_true(chaos->ok > 1000 && chaos->failed && chaos->resets && stub->aborts);
	assert_int_equal(stub->faults, 0);
	assert_int_equal(stub->mistakes, 0);
	bed_close(&chaos->bed);
	free(chaos);
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
		cmocka_unit_test(test_detached_and_removed),
		cmocka_unit_test(test_close_in_flight),
		cmocka_unit_test(test_exactly_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
