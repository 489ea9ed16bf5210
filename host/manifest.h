/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manifest: which descriptors this process has, and what for. What is not on it is not
 * there, because all others are closed at the start, and what appears later is entered by the
 * step that made it. It holds where nothing can be opened any more: only fcntl() is asked.
 */
#ifndef RING3_HOST_MANIFEST_H
#define RING3_HOST_MANIFEST_H

#include "host/sandbox/sandbox.h"

#define MANIFEST_FDS 1024 /* as many as the sandbox lets a process have */

struct json_object;

struct manifest {
	const char *purpose[MANIFEST_FDS]; /* NULL: it is closed */
	struct json_object *object;        /* made early: json-c asks for random numbers once */
};

/** Close all but standard streams and the @n descriptors of @keep, which are sorted.
 *  Errors: ENOMEM. */
int manifest_open(struct manifest *manifest, const int *keep, unsigned n);
void manifest_close(struct manifest *manifest);

/** What is open and had no purpose yet has this one. */
void manifest_enter(struct manifest *manifest, const char *purpose);
/** This descriptor has it, whatever it had. */
void manifest_name(struct manifest *manifest, int fd, const char *purpose);

/** One line of JSON on standard output: what there is, and the grade of the sandbox.
 *  Errors: EIO. */
int manifest_print(struct manifest *manifest, const struct sandbox *box,
		   const struct sandbox_report *report);

#endif
