/* SPDX-License-Identifier: BSD-2-Clause */
/* Capability lists and the MSI and MSI-X registers of a function, true and false ones. */
#include "pci/access.h"
#include "pci/caps.h"
#include "pci/msi.h"
#include "pci/test_bus.h"
#include "unit.h"
#include <ring3/region.h>

#include <errno.h>
#include <string.h>

static struct test_bus bus;

static struct test_function *function(void)
{
	struct test_function *fn;

	test_bus_init(&bus);
	fn = test_bus_add(&bus, -1, 0, false);
	test_put(fn, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	fn->config[PCI_CAPABILITY_LIST] = 0x40;
	return fn;
}

static void cap(struct test_function *fn, unsigned offset, uint8_t id, uint8_t next)
{
	fn->config[offset] = id;
	fn->config[offset + 1] = next;
}

static void test_lists(void **state)
{
	struct test_function *fn = function();
	struct r3_pci_cap caps[4];
	unsigned offset;

	cap(fn, 0x40, PCI_CAP_ID_PM, 0x50 | 3); /* the low bits are reserved */
	cap(fn, 0x50, PCI_CAP_ID_EXP, 0);
	test_put(fn, 0x100, 4, PCI_EXT_CAP_ID_ERR | 2 << 16 | 0x148 << 20);
	test_put(fn, 0x148, 4, PCI_EXT_CAP_ID_DSN | 1 << 16);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 4);
	assert_int_equal(caps[0].id, PCI_CAP_ID_PM);
	assert_int_equal(caps[1].offset, 0x50);
	assert_false(caps[1].extended);
	assert_int_equal(caps[2].id, PCI_EXT_CAP_ID_ERR);
	assert_int_equal(caps[2].version, 2);
	assert_true(caps[3].extended);
	assert_int_equal(caps[3].offset, 0x148);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, NULL, 0), 4);

	/* the same number means something else in the other list */
	assert_int_equal(PCI_EXT_CAP_ID_ERR, PCI_CAP_ID_PM);
	assert_int_equal(r3_pci_find_cap(&bus.access, 0, 0, 1, true, &offset), 0);
	assert_int_equal(offset, 0x100);
	assert_int_equal(r3_pci_find_cap(&bus.access, 0, 0, 1, false, &offset), 0);
	assert_int_equal(offset, 0x40);
	assert_int_equal(r3_pci_find_cap(&bus.access, 0, 0, 9, false, &offset), -ENOENT);

	/* conventional PCI has no extended list, whatever answers there */
	cap(fn, 0x50, PCI_CAP_ID_VPD, 0);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 2);
	test_put(fn, PCI_STATUS, 2, 0);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 0);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 8, caps, 4), 0);
}

static void test_broken_lists(void **state)
{
	struct test_function *fn = function();
	struct r3_pci_cap caps[4];

	cap(fn, 0x40, PCI_CAP_ID_EXP, 0x50);
	cap(fn, 0x50, PCI_CAP_ID_PM, 0x40); /* a loop */
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 2);
	cap(fn, 0x50, PCI_CAP_ID_PM, 0x3c); /* into the header */
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 2);
	cap(fn, 0x50, 0xff, 0xff);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 1);
	test_put(fn, 0x100, 4, PCI_EXT_CAP_ID_ERR | 1 << 16 | 0x100u << 20);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 2);
	test_put(fn, 0x100, 4, PCI_EXT_CAP_ID_ERR | 1 << 16 | 0x80u << 20);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 2);
	test_put(fn, 0x100, 4, UINT32_MAX);
	assert_int_equal(r3_pci_list_caps(&bus.access, 0, 0, caps, 4), 1);
}

/* Any bytes at all: the walk ends, and stays inside. */
static void test_random_lists(void **state)
{
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 500; round++) {
		struct test_function *fn = function();
		struct r3_pci_cap caps[1024];
		unsigned n;

		for (unsigned i = 0x40; i < sizeof(fn->config); i++)
			fn->config[i] = (uint8_t)test_random(&random);
		cap(fn, 0x40, PCI_CAP_ID_EXP, (uint8_t)test_random(&random));
		n = r3_pci_list_caps(&bus.access, 0, 0, caps, 1024);
		assert_in_range(n, 1, 48 + 960);
		for (unsigned i = 0; i < n; i++)
			assert_in_range(caps[i].offset, caps[i].extended ? 0x100 : 0x40,
					caps[i].extended ? 0xffc : 0xfc);
	}
}

static void writable(struct test_function *fn, unsigned off, unsigned width, uint32_t mask)
{
	for (unsigned i = 0; i < width; i++)
		fn->writable[off + i] = (uint8_t)(mask >> 8 * i);
}

