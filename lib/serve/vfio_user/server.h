/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the server share. server.c is its life and its event loop, peer.c a
 * connection (bytes in, bytes out, time-outs), message.c which message is whose, info.c,
 * access.c, dma.c and irq.c what they do, farewell.c what is done when a client has gone.
 *
 * Connections that have not said VFIO_USER_VERSION and those that are being refused have a
 * place each, of which there are few, and nothing else. One of them at a time is the client:
 * all that it has of the device and of us is in struct r3_serve, and ends with it.
 */
#ifndef RING3_SERVE_VFIO_USER_SERVER_H
#define RING3_SERVE_VFIO_USER_SERVER_H

#include "bus/ops.h"
#include "util/socket.h"
#include "util/stream.h"
#include "wire/vfio_user_caps.h"
#include "wire/vfio_user_inbox.h"

#include <ring3/irq.h>
#include <ring3/serve.h>

#define R3_SERVE_PEERS 4
#define R3_SERVE_BUF   R3_VFIO_USER_MESSAGE_MAX(R3_VFIO_USER_XFER)

struct r3_serve_peer {
	struct r3_stream *stream; /* NULL: a free place */
	uint64_t number;          /* of the connection, from 1 on */
	int64_t pid;
	bool leaving;      /* is shown the door once it has taken its reply */
	uint64_t deadline; /* of whatever is waited for; 0: nothing is */
	uint32_t watched;  /* what epoll looks for */
	unsigned complaints;
	struct r3_vfio_user_inbox in;
	unsigned char *bufs; /* of in and out */
	unsigned char *out;
	uint32_t out_begin, out_end; /* the rest of a reply that it did not take at once */
	int out_fd;                  /* goes with the first byte; -1: none */
	bool out_fd_close;
};

struct r3_serve_map {
	uint64_t iova, len;
	struct r3_mem *mem;
	bool told; /* that it is mapped */
};

/** The client's eventfds, which are ours to close; -1: none. */
struct r3_serve_irqs {
	unsigned type, n; /* the set that the device has; n 0: none */
	int *fd;
	int err, req;
};

struct r3_serve {
	struct r3_device *dev;
	struct r3_serve_opts opts; /* defaults filled in */
	char *where;
	struct r3_listener door;
	uint64_t door_opens; /* nobody is accepted until then; 0: it is open */
	int epoll, timer;
	uint64_t alarm; /* when the timer goes off; 0: it does not */
	unsigned turns;
	uint64_t peers; /* that there ever were */
	struct r3_serve_peer peer[R3_SERVE_PEERS];
	char *dead; /* why; NULL: it is not */
	bool gone_told;
	bool ending; /* no next client is waited for */

	/* the client's */
	struct r3_serve_peer *client; /* NULL: there is none */
	struct r3_vfio_user_caps caps;
	struct r3_serve_map *map; /* by iova */
	unsigned nmaps;
	uint64_t mapped; /* bytes */
	unsigned fds;
	unsigned news;      /* of its faults and errors */
	uint64_t maps_told; /* pieces of memory of its */
	struct r3_serve_irqs irqs;
};

/** The reply to a message in the making: a handler fills what it has to say. */
struct r3_serve_reply {
	unsigned char *payload; /* room for R3_VFIO_USER_XFER and a region access */
	size_t len;
	int fd;
	bool close_fd; /* when it was sent */
};

/* ---- server.c ---- */

/** r3_serve_open() for one client, whose @stream it is, without a socket in between (@where is
 *  its name). Owns the stream once this returned 0. */
int r3_serve_open_stream(struct r3_device *dev, struct r3_stream *stream, const char *where,
			 const struct r3_serve_opts *opts, struct r3_serve **out);

/** Tell whoever listens, and the log. */
void r3_serve_tell(struct r3_serve *serve, const struct r3_serve_event *event, const char *fmt, ...)
	R3_PRINTF(3, 4);
/** Let r3_serve_fd() poll readable not later than @at; 0: at once. */
void r3_serve_alarm(struct r3_serve *serve, uint64_t at);
/** Look whether the device has gone meanwhile, and tell of it once. */
void r3_serve_check_gone(struct r3_serve *serve);

/* ---- peer.c ---- */

/** Give @stream a place, which owns it once this returned 0. Errors: ENOMEM. */
int r3_serve_peer_new(struct r3_serve *serve, struct r3_stream *stream, struct r3_serve_peer **out);
/** Serve what it has sent. Returns whether there was anything. The peer may be closed then. */
bool r3_serve_peer_turn(struct r3_serve *serve, struct r3_serve_peer *peer);
/** Hang up because of @err (0: it left), tell, and end what it had. */
void r3_serve_peer_close(struct r3_serve *serve, struct r3_serve_peer *peer, int err,
			 const char *why);
/** Close it if its time is over. */
void r3_serve_peer_expire(struct r3_serve *serve, struct r3_serve_peer *peer, uint64_t now);

/* ---- message.c ---- */

/** Do what @msg says. Of @fds those that were kept are -1 afterwards. The reply, if any, is
 *  put into the peer's out buffer, which is empty before. -EPROTO: hang up. */
int r3_serve_message(struct r3_serve *serve, struct r3_serve_peer *peer,
		     const struct r3_vfio_user_msg *msg, int *fds);

/** What a message does: 0 with its reply filled in, or an error that becomes one. */
typedef int r3_serve_handler(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
			     struct r3_serve_reply *reply);

/* info.c */
r3_serve_handler r3_serve_get_device_info, r3_serve_get_region_info, r3_serve_get_region_io_fds,
	r3_serve_get_irq_info;
/* access.c */
r3_serve_handler r3_serve_region_read, r3_serve_region_write, r3_serve_region_write_multi;
/* dma.c */
r3_serve_handler r3_serve_dma_map, r3_serve_dma_unmap;
/* irq.c */
r3_serve_handler r3_serve_set_irqs;
/* farewell.c */
r3_serve_handler r3_serve_reset;

/* ---- dma.c, irq.c, farewell.c ---- */

/** Limits of the addresses at which clients may map memory: 0; or -EOPNOTSUPP, and why the
 *  device cannot be given any. */
int r3_serve_dma_limits(const struct r3_serve *serve, struct r3_dma_limits *limits);
/** Take all memory from the device. False: some could not be, and is still in serve->map. */
bool r3_serve_dma_unmap_all(struct r3_serve *serve);
/** Give the memory in serve->map back; or, where the device might still reach it, keep it for
 *  as long as this process lives. */
void r3_serve_dma_free(struct r3_serve *serve);
void r3_serve_dma_pin(struct r3_serve *serve);

/** May one descriptor more be kept? Errors: ENOSPC. */
int r3_serve_fd_quota(const struct r3_serve *serve, unsigned more);

/** Turn the vectors off and forget their eventfds. */
int r3_serve_vectors_off(struct r3_serve *serve);

/** At a client's end: turn the device's interrupts off, then forget the client's eventfds: in two
 * steps, because carriers hold the descriptors between them. */
void r3_serve_irqs_off(struct r3_serve *serve);
void r3_serve_irqs_free(struct r3_serve *serve);

/** The client has gone: make the device harmless, and ready for the next. */
void r3_serve_farewell(struct r3_serve *serve);

#endif
