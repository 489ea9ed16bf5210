/* SPDX-License-Identifier: BSD-2-Clause */
/* The server's side of the ivshmem protocol: see ivshmem.h. */
#include "wire/ivshmem.h"

#include <errno.h>
#include <poll.h>
#include <ring3/clock.h>
#include <string.h>
#include <sys/socket.h>

int r3_ivshmem_send(int sock, int64_t message, int fd, int timeout_ms)
{
	uint64_t bytes = R3_LE64((uint64_t)message);
	struct iovec iov = {.iov_base = &bytes, .iov_len = sizeof(bytes)};
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct r3_wait wait =
		r3_wait_begin(r3_clock_system(), (uint64_t)timeout_ms * R3_NSEC_PER_MSEC);

	if (fd >= 0) {
		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	for (;;) {
		/* A stream socket takes 8 bytes with a descriptor as one piece, or not at all. */
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == (ssize_t)sizeof(bytes))
			return 0;
		if (n >= 0)
			return -EPIPE;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		/* what is left, or signals could make it last for ever */
		uint64_t left = r3_wait_left(&wait);
		struct pollfd room = {.fd = sock, .events = POLLOUT};
		if (!left)
			return -ETIMEDOUT;
		if (poll(&room, 1, (int)(left / R3_NSEC_PER_MSEC) + 1) < 0 && errno != EINTR)
			return -errno;
	}
}
