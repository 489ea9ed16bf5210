/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting a program: its descriptors, its process group, whose death ends it. */
#ifndef TOOLS_RING3_PROCESS_H
#define TOOLS_RING3_PROCESS_H

#include "util/tether.h"
#include <stdbool.h>
#include <sys/types.h>

#define PROCESS_FIRST_FD 3

struct process_opts {
	char *const *argv;
	bool quiet;     /* no standard input and output */
	int out, err;   /* become standard output and error; 0: as `quiet` says */
	const int *fds; /* become descriptors 3, 4, ... of the child */
	unsigned nfds;
	unsigned nlisten;         /* how many of them LISTEN_FDS announces */
	int preload;              /* which of them is a library to preload; -1 */
	int keep;                 /* one more to stay open, under any number; -1 */
	struct r3_tether *tether; /* its group dies with us; NULL: it has its own way. One
				     that is `alone` has `feel` among its fds */
	bool foreground;          /* it gets the terminal */
	bool alone;               /* no other descriptors, and little of our environment */
};

/** Fork and exec, with no signal blocked. Returns 0, or -errno of what failed, be it
 *  execvp(3) in the child. */
int process_spawn(const struct process_opts *opts, pid_t *out);

/** Give the terminal to @group. For programs whose standard input it is. */
void terminal_give(pid_t group);
/** Whether standard input is a terminal that is ours to give. */
bool terminal_is_ours(void);

#endif
