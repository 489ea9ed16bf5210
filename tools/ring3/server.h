/* SPDX-License-Identifier: BSD-2-Clause */
/* The NBD server of `ring3 run`: nbdkit with our plugin, told what to serve and where. */
#ifndef TOOLS_RING3_SERVER_H
#define TOOLS_RING3_SERVER_H

#include "endpoint.h"
#include "util/tether.h"
#include <stdbool.h>
#include <sys/types.h>

struct server_opts {
	/* as typed; all but the address may be NULL */
	const char *address, *driver, *nsid, *mode, *log;
	bool read_only;
	const struct endpoint *endpoint;
	unsigned nendpoint;
	int keep; /* a descriptor that it shall hold open */
	/* For one that is isolated: the socket to the driver process, which is its device (the
	 * endpoints are bound already); else -1. */
	int link;
	uid_t uid; /* to become; 0: none */
	struct r3_tether *tether;
	int err; /* its standard error; 0: ours */
};

/** A part of ring3's, seen from the folder of our program: in the build tree, or where it is
 *  installed. */
struct server_place {
	const char *folder, *name;
};

/** Find the first of @places that is there. @path has room for PATH_MAX. Errors: ENOENT. */
int server_find_part(const struct server_place *places, unsigned n, char *path);

/** Start it. *owner is our end of the socket of export/nbd/owner.h.
 *  Errors: ENOENT nbdkit or the plugin is not installed; those of fork(2). */
int server_start(const struct server_opts *opts, pid_t *pid, int *owner);

/** What it says. Returns 1: it serves, and *report becomes what it says of its sandbox, an
 *  allocation or NULL; 0: nothing; or -errno with its text: it does not, or no more. Never
 *  blocks. */
int server_hear(int owner, char **report);

/** Ask it to end; to write what its device's trace has. Neither waits. */
void server_ask_end(int owner);
void server_ask_trace(int owner);

#endif