static void test_msi(void **state)
{
	struct test_function *fn = function();
	struct r3_pci_msi msi;

	assert_int_equal(r3_pci_msi_parse(&bus.access, 0, 0, &msi), -ENOENT);
	cap(fn, 0x40, PCI_CAP_ID_MSI, 0);
	test_put(fn, 0x42, 2, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 3 << 1);
	writable(fn, 0x42, 2, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	writable(fn, 0x44, 4, ~3u);
	writable(fn, 0x48, 4, ~0u);
	writable(fn, 0x4c, 2, 0xffff);
	writable(fn, 0x50, 4, ~0u);
	assert_int_equal(r3_pci_msi_parse(&bus.access, 0, 0, &msi), 0);
	assert_int_equal(msi.offset, 0x40);
	assert_int_equal(msi.max, 8);
	assert_true(msi.wide && msi.maskable);

	test_put(fn, 0x50, 4, ~0u);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 4, 0x1fee00000, 0x40), 0);
	assert_int_equal(test_get(fn, 0x42, 2), PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT |
							3 << 1 | 2 << 4 | PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(test_get(fn, 0x44, 4), 0xfee00000);
	assert_int_equal(test_get(fn, 0x48, 4), 1);
	assert_int_equal(test_get(fn, 0x4c, 2), 0x40);
	assert_int_equal(test_get(fn, 0x50, 4), 0);
	assert_int_equal(r3_pci_msi_mask(&bus.access, 0, 0, &msi, 3, true), 0);
	assert_int_equal(test_get(fn, 0x50, 4), 8);
	assert_int_equal(r3_pci_msi_mask(&bus.access, 0, 0, &msi, 3, false), 0);
	assert_int_equal(test_get(fn, 0x50, 4), 0);
	assert_int_equal(r3_pci_msi_mask(&bus.access, 0, 0, &msi, 8, true), -EINVAL);

	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 3, 0, 0), -EINVAL);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 16, 0, 0), -EINVAL);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 4, 0, 2), -EINVAL);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 4, 2, 0), -EINVAL);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 0, 0, 0), 0);
	assert_false(test_get(fn, 0x42, 2) & PCI_MSI_FLAGS_ENABLE);
	writable(fn, 0x42, 2, 0);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 1, 0, 0), -EIO);
}

static void test_msi_narrow(void **state)
{
	struct test_function *fn = function();
	struct r3_pci_msi msi;

	cap(fn, 0x40, PCI_CAP_ID_MSI, 0);
	writable(fn, 0x42, 2, PCI_MSI_FLAGS_ENABLE);
	writable(fn, 0x44, 4, ~3u);
	writable(fn, 0x48, 2, 0xffff);
	assert_int_equal(r3_pci_msi_parse(&bus.access, 0, 0, &msi), 0);
	assert_int_equal(msi.max, 1);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 1, 0x1fee00000, 1), -EINVAL);
	assert_int_equal(r3_pci_msi_program(&bus.access, 0, 0, &msi, 1, 0xfee00000, 7), 0);
	assert_int_equal(test_get(fn, 0x48, 2), 7);
	assert_int_equal(r3_pci_msi_mask(&bus.access, 0, 0, &msi, 0, true), -EOPNOTSUPP);

	test_put(fn, 0x42, 2, 6 << 1); /* 64 vectors are reserved */
	assert_int_equal(r3_pci_msi_parse(&bus.access, 0, 0, &msi), -ENOENT);
	cap(fn, 0x40, PCI_CAP_ID_PM, 0xf8);
	cap(fn, 0xf8, PCI_CAP_ID_MSI, 0); /* the data would lie behind the end */
	assert_int_equal(r3_pci_msi_parse(&bus.access, 0, 0, &msi), -ENOENT);
}

static void test_msix(void **state)
{
	struct r3_pci_bar bar[7] = {[0] = {.size = 0x4000}, [1] = {.size = 64}};
	struct test_function *fn = function();
	struct r3_pci_msix msix;

	bar[1].flags = R3_REGION_PORT;
	assert_int_equal(r3_pci_msix_parse(&bus.access, 0, 0, bar, &msix), -ENOENT);
	cap(fn, 0x40, PCI_CAP_ID_MSIX, 0);
	test_put(fn, 0x42, 2, 64);
	writable(fn, 0x42, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	test_put(fn, 0x44, 4, 0x2000);
	test_put(fn, 0x48, 4, 0x3000);
	assert_int_equal(r3_pci_msix_parse(&bus.access, 0, 0, bar, &msix), 0);
	assert_int_equal(msix.max, 65);
	assert_int_equal(msix.table_bar, 0);
	assert_int_equal(msix.table_off, 0x2000);
	assert_int_equal(msix.pba_off, 0x3000);
	assert_int_equal(r3_pci_msix_control(&bus.access, 0, 0, &msix, true, true), 0);
	assert_int_equal(test_get(fn, 0x42, 2), 0xc000 | 64);
	assert_int_equal(r3_pci_msix_control(&bus.access, 0, 0, &msix, true, false), 0);
	assert_int_equal(test_get(fn, 0x42, 2), 0x8000 | 64);
	assert_int_equal(r3_pci_msix_control(&bus.access, 0, 0, &msix, false, false), 0);
	writable(fn, 0x42, 2, 0);
	assert_int_equal(r3_pci_msix_control(&bus.access, 0, 0, &msix, true, false), -EIO);

	test_put(fn, 0x44, 4, 0x4000 - 64 * 16); /* one entry too far */
	assert_int_equal(r3_pci_msix_parse(&bus.access, 0, 0, bar, &msix), -ENOENT);
	test_put(fn, 0x44, 4, 0xfffffff8);
	assert_int_equal(r3_pci_msix_parse(&bus.access, 0, 0, bar, &msix), -ENOENT);
	test_put(fn, 0x44, 4, 0x2000 | 7);
	assert_int_equal(r3_pci_msix_parse(&bus.access, 0, 0, bar, &msix), -ENOENT);
	test_put(fn, 0x44, 4, 1);
	assert_int_equal(r3_pci_msix_parse(&bus.access, 0, 0, bar, &msix), -ENOENT);
	test_put(fn, 0x44, 4, 0x2000);
	test_put(fn, 0x48, 4, 0x4000 - 8);
	assert_int_equal(r3_pci_msix_parse(&bus.access, 0, 0, bar, &msix), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),        cmocka_unit_test(test_broken_lists),
		cmocka_unit_test(test_random_lists), cmocka_unit_test(test_msi),
		cmocka_unit_test(test_msi_narrow),   cmocka_unit_test(test_msix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
