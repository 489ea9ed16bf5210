/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizing: what is a BAR, what is none, and that nothing is left changed. */
#include "pci/access.h"
#include "pci/test_bus.h"
#include "unit.h"
#include <ring3/region.h>

#include <errno.h>
#include <string.h>

static struct test_bus bus;

static void test_kinds(void **state)
{
	struct test_function *fn;
	struct r3_pci_bar bar[7];

	test_bus_init(&bus);
	fn = test_bus_add(&bus, -1, 8, false);
	test_bus_bar(fn, 0, 0x100000, 0);
	test_bus_bar(fn, 1, 32, R3_REGION_PORT);
	test_bus_bar(fn, 2, UINT64_C(1) << 36, R3_REGION_64BIT | R3_REGION_PREFETCH);
	test_bus_bar(fn, 4, 0x4000, R3_REGION_64BIT);
	test_bus_bar(fn, 6, 0x800, 0);
	fn->writable[PCI_BASE_ADDRESS_1 + 2] = 0; /* a port BAR of 16 bits */
	fn->writable[PCI_BASE_ADDRESS_1 + 3] = 0;
	test_put(fn, PCI_BASE_ADDRESS_0, 4, 0xfe100000);
	test_put(fn, PCI_BASE_ADDRESS_3, 4, 0x70);
	test_put(fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

	assert_int_equal(r3_pci_size(&bus.access, 0, 8, bar), 0);
	assert_int_equal(bar[0].size, 0x100000);
	assert_int_equal(bar[0].address, 0xfe100000);
	assert_int_equal(bar[0].flags, 0);
	assert_int_equal(bar[1].size, 32);
	assert_int_equal(bar[1].flags, R3_REGION_PORT);
	assert_int_equal(bar[2].size, UINT64_C(1) << 36);
	assert_int_equal(bar[2].address, UINT64_C(0x70) << 32);
	assert_int_equal(bar[2].flags, R3_REGION_64BIT | R3_REGION_PREFETCH);
	assert_int_equal(bar[3].size, 0);
	assert_int_equal(bar[4].size, 0x4000);
	assert_int_equal(bar[4].flags, R3_REGION_64BIT);
	assert_int_equal(bar[6].size, 0x800);
	assert_int_equal(bus.decoded, 0);
	assert_int_equal(test_get(fn, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(r3_pci_size(&bus.access, 0, 9, bar), -ENODEV);
}

/* Registers that answer what no BAR answers. */
static void test_nonsense(void **state)
{
	static const struct {
		const char *what;
		unsigned index;
		uint32_t fixed, writable;
	} cases[] = {
		{"bits missing in the middle", 0, 0, 0xff0ff000},
		{"bits missing at the top", 0, 0, 0x0ffff000},
		{"writable down to the type bits, all ones", 0, 0, 0xffffffff},
		{"fixed address", 0, 0xfee00000, 0},
		{"below 1 MiB", 0, PCI_BASE_ADDRESS_MEM_TYPE_1M, 0xfffff000},
		{"reserved type", 0, 6, 0xfffff000},
		{"64 bits in the last place", 5, PCI_BASE_ADDRESS_MEM_TYPE_64, 0xfffff000},
		{"64 bits without an upper half", 0, PCI_BASE_ADDRESS_MEM_TYPE_64, 0xfffff000},
		{"ports with bits missing", 0, PCI_BASE_ADDRESS_SPACE_IO, 0xf0f0},
		{"ports that are all ones", 0, 3, 0xfffffffc},
		{"type bits only", 0, PCI_BASE_ADDRESS_MEM_PREFETCH, 0},
		{"a fixed port", 0, 0x1f1, 0},
	};
	struct r3_pci_bar bar[7];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned off = PCI_BASE_ADDRESS_0 + 4 * cases[i].index;
		struct test_function *fn;

		test_bus_init(&bus);
		fn = test_bus_add(&bus, -1, 0, false);
		test_put(fn, off, 4, cases[i].fixed);
		for (unsigned j = 0; j < 4; j++)
			fn->writable[off + j] = (uint8_t)(cases[i].writable >> 8 * j);
		/* what stands behind the last BAR is no upper half of one */
		memset(&fn->writable[PCI_CARDBUS_CIS], 0xff, 4);
		assert_int_equal(r3_pci_size(&bus.access, 0, 0, bar), 0);
		for (unsigned j = 0; j < 7; j++) {
			if (bar[j].size)
				fail_msg("%s: BAR %u of %#llx bytes", cases[i].what, j,
					 (unsigned long long)bar[j].size);
		}
		assert_int_equal(test_get(fn, off, 4), cases[i].fixed);
	}
}

static void test_header_type(void **state)
{
	struct test_function *fn;
	struct r3_pci_bar bar[7];

	test_bus_init(&bus);
	fn = test_bus_add(&bus, -1, 0, false);
	for (unsigned i = 0; i < 6; i++)
		test_bus_bar(fn, i, 4096, 0);
	for (unsigned type = 0; type < 256; type++) {
		fn->config[PCI_HEADER_TYPE] = (uint8_t)type;
		assert_int_equal(r3_pci_size(&bus.access, 0, 0, bar), 0);
		assert_int_equal(bar[0].size, (type & 0x7f) < 2 ? 4096 : 0);
		assert_int_equal(bar[2].size, (type & 0x7f) < 1 ? 4096 : 0);
	}
}

/* Whatever the registers hold and can hold, they hold it afterwards. */
static void test_restored(void **state)
{
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 2000; round++) {
		struct test_function *fn, before;
		struct r3_pci_bar bar[7];

		test_bus_init(&bus);
		fn = test_bus_add(&bus, -1, 0, round & 1);
		fn->writable[PCI_COMMAND] = 0xff;
		for (unsigned i = PCI_BASE_ADDRESS_0; i < 64; i++) {
			fn->config[i] = (uint8_t)test_random(&random);
			fn->writable[i] = (uint8_t)test_random(&random);
		}
		fn->config[PCI_COMMAND] = (uint8_t)test_random(&random);
		before = *fn;
		assert_int_equal(r3_pci_size(&bus.access, 0, 0, bar), 0);
		assert_memory_equal(fn->config, before.config, sizeof(before.config));
		assert_int_equal(bus.decoded, 0);
		for (unsigned i = 0; i < 7; i++)
			assert_int_equal(bar[i].size & (bar[i].size - 1), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_header_type),
		cmocka_unit_test(test_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
