/* SPDX-License-Identifier: BSD-2-Clause */
/* The core between its users and a carrier: life, regions, arena, reset, events, and what
 * becomes of it all when the device goes. */
#include "fake/fake_clock.h"
#include "fake/fake_device.h"
#include "unit.h"

#include <ring3/error.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

static struct fake_device *adopted(struct fake_device *fake)
{
	assert_non_null(fake);
	assert_int_equal(fake_device_adopt(fake), 0);
	return fake;
}

static struct r3_region *region(struct fake_device *fake, unsigned index)
{
	struct r3_region *region;

	assert_int_equal(r3_device_region(&fake->base, index, &region), 0);
	return region;
}

/* ---- life ---- */

static void info_is_the_carriers(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	const struct r3_device_info *info = r3_device_get_info(&fake->base);

	assert_string_equal(info->address, "fake:test");
	assert_string_equal(info->name, "fake");
	assert_int_equal(info->nirqs[2], 64);
	assert_ptr_equal(r3_device_clock(&fake->base), r3_clock_system());
	assert_false(r3_device_gone(&fake->base));
	r3_device_close(&fake->base);
	r3_device_close(NULL);
}

static void close_stops_everything(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct fake_remains remains = {0};
	struct r3_arena *arena;

	fake->remains = &remains;
	assert_int_equal(r3_device_arena(&fake->base, &arena), 0);
	assert_int_equal(fake->base.ops->irq_alloc(&fake->base, 2, 4), 0);
	r3_write16(region(fake, R3_REGION_CONFIG), PCI_COMMAND, PCI_COMMAND_MASTER);
	r3_device_close(&fake->base);
	assert_true(remains.closed);
	assert_int_equal(remains.irqs, 0);
	assert_int_equal(remains.maps, 0);
	assert_false(remains.master);
}

static void close_clears_bus_master_itself(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct fake_remains remains = {0};
	unsigned proved = 0;

	fake->remains = &remains;
	fake->fail_quiesce = -EOPNOTSUPP;
	r3_write16(region(fake, R3_REGION_CONFIG), PCI_COMMAND, PCI_COMMAND_MASTER);
	assert_int_equal(r3_device_quiesce(&fake->base, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA, &proved),
			 0);
	assert_int_equal(proved, R3_QUIESCE_DMA);
	r3_write16(region(fake, R3_REGION_CONFIG), PCI_COMMAND, PCI_COMMAND_MASTER);
	r3_device_close(&fake->base);
	assert_false(remains.master);
}

static void rule_breakers_are_refused(void **state)
{
	struct fake_device *fake = fake_device_new(NULL);
	struct fake_remains remains = {0};
	struct r3_bus_ops ops = *fake->base.ops;

	fake->remains = &remains;
	fake->base.info.nregions = R3_REGION_MAX + 1;
	assert_int_equal(fake_device_adopt(fake), -EPROTO);
	assert_true(remains.closed);

	fake = fake_device_new(NULL);
	ops.rw = NULL;
	fake->base.ops = &ops;
	fake->base.info.caps = 0;
	assert_int_equal(fake_device_adopt(fake), -EPROTO);
}

/* Often it is closed because something failed. */
static void close_leaves_the_text_alone(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));

	fake->fail_quiesce = -EIO;
	r3_error_set(EIO, "why it is closed");
	r3_device_close(&fake->base);
	assert_string_equal(r3_error_text(), "why it is closed");
}

/* ---- regions ---- */

static void regions_are_made_once(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct r3_region *bar0 = region(fake, 0), *none;

	assert_ptr_equal(bar0, region(fake, 0));
	assert_string_equal(bar0->name, "bar0");
	assert_int_equal(bar0->size, 16384);
	assert_int_equal(bar0->map_len, 16384);
	assert_int_equal(region(fake, 2)->map_len, 0); /* ports */
	assert_int_equal(region(fake, 4)->map_len, 0); /* not mappable */
	assert_int_equal(r3_device_region(&fake->base, 1, &none), -ENOENT);
	assert_int_equal(r3_device_region(&fake->base, R3_REGION_VGA, &none), -ENOENT);
	assert_int_equal(r3_device_region(&fake->base, 1u << 31, &none), -ENOENT);
	r3_device_close(&fake->base);
}

