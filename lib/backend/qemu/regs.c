/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the registers of QEMU's edu device (QEMU's docs/specs/edu), which nobody drives but
 * everybody tries. */
#include "backend/qemu/backend.h"

static const struct r3_reg regs[] = {
	R3_REG("ID", 0x00, 4, .flags = R3_REG_QUIET),
	R3_REG("LIVENESS", 0x04, 4, .flags = R3_REG_QUIET),
	R3_REG("FACTORIAL", 0x08, 4, .flags = R3_REG_QUIET),
	R3_REG("STATUS", 0x20, 4, .flags = R3_REG_QUIET),
	R3_REG("IRQ_STATUS", 0x24, 4, .flags = R3_REG_QUIET),
	R3_REG("IRQ_RAISE", 0x60, 4), /* these two are written only */
	R3_REG("IRQ_ACK", 0x64, 4),
	R3_REG("DMA_SRC", 0x80, 8, .flags = R3_REG_QUIET),
	R3_REG("DMA_DST", 0x88, 8, .flags = R3_REG_QUIET),
	R3_REG("DMA_COUNT", 0x90, 8, .flags = R3_REG_QUIET),
	R3_REG("DMA_CMD", 0x98, 8, .flags = R3_REG_QUIET),
};

static int place(struct r3_device *dev, struct r3_reg_map *map)
{
	return R3_REG_PLACE(map, R3_REGION_BAR0, 0, regs);
}

const struct r3_reg_set r3_edu_regs = {
	.name = "edu",
	.vendor = 0x1234,
	.device = 0x11e8,
	.place = place,
};
