/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Assignment: one walk, depth first. Addresses come from the front of each window
 * and never go back, so what a bridge has behind it is one piece: from where its
 * window stood, rounded up to the bridge's granule, to where it stands afterwards.
 */
#include "pci/assign.h"
#include "pci/access.h"
#include "pci/caps.h"
#include <ring3/error.h>
#include <ring3/region.h>

#include <errno.h>
#include <inttypes.h>

/* PCI-to-PCI bridges 1.2, 3.2.5.6 and 3.2.5.8 */
#define IO_GRANULE  UINT64_C(0x1000)
#define MEM_GRANULE UINT64_C(0x100000)

/* PCIe trees are a few bridges deep; what nests deeper is a bridge that shows
 * itself behind itself. */
#define MAX_DEPTH 16

/* What reaches the bus being assigned, given the bridges above it. */
struct reach {
	bool io;    /* every bridge has an I/O window */
	bool mem64; /* every bridge has a 64-bit prefetchable window */
	unsigned depth;
};

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & -to;
}

static int take(struct r3_pci_window *window, uint64_t size, uint64_t limit, uint64_t *address)
{
	uint64_t end = window->end < limit ? window->end : limit;
	uint64_t at = round_up(window->next, size);

	if (at == 0)
		at = size; /* an address of 0 means that there is none */
	if (at < window->next || at >= end || end - at < size)
		return -ENOSPC;
	*address = at;
	window->next = at + size;
	return 0;
}

static int assign_bar(struct r3_pci_access *access, struct r3_pci_windows *windows,
		      const struct reach *reach, unsigned bus, unsigned devfn, unsigned index,
		      unsigned off, const struct r3_pci_bar *bar)
{
	unsigned wide = R3_REGION_64BIT | R3_REGION_PREFETCH;
	uint64_t address = 0, limit = UINT64_C(1) << 32;
	struct r3_pci_window *window = &windows->mem;
	const char *name = "memory";

	if (bar->flags & R3_REGION_PORT) {
		window = &windows->io;
		name = "I/O";
	} else if ((bar->flags & wide) == wide && reach->mem64 &&
		   windows->mem64.next < windows->mem64.end) {
		window = &windows->mem64;
		limit = UINT64_MAX;
		name = "64-bit memory";
	}
	/* ports behind a bridge that passes none stay without an address */
	if (window != &windows->io || reach->io)
		if (take(window, bar->size, limit, &address))
			return r3_error_set(ENOSPC,
					    "pci %02x:%02x.%x: BAR %u needs %#" PRIx64
					    " bytes, more than the %s window has left (%#" PRIx64
					    " to %#" PRIx64 ")",
					    bus, devfn >> 3, devfn & 7, index, bar->size, name,
					    window->next, window->end);
	r3_pci_put32(access, bus, devfn, off, (uint32_t)address);
	if (bar->flags & R3_REGION_64BIT)
		r3_pci_put32(access, bus, devfn, off + 4, (uint32_t)(address >> 32));
	return 0;
}

/* The BAR of the highest rank comes first. Multiplying by an odd number and keeping the
 * upper bits scatters the ranks well enough. */
static uint64_t rank(const struct r3_pci_windows *windows, const struct r3_pci_bar *bar,
		     unsigned index)
{
	if (!windows->shuffle)
		return bar->size;
	return (uint32_t)((windows->shuffle + index) * 0x9e3779b1u) >> 8;
}

static int assign_function(struct r3_pci_access *access, struct r3_pci_windows *windows,
			   const struct reach *reach, unsigned bus, unsigned devfn, unsigned type)
{
	unsigned rom = type == PCI_HEADER_TYPE_BRIDGE ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS;
	struct r3_pci_bar bar[7];
	bool done[7] = {false};
	unsigned i, n;
	int rc;

	rc = r3_pci_size(access, bus, devfn, bar);
	if (rc)
		return rc == -ENODEV ? 0 : rc; /* it went away between two reads */
	r3_pci_put16(access, bus, devfn, PCI_COMMAND, 0);
	for (n = 0; n < 7; n++) {
		unsigned best = 7;

		for (i = 0; i < 7; i++)
			if (!done[i] && bar[i].size &&
			    (best == 7 ||
			     rank(windows, &bar[i], i) > rank(windows, &bar[best], best)))
				best = i;
		if (best == 7)
			break;
		done[best] = true;
		rc = assign_bar(access, windows, reach, bus, devfn, best,
				best == 6 ? rom : PCI_BASE_ADDRESS_0 + 4 * best, &bar[best]);
		if (rc)
			return rc;
	}
	return 0;
}

