/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub itself, asked by a driver that writes every register and ring by hand: that it
 * does what it is told, and counts what it must not be told. */
#include "unit.h"

#include "fake/fake_clock.h"
#include "stub/virtio_stub.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <ring3/dma.h>
#include <ring3/irq.h>
#include <ring3/region.h>
#include <ring3/spec/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QSIZE  8u
#define PACKED VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)
#define EVENTS VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX)
#define TABLES VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC)
#define ORDER  VIRTIO_FEATURE(VIRTIO_F_IN_ORDER)
#define MODERN VIRTIO_FEATURE(VIRTIO_F_VERSION_1)

/* All that the device sees; one page for a buffer's table, header, status and data. */
struct shared {
	union {
		struct {
			struct virtq_desc desc[QSIZE];
			uint16_t avail[2 + QSIZE + 1]; /* flags, idx, ring, used_event */
			uint16_t used[2 + 4 * QSIZE + 1] __attribute__((aligned(4)));
		} split;
		struct {
			struct pvirtq_desc desc[QSIZE];
			struct pvirtq_event_suppress driver, device;
		} packed;
	};
	struct {
		struct virtq_desc table[3];
		struct pvirtq_desc packed_table[3];
		struct virtio_blk_req req;
		uint8_t status;
		uint8_t data[512];
	} buf[QSIZE];
};

struct raw {
	struct virtio_stub *stub;
	struct r3_region *bar;
	struct r3_dma_tag *tag;
	struct shared *mem;
	uint64_t iova, features;
	uint16_t next, idx; /* packed: the place; split: the available index */
	bool wrap;
	int fd;
};

static uint64_t at(const struct raw *raw, const void *what)
{
	return raw->iova + (uint64_t)((const uint8_t *)what - (const uint8_t *)raw->mem);
}

static void put16(struct raw *raw, size_t field, unsigned value)
{
	r3_write16(raw->bar, field, (uint16_t)value);
}

static void put64(struct raw *raw, size_t field, uint64_t value)
{
	r3_write32(raw->bar, field, (uint32_t)value);
	r3_write32(raw->bar, field + 4, (uint32_t)(value >> 32));
}

static void add_status(struct raw *raw, uint8_t bit)
{
	uint8_t was = r3_read8(raw->bar, VIRTIO_PCI_COMMON(device_status));

	r3_write8(raw->bar, VIRTIO_PCI_COMMON(device_status), was | bit);
}

static void negotiate(struct raw *raw, uint64_t features)
{
	r3_write8(raw->bar, VIRTIO_PCI_COMMON(device_status), 0);
	add_status(raw, VIRTIO_STATUS_ACKNOWLEDGE);
	add_status(raw, VIRTIO_STATUS_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		r3_write32(raw->bar, VIRTIO_PCI_COMMON(driver_feature_select), i);
		r3_write32(raw->bar, VIRTIO_PCI_COMMON(driver_feature),
			   (uint32_t)(features >> 32 * i));
	}
	add_status(raw, VIRTIO_STATUS_FEATURES_OK);
	raw->features = features;
}

static void start_queue(struct raw *raw)
{
	bool packed = raw->features & PACKED;

	memset(raw->mem, 0, sizeof(*raw->mem));
	raw->next = raw->idx = 0;
	raw->wrap = true;
	put16(raw, VIRTIO_PCI_COMMON(queue_select), 0);
	put16(raw, VIRTIO_PCI_COMMON(queue_size), QSIZE);
	put16(raw, VIRTIO_PCI_COMMON(queue_msix_vector), 0);
	put64(raw, VIRTIO_PCI_COMMON(queue_desc), at(raw, raw->mem));
	put64(raw, VIRTIO_PCI_COMMON(queue_driver),
	      packed ? at(raw, &raw->mem->packed.driver) : at(raw, raw->mem->split.avail));
	put64(raw, VIRTIO_PCI_COMMON(queue_device),
	      packed ? at(raw, &raw->mem->packed.device) : at(raw, raw->mem->split.used));
	put16(raw, VIRTIO_PCI_COMMON(queue_enable), 1);
}

static struct raw *raw_open(const struct virtio_stub_opts *opts)
{
	static struct raw raw;
	struct r3_device *dev;
	void *mem;
	r3_iova iova;

