/* SPDX-License-Identifier: BSD-2-Clause */
/* Eventfds that somebody else gave us to write to. */
#ifndef RING3_UTIL_EVENTFD_H
#define RING3_UTIL_EVENTFD_H

#include <stdbool.h>

/** Is @fd an eventfd, or at least nothing that a write of 8 bytes could harm, or wait for other
 *  than an eventfd that is full: no file, pipe or socket. Needs no /proc. */
bool r3_is_eventfd(int fd);

/** Signal @fd; -1: nobody. Does not wait where it is full, whether it is in blocking mode or not,
 *  which whoever else has it decides: it says already what it has to say. */
void r3_eventfd_signal(int fd);

#endif
