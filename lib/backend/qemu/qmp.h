/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP, QEMU's control protocol (docs/interop/qmp-spec.txt): JSON objects, one per line.
 * Commands wait for their reply for a bounded time; events go to a callback, whenever
 * something is read. Used by the device's thread only.
 */
#ifndef RING3_BACKEND_QEMU_QMP_H
#define RING3_BACKEND_QEMU_QMP_H

#include <json-c/json.h>
#include <stdbool.h>

struct r3_qmp;

/** An event: its name and its data (NULL: none), which are valid during the call. */
typedef void r3_qmp_event_fn(void *ctx, const char *event, struct json_object *data);

/** Greet on the connected socket @fd, which becomes the result's if 0 is returned.
 *  Errors: ENODEV closed by QEMU; ETIMEDOUT; EPROTO not QMP; ENOMEM. */
int r3_qmp_open(int fd, unsigned timeout_ms, r3_qmp_event_fn *fn, void *ctx, struct r3_qmp **out);
void r3_qmp_close(struct r3_qmp *qmp); /* NULL is allowed */

int r3_qmp_fd(const struct r3_qmp *qmp);

/** How long commands wait from now on. */
void r3_qmp_set_timeout(struct r3_qmp *qmp, unsigned timeout_ms);

/** Run @command with @arguments (NULL: none; taken in any case). @reply, if not NULL,
 *  gets what it returns, for json_object_put(). Errors: EIO QEMU refuses (the text
 *  has its reason); ENODEV, ETIMEDOUT as above. */
int r3_qmp_execute(struct r3_qmp *qmp, const char *command, struct json_object *arguments,
		   struct json_object **reply);

/** The same, with a copy of @fd for QEMU. */
int r3_qmp_execute_fd(struct r3_qmp *qmp, const char *command, struct json_object *arguments,
		      int fd, struct json_object **reply);

/** Read what there is, without waiting. Errors: ENODEV; EPROTO. */
int r3_qmp_drain(struct r3_qmp *qmp);

#endif
