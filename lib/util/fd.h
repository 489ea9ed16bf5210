/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that a child process is to inherit. */
#ifndef RING3_UTIL_FD_H
#define RING3_UTIL_FD_H

/** Move *fd above 2, where a child's standard streams do not replace it. It stays (or
 *  becomes) close-on-exec. Errors: EMFILE, without a text; *fd is unchanged then. */
int r3_fd_above_stdio(int *fd);

/** Close *fd unless it is -1, and make it -1. */
void r3_fd_close(int *fd);

/** Close all descriptors above 2 but the @n of @keep, which are sorted. For a child between
 *  fork and exec: async-signal-safe where @most, sysconf(_SC_OPEN_MAX), is given. */
void r3_fd_close_others(const int *keep, unsigned n, long most);

#endif
