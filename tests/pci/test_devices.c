/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI calls on devices that others made: QEMU's models must show what their own
 * specifications promise. Offsets and order are the model's choice, and not tested.
 */
#include "unit.h"
#include <ring3/device.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/pci.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

struct want_bar {
	uint64_t size;
	unsigned flags;
};

static const struct want {
	const char *address, *by; /* @by: where the specification says so */
	uint16_t vendor, device;
	uint32_t class_code;
	unsigned msi, msix; /* vectors; 0: none */
	uint8_t caps[8];
	uint16_t ext[4];
	struct want_bar bar[6]; /* size 0: not looked at */
} devices[] = {
	{
		.address = "qemu:edu",
		.by = "QEMU docs/specs/edu",
		.vendor = 0x1234,
		.device = 0x11e8,
		.class_code = 0x00ff00,
		.msi = 1,
		.caps = {PCI_CAP_ID_MSI},
		.bar = {{0x100000, 0}},
	},
	{
		.address = "qemu:nvme,null,size=1G",
		.by = "NVMe 1.4, 2.1 and 2.4",
		.vendor = 0x1b36,
		.device = 0x0010,
		.class_code = 0x010802,
		.msix = 65,
		.caps = {PCI_CAP_ID_PM, PCI_CAP_ID_MSIX, PCI_CAP_ID_EXP},
		.bar = {{0x4000, R3_REGION_64BIT}},
	},
	{
		.address = "qemu:e1000e",
		.by = "82574 datasheet, 9.1",
		.vendor = 0x8086,
		.device = 0x10d3,
		.class_code = 0x020000,
		.msi = 1,
		.msix = 5,
		.caps = {PCI_CAP_ID_PM, PCI_CAP_ID_MSI, PCI_CAP_ID_EXP, PCI_CAP_ID_MSIX},
		.ext = {PCI_EXT_CAP_ID_ERR, PCI_EXT_CAP_ID_DSN},
		.bar = {{0x20000, 0}, {0x20000, 0}, {32, R3_REGION_PORT}, {0x4000, 0}},
	},
	{
		.address = "qemu:virtio-blk-pci,null,size=64M",
		.by = "virtio 1.1, 4.1.2 and 4.1.4",
		.vendor = 0x1af4,
		.device = 0x1042,
		.class_code = 0x010000,
		.msix = 2,
		.caps = {PCI_CAP_ID_VNDR, PCI_CAP_ID_MSIX, PCI_CAP_ID_EXP},
		.bar = {[4] = {0x4000, R3_REGION_64BIT | R3_REGION_PREFETCH}},
	},
	{
		.address = "qemu:qemu-xhci",
		.by = "xHCI 1.2, 5.2",
		.vendor = 0x1b36,
		.device = 0x000d,
		.class_code = 0x0c0330,
		.msix = 16,
		.caps = {PCI_CAP_ID_MSIX, PCI_CAP_ID_EXP},
		.bar = {{0x4000, R3_REGION_64BIT}},
	},
};

static struct r3_device *open_device(const struct want *want)
{
	struct r3_device *dev = NULL;

	if (r3_device_open(want->address, NULL, &dev))
		fail_msg("%s: %s", want->address, r3_error_text());
	return dev;
}

static void check_caps(struct r3_device *dev, const struct want *want)
{
	struct r3_pci_cap caps[64];
	int n = r3_pci_caps(dev, caps, 64);
	unsigned offset;

	assert_in_range(n, 1, 64);
	for (int i = 0; i < n; i++) {
		const char *name = r3_pci_cap_name(caps[i].id, caps[i].extended);

		print_message("  %s%#x %s at %#x\n", caps[i].extended ? "extended " : "",
			      caps[i].id, name, caps[i].offset);
		assert_string_not_equal(name, "unknown");
		assert_int_equal(caps[i].offset % 4, 0);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(caps[i].offset, caps[j].offset);
	}
	for (unsigned i = 0; i < 8 && want->caps[i]; i++)
		if (r3_pci_cap_find(dev, want->caps[i], &offset))
			fail_msg("%s: %s", want->by, r3_error_text());
	for (unsigned i = 0; i < 4 && want->ext[i]; i++)
		if (r3_pci_ext_cap_find(dev, want->ext[i], &offset))
			fail_msg("%s: %s", want->by, r3_error_text());
}

