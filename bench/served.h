/* SPDX-License-Identifier: BSD-2-Clause */
/* A broker for a measurement: `ring3 serve` of some address, in a process of its own. */
#ifndef RING3_BENCH_SERVED_H
#define RING3_BENCH_SERVED_H

#include <sys/types.h>

struct served {
	pid_t pid;
	char folder[64];
	char address[128]; /* for r3_device_open() */
};

/** Start @program ("ring3", or the same with devices of the tests) serving @address, and
 *  wait until it says that it does. 0, or -errno with a text. */
int served_start(struct served *served, const char *program, const char *address);

/** End it. */
void served_end(struct served *served);

#endif
