/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's command line. */
#ifndef RING3_BACKEND_QEMU_COMMAND_H
#define RING3_BACKEND_QEMU_COMMAND_H

#include "backend/qemu/options.h"

/** Descriptors that QEMU inherits. */
struct r3_qemu_files {
	int rom, ram, qtest, qmp, doorbell;
	int disk[R3_QEMU_NAMESPACES]; /* -1: none */
	unsigned ndisks;
	bool block_device; /* disk[0] is one, not a file */
};

struct r3_qemu_command {
	char **argv; /* NULL-ended */
	unsigned n, room;
	bool failed;
};

/** The names that QEMU knows our parts by. */
#define R3_QEMU_ID_DEVICE "dev0"
#define R3_QEMU_ID_PORT   "rp0"

/** Errors: ENOMEM; EINVAL a property that cannot be given. */
int r3_qemu_command_make(struct r3_qemu_command *command, const char *program,
			 const struct r3_qemu_options *options, const struct r3_qemu_files *files);
void r3_qemu_command_free(struct r3_qemu_command *command);

#endif