static void check_bars(struct r3_device *dev, const struct want *want)
{
	struct r3_pci_bar bar[6] = {0};

	for (unsigned i = 0; i < 6; i++) {
		int rc = r3_pci_get_bar(dev, i, &bar[i]);

		if (want->bar[i].size) {
			assert_int_equal(rc, 0);
			assert_int_equal(bar[i].size, want->bar[i].size);
			assert_int_equal(bar[i].flags, want->bar[i].flags);
		}
		if (rc) {
			assert_int_equal(rc, -ENOENT);
			continue;
		}
		assert_int_not_equal(bar[i].address, 0);
		assert_int_equal(bar[i].address % bar[i].size, 0);
		for (unsigned j = 0; j < i; j++) {
			if (bar[j].size &&
			    (bar[i].flags & R3_REGION_PORT) == (bar[j].flags & R3_REGION_PORT))
				assert_true(bar[i].address + bar[i].size <= bar[j].address ||
					    bar[j].address + bar[j].size <= bar[i].address);
		}
	}
}

static void check_device(const struct want *want)
{
	struct r3_device *dev = open_device(want);
	const struct r3_device_info *info = r3_device_get_info(dev);
	struct r3_pci_id id;

	print_message("%s\n", want->address);
	assert_int_equal(r3_pci_identify(dev, &id), 0);
	assert_int_equal(id.vendor, want->vendor);
	assert_int_equal(id.device, want->device);
	assert_int_equal(id.class_code, want->class_code);
	assert_int_equal(id.header_type, 0);
	check_caps(dev, want);
	check_bars(dev, want);

	assert_int_equal(info->nirqs[R3_IRQ_INTX], 1);
	assert_int_equal(info->nirqs[R3_IRQ_MSI] != 0, want->msi != 0);
	assert_true(info->nirqs[R3_IRQ_MSI] <= want->msi);
	assert_int_equal(info->nirqs[R3_IRQ_MSIX] != 0, want->msix != 0);
	assert_true(info->nirqs[R3_IRQ_MSIX] <= want->msix);

	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	assert_int_equal(r3_pci_read16(dev, PCI_COMMAND) & 6, 6);
	assert_int_equal(r3_pci_enable(dev, 0, R3_PCI_MASTER), 0);
	assert_int_equal(r3_pci_read16(dev, PCI_COMMAND) & 6, 2);
	r3_device_close(dev);
}

static void test_edu(void **state)
{
	check_device(&devices[0]);
}

static void test_nvme(void **state)
{
	check_device(&devices[1]);
}

static void test_e1000e(void **state)
{
	check_device(&devices[2]);
}

static void test_virtio_blk(void **state)
{
	check_device(&devices[3]);
}

static void test_xhci(void **state)
{
	check_device(&devices[4]);
}

/* virtio 1.1, 4.1.4: one capability per structure, each inside the BAR it names. */
static void test_virtio_structures(void **state)
{
	struct r3_device *dev = open_device(&devices[3]);
	struct r3_pci_cap caps[64];
	int n = r3_pci_caps(dev, caps, 64);
	unsigned seen = 0;

	for (int i = 0; i < n; i++) {
		struct r3_pci_bar bar;
		uint32_t off, len;
		uint8_t type;

		if (caps[i].extended || caps[i].id != PCI_CAP_ID_VNDR)
			continue;
		type = r3_pci_read8(dev, caps[i].offset + 3u);
		off = r3_pci_read32(dev, caps[i].offset + 8u);
		len = r3_pci_read32(dev, caps[i].offset + 12u);
		assert_in_range(type, 1, 8);
		seen |= 1u << type;
		if (type == 5) /* access through configuration space: no BAR of its own */
			continue;
		assert_int_equal(r3_pci_get_bar(dev, r3_pci_read8(dev, caps[i].offset + 4u), &bar),
				 0);
		assert_true((uint64_t)off + len <= bar.size);
	}
	/* common, notify, ISR, device-specific, and configuration access */
	assert_int_equal(seen & 0x3e, 0x3e);
	r3_device_close(dev);
}

/* PCIe 7.5.3 and what a function must answer beyond its configuration space. */
static void test_express(void **state)
{
	struct r3_device *dev = open_device(&devices[1]);
	unsigned express;

	assert_int_equal(r3_pci_cap_find(dev, PCI_CAP_ID_EXP, &express), 0);
	assert_int_equal(r3_pci_read16(dev, express + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_VERS, 2);
	assert_int_equal((r3_pci_read16(dev, express + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_TYPE) >> 4,
			 PCI_EXP_TYPE_ENDPOINT);
	assert_int_equal(!(r3_pci_read32(dev, express + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR),
			 !(r3_device_get_info(dev)->caps & R3_CAP_FLR));
	assert_int_equal(r3_pci_read32(dev, 4096), UINT32_MAX);
	r3_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edu),     cmocka_unit_test(test_nvme),
		cmocka_unit_test(test_e1000e),  cmocka_unit_test(test_virtio_blk),
		cmocka_unit_test(test_xhci),    cmocka_unit_test(test_virtio_structures),
		cmocka_unit_test(test_express),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
