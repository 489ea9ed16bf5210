/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of what every PCI function has: its configuration header, the capabilities
 * wherever their list puts them, the MSI-X table. The names are those of
 * linux/pci_regs.h, as everywhere here.
 */
#include "pci/regs.h"
#include "pci/access.h"
#include "pci/caps.h"

#define REG(name, width)     R3_REG(#name, name, width)
#define REGS(name, width, n) R3_REG(#name "_#", name, width, .count = n, .stride = width)

/* Whatever the layout of the rest (PCI 3.0, 6.1). */
static const struct r3_reg common[] = {
	REG(PCI_VENDOR_ID, 2),     REG(PCI_DEVICE_ID, 2),
	REG(PCI_COMMAND, 2),       REG(PCI_STATUS, 2),
	REG(PCI_REVISION_ID, 1),   REG(PCI_CLASS_PROG, 1),
	REG(PCI_CLASS_DEVICE, 2),  REG(PCI_CACHE_LINE_SIZE, 1),
	REG(PCI_LATENCY_TIMER, 1), REG(PCI_HEADER_TYPE, 1),
	REG(PCI_BIST, 1),
};

static const struct r3_reg normal[] = {
	R3_REG("PCI_BASE_ADDRESS_#", PCI_BASE_ADDRESS_0, 4, .count = 6, .stride = 4),
	REG(PCI_CARDBUS_CIS, 4),
	REG(PCI_SUBSYSTEM_VENDOR_ID, 2),
	REG(PCI_SUBSYSTEM_ID, 2),
	REG(PCI_ROM_ADDRESS, 4),
	REG(PCI_CAPABILITY_LIST, 1),
	REG(PCI_INTERRUPT_LINE, 1),
	REG(PCI_INTERRUPT_PIN, 1),
	REG(PCI_MIN_GNT, 1),
	REG(PCI_MAX_LAT, 1),
};

static const struct r3_reg bridge[] = {
	R3_REG("PCI_BASE_ADDRESS_#", PCI_BASE_ADDRESS_0, 4, .count = 2, .stride = 4),
	REG(PCI_PRIMARY_BUS, 1),
	REG(PCI_SECONDARY_BUS, 1),
	REG(PCI_SUBORDINATE_BUS, 1),
	REG(PCI_SEC_LATENCY_TIMER, 1),
	REG(PCI_IO_BASE, 1),
	REG(PCI_IO_LIMIT, 1),
	REG(PCI_SEC_STATUS, 2),
	REG(PCI_MEMORY_BASE, 2),
	REG(PCI_MEMORY_LIMIT, 2),
	REG(PCI_PREF_MEMORY_BASE, 2),
	REG(PCI_PREF_MEMORY_LIMIT, 2),
	REG(PCI_PREF_BASE_UPPER32, 4),
	REG(PCI_PREF_LIMIT_UPPER32, 4),
	REG(PCI_IO_BASE_UPPER16, 2),
	REG(PCI_IO_LIMIT_UPPER16, 2),
	REG(PCI_CAPABILITY_LIST, 1),
	REG(PCI_ROM_ADDRESS1, 4),
	REG(PCI_INTERRUPT_LINE, 1),
	REG(PCI_INTERRUPT_PIN, 1),
	REG(PCI_BRIDGE_CONTROL, 2),
};

/* ---- capabilities ---- */

static const struct r3_reg cap_header[] = {REG(PCI_CAP_LIST_ID, 1), REG(PCI_CAP_LIST_NEXT, 1)};

static const struct r3_reg pm[] = {
	REG(PCI_PM_PMC, 2),
	REG(PCI_PM_CTRL, 2),
	REG(PCI_PM_PPB_EXTENSIONS, 1),
	REG(PCI_PM_DATA_REGISTER, 1),
};

static const struct r3_reg msi32[] = {
	REG(PCI_MSI_FLAGS, 2),   REG(PCI_MSI_ADDRESS_LO, 4), REG(PCI_MSI_DATA_32, 2),
	REG(PCI_MSI_MASK_32, 4), REG(PCI_MSI_PENDING_32, 4),
};

static const struct r3_reg msi64[] = {
	REG(PCI_MSI_FLAGS, 2),   REG(PCI_MSI_ADDRESS_LO, 4), REG(PCI_MSI_ADDRESS_HI, 4),
	REG(PCI_MSI_DATA_64, 2), REG(PCI_MSI_MASK_64, 4),    REG(PCI_MSI_PENDING_64, 4),
};

static const struct r3_reg msix[] = {
	REG(PCI_MSIX_FLAGS, 2),
	REG(PCI_MSIX_TABLE, 4),
	REG(PCI_MSIX_PBA, 4),
};

