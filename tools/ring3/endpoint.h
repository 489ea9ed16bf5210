/* SPDX-License-Identifier: BSD-2-Clause */
/* What `--export` asks for, and the sockets for it. */
#ifndef TOOLS_RING3_ENDPOINT_H
#define TOOLS_RING3_ENDPOINT_H

#include "export/nbd/socket.h"

#define MAX_ENDPOINTS 16

struct endpoint {
	int fd; /* a stream socket; TCP is listening, a socket file is not bound yet */
	char path[SOCKET_PATH_MAX + 1]; /* of the socket file; "": TCP */
	char uri[1024];
	struct socket_file file; /* once it is bound */
};

/** Parse @text, KIND:WHERE as in nbd:unix:PATH or nbd:tcp:HOST:PORT, and make the
 *  socket. Errors: EINVAL not such a text; EOPNOTSUPP a kind that is not there;
 *  ENAMETOOLONG; ENOENT no such host; those of bind(2). */
int endpoint_open(const char *text, struct endpoint *out);

/** Close the socket, and remove its file if it is still there. */
void endpoint_close(struct endpoint *endpoint);

#endif
