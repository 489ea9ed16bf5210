/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of a controller's registers (3.1), for the trace and for snapshots. */
#include "drivers/block/nvme/driver.h"

#include <ring3/pci.h>
#include <ring3/spec/nvme.h>

#include <linux/pci_regs.h>

/* Not quiet: NSSR and what follows, because a controller may flush its persistent memory
 * when PMRSTS is read, and nobody needs the others to know a controller by. */
static const struct r3_reg regs[] = {
	R3_REG("CAP", NVME_REG_CAP, 8, .flags = R3_REG_QUIET),
	R3_REG("VS", NVME_REG_VS, 4, .flags = R3_REG_QUIET),
	R3_REG("INTMS", NVME_REG_INTMS, 4, .flags = R3_REG_QUIET),
	R3_REG("INTMC", NVME_REG_INTMC, 4, .flags = R3_REG_QUIET),
	R3_REG("CC", NVME_REG_CC, 4, .flags = R3_REG_QUIET),
	R3_REG("CSTS", NVME_REG_CSTS, 4, .flags = R3_REG_QUIET),
	R3_REG("NSSR", NVME_REG_NSSR, 4),
	R3_REG("AQA", NVME_REG_AQA, 4, .flags = R3_REG_QUIET),
	R3_REG("ASQ", NVME_REG_ASQ, 8, .flags = R3_REG_QUIET),
	R3_REG("ACQ", NVME_REG_ACQ, 8, .flags = R3_REG_QUIET),
	R3_REG("CMBLOC", NVME_REG_CMBLOC, 4, .flags = R3_REG_QUIET),
	R3_REG("CMBSZ", NVME_REG_CMBSZ, 4, .flags = R3_REG_QUIET),
	R3_REG("BPINFO", 0x40, 4),
	R3_REG("BPRSEL", 0x44, 4),
	R3_REG("BPMBL", 0x48, 8),
	R3_REG("CMBMSC", 0x50, 8),
	R3_REG("CMBSTS", 0x58, 4),
	R3_REG("PMRCAP", 0xe00, 4),
	R3_REG("PMRCTL", 0xe04, 4),
	R3_REG("PMRSTS", 0xe08, 4),
	R3_REG("PMREBS", 0xe0c, 4),
	R3_REG("PMRSWTP", 0xe10, 4),
	R3_REG("PMRMSCL", 0xe14, 4),
	R3_REG("PMRMSCU", 0xe18, 4),
};

/* As far apart as the controller says, which can be asked only while it decodes. */
static int place_doorbells(struct r3_device *dev, struct r3_reg_map *map)
{
	struct r3_region *bar;
	uint64_t cap, first;
	uint32_t step, n;

	if (!(r3_pci_read16(dev, PCI_COMMAND) & PCI_COMMAND_MEMORY) ||
	    r3_device_region(dev, R3_REGION_BAR0, &bar))
		return 0;
	cap = r3_read64(bar, NVME_REG_CAP);
	if (cap == UINT64_MAX || bar->size <= NVME_REG_DOORBELL)
		return 0;
	first = nvme_sq_doorbell(0, NVME_CAP_DSTRD(cap));
	step = (uint32_t)(nvme_sq_doorbell(1, NVME_CAP_DSTRD(cap)) - first);
	n = UINT16_MAX; /* there is no queue of that number */
	if (n > (bar->size - first) / step)
		n = (uint32_t)((bar->size - first) / step);

	const struct r3_reg doorbells[] = {
		R3_REG("SQ#TDBL", 0, 4, .count = n, .stride = step),
		R3_REG("CQ#HDBL", step / 2, 4, .count = n, .stride = step),
	};
	return n ? R3_REG_PLACE(map, R3_REGION_BAR0, first, doorbells) : 0;
}

static int place(struct r3_device *dev, struct r3_reg_map *map)
{
	int rc = R3_REG_PLACE(map, R3_REGION_BAR0, 0, regs);

	return rc ? rc : place_doorbells(dev, map);
}

const struct r3_reg_set r3_nvme_regs = {
	.name = "nvme",
	.vendor = R3_REG_ANY,
	.device = R3_REG_ANY,
	.class_code = 0x010802,
	.class_mask = 0xffffff,
	.place = place,
};