	raw = (struct raw){.stub = virtio_stub_new(opts, NULL)};
	dev = virtio_stub_device(raw.stub);
	assert_int_equal(r3_device_region(dev, R3_REGION_BAR0, &raw.bar), 0);
	assert_int_equal(r3_dma_tag_create(dev, NULL, NULL, &raw.tag), 0);
	assert_int_equal(r3_dma_alloc(raw.tag, sizeof(struct shared), &mem, &iova), 0);
	raw.mem = mem;
	raw.iova = iova.v;
	raw.fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(dev->ops->irq_alloc(dev, R3_IRQ_MSIX, 1), 0);
	assert_int_equal(dev->ops->irq_bind(dev, R3_IRQ_MSIX, 0, 1, &raw.fd), 0);
	return &raw;
}

static struct raw *raw_start(uint64_t features)
{
	const struct virtio_stub_opts opts = {
		.features = features | MODERN, .vectors = 4, .batch = 4};
	struct raw *raw = raw_open(&opts);

	negotiate(raw, features | MODERN);
	start_queue(raw);
	add_status(raw, VIRTIO_STATUS_DRIVER_OK);
	return raw;
}

static void raw_close(struct raw *raw, unsigned mistakes)
{
	struct r3_device *dev = virtio_stub_device(raw->stub);

	if (raw->stub->mistakes != mistakes)
		fail_msg("%u mistakes, the last: %s", raw->stub->mistakes, raw->stub->mistake);
	assert_int_equal(dev->ops->irq_alloc(dev, R3_IRQ_MSIX, 0), 0);
	close(raw->fd);
	r3_dma_free(raw->tag, raw->mem);
	r3_dma_tag_unref(raw->tag);
	r3_device_close(dev);
}

/* ---- making requests available ---- */

struct piece {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
};

static void push_split(struct raw *raw, unsigned head, const struct piece *piece, unsigned n)
{
	struct virtq_desc *desc = raw->mem->split.desc;

	for (unsigned i = 0; i < n; i++)
		desc[(head + i) % QSIZE] = (struct virtq_desc){
			R3_LE64(piece[i].addr), R3_LE32(piece[i].len), R3_LE16(piece[i].flags),
			R3_LE16((head + i + 1) % QSIZE)};
	raw->mem->split.avail[2 + raw->idx++ % QSIZE] = R3_LE16(head);
	__atomic_store_n(&raw->mem->split.avail[1], R3_LE16(raw->idx), __ATOMIC_RELEASE);
}

static void push_packed(struct raw *raw, unsigned id, const struct piece *piece, unsigned n)
{
	unsigned first = raw->next;
	uint16_t first_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)(piece[i].flags |
					    (raw->wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED));
		struct pvirtq_desc *desc = &raw->mem->packed.desc[raw->next];

		desc->addr = R3_LE64(piece[i].addr);
		desc->len = R3_LE32(piece[i].len);
		desc->id = R3_LE16(id);
		if (i)
			desc->flags = R3_LE16(flags);
		else
			first_flags = flags;
		raw->next = (uint16_t)((raw->next + 1) % QSIZE);
		raw->wrap ^= !raw->next;
	}
	__atomic_store_n(&raw->mem->packed.desc[first].flags, R3_LE16(first_flags),
			 __ATOMIC_RELEASE);
}

/* Buffer @i, to read or write sector @i, in three descriptors from place 3 * @i on or in
 * one that points to a table. */
static void push(struct raw *raw, unsigned i, bool write)
{
	uint16_t data_flag = write ? 0 : VIRTQ_DESC_F_WRITE;
	bool packed = raw->features & PACKED, table = raw->features & TABLES;
	struct piece piece[3] = {
		{at(raw, &raw->mem->buf[i].req), sizeof(struct virtio_blk_req), 0},
		{at(raw, raw->mem->buf[i].data), 512, data_flag},
		{at(raw, &raw->mem->buf[i].status), 1, VIRTQ_DESC_F_WRITE},
	};
	struct piece one = {0, 48, VIRTQ_DESC_F_INDIRECT};

	raw->mem->buf[i].req = (struct virtio_blk_req){
		.type = R3_LE32(write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN), .sector = R3_LE64(i)};
	raw->mem->buf[i].status = 0xff;
	for (unsigned j = 0; j < 3; j++) {
		uint16_t flags = piece[j].flags;

		raw->mem->buf[i].packed_table[j] = (struct pvirtq_desc){
			R3_LE64(piece[j].addr), R3_LE32(piece[j].len), 0, R3_LE16(flags)};
		piece[j].flags = (uint16_t)(flags | (j < 2 ? VIRTQ_DESC_F_NEXT : 0));
		raw->mem->buf[i].table[j] =
			(struct virtq_desc){R3_LE64(piece[j].addr), R3_LE32(piece[j].len),
					    R3_LE16(piece[j].flags), R3_LE16(j + 1)};
	}
	one.addr =
		packed ? at(raw, raw->mem->buf[i].packed_table) : at(raw, raw->mem->buf[i].table);
	(packed ? push_packed : push_split)(raw, table ? i : 3 * i % QSIZE, table ? &one : piece,
					    table ? 1 : 3);
}

