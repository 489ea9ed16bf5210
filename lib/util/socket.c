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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int failed(const char *doing, const char *where, int err)
{
	return r3_error_set(err, "cannot %s %s: %s", doing, where, strerror(err));
}

static int take_inherited(const char *doing, const char *where, int *out)
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
		return failed(doing, where, err);
	}
	*out = fd;
	return 0;
}

static int unix_address(const char *doing, const char *where, struct sockaddr_un *out)
{
	const char *path = where + 5;

	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strncmp(where, "unix:", 5) || !*path)
		return r3_error_set(EINVAL, "\"%s\" is no socket: it must be unix:PATH or fd:N",
				    where);
	if (strlen(path) >= sizeof(out->sun_path))
		return failed(doing, where, ENAMETOOLONG);
	strcpy(out->sun_path, path);
	return 0;
}

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int r3_socket_connect(const char *where, int *out)
{
	const char *doing = "connect to";
	struct sockaddr_un address;
	int rc, fd;

	if (!strncmp(where, "fd:", 3))
		return take_inherited(doing, where, out);
	rc = unix_address(doing, where, &address);
	if (rc)
		return rc;
	fd = new_socket();
	if (fd < 0)
		return failed(doing, where, errno);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int err = errno;
		close(fd);
		return failed(doing, where, err);
	}
	*out = fd;
	return 0;
}

/* ---- the other side ---- */

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

static int take_door(const char *doing, const char *where, struct r3_listener *out)
{
	int fd, rc = take_inherited(doing, where, &fd);

	if (rc)
		return rc;
	if (option(fd, SO_DOMAIN) != AF_UNIX || option(fd, SO_TYPE) != SOCK_STREAM) {
		close(fd);
		return r3_error_set(EINVAL, "%s is no unix stream socket", where);
	}
	*out = (struct r3_listener){.fd = fd, .connected = option(fd, SO_ACCEPTCONN) == 0};
	return 0;
}

/* A socket file outlives whoever listened. Is this one such? */
static bool is_stale(const struct sockaddr_un *address)
{
	int fd = new_socket();
	bool stale = fd >= 0 &&
		     connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
		     errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
	return bind(fd, (const struct sockaddr *)address, sizeof(*address));
}

int r3_socket_listen(const char *where, struct r3_listener *out)
{
	const char *doing = "listen on";
	struct sockaddr_un address;
	struct stat st;
	int rc, err;

	if (!strncmp(where, "fd:", 3))
		return take_door(doing, where, out);
	rc = unix_address(doing, where, &address);
	if (rc)
		return rc;
	int fd = new_socket();
	if (fd < 0)
		return failed(doing, where, errno);
	/* the file gets the mode of the socket, so that there is no moment without it */
	rc = fchmod(fd, 0600);
	if (!rc)
		rc = bind_to(fd, &address);
	if (rc < 0 && errno == EADDRINUSE && !stat(address.sun_path, &st) && S_ISSOCK(st.st_mode) &&
	    is_stale(&address)) {
		unlink(address.sun_path);
		rc = bind_to(fd, &address);
	}
	if (rc < 0)
		goto err_fd;
	if (listen(fd, 16) < 0 || stat(address.sun_path, &st) < 0)
		goto err_file;
	*out = (struct r3_listener){
		.fd = fd, .address = address, .dev = st.st_dev, .ino = st.st_ino};
	return 0;

err_file:
	err = errno;
	unlink(address.sun_path);
	errno = err;
err_fd:
	err = errno;
	close(fd);
	return failed(doing, where, err);
}

void r3_socket_unlisten(struct r3_listener *listener)
{
	struct stat st;

	close(listener->fd);
	if (listener->ino && !stat(listener->address.sun_path, &st) && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->address.sun_path);
	listener->fd = -1;
}

int r3_socket_accept(const struct r3_listener *listener, int *out)
{
	int fd;

	do {
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED)); /* it does not block */
	if (fd < 0)
		return -errno;
	*out = fd;
	return 0;
}
