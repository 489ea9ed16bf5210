/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory may lose its pages: a mapping of a file that somebody else can shrink faults
 * with SIGBUS behind the file's new end. Where r3_sigbus_enable() was called, such a fault
 * puts a page of zeroes there, and the access goes on.
 *
 * The list is read by a signal handler, in whatever thread touched the page, while others
 * change it: nothing here locks, and no entry is ever given back to malloc().
 */
#ifndef RING3_MEM_SIGBUS_H
#define RING3_MEM_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

bool r3_sigbus_enabled(void);

/** Catch faults in @len bytes at @at, a mapping whose pages are of @page bytes. Any thread.
 *  Errors: ENOMEM. */
int r3_sigbus_watch(void *at, size_t len, size_t page);

/** Before it is unmapped. */
void r3_sigbus_unwatch(const void *at);

#endif