static void a_given_descriptor_is_closed(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		struct fake_device *fake = fake_device_new(NULL);
		struct r3_region *bar;
		unsigned fds = test_count_fds();

		fake->give_fds = true;
		if (i == 1) /* cannot be mapped */
			fake->bar[0].fd_off = 4;
		if (i == 2) /* is not there */
			fake->bar[0].size = 0;
		adopted(fake);
		assert_int_equal(r3_device_region(&fake->base, 0, &bar), i == 2 ? -ENOENT : 0);
		if (i < 2) {
			assert_int_equal(bar->map_len, i ? 0 : 16384);
			r3_write32(bar, 8, 7);
			assert_int_equal(r3_read32(bar, 8), 7);
		}
		assert_int_equal(test_count_fds(), fds);
		r3_device_close(&fake->base);
	}
}

static void mapped_and_messages_meet(void **state)
{
	struct fake_device *fake = fake_device_new(NULL);
	uint32_t data[1024], back[1024];
	struct r3_region *bar;

	fake->bar[0].nareas = 3;
	fake->bar[0].area[0].len = 4096;
	fake->bar[0].area[1].off = 4096; /* the largest honest one */
	fake->bar[0].area[1].len = 8192;
	fake->bar[0].area[2].off = 8192; /* beyond the end */
	fake->bar[0].area[2].len = UINT64_MAX - 4096;
	bar = region(adopted(fake), 0);
	assert_int_equal(bar->map_off, 4096);
	assert_int_equal(bar->map_len, 8192);
	for (unsigned i = 0; i < 1024; i++)
		data[i] = i * 0x01010101u;
	/* across the beginning and the end of the mapping */
	assert_int_equal(r3_region_write(bar, 2048, 4, data, 1024), 0);
	assert_int_equal(fake->writes, 1);
	assert_int_equal(r3_region_read(bar, 2048, 4, back, 1024), 0);
	assert_memory_equal(data, back, sizeof(data));
	assert_int_equal(r3_region_write(bar, 10240, 4, data, 1024), 0);
	assert_int_equal(r3_region_read(bar, 10240, 4, back, 1024), 0);
	assert_memory_equal(data, back, sizeof(data));
	for (unsigned i = 0; i < 1024; i++)
		back[i] = R3_LE32(((uint32_t *)r3_mem_addr(fake->bar[0].mem))[2560 + i]);
	assert_memory_equal(data, back, sizeof(data));
	assert_int_equal(fake->reads, 2);
	r3_device_close(&fake->base);
}

/* Where a carrier would have bytes mapped that are not the region's, or not aligned like
 * it, everything is a message. */
static void absurd_places_are_not_mapped(void **state)
{
	static const struct {
		uint64_t fd_off, off, len;
	} cases[] = {
		{UINT64_MAX - 4095, 4096, 4096}, /* wraps to the file's first byte */
		{UINT64_MAX - 4095, 0, 4096},
		{4, 4092, 4096}, /* a page of the file, but of no 8 bytes of the region */
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_device *fake = fake_device_new(NULL);
		struct r3_region *bar;

		fake->bar[0].fd_off = cases[i].fd_off;
		fake->bar[0].nareas = 1;
		fake->bar[0].area[0].off = cases[i].off;
		fake->bar[0].area[0].len = cases[i].len;
		bar = region(adopted(fake), 0);
		assert_int_equal(bar->map_len, 0);
		r3_write32(bar, 4096, 7);
		assert_int_equal(r3_read32(bar, 4096), 7);
		r3_device_close(&fake->base);
	}
}

static void each_width_each_way(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));

	for (unsigned i = 0; i <= 4; i += 4) { /* mapped, not mapped */
		struct r3_region *bar = region(fake, i);

		r3_write64(bar, 8, UINT64_C(0x1122334455667788));
		assert_int_equal(r3_read64(bar, 8), UINT64_C(0x1122334455667788));
		assert_int_equal(r3_read32(bar, 12), 0x11223344);
		assert_int_equal(r3_read16(bar, 10), 0x5566);
		assert_int_equal(r3_read8(bar, 15), 0x11);
		r3_write8(bar, 15, 0xaa);
		r3_write16(bar, 8, 0xbbbb);
		r3_write32_relaxed(bar, 12, 0xcccccccc);
		assert_int_equal(r3_read64_relaxed(bar, 8), UINT64_C(0xcccccccc5566bbbb));
	}
	assert_int_equal(fake->writes, 4);
	assert_int_equal(fake->posted, 4);
	r3_device_close(&fake->base);
}

