/* SPDX-License-Identifier: BSD-2-Clause */
/* What a driver can change of its device's configuration space, and what it sees. */
#include "backend/qemu/config.h"
#include "pci/access.h"
#include "unit.h"
#include <ring3/region.h>

#include <string.h>

enum { MSI = 0x50, MSIX = 0x70, EXPRESS = 0x80 };

/* A function that takes every write. */
struct memory {
	struct r3_pci_access access;
	uint8_t bytes[4096];
	unsigned writes, last_width;
};

static uint32_t get(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
		    unsigned width)
{
	uint32_t value = 0;

	assert_int_equal(bus, 1);
	memcpy(&value, ((struct memory *)access)->bytes + off, width);
	return value;
}

static void put(struct r3_pci_access *access, unsigned bus, unsigned devfn, unsigned off,
		unsigned width, uint32_t value)
{
	struct memory *memory = (struct memory *)access;

	memcpy(memory->bytes + off, &value, width);
	memory->writes++;
	memory->last_width = width;
}

static const struct r3_pci_bar bars[7] = {
	[0] = {.address = 0x8c0004000, .size = 0x4000, .flags = R3_REGION_64BIT},
	[2] = {.address = 0xc000, .size = 0x20, .flags = R3_REGION_PORT},
	[6] = {.address = 0xfe000000, .size = 0x10000},
};
static const struct r3_pci_msi msi = {.offset = MSI, .max = 4, .wide = true, .maskable = true};
static const struct r3_pci_msix msix = {.offset = MSIX, .max = 8};

static struct memory memory;
static struct r3_qemu_config config;

static int setup(void **state)
{
	memset(&memory, 0, sizeof(memory));
	memory.access = (struct r3_pci_access){get, put};
	memory.bytes[PCI_COMMAND] = PCI_COMMAND_MEMORY;
	r3_qemu_config_init(&config, &memory.access, 1, 0, bars, &msi, &msix, EXPRESS);
	return 0;
}

static uint32_t sized(unsigned off)
{
	uint32_t before = r3_qemu_config_read(&config, off, 4), mask;

	assert_false(r3_qemu_config_write(&config, off, 4, ~0u));
	mask = r3_qemu_config_read(&config, off, 4);
	r3_qemu_config_write(&config, off, 4, before);
	assert_int_equal(r3_qemu_config_read(&config, off, 4), before);
	return mask;
}

static void bars_can_be_sized_and_never_move(void **state)
{
	assert_int_equal(r3_qemu_config_read(&config, PCI_BASE_ADDRESS_0, 4), 0xc0004004);
	assert_int_equal(r3_qemu_config_read(&config, PCI_BASE_ADDRESS_1, 4), 0x8);
	assert_int_equal(r3_qemu_config_read(&config, PCI_BASE_ADDRESS_2, 4), 0xc001);
	assert_int_equal(sized(PCI_BASE_ADDRESS_0), 0xffffc004);
	assert_int_equal(sized(PCI_BASE_ADDRESS_1), 0xffffffff);
	assert_int_equal(sized(PCI_BASE_ADDRESS_2), 0xffffffe1);
	assert_int_equal(sized(PCI_BASE_ADDRESS_3), 0);
	assert_int_equal(sized(PCI_ROM_ADDRESS), 0xffff0001);
	assert_int_equal(memory.writes, 0);
}

static void a_bar_takes_bytes(void **state)
{
	r3_qemu_config_write(&config, PCI_BASE_ADDRESS_0 + 3, 1, 0xab);
	assert_int_equal(r3_qemu_config_read(&config, PCI_BASE_ADDRESS_0, 4), 0xab004004);
	assert_int_equal(r3_qemu_config_read(&config, PCI_BASE_ADDRESS_0 + 2, 2), 0xab00);
	assert_int_equal(memory.writes, 0);
}

static void restore_writes_what_was_assigned(void **state)
{
	uint32_t value;

	sized(PCI_BASE_ADDRESS_0);
	r3_qemu_config_write(&config, PCI_BASE_ADDRESS_0, 4, 0x12340000);
	r3_qemu_config_restore(&config, bars);
	assert_int_equal(r3_qemu_config_read(&config, PCI_BASE_ADDRESS_0, 4), 0xc0004004);
	memcpy(&value, memory.bytes + PCI_BASE_ADDRESS_0, 4);
	assert_int_equal(value, 0xc0004000);
	memcpy(&value, memory.bytes + PCI_BASE_ADDRESS_1, 4);
	assert_int_equal(value, 0x8);
	memcpy(&value, memory.bytes + PCI_BASE_ADDRESS_2, 4);
	assert_int_equal(value, 0xc000);
}

static void command_passes_and_is_remembered(void **state)
{
	assert_int_equal(config.command, PCI_COMMAND_MEMORY);
	r3_qemu_config_write(&config, PCI_COMMAND, 2, 0x407);
	assert_int_equal(config.command, 0x407);
	assert_int_equal(memory.writes, 1);
	assert_int_equal(memory.last_width, 2);
	/* with the status register above it */
	r3_qemu_config_write(&config, PCI_COMMAND, 4, 0xffff0002);
	assert_int_equal(config.command, 2);
	r3_qemu_config_write(&config, PCI_COMMAND + 1, 1, 4);
	assert_int_equal(config.command, 0x402);
}

