/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The children of `ring3 run`: the processes that serve, and the command. We are the
 * subreaper: whatever they leave behind becomes our child, and is ended.
 */
#ifndef TOOLS_RING3_CHILDREN_H
#define TOOLS_RING3_CHILDREN_H

#include "keeper.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** Those that serve, from the device to the client. Without isolation the last is alone. */
enum server_part { PART_BROKER, PART_DRIVER, PART_EXPORT, PARTS };

struct server_process {
	pid_t pid, was; /* pid is 0 before it was started, and once it is reaped */
	int status;     /* as of waitpid(2), once it is reaped */
	unsigned round; /* of reaping, in which that was */
};

struct children {
	unsigned rounds;
	struct server_process part[PARTS];
	struct keeper keeper;
	pid_t command; /* 0: none, or reaped */
	pid_t group;   /* the command's; stays when it has ended */
	int command_status;
	bool command_stopped;
};

/** Reap whoever has ended. Never blocks. */
void children_reap(struct children *children);

/** Whether one of those that serve is alive. */
bool children_serve(const struct children *children);

/** Why it all fell down, as far as deaths tell: the part nearest the device that was killed,
 *  else that failed, else the one that ended first; of those whose order is not known the one
 *  nearest the client, for its end is what ends the others in good order. One that failed
 *  because a nearer one had ended in good order is no cause. Writes "the broker (process 12)
 *  was killed by signal 9 (Killed)" to @text. Returns false where all are alive. */
bool children_cause(const struct children *children, char *text, unsigned size);

/** End all but those that serve: SIGTERM, and SIGKILL after @grace_ms. */
void children_end(struct children *children, unsigned grace_ms);

int64_t now_ms(void); /* on CLOCK_MONOTONIC */

#endif