static void wrong_accesses_are_refused(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	unsigned char data[64] = {0};

	for (unsigned i = 0; i <= 4; i += 4) {
		struct r3_region *bar = region(fake, i);
		uint64_t end = bar->size;

		assert_int_equal(r3_region_read(bar, 0, 3, data, 1), -EINVAL);
		assert_int_equal(r3_region_read(bar, 0, 0, data, 1), -EINVAL);
		assert_int_equal(r3_region_read(bar, 0, 16, data, 1), -EINVAL);
		assert_int_equal(r3_region_read(bar, 2, 4, data, 1), -EINVAL);
		assert_int_equal(r3_region_read(bar, end, 1, data, 1), -ERANGE);
		assert_int_equal(r3_region_read(bar, end - 4, 4, data, 2), -ERANGE);
		assert_int_equal(r3_region_read(bar, 0, 4, data, UINT32_MAX), -ERANGE);
		assert_int_equal(r3_region_read(bar, UINT64_MAX - 7, 8, data, 2), -ERANGE);
		assert_int_equal(r3_region_write(bar, UINT64_MAX - 7, 8, data, 1), -ERANGE);
		assert_int_equal(r3_region_read(bar, end, 1, data, 0), 0);
		assert_int_equal(r3_read32(bar, end), UINT32_MAX);
		assert_int_equal(r3_read32(bar, 2), UINT32_MAX);
		assert_int_equal(r3_read64(bar, UINT64_MAX - 7), UINT64_MAX);
		assert_int_equal(r3_read8(bar, end), UINT8_MAX);
		assert_int_equal(r3_read16(bar, end), UINT16_MAX);
		r3_write32(bar, end, 1);
		r3_write32(bar, 2, 1);
	}
	assert_int_equal(fake->reads + fake->writes, 0);
	assert_int_equal(r3_region_write(region(fake, R3_REGION_ROM), 0, 1, data, 1), -EACCES);
	assert_non_null(strstr(r3_error_text(), "rom cannot be written"));
	r3_write8(region(fake, R3_REGION_ROM), 0, 1);
	assert_int_equal(fake->writes, 0);
	r3_device_close(&fake->base);
}

static void failing_reads_are_all_ones(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct r3_region *bar = region(fake, 4);
	uint32_t data[2] = {0};

	fake->fail_rw = -EIO;
	assert_int_equal(r3_read16(bar, 0), UINT16_MAX);
	assert_int_equal(r3_region_read(bar, 0, 4, data, 2), -EIO);
	assert_int_equal(data[0] & data[1], UINT32_MAX);
	assert_int_equal(r3_region_write(bar, 0, 4, data, 2), -EIO);
	assert_false(r3_device_gone(&fake->base));
	r3_device_close(&fake->base);
}

static bool counts_down(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
			uint64_t *value, bool write)
{
	unsigned *left = fake->user;

	if (index != 4 || off || write)
		return false;
	*value = *left ? --*left : 0;
	return true;
}

static void waiting_is_bounded(void **state)
{
	struct fake_clock clock = fake_clock(0);
	const struct r3_open_opts opts = {.size = sizeof(opts), .clock = &clock.base};
	struct fake_device *fake = adopted(fake_device_new(&opts));
	struct r3_region *bar = region(fake, 4);
	unsigned left = 50;
	uint32_t last;

	fake->access = counts_down;
	fake->user = &left;
	assert_int_equal(r3_region_wait32(bar, 0, 0xff, 7, R3_NSEC_PER_SEC, &last), 0);
	assert_int_equal(last, 7);
	assert_int_equal(r3_region_wait32(bar, 0, 0xff, 9, 10 * R3_NSEC_PER_SEC, NULL), -ETIMEDOUT);
	assert_in_range(clock.now, 10 * R3_NSEC_PER_SEC, 12 * R3_NSEC_PER_SEC);
	fake_device_remove(fake);
	assert_int_equal(r3_region_wait32(bar, 0, 0xff, 9, R3_NSEC_PER_SEC, &last), -ENODEV);
	assert_int_equal(last, UINT32_MAX);
	r3_device_close(&fake->base);
}

