/* SPDX-License-Identifier: BSD-2-Clause */
/* Every backend, filter and driver there is: the one list. A name that is not built
 * here is reserved, and says what to do instead. */
#include "backend/qemu/backend.h"
#include "backend/snapshot/snapshot.h"
#include "backend/vfio_user/backend.h"
#include "backend/vhost_user/backend.h"
#include "bus/filter.h"
#include "bus/ops.h"
#include "bus/regs.h"
#include "class/scheme.h"
#include "config.h"
#include "drivers/block/nvme/driver.h"
#include "drivers/block/virtio_blk/driver.h"
#include "pci/regs.h"
#include "virtio/regs.h"

#include <ring3/driver.h>
#include <ring3/version.h>

#include <pthread.h>

/* ---- backends ---- */

#define NO_REAL_DEVICE \
	"is not built into this version, which cannot drive this machine's own devices; " \
	"drive a model of the device instead: qemu:nvme, or another device of QEMU's"

#define RESERVED_BACKEND(scheme_, id, summary_, missing_) \
	static const struct r3_backend id = { \
		.scheme = scheme_, .summary = summary_, .missing = missing_}

RESERVED_BACKEND("pci", reserved_pci, "a PCI device of this machine", NO_REAL_DEVICE);
RESERVED_BACKEND("vfio", reserved_vfio, "a PCI device bound to vfio-pci", NO_REAL_DEVICE);
RESERVED_BACKEND("uio", reserved_uio, "a PCI device bound to uio_pci_generic", NO_REAL_DEVICE);
#if R3_WITH_VFIO_USER
#define VFIO_USER_BACKEND &r3_vfio_user_backend
#else
RESERVED_BACKEND("vfio-user", reserved_vfio_user, "a device served on a socket",
		 "is not built in; configure with -Dvfio_user=enabled (needs json-c)");
#define VFIO_USER_BACKEND &reserved_vfio_user
#endif
#if R3_WITH_QEMU
#define QEMU_BACKENDS &r3_qemu_backend, &r3_qtest_backend
#else
RESERVED_BACKEND("qemu", reserved_qemu, "a device model of a private QEMU",
		 "is not built in; configure with -Dqemu=enabled (needs json-c)");
RESERVED_BACKEND("qtest", reserved_qtest, "a device model of a running QEMU",
		 "is not built in; configure with -Dqemu=enabled (needs json-c)");
#define QEMU_BACKENDS &reserved_qemu, &reserved_qtest
#endif
RESERVED_BACKEND("model", reserved_model, "a device model of ring3's own",
		 "is not built into this version; use QEMU's models: qemu:nvme, qemu:edu");
RESERVED_BACKEND("xen", reserved_xen, "a Xen frontend",
		 "is not built into this version; inside a Xen guest use the kernel's driver");
RESERVED_BACKEND("replay", reserved_replay, "a recorded device",
		 "is not built into this version; run against the device itself");
RESERVED_BACKEND("ring3", reserved_ring3, "a device granted by ring3d",
		 "is not built into this version, which has no ring3d; name the device itself, "
		 "for example qemu:nvme");

const struct r3_backend *const r3_backends[] = {
	QEMU_BACKENDS,    &r3_vhost_user_backend, &reserved_pci,   &reserved_vfio,
	&reserved_uio,    VFIO_USER_BACKEND,      &reserved_model, &reserved_xen,
	&reserved_replay, &r3_snapshot_backend,   &reserved_ring3, NULL,
};

/* ---- filters ---- */

#define RESERVED_FILTER(name_, id, summary_, missing_) \
	static const struct r3_filter id = {.name = name_, .summary = summary_, .missing = missing_}

RESERVED_FILTER("record", reserved_record,
		"records a device for replay:", "is not built into this version; leave it out");
RESERVED_FILTER("fault", reserved_fault, "breaks a device by a script",
		"is not built into this version; leave it out");

const struct r3_filter *const r3_filters[] = {
	&r3_filter_delay, &r3_filter_trace, &reserved_record, &reserved_fault, NULL,
};

/* ---- drivers ---- */

static const struct r3_driver_v1 *const drivers[] = {
	&r3_driver_nvme,
	&r3_driver_virtio_blk,
	NULL,
};

const struct r3_driver_v1 *const *r3_drivers(void)
{
	return drivers;
}

/* ---- names of registers ---- */

const struct r3_reg_set *const r3_reg_sets[] = {
	&r3_pci_regs, &r3_virtio_regs, &r3_nvme_regs,
#if R3_WITH_QEMU
	&r3_edu_regs,
#endif
	NULL,
};

/* ---- block schemes that are no devices ---- */

const struct r3_block_scheme *const r3_block_schemes[] = {
	&r3_block_file,
	&r3_block_null,
	NULL,
};

/* ---- the list of features ---- */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct r3_feature
	features[COUNT(r3_backends) + COUNT(r3_filters) + COUNT(drivers) + COUNT(r3_block_schemes)];

static void list_features(void)
{
	struct r3_feature *f = features;

	for (const struct r3_backend *const *b = r3_backends; *b; b++)
		*f++ = (struct r3_feature){"backend", (*b)->scheme, (*b)->summary, (*b)->missing};
	for (const struct r3_filter *const *i = r3_filters; *i; i++)
		*f++ = (struct r3_feature){"filter", (*i)->name, (*i)->summary, (*i)->missing};
	for (const struct r3_driver_v1 *const *d = drivers; *d; d++)
		*f++ = (struct r3_feature){"driver", (*d)->name, (*d)->summary, NULL};
	for (const struct r3_block_scheme *const *s = r3_block_schemes; *s; s++)
		*f++ = (struct r3_feature){"block", (*s)->name, (*s)->summary, NULL};
}

const struct r3_feature *r3_features(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, list_features);
	return features;
}

const char *r3_version(void)
{
	return R3_VERSION;
}
