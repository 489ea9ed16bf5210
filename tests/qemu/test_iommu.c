/* SPDX-License-Identifier: BSD-2-Clause */
/* Behind the IOMMU the device reaches what is mapped, and nothing else; what it tries is
 * told. DMA by edu, between memory and its buffer (QEMU docs/specs/edu.txt). */
#include "backend/qemu/iommu.h"
#include "backend/qemu/qemu.h"
#include "qemu_test.h"

#include <errno.h>
#include <fcntl.h>
#include <ring3/log.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EDU_DMA_SRC = 0x80, EDU_DMA_DST = 0x88, EDU_DMA_COUNT = 0x90, EDU_DMA_CMD = 0x98 };
#define EDU_BUFFER 0x40000
#define EDU        "qemu:edu,iommu=on,prop.dma_mask=0xffffffffffffffff"
#define LEN        2048
#define BOTH       (R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE)

static struct r3_device *edu;
static struct r3_region *bar;
static char log_text[4096];

static void keep_log(void *ctx, enum r3_log_level level, const char *text)
{
	size_t n = strlen(log_text);

	snprintf(log_text + n, sizeof(log_text) - n, "%s\n", text);
}

static int setup(void **state)
{
	log_text[0] = '\0';
	edu = open_device(EDU);
	bar = open_region(edu, R3_REGION_BAR0);
	assert_int_equal(r3_pci_enable(edu, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	return 0;
}

static int teardown(void **state)
{
	r3_device_close(edu);
	return 0;
}

static struct r3_mem *new_memory(uint64_t size, int byte)
{
	struct r3_mem *mem;

	assert_int_equal(r3_mem_create("foreign", size, 0, &mem), 0);
	memset(r3_mem_addr(mem), byte, size);
	return mem;
}

static unsigned char *bytes_of(struct r3_mem *mem)
{
	return r3_mem_addr(mem);
}

static int try_map(struct r3_mem *mem, uint64_t off, uint64_t len, unsigned prot, uint64_t iova)
{
	struct r3_dma_extent extent = {.iova = iova};
	unsigned n = 1;

	return edu->ops->dma_map(edu, mem, off, len, prot, &extent, &n);
}

static void map(struct r3_mem *mem, uint64_t off, uint64_t len, unsigned prot, uint64_t iova)
{
	if (try_map(mem, off, len, prot, iova))
		fail_msg("%s", r3_error_text());
}

static void unmap(uint64_t iova, uint64_t len)
{
	if (edu->ops->dma_unmap(edu, iova, len))
		fail_msg("%s", r3_error_text());
}

static void transfer(uint64_t from, uint64_t to, bool to_memory)
{
	r3_write64(bar, EDU_DMA_SRC, from);
	r3_write64(bar, EDU_DMA_DST, to);
	r3_write64(bar, EDU_DMA_COUNT, LEN);
	r3_write64(bar, EDU_DMA_CMD, to_memory ? 3 : 1);
	assert_int_equal(r3_region_wait32(bar, EDU_DMA_CMD, 1, 0, 30 * R3_NSEC_PER_SEC, NULL), 0);
}

static void device_writes(uint64_t iova)
{
	transfer(EDU_BUFFER, iova, true);
}

static void device_reads(uint64_t iova)
{
	transfer(iova, EDU_BUFFER, false);
}

/* The device's buffer holds LEN bytes of @byte, by way of memory mapped for the moment. */
static void fill_device(int byte)
{
	struct r3_mem *mem = new_memory(4096, byte);

	map(mem, 0, 4096, R3_DMA_DEVICE_READ, 0x10000000);
	device_reads(0x10000000);
	unmap(0x10000000, 4096);
	r3_mem_unref(mem);
}

static void all_are(const unsigned char *at, int byte, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != byte)
			fail_msg("byte %zu is %#x, not %#x", i, at[i], byte);
}

static void fault_is(uint64_t page, const char *what)
{
	struct r3_event event;
	char text[64];

	assert_true(readable(r3_device_fd(edu), SOON_MS));
	assert_int_equal(r3_device_dispatch(edu, &event, 1), 1);
	assert_int_equal(event.type, R3_EVENT_DMA_FAULT);
	assert_int_equal(event.detail, page);
	snprintf(text, sizeof(text), "%s at %#llx", what, (unsigned long long)page);
	if (!strstr(log_text, text) || !strstr(log_text, "qemu:edu"))
		fail_msg("no \"%s\" in: %s", text, log_text);
	log_text[0] = '\0';
}

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
	no_event(edu);
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
	no_event(edu);
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
	no_event(edu);
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
