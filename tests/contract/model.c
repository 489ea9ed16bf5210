/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices that interrupt and copy when they are asked to: the fake one, and QEMU's edu
 * (its registers are described in QEMU's docs/specs/edu.txt). Both are told by registers. */
#include "contract.h"
#include "fake/fake_variant.h"

/* ---- fake ---- */

static struct r3_region *fake_registers(struct r3_device *dev)
{
	struct r3_region *bar;

	assert_ok(r3_device_region(dev, R3_REGION_BAR4, &bar));
	return bar;
}

static void fake_raise(struct r3_device *dev, unsigned type, unsigned vector)
{
	r3_write32(fake_registers(dev), FAKE_REG_RAISE, type << 16 | vector);
}

static void fake_lower(struct r3_device *dev)
{
	struct r3_region *bar = fake_registers(dev);

	r3_write32(bar, FAKE_REG_LOWER, 0);
	(void)r3_read32(bar, FAKE_REG_LOWER);
}

static bool fake_copy(struct r3_device *dev, uint64_t to, uint64_t from, unsigned len)
{
	struct r3_region *bar = fake_registers(dev);

	r3_write64(bar, FAKE_REG_TO, to);
	r3_write64(bar, FAKE_REG_FROM, from);
	r3_write32(bar, FAKE_REG_COPY, len);
	return r3_read32(bar, FAKE_REG_COPY) == len;
}

static const struct contract_model fake = {fake_raise, fake_lower, fake_copy, 65536};

/* ---- edu ---- */

#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE  0x60
#define EDU_IRQ_ACK    0x64
#define EDU_DMA_FROM   0x80
#define EDU_DMA_TO     0x88
#define EDU_DMA_LEN    0x90
#define EDU_DMA_CMD    0x98
#define EDU_BUFFER     0x40000
#define EDU_RUN        1
#define EDU_TO_MEMORY  2

static struct r3_region *edu_registers(struct r3_device *dev)
{
	struct r3_region *bar;

	assert_ok(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0)); /* MSI is a transfer */
	assert_ok(r3_device_region(dev, R3_REGION_BAR0, &bar));
	return bar;
}

static void edu_raise(struct r3_device *dev, unsigned type, unsigned vector)
{
	r3_write32(edu_registers(dev), EDU_IRQ_RAISE, 1);
}

static void edu_lower(struct r3_device *dev)
{
	struct r3_region *bar = edu_registers(dev);

	r3_write32(bar, EDU_IRQ_ACK, UINT32_MAX);
	(void)r3_read32(bar, EDU_IRQ_STATUS);
}

static bool edu_transfer(struct r3_region *bar, uint64_t to, uint64_t from, unsigned len,
			 unsigned direction)
{
	uint32_t command;

	r3_write64(bar, EDU_DMA_FROM, from);
	r3_write64(bar, EDU_DMA_TO, to);
	r3_write64(bar, EDU_DMA_LEN, len);
	r3_write64(bar, EDU_DMA_CMD, EDU_RUN | direction);
	/* 100 ms of QEMU's time */
	return r3_region_wait32(bar, EDU_DMA_CMD, EDU_RUN, 0, 20 * R3_NSEC_PER_SEC, &command) == 0;
}

static bool edu_copy(struct r3_device *dev, uint64_t to, uint64_t from, unsigned len)
{
	struct r3_region *bar = edu_registers(dev);

	return edu_transfer(bar, EDU_BUFFER, from, len, 0) &&
	       edu_transfer(bar, to, EDU_BUFFER, len, EDU_TO_MEMORY);
}

static const struct contract_model edu = {edu_raise, edu_lower, edu_copy, 4095};

const struct contract_model *contract_model(struct r3_device *dev)
{
	struct r3_pci_id id;

	if (!(dev->info.caps & R3_CAP_PCI) || r3_pci_identify(dev, &id))
		return NULL;
	/* disks of the tests are made of it, and have registers of their own */
	if (id.vendor == 0x1b36 && id.device == 0xfa4e && id.class_code == 0xff0000)
		return &fake;
	if (id.vendor == 0x1234 && id.device == 0x11e8)
		return &edu;
	return NULL;
}
