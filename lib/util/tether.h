/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tether: a child process that dies with its owner, whatever kills the owner.
 *
 * The child holds the read end of a pipe whose only write end is the owner's. When
 * the last write end is closed, be it by SIGKILL or from whichever thread, the kernel
 * sends the child SIGKILL: O_ASYNC with F_SETSIG on the read end. That works without
 * privilege, survives exec, and needs no process that watches; PR_SET_PDEATHSIG would
 * fire when the thread that forked ends, and is lost on exec of a set-uid program.
 *
 * Another child that the owner forks without exec holds the write end open too, and
 * with it this child alive. Such children call r3_tether_cut() for what they inherit.
 */
#ifndef RING3_UTIL_TETHER_H
#define RING3_UTIL_TETHER_H

#include <stdbool.h>

struct r3_tether {
	int hold; /* write end: the owner's; close-on-exec */
	int feel; /* read end: the child's; -1 in the owner once r3_tether_owner() ran */
};

#define R3_TETHER_NONE ((struct r3_tether){-1, -1})

/** Make a tether, before the fork. Both ends are close-on-exec and above 2.
 *  Errors: EMFILE, ENFILE. */
int r3_tether_make(struct r3_tether *tether);

/** In the owner, after the fork: drop the child's end. */
void r3_tether_owner(struct r3_tether *tether);

/** In the child, between fork and exec; async-signal-safe, and sets no error text. From
 *  here on the end of the owner kills this process, or with @group its process group
 *  (which it has to lead already). The descriptor `feel` stays open across exec, and
 *  must stay open for the tether to work. Closes `hold`.
 *  Returns 0, or a negative errno: the owner is dead already (-EPIPE), or the kernel
 *  refuses; the child should _exit(). */
int r3_tether_child(struct r3_tether *tether, bool group);

/** Close both ends: in the owner this kills the child. */
void r3_tether_cut(struct r3_tether *tether);

#endif
