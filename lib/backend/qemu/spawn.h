/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The QEMU process: started with a given set of descriptors and nothing else, in a session
 * of its own (a terminal's ^C is for the owner, who shuts down in order), without a way
 * to gain privilege, and tethered: it ends with its owner.
 */
#ifndef RING3_BACKEND_QEMU_SPAWN_H
#define RING3_BACKEND_QEMU_SPAWN_H

#include "util/tether.h"

#include <sys/types.h>

struct r3_qemu_process {
	pid_t pid; /* 0: none */
	int fd;    /* which names it and nobody else; -1: this kernel has none */
	struct r3_tether tether;
	int messages; /* its standard error, -1: none */
};

#define R3_QEMU_PROCESS_NONE ((struct r3_qemu_process){0, -1, R3_TETHER_NONE, -1})

/** Find the program @name, in PATH unless it has a slash, into @path of @size bytes.
 *  Errors: ENODEV it is not there or not executable. */
int r3_qemu_find_program(const char *name, char *path, size_t size);

/** Start @path with @argv. The child has descriptors 0 to 2 and the @nfds of @fds, under
 *  their numbers (which are above 2), and no other. It runs as @uid and @gid, in no other
 *  group, unless they are 0: as we do. Errors: EAGAIN, ENOMEM, EMFILE. */
int r3_qemu_process_start(struct r3_qemu_process *process, const char *path, char *const argv[],
			  const int *fds, unsigned nfds, uid_t uid, gid_t gid);

/** What it wrote to standard error up to now, without line ends; for an error's text. */
void r3_qemu_process_says(struct r3_qemu_process *process, char *buf, size_t size);

/** Kill it, and wait until it has ended. It stays to be reaped by the next function. Any
 *  thread, and any number of times. Returns false when it does not end. */
bool r3_qemu_process_kill(struct r3_qemu_process *process);

/** Ask it to end, wait at most @grace_ms for that, then kill it. Reaps this child only. */
void r3_qemu_process_stop(struct r3_qemu_process *process, unsigned grace_ms);

#endif