/* the end of version 1 on an endpoint (PCIe 7.5.3) */
static const struct r3_reg express[] = {
	REG(PCI_EXP_FLAGS, 2),  REG(PCI_EXP_DEVCAP, 4), REG(PCI_EXP_DEVCTL, 2),
	REG(PCI_EXP_DEVSTA, 2), REG(PCI_EXP_LNKCAP, 4), REG(PCI_EXP_LNKCTL, 2),
	REG(PCI_EXP_LNKSTA, 2),
};

static const struct r3_reg express2[] = {
	REG(PCI_EXP_SLTCAP, 4),  REG(PCI_EXP_SLTCTL, 2),  REG(PCI_EXP_SLTSTA, 2),
	REG(PCI_EXP_RTCTL, 2),   REG(PCI_EXP_RTCAP, 2),   REG(PCI_EXP_RTSTA, 4),
	REG(PCI_EXP_DEVCAP2, 4), REG(PCI_EXP_DEVCTL2, 2), REG(PCI_EXP_DEVSTA2, 2),
	REG(PCI_EXP_LNKCAP2, 4), REG(PCI_EXP_LNKCTL2, 2), REG(PCI_EXP_LNKSTA2, 2),
	REG(PCI_EXP_SLTCAP2, 4), REG(PCI_EXP_SLTCTL2, 2), REG(PCI_EXP_SLTSTA2, 2),
};

static const struct r3_reg vpd[] = {REG(PCI_VPD_ADDR, 2), REG(PCI_VPD_DATA, 4)};

static const struct r3_reg ssvid[] = {REG(PCI_SSVID_VENDOR_ID, 2), REG(PCI_SSVID_DEVICE_ID, 2)};

static const struct r3_reg af[] = {
	REG(PCI_AF_LENGTH, 1),
	REG(PCI_AF_CAP, 1),
	REG(PCI_AF_CTRL, 1),
	REG(PCI_AF_STATUS, 1),
};

static const struct r3_reg pcix[] = {REG(PCI_X_CMD, 2), REG(PCI_X_STATUS, 4)};

static const struct r3_reg ext_header[] = {R3_REG("PCI_EXT_CAP_ID", 0, 4)};

static const struct r3_reg aer[] = {
	REG(PCI_ERR_UNCOR_STATUS, 4),   REG(PCI_ERR_UNCOR_MASK, 4),   REG(PCI_ERR_UNCOR_SEVER, 4),
	REG(PCI_ERR_COR_STATUS, 4),     REG(PCI_ERR_COR_MASK, 4),     REG(PCI_ERR_CAP, 4),
	REGS(PCI_ERR_HEADER_LOG, 4, 4), REG(PCI_ERR_ROOT_COMMAND, 4), REG(PCI_ERR_ROOT_STATUS, 4),
	REG(PCI_ERR_ROOT_ERR_SRC, 4),
};

static const struct r3_reg dsn[] = {R3_REG("PCI_DSN", 4, 8)};

static const struct r3_reg acs[] = {REG(PCI_ACS_CAP, 2), REG(PCI_ACS_CTRL, 2)};

static const struct r3_reg ari[] = {REG(PCI_ARI_CAP, 2), REG(PCI_ARI_CTRL, 2)};

static const struct r3_reg ats[] = {REG(PCI_ATS_CAP, 2), REG(PCI_ATS_CTRL, 2)};

static const struct r3_reg ltr[] = {
	REG(PCI_LTR_MAX_SNOOP_LAT, 2),
	REG(PCI_LTR_MAX_NOSNOOP_LAT, 2),
};

static const struct r3_reg sriov[] = {
	REG(PCI_SRIOV_CAP, 4),        REG(PCI_SRIOV_CTRL, 2),       REG(PCI_SRIOV_STATUS, 2),
	REG(PCI_SRIOV_INITIAL_VF, 2), REG(PCI_SRIOV_TOTAL_VF, 2),   REG(PCI_SRIOV_NUM_VF, 2),
	REG(PCI_SRIOV_FUNC_LINK, 1),  REG(PCI_SRIOV_VF_OFFSET, 2),  REG(PCI_SRIOV_VF_STRIDE, 2),
	REG(PCI_SRIOV_VF_DID, 2),     REG(PCI_SRIOV_SUP_PGSIZE, 4), REG(PCI_SRIOV_SYS_PGSIZE, 4),
	REGS(PCI_SRIOV_BAR, 4, 6),    REG(PCI_SRIOV_VFM, 4),
};

#define TABLE(regs) regs, sizeof(regs) / sizeof((regs)[0])