static void notify(struct raw *raw)
{
	uint16_t place = r3_read16(raw->bar, VIRTIO_PCI_COMMON(queue_notify_off));

	r3_write16(raw->bar, VIRTIO_STUB_NOTIFY + 8u * place, 0);
}

static unsigned interrupts(const struct raw *raw)
{
	uint64_t n = 0;

	return read(raw->fd, &n, sizeof(n)) == sizeof(n) ? (unsigned)n : 0;
}

/* ---- what it does ---- */

static void moves_data(uint64_t features)
{
	struct raw *raw = raw_start(features);

	for (unsigned round = 0; round < 3 * QSIZE; round++) {
		unsigned i = round % 2; /* two buffers of three descriptors are all that fit */

		memset(raw->mem->buf[i].data, (int)round + 1, 512);
		push(raw, i, true);
		notify(raw);
		assert_int_equal(raw->mem->buf[i].status, VIRTIO_BLK_S_OK);
		assert_int_equal(raw->stub->data[512 * i], round + 1);

		memset(raw->mem->buf[i].data, 0, 512);
		push(raw, i, false);
		notify(raw);
		assert_int_equal(raw->mem->buf[i].status, VIRTIO_BLK_S_OK);
		assert_int_equal(raw->mem->buf[i].data[511], round + 1);
	}
	if (!(features & PACKED))
		assert_int_equal(R3_LE16(raw->mem->split.used[1]), 6 * QSIZE);
	assert_int_equal(raw->stub->requests, 6 * QSIZE);
	assert_int_equal(raw->stub->needless, 0);
	raw_close(raw, 0);
}

static void split_moves_data(void **state)
{
	moves_data(0);
	moves_data(TABLES);
	moves_data(EVENTS | TABLES);
}

static void packed_moves_data(void **state)
{
	moves_data(PACKED);
	moves_data(PACKED | TABLES);
	moves_data(PACKED | EVENTS | TABLES);
}

static void interrupts_only_where_wanted(void **state)
{
	struct raw *raw = raw_start(TABLES);

	push(raw, 0, false);
	notify(raw);
	assert_int_equal(interrupts(raw), 1);
	raw->mem->split.avail[0] = R3_LE16(VIRTQ_AVAIL_F_NO_INTERRUPT);
	push(raw, 1, false);
	notify(raw);
	assert_int_equal(interrupts(raw), 0);
	raw_close(raw, 0);

	raw = raw_start(TABLES | EVENTS);
	raw->mem->split.avail[2 + QSIZE] = R3_LE16(1); /* when the index passes 1 */
	push(raw, 0, false);
	notify(raw);
	assert_int_equal(interrupts(raw), 0);
	push(raw, 1, false);
	notify(raw);
	assert_int_equal(interrupts(raw), 1);
	raw_close(raw, 0);

	raw = raw_start(PACKED | TABLES | EVENTS);
	raw->mem->packed.driver =
		(struct pvirtq_event_suppress){R3_LE16(1), R3_LE16(RING_EVENT_FLAGS_DESC)};
	for (unsigned i = 0; i < 2 * QSIZE; i++) {
		push(raw, i % QSIZE, false);
		notify(raw);
		/* place 1, of the second round: the wrap counter was left at 0 */
		assert_int_equal(interrupts(raw), i == QSIZE + 1);
	}
	raw->mem->packed.driver.flags = R3_LE16(RING_EVENT_FLAGS_DISABLE);
	push(raw, 0, false);
	notify(raw);
	assert_int_equal(interrupts(raw), 0);
	raw->mem->packed.driver.flags = RING_EVENT_FLAGS_ENABLE;
	push(raw, 1, false);
	notify(raw);
	assert_int_equal(interrupts(raw), 1);
	raw_close(raw, 0);
}

