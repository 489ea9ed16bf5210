/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver makes of a namespace, and of requests. */
#include "test_bed.h"

#include <sys/eventfd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_limits(void **state)
{
	const struct nvme_stub_opts opts = {.vectors = 4, .lba_shift = 12, .mdts = 3, .mqes = 63};
	const struct r3_block_limits *limits;
	struct bed bed;

	bed_open(&bed, &opts);
	limits = r3_block_get_limits(bed.block);
	assert_int_equal(limits->size, 16 << 20);
	assert_int_equal(limits->block_size, 4096);
	assert_int_equal(limits->physical_block_size, 4096);
	assert_int_equal(limits->max_len, 8 * 4096);
	assert_int_equal(limits->max_zeroes_len, 65536ull << 12);
	assert_int_equal(limits->max_discard_len, UINT64_C(0xffffffff) << 12);
	assert_int_equal(limits->max_queues, 8);
	assert_int_equal(limits->max_depth, 63);
	assert_int_equal(limits->features, R3_BLOCK_VOLATILE_CACHE | R3_BLOCK_FUA |
						   R3_BLOCK_DISCARD | R3_BLOCK_WRITE_ZEROES);
	assert_string_equal(r3_block_name(bed.block), "nvme fake ns 1");
	assert_ptr_equal(r3_block_device(bed.block), nvme_stub_device(bed.stub));
	bed_close(&bed);
}

static uint16_t oncs;
static uint8_t vwc, nsattr;

static void plain(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data)
{
	struct nvme_id_ctrl *ctrl = data;
	struct nvme_id_ns *ns = data;

	if (cns == NVME_CNS_CTRL) {
		ctrl->oncs = R3_LE16(oncs);
		ctrl->vwc = vwc;
	} else if (cns == NVME_CNS_NS) {
		ns->nsattr = nsattr;
		ns->nsfeat = NVME_NSFEAT_OPTPERF;
		ns->npwg = R3_LE16(7);
	}
}

static void test_features(void **state)
{
	const struct nvme_stub_hooks hooks = {.identify = plain};
	const struct r3_block_opts read_only = {.size = sizeof(read_only), .read_only = true};
	const struct r3_block_limits *limits;
	struct r3_device *dev;
	struct bed bed;

	oncs = vwc = nsattr = 0;
	bed_make(&bed, NULL);
	bed.stub->hooks = &hooks;
	assert_int_equal(bed_attach(&bed, 0), 0);
	limits = r3_block_get_limits(bed.block);
	assert_int_equal(limits->features, R3_BLOCK_FUA);
	assert_int_equal(limits->max_zeroes_len, 0);
	assert_int_equal(limits->max_discard_len, 0);
	assert_int_equal(limits->physical_block_size, 4096);
	r3_block_close(bed.block);

	nsattr = NVME_NSATTR_WRITE_PROTECTED;
	bed_make(&bed, NULL);
	bed.stub->hooks = &hooks;
	dev = nvme_stub_device(bed.stub);
	assert_int_equal(r3_driver_nvme.attach_block(dev, &read_only, &bed.block), 0);
	assert_int_equal(r3_block_get_limits(bed.block)->features,
			 R3_BLOCK_FUA | R3_BLOCK_READ_ONLY);
	r3_block_close(bed.block);
}

static uint8_t wzsl;
static uint32_t dmrsl;
static uint64_t dmsl;

static void bounded(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data)
{
	struct nvme_id_ctrl_nvm *nvm = data;

	if (cns != NVME_CNS_CSI_CTRL)
		return;
	nvm->wzsl = wzsl;
	nvm->dmrsl = R3_LE32(dmrsl);
	nvm->dmsl = R3_LE64(dmsl);
}

