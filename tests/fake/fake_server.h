/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vfio-user server in a thread, for tests of its client: a PCI device of memory, which does
 * what the protocol says unless the test's hook answers instead. It shares with the client no
 * more than the codec.
 *
 *      struct fake_server server = FAKE_SERVER;
 *      server.hook = lie;
 *      int fd = fake_server_start(&server);     for "vfio-user:fd:N"
 *      ...
 *      fake_server_stop(&server);
 */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include "wire/vfio_user_caps.h"
#include "wire/vfio_user_inbox.h"

#include <pthread.h>
#include <stdatomic.h>

#define FAKE_SERVER_REGIONS 9
#define FAKE_SERVER_IRQS    5
#define FAKE_SERVER_MAPS    32

struct fake_server_region {
	uint64_t size;
	uint32_t flags;
	int fd; /* -1: none; given with VFIO_REGION_INFO_FLAG_MMAP */
	uint64_t fd_off;
	const struct r3_vfio_user_sparse *sparse;
	unsigned char *bytes; /* answers accesses; NULL: zeroes, made at the start */
};

struct fake_server {
	/* the device, before the start */
	struct r3_vfio_user_caps caps;
	uint32_t flags; /* VFIO_DEVICE_FLAGS_* */
	uint32_t nregions, nirqs;
	struct fake_server_region region[FAKE_SERVER_REGIONS];
	struct vfio_irq_info irq[FAKE_SERVER_IRQS]; /* count and flags */

	/** Called with each request before it is done; true: it was answered here. May close
	 *  descriptors by setting them -1. In the server's thread. */
	bool (*hook)(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds);
	void *user; /* the test's */

	/* what it was told; read when it has answered something later */
	atomic_uint seen[VFIO_USER_COMMANDS];
	int vector[FAKE_SERVER_IRQS][64]; /* eventfds; -1: none */
	unsigned char masked[FAKE_SERVER_IRQS][64];
	struct {
		struct vfio_user_dma_map map;
		int fd;
	} map[FAKE_SERVER_MAPS];
	unsigned nmaps;

	/* its own */
	struct r3_stream *stream;
	struct r3_vfio_user_inbox inbox;
	unsigned char *room;
	int client; /* the socket's other end until it is taken */
	pthread_t thread;
};

/** A device with a configuration space of 4 KiB, BAR0 of 16 KiB, BAR2 of 32 ports, one INTx,
 *  32 MSI and 64 MSI-X vectors, ERR and REQ, and a reset. */
void fake_server_init(struct fake_server *server);

/** Serve one client, whose socket is returned; it is the caller's. */
int fake_server_start(struct fake_server *server);

/** Hang up, as a server does that dies. Any thread. */
void fake_server_hang_up(struct fake_server *server);
/** Wait for something, and receive it. Returns as r3_vfio_user_inbox_fill() does. */
int fake_server_fill(struct r3_vfio_user_inbox *inbox, struct r3_stream *stream);

/** Wait for the end of the thread, which comes with that of the connection, and free all. */
void fake_server_stop(struct fake_server *server);

/* For hooks. */
void fake_server_reply(struct fake_server *server, const struct r3_vfio_user_msg *msg,
		       const void *payload, size_t len, const int *fds, unsigned nfds);
void fake_server_error(struct fake_server *server, const struct r3_vfio_user_msg *msg, int err);
/** Send as it is. */
void fake_server_send(struct fake_server *server, const void *bytes, size_t len, const int *fds,
		      unsigned nfds);
/** Receive the next message, which must not be freed, into *msg. False: hung up. */
bool fake_server_receive(struct fake_server *server, struct r3_vfio_user_msg *msg,
			 int fds[R3_VFIO_USER_FDS]);
/** Do what the protocol says, hook or not. */
void fake_server_do(struct fake_server *server, const struct r3_vfio_user_msg *msg, int *fds);

#endif
