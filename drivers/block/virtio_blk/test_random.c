/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random requests on a device that at random loses them, lies about them, fails and is
 * resized. Each request ends once, in bounded time, and what was read is what the block
 * holds; where nobody lies the driver makes no mistake that the stub would find.
 */
#include "test_bed.h"

#define REQUESTS 24u
#define BLOCK    4096u
#define BLOCKS   64u
#define STEPS    1500

struct traffic {
	struct bed bed;
	uint64_t random;
	unsigned lies; /* one in so many buffers is lied about; 0: none */
	struct r3_blk_req req[REQUESTS];
	struct r3_sg sg[REQUESTS][3];
	unsigned char *foreign[REQUESTS]; /* memory that has to be bounced */
	bool flying[REQUESTS];
	unsigned nflying, good, bad;
	bool gone;
};

static struct traffic *traffic_of(struct virtio_stub *stub)
{
	return (struct traffic *)stub->user;
}

static unsigned draw(struct traffic *t, unsigned n)
{
	return test_random_below(&t->random, n);
}

static bool complete(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
		     struct virtio_stub_used *used)
{
	struct traffic *t = traffic_of(stub);

	if (!t->lies || draw(t, t->lies))
		return true;
	switch (draw(t, 7)) {
	case 0:
		used->id += draw(t, 4);
		break;
	case 1:
		used->id = (uint32_t)test_random(&t->random);
		break;
	case 2:
		used->len = draw(t, 2 * BLOCK);
		break;
	case 3:
		used->status =
			(uint8_t)(1 + draw(t, 255)); /* success where there is none: who can tell */
		break;
	case 4:
		used->jump = (uint16_t)draw(t, 65536);
		break;
	case 5:
		used->copies = 2;
		break;
	default:
		return false; /* lost */
	}
	return true;
}

/* Every block holds its number in each byte, or zeroes; reads go to memory of 0xff. */
static void check_data(struct traffic *t, const struct r3_blk_req *req)
{
	for (unsigned i = 0; i < req->nsg; i++) {
		const unsigned char *at = req->sg[i].addr;

		for (size_t j = 0; j < req->sg[i].len; j += 511)
			assert_true(!at[j] || at[j] == req->off / BLOCK + 1);
	}
	t->good++;
}

static void submit(struct traffic *t)
{
	unsigned i = draw(t, REQUESTS);
	struct r3_blk_req *req = &t->req[i];
	uint64_t block = draw(t, BLOCKS);
	unsigned char *mem;
	int rc;

	if (t->flying[i])
		return;
	mem = draw(t, 3) ? t->bed.mem + (size_t)i * BLOCK : t->foreign[i];
	*req = (struct r3_blk_req){
		.op = (uint8_t)draw(t, R3_BLK_NOPS), .off = block * BLOCK, .len = BLOCK, .err = 1};
	if (req->op == R3_BLK_DISCARD) /* what it leaves is not known */
		req->op = R3_BLK_READ;
	if (req->op == R3_BLK_WRITE || req->op == R3_BLK_WRITE_ZEROES)
		req->flags = draw(t, 2) ? R3_BLK_FUA : 0;
	if (req->op <= R3_BLK_WRITE) {
		size_t first = draw(t, 2) ? BLOCK : 512u * (1 + draw(t, 7));

		memset(mem, req->op == R3_BLK_READ ? 0xff : (int)block + 1, BLOCK);
		t->sg[i][0] = (struct r3_sg){mem, first};
		t->sg[i][1] = (struct r3_sg){mem + first, BLOCK - first};
		req->sg = t->sg[i];
		req->nsg = first < BLOCK ? 2 : 1;
	}
	rc = r3_blkq_submit(t->bed.queue, &req, 1);
	if (rc == 1) {
		t->flying[i] = true;
		t->nflying++;
	} else {
		t->gone |= rc == -ENODEV;
		assert_true(rc == -EAGAIN || rc == -ENODEV || rc == -EINVAL);
	}
}

static void reap(struct traffic *t)
{
	struct r3_blk_req *done[REQUESTS];
	int n = r3_blkq_reap(t->bed.queue, done, 1 + draw(t, REQUESTS));

	for (int i = 0; i < n; i++) {
		size_t index = (size_t)(done[i] - t->req);

		assert_true(index < REQUESTS && t->flying[index]);
		t->flying[index] = false;
		t->nflying--;
		assert_true(done[i]->err <= 0);
		if (done[i]->err)
			t->bad++;
		else
			check_data(t, done[i]);
	}
}

static void step(struct traffic *t)
{
	switch (draw(t, 60)) {
	case 0:
		virtio_stub_needs_reset(t->bed.virtio);
		break;
	case 1:
		virtio_stub_resize(t->bed.virtio, (8 + draw(t, BLOCKS - 7)) * (BLOCK / 512));
		break;
	case 2:
	case 3:
		(void)bed_pass(&t->bed, BED_TIMEOUT / 8);
		break;
	case 4:
		(void)r3_blkq_arm(t->bed.queue);
		break;
	default:
		if (draw(t, 3))
			submit(t);
		if (!draw(t, 3))
			(void)r3_blkq_kick(t->bed.queue);
		if (!draw(t, 3))
			reap(t);
	}
}

static void run(uint64_t features, uint64_t random, unsigned lies)
{
	const struct virtio_stub_hooks hooks = {.complete = complete};
	struct traffic t = {.random = random};

	bed_make(&t.bed, features);
	t.bed.virtio->user = &t;
	/* who is told that another one is done makes mistakes that are not his */
	t.bed.virtio->opts.strict = !lies;
	assert_int_equal(bed_attach(&t.bed), 0);
	bed_furnish(&t.bed);
	t.bed.virtio->hooks = &hooks;
	t.lies = lies;
	for (unsigned i = 0; i < REQUESTS; i++) {
		t.foreign[i] = malloc(BLOCK);
		assert_non_null(t.foreign[i]);
	}
	for (unsigned i = 0; i < STEPS && !t.gone; i++)
		step(&t);
	t.lies = 0;
	(void)r3_blkq_kick(t.bed.queue);
	for (unsigned i = 0; t.nflying; i++) {
		assert_true(i < 100);
		reap(&t);
		(void)bed_pass(&t.bed, BED_TIMEOUT / 4);
	}
	assert_true(t.good);
	if (!lies)
		assert_false(t.gone);
	bed_close(&t.bed);
	for (unsigned i = 0; i < REQUESTS; i++)
		free(t.foreign[i]);
}

static void test_random_traffic(void **state)
{
	const uint64_t features[] = {
		VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC), /* of all of these: without, or with it */
		VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX),
		VIRTIO_FEATURE(VIRTIO_F_IN_ORDER),
		VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE),
	};
	uint64_t random = test_seed();

	for (unsigned i = 0; i < 24; i++) {
		uint64_t other = i % 2 ? PACKED : 0;

		for (unsigned j = 0; j < sizeof(features) / sizeof(features[0]); j++)
			other |= test_random_below(&random, 2) ? features[j] : 0;
		run(other, test_random(&random), i < 4 ? 0 : 4 * i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
