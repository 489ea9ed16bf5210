/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbdkit in a sandbox: a client of NBD may come from anywhere, and the process that hears it
 * needs no file, no privilege and few system calls once it serves.
 */
#ifndef EXPORT_NBD_CONFINE_H
#define EXPORT_NBD_CONFINE_H

#include <stddef.h>

#define CONFINE_CONFIG_HELP \
	"sandbox=BOOL     Give up all that serving does not need before the device is opened,\n" \
	"                 which can then be null: or vhost-user:fd:N, nothing that is a file.\n" \
	"uid=N, gid=N     Become this user and this group then."

/** Take a parameter of nbdkit's. Returns 1: it was one of these; 0: it was not; -1: it is
 *  wrong, and nbdkit_error() has said so. */
int confine_config(const char *key, const char *value);

/** Enter it, if that was asked for, while there is one thread. @report gets what stands and
 *  what is missing, as JSON; "" where nothing was asked for. Errors: those of sandbox_enter(). */
int confine_enter(char *report, size_t size);

#endif