static void messages_are_the_carriers(void **state)
{
	/* the device has MSI on, at an address of the carrier's */
	memory.bytes[MSI + PCI_MSI_FLAGS] = 0x85;
	memory.bytes[MSI + PCI_MSI_ADDRESS_LO + 1] = 0xee;
	r3_qemu_config_write(&config, MSI + PCI_MSI_FLAGS, 2, 0);
	r3_qemu_config_write(&config, MSI + PCI_MSI_ADDRESS_LO, 4, 0xfee01007);
	r3_qemu_config_write(&config, MSI + PCI_MSI_DATA_64, 2, 0x41);
	assert_int_equal(r3_qemu_config_read(&config, MSI + PCI_MSI_FLAGS, 2), 0x85);
	assert_int_equal(r3_qemu_config_read(&config, MSI + PCI_MSI_ADDRESS_LO, 4), 0xfee01004);
	assert_int_equal(r3_qemu_config_read(&config, MSI + PCI_MSI_DATA_64, 2), 0x41);
	assert_int_equal(memory.bytes[MSI + PCI_MSI_ADDRESS_LO + 1], 0xee);
	/* pending bits are the device's */
	memory.bytes[MSI + PCI_MSI_PENDING_64] = 3;
	assert_int_equal(r3_qemu_config_read(&config, MSI + PCI_MSI_PENDING_64, 4), 3);

	memory.bytes[MSIX + PCI_MSIX_FLAGS + 1] = 0x80;
	r3_qemu_config_write(&config, MSIX + PCI_MSIX_FLAGS, 2, 0x4000);
	assert_int_equal(r3_qemu_config_read(&config, MSIX + PCI_MSIX_FLAGS, 2), 0x8000);
	assert_int_equal(memory.writes, 0);
}

static void a_function_level_reset_is_asked_for_not_done(void **state)
{
	unsigned at = EXPRESS + PCI_EXP_DEVCTL;

	assert_false(r3_qemu_config_write(&config, at, 2, 0x2810));
	assert_true(r3_qemu_config_write(&config, at, 2, 0xa810));
	assert_int_equal(get(&memory.access, 1, 0, at, 2), 0x2810);
	assert_true(r3_qemu_config_write(&config, at, 4, 0xffffa810));
	assert_true(r3_qemu_config_write(&config, at + 1, 1, 0x80));
	assert_false(r3_qemu_config_write(&config, at, 1, 0x80));
	/* the bits beside it arrive, also those that are cleared by writing ones */
	assert_int_equal(get(&memory.access, 1, 0, at + 2, 2), 0xffff);
}

static void a_function_without_capabilities_has_256_bytes(void **state)
{
	static const struct r3_pci_msi no_msi;
	static const struct r3_pci_msix no_msix;

	r3_qemu_config_init(&config, &memory.access, 1, 0, bars, &no_msi, &no_msix, 0);
	assert_int_equal(config.size, 256);
	assert_false(r3_qemu_config_write(&config, 0x40, 4, ~0u));
	assert_int_equal(r3_qemu_config_read(&config, 0x40, 4), ~0u);
	assert_false(r3_qemu_config_write(&config, 0, 4, ~0u));
}

static void beyond_256_all_passes(void **state)
{
	assert_int_equal(config.size, 4096);
	r3_qemu_config_write(&config, 0xffc, 4, 0x12345678);
	assert_int_equal(r3_qemu_config_read(&config, 0xffc, 4), 0x12345678);
}

/* Capabilities at the very end of the space, whatever a device says, stay inside. */
static void capabilities_at_the_edge(void **state)
{
	struct r3_pci_msi at_edge = {.offset = 0xe8, .max = 1, .wide = true, .maskable = true};
	uint64_t seed = test_seed();

	r3_qemu_config_init(&config, &memory.access, 1, 0, bars, &at_edge, &msix, 0xfc);
	assert_int_equal(config.flr_at, 0);
	for (unsigned i = 0; i < 10000; i++) {
		unsigned width = 1u << test_random_below(&seed, 3);
		unsigned off = test_random_below(&seed, 4096) & ~(width - 1);

		r3_qemu_config_write(&config, off, width, (uint32_t)test_random(&seed));
		r3_qemu_config_read(&config, off, width);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bars_can_be_sized_and_never_move, setup),
		cmocka_unit_test_setup(a_bar_takes_bytes, setup),
		cmocka_unit_test_setup(restore_writes_what_was_assigned, setup),
		cmocka_unit_test_setup(command_passes_and_is_remembered, setup),
		cmocka_unit_test_setup(messages_are_the_carriers, setup),
		cmocka_unit_test_setup(a_function_level_reset_is_asked_for_not_done, setup),
		cmocka_unit_test_setup(a_function_without_capabilities_has_256_bytes, setup),
		cmocka_unit_test_setup(beyond_256_all_passes, setup),
		cmocka_unit_test_setup(capabilities_at_the_edge, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
