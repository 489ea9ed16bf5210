/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between `ring3 run` and the plugin: a SOCK_SEQPACKET pair that nbdkit inherits. The
 * plugin says when it serves, that it cannot, and that its device is gone; the owner
 * asks it to end, or for a trace. An end of file is the owner's death: the plugin then has
 * OWNER_GRACE_MS to shut the device down before the kernel ends the process.
 */
#ifndef EXPORT_NBD_OWNER_H
#define EXPORT_NBD_OWNER_H

#include <stdint.h>

#define OWNER_GRACE_MS 1500
#define OWNER_TEXT_MAX 4096

/** From the plugin. The first is about opening and comes once, a second one may
 *  follow: the device is gone. The text has no NUL. */
struct owner_report {
	int32_t err; /* 0: serving, the text is what confine_enter() reports; else a negative errno
		      */
	char text[OWNER_TEXT_MAX];
};

/** From the owner: end now, in good order. */
#define OWNER_END 'q'
/** From the owner: write what the device's trace has, to its file, or to standard error. */
#define OWNER_TRACE 't'

#endif
