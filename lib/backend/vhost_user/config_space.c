/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration space of a virtio block device (4.1.2, 4.1.4): who it is, and where in
 * BAR0 its registers are. */
#include "backend/vhost_user/vhost_user.h"
#include "util/item.h"

#include <linux/pci_regs.h>
#include <string.h>

#define CAP_COMMON 0x40u
#define CAP_ISR    0x50u
#define CAP_CONFIG 0x60u
#define CAP_NOTIFY 0x70u
#define CAP_MSIX   0x90u

#define COMMAND_BITS \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)

static void add_cap(struct vuf_device *vuf, unsigned at, unsigned next, uint8_t type, uint32_t off,
		    uint32_t len)
{
	bool notify = type == VIRTIO_PCI_CAP_NOTIFY_CFG;
	const struct virtio_pci_notify_cap cap = {
		.cap =
			{
				.cap_vndr = PCI_CAP_ID_VNDR,
				.cap_next = (uint8_t)next,
				.cap_len = notify ? sizeof(cap) : sizeof(cap.cap),
				.cfg_type = type,
				.offset = R3_LE32(off),
				.length = R3_LE32(len),
			},
		.notify_off_multiplier = R3_LE32(VUF_MULTIPLIER),
	};

	memcpy(vuf->space + at, &cap, cap.cap.cap_len);
}

void vuf_space_init(struct vuf_device *vuf)
{
	uint8_t *space = vuf->space, *mask = vuf->space_mask;

	r3_item_put_le(space + PCI_VENDOR_ID, 2, VIRTIO_PCI_VENDOR);
	r3_item_put_le(space + PCI_DEVICE_ID, 2, VIRTIO_PCI_DEVICE_MODERN + VIRTIO_ID_BLOCK);
	r3_item_put_le(space + PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	r3_item_put_le(space + PCI_CLASS_REVISION, 4, 0x01000001); /* storage; revision 1 */
	r3_item_put_le(space + PCI_SUBSYSTEM_VENDOR_ID, 2, VIRTIO_PCI_VENDOR);
	r3_item_put_le(space + PCI_SUBSYSTEM_ID, 2, VIRTIO_PCI_DEVICE_MODERN + VIRTIO_ID_BLOCK);
	r3_item_put_le(space + PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_64);
	space[PCI_CAPABILITY_LIST] = CAP_COMMON;
	r3_item_put_le(mask + PCI_COMMAND, 2, COMMAND_BITS);
	r3_item_put_le(mask + PCI_BASE_ADDRESS_0, 8, ~(uint64_t)(VUF_BAR_SIZE - 1));
	r3_item_put_le(mask + PCI_BASE_ADDRESS_2, 4, ~(uint32_t)(VUF_MSIX_SIZE - 1));
	mask[PCI_INTERRUPT_LINE] = 0xff;
	add_cap(vuf, CAP_COMMON, CAP_ISR, VIRTIO_PCI_CAP_COMMON_CFG, VUF_COMMON,
		VIRTIO_PCI_COMMON_LEN_1_0);
	add_cap(vuf, CAP_ISR, CAP_CONFIG, VIRTIO_PCI_CAP_ISR_CFG, VUF_ISR, 1);
	add_cap(vuf, CAP_CONFIG, CAP_NOTIFY, VIRTIO_PCI_CAP_DEVICE_CFG, VUF_CONFIG,
		vuf->config_len);
	add_cap(vuf, CAP_NOTIFY, CAP_MSIX, VIRTIO_PCI_CAP_NOTIFY_CFG, VUF_NOTIFY,
		vuf->nqueues * VUF_MULTIPLIER);
	/* whose table is nobody's to write: eventfds are bound in its place */
	space[CAP_MSIX] = PCI_CAP_ID_MSIX;
	r3_item_put_le(space + CAP_MSIX + PCI_MSIX_FLAGS, 2, vuf->nqueues); /* less one */
	r3_item_put_le(space + CAP_MSIX + PCI_MSIX_TABLE, 4, R3_REGION_BAR2);
	r3_item_put_le(space + CAP_MSIX + PCI_MSIX_PBA, 4, VUF_PBA | R3_REGION_BAR2);
}

/* The BARs stay where they are. */
void vuf_space_reset(struct vuf_device *vuf)
{
	memset(vuf->space + PCI_COMMAND, 0, 2);
}

uint64_t vuf_space_read(const struct vuf_device *vuf, uint64_t off, unsigned width)
{
	return r3_item_get_le(vuf->space + off, width);
}

void vuf_space_write(struct vuf_device *vuf, uint64_t off, unsigned width, uint64_t value)
{
	for (unsigned i = 0; i < width; i++, off++, value >>= 8) {
		uint8_t mask = vuf->space_mask[off];

		vuf->space[off] =
			(uint8_t)((vuf->space[off] & (uint8_t)~mask) | ((uint8_t)value & mask));
	}
}
