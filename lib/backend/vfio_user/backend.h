/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheme "vfio-user:": a device that another process serves (vfio-user 0.1), at a socket:
 * "vfio-user:unix:PATH", or "vfio-user:fd:N" for one that is inherited and connected.
 */
#ifndef RING3_BACKEND_VFIO_USER_BACKEND_H
#define RING3_BACKEND_VFIO_USER_BACKEND_H

#include "bus/ops.h"

struct r3_stream;

extern const struct r3_backend r3_vfio_user_backend;

/** Open the device at the other end of @stream, which becomes the device's in any case. For
 *  those who have no socket: tests and fuzzers. @name is for messages. */
int r3_vfio_user_open_stream(struct r3_stream *stream, const char *name, unsigned timeout_ms,
			     const struct r3_open_opts *opts, struct r3_device **out);

#endif
