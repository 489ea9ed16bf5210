/* SPDX-License-Identifier: BSD-2-Clause */
/* The arena and its device addresses, foreign memory, and whether the device finds there what
 * the program put there. */
#include "contract.h"

#include <errno.h>
#include <string.h>

#define PIECES 64

static struct r3_arena *arena_of(struct contract *c)
{
	struct r3_arena *arena, *again;

	contract_need(c, R3_CAP_DMA);
	assert_ok(r3_device_arena(c->dev, &arena));
	assert_ok(r3_device_arena(c->dev, &again));
	assert_ptr_equal(arena, again);
	return arena;
}

static void no_dma_says_so(void **state)
{
	struct contract *c = *state;
	struct r3_arena *arena;

	if (c->dev->info.caps & R3_CAP_DMA)
		skip();
	assert_int_equal(r3_device_arena(c->dev, &arena), -EOPNOTSUPP);
}

static void limits_make_sense(void **state)
{
	struct contract *c = *state;
	struct r3_dma_limits limits = {.page_size = 0};

	contract_need(c, R3_CAP_DMA);
	assert_non_null(c->dev->ops->dma_limits);
	assert_ok(c->dev->ops->dma_limits(c->dev, &limits));
	assert_true(limits.page_size);
	assert_int_equal(limits.page_size & (limits.page_size - 1), 0);
	assert_in_range(limits.nwindows, 1, 8);
	for (unsigned i = 0; i < limits.nwindows; i++)
		assert_true(limits.window[i].first <= limits.window[i].last);
}

static bool in_windows(const struct r3_dma_limits *limits, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < limits->nwindows; i++)
		if (iova >= limits->window[i].first && iova + (len - 1) <= limits->window[i].last)
			return true;
	return false;
}

/* Each byte of each piece has a device address of its own, in the windows. */
static void pieces_have_their_addresses(void **state)
{
	struct contract *c = *state;
	struct r3_arena *arena = arena_of(c);
	struct r3_dma_limits limits;
	struct {
		unsigned char *at;
		uint64_t iova, len;
	} piece[PIECES];

	assert_ok(c->dev->ops->dma_limits(c->dev, &limits));
	for (unsigned i = 0; i < PIECES; i++) {
		uint64_t align = UINT64_C(64) << test_random_below(&c->random, 7), left;
		void *ptr;

		piece[i].len = 1 + test_random_below(&c->random, 65536);
		assert_ok(r3_arena_alloc(arena, piece[i].len, align, &ptr));
		piece[i].at = ptr;
		assert_true(r3_device_iova(c->dev, ptr, &piece[i].iova, &left));
		assert_int_equal(piece[i].iova % align, 0);
		if (left < piece[i].len) /* extents may end in it: look at its first part only */
			piece[i].len = left;
		assert_true(in_windows(&limits, piece[i].iova, piece[i].len));
		for (unsigned n = 0; n < 16; n++) {
			uint64_t off = test_random_below(&c->random, (unsigned)piece[i].len), iova;

			assert_true(r3_device_iova(c->dev, piece[i].at + off, &iova, &left));
			assert_int_equal(iova, piece[i].iova + off);
		}
		for (unsigned j = 0; j < i; j++)
			assert_true(piece[i].iova + piece[i].len <= piece[j].iova ||
				    piece[j].iova + piece[j].len <= piece[i].iova);
	}
	for (unsigned i = 0; i < PIECES; i++)
		assert_ok(r3_arena_free(arena, piece[i].at));
}

static void other_memory_has_none(void **state)
{
	struct contract *c = *state;
	struct r3_arena *arena = arena_of(c);
	uint64_t iova, left;
	int on_stack;

	assert_non_null(arena);
	assert_false(r3_device_iova(c->dev, &on_stack, &iova, &left));
	assert_false(r3_device_iova(c->dev, NULL, &iova, &left));
	assert_false(r3_device_iova(c->dev, c->dev->arena_base - 1, &iova, &left));
	assert_false(r3_device_iova(c->dev, c->dev->arena_base + c->dev->arena_len, &iova, &left));
}

/* Memory of the program, mapped and unmapped while the arena stays. */
static void foreign_memory_comes_and_goes(void **state)
{
	struct contract *c = *state;
	struct r3_dma_extent extent[R3_DEVICE_ARENA_EXTENTS] = {{.iova = 0}};
	const unsigned prot = R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE;
	struct r3_dma_limits limits;
	struct r3_mem *mem;
	unsigned fds, n;

	contract_need(c, R3_CAP_DMA);
	if (c->dev->info.caps & R3_CAP_OWN_MEM)
		skip();
	arena_of(c);
	assert_ok(c->dev->ops->dma_limits(c->dev, &limits));
	assert_ok(r3_mem_create("foreign", 1 << 20, 0, &mem));
	fds = test_count_fds();
	for (unsigned i = 0; i < 10; i++) {
		/* far from where the core puts the arena */
		extent[0].iova = (limits.window[limits.nwindows - 1].last + 1 - (16 << 20)) &
				 ~(limits.page_size - 1);
		n = R3_DEVICE_ARENA_EXTENTS;
		assert_ok(c->dev->ops->dma_map(c->dev, mem, 0, 1 << 20, prot, extent, &n));
		for (unsigned j = 0; j < n; j++)
			assert_ok(c->dev->ops->dma_unmap(c->dev, extent[j].iova, extent[j].len));
	}
	assert_true(test_count_fds() <= fds);
	n = R3_DEVICE_ARENA_EXTENTS;
	assert_true(c->dev->ops->dma_map(c->dev, mem, 1, 4096, prot, extent, &n) < 0);
	assert_true(c->dev->ops->dma_unmap(c->dev, 0x1000, 4096) < 0);
	r3_mem_unref(mem);
}

static void bytes_arrive(void **state)
{
	struct contract *c = *state;
	const struct contract_model *model = contract_model(c->dev);
	struct r3_arena *arena;
	unsigned char *from, *to;
	uint64_t iova_from, iova_to, left;
	unsigned len;

	contract_need(c, R3_CAP_DMA);
	if (!model || !model->copy)
		skip();
	len = model->longest;
	arena = arena_of(c);
	assert_ok(r3_arena_alloc(arena, len, 4096, (void **)&from));
	assert_ok(r3_arena_alloc(arena, len, 4096, (void **)&to));
	assert_true(r3_device_iova(c->dev, from, &iova_from, &left));
	assert_true(r3_device_iova(c->dev, to, &iova_to, &left));
	for (unsigned i = 0; i < len; i++)
		from[i] = (unsigned char)test_random(&c->random);
	assert_ok(r3_pci_enable(c->dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0));
	assert_true(model->copy(c->dev, iova_to, iova_from, len));
	assert_memory_equal(from, to, len);
}

const struct CMUnitTest contract_dma[] = {
	CONTRACT_TEST(no_dma_says_so),
	CONTRACT_TEST(limits_make_sense),
	CONTRACT_TEST(pieces_have_their_addresses),
	CONTRACT_TEST(other_memory_has_none),
	CONTRACT_TEST(foreign_memory_comes_and_goes),
	CONTRACT_TEST(bytes_arrive),
};
const size_t contract_ndma = sizeof(contract_dma) / sizeof(contract_dma[0]);