/* ---- going ---- */

static void gone_reads_all_ones(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct r3_region *mapped = region(fake, 0), *config = region(fake, R3_REGION_CONFIG), *none;
	struct r3_arena *arena;
	struct r3_event events[4];
	uint32_t data = 0;
	unsigned reads, proved;

	r3_write32(mapped, 0, 7);
	fake_device_remove(fake);
	assert_int_equal(r3_read32(mapped, 0), 7); /* nobody noticed yet */
	assert_int_equal(r3_device_dispatch(&fake->base, events, 4), 1);
	assert_int_equal(events[0].type, R3_EVENT_REMOVED);
	assert_true(r3_device_gone(&fake->base));
	reads = fake->reads;
	assert_int_equal(r3_read32(mapped, 0), UINT32_MAX);
	assert_int_equal(r3_read16(config, 0), UINT16_MAX);
	r3_write32(mapped, 0, 8);
	assert_int_equal(r3_region_read(mapped, 0, 4, &data, 1), -ENODEV);
	assert_int_equal(data, UINT32_MAX);
	assert_int_equal(r3_region_write(mapped, 0, 4, &data, 1), -ENODEV);
	assert_int_equal(fake->reads, reads);
	assert_int_equal(r3_device_region(&fake->base, 4, &none), -ENODEV);
	assert_int_equal(r3_device_arena(&fake->base, &arena), -ENODEV);
	assert_int_equal(r3_device_reset(&fake->base, R3_RESET_ANY), -ENODEV);
	assert_int_equal(r3_device_quiesce(&fake->base, R3_QUIESCE_DMA, &proved), -ENODEV);
	assert_int_equal(proved, R3_QUIESCE_DMA);
	fake_device_event(fake, R3_EVENT_ADDED, 0);
	assert_int_equal(r3_device_dispatch(&fake->base, events, 4), 1);
	assert_true(r3_device_gone(&fake->base));
	r3_device_close(&fake->base);
}

static void an_access_notices_first(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct r3_region *ports = region(fake, 2);
	struct fake_remains remains = {0};
	struct r3_arena *arena;

	fake->remains = &remains;
	assert_int_equal(r3_device_arena(&fake->base, &arena), 0);
	fake_device_remove(fake);
	r3_write32(ports, 0, 1);
	assert_true(r3_device_gone(&fake->base));
	r3_device_close(&fake->base);
	assert_int_equal(remains.maps, 0); /* memory is taken back all the same */
}

/* ---- DMA ---- */

static void arena_is_where_the_device_sees_it(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct r3_arena *arena, *again;
	uint64_t iova, left;
	void *piece;

	assert_false(r3_device_iova(&fake->base, &iova, &iova, &left));
	assert_int_equal(r3_device_arena(&fake->base, &arena), 0);
	assert_int_equal(r3_device_arena(&fake->base, &again), 0);
	assert_ptr_equal(arena, again);
	assert_int_equal(r3_mem_size(r3_arena_mem(arena)), 64 << 20);
	assert_int_equal(r3_arena_alloc(arena, 8192, 4096, &piece), 0);
	assert_true(r3_device_iova(&fake->base, (char *)piece + 5000, &iova, &left));
	assert_true(left >= 8192 - 5000);
	assert_ptr_equal(fake_device_reach(fake, iova, 3192, R3_DMA_DEVICE_WRITE),
			 (char *)piece + 5000);
	assert_int_equal(fake->map[0].iova % (64 << 20), 0);
	assert_true(fake->map[0].iova != 0);

	unsigned char *base = r3_mem_addr(r3_arena_mem(arena));
	assert_false(r3_device_iova(&fake->base, base - 1, &iova, &left));
	assert_true(r3_device_iova(&fake->base, base + (64 << 20) - 1, &iova, &left));
	assert_int_equal(left, 1);
	assert_false(r3_device_iova(&fake->base, base + (64 << 20), &iova, &left));
	assert_false(r3_device_iova(&fake->base, NULL, &iova, &left));
	assert_int_equal(r3_arena_free(arena, piece), 0);
	r3_device_close(&fake->base);
}

