/* SPDX-License-Identifier: BSD-2-Clause */
/* Behind the IOMMU the device reaches what is mapped, and nothing else; what it tries is
 * told. DMA by edu, between memory and its buffer (QEMU docs/specs/edu.txt). */
#include "iommu_bed.h"

static void bytes_go_where_they_are_mapped(void **state)
{
	struct r3_mem *mem = new_memory(16384, 0);

	fill_device(0xa5);
	map(mem, 4096, 8192, BOTH, UINT64_C(0x7fff00000000));
	device_writes(UINT64_C(0x7fff00001000));
	all_are(bytes_of(mem), 0, 8192);
	all_are(bytes_of(mem) + 8192, 0xa5, LEN);
	all_are(bytes_of(mem) + 8192 + LEN, 0, 8192 - LEN);
	unmap(UINT64_C(0x7fff00000000), 8192);
	no_event(dev);
	r3_mem_unref(mem);
}

static void what_is_not_mapped_is_refused_and_told(void **state)
{
	device_writes(0x12345000);
	fault_is(0x12345000, "write");
	device_reads(0x777000);
	fault_is(0x777000, "read");
	/* the RAM with the IOMMU's own tables */
	device_writes(R3_QEMU_DMA_FIRST);
	fault_is(R3_QEMU_DMA_FIRST, "write");
	no_event(dev);
}

static void what_is_unmapped_is_refused_again(void **state)
{
	struct r3_mem *mem = new_memory(4096, 0x11);

	fill_device(0xa5);
	for (unsigned i = 0; i < 3; i++) {
		map(mem, 0, 4096, BOTH, 0x20000000);
		device_writes(0x20000000); /* the IOMMU remembers the page now */
		all_are(bytes_of(mem), 0xa5, LEN);
		unmap(0x20000000, 4096);
		memset(bytes_of(mem), 0x11, 4096);
		device_writes(0x20000000);
		all_are(bytes_of(mem), 0x11, 4096);
		fault_is(0x20000000, "write");
	}
	r3_mem_unref(mem);
}

/* The same address, other memory: what was there before stays as it is. */
static void an_address_is_not_stale(void **state)
{
	struct r3_mem *first = new_memory(4096, 1), *second = new_memory(4096, 2);

	fill_device(0xa5);
	map(first, 0, 4096, BOTH, 0x20000000);
	device_writes(0x20000000);
	unmap(0x20000000, 4096);
	memset(bytes_of(first), 1, 4096);
	map(second, 0, 4096, BOTH, 0x20000000);
	device_writes(0x20000000);
	all_are(bytes_of(first), 1, 4096);
	all_are(bytes_of(second), 0xa5, LEN);
	no_event(dev);
	unmap(0x20000000, 4096);
	r3_mem_unref(first);
	r3_mem_unref(second);
}

/* QEMU keeps to the protection always. It tells of what breaks it while the page is not in
 * its IOTLB, which is when the device has not used it the right way lately. */
static void protection_is_kept(void **state)
{
	struct r3_mem *mem = new_memory(4096, 0x33);

	fill_device(0xa5);
	map(mem, 0, 4096, R3_DMA_DEVICE_READ, 0x30000000);
	map(mem, 0, 4096, R3_DMA_DEVICE_WRITE, 0x30001000);
	device_writes(0x30000000);
	all_are(bytes_of(mem), 0x33, 4096);
	fault_is(0x30000000, "write");
	device_reads(0x30001000);
	fault_is(0x30001000, "read");
	device_writes(0x30001000);
	all_are(bytes_of(mem), 0, LEN); /* what it read was not there */
	memset(bytes_of(mem), 0x44, 4096);
	device_reads(0x30000000);
	device_writes(0x30000000);
	all_are(bytes_of(mem), 0x44, 4096);
	unmap(0x30000000, 8192);
	r3_mem_unref(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_go_where_they_are_mapped, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_mapped_is_refused_and_told, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_unmapped_is_refused_again, setup, teardown),
		cmocka_unit_test_setup_teardown(an_address_is_not_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(protection_is_kept, setup, teardown),
	};

	r3_log_sink(R3_LOG_WARN, keep_log, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
