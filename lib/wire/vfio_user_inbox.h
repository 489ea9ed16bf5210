/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cuts a stream into the messages of vfio-user, and gives each the descriptors that came with
 * it. As little as one receive per message, no allocation, bounded whatever the peer sends.
 *
 * Which message do descriptors belong to that came with a receive of several? To the one
 * that its last byte is part of: a sending is one message, or begins with one, and no
 * receive goes on past what brought descriptors (util/stream.h).
 */
#ifndef RING3_WIRE_VFIO_USER_INBOX_H
#define RING3_WIRE_VFIO_USER_INBOX_H

#include "util/stream.h"
#include "wire/vfio_user.h"

struct r3_vfio_user_inbox {
	unsigned char *buf; /* the owner's */
	uint32_t size;      /* of it: the longest message that is accepted */
	uint32_t begin, end;
	/* descriptors of the message begun first, then those of the last receive */
	struct {
		uint32_t at; /* belong to the message that has this byte of buf */
		unsigned n;
	} came[2];
	int fds[2 * R3_VFIO_USER_FDS];
};

/** @buf of @size bytes, at least a header, is the inbox's until it is emptied. */
void r3_vfio_user_inbox_init(struct r3_vfio_user_inbox *inbox, void *buf, uint32_t size);

/** Receive once, after r3_vfio_user_inbox_next() returned 0. Returns the number of bytes, or
 *  0 the peer has hung up; -EAGAIN nothing there; -EPROTO, -EMFILE or another error with a
 *  text: hang up. */
int r3_vfio_user_inbox_fill(struct r3_vfio_user_inbox *inbox, struct r3_stream *stream);

/** Take the next whole message: 1, and @msg points into the inbox until the next fill; its
 *  descriptors are in @fds (msg->nfds of them) and the caller's from then on. 0: there is
 *  none. -EPROTO: what comes next is no message; hang up. */
int r3_vfio_user_inbox_next(struct r3_vfio_user_inbox *inbox, struct r3_vfio_user_msg *msg,
			    int fds[R3_VFIO_USER_FDS]);

/** Is a message begun that has not come whole? (The peer hangs up in the midst of it.) */
bool r3_vfio_user_inbox_partial(const struct r3_vfio_user_inbox *inbox);

/** Drop what is there, and close its descriptors. */
void r3_vfio_user_inbox_empty(struct r3_vfio_user_inbox *inbox);

#endif
