/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The qtest socket: accesses to the machine's memory and ports.
 *
 * A posted write is sent at once and its reply is collected later, at the latest with
 * the reply of the next access; so many may be owed. Replies come in order. Interrupt
 * lines come in between and are handed on as they are read. May be used by any threads.
 */
#ifndef RING3_BACKEND_QEMU_LINK_H
#define RING3_BACKEND_QEMU_LINK_H

#include "wire/qtest.h"

#include <pthread.h>
#include <stdatomic.h>

struct r3_qemu_link {
	int fd; /* -1: closed */
	pthread_mutex_t lock;
	unsigned owed;    /* replies not yet collected */
	atomic_bool lost; /* the other end is gone, silent, or talks nonsense */
	struct r3_qtest_stream in;
	/* Called with the lock held, from whichever thread reads. */
	void (*irq)(void *ctx, unsigned line, bool raised);
	void *irq_ctx;
	unsigned timeout_ms;
};

/** Take over the connected, non-blocking socket @fd. */
void r3_qemu_link_open(struct r3_qemu_link *link, int fd, unsigned timeout_ms);
void r3_qemu_link_close(struct r3_qemu_link *link);

/** Access @count items of @width bytes in CPU order from @address on; @flags are those
 *  of rw() in bus/ops.h.
 *  Errors: EINVAL QEMU has no such access; ENODEV lost; ETIMEDOUT no answer, after which
 *  it is lost. */
int r3_qemu_link_rw(struct r3_qemu_link *link, enum r3_qtest_space space, uint64_t address,
		    void *data, unsigned width, uint32_t count, unsigned flags);

/** Send a command without a value and wait for its OK. Errors: as above; EPROTO refused. */
int r3_qemu_link_command(struct r3_qemu_link *link, const char *line);

/** Wait until all replies owed are here, so that all line changes before are, too. */
int r3_qemu_link_settle(struct r3_qemu_link *link);

/** Read what there is, without waiting, unless another thread reads already. */
int r3_qemu_link_drain(struct r3_qemu_link *link);

#endif
