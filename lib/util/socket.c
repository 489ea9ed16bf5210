/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a socket is, in an address: see socket.h. */
#include "util/socket.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int failed(const char *where, int err)
{
	return r3_error_set(err, "cannot connect to %s: %s", where, strerror(err));
}

static int take_inherited(const char *where, int *out)
{
	char *end;
	long number = strtol(where + 3, &end, 10);
	int fd, flags;

	if (where[3] < '0' || where[3] > '9' || *end || number > INT_MAX)
		return r3_error_set(EINVAL, "%s: a descriptor is a number", where);
	fd = fcntl((int)number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		int err = errno;
		if (fd >= 0)
			close(fd);
		return failed(where, err);
	}
	*out = fd;
	return 0;
}

int r3_socket_connect(const char *where, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = where + 5;
	int fd;

	if (!strncmp(where, "fd:", 3))
		return take_inherited(where, out);
	if (strncmp(where, "unix:", 5) || !*path)
		return r3_error_set(EINVAL, "\"%s\" is no socket: it must be unix:PATH or fd:N",
				    where);
	if (strlen(path) >= sizeof(address.sun_path))
		return failed(where, ENAMETOOLONG);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return failed(where, errno);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int err = errno;
		close(fd);
		return failed(where, err);
	}
	*out = fd;
	return 0;
}
