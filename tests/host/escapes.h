/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways out of a sandbox: each is one thing that a driver gone bad would try. Used by the test
 * of the sandbox, and by a driver that r3-host loads. */
#ifndef RING3_TESTS_HOST_ESCAPES_H
#define RING3_TESTS_HOST_ESCAPES_H

#include <stdbool.h>
#include <sys/types.h>

/** What an attempt may aim at: made before the sandbox is entered. */
struct escape_aims {
	pid_t neighbour; /* a process of the same uid, outside of the sandbox */
	char secret[64]; /* a file that everybody may read */
	char folder[64]; /* one that everybody may write to */
	void *anywhere;  /* address in us and in the neighbour */
};

struct escape {
	const char *name;
	/** 0: it worked, that is, we are out. Else a negative errno. */
	int (*attempt)(const struct escape_aims *aims);
	/** Works outside only for root, or where the machine has it: a failure out there proves
	 *  nothing, and is told. */
	bool rare;
	/** More than the filter of system calls stands against it. */
	bool twice;
};

/** Ended by a row without a name. */
extern const struct escape escapes[];

#endif
