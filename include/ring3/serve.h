/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Serving a device: any r3_device, whatever carries it, offered on a vfio-user socket
 * (version 0.1) to one client at a time. Registers that can be mapped are handed over as
 * descriptors and interrupts as the client's own eventfds, so for those the server has no
 * work; everything else is a message.
 *
 * Life: open a device, r3_serve_open() it, call r3_serve_dispatch() whenever r3_serve_fd()
 * polls readable, r3_serve_close(), close the device. The device is lent: meanwhile nobody
 * else uses it, dispatches it, or gives it an arena. Nothing here makes a thread, and
 * nothing waits for a client: a slow, silent or hostile one costs memory of bounded size
 * and, after a bounded time, its connection. Only a reset waits, for the time that the
 * specification allows.
 *
 * A client's memory is reached by the device alone, and only while it is mapped by
 * DMA_MAP with a descriptor: a memfd or a file of hugetlbfs. Our own clients must have
 * sealed it against shrinking. A stranger's is sealed here; where it refuses, it is taken
 * only if the device is carried out in this process and r3_sigbus_enable() (mem.h) is
 * on. Memory without a descriptor, which the device would have to reach by messages, is
 * refused, since devices reach memory only; so is all of it by a device that can reach
 * nothing but its own (R3_CAP_OWN_MEM) or chooses addresses (R3_CAP_DMA_ASSIGNED): open
 * such a device with R3_OPEN_FOREIGN_MEM.
 *
 * When a client goes, by whatever death, these are done in this order before the next one
 * is accepted, and each is an event: interrupts off, bus master off, proof that no
 * transfer is under way, reset, memory unmapped from the device, memory and descriptors
 * freed. If neither the proof nor a reset that should have been done can be had, the
 * memory is never given back, the device is dead, and clients are refused.
 */
#ifndef RING3_SERVE_H
#define RING3_SERVE_H

#include <ring3/api.h>
#include <ring3/clock.h>
#include <ring3/device.h>

R3_BEGIN

struct r3_serve;

enum r3_serve_event_type {
	R3_SERVE_CONNECTED = 1, /* a client has negotiated */
	R3_SERVE_REFUSED,       /* another one has not; err and text say why */
	R3_SERVE_DISCONNECTED,  /* the client is gone, or was sent away: err and text, err 0
				   where it left */
	R3_SERVE_IRQ_OFF,       /* no eventfd of the client is signalled from here on */
	R3_SERVE_MASTER_OFF,    /* the device was told to start no transfer */
	R3_SERVE_QUIESCED,      /* and it is proved that none is under way; err: it is not */
	R3_SERVE_RESET,         /* err: it failed; EOPNOTSUPP: the device has none */
	R3_SERVE_MAPPED,        /* DMA_MAP: iova, len; of each client 4 * max_maps are told */
	R3_SERVE_UNMAPPED,      /* the device cannot reach iova, len any more: where it was told
				   that it was mapped, and at the end of a client always */
	R3_SERVE_FREED,         /* memory and descriptors of the client are given back */
	R3_SERVE_READY,         /* for a client: at first, and after each */
	R3_SERVE_DEAD,          /* for good: the device could not be made harmless */
	R3_SERVE_DMA_FAULT,     /* the device was refused a transfer at iova; of these and of
				   errors the first 64 of each client are told */
	R3_SERVE_ERROR,         /* the device or its bus reports an error */
	R3_SERVE_REMOVE_REQUEST,
	R3_SERVE_REMOVED, /* the device is gone; clients get ENODEV */
	R3_SERVE_NEVENTS
};

struct r3_serve_event {
	uint32_t type;    /* enum r3_serve_event_type */
	int32_t err;      /* 0, or a negative errno */
	uint64_t time_ns; /* on the clock of the opts */
	uint64_t client;  /* 1, 2, ... in order of connection; 0: of none */
	int64_t pid;      /* of the client where the kernel told it, else 0 */
	uint64_t iova, len;
	const char *text; /* one line, never NULL; valid during the call only */
};

/** Told what happens, in order, from inside r3_serve_open(), _dispatch() and _close(). Must
 *  not call the server. */
typedef void r3_serve_event_fn(void *ctx, const struct r3_serve_event *event);

enum r3_serve_on_disconnect {
	R3_SERVE_ON_DISCONNECT_RESET,  /* the next client finds the device as after power-on */
	R3_SERVE_ON_DISCONNECT_RETAIN, /* it finds the registers as they were left, but bus
					  mastering and interrupts off and nothing mapped */
};

struct r3_serve_opts {
	uint32_t size;          /* sizeof(struct r3_serve_opts) */
	uint32_t on_disconnect; /* enum r3_serve_on_disconnect */
	/* what one client may have; 0: the default */
	uint32_t max_maps;        /* pieces of memory mapped at once: 256 */
	uint32_t max_fds;         /* descriptors kept, of memory and interrupts: 512 */
	uint64_t max_bytes;       /* memory mapped at once: 64 GiB */
	uint64_t timeout_ns;      /* to say VERSION, finish a message, take a reply: 2 s */
	struct r3_clock *clock;   /* NULL: the system's */
	r3_serve_event_fn *event; /* NULL: nobody listens */
	void *ctx;
};

/** Serve @dev at @where: "unix:PATH" makes a listening socket there (of mode 0600; a stale
 *  one is replaced), "fd:N" takes an inherited one, listening or connected (duplicated). A
 *  path is removed again by r3_serve_close(). @opts may be NULL.
 *  Errors: EINVAL @where is neither, or no stream socket; EADDRINUSE somebody serves there;
 *  EOPNOTSUPP vfio-user is not built in; ENAMETOOLONG; EACCES; ENODEV the device is gone;
 *  EMFILE; ENOMEM. */
R3_API int r3_serve_open(struct r3_device *dev, const char *where, const struct r3_serve_opts *opts,
			 struct r3_serve **out);

/** Send the client away as if it had died, and free everything; memory that the device might
 *  still reach stays pinned. The device is the caller's again, with interrupts and bus
 *  mastering off. NULL is allowed. */
R3_API void r3_serve_close(struct r3_serve *serve);

/** Polls readable when r3_serve_dispatch() has something to do, time-outs on the system's
 *  clock included. The same for the server's life; never closed by the caller. */
R3_API int r3_serve_fd(const struct r3_serve *serve);

/** Do what is due, without waiting for anybody. Returns 1 as long as there is somebody to
 *  serve or to wait for, 0 when that is over (the client of a connected socket has gone, and
 *  what was to be done is done), or -errno where the server itself cannot go on. */
R3_API int r3_serve_dispatch(struct r3_serve *serve);

/** Where it serves: "unix:PATH" or "fd:N" as given to r3_serve_open(). */
R3_API const char *r3_serve_where(const struct r3_serve *serve);

/** Why clients are refused for good (the device is dead, or gone); NULL: they are not. */
R3_API const char *r3_serve_dead(const struct r3_serve *serve);

/** "connected", "irq off", ... */
R3_API const char *r3_serve_event_name(unsigned type);

R3_END
#endif
