/* SPDX-License-Identifier: BSD-2-Clause */
/* Assignment over trees of every shape: nothing overlaps, everything is reached. */
#include "pci/access.h"
#include "pci/test_bus.h"
#include "unit.h"
#include <ring3/error.h>
#include <ring3/region.h>

#include <errno.h>
#include <string.h>

static struct test_bus bus;

static const struct r3_pci_windows space = {
	.io = {0x1000, 0x10000},
	.mem = {0x40000000, 0xfec00000},
	.mem64 = {UINT64_C(1) << 32, UINT64_C(1) << 40},
	.next_bus = 1,
};

/* ---- what a bridge passes, decoded by the test's own reading of the registers ---- */

struct span {
	uint64_t first, last; /* none: first above last */
};

static struct span mem_window(const struct test_function *fn)
{
	return (struct span){
		(uint64_t)(test_get(fn, PCI_MEMORY_BASE, 2) & 0xfff0) << 16,
		(uint64_t)(test_get(fn, PCI_MEMORY_LIMIT, 2) & 0xfff0) << 16 | 0xfffff,
	};
}

static struct span pref_window(const struct test_function *fn)
{
	struct span span = {
		(uint64_t)(test_get(fn, PCI_PREF_MEMORY_BASE, 2) & 0xfff0) << 16 |
			(uint64_t)test_get(fn, PCI_PREF_BASE_UPPER32, 4) << 32,
		(uint64_t)(test_get(fn, PCI_PREF_MEMORY_LIMIT, 2) & 0xfff0) << 16 | 0xfffff |
			(uint64_t)test_get(fn, PCI_PREF_LIMIT_UPPER32, 4) << 32,
	};

	if (fn->writable[PCI_PREF_MEMORY_BASE] == 0)
		span = (struct span){1, 0};
	return span;
}

static struct span io_window(const struct test_function *fn)
{
	struct span span = {
		(uint64_t)(test_get(fn, PCI_IO_BASE, 1) & 0xf0) << 8,
		(uint64_t)(test_get(fn, PCI_IO_LIMIT, 1) & 0xf0) << 8 | 0xfff,
	};

	if (fn->writable[PCI_IO_BASE] == 0)
		span = (struct span){1, 0};
	return span;
}

static bool within(struct span inner, struct span outer)
{
	return outer.first <= inner.first && inner.last <= outer.last;
}

static bool apart(struct span a, struct span b)
{
	return a.first > a.last || b.first > b.last || a.last < b.first || b.last < a.first;
}

static bool behind(const struct test_function *fn, int bridge)
{
	for (; fn->parent >= 0; fn = &bus.fn[fn->parent])
		if (fn->parent == bridge)
			return true;
	return false;
}

/* A BAR lies in some window of each bridge above it and in none of any other bridge. */
static void check_bar(const struct test_function *fn, unsigned index)
{
	uint64_t size = fn->bar[index], at = test_bus_address(fn, index);
	struct span span = {at, at + size - 1};
	bool port = fn->flags[index] & R3_REGION_PORT;

	assert_int_not_equal(at, 0);
	assert_int_equal(at % size, 0);
	if (port)
		assert_true(within(span, (struct span){space.io.next, space.io.end - 1}));
	else
		assert_true(within(span, (struct span){space.mem.next, space.mem.end - 1}) ||
			    within(span, (struct span){space.mem64.next, space.mem64.end - 1}));
	for (unsigned i = 0; i < bus.n; i++) {
		const struct test_function *other = &bus.fn[i];

		if (other->bridge && behind(fn, (int)i)) {
			assert_true(port ? within(span, io_window(other))
					 : within(span, mem_window(other)) ||
						    within(span, pref_window(other)));
		} else if (other->bridge) {
			assert_true(port ? apart(span, io_window(other))
					 : apart(span, mem_window(other)) &&
						    apart(span, pref_window(other)));
		}
		for (unsigned j = 0; j < 7; j++) {
			uint64_t there = test_bus_address(other, j);

			if (other->bar[j] == 0 || (other == fn && j == index) ||
			    !(other->flags[j] & R3_REGION_PORT) != !port)
				continue;
			assert_true(apart(span, (struct span){there, there + other->bar[j] - 1}));
		}
	}
}