/* Whether the bridge has an I/O window that reaches up to @end. */
static bool bridge_has_io(struct r3_pci_access *access, unsigned bus, unsigned devfn, uint64_t end)
{
	uint8_t base;

	r3_pci_put8(access, bus, devfn, PCI_IO_BASE, 0xf0);
	base = r3_pci_get8(access, bus, devfn, PCI_IO_BASE);
	return base == (0xf0 | PCI_IO_RANGE_TYPE_32) ||
	       (base == (0xf0 | PCI_IO_RANGE_TYPE_16) && end <= 0x10000);
}

static bool bridge_has_mem64(struct r3_pci_access *access, unsigned bus, unsigned devfn)
{
	uint16_t base;

	r3_pci_put16(access, bus, devfn, PCI_PREF_MEMORY_BASE, 0xfff0);
	base = r3_pci_get16(access, bus, devfn, PCI_PREF_MEMORY_BASE);
	return base == (0xfff0 | PCI_PREF_RANGE_TYPE_64);
}

/* Each window is [base, end) in granules; one that is empty has its limit below its
 * base, which closes it (PCI-to-PCI bridges 1.2, 3.2.5.6). */
static void set_io_window(struct r3_pci_access *access, unsigned bus, unsigned devfn, uint64_t base,
			  uint64_t end)
{
	uint64_t last = end - 1;

	if (base == end) {
		base = 0xf000;
		last = 0x0fff;
	}
	r3_pci_put8(access, bus, devfn, PCI_IO_BASE, (uint8_t)(base >> 8 & 0xf0));
	r3_pci_put8(access, bus, devfn, PCI_IO_LIMIT, (uint8_t)(last >> 8 & 0xf0));
	r3_pci_put16(access, bus, devfn, PCI_IO_BASE_UPPER16, (uint16_t)(base >> 16));
	r3_pci_put16(access, bus, devfn, PCI_IO_LIMIT_UPPER16, (uint16_t)(last >> 16));
}

static void set_mem_window(struct r3_pci_access *access, unsigned bus, unsigned devfn,
			   unsigned base_off, unsigned limit_off, uint64_t base, uint64_t end)
{
	uint64_t last = end - 1;

	if (base == end) {
		base = 0xfff00000;
		last = 0x000fffff;
	}
	r3_pci_put16(access, bus, devfn, base_off, (uint16_t)(base >> 16 & 0xfff0));
	r3_pci_put16(access, bus, devfn, limit_off, (uint16_t)(last >> 16 & 0xfff0));
	if (base_off != PCI_PREF_MEMORY_BASE)
		return;
	r3_pci_put32(access, bus, devfn, PCI_PREF_BASE_UPPER32, (uint32_t)(base >> 32));
	r3_pci_put32(access, bus, devfn, PCI_PREF_LIMIT_UPPER32, (uint32_t)(last >> 32));
}

/* The part of a window that a bridge passes. */
struct passed {
	struct r3_pci_window *window;
	uint64_t granule;
	uint64_t before, base, end;
};

static struct passed pass_begin(struct r3_pci_window *window, uint64_t granule)
{
	struct passed passed = {.window = window, .granule = granule, .before = window->next};
	uint64_t at = round_up(window->next, granule);

	if (at < window->next || at > window->end) {
		at = window->end; /* nothing can be taken, which is fine if nothing is */
		if (at < window->next)
			at = window->next;
	}
	window->next = at;
	passed.base = at;
	return passed;
}

static bool pass_end(struct passed *passed)
{
	struct r3_pci_window *window = passed->window;
	uint64_t end = round_up(window->next, passed->granule);

	passed->end = passed->base;
	if (window->next == passed->base) {
		window->next = passed->before;
		return true;
	}
	if (end < window->next || end > window->end)
		return false;
	passed->end = end;
	window->next = end;
	return true;
}

static int assign_bus(struct r3_pci_access *access, struct r3_pci_windows *windows, unsigned bus,
		      struct reach reach, bool single);

/* A PCIe port has a link behind it, on which only slot 0 can answer (PCIe 7.3.1);
 * some ports show the same function in all 32. */
static bool is_link(struct r3_pci_access *access, unsigned bus, unsigned devfn)
{
	unsigned off, flags, type;

	if (r3_pci_find_cap(access, bus, devfn, PCI_CAP_ID_EXP, false, &off))
		return false;
	flags = r3_pci_get16(access, bus, devfn, off + PCI_EXP_FLAGS);
	type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;
	return type == PCI_EXP_TYPE_ROOT_PORT || type == PCI_EXP_TYPE_DOWNSTREAM;
}

