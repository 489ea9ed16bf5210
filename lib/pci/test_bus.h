/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI bus segment in memory: functions are 4 KiB of registers with a mask of
 * writable bits, bridges route by the bus numbers they were given.
 */
#ifndef RING3_PCI_TEST_BUS_H
#define RING3_PCI_TEST_BUS_H

#include "pci/assign.h"

#define TEST_BUS_FUNCTIONS 96

struct test_function {
	int parent; /* index of the bridge it is behind; -1: root bus */
	unsigned devfn;
	bool bridge;
	bool gone;       /* answers all ones from now on */
	uint64_t bar[7]; /* sizes, for the test's own use */
	unsigned flags[7];
	uint8_t config[4096];
	uint8_t writable[4096];
};

struct test_bus {
	struct r3_pci_access access;
	unsigned root; /* bus number of the root bus */
	unsigned n;
	struct test_function fn[TEST_BUS_FUNCTIONS];
	unsigned long accesses;
	unsigned decoded; /* BAR writes while the function decoded */
};

void test_bus_init(struct test_bus *bus);

/** Add a function (@bridge: with header type 1, bus numbers and a memory window). */
struct test_function *test_bus_add(struct test_bus *bus, int parent, unsigned devfn, bool bridge);

/** Give @fn a BAR; @size is a power of two, @flags R3_REGION_*; 6 is the ROM. */
void test_bus_bar(struct test_function *fn, unsigned index, uint64_t size, unsigned flags);

/** The address in BAR @index, as the function decodes it. */
uint64_t test_bus_address(const struct test_function *fn, unsigned index);

void test_put(struct test_function *fn, unsigned off, unsigned width, uint32_t value);
uint32_t test_get(const struct test_function *fn, unsigned off, unsigned width);

#endif