static void check_numbers(const struct test_function *bridge)
{
	const struct test_function *up = bridge->parent < 0 ? NULL : &bus.fn[bridge->parent];
	unsigned secondary = bridge->config[PCI_SECONDARY_BUS];
	unsigned subordinate = bridge->config[PCI_SUBORDINATE_BUS];

	assert_int_equal(bridge->config[PCI_PRIMARY_BUS], up ? up->config[PCI_SECONDARY_BUS] : 0);
	assert_true(secondary > bridge->config[PCI_PRIMARY_BUS] && subordinate >= secondary);
	if (up)
		assert_true(subordinate <= up->config[PCI_SUBORDINATE_BUS]);
	for (unsigned i = 0; i < bus.n; i++)
		if (bus.fn[i].bridge && &bus.fn[i] != bridge)
			assert_int_not_equal(bus.fn[i].config[PCI_SECONDARY_BUS], secondary);
}

static void check_all(void)
{
	assert_int_equal(bus.decoded, 0);
	for (unsigned i = 0; i < bus.n; i++) {
		const struct test_function *fn = &bus.fn[i];

		assert_int_equal(test_get(fn, PCI_COMMAND, 2), fn->bridge ? 7 : 0);
		if (fn->bridge)
			check_numbers(fn);
		for (unsigned j = 0; j < 7; j++)
			if (fn->bar[j])
				check_bar(fn, j);
	}
}

/* ---- trees ---- */

static void give_windows(struct test_function *fn)
{
	fn->writable[PCI_IO_BASE] = fn->writable[PCI_IO_LIMIT] = 0xf0;
	fn->writable[PCI_PREF_MEMORY_BASE] = fn->writable[PCI_PREF_MEMORY_LIMIT] = 0xf0;
	fn->writable[PCI_PREF_MEMORY_BASE + 1] = fn->writable[PCI_PREF_MEMORY_LIMIT + 1] = 0xff;
	fn->config[PCI_PREF_MEMORY_BASE] = PCI_PREF_RANGE_TYPE_64;
	fn->config[PCI_PREF_MEMORY_LIMIT] = PCI_PREF_RANGE_TYPE_64;
	memset(&fn->writable[PCI_PREF_BASE_UPPER32], 0xff, 8);
}

static void random_bars(struct test_function *fn, uint64_t *random)
{
	unsigned n = fn->bridge ? 2 : 6, i = 0;

	while (i < n) {
		unsigned kind = test_random_below(random, 8);

		if (kind == 0) {
			test_bus_bar(fn, i, 4u << test_random_below(random, 5), R3_REGION_PORT);
		} else if (kind < 3) {
			test_bus_bar(fn, i, 16u << test_random_below(random, 19),
				     kind == 1 ? R3_REGION_PREFETCH : 0);
		} else if (kind < 5 && i + 1 < n) {
			bool prefetch = kind == 3;
			unsigned bits = test_random_below(random, prefetch ? 30 : 19);

			/* behind a bridge without the window it goes below 4 GiB */
			if (prefetch && bits > 18 && fn->parent >= 0)
				bits = 18;
			test_bus_bar(fn, i, UINT64_C(16) << bits,
				     R3_REGION_64BIT | (prefetch ? R3_REGION_PREFETCH : 0));
			i++;
		}
		i++;
	}
	if (test_random_below(random, 3) == 0)
		test_bus_bar(fn, 6, 2048u << test_random_below(random, 10), 0);
}

static bool taken(int parent, unsigned devfn)
{
	for (unsigned i = 0; i < bus.n; i++)
		if (bus.fn[i].parent == parent && bus.fn[i].devfn == devfn)
			return true;
	return false;
}

