/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a socket is, in an address: "unix:PATH", or "fd:N" for an inherited one. */
#ifndef RING3_UTIL_SOCKET_H
#define RING3_UTIL_SOCKET_H

/** Connect to @where; *out is non-blocking, close-on-exec and the caller's ("fd:N" is
 *  duplicated, and made non-blocking where it is inherited). Does not block.
 *  Errors: EINVAL neither form; ENAMETOOLONG; ENOENT, ECONNREFUSED, EACCES, EAGAIN nobody
 *  there who takes it. */
int r3_socket_connect(const char *where, int *out);

#endif