static void arena_in_pieces(void **state)
{
	const struct r3_open_opts opts = {.size = sizeof(opts), .arena_size = 1 << 20};
	struct fake_device *fake = fake_device_new(&opts);
	struct r3_arena *arena;
	uint64_t iova, left;

	fake->base.info.caps |= R3_CAP_DMA_ASSIGNED;
	fake->extent_len = 96 << 10;
	adopted(fake);
	assert_int_equal(r3_device_arena(&fake->base, &arena), 0);
	assert_int_equal(fake->base.arena_extents, 11);

	unsigned char *base = r3_mem_addr(r3_arena_mem(arena));
	for (uint64_t off = 0; off < 1 << 20; off += 1021) {
		assert_true(r3_device_iova(&fake->base, base + off, &iova, &left));
		assert_ptr_equal(fake_device_reach(fake, iova, left, 0), base + off);
		assert_null(fake_device_reach(fake, iova, left + 1, 0));
	}
	r3_device_close(&fake->base);

	fake = fake_device_new(&opts);
	fake->base.info.caps |= R3_CAP_DMA_ASSIGNED;
	fake->extent_len = 32 << 10; /* more pieces than there is room for */
	adopted(fake);
	assert_int_equal(r3_device_arena(&fake->base, &arena), -E2BIG);
	r3_device_close(&fake->base);
}

static void arena_in_the_carriers_memory(void **state)
{
	struct fake_device *fake = fake_device_new(NULL);
	struct fake_remains remains = {0};
	struct r3_arena *arena;
	uint64_t iova, left;
	void *piece;

	fake->remains = &remains;
	fake->base.info.caps |= R3_CAP_DMA_ASSIGNED | R3_CAP_OWN_MEM;
	adopted(fake);
	assert_int_equal(r3_device_arena(&fake->base, &arena), 0);
	assert_ptr_equal(r3_arena_mem(arena), fake->own_mem);
	assert_false(r3_device_iova(&fake->base, r3_mem_addr(fake->own_mem), &iova, &left));
	assert_int_equal(r3_arena_alloc(arena, 1, 0, &piece), 0);
	assert_true((char *)piece >= (char *)r3_mem_addr(fake->own_mem) + (1 << 20));
	assert_true(r3_device_iova(&fake->base, piece, &iova, &left));

	/* whoever keeps the arena may go on using the memory; the device may not */
	r3_arena_ref(arena);
	r3_device_close(&fake->base);
	assert_int_equal(remains.maps, 0);
	memset(piece, 1, 1);
	r3_arena_unref(arena);
}

static void arena_that_cannot_be(void **state)
{
	const struct r3_open_opts opts = {.size = sizeof(opts), .arena_size = UINT64_C(8) << 20};
	struct fake_device *fake = fake_device_new(NULL);
	struct r3_arena *arena;

	fake->base.info.caps &= ~(unsigned)R3_CAP_DMA;
	adopted(fake);
	assert_int_equal(r3_device_arena(&fake->base, &arena), -EOPNOTSUPP);
	r3_device_close(&fake->base);

	/* carriers with half of what DMA takes */
	for (unsigned i = 0; i < 2; i++) {
		fake = fake_device_new(NULL);
		struct r3_bus_ops ops = *fake->base.ops;
		ops.dma_limits = NULL;
		ops.dma_memory = NULL;
		fake->base.ops = &ops;
		fake->base.info.caps |= i ? R3_CAP_OWN_MEM : 0;
		adopted(fake);
		assert_int_equal(r3_device_arena(&fake->base, &arena), -EOPNOTSUPP);
		assert_non_null(strstr(r3_error_text(), i ? "no memory" : "no limits"));
		r3_device_close(&fake->base);
	}

	fake = fake_device_new(&opts);
	fake->limits.nwindows = 1;
	fake->limits.window[0] = (struct r3_iova_range){0, (8 << 20) - 1};
	adopted(fake);
	assert_int_equal(r3_device_arena(&fake->base, &arena), -ENOMEM);
	fake->limits.window[0].last = (16 << 20) - 2;
	assert_int_equal(r3_device_arena(&fake->base, &arena), -ENOMEM);
	fake->limits.window[0].last = (16 << 20) - 1;
	fake->fail_dma_map = -EPERM;
	assert_int_equal(r3_device_arena(&fake->base, &arena), -EPERM);
	fake->fail_dma_map = 0;
	fake->limits.page_size = 3;
	assert_int_equal(r3_device_arena(&fake->base, &arena), -EIO);
	fake->limits.page_size = 4096;
	assert_int_equal(r3_device_arena(&fake->base, &arena), 0);
	assert_int_equal(fake->map[0].iova, 8 << 20);
	r3_device_close(&fake->base);
}