static void random_tree(uint64_t *random)
{
	unsigned n = 1 + test_random_below(random, 30), bridges = 0;

	test_bus_init(&bus);
	while (bus.n < n) {
		int parent = -1;
		bool bridge = bridges < 5 && test_random_below(random, 4) == 0;
		unsigned devfn = test_random_below(random, 32) * 8 + test_random_below(random, 2);
		struct test_function *fn;

		if (bus.n && test_random_below(random, 3)) {
			parent = (int)test_random_below(random, bus.n);
			if (!bus.fn[parent].bridge)
				parent = -1;
		}
		if (taken(parent, devfn))
			continue;
		if (devfn & 7 && !taken(parent, devfn & ~7u))
			test_bus_add(&bus, parent, devfn & ~7u, false);
		if (devfn & 7)
			for (unsigned i = 0; i < bus.n; i++)
				if (bus.fn[i].parent == parent && bus.fn[i].devfn == (devfn & ~7u))
					bus.fn[i].config[PCI_HEADER_TYPE] |= R3_PCI_HEADER_MULTI;
		fn = test_bus_add(&bus, parent, devfn, bridge);
		if (bridge)
			give_windows(fn);
		bridges += bridge;
		random_bars(fn, random);
	}
}

static void test_random_trees(void **state)
{
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 150; round++) {
		struct r3_pci_windows windows = space;

		random_tree(&random);
		if (round % 2)
			windows.shuffle = round;
		if (test_random_below(&random, 4) == 0)
			windows.mem64.end = windows.mem64.next;
		if (r3_pci_assign(&bus.access, &windows, 0)) {
			/* only gigabytes may fail to fit below 4 GiB */
			assert_true(windows.mem64.end == windows.mem64.next);
			assert_non_null(strstr(r3_error_text(), "memory window"));
			continue;
		}
		check_all();
	}
}

/* The second time, numbers and addresses that are there already do no harm. */
static void test_again(void **state)
{
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 20; round++) {
		struct r3_pci_windows first = space, second = space;

		random_tree(&random);
		assert_int_equal(r3_pci_assign(&bus.access, &first, 0), 0);
		for (unsigned i = 0; i < bus.n; i++)
			test_put(&bus.fn[i], PCI_COMMAND, 2, 7);
		assert_int_equal(r3_pci_assign(&bus.access, &second, 0), 0);
		assert_int_equal(first.next_bus, second.next_bus);
		assert_int_equal(first.mem.next, second.mem.next);
		check_all();
	}
}

/* By default the largest comes first; shuffled, every order of two comes about. */
static void test_order(void **state)
{
	bool small_first = false, large_first = false;

	for (uint32_t shuffle = 0; shuffle < 32; shuffle++) {
		struct r3_pci_windows windows = space;
		struct test_function *fn;

		windows.shuffle = shuffle;
		test_bus_init(&bus);
		fn = test_bus_add(&bus, -1, 8, false);
		test_bus_bar(fn, 0, 0x1000, 0);
		test_bus_bar(fn, 1, 0x100000, 0);
		assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
		check_all();
		if (shuffle == 0)
			assert_true(test_bus_address(fn, 1) < test_bus_address(fn, 0));
		else if (test_bus_address(fn, 0) < test_bus_address(fn, 1))
			small_first = true;
		else
			large_first = true;
	}
	assert_true(small_first && large_first);
}

static void test_poor_bridge(void **state)
{
	struct r3_pci_windows windows = space;
	struct test_function *fn;

	test_bus_init(&bus);
	test_bus_add(&bus, -1, 8, true); /* memory only */
	fn = test_bus_add(&bus, 0, 0, false);
	test_bus_bar(fn, 0, 64, R3_REGION_PORT);
	test_bus_bar(fn, 1, 0x1000, R3_REGION_64BIT | R3_REGION_PREFETCH);
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
	assert_int_equal(test_bus_address(fn, 0), 0);
	assert_int_equal(windows.io.next, space.io.next);
	assert_int_equal(windows.mem64.next, space.mem64.next);
	assert_int_equal(test_bus_address(fn, 1), 0x40000000);
	fn->bar[0] = 0;
	check_all();
}

