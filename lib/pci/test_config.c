/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI calls over the fake device: who it is, what it has, and when it is none. */
#include "fake/fake_device.h"
#include "unit.h"
#include <ring3/error.h>
#include <ring3/pci.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

static struct fake_device *fake;
static struct r3_device *dev;

static int setup(void **state)
{
	fake = fake_device_new(NULL);
	if (fake == NULL)
		return -1;
	dev = &fake->base;
	return fake_device_adopt(fake);
}

static int teardown(void **state)
{
	r3_device_close(dev);
	return 0;
}

static void test_access(void **state)
{
	assert_int_equal(r3_pci_read16(dev, PCI_VENDOR_ID), 0x1b36);
	assert_int_equal(r3_pci_read32(dev, PCI_VENDOR_ID), 0xfa4e1b36);
	assert_int_equal(r3_pci_read8(dev, PCI_VENDOR_ID + 1), 0x1b);
	r3_pci_write16(dev, PCI_COMMAND, PCI_COMMAND_MASTER);
	assert_int_equal(r3_pci_read8(dev, PCI_COMMAND), PCI_COMMAND_MASTER);
	r3_pci_write8(dev, PCI_INTERRUPT_LINE, 0x55);
	assert_int_equal(r3_pci_read8(dev, PCI_INTERRUPT_LINE), 0x55);
	r3_pci_write32(dev, FAKE_CAP_MSI + PCI_MSI_ADDRESS_LO, 0xfee00000);
	assert_int_equal(r3_pci_read32(dev, FAKE_CAP_MSI + PCI_MSI_ADDRESS_LO), 0xfee00000);

	assert_int_equal(r3_pci_read32(dev, 4096), UINT32_MAX);
	assert_int_equal(r3_pci_read8(dev, UINT32_MAX), UINT8_MAX);
	assert_int_equal(r3_pci_read16(dev, 1), UINT16_MAX);
	r3_pci_write32(dev, 4096, 0);
	r3_pci_write32(dev, UINT32_MAX & ~3u, 0);
}

static void test_identify(void **state)
{
	struct r3_pci_id id;

	assert_int_equal(r3_pci_identify(dev, &id), 0);
	assert_int_equal(id.vendor, 0x1b36);
	assert_int_equal(id.device, 0xfa4e);
	assert_int_equal(id.subsystem_vendor, 0x1b36);
	assert_int_equal(id.subsystem, 1);
	assert_int_equal(id.class_code, 0xff0000);
	assert_int_equal(id.revision, 1);
	assert_int_equal(id.header_type, 0);

	/* a bridge has its subsystem in a capability, or not at all */
	fake->config[PCI_HEADER_TYPE] = 0x81;
	assert_int_equal(r3_pci_identify(dev, &id), 0);
	assert_int_equal(id.header_type, 0x81);
	assert_int_equal(id.subsystem_vendor, 0);
	fake->config[FAKE_CAP_MSI] = PCI_CAP_ID_SSVID;
	memcpy(&fake->config[FAKE_CAP_MSI + PCI_SSVID_VENDOR_ID], "\x34\x12\x78\x56", 4);
	assert_int_equal(r3_pci_identify(dev, &id), 0);
	assert_int_equal(id.subsystem_vendor, 0x1234);
	assert_int_equal(id.subsystem, 0x5678);
}