static void batches_in_order(void **state)
{
	struct raw *raw = raw_start(ORDER | TABLES);

	for (unsigned i = 0; i < 4; i++)
		push(raw, i, false);
	notify(raw);
	assert_int_equal(R3_LE16(raw->mem->split.used[1]), 4);
	assert_int_equal(R3_LE16(raw->mem->split.used[2]),
			 3); /* the last one, in the first's place */
	assert_int_equal(raw->stub->batches, 3);
	raw_close(raw, 0);

	raw = raw_start(PACKED | ORDER | TABLES);
	for (unsigned i = 0; i < 3; i++)
		push(raw, i, false);
	notify(raw);
	assert_int_equal(R3_LE16(raw->mem->packed.desc[0].id), 2);
	assert_int_equal(raw->mem->packed.desc[0].flags & R3_LE16(VIRTQ_DESC_F_USED),
			 R3_LE16(VIRTQ_DESC_F_USED));
	assert_int_equal(raw->mem->packed.desc[1].flags & R3_LE16(VIRTQ_DESC_F_USED), 0);
	push(raw, 3, false);
	notify(raw);
	assert_int_equal(R3_LE16(raw->mem->packed.desc[3].id), 3);
	raw_close(raw, 0);
}

static bool keep(struct virtio_stub *stub, const struct virtio_stub_buf *buf)
{
	return false;
}

static bool lie(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
		struct virtio_stub_used *used)
{
	used->id = 77;
	used->len = 5;
	used->status = VIRTIO_BLK_S_UNSUPP;
	used->jump = 1;
	return true;
}

static void keeps_and_lies(void **state)
{
	const struct virtio_stub_hooks kept = {.fetch = keep}, lies = {.complete = lie};
	struct raw *raw = raw_start(TABLES);

	raw->stub->hooks = &kept;
	push(raw, 0, false);
	push(raw, 1, false);
	notify(raw);
	assert_int_equal(virtio_stub_held(raw->stub), 2);
	assert_int_equal(R3_LE16(raw->mem->split.used[1]), 0);
	virtio_stub_release(raw->stub, 1);
	assert_int_equal(R3_LE16(raw->mem->split.used[1]), 1);
	assert_int_equal(R3_LE16(raw->mem->split.used[2]), 1);

	raw->stub->hooks = &lies;
	virtio_stub_release(raw->stub, 0);
	assert_int_equal(virtio_stub_held(raw->stub), 0);
	assert_int_equal(R3_LE16(raw->mem->split.used[1]), 3);
	assert_int_equal(R3_LE16(raw->mem->split.used[6]), 77);
	assert_int_equal(R3_LE16(raw->mem->split.used[8]), 5);
	assert_int_equal(raw->mem->buf[0].status, VIRTIO_BLK_S_UNSUPP);
	raw_close(raw, 0);
}

static void mapped_until_it_runs(void **state)
{
	const struct virtio_stub_opts opts = {.mapped = true, .vectors = 4};
	struct raw *raw = raw_open(&opts);

	assert_int_equal(raw->bar->map_len, 4096);
	negotiate(raw, MODERN | TABLES);
	start_queue(raw);
	add_status(raw, VIRTIO_STATUS_DRIVER_OK);
	push(raw, 0, false);
	virtio_stub_run(raw->stub);
	assert_int_equal(raw->stub->requests, 0); /* nobody told it */
	notify(raw);
	assert_int_equal(raw->stub->requests, 0);
	virtio_stub_run(raw->stub);
	assert_int_equal(raw->stub->requests, 1);
	raw_close(raw, 0);
}

static void changes_its_configuration(void **state)
{
	struct raw *raw = raw_start(TABLES);
	uint8_t generation = r3_read8(raw->bar, VIRTIO_PCI_COMMON(config_generation));

	put16(raw, VIRTIO_PCI_COMMON(config_msix_vector), 0);
	virtio_stub_resize(raw->stub, 1000);
	assert_int_equal(interrupts(raw), 1);
	assert_int_equal(r3_read32(raw->bar, VIRTIO_STUB_DEVICE), 1000);
	assert_int_not_equal(r3_read8(raw->bar, VIRTIO_PCI_COMMON(config_generation)), generation);

	virtio_stub_needs_reset(raw->stub);
	assert_int_equal(interrupts(raw), 1);
	push(raw, 0, false);
	notify(raw);
	assert_int_equal(raw->stub->requests, 0);
	raw_close(raw, 0);
}

/* ---- what it must not be told ---- */

static void wrong_feature(struct raw *raw)
{
	negotiate(raw, MODERN | VIRTIO_FEATURE(VIRTIO_F_SR_IOV));
	assert_int_equal(r3_read8(raw->bar, VIRTIO_PCI_COMMON(device_status)) &
				 VIRTIO_STATUS_FEATURES_OK,
			 0);
}

