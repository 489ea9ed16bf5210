/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets of peers on a stream share: numbers that tend to matter, descriptors of
 * every kind that can be sent, and whether any was left over.
 */
#ifndef RING3_TESTS_FUZZ_PEER_H
#define RING3_TESTS_FUZZ_PEER_H

#include "input.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/** A number, of which an input byte chooses the kind. */
static inline uint64_t number(struct input *in)
{
	static const uint64_t edges[] = {
		0,         1,          2,          3,          4,
		8,         16,         20,         24,         31,
		32,        0x100,      0xfff,      0x1000,     0x1001,
		0x2000,    0x4000,     0x10000,    0x100000,   UINT64_C(1) << 32,
		INT64_MAX, UINT32_MAX, UINT16_MAX, UINT64_MAX, UINT64_MAX - 0xfff,
		1u << 31,  2048,       0x3ffc,
	};
	uint8_t kind = take8(in);

	if (kind < 64)
		return kind;
	if (kind < 192)
		return edges[kind % (sizeof(edges) / sizeof(*edges))];
	if (kind < 224)
		return take16(in);
	return (uint64_t)take16(in) << (kind - 224) * 2;
}

/** Overwrite a bit of @bytes, as the input says. */
static inline void spoil(struct input *in, unsigned char *bytes, size_t len)
{
	uint8_t how = take8(in);
	size_t width = (size_t)1 << (how & 3), at = (how >> 2) * 4u;
	uint64_t value = number(in);

	if (len >= width)
		memcpy(bytes + (at <= len - width ? at : at % (len - width + 1)), &value, width);
}

enum { FD_SEALED, FD_UNSEALED, FD_SMALL, FD_EVENT, FD_PIPE, FD_NULL, FD_SOCKET, FD_KINDS };

/** Descriptors of each kind, made once, and sent again and again. */
static inline int fd_of_kind(unsigned kind)
{
	static int fds[FD_KINDS] = {-1, -1, -1, -1, -1, -1, -1};
	int *fd = &fds[kind % FD_KINDS], ends[2];

	if (*fd >= 0)
		return *fd;
	switch (kind % FD_KINDS) {
	case FD_SEALED:
	case FD_UNSEALED: /* until somebody seals it */
	case FD_SMALL:
		*fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		MUST(ftruncate(*fd, kind % FD_KINDS == FD_SMALL ? 100 : 0x10000) == 0);
		if (kind % FD_KINDS == FD_SEALED)
			MUST(fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) == 0);
		break;
	case FD_EVENT:
		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		break;
	case FD_PIPE:
		MUST(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
		*fd = ends[1];
		break;
	case FD_NULL:
		*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	case FD_SOCKET: /* whose other end is closed: nobody waits for it */
		MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
		close(ends[1]);
		*fd = ends[0];
		break;
	}
	MUST(*fd >= 0);
	return *fd;
}

/** The lowest descriptor that is free: another one after a run tells that some were kept. */
static inline int lowest_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	MUST(fd >= 0);
	close(fd);
	return fd;
}

#endif
