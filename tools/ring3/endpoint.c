/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exports are written like addresses, so that the same signs are escaped in both. A
 * TCP socket listens at once, because nothing of it outlives its holders; a socket
 * file is made by the server, which is there to remove it.
 */
#include "endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <ring3/address.h>
#include <ring3/error.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int check_kind(const struct r3_address *address, const char *text)
{
	static const char *const reserved[] = {"ublk", "vhost-user", "tap"};
	static const char *const known[] = {NULL};

	for (unsigned i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (strcmp(address->scheme, reserved[i]) == 0)
			return r3_error_set(EOPNOTSUPP,
					    "export '%s': %s is not built in; use nbd:unix:PATH",
					    text, reserved[i]);
	}
	if (strcmp(address->scheme, "nbd"))
		return r3_error_set(EOPNOTSUPP,
				    "export '%s': no kind is called '%s'; use nbd:unix:PATH or "
				    "nbd:tcp:HOST:PORT",
				    text, address->scheme);
	if (address->nfilter)
		return r3_error_set(EINVAL, "export '%s': write + as %%2B", text);
	return r3_params_check(&address->rest, "an export (write , in a path as %2C)", known);
}

/** Append @text, percent-encoded as a value in the query of a URI. */
static void uri_append(char *uri, size_t size, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~/";
	size_t at = strlen(uri);

	for (; *text && at + 4 < size; text++) {
		if (strchr(plain, *text))
			uri[at++] = *text;
		else
			at += (size_t)snprintf(uri + at, size - at, "%%%02X",
					       (unsigned)(unsigned char)*text);
	}
	uri[at] = 0;
}

static int unix_open(const char *path, struct endpoint *out)
{
	char cwd[sizeof(out->path)];
	int n;

	if (strlen(path) > SOCKET_PATH_MAX)
		return r3_error_set(ENAMETOOLONG, "%s: longer than the %d bytes of a socket path",
				    path, SOCKET_PATH_MAX);
	/* The command may change its folder; the path as given must do where this is long. */
	strcpy(out->path, path);
	if (path[0] != '/' && getcwd(cwd, sizeof(cwd))) {
		while (strncmp(path, "./", 2) == 0)
			path += 2;
		n = snprintf(out->path, sizeof(out->path), "%s/%s", cwd, path);
		if (n < 0 || (size_t)n >= sizeof(out->path))
			strcpy(out->path, path);
	}
	out->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (out->fd < 0)
		return r3_error_set(errno, "making a socket: %s", strerror(errno));
	strcpy(out->uri, "nbd+unix:///?socket=");
	uri_append(out->uri, sizeof(out->uri), out->path);
	return 0;
}

/** A listening socket, or -errno. */
static int listen_on(const struct addrinfo *info)
{
	int fd, on = 1, err;

	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

/** "HOST:PORT" or "[v6]:PORT", taken apart in place. */
static int split_host(char *where, char **host, char **port)
{
	char *colon = strrchr(where, ':');
	size_t len;

	if (!colon || colon == where || !colon[1])
		return -EINVAL;
	*colon = 0;
	*host = where;
	*port = colon + 1;
	len = strlen(where);
	if (where[0] == '[' && where[len - 1] == ']') {
		where[len - 1] = 0;
		(*host)++;
	} else if (strchr(where, ':')) {
		return -EINVAL; /* which of them is the port? */
	}
	/* getaddrinfo() would take what is left of a larger one after 16 bits */
	len = strlen(*port);
	return len <= 5 && strspn(*port, "0123456789") == len && atoi(*port) <= UINT16_MAX
		       ? 0
		       : -EINVAL;
}

static int tcp_open(const char *where, struct endpoint *out)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list;
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	char text[300], service[8], *host, *port;
	int rc;

	snprintf(text, sizeof(text), "%s", where);
	if (strlen(where) >= sizeof(text) || split_host(text, &host, &port))
		return r3_error_set(EINVAL, "'%s': expected HOST:PORT, PORT from 0 to 65535",
				    where);
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc)
		return r3_error_set(rc == EAI_SYSTEM ? errno : ENOENT, "%s: %s", where,
				    gai_strerror(rc));
	rc = -ENOENT;
	for (struct addrinfo *i = list; i && rc < 0; i = i->ai_next)
		rc = listen_on(i);
	freeaddrinfo(list);
	if (rc < 0)
		return r3_error_set(-rc, "%s: listening: %s; choose another port", where,
				    strerror(-rc));
	out->fd = rc;
	if (getsockname(out->fd, (struct sockaddr *)&bound, &len) ||
	    getnameinfo((struct sockaddr *)&bound, len, NULL, 0, service, sizeof(service),
			NI_NUMERICSERV))
		return r3_error_set(EIO, "%s: the port is unknown", where);
	snprintf(out->uri, sizeof(out->uri), strchr(host, ':') ? "nbd://[%s]:%s" : "nbd://%s:%s",
		 host, service);
	return 0;
}

int endpoint_open(const char *text, struct endpoint *out)
{
	struct r3_address *address;
	char full[1024];
	const char *where;
	int rc;

	*out = (struct endpoint){.fd = -1, .file.dir_fd = -1};
	snprintf(full, sizeof(full), strchr(text, ':') ? "%s" : "%s:", text); /* "ublk" */
	rc = r3_address_parse(full, &address);
	if (rc)
		return r3_error_prefix(rc, "export '%s'", text);
	rc = check_kind(address, text);
	where = address->rest.head;
	if (rc)
		goto free_address;
	if (strncmp(where, "unix:", 5) == 0 && where[5])
		rc = unix_open(where + 5, out);
	else if (strncmp(where, "tcp:", 4) == 0)
		rc = tcp_open(where + 4, out);
	else
		rc = r3_error_set(EINVAL,
				  "export '%s': expected nbd:unix:PATH or nbd:tcp:HOST:PORT", text);
	if (rc)
		endpoint_close(out);

free_address:
	r3_address_free(address);
	return rc;
}

void endpoint_close(struct endpoint *endpoint)
{
	if (endpoint->fd >= 0)
		close(endpoint->fd);
	endpoint->fd = -1;
	socket_file_remove(&endpoint->file);
}