static void test_empty_bridge(void **state)
{
	struct r3_pci_windows windows = space;
	struct test_function *fn;

	test_bus_init(&bus);
	fn = test_bus_add(&bus, -1, 8, true);
	give_windows(fn);
	windows.mem.next += 16;
	windows.io.end = windows.io.next;
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
	assert_int_equal(windows.mem.next, space.mem.next + 16);
	assert_int_equal(windows.next_bus, 2);
	assert_true(mem_window(fn).first > mem_window(fn).last);
	assert_true(pref_window(fn).first > pref_window(fn).last);
	assert_true(io_window(fn).first > io_window(fn).last);
}

/* A window may begin at 0, a BAR may not: that means that nobody assigned it. */
static void test_zero(void **state)
{
	struct r3_pci_windows windows = space;
	struct test_function *fn;

	test_bus_init(&bus);
	fn = test_bus_add(&bus, -1, 8, false);
	test_bus_bar(fn, 0, 64, R3_REGION_PORT);
	windows.io.next = 0;
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
	assert_int_equal(test_bus_address(fn, 0), 64);
}

static void test_full(void **state)
{
	struct r3_pci_windows windows = space;
	struct test_function *fn;

	test_bus_init(&bus);
	fn = test_bus_add(&bus, -1, 0x10, false);
	test_bus_bar(fn, 2, 0x1000, 0);
	windows.mem.end = windows.mem.next + 0xfff;
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), -ENOSPC);
	assert_non_null(strstr(r3_error_text(), "00:02.0: BAR 2 needs 0x1000"));

	test_bus_bar(fn, 2, UINT64_C(1) << 63, R3_REGION_64BIT | R3_REGION_PREFETCH);
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), -ENOSPC);

	/* room for the BAR, but not for the whole granule that the bridge must pass */
	test_bus_init(&bus);
	test_bus_add(&bus, -1, 0, true);
	test_bus_bar(test_bus_add(&bus, 0, 0, false), 0, 0x1000, 0);
	windows = space;
	windows.mem.end = windows.mem.next + 0x2000;
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), -ENOSPC);
}

/* ---- lies ---- */

static void test_nonsense_header(void **state)
{
	struct r3_pci_windows windows = space;
	struct test_function *fn;

	for (unsigned type = 2; type < 128; type++) {
		test_bus_init(&bus);
		fn = test_bus_add(&bus, -1, 0, false);
		test_bus_bar(fn, 0, 0x1000, 0);
		fn->config[PCI_HEADER_TYPE] = (uint8_t)type;
		assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
	}
	assert_int_equal(windows.next_bus, space.next_bus);
	assert_int_equal(windows.mem.next, space.mem.next);
}

/* A bridge whose bus number sticks leads nowhere. */
static void test_stuck_bridge(void **state)
{
	struct r3_pci_windows windows = space;
	struct test_function *fn;

	test_bus_init(&bus);
	fn = test_bus_add(&bus, -1, 0, true);
	fn->writable[PCI_SECONDARY_BUS] = 0;
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
	assert_int_equal(windows.next_bus, 1);
}

