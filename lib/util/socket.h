/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a socket is, in an address: "unix:PATH", or "fd:N" for an inherited one. */
#ifndef RING3_UTIL_SOCKET_H
#define RING3_UTIL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/** Connect to @where; *out is non-blocking, close-on-exec and the caller's ("fd:N" is
 *  duplicated, and made non-blocking where it is inherited). Does not block.
 *  Errors: EINVAL neither form; ENAMETOOLONG; ENOENT, ECONNREFUSED, EACCES, EAGAIN nobody
 *  there who takes it. */
int r3_socket_connect(const char *where, int *out);

/** Where a server is reached. */
struct r3_listener {
	int fd;         /* non-blocking, close-on-exec */
	bool connected; /* an inherited socket that is no door, but the one guest */
	struct sockaddr_un address;
	dev_t dev; /* of the socket's file, if we made one: */
	ino_t ino; /* only that one is removed again; else 0 */
};

/** Be reached at @where: "unix:PATH" makes a stream socket of mode 0600 there, in place of
 *  one that nobody listens on any more; "fd:N" takes an inherited one as it is.
 *  Errors: EINVAL neither form, or no unix stream socket; EADDRINUSE somebody listens there,
 *  or there is a file that is no socket; ENAMETOOLONG; ENOENT, EACCES; EMFILE. */
int r3_socket_listen(const char *where, struct r3_listener *out);

/** Close it, and remove the file that r3_socket_listen() made if it is still there. */
void r3_socket_unlisten(struct r3_listener *listener);

/** The next guest at the door; *out as r3_socket_connect()'s. Does not block.
 *  Errors, without a text: EAGAIN nobody is waiting; EMFILE, ENFILE, ENOMEM. */
int r3_socket_accept(const struct r3_listener *listener, int *out);

#endif