static const struct {
	uint16_t id;
	bool extended;
	const struct r3_reg *reg;
	unsigned n;
} fixed[] = {
	{PCI_CAP_ID_PM, false, TABLE(pm)},       {PCI_CAP_ID_MSIX, false, TABLE(msix)},
	{PCI_CAP_ID_EXP, false, TABLE(express)}, {PCI_CAP_ID_VPD, false, TABLE(vpd)},
	{PCI_CAP_ID_SSVID, false, TABLE(ssvid)}, {PCI_CAP_ID_AF, false, TABLE(af)},
	{PCI_CAP_ID_PCIX, false, TABLE(pcix)},   {PCI_EXT_CAP_ID_ERR, true, TABLE(aer)},
	{PCI_EXT_CAP_ID_DSN, true, TABLE(dsn)},  {PCI_EXT_CAP_ID_ACS, true, TABLE(acs)},
	{PCI_EXT_CAP_ID_ARI, true, TABLE(ari)},  {PCI_EXT_CAP_ID_ATS, true, TABLE(ats)},
	{PCI_EXT_CAP_ID_LTR, true, TABLE(ltr)},  {PCI_EXT_CAP_ID_SRIOV, true, TABLE(sriov)},
};

/* The table of vectors, where the capability says it is (PCI 3.0, 6.8.2). */
static int place_vectors(struct r3_device *dev, struct r3_reg_map *map, unsigned at)
{
	uint32_t where = r3_pci_read32(dev, at + PCI_MSIX_TABLE);
	uint32_t n = (r3_pci_read16(dev, at + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1u;
	const struct r3_reg entry[] = {
#define ENTRY(name) \
	R3_REG("MSIX#_" #name, PCI_MSIX_ENTRY_##name, 4, .count = n, .stride = PCI_MSIX_ENTRY_SIZE)
		ENTRY(LOWER_ADDR),
		ENTRY(UPPER_ADDR),
		ENTRY(DATA),
		ENTRY(VECTOR_CTRL),
	};

	if ((where & PCI_MSIX_TABLE_BIR) > R3_REGION_BAR5)
		return 0;
	return R3_REG_PLACE(map, where & PCI_MSIX_TABLE_BIR, where & PCI_MSIX_TABLE_OFFSET, entry);
}

static int place_cap(struct r3_device *dev, struct r3_reg_map *map, const struct r3_pci_cap *cap)
{
	const unsigned config = R3_REGION_CONFIG, at = cap->offset;
	uint16_t flags;
	int rc = cap->extended ? R3_REG_PLACE(map, config, at, ext_header)
			       : R3_REG_PLACE(map, config, at, cap_header);

	for (unsigned i = 0; i < sizeof(fixed) / sizeof(fixed[0]) && !rc; i++)
		if (fixed[i].id == cap->id && fixed[i].extended == cap->extended)
			rc = r3_reg_place(map, config, at, fixed[i].reg, fixed[i].n);
	if (rc || cap->extended)
		return rc;
	flags = r3_pci_read16(dev, at + PCI_CAP_FLAGS);
	switch (cap->id) {
	case PCI_CAP_ID_MSI:
		return flags & PCI_MSI_FLAGS_64BIT ? R3_REG_PLACE(map, config, at, msi64)
						   : R3_REG_PLACE(map, config, at, msi32);
	case PCI_CAP_ID_MSIX:
		return place_vectors(dev, map, at);
	case PCI_CAP_ID_EXP:
		return (flags & PCI_EXP_FLAGS_VERS) > 1 ? R3_REG_PLACE(map, config, at, express2)
							: 0;
	default:
		return 0;
	}
}

#define CAPS_MAX 64

static int place(struct r3_device *dev, struct r3_reg_map *map)
{
	struct r3_pci_cap cap[CAPS_MAX];
	int n = r3_pci_caps(dev, cap, CAPS_MAX);
	int rc = R3_REG_PLACE(map, R3_REGION_CONFIG, 0, common);

	if (rc)
		return rc;
	switch (r3_pci_read8(dev, PCI_HEADER_TYPE) & R3_PCI_HEADER_LAYOUT) {
	case PCI_HEADER_TYPE_NORMAL:
		rc = R3_REG_PLACE(map, R3_REGION_CONFIG, 0, normal);
		break;
	case PCI_HEADER_TYPE_BRIDGE:
		rc = R3_REG_PLACE(map, R3_REGION_CONFIG, 0, bridge);
		break;
	default:
		break;
	}
	for (int i = 0; i < n && i < CAPS_MAX && !rc; i++)
		rc = place_cap(dev, map, &cap[i]);
	return rc;
}

const struct r3_reg_set r3_pci_regs = {
	.name = "pci",
	.vendor = R3_REG_ANY,
	.device = R3_REG_ANY,
	.place = place,
};
