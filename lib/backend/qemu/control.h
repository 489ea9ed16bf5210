/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a test does to the QEMU behind a device: faults, unplugging, its process. Each call
 * takes an opened "qemu:" or "qtest:" device, not one behind a filter. The device is "dev0"
 * in QEMU, its root port "rp0", its disks "disk0", "disk1" and so on.
 */
#ifndef RING3_BACKEND_QEMU_CONTROL_H
#define RING3_BACKEND_QEMU_CONTROL_H

#include <sys/types.h>

struct r3_device;

/** QEMU's process; 0: it is not ours, or no QEMU. */
pid_t r3_qemu_pid(struct r3_device *dev);

/** Run a QMP command; @arguments is JSON text or NULL. @reply, if not NULL, gets JSON text
 *  for free(). Errors: EINVAL no QEMU, or no JSON; EOPNOTSUPP no control socket; EIO QEMU
 *  refuses; ENODEV it ended; ETIMEDOUT. */
int r3_qemu_execute(struct r3_device *dev, const char *command, const char *arguments,
		    char **reply);

/** Run a command of the human monitor, such as `qemu-io disk0 "break pwritev_async A"` on
 *  a device opened with blkdebug. What it prints goes to @says, if not NULL, for free(). */
int r3_qemu_hmp(struct r3_device *dev, const char *line, char **says);

/** Tear the device out of its slot. Errors: EINVAL; EOPNOTSUPP it is in no slot. */
int r3_qemu_surprise_remove(struct r3_device *dev);

#endif
