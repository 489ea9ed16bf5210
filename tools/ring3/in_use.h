/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether somebody else uses what is about to be overwritten. What the kernel tells is
 * read below a root that a test replaces; nothing is opened for writing.
 */
#ifndef TOOLS_RING3_IN_USE_H
#define TOOLS_RING3_IN_USE_H

#include <stdbool.h>
#include <sys/types.h>

/** A block device or a regular file. */
struct in_use_target {
	const char *path; /* for messages */
	dev_t dev;        /* the file is on it; with ino, which file it is */
	ino_t ino;
	dev_t rdev; /* of a block device; 0: a regular file */
};

/** Ask the kernel who has @target: a mounted file system, the swap, a device above it, a
 *  loop device, for the whole disk and its partitions alike. @root: "" or where proc and
 *  sys are instead. Errors: EBUSY, the text says who has it and how to end that. */
int in_use_check(const char *root, const struct in_use_target *target);

/** The same for what an address names and is going to be written: a "file:" or the drive of a
 *  "qemu:". A PCI device is asked for in any case: a driver of the kernel may have it, and two
 *  cannot drive one device. On success *fd keeps others away who ask for a lock, until it is
 *  closed; -1: there is nothing to keep. Errors: EBUSY; EINVAL no such address; those of
 *  open(2). */
int in_use_claim(const char *address, bool writes, int *fd);

#endif
