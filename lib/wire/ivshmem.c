/* SPDX-License-Identifier: BSD-2-Clause */
/* The server's side of the ivshmem protocol: see ivshmem.h. */
#include "wire/ivshmem.h"

#include <errno.h>
#include <poll.h>
#include <ring3/api.h>
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
		struct pollfd room = {.fd = sock, .events = POLLOUT};
		int ready = poll(&room, 1, timeout_ms);
		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0 && errno != EINTR)
			return -errno;
	}
}
