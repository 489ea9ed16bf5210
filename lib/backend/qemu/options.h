/* SPDX-License-Identifier: BSD-2-Clause */
/* What "qemu:MODEL,key=value..." asks for. */
#ifndef RING3_BACKEND_QEMU_OPTIONS_H
#define RING3_BACKEND_QEMU_OPTIONS_H

#include <ring3/address.h>
#include <ring3/device.h>

/** NVMe namespaces that ns= can ask for. */
#define R3_QEMU_NAMESPACES 64

enum r3_qemu_storage {
	R3_QEMU_NO_STORAGE,
	R3_QEMU_STORAGE_SPARSE, /* memory that fills as it is written */
	R3_QEMU_STORAGE_FILE,
	R3_QEMU_STORAGE_NULL, /* reads zeroes, forgets writes */
};

struct r3_qemu_options {
	const char *model;
	const struct r3_params *params; /* for prop.X */
	enum r3_qemu_storage storage;
	uint64_t size;
	const char *drive;
	bool readonly;
	unsigned namespaces;  /* 0: the controller's own one */
	unsigned lba;         /* 0: QEMU's choice */
	bool debug;           /* blkdebug in front of the storage ... */
	const char *blkdebug; /* ... with this configuration; NULL: none */
	const char *vectors_prop;
	uint64_t vectors; /* 0: as many as it has */
	uint64_t mem;
	bool iommu;           /* in front of the device ... */
	bool access_platform; /* ... which has to be told that there is one */
	uint64_t slot;
	uint32_t uid, gid; /* of QEMU; 0: ours; not parsed, for the caller to set */
	uint64_t bars;     /* 0: in the order that wastes least, else in one drawn from it */
};

/** Errors: EINVAL. The strings are the parameters'. @opts is what the
 *  device is opened with; NULL: nothing special. */
int r3_qemu_options_parse(const struct r3_params *params, const struct r3_open_opts *opts,
			  struct r3_qemu_options *options);

#endif
