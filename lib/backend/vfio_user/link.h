/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection to a vfio-user server. Calls are requests with a reply, and may be made by
 * any thread: several can be under way, and their replies come in any order. One thread of
 * those that wait reads for all. A request that needs no reply is sent and forgotten.
 *
 * The server's own requests, for our memory, are answered by whoever reads: a call that
 * waits, a send that finds no room, or a drain.
 *
 * What the server says and does not make sense, and its silence, end the connection: from
 * then on nothing waits any more. It is another process, so its time is real time, whatever
 * clock the device has.
 */
#ifndef RING3_BACKEND_VFIO_USER_LINK_H
#define RING3_BACKEND_VFIO_USER_LINK_H

#include "wire/vfio_user_inbox.h"

#include <pthread.h>
#include <stdatomic.h>

/** The most data of one message, in either direction: what we say as max_data_xfer_size. */
#define R3_VFIO_USER_LINK_XFER 65536u
#define R3_VFIO_USER_LINK_ROOM R3_VFIO_USER_MESSAGE_MAX(R3_VFIO_USER_LINK_XFER)

/** A request and what is to become of its reply. */
struct r3_vfio_user_call {
	/* the request: @head begins with room for its header, @data may be NULL */
	void *head;
	size_t head_len;
	const void *data;
	size_t data_len;
	const int *send_fds;
	unsigned nsend_fds;
	uint16_t cmd;
	/* where the payload of the reply goes: one that is longer is nonsense */
	void *reply;
	size_t room;
	bool takes_fds; /* and one with descriptors, unless they are taken */
	/* the reply, where there is one: msg.payload is in @reply, descriptors in @fds */
	struct r3_vfio_user_msg msg;
	int fds[R3_VFIO_USER_FDS];

	/* the link's */
	struct vfio_user_header request;
	struct r3_vfio_user_call *next;
	bool done;
};

static inline void r3_vfio_user_call_init(struct r3_vfio_user_call *call, unsigned cmd, void *head,
					  size_t head_len, void *reply, size_t room)
{
	call->head = head;
	call->head_len = head_len;
	call->data_len = 0;
	call->nsend_fds = 0;
	call->cmd = (uint16_t)cmd;
	call->reply = reply;
	call->room = room;
	call->takes_fds = false;
}

/** Most calls that are made together. */
#define R3_VFIO_USER_LINK_BATCH 16

struct r3_vfio_user_side {
	struct r3_stream *stream; /* NULL: none */
	struct r3_vfio_user_inbox inbox;
	unsigned char *room; /* the inbox's */
	unsigned char *out;  /* for replies of ours */
};

struct r3_vfio_user_link {
	struct r3_vfio_user_side main;
	struct r3_vfio_user_side twin; /* for the server's requests, if it wants that */
	unsigned timeout_ms;
	atomic_bool lost;
	char why[160]; /* it is lost; under the lock */
	int err;       /* and an errno for that */

	pthread_mutex_t lock; /* of what follows, and of sending whole messages */
	pthread_cond_t turn;  /* a reply was delivered, or one of these became false: */
	bool reading;         /* somebody has the inboxes, with or without the lock */
	bool sending;         /* somebody waits for room, having sent part of a message */
	unsigned sleepers;    /* who wait for a turn */
	uint16_t next_id;
	struct r3_vfio_user_call *calls; /* without a reply yet */

	/** Requests of the server's for our memory. Under the lock. Return 0, or -errno: what
	 *  the error reply says. */
	int (*dma_read)(void *ctx, uint64_t addr, unsigned char *data, uint64_t len);
	int (*dma_write)(void *ctx, uint64_t addr, const unsigned char *data, uint64_t len);
	/** The connection is lost. Under the lock, from any thread, once. */
	void (*gone)(void *ctx);
	void *ctx;
};

/** Begin on @stream, which becomes the link's in any case. The three functions are the
 *  caller's to fill in afterwards. Errors: ENOMEM. */
int r3_vfio_user_link_open(struct r3_vfio_user_link *link, struct r3_stream *stream,
			   unsigned timeout_ms);
/** Take the server's requests from @stream, too, which becomes the link's in any case. */
int r3_vfio_user_link_add_twin(struct r3_vfio_user_link *link, struct r3_stream *stream);
void r3_vfio_user_link_close(struct r3_vfio_user_link *link);

/** Make @n calls, at most R3_VFIO_USER_LINK_BATCH, and wait for all of their replies.
 *  Errors: ENODEV lost, now or before. Error replies are no error of this function. On
 *  failure no call has a reply, or descriptors. */
int r3_vfio_user_link_call(struct r3_vfio_user_link *link, struct r3_vfio_user_call *calls,
			   unsigned n);

/** Send the requests of @calls, which want no reply. Waits for room, within bounds.
 *  Errors: ENODEV. */
int r3_vfio_user_link_post(struct r3_vfio_user_link *link, struct r3_vfio_user_call *calls,
			   unsigned n);

/** What the server said of @call: 0; or -errno of its error reply, or EPROTO no reply to it,
 *  by which the link is lost. With a text. */
int r3_vfio_user_link_answer(struct r3_vfio_user_link *link, const struct r3_vfio_user_call *call);

/** Take what is there, without waiting, unless another thread reads already.
 *  Errors: ENODEV. */
int r3_vfio_user_link_drain(struct r3_vfio_user_link *link);

/** Hang up, because of what this thread's error text says. Returns -ENODEV. */
int r3_vfio_user_link_lose(struct r3_vfio_user_link *link);

#endif
