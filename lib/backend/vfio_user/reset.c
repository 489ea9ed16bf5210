/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reset and quiesce. VFIO_USER_DEVICE_RESET, as VFIO_DEVICE_RESET, resets this device and no
 * other: that is what R3_RESET_FUNCTION promises, whichever way the server does it. There is
 * no message that would reset a bus.
 */
#include "backend/vfio_user/vfio_user.h"

#include <ring3/error.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#define BARS 6

static int bars(struct r3_vfio_user *v, uint32_t bar[BARS], unsigned flags)
{
	return r3_vfio_user_rw(&v->dev, R3_REGION_CONFIG, PCI_BASE_ADDRESS_0, bar, 4, BARS, flags);
}

static int command(struct r3_vfio_user *v, uint16_t *value, unsigned flags)
{
	return r3_vfio_user_rw(&v->dev, R3_REGION_CONFIG, PCI_COMMAND, value, 2, 1, flags);
}

/* Decoding and bus mastering off; writes nothing where they are. */
static int decode_off(struct r3_vfio_user *v)
{
	const uint16_t on = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint16_t value;
	int rc = command(v, &value, 0);

	if (rc < 0 || !(value & on))
		return rc;
	value &= (uint16_t)~on;
	return command(v, &value, R3_RW_WRITE);
}

static int send_reset(struct r3_vfio_user *v)
{
	struct vfio_user_header message;
	struct r3_vfio_user_call call;
	int rc;

	r3_vfio_user_call_init(&call, VFIO_USER_DEVICE_RESET, &message, sizeof(message), NULL, 0);
	rc = r3_vfio_user_call(v, &call);
	return rc < 0 ? rc : r3_vfio_user_checked(v, r3_vfio_user_got_nothing(&call.msg));
}

/* Our own servers leave all as ops.h wants it. A stranger may leave decoding on, as Linux
 * does, or lose the BARs, as a bare device does. */
int r3_vfio_user_reset(struct r3_device *dev, enum r3_reset how)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	bool pci = dev->info.caps & R3_CAP_PCI;
	uint32_t before[BARS], after[BARS];
	int rc = 0;

	/* no transfer may be under way when it begins (PCIe 6.6.2) */
	if (pci)
		rc = decode_off(v);
	if (rc == 0 && pci)
		rc = bars(v, before, 0);
	if (rc == 0)
		rc = send_reset(v);
	if (rc == 0)
		rc = r3_vfio_user_forget_irqs(v);
	if (rc == 0 && pci)
		rc = decode_off(v);
	if (rc == 0 && pci)
		rc = bars(v, after, 0);
	if (rc == 0 && pci && memcmp(before, after, sizeof(before)))
		rc = bars(v, before, R3_RW_WRITE);
	return rc < 0 ? r3_error_prefix(rc, "%s", dev->info.name) : 0;
}

/* Only a reset proves that no write is on its way to a medium. For less, the core takes the
 * bus mastership away. */
int r3_vfio_user_quiesce(struct r3_device *dev, unsigned want, unsigned *proved)
{
	int rc;

	if (!(want & R3_QUIESCE_MEDIA) || !(dev->info.caps & R3_CAP_FLR))
		return -EOPNOTSUPP;
	rc = r3_vfio_user_reset(dev, R3_RESET_FUNCTION);
	if (rc == 0)
		*proved = want & (R3_QUIESCE_DMA | R3_QUIESCE_MEDIA);
	return rc;
}