static void test_caps(void **state)
{
	struct r3_pci_cap caps[8];
	unsigned offset;

	assert_int_equal(r3_pci_caps(dev, caps, 8), 4);
	assert_int_equal(caps[0].offset, FAKE_CAP_EXP);
	assert_int_equal(caps[2].id, PCI_CAP_ID_MSIX);
	assert_true(caps[3].extended);
	assert_int_equal(r3_pci_caps(dev, caps, 1), 4);
	assert_int_equal(r3_pci_cap_find(dev, PCI_CAP_ID_MSI, &offset), 0);
	assert_int_equal(offset, FAKE_CAP_MSI);
	assert_int_equal(r3_pci_ext_cap_find(dev, PCI_EXT_CAP_ID_DSN, &offset), 0);
	assert_int_equal(offset, FAKE_CAP_DSN);
	assert_int_equal(r3_pci_cap_find(dev, PCI_CAP_ID_PM, &offset), -ENOENT);
	assert_non_null(strstr(r3_error_text(), "Power Management"));
	assert_int_equal(r3_pci_ext_cap_find(dev, PCI_EXT_CAP_ID_ERR, &offset), -ENOENT);
	assert_string_equal(r3_pci_cap_name(PCI_CAP_ID_MSIX, false), "MSI-X");
	assert_string_equal(r3_pci_cap_name(PCI_EXT_CAP_ID_ERR, true), "Advanced Error Reporting");
	assert_string_equal(r3_pci_cap_name(0, false), "unknown");
	assert_string_equal(r3_pci_cap_name(0xffff, true), "unknown");
}

static void test_bars(void **state)
{
	struct r3_pci_bar bar;

	assert_int_equal(r3_pci_get_bar(dev, 0, &bar), 0);
	assert_int_equal(bar.address, 0xe0000000);
	assert_int_equal(bar.size, 16384);
	assert_int_equal(bar.flags, R3_REGION_64BIT);
	memcpy(&fake->config[PCI_BASE_ADDRESS_1], "\x01\0\0\0", 4);
	assert_int_equal(r3_pci_get_bar(dev, 0, &bar), 0);
	assert_int_equal(bar.address, 0x1e0000000);
	assert_int_equal(r3_pci_get_bar(dev, 1, &bar), -ENOENT);
	assert_int_equal(r3_pci_get_bar(dev, 2, &bar), 0);
	assert_int_equal(bar.address, 0xc000);
	assert_int_equal(bar.size, 32);
	assert_int_equal(bar.flags, R3_REGION_PORT);
	assert_int_equal(r3_pci_get_bar(dev, 6, &bar), -ENOENT);
	assert_int_equal(r3_pci_get_bar(dev, UINT32_MAX, &bar), -ENOENT);
}

static void test_enable(void **state)
{
	r3_pci_write16(dev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_IO);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, R3_PCI_IO), 0);
	assert_int_equal(r3_pci_read16(dev, PCI_COMMAND),
			 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(r3_pci_enable(dev, 0, 0), 0);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_IO, R3_PCI_IO), -EINVAL);
	assert_int_equal(r3_pci_enable(dev, 1 << 10, 0), -EINVAL);
	fake->config_mask[PCI_COMMAND] = PCI_COMMAND_MEMORY;
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY, 0), 0);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_IO, 0), -EIO);
	assert_int_equal(r3_pci_enable(dev, 0, R3_PCI_MASTER), -EIO);
}

static void check_absent(int rc)
{
	struct r3_pci_cap caps[8];
	struct r3_pci_bar bar;
	struct r3_pci_id id;
	unsigned offset;

	assert_int_equal(r3_pci_identify(dev, &id), rc);
	assert_int_equal(r3_pci_caps(dev, caps, 8), rc);
	assert_int_equal(r3_pci_cap_find(dev, PCI_CAP_ID_MSI, &offset), rc);
	assert_int_equal(r3_pci_ext_cap_find(dev, PCI_EXT_CAP_ID_DSN, &offset), rc);
	assert_int_equal(r3_pci_get_bar(dev, 0, &bar), rc);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MASTER, 0), rc);
	assert_int_equal(r3_pci_read32(dev, 0), UINT32_MAX);
}

static void test_gone(void **state)
{
	fake->removed = true;
	check_absent(-ENODEV);
	assert_true(r3_device_gone(dev));
	check_absent(-ENODEV);
}

static void test_not_pci(void **state)
{
	dev->info.caps &= ~(unsigned)R3_CAP_PCI;
	check_absent(-EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identify, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bars, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_pci, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
