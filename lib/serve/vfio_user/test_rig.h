/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server of the fake device on a socket, what it told, and clients that say whatever the test
 * wants byte by byte. Client and server take turns in one thread; time passes when the test
 * says so.
 */
#ifndef RING3_SERVE_VFIO_USER_TEST_RIG_H
#define RING3_SERVE_VFIO_USER_TEST_RIG_H

#include "fake/fake_clock.h"
#include "fake/fake_device.h"
#include "unit.h"
#include "wire/vfio_user_caps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/serve.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define RIG_EVENTS 256
#define RIG_PAGE   4096u

struct rig {
	struct fake_device *fake;
	struct r3_device *dev; /* what is served: the fake, or a filter in front */
	struct r3_serve *serve;
	struct r3_serve_opts opts;
	struct fake_clock clock;
	unsigned fds; /* open before */
	char dir[40], where[64];
	struct r3_serve_event event[RIG_EVENTS];
	char text[RIG_EVENTS][256];
	unsigned nevents;
	/* the last reply */
	struct vfio_user_header header;
	unsigned char payload[1 << 17];
	int fd[16];
	unsigned nfds;
};

/** A fake and, after the test changed it or the opts, its server at a path. */
struct rig *rig_new(void);
void rig_serve(struct rig *rig);
/** All is closed, and no descriptor left over. */
void rig_free(struct rig *rig);

/** cmocka: one that serves already is in *state; freed. */
int rig_setup(void **state);
int rig_teardown(void **state);

/** Let the server do what it has to. Returns what the last dispatch did. */
int rig_run(struct rig *rig);

/** A new connection, which has said nothing yet. */
int rig_connect(struct rig *rig);
/** One that has negotiated as a stranger, or as a client of ours. */
int rig_client(struct rig *rig);
int rig_ring3(struct rig *rig);

void rig_send(struct rig *rig, int sock, const void *bytes, size_t len, const int *fds,
	      unsigned nfds);
void rig_request(struct rig *rig, int sock, unsigned cmd, const void *payload, size_t len,
		 const int *fds, unsigned nfds);
/** The next message of the server to @sock. Returns 0, the errno of an error reply negative,
 *  -EAGAIN nothing came, or -EPIPE the server hung up. */
int rig_receive(struct rig *rig, int sock);
/** Both. */
int rig_call(struct rig *rig, int sock, unsigned cmd, const void *payload, size_t len,
	     const int *fds, unsigned nfds);

int rig_version(struct rig *rig, int sock, const char *json);
int rig_read(struct rig *rig, int sock, unsigned region, uint64_t off, uint32_t count);
int rig_write(struct rig *rig, int sock, unsigned region, uint64_t off, const void *data,
	      uint32_t count);
/** A write of 4 bytes for which no reply is asked. Returns false where the socket is
 *  full. */
bool rig_post(int sock, unsigned region, uint64_t off, uint32_t value);
int rig_map(struct rig *rig, int sock, int fd, uint64_t off, uint64_t iova, uint64_t len);
int rig_unmap(struct rig *rig, int sock, uint64_t iova, uint64_t len);
int rig_irqs(struct rig *rig, int sock, unsigned flags, unsigned index, unsigned start,
	     unsigned count, const int *fds, unsigned nfds);
/** MSI-X vectors 0.. @n, bound to new eventfds, which are the caller's. */
void rig_bind(struct rig *rig, int sock, int *fds, unsigned n);

/** A memfd of @size bytes with @seals. */
int rig_memfd(uint64_t size, unsigned seals);

/** How often @type was told; the last one of it, or a failed test. */
unsigned rig_told(const struct rig *rig, unsigned type);
const struct r3_serve_event *rig_last(const struct rig *rig, unsigned type);
/** The types told since event number @from, without others, are these, 0-ended. */
void rig_expect(const struct rig *rig, unsigned from, const unsigned *types);

#endif
