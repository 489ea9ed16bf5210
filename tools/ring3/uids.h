/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Users without an account, for processes that are to share nothing with each other, nor with
 * anybody else: each run gets numbers that no account and no other run has.
 */
#ifndef TOOLS_RING3_UIDS_H
#define TOOLS_RING3_UIDS_H

#include <sys/types.h>

/** Take @n of them. They are ours until *lock is closed in all processes that have it.
 *  Errors: EBUSY all are taken; those of open(2) for the file of locks. */
int uids_take(uid_t *uid, unsigned n, int *lock);

#endif