static int assign_bridge(struct r3_pci_access *access, struct r3_pci_windows *windows,
			 struct reach reach, unsigned bus, unsigned devfn)
{
	struct passed io, mem, mem64;
	unsigned secondary;
	int rc;

	if (reach.depth == MAX_DEPTH)
		return r3_error_set(ELOOP,
				    "pci %02x:%02x.%x: bridges nest more than %u deep, which looks "
				    "like a loop",
				    bus, devfn >> 3, devfn & 7, MAX_DEPTH);
	if (windows->next_bus <= bus)
		windows->next_bus = bus + 1;
	secondary = windows->next_bus;
	if (secondary > 255)
		return r3_error_set(ENOSPC, "pci %02x:%02x.%x: no bus number is left for it", bus,
				    devfn >> 3, devfn & 7);
	reach.depth++;
	reach.io = reach.io && bridge_has_io(access, bus, devfn, windows->io.end);
	reach.mem64 = reach.mem64 && bridge_has_mem64(access, bus, devfn);
	/* closed until it is known what they pass */
	set_io_window(access, bus, devfn, 0, 0);
	set_mem_window(access, bus, devfn, PCI_MEMORY_BASE, PCI_MEMORY_LIMIT, 0, 0);
	set_mem_window(access, bus, devfn, PCI_PREF_MEMORY_BASE, PCI_PREF_MEMORY_LIMIT, 0, 0);

	r3_pci_put8(access, bus, devfn, PCI_PRIMARY_BUS, (uint8_t)bus);
	r3_pci_put8(access, bus, devfn, PCI_SECONDARY_BUS, (uint8_t)secondary);
	r3_pci_put8(access, bus, devfn, PCI_SUBORDINATE_BUS, 0xff);
	if (r3_pci_get8(access, bus, devfn, PCI_SECONDARY_BUS) != secondary)
		return 0; /* it leads nowhere that could be addressed */
	windows->next_bus++;

	io = pass_begin(&windows->io, IO_GRANULE);
	mem = pass_begin(&windows->mem, MEM_GRANULE);
	mem64 = pass_begin(&windows->mem64, MEM_GRANULE);
	rc = assign_bus(access, windows, secondary, reach, is_link(access, bus, devfn));
	if (rc)
		return rc;
	if (!pass_end(&io) || !pass_end(&mem) || !pass_end(&mem64))
		return r3_error_set(ENOSPC,
				    "pci %02x:%02x.%x: the window ends in the middle of what this "
				    "bridge would pass",
				    bus, devfn >> 3, devfn & 7);

	r3_pci_put8(access, bus, devfn, PCI_SUBORDINATE_BUS, (uint8_t)(windows->next_bus - 1));
	set_io_window(access, bus, devfn, io.base, io.end);
	set_mem_window(access, bus, devfn, PCI_MEMORY_BASE, PCI_MEMORY_LIMIT, mem.base, mem.end);
	set_mem_window(access, bus, devfn, PCI_PREF_MEMORY_BASE, PCI_PREF_MEMORY_LIMIT, mem64.base,
		       mem64.end);
	r3_pci_put16(access, bus, devfn, PCI_COMMAND,
		     PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	return 0;
}

static int assign_bus(struct r3_pci_access *access, struct r3_pci_windows *windows, unsigned bus,
		      struct reach reach, bool single)
{
	unsigned devfn, type;
	bool multi = false;
	int rc;

	for (devfn = 0; devfn < (single ? 8 : 256); devfn++) {
		if ((devfn & 7) == 0)
			multi = false;
		else if (!multi)
			continue;
		if (!r3_pci_present(access, bus, devfn))
			continue;
		type = r3_pci_get8(access, bus, devfn, PCI_HEADER_TYPE);
		if ((devfn & 7) == 0)
			multi = type & R3_PCI_HEADER_MULTI;
		type &= R3_PCI_HEADER_LAYOUT;
		if (type != PCI_HEADER_TYPE_NORMAL && type != PCI_HEADER_TYPE_BRIDGE)
			continue;
		rc = assign_function(access, windows, &reach, bus, devfn, type);
		if (rc == 0 && type == PCI_HEADER_TYPE_BRIDGE)
			rc = assign_bridge(access, windows, reach, bus, devfn);
		if (rc)
			return rc;
	}
	return 0;
}

int r3_pci_assign(struct r3_pci_access *access, struct r3_pci_windows *windows, unsigned bus)
{
	struct reach all = {.io = true, .mem64 = true};

	return assign_bus(access, windows, bus, all, false);
}