/* Limits of commands without data, which a controller reports since 2.0. */
static void test_command_limits(void **state)
{
	static const struct {
		uint8_t wzsl;
		uint32_t dmrsl;
		uint64_t dmsl, zeroes, discard;
	} table[] = {
		{0, 0, 0, 65536 * 512, UINT64_C(0xffffffff) * 512},
		{4, 100, 0, 65536, 51200},
		{255, 100, 7, 65536 * 512, 3584},
		{20, 7, UINT64_MAX, 65536 * 512, 3584},
	};
	const struct nvme_stub_hooks hooks = {.identify = bounded};

	for (unsigned i = 0; i < COUNT(table); i++) {
		const struct r3_block_limits *limits;
		struct bed bed;

		wzsl = table[i].wzsl;
		dmrsl = table[i].dmrsl;
		dmsl = table[i].dmsl;
		bed_make(&bed, NULL);
		bed.stub->hooks = &hooks;
		bed.stub->cap |= (uint64_t)NVME_CAP_CSS_CSI << 37;
		assert_int_equal(bed_attach(&bed, 0), 0);
		limits = r3_block_get_limits(bed.block);
		assert_int_equal(limits->max_zeroes_len, table[i].zeroes);
		assert_int_equal(limits->max_discard_len, table[i].discard);
		r3_block_close(bed.block);
	}
}

static void test_operations(void **state)
{
	struct bed bed;
	uint8_t *medium;

	bed_open(&bed, NULL);
	medium = bed.stub->ns[0].data;
	memset(bed.mem, 0x11, 8192);
	assert_int_equal(bed_do(&bed, R3_BLK_WRITE, 512, bed.mem, 8192), 0);
	assert_int_equal(medium[511], 0);
	assert_int_equal(medium[512], 0x11);
	assert_int_equal(medium[512 + 8191], 0x11);
	assert_int_equal(medium[512 + 8192], 0);
	assert_int_equal(bed_do(&bed, R3_BLK_WRITE_ZEROES, 1024, NULL, 512), 0);
	assert_int_equal(medium[1023], 0x11);
	assert_int_equal(medium[1024], 0);
	assert_int_equal(medium[1536], 0x11);
	assert_int_equal(bed_do(&bed, R3_BLK_DISCARD, 2048, NULL, 1024), 0);
	assert_int_equal(bed.stub->deallocated, 2);
	assert_int_equal(bed_do(&bed, R3_BLK_FLUSH, 4096, NULL, 512), 0); /* both mean nothing */
	assert_int_equal(bed.stub->flushes, 1);
	assert_int_equal(bed.stub->fua, 0);
	assert_int_equal(
		r3_blkq_do(bed.queue, R3_BLK_WRITE, R3_BLK_FUA, 0, bed.mem, 512, R3_NSEC_PER_SEC),
		0);
	assert_int_equal(bed.stub->fua, 1);
	assert_int_equal(bed.stub->deac, 0);
	assert_int_equal(r3_blkq_do(bed.queue, R3_BLK_WRITE_ZEROES, R3_BLK_MAY_UNMAP, 0, NULL, 512,
				    R3_NSEC_PER_SEC),
			 0);
	assert_int_equal(bed.stub->deac, 1);
	bed_close(&bed);
	assert_int_equal(bed.remains.maps, 0);
}

/* Every shape that one piece can have: one page, two, a list. */
static void test_shapes(void **state)
{
	static const unsigned offsets[] = {0, 4, 512, 3584, 4092};
	struct bed bed;
	uint8_t *medium;

	bed_open(&bed, NULL);
	medium = bed.stub->ns[0].data;
	for (unsigned i = 0; i < 32768; i++)
		medium[i] = (uint8_t)(i % 251);
	for (unsigned i = 0; i < COUNT(offsets); i++) {
		for (unsigned len = 512; len <= 20480; len += 512) {
			uint8_t *mem = bed.mem + offsets[i];

			memset(bed.mem, 0, 32768);
			assert_int_equal(bed_do(&bed, R3_BLK_READ, 512, mem, len), 0);
			assert_memory_equal(mem, medium + 512, len);
			assert_int_equal(mem[len], 0);
			assert_int_equal(bed_do(&bed, R3_BLK_WRITE, 65536, mem, len), 0);
			assert_memory_equal(mem, medium + 65536, len);
		}
	}
	bed_close(&bed);
}