/* ---- reset, events ---- */

static void reset_is_chosen_by_caps(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));

	assert_int_equal(r3_device_reset(&fake->base, R3_RESET_ANY), 0);
	assert_int_equal(fake->resets, 1);
	fake->base.info.caps &= ~(unsigned)R3_CAP_FLR;
	assert_int_equal(r3_device_reset(&fake->base, R3_RESET_FUNCTION), -EOPNOTSUPP);
	assert_int_equal(r3_device_reset(&fake->base, R3_RESET_ANY), 0);
	fake->base.info.caps &= ~(unsigned)R3_CAP_BUS_RESET;
	assert_int_equal(r3_device_reset(&fake->base, R3_RESET_ANY), -EOPNOTSUPP);
	assert_int_equal(fake->resets, 2);
	fake->base.info.caps |= R3_CAP_BUS_RESET;
	assert_int_equal(r3_device_reset(&fake->base, (enum r3_reset)7), -EOPNOTSUPP);
	assert_int_equal(fake->resets, 2);
	r3_device_close(&fake->base);
}

static void events_come_in_order(void **state)
{
	struct fake_device *fake = adopted(fake_device_new(NULL));
	struct r3_event events[2];

	assert_true(r3_device_fd(&fake->base) >= 0);
	assert_int_equal(r3_device_dispatch(&fake->base, events, 2), 0);
	for (unsigned i = 0; i < 3; i++)
		fake_device_event(fake, R3_EVENT_DMA_FAULT, i);
	assert_int_equal(r3_device_dispatch(&fake->base, NULL, 0), 0);
	assert_int_equal(r3_device_dispatch(&fake->base, events, 2), 2);
	assert_int_equal(events[1].detail, 1);
	assert_int_equal(r3_device_dispatch(&fake->base, events, 2), 1);
	assert_int_equal(events[0].detail, 2);
	assert_string_equal(r3_event_name(R3_EVENT_SERVER_LOST), "server lost");
	assert_string_equal(r3_event_name(1000), "unknown");
	r3_device_close(&fake->base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(info_is_the_carriers),
		cmocka_unit_test(close_stops_everything),
		cmocka_unit_test(close_clears_bus_master_itself),
		cmocka_unit_test(rule_breakers_are_refused),
		cmocka_unit_test(close_leaves_the_text_alone),
		cmocka_unit_test(regions_are_made_once),
		cmocka_unit_test(a_given_descriptor_is_closed),
		cmocka_unit_test(mapped_and_messages_meet),
		cmocka_unit_test(absurd_places_are_not_mapped),
		cmocka_unit_test(each_width_each_way),
		cmocka_unit_test(wrong_accesses_are_refused),
		cmocka_unit_test(failing_reads_are_all_ones),
		cmocka_unit_test(waiting_is_bounded),
		cmocka_unit_test(gone_reads_all_ones),
		cmocka_unit_test(an_access_notices_first),
		cmocka_unit_test(arena_is_where_the_device_sees_it),
		cmocka_unit_test(arena_in_pieces),
		cmocka_unit_test(arena_in_the_carriers_memory),
		cmocka_unit_test(arena_that_cannot_be),
		cmocka_unit_test(reset_is_chosen_by_caps),
		cmocka_unit_test(events_come_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
