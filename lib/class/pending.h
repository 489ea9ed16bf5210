/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events of a block device that wait for its dispatch: at most one of each type, and an
 * fd that polls readable as long as one is there. The fd is an epoll set, to which a
 * provider adds whatever else its dispatch has to be called for.
 */
#ifndef RING3_CLASS_PENDING_H
#define RING3_CLASS_PENDING_H

#include "util/kit.h"

#include <ring3/block.h>

struct r3_pending {
	int epoll, eventfd;
	struct {
		bool is;
		uint32_t detail;
	} event[R3_BLOCK_EVENT_WARNING + 1];
};

/** Errors: EMFILE, ENFILE, ENOMEM, without a text. */
R3_KIT int r3_pending_open(struct r3_pending *pending);
/** Let the fd poll readable when @fd does, too. Errors: ENOMEM, ENOSPC, without a text. */
R3_KIT int r3_pending_watch(struct r3_pending *pending, int fd);
R3_KIT void r3_pending_close(struct r3_pending *pending);

/** Keep @type for the next r3_pending_take(). */
R3_KIT void r3_pending_put(struct r3_pending *pending, enum r3_block_event_type type,
			   uint32_t detail);
/** Take up to @max events. Returns their number. */
R3_KIT int r3_pending_take(struct r3_pending *pending, struct r3_block_event *events, unsigned max);

#endif
