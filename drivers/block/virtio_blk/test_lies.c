/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that contradict themselves or lie: each is refused with a reason, or survived,
 * in bounded time.
 */
#include "test_bed.h"

#include <ring3/error.h>

/* ---- configuration ---- */

static struct {
	uint64_t off, value;
	unsigned width;
} lie;

static void config_lie(struct virtio_stub *stub, uint64_t off, unsigned width, uint64_t *value)
{
	uint64_t at = off - VIRTIO_STUB_DEVICE;

	if (at - lie.off < lie.width)
		*value = lie.value >> 8 * (at - lie.off);
	if (width < 8)
		*value &= (UINT64_C(1) << 8 * width) - 1;
}

#define FIELD(name) VIRTIO_BLK_CONFIG(name), sizeof(((struct virtio_blk_config *)0)->name)

static void test_config(void **state)
{
	static const struct {
		uint64_t off;
		size_t width;
		uint64_t value;
		int rc;
	} lies[] = {
		{FIELD(capacity), 2048, 0},
		{FIELD(capacity), 0, -EIO},
		{FIELD(capacity), UINT64_MAX, -EIO},
		{FIELD(capacity), UINT64_C(1) << 55, -EIO},
		{FIELD(blk_size), 65536, 0},
		{FIELD(blk_size), 131072, -EIO},
		{FIELD(blk_size), 0, -EIO},
		{FIELD(blk_size), 256, -EIO},
		{FIELD(blk_size), 1000, -EIO},
		{FIELD(blk_size), UINT32_MAX, -EIO},
		{FIELD(size_max), 0, -EIO},
		{FIELD(size_max), 4, -EIO}, /* 125 of these, which is all we ask for */
		{FIELD(size_max), 1000, 0},
		{FIELD(seg_max), 1, 0},
		{FIELD(seg_max), UINT32_MAX, 0},
		{FIELD(seg_max), 0, -EIO},
		{FIELD(topology.physical_block_exp), 31, 0},
		{FIELD(topology.physical_block_exp), 200, -EIO},
		{FIELD(writeback), 2, -EIO},
		{FIELD(num_queues), 1, 0},
		{FIELD(num_queues), 0, -EIO},
		{FIELD(num_queues), UINT16_MAX, -EIO},
		{FIELD(max_discard_sectors), 0, 0},
		{FIELD(max_write_zeroes_seg), 0, 0},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct virtio_stub_hooks hooks = {.read = config_lie};
		struct bed bed;

		bed_make(&bed, VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX));
		lie.off = lies[i].off;
		lie.width = (unsigned)lies[i].width;
		lie.value = lies[i].value;
		bed.virtio->hooks = &hooks;
		print_message("0x%llx at %llu: ", (unsigned long long)lie.value,
			      (unsigned long long)lie.off);
		assert_int_equal(bed_attach(&bed), lies[i].rc);
		print_message("%s\n", lies[i].rc ? r3_error_text() : "taken");
		if (lies[i].rc == 0)
			r3_block_close(bed.block);
		assert_true(bed.remains.closed);
		assert_int_equal(bed.remains.irqs, 0);
	}
}

/* ---- rings ---- */

static struct {
	void (*tell)(const struct virtio_stub_buf *buf, struct virtio_stub_used *used);
	unsigned times;
} ring_lie;

static bool complete(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
		     struct virtio_stub_used *used)
{
	if (ring_lie.times) {
		ring_lie.times--;
		ring_lie.tell(buf, used);
	}
	return true;
}

static void wrong_id(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->id = 0x7777;
}

static void too_long(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->len += 4096;
}

static void jump(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->jump = 1000;
}

static void too_short(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->len = 1;
}

static void no_status(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->status = 0xff;
}

static void unsupported(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->status = VIRTIO_BLK_S_UNSUPP;
}

static void failed(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->status = VIRTIO_BLK_S_IOERR;
}

/* What breaks the ring costs a reset, after which the request succeeds. */
static void test_broken_ring(void **state)
{
	const struct virtio_stub_hooks hooks = {.complete = complete};
	static const struct {
		uint64_t features;
		void (*tell)(const struct virtio_stub_buf *buf, struct virtio_stub_used *used);
	} lies[] = {{0, wrong_id},      {0, too_long},  {0, jump},
		    {PACKED, wrong_id}, {0, no_status}, {PACKED, no_status}};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct bed bed;
		unsigned starts;

		bed_open(&bed, lies[i].features);
		starts = bed.virtio->driver_oks;
		bed.virtio->hooks = &hooks;
		ring_lie.tell = lies[i].tell;
		ring_lie.times = 1;
		memset(bed.mem, 0x5a, 8192);
		bed_start(&bed, R3_BLK_WRITE, 4096, 4096);
		assert_int_equal(r3_blkq_reap(bed.queue, (struct r3_blk_req *[1]){NULL}, 1), 0);
		assert_int_equal(r3_blkq_arm(bed.queue), 0); /* nobody spins on it */
		assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 4), 1u << R3_BLOCK_EVENT_RESET);
		assert_int_equal(bed.virtio->driver_oks, starts + 1);
		bed_reap(&bed, 0);
		assert_int_equal(bed.virtio->data[4096], 0x5a);
		bed_close(&bed);
	}
}

