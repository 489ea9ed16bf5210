/* SPDX-License-Identifier: BSD-2-Clause */
/* See socket.h. A file is known again by device and inode, never by its name alone. */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <ring3/error.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/** Is there a socket file that refuses connections? */
static bool abandoned(const struct sockaddr_un *addr)
{
	struct stat st;
	bool refused;
	int fd;

	if (lstat(addr->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	refused =
		connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bind_error(int err, const char *path)
{
	switch (err) {
	case EADDRINUSE:
		return r3_error_set(err,
				    "%s: exists already; end the server that uses it, or choose "
				    "another path",
				    path);
	case ENOENT:
	case ENOTDIR:
		return r3_error_set(err, "%s: the folder does not exist; make it first", path);
	case EACCES:
	case EPERM:
	case EROFS:
		return r3_error_set(err, "%s: %s; choose a folder you may write to", path,
				    strerror(err));
	default:
		return r3_error_set(err, "%s: %s", path, strerror(err));
	}
}

static int open_dir(const char *path, const char *slash)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!slash)
		return open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	memcpy(dir, path, len);
	memcpy(dir + len, "/", 2);
	return open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int file_name(struct socket_file *file, const char *path)
{
	const char *slash = strrchr(path, '/');

	file->dir_fd = -1;
	if (strlen(path) > SOCKET_PATH_MAX)
		return r3_error_set(ENAMETOOLONG, "%s: longer than the %d bytes of a socket path",
				    path, SOCKET_PATH_MAX);
	strcpy(file->name, slash ? slash + 1 : path);
	file->dir_fd = open_dir(path, slash);
	return file->dir_fd < 0 ? bind_error(errno, path) : 0;
}

static int file_identify(struct socket_file *file, const char *path)
{
	struct stat st;

	if (fstatat(file->dir_fd, file->name, &st, AT_SYMLINK_NOFOLLOW))
		return bind_error(errno, path);
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	return 0;
}

static void file_forget(struct socket_file *file)
{
	close(file->dir_fd);
	file->dir_fd = -1;
}

int socket_file_bind(struct socket_file *file, int fd, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc;

	rc = file_name(file, path);
	if (rc)
		return rc;
	strcpy(addr.sun_path, path);
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	if (rc && errno == EADDRINUSE && abandoned(&addr)) {
		unlink(path);
		rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	}
	rc = rc ? bind_error(errno, path) : file_identify(file, path);
	if (rc) {
		file_forget(file);
		return rc;
	}
	if (listen(fd, SOMAXCONN)) {
		rc = r3_error_set(errno, "%s: listening: %s", path, strerror(errno));
		socket_file_remove(file);
	}
	return rc;
}

int socket_file_find(struct socket_file *file, const char *path)
{
	int rc = file_name(file, path);

	if (rc == 0)
		rc = file_identify(file, path);
	if (rc && file->dir_fd >= 0)
		file_forget(file);
	return rc;
}

void socket_file_remove(struct socket_file *file)
{
	struct stat st;

	if (file->dir_fd < 0)
		return;
	if (fstatat(file->dir_fd, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == file->dev && st.st_ino == file->ino)
		unlinkat(file->dir_fd, file->name, 0);
	file_forget(file);
}
