/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot is what a device looks like, as a text that is kept in a file: who it is, its
 * configuration space, its regions, and of these what can be read without changing
 * anything. The address snapshot:PATH opens it again as a device that can be looked at.
 */
#ifndef RING3_SNAPSHOT_H
#define RING3_SNAPSHOT_H

#include <ring3/api.h>

R3_BEGIN

struct r3_device;

/** Look at @dev. *text is *len bytes and a NUL, for free(). Of a region nothing is read but
 *  registers that are known to allow it. Decoding, where it is off, is turned on meanwhile.
 *  Errors: EOPNOTSUPP not PCI; ENODEV gone; ENOMEM; those of r3_region_read(). */
R3_API int r3_snapshot_take(struct r3_device *dev, char **text, size_t *len);

R3_END
#endif
