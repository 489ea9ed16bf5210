/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that can go wrong, at random: commands that are kept, swallowed, failed,
 * answered twice or for nobody, aborts that do nothing, fatal errors, admin commands
 * without an answer. Every request completes exactly once, and what was written is there.
 */
#include "test_bed.h"

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
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_exactly_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
