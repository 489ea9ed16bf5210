/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI and MSI-X control registers. Nothing here believes a capability that would
 * reach outside of its space: a table behind the end of a BAR is no table.
 */
#include "pci/msi.h"
#include "pci/access.h"
#include "pci/caps.h"
#include <ring3/error.h>
#include <ring3/region.h>

#include <errno.h>

int r3_pci_msi_parse(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		     struct r3_pci_msi *msi)
{
	unsigned offset, flags, log2, length;

	if (r3_pci_find_cap(access, bus, devfn, PCI_CAP_ID_MSI, false, &offset))
		return -ENOENT;
	flags = r3_pci_get16(access, bus, devfn, offset + PCI_MSI_FLAGS);
	log2 = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
	*msi = (struct r3_pci_msi){
		.offset = offset,
		.max = 1u << log2,
		.wide = flags & PCI_MSI_FLAGS_64BIT,
		.maskable = flags & PCI_MSI_FLAGS_MASKBIT,
	};
	length = msi->wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
	length += msi->maskable ? 12 : 2; /* mask and pending bits follow the data */
	if (log2 > 5 || offset + length > PCI_CFG_SPACE_SIZE)
		return -ENOENT;
	return 0;
}

int r3_pci_msi_program(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		       const struct r3_pci_msi *msi, unsigned n, uint64_t address, uint16_t data)
{
	uint16_t want = 0, flags, mask = PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE;
	unsigned at = msi->offset;

	if (n > msi->max || (n & (n - 1)) || (n && data % n))
		return r3_error_set(EINVAL,
				    "pci %02x:%02x.%x: cannot have %u MSI vectors from "
				    "%#x on, of %u",
				    bus, devfn >> 3, devfn & 7, n, data, msi->max);
	if (address & 3 || (address >> 32 && !msi->wide))
		return r3_error_set(EINVAL, "pci %02x:%02x.%x: MSI cannot write to %#llx", bus,
				    devfn >> 3, devfn & 7, (unsigned long long)address);
	flags = r3_pci_get16(access, bus, devfn, at + PCI_MSI_FLAGS) & (uint16_t)~mask;
	/* 6.8.1: address and data change only while it is off */
	r3_pci_put16(access, bus, devfn, at + PCI_MSI_FLAGS, flags);
	if (n) {
		r3_pci_put32(access, bus, devfn, at + PCI_MSI_ADDRESS_LO, (uint32_t)address);
		if (msi->wide)
			r3_pci_put32(access, bus, devfn, at + PCI_MSI_ADDRESS_HI,
				     (uint32_t)(address >> 32));
		r3_pci_put16(access, bus, devfn,
			     at + (msi->wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), data);
		if (msi->maskable)
			r3_pci_put32(access, bus, devfn,
				     at + (msi->wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32), 0);
		want = (uint16_t)(PCI_MSI_FLAGS_ENABLE | __builtin_ctz(n) << 4);
		r3_pci_put16(access, bus, devfn, at + PCI_MSI_FLAGS, flags | want);
	}
	if ((r3_pci_get16(access, bus, devfn, at + PCI_MSI_FLAGS) & mask) != want)
		return r3_error_set(EIO, "pci %02x:%02x.%x: does not take %u MSI vectors", bus,
				    devfn >> 3, devfn & 7, n);
	return 0;
}

int r3_pci_msi_mask(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		    const struct r3_pci_msi *msi, unsigned vector, bool mask)
{
	unsigned at = msi->offset + (msi->wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
	uint32_t bits;

	if (vector >= msi->max)
		return r3_error_set(EINVAL, "pci %02x:%02x.%x: no MSI vector %u", bus, devfn >> 3,
				    devfn & 7, vector);
	if (!msi->maskable)
		return r3_error_set(EOPNOTSUPP, "pci %02x:%02x.%x: MSI vectors cannot be masked",
				    bus, devfn >> 3, devfn & 7);
	bits = r3_pci_get32(access, bus, devfn, at) & ~(1u << vector);
	r3_pci_put32(access, bus, devfn, at, bits | (uint32_t)mask << vector);
	return 0;
}

static bool inside(const struct r3_pci_bar bar[7], unsigned index, uint32_t off, uint32_t len)
{
	return index < 6 && bar[index].size && !(bar[index].flags & R3_REGION_PORT) &&
	       off <= bar[index].size && len <= bar[index].size - off;
}

int r3_pci_msix_parse(struct r3_pci_access *access, unsigned bus, unsigned devfn,
		      const struct r3_pci_bar bar[7], struct r3_pci_msix *msix)
{
	unsigned offset;
	uint32_t table, pba;

	if (r3_pci_find_cap(access, bus, devfn, PCI_CAP_ID_MSIX, false, &offset) ||
	    offset + PCI_MSIX_PBA + 4 > PCI_CFG_SPACE_SIZE)
		return -ENOENT;
	table = r3_pci_get32(access, bus, devfn, offset + PCI_MSIX_TABLE);
	pba = r3_pci_get32(access, bus, devfn, offset + PCI_MSIX_PBA);
	*msix = (struct r3_pci_msix){
		.offset = offset,
		.max = (r3_pci_get16(access, bus, devfn, offset + PCI_MSIX_FLAGS) &
			PCI_MSIX_FLAGS_QSIZE) +
		       1u,
		.table_bar = table & PCI_MSIX_TABLE_BIR,
		.table_off = table & PCI_MSIX_TABLE_OFFSET,
		.pba_bar = pba & PCI_MSIX_PBA_BIR,
		.pba_off = pba & PCI_MSIX_PBA_OFFSET,
	};
	/* one pending bit per entry, in 64-bit words (6.8.2) */
	if (!inside(bar, msix->table_bar, msix->table_off, msix->max * PCI_MSIX_ENTRY_SIZE) ||
	    !inside(bar, msix->pba_bar, msix->pba_off, (msix->max + 63) / 64 * 8))
		return -ENOENT;
	return 0;
}

int r3_pci_msix_control(struct r3_pci_access *access, unsigned bus, unsigned devfn,
			const struct r3_pci_msix *msix, bool enable, bool mask_all)
{
	uint16_t want = (uint16_t)((enable ? PCI_MSIX_FLAGS_ENABLE : 0) |
				   (mask_all ? PCI_MSIX_FLAGS_MASKALL : 0));
	uint16_t mask = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
	unsigned at = msix->offset + PCI_MSIX_FLAGS;
	uint16_t flags = r3_pci_get16(access, bus, devfn, at) & (uint16_t)~mask;

	r3_pci_put16(access, bus, devfn, at, flags | want);
	if ((r3_pci_get16(access, bus, devfn, at) & mask) != want)
		return r3_error_set(EIO, "pci %02x:%02x.%x: MSI-X cannot be turned %s", bus,
				    devfn >> 3, devfn & 7, enable ? "on" : "off");
	return 0;
}
