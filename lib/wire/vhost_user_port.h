/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One end of a vhost-user connection: a stream cut into messages. It never waits. A message
 * that the other side does not take is kept, one at a time, so that who answers can stop
 * listening to a peer that does not read.
 */
#ifndef RING3_WIRE_VHOST_USER_PORT_H
#define RING3_WIRE_VHOST_USER_PORT_H

#include "util/stream.h"
#include "wire/vhost_user.h"

struct r3_vhost_user_port {
	struct r3_stream *stream;
	struct r3_vhost_user_msg in; /* as far as it has come */
	size_t got;                  /* bytes of it */
	size_t out_len, out_at;      /* what is kept, and how much of that has gone */
	unsigned char out[sizeof(struct vhost_user_header) +
			  sizeof(((struct r3_vhost_user_msg *)0)->payload)];
};

/** Begin with @stream, which the port owns from then on. */
void r3_vhost_user_port_open(struct r3_vhost_user_port *port, struct r3_stream *stream);
/** Hang up. Also of a zeroed port, and again. */
void r3_vhost_user_port_close(struct r3_vhost_user_port *port);

/** Receive: 1, and port->in is a message with a header that is right, until
 *  r3_vhost_user_port_done(); 0: not yet.
 *  Errors: EPIPE the other side has hung up; EPROTO it sends no messages, or stops in the
 *  middle of one; EMFILE, EIO. Hang up then. */
int r3_vhost_user_port_recv(struct r3_vhost_user_port *port);

/** The descriptor @i of port->in, which is the caller's from then on. */
int r3_vhost_user_port_take(struct r3_vhost_user_port *port, unsigned i);

/** The message in port->in has been looked at: close the descriptors that nobody took. */
void r3_vhost_user_port_done(struct r3_vhost_user_port *port);

/** Send a message; its descriptors stay the caller's. What does not go at once is kept.
 *  Errors: EAGAIN one is being kept, or one with descriptors finds no room; EPIPE; EIO. */
int r3_vhost_user_port_send(struct r3_vhost_user_port *port, const struct r3_vhost_user_msg *msg);

/** Send what is kept: 1 nothing is any more, 0 not yet. Errors: EPIPE; EIO. */
int r3_vhost_user_port_flush(struct r3_vhost_user_port *port);

static inline int r3_vhost_user_port_fd(const struct r3_vhost_user_port *port)
{
	return port->stream ? r3_stream_fd(port->stream) : -1;
}

#endif
