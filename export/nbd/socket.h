/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Socket files. The plugin binds the sockets it inherits, so that a path exists only
 * while somebody serves it, and whoever serves it is there to remove it.
 */
#ifndef EXPORT_NBD_SOCKET_H
#define EXPORT_NBD_SOCKET_H

#include <sys/types.h>

#define SOCKET_PATH_MAX 107 /* and a NUL in sockaddr_un */

struct socket_file {
	int dir_fd; /* of the folder: the process may change its own; -1: no file */
	char name[SOCKET_PATH_MAX + 1];
	dev_t dev;
	ino_t ino;
};

/** Bind the stream socket @fd to @path and listen. A socket file that nobody serves
 *  any more is replaced. Errors, with their text in r3_error_text(): EADDRINUSE;
 *  ENAMETOOLONG; those of bind(2) and listen(2). */
int socket_file_bind(struct socket_file *file, int fd, const char *path);

/** Know the file at @path again, for another process that may have to remove it.
 *  Errors: those of stat(2). */
int socket_file_find(struct socket_file *file, const char *path);

/** Remove the file unless it is somebody else's by now. Safe to call twice. */
void socket_file_remove(struct socket_file *file);

#endif
