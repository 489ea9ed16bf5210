/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * edu behind an IOMMU, for tests: map, unmap, let it read and write memory by DMA (through
 * its buffer; QEMU docs/specs/edu.txt), and look at what was told of it.
 */
#ifndef RING3_TESTS_IOMMU_BED_H
#define RING3_TESTS_IOMMU_BED_H

#include "backend/qemu/iommu.h"
#include "backend/qemu/qemu.h"
#include "qemu_test.h"

#include <errno.h>
#include <ring3/log.h>
#include <string.h>

enum { EDU_DMA_SRC = 0x80, EDU_DMA_DST = 0x88, EDU_DMA_COUNT = 0x90, EDU_DMA_CMD = 0x98 };
#define EDU_BUFFER 0x40000
#define EDU        "qemu:edu,iommu=on,prop.dma_mask=0xffffffffffffffff"
#define LEN        2048
#define BOTH       (R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE)

static struct r3_device *dev;
static struct r3_region *bar;
static char log_text[4096];

static inline void keep_log(void *ctx, enum r3_log_level level, const char *text)
{
	size_t n = strlen(log_text);

	snprintf(log_text + n, sizeof(log_text) - n, "%s\n", text);
}

static inline int setup(void **state)
{
	log_text[0] = '\0';
	dev = open_device(EDU);
	bar = open_region(dev, R3_REGION_BAR0);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	return 0;
}

static inline int teardown(void **state)
{
	r3_device_close(dev);
	return 0;
}

static inline struct r3_mem *new_memory(uint64_t size, int byte)
{
	struct r3_mem *mem;

	assert_int_equal(r3_mem_create("foreign", size, 0, &mem), 0);
	memset(r3_mem_addr(mem), byte, size);
	return mem;
}

static inline unsigned char *bytes_of(struct r3_mem *mem)
{
	return r3_mem_addr(mem);
}

static inline int try_map(struct r3_mem *mem, uint64_t off, uint64_t len, unsigned prot,
			  uint64_t iova)
{
	struct r3_dma_extent extent = {.iova = iova};
	unsigned n = 1;

	return dev->ops->dma_map(dev, mem, off, len, prot, &extent, &n);
}

static inline void map(struct r3_mem *mem, uint64_t off, uint64_t len, unsigned prot, uint64_t iova)
{
	if (try_map(mem, off, len, prot, iova))
		fail_msg("%s", r3_error_text());
}

static inline void unmap(uint64_t iova, uint64_t len)
{
	if (dev->ops->dma_unmap(dev, iova, len))
		fail_msg("%s", r3_error_text());
}

static inline void transfer(uint64_t from, uint64_t to, bool to_memory)
{
	r3_write64(bar, EDU_DMA_SRC, from);
	r3_write64(bar, EDU_DMA_DST, to);
	r3_write64(bar, EDU_DMA_COUNT, LEN);
	r3_write64(bar, EDU_DMA_CMD, to_memory ? 3 : 1);
	assert_int_equal(r3_region_wait32(bar, EDU_DMA_CMD, 1, 0, 30 * R3_NSEC_PER_SEC, NULL), 0);
}

static inline void device_writes(uint64_t iova)
{
	transfer(EDU_BUFFER, iova, true);
}

static inline void device_reads(uint64_t iova)
{
	transfer(iova, EDU_BUFFER, false);
}

/* The device's buffer holds LEN bytes of @byte, by way of memory mapped for the moment. */
static inline void fill_device(int byte)
{
	struct r3_mem *mem = new_memory(4096, byte);

	map(mem, 0, 4096, R3_DMA_DEVICE_READ, 0x10000000);
	device_reads(0x10000000);
	unmap(0x10000000, 4096);
	r3_mem_unref(mem);
}

static inline void all_are(const unsigned char *at, int byte, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != byte)
			fail_msg("byte %zu is %#x, not %#x", i, at[i], byte);
}

/** It is told, though perhaps not in this second. */
static inline void fault_at(uint64_t page)
{
	struct r3_event event;
	int n = 0;

	while (n == 0) {
		assert_true(readable(r3_device_fd(dev), SOON_MS));
		n = r3_device_dispatch(dev, &event, 1);
	}
	assert_int_equal(n, 1);
	assert_int_equal(event.type, R3_EVENT_DMA_FAULT);
	assert_int_equal(event.detail, page);
}

/** The same, and the log says it too, while it is not flooded. */
static inline void fault_is(uint64_t page, const char *what)
{
	char text[64];

	fault_at(page);
	snprintf(text, sizeof(text), "%s at %#llx", what, (unsigned long long)page);
	if (!strstr(log_text, text) || !strstr(log_text, dev->info.name))
		fail_msg("no \"%s\" in: %s", text, log_text);
	log_text[0] = '\0';
}

#endif