static uint16_t kept; /* the id of the buffer that the device keeps */

static bool keep_reads(struct virtio_stub *stub, const struct virtio_stub_buf *buf)
{
	bool read = buf->nout < buf->nseg - 1;

	if (read)
		kept = buf->id;
	return !read;
}

static void another(const struct virtio_stub_buf *buf, struct virtio_stub_used *used)
{
	used->id = kept;
}

/* A device that takes one request for another writes into the memory of the other one when
 * that was given back: so it must not be given back before a reset. */
static void test_mistaken(void **state)
{
	const struct virtio_stub_hooks hooks = {.fetch = keep_reads, .complete = complete};

	for (unsigned packed = 0; packed < 2; packed++) {
		struct r3_blk_req write, *reqs[2];
		struct r3_sg sg;
		struct bed bed;

		bed_open(&bed, packed ? PACKED : 0);
		bed.virtio->opts.strict = false; /* an id that it gave back is not in flight */
		bed.virtio->hooks = &hooks;
		ring_lie.tell = another;
		ring_lie.times = 1;
		bed_start(&bed, R3_BLK_READ, 0, 4096);
		assert_int_equal(virtio_stub_held(bed.virtio), 1);
		sg = (struct r3_sg){bed.mem + 8192, 4096};
		write = (struct r3_blk_req){
			.op = R3_BLK_WRITE, .off = 8192, .len = 4096, .sg = &sg, .nsg = 1};
		reqs[0] = &write;
		assert_int_equal(r3_blkq_submit(bed.queue, reqs, 1), 1);
		assert_int_equal(r3_blkq_kick(bed.queue), 0);
		assert_int_equal(r3_blkq_reap(bed.queue, reqs, 2), 0);
		bed.virtio->hooks = NULL;
		assert_int_equal(bed_pass(&bed, BED_TIMEOUT / 4), 1u << R3_BLOCK_EVENT_RESET);
		assert_int_equal(r3_blkq_reap(bed.queue, reqs, 2), 2);
		assert_int_equal(reqs[0]->err, 0);
		assert_int_equal(reqs[1]->err, 0);
		bed_close(&bed);
	}
}

/* What a request is told is its own. */
static void test_status(void **state)
{
	const struct virtio_stub_hooks hooks = {.complete = complete};
	static const struct {
		void (*tell)(const struct virtio_stub_buf *buf, struct virtio_stub_used *used);
		enum r3_blk_op op;
		int err;
		uint32_t detail;
	} lies[] = {
		{too_short, R3_BLK_READ, -EIO, VIRTIO_BLK_S_OK},
		{unsupported, R3_BLK_READ, -EOPNOTSUPP, VIRTIO_BLK_S_UNSUPP},
		{failed, R3_BLK_WRITE, -EIO, VIRTIO_BLK_S_IOERR},
	};

	for (unsigned packed = 0; packed < 2; packed++) {
		struct bed bed;

		bed_open(&bed, packed ? PACKED : 0);
		bed.virtio->hooks = &hooks;
		for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
			ring_lie.tell = lies[i].tell;
			ring_lie.times = 1;
			bed_start(&bed, lies[i].op, 0, 512);
			bed_reap(&bed, lies[i].err);
			assert_int_equal(bed.req.detail, lies[i].detail);
		}
		assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
		bed_close(&bed);
	}
}

/* One that lies each time is given up. */
static void test_notorious(void **state)
{
	const struct virtio_stub_hooks hooks = {.complete = complete};
	struct bed bed;

	bed_open(&bed, 0);
	bed.virtio->hooks = &hooks;
	ring_lie.tell = wrong_id;
	ring_lie.times = UINT32_MAX;
	bed_start(&bed, R3_BLK_READ, 0, 4096);
	for (unsigned i = 0; i < 100; i++) {
		struct r3_blk_req *req;

		(void)bed_pass(&bed, BED_TIMEOUT / 8);
		if (r3_blkq_reap(bed.queue, &req, 1) == 1)
			break;
	}
	assert_int_equal(bed.req.err, -EIO);
	assert_int_equal(r3_blkq_inflight(bed.queue), 0);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),    cmocka_unit_test(test_broken_ring),
		cmocka_unit_test(test_mistaken),  cmocka_unit_test(test_status),
		cmocka_unit_test(test_notorious),
	};

	return cmocka_run_group_tests_name("virtio_blk_lies", tests, NULL, NULL);
}