/* One doorbell for all that is submitted, one for all that is reaped. */
static void test_doorbells(void **state)
{
	struct r3_blk_req req[32], *reqs[32];
	struct r3_sg sg[32];
	struct bed bed;
	unsigned before;

	bed_open(&bed, NULL);
	for (unsigned i = 0; i < 32; i++) {
		sg[i] = (struct r3_sg){bed.mem + i * 4096, 4096};
		req[i] =
			(struct r3_blk_req){.op = R3_BLK_READ, .len = 4096, .sg = &sg[i], .nsg = 1};
		reqs[i] = &req[i];
	}
	before = bed.stub->doorbells;
	assert_int_equal(r3_blkq_submit(bed.queue, reqs, 32), 32);
	assert_int_equal(bed.stub->doorbells, before);
	assert_int_equal(r3_blkq_kick(bed.queue), 0);
	assert_int_equal(r3_blkq_kick(bed.queue), 0);
	assert_int_equal(bed.stub->doorbells, before + 1);
	assert_int_equal(r3_blkq_reap(bed.queue, reqs, 32), 32);
	assert_int_equal(bed.stub->doorbells, before + 2);
	assert_int_equal(r3_blkq_reap(bed.queue, reqs, 32), 0);
	assert_int_equal(bed.stub->doorbells, before + 2);
	bed_close(&bed);
}

/* Read a request of three pieces, and look at every byte. */
static void read_pieces(struct bed *bed, struct r3_sg sg[3])
{
	struct r3_blk_req req = {.op = R3_BLK_READ, .len = 1536, .sg = sg, .nsg = 3}, *reqs = &req;

	memset(bed->mem, 0, 32768);
	assert_int_equal(r3_blkq_submit(bed->queue, &reqs, 1), 1);
	assert_int_equal(r3_blkq_kick(bed->queue), 0);
	assert_int_equal(r3_blkq_reap(bed->queue, &reqs, 1), 1);
	assert_int_equal(req.err, 0);

	const uint8_t *medium = bed->stub->ns[0].data;

	for (unsigned i = 0; i < 3; medium += sg[i++].len) {
		assert_memory_equal(sg[i].addr, medium, sg[i].len);
		assert_int_equal(((uint8_t *)sg[i].addr)[sg[i].len], 0);
	}
}

/* Odd pieces: PRPs need a copy, SGLs do not, and those of dwords do for odd bytes. */
static void test_pieces(void **state)
{
	for (uint8_t sgl = 0; sgl <= NVME_SGLS_DWORD; sgl++) {
		const struct nvme_stub_opts opts = {.vectors = 4, .sgl = sgl};
		struct bed bed;

		bed_open(&bed, &opts);
		for (unsigned i = 0; i < 1536; i++)
			bed.stub->ns[0].data[i] = (uint8_t)(1 + i % 251);

		struct r3_sg dwords[3] = {
			{bed.mem + 4, 100}, {bed.mem + 5000, 1400}, {bed.mem + 20000, 36}};
		struct r3_sg address[3] = {
			{bed.mem + 3, 100}, {bed.mem + 5000, 1400}, {bed.mem + 20000, 36}};
		struct r3_sg length[3] = {
			{bed.mem, 101}, {bed.mem + 5000, 1400}, {bed.mem + 20000, 35}};

		read_pieces(&bed, dwords);
		assert_int_equal(bed.stub->sgls, sgl ? 1 : 0);
		read_pieces(&bed, address);
		read_pieces(&bed, length);
		assert_int_equal(bed.stub->sgls, sgl == NVME_SGLS_ANY ? 3 : sgl ? 1 : 0);

		/* What fits PRPs is described by them in any case. */
		assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 131072), 0);
		assert_int_equal(bed.stub->prp_lists, 1);
		bed_close(&bed);
	}
}

static unsigned status;

static bool fail_io(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
		    struct nvme_cqe *cqe)
{
	if (sqid)
		cqe->sf = (uint16_t)(status << 1);
	return true;
}