/* Functions of random bytes, some of them writable: it ends, and soon. */
static void test_random_bytes(void **state)
{
	static const int ends[] = {0, -ENOSPC, -ELOOP};
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 300; round++) {
		struct r3_pci_windows windows = space;
		int rc;

		test_bus_init(&bus);
		for (unsigned i = 0; i < 12; i++) {
			int parent = (int)test_random_below(&random, i + 1) - 1;
			struct test_function *fn = test_bus_add(
				&bus, parent, test_random_below(&random, 32) * 8, i % 3 == 0);

			for (unsigned j = 0; j < 256; j++) {
				fn->config[j] = (uint8_t)test_random(&random);
				fn->writable[j] = (uint8_t)test_random(&random);
			}
			fn->config[PCI_HEADER_TYPE] &= test_random(&random) & 1 ? 0x81 : 0xff;
			if (fn->bridge) /* numbers that stick lead nowhere: let most be right */
				memset(&fn->writable[PCI_PRIMARY_BUS], 0xff, 3);
		}
		rc = r3_pci_assign(&bus.access, &windows, 0);
		assert_true(rc == ends[0] || rc == ends[1] || rc == ends[2]);
		assert_true(bus.accesses < 100000);
		assert_true(windows.next_bus <= 256);
		assert_true(windows.mem.next <= space.mem.end && windows.io.next <= space.io.end);
	}
}

struct mirror {
	struct r3_pci_access access;
	struct test_function fn;
	unsigned slots; /* on every bus, this many of them show the same function */
	unsigned long reads;
};

static uint32_t mirror_read(struct r3_pci_access *access, unsigned number, unsigned devfn,
			    unsigned off, unsigned width)
{
	struct mirror *mirror = (struct mirror *)access;

	mirror->reads++;
	return devfn < mirror->slots ? test_get(&mirror->fn, off, width) : UINT32_MAX;
}

static void mirror_write(struct r3_pci_access *access, unsigned number, unsigned devfn,
			 unsigned off, unsigned width, uint32_t value)
{
	struct mirror *mirror = (struct mirror *)access;

	for (unsigned i = 0; devfn < mirror->slots && i < width; i++)
		if (mirror->fn.writable[off + i])
			mirror->fn.config[off + i] = (uint8_t)(value >> 8 * i);
}

static void test_loop(void **state)
{
	static struct mirror mirror;
	struct r3_pci_windows windows = space;

	test_bus_init(&bus);
	test_bus_add(&bus, -1, 0, true);
	mirror = (struct mirror){
		.access = {mirror_read, mirror_write},
		.fn = bus.fn[0],
		.slots = 1,
	};
	assert_int_equal(r3_pci_assign(&mirror.access, &windows, 0), -ELOOP);
	assert_true(mirror.reads < 10000);
}

/* More bridges than there are bus numbers. */
static void test_bus_numbers(void **state)
{
	struct r3_pci_windows windows = space;

	test_bus_init(&bus);
	for (unsigned i = 0; i < 32; i++)
		test_bus_add(&bus, -1, i * 8, true);
	windows.next_bus = 224;
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
	assert_int_equal(windows.next_bus, 256);
	windows = space;
	windows.next_bus = 225;
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), -ENOSPC);
	assert_non_null(strstr(r3_error_text(), "bus number"));
}

/* A port that shows what is in its one slot in all 32. */
static void test_link(void **state)
{
	struct r3_pci_windows windows = space;
	struct test_function *port, *fn;

	test_bus_init(&bus);
	port = test_bus_add(&bus, -1, 8, true);
	test_put(port, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	port->config[PCI_CAPABILITY_LIST] = 0x40;
	port->config[0x40] = PCI_CAP_ID_EXP;
	test_put(port, 0x40 + PCI_EXP_FLAGS, 2, PCI_EXP_TYPE_ROOT_PORT << 4);
	for (unsigned i = 0; i < 32; i++) {
		fn = test_bus_add(&bus, 0, i * 8, false);
		test_bus_bar(fn, 0, 0x1000, 0);
	}
	assert_int_equal(r3_pci_assign(&bus.access, &windows, 0), 0);
	assert_int_equal(test_bus_address(&bus.fn[1], 0), space.mem.next);
	assert_int_equal(test_bus_address(&bus.fn[2], 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_trees),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_poor_bridge),
		cmocka_unit_test(test_empty_bridge),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_zero),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_nonsense_header),
		cmocka_unit_test(test_stuck_bridge),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_bus_numbers),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
