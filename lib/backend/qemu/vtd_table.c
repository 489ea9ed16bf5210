/* SPDX-License-Identifier: BSD-2-Clause */
/* Page tables of VT-d: see vtd_table.h. */
#include "backend/qemu/vtd_table.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdlib.h>

/* What is known of a page: 0 that it is none of our tables; that it is one; or the next in
 * the list of those taken out. */
#define TABLE UINT32_MAX
#define LAST  (UINT32_MAX - 1)

static unsigned shift_of(unsigned level)
{
	return VTD_PAGE_SHIFT + VTD_LEVEL_SHIFT * (level - 1);
}

static uint64_t span_of(unsigned level)
{
	return UINT64_C(1) << shift_of(level);
}

/* The table at a physical address that was read from another one, if it is ours. */
static uint64_t *entries_at(const struct r3_vtd_table *table, uint64_t physical)
{
	struct r3_mem *mem = r3_arena_mem(table->arena);
	uint64_t page = (physical & VTD_SL_ADDR) / VTD_PAGE;

	if (page >= r3_mem_size(mem) / VTD_PAGE || table->page[page] != TABLE)
		return NULL;
	return (uint64_t *)((unsigned char *)r3_mem_addr(mem) + page * VTD_PAGE);
}

static bool is_page(uint64_t entry, unsigned level)
{
	return level == 1 || entry & VTD_SL_PS;
}

static uint64_t load(const uint64_t *slot)
{
	return R3_LE64(__atomic_load_n(slot, __ATOMIC_RELAXED));
}

/* Release: the IOMMU finds a table filled, or zeroed, that it finds at all. */
static void store(uint64_t *slot, uint64_t entry)
{
	__atomic_store_n(slot, R3_LE64(entry), __ATOMIC_RELEASE);
}

static int spoiled(void)
{
	return r3_error_set(EIO, "somebody wrote to the IOMMU's page tables");
}

static int new_table(struct r3_vtd_table *table, uint64_t *physical)
{
	void *at;
	int rc = r3_arena_alloc(table->arena, VTD_PAGE, VTD_PAGE, &at);

	if (rc < 0)
		return r3_error_set(ENOMEM,
				    "no room for more page tables: start QEMU with more "
				    "RAM (mem=), or map less, or larger and aligned pieces");
	*physical = (uint64_t)((unsigned char *)at -
			       (unsigned char *)r3_mem_addr(r3_arena_mem(table->arena)));
	table->page[*physical / VTD_PAGE] = TABLE;
	return 0;
}

int r3_vtd_table_init(struct r3_vtd_table *table, struct r3_arena *arena, unsigned largest)
{
	*table = (struct r3_vtd_table){.arena = arena, .largest = largest};
	table->page = calloc(r3_mem_size(r3_arena_mem(arena)) / VTD_PAGE, sizeof(*table->page));
	if (!table->page)
		return r3_error_set(ENOMEM, "out of memory");
	return new_table(table, &table->root);
}

void r3_vtd_table_free(struct r3_vtd_table *table)
{
	free(table->page);
	table->page = NULL;
}

/* The part of [iova, iova+len) that one entry covers. */
static uint64_t part_of(uint64_t iova, uint64_t len, unsigned level)
{
	uint64_t left = span_of(level) - (iova & (span_of(level) - 1));

	return len < left ? len : left;
}

static uint64_t *slot_of(uint64_t *entries, uint64_t iova, unsigned level)
{
	return &entries[iova >> shift_of(level) & (VTD_ENTRIES - 1)];
}

static int enter(struct r3_vtd_table *table, uint64_t at, unsigned level, uint64_t iova,
		 uint64_t physical, uint64_t len, uint64_t flags)
{
	uint64_t *entries = entries_at(table, at);
	int rc = entries ? 0 : spoiled();

	for (uint64_t n; len && rc == 0; iova += n, physical += n, len -= n) {
		uint64_t *slot = slot_of(entries, iova, level), child = load(slot);
		bool whole;

		n = part_of(iova, len, level);
		whole = n == span_of(level) && !(physical & (n - 1)) && level <= table->largest;
		if (whole && !child) {
			store(slot, physical | flags | (level > 1 ? VTD_SL_PS : 0));
			continue;
		}
		if (level == 1 || (child && is_page(child, level)))
			return spoiled();
		if (!child) {
			rc = new_table(table, &child);
			if (rc < 0)
				break;
			store(slot, child | VTD_SL_R | VTD_SL_W);
		}
		rc = enter(table, child, level - 1, iova, physical, n, flags);
	}
	return rc;
}

int r3_vtd_table_map(struct r3_vtd_table *table, uint64_t iova, uint64_t physical, uint64_t len,
		     uint64_t flags)
{
	return enter(table, table->root, VTD_LEVELS, iova, physical, len, flags);
}

static bool is_empty(const uint64_t *entries)
{
	for (unsigned i = 0; i < VTD_ENTRIES; i++)
		if (load(&entries[i]))
			return false;
	return true;
}

static void detach(struct r3_vtd_table *table, uint64_t *slot, uint64_t child)
{
	uint32_t page = (uint32_t)((child & VTD_SL_ADDR) / VTD_PAGE);

	store(slot, 0);
	table->page[page] = table->detached ? table->detached : LAST;
	table->detached = page;
}

static int clear(struct r3_vtd_table *table, uint64_t at, unsigned level, uint64_t iova,
		 uint64_t len)
{
	uint64_t *entries = entries_at(table, at);
	int rc = entries ? 0 : spoiled();

	for (uint64_t n; len && entries; iova += n, len -= n) {
		uint64_t *slot = slot_of(entries, iova, level), child = load(slot), *below;

		n = part_of(iova, len, level);
		if (!child)
			continue;
		if (is_page(child, level)) {
			store(slot, 0);
			continue;
		}
		if (clear(table, child, level - 1, iova, n) < 0)
			rc = -EIO;
		below = entries_at(table, child);
		if (below && is_empty(below))
			detach(table, slot, child);
	}
	return rc;
}

int r3_vtd_table_unmap(struct r3_vtd_table *table, uint64_t iova, uint64_t len)
{
	return clear(table, table->root, VTD_LEVELS, iova, len);
}

void r3_vtd_table_trim(struct r3_vtd_table *table)
{
	unsigned char *base = r3_mem_addr(r3_arena_mem(table->arena));

	while (table->detached) {
		uint32_t page = table->detached;

		table->detached = table->page[page] == LAST ? 0 : table->page[page];
		table->page[page] = 0;
		r3_arena_free(table->arena, base + (uint64_t)page * VTD_PAGE);
	}
}

uint64_t r3_vtd_table_look(const struct r3_vtd_table *table, uint64_t iova, unsigned *level)
{
	uint64_t entry = table->root;

	for (*level = VTD_LEVELS; *level > 0; --*level) {
		uint64_t *entries = entries_at(table, entry);

		entry = entries ? load(slot_of(entries, iova, *level)) : 0;
		if (!entry || is_page(entry, *level))
			break;
	}
	return entry;
}
