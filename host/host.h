/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * r3-host: a process that runs one driver for one device, and offers the block device that
 * the driver makes of it to one other process.
 *
 * Whatever it needs it is given: the device as a connected vfio-user socket, the way out as
 * a vhost-user socket. It opens the device, maps its registers, makes and maps its memory,
 * and enters the sandbox; only then does a line of the driver run. Reading order: main.c,
 * options.c, driver.c, manifest.c, loop.c.
 */
#ifndef RING3_HOST_HOST_H
#define RING3_HOST_HOST_H

#include "host/manifest.h"
#include "host/sandbox/sandbox.h"

#include <ring3/driver.h>
#include <ring3/log.h>

/* ---- options.c ---- */

struct host_opts {
	const char *device; /* vfio-user:fd:N, or another address of that scheme */
	const char *serve;  /* unix:PATH or fd:N, behind "vhost-user:" */
	const char *driver; /* linked, by name; NULL: which fits best */
	const char *driver_file;
	int owner; /* descriptor; -1: none */
	enum r3_blkq_mode mode;
	enum r3_log_level log;
	struct r3_block_opts block;
	struct sandbox sandbox;
};

/** Returns 0, or -1 with an exit code: there is nothing to run. */
int host_parse(int argc, char **argv, struct host_opts *opts, int *code);

/** The descriptors that the command line names, sorted, and their number. */
#define HOST_NAMED_FDS 3
unsigned host_named_fds(const struct host_opts *opts, int fds[HOST_NAMED_FDS]);

/** N of "fd:N", else -1. */
int host_fd_of(const char *where);

/* ---- driver.c ---- */

/** A driver in a file: found outside of the sandbox, loaded inside. */
struct host_driver {
	char *path;
	const char *may_read[16]; /* what loading it takes, as struct sandbox has it */
	int fd;
};

/** Errors: ENOENT, EACCES. */
int host_driver_find(const char *file, struct host_driver *driver);
/** The driver is there for good. Errors: ENOEXEC it is no driver; the text says why. */
int host_driver_load(struct host_driver *driver, const struct r3_driver_v1 **out);

/* ---- loop.c ---- */

struct host_loop {
	int epoll, signals, owner;
	bool gone;    /* the device */
	bool ends;    /* somebody asked for it */
	bool account; /* somebody asks for the manifest */
};

struct host {
	struct host_opts opts;
	struct manifest manifest;
	struct sandbox_report report;
	struct host_loop loop;
};

/** Signals that end the process are blocked from here on. Errors: EMFILE. */
int host_loop_open(struct host_loop *loop, int owner);
/** Serve @block at the socket @fd, which it takes, until that is over.
 *  Errors: EIO the device is gone. */
int host_loop_run(struct host *host, struct r3_block *block, int fd);

#endif