static void late_feature(struct raw *raw)
{
	r3_write32(raw->bar, VIRTIO_PCI_COMMON(driver_feature), 0);
}

static void wrong_width(struct raw *raw)
{
	r3_read64(raw->bar, VIRTIO_STUB_DEVICE);
}

static void queue_too_large(struct raw *raw)
{
	negotiate(raw, MODERN);
	put16(raw, VIRTIO_PCI_COMMON(queue_size), 4096);
}

static void odd_queue(struct raw *raw)
{
	negotiate(raw, MODERN);
	put16(raw, VIRTIO_PCI_COMMON(queue_size), 5);
	put16(raw, VIRTIO_PCI_COMMON(queue_enable), 1);
}

static void enabled_queue_changed(struct raw *raw)
{
	put16(raw, VIRTIO_PCI_COMMON(queue_size), 4);
}

static void wrong_notification(struct raw *raw)
{
	r3_write16(raw->bar, VIRTIO_STUB_NOTIFY, 0);
}

static void status_taken_back(struct raw *raw)
{
	r3_write8(raw->bar, VIRTIO_PCI_COMMON(device_status), VIRTIO_STATUS_ACKNOWLEDGE);
}

static void chain_that_loops(struct raw *raw)
{
	push(raw, 0, false);
	raw->mem->buf[0].table[0].next = 0;
	notify(raw);
}

static void read_after_write(struct raw *raw)
{
	push(raw, 0, false);
	raw->mem->buf[0].table[1].flags = R3_LE16(VIRTQ_DESC_F_NEXT);
	raw->mem->buf[0].table[0].flags |= R3_LE16(VIRTQ_DESC_F_WRITE);
	notify(raw);
}

static void head_outside(struct raw *raw)
{
	raw->mem->split.avail[2] = R3_LE16(QSIZE);
	raw->mem->split.avail[1] = R3_LE16(1);
	notify(raw);
}

static void index_too_far(struct raw *raw)
{
	raw->mem->split.avail[1] = R3_LE16(QSIZE + 1);
	notify(raw);
}

static void id_twice(struct raw *raw)
{
	static const struct virtio_stub_hooks kept = {.fetch = keep};

	raw->stub->hooks = &kept;
	push(raw, 0, false);
	push(raw, 0, false);
	notify(raw);
}

static void flush_not_negotiated(struct raw *raw)
{
	push(raw, 0, false);
	raw->mem->buf[0].req.type = R3_LE32(VIRTIO_BLK_T_FLUSH);
	raw->mem->buf[0].table[0].next = R3_LE16(2);
	notify(raw);
	assert_int_equal(raw->mem->buf[0].status, VIRTIO_BLK_S_UNSUPP);
}

static void counts_mistakes(void **state)
{
	static const struct {
		void (*make)(struct raw *raw);
		unsigned mistakes;
	} wrong[] = {
		{wrong_feature, 1},      {late_feature, 1},
		{wrong_width, 1},        {queue_too_large, 1},
		{odd_queue, 1},          {enabled_queue_changed, 1},
		{wrong_notification, 1}, {status_taken_back, 1},
		{chain_that_loops, 1},   {read_after_write, 1},
		{head_outside, 1},       {index_too_far, 1},
		{id_twice, 1},           {flush_not_negotiated, 1},
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct raw *raw = raw_start(TABLES);

		wrong[i].make(raw);
		if (raw->stub->mistakes != wrong[i].mistakes)
			fail_msg("case %u: %u mistakes, the last: %s", i, raw->stub->mistakes,
				 raw->stub->mistake ? raw->stub->mistake : "none");
		raw_close(raw, wrong[i].mistakes);
	}
}

static void faults_are_counted(void **state)
{
	struct raw *raw = raw_start(TABLES);

	push(raw, 0, false);
	raw->mem->buf[0].table[1].addr = 0x1234;
	notify(raw);
	assert_int_equal(raw->stub->faults, 1);
	assert_int_equal(raw->mem->buf[0].status, VIRTIO_BLK_S_IOERR);
	raw_close(raw, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_moves_data),
		cmocka_unit_test(packed_moves_data),
		cmocka_unit_test(interrupts_only_where_wanted),
		cmocka_unit_test(batches_in_order),
		cmocka_unit_test(keeps_and_lies),
		cmocka_unit_test(mapped_until_it_runs),
		cmocka_unit_test(changes_its_configuration),
		cmocka_unit_test(counts_mistakes),
		cmocka_unit_test(faults_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