static void test_status(void **state)
{
	static const struct {
		unsigned status;
		int err;
	} table[] = {
		{NVME_SC_SUCCESS, 0},
		{NVME_SC_READ_ERROR, -EIO},
		{NVME_SC_INVALID_OPCODE, -EOPNOTSUPP},
		{NVME_SC_WRITE_TO_RO, -EROFS},
		{NVME_SC_CAP_EXCEEDED, -ENOSPC},
		{NVME_SC_INVALID_NS, -ENODEV},
		{NVME_SC_ABORT_REQ, -ECANCELED}, /* not by us */
		{0x7ff, -EIO},
	};
	const struct nvme_stub_hooks hooks = {.complete = fail_io};
	struct bed bed;

	bed_open(&bed, NULL);
	bed.stub->hooks = &hooks;
	for (unsigned i = 0; i < COUNT(table); i++) {
		status = table[i].status;
		bed_start(&bed, R3_BLK_READ, 0, 512);
		bed_reap(&bed, table[i].err);
		assert_int_equal(bed.req.detail, status);
	}
	bed_close(&bed);
}

static void test_namespaces(void **state)
{
	const struct nvme_stub_opts opts = {.vectors = 8, .namespaces = 3};
	struct r3_blkq *queue[2];
	struct r3_block *second;
	struct bed bed;
	uint32_t nsid[4];

	bed_open(&bed, &opts);
	assert_int_equal(r3_nvme_namespaces(r3_nvme_of(bed.block), nsid, 4), 3);
	assert_int_equal(nsid[2], 3);
	assert_int_equal(r3_nvme_namespaces(r3_nvme_of(bed.block), nsid, 1), 3);
	assert_int_equal(r3_nvme_namespace(r3_nvme_of(bed.block), 4, &second), -ENODEV);
	assert_int_equal(r3_nvme_namespace(r3_nvme_of(bed.block), 9, &second), -ENODEV);
	assert_int_equal(r3_nvme_namespace(r3_nvme_of(bed.block), 3, &second), 0);
	assert_int_equal(r3_blkq_open(second, NULL, &queue[0]), 0);
	assert_int_equal(r3_blkq_open(bed.block, NULL, &queue[1]), 0);
	memset(bed.mem, 0x33, 512);
	assert_int_equal(r3_blkq_do(queue[0], R3_BLK_WRITE, 0, 0, bed.mem, 512, R3_NSEC_PER_SEC),
			 0);
	assert_int_equal(bed.stub->ns[2].data[0], 0x33);
	assert_int_equal(bed.stub->ns[0].data[0], 0);
	r3_blkq_close(queue[0]);
	r3_blkq_close(queue[1]);

	/* An event reaches both. */
	nvme_stub_event(bed.stub, NVME_AER_SMART, 0, NVME_LID_SMART);
	assert_int_equal(bed_pass(&bed, 1), 1u << R3_BLOCK_EVENT_WARNING);

	struct r3_block_event event;
	struct pollfd pfd = {.fd = r3_block_fd(second), .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(r3_block_dispatch(second, &event, 1), 1);
	assert_int_equal(event.type, R3_BLOCK_EVENT_WARNING);
	r3_block_close(second);
	bed_close(&bed);
}

/* One vector each while there are any; behind that, and with a pin, by dispatch. */
static void test_vectors(void **state)
{
	static const struct nvme_stub_opts beds[] = {
		{.vectors = 16}, {.vectors = 3}, {.vectors = 1}, {.msi = 4}, {.vectors = 0},
	};

	for (unsigned i = 0; i < COUNT(beds); i++) {
		unsigned vectors = beds[i].vectors + beds[i].msi;
		struct r3_blkq *queue[4];
		struct bed bed;

		bed_open(&bed, &beds[i]);
		r3_blkq_close(bed.queue);
		for (unsigned n = 0; n < 4; n++)
			assert_int_equal(r3_blkq_open(bed.block, NULL, &queue[n]), 0);
		for (unsigned n = 0; n < 40; n++) {
			struct r3_blkq *q = queue[n % 4];

			eventfd_t count;

			bed.queue = q;
			assert_int_equal(r3_blkq_arm(q), 0);
			assert_false(bed_readable(&bed));
			bed_start(&bed, R3_BLK_READ, 0, 512);
			/* A pin that is up is told once, not until it goes down. */
			for (unsigned calls = 0; n % 4 + 1 >= vectors && calls < 3; calls++) {
				assert_int_equal(bed_readable(&bed), calls > 0);
				assert_int_equal(r3_block_dispatch(bed.block, NULL, 0), 0);
			}
			assert_int_equal(eventfd_read(r3_blkq_fd(q), &count), 0);
			assert_int_equal(count, 1);
			assert_int_equal(r3_blkq_arm(q), 1);
			bed_reap(&bed, 0);
			for (unsigned other = 0; other < 4; other++)
				assert_int_equal(r3_blkq_arm(queue[other]), 0);
		}
		for (unsigned n = 1; n < 4; n++)
			r3_blkq_close(queue[n]);
		bed.queue = queue[0];
		bed_close(&bed);
	}
}

static void test_poll_mode(void **state)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = R3_BLKQ_POLL};
	struct bed bed;
	unsigned before;

	bed_open(&bed, NULL);
	r3_blkq_close(bed.queue);
	assert_int_equal(r3_blkq_open(bed.block, &opts, &bed.queue), 0);
	assert_int_equal(r3_blkq_fd(bed.queue), -1);
	before = bed.stub->interrupts;
	assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 4096), 0);
	assert_int_equal(bed.stub->interrupts, before);
	bed_close(&bed);
}

