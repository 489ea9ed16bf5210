/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper: a child that does what its owner cannot do any more once it was killed. It
 * removes socket files, which those who serve at them may have no right to; and it gives
 * processes that should end by themselves a moment for that, before their tethers
 * (util/tether.h) are cut. Until then it sleeps, and holds nothing else.
 */
#ifndef TOOLS_RING3_KEEPER_H
#define TOOLS_RING3_KEEPER_H

#include "export/nbd/socket.h"
#include <sys/types.h>

#define KEEPER_MAX 32 /* files, and tethers */

struct keeper_job {
	const struct socket_file *file[KEEPER_MAX];
	unsigned nfile;
	int hold[KEEPER_MAX]; /* the write ends of tethers, in the order to cut them */
	unsigned nhold;
	int lock; /* kept open until the last moment; -1: none */
	unsigned grace_ms;
};

struct keeper {
	int pipe; /* its end of file is our end; -1: none */
	pid_t pid;
};

#define KEEPER_NONE ((struct keeper){.pipe = -1})

/** Start it. From here on two processes hold the tethers: cutting them here kills nobody as
 *  long as the keeper lives. Errors: those of fork(2) and pipe(2). */
int keeper_start(struct keeper *keeper, const struct keeper_job *job);

/** Let it do its job, and wait until it is done: at once where nobody is left whom it should
 *  give a moment. Safe to call twice. */
void keeper_end(struct keeper *keeper);

#endif