static uint32_t rtd3e; /* microseconds */
static bool asked, slow;

static void report_rtd3e(struct nvme_stub *stub, uint8_t cns, uint32_t nsid, void *data)
{
	if (cns == NVME_CNS_CTRL)
		((struct nvme_id_ctrl *)data)->rtd3e = R3_LE32(rtd3e);
}

static void watch_shutdown(struct nvme_stub *stub, uint64_t off, uint64_t *value)
{
	if (off != NVME_REG_CSTS)
		return;
	asked |= (stub->cc & NVME_CC_SHN_MASK) == NVME_CC_SHN_NORMAL;
	if (slow && asked)
		*value = (*value & ~(uint64_t)NVME_CSTS_SHST_MASK) | NVME_CSTS_SHST_OCCUR;
}

/* Asked for, and waited for as long as the controller says that it takes, within reason. */
static void test_shutdown(void **state)
{
	static const struct {
		bool slow;
		uint32_t rtd3e;
		uint64_t least, most; /* seconds */
	} table[] = {
		{false, 0, 0, 0},
		{true, 0, 5, 6},
		{true, 3000000, 3, 4},
		{true, UINT32_MAX, 60, 61},
	};
	const struct nvme_stub_hooks hooks = {.identify = report_rtd3e, .read = watch_shutdown};

	for (unsigned i = 0; i < COUNT(table); i++) {
		struct bed bed;
		uint64_t took;

		asked = false;
		slow = table[i].slow;
		rtd3e = table[i].rtd3e;
		bed_make(&bed, NULL);
		bed.stub->hooks = &hooks;
		assert_int_equal(bed_attach(&bed, 0), 0);
		assert_false(asked);
		took = bed.clock.now;
		r3_block_close(bed.block);
		took = (bed.clock.now - took) / R3_NSEC_PER_SEC;
		assert_true(asked);
		assert_in_range(took, table[i].least, table[i].most);
		assert_true(bed.remains.closed);
		assert_int_equal(bed.remains.irqs, 0);
	}
}

/* A queue of one request: the smallest that a controller may have. */
static void test_smallest(void **state)
{
	const struct nvme_stub_opts opts = {.vectors = 2, .mqes = 1, .queues = 1};
	struct r3_blkq *none;
	struct bed bed;

	bed_open(&bed, &opts);
	assert_int_equal(r3_blkq_depth(bed.queue), 1);
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(bed_do(&bed, R3_BLK_READ, 0, bed.mem, 65536), 0);
	assert_int_equal(r3_blkq_open(bed.block, NULL, &none), -ENOSPC);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),         cmocka_unit_test(test_features),
		cmocka_unit_test(test_command_limits), cmocka_unit_test(test_operations),
		cmocka_unit_test(test_shapes),         cmocka_unit_test(test_doorbells),
		cmocka_unit_test(test_pieces),         cmocka_unit_test(test_status),
		cmocka_unit_test(test_namespaces),     cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_poll_mode),      cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_smallest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
