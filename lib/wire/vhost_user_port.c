/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream cut into messages of vhost-user: see vhost_user_port.h. */
#include "wire/vhost_user_port.h"

#include <errno.h>
#include <ring3/error.h>
#include <string.h>

#define HEADER sizeof(struct vhost_user_header)

void r3_vhost_user_port_open(struct r3_vhost_user_port *port, struct r3_stream *stream)
{
	*port = (struct r3_vhost_user_port){.stream = stream};
}

void r3_vhost_user_port_close(struct r3_vhost_user_port *port)
{
	r3_vhost_user_port_done(port);
	r3_stream_close(port->stream);
	port->stream = NULL;
}

/* ---- receive ---- */

/* Bytes still missing of the header or, behind that, of the payload. */
static size_t missing(const struct r3_vhost_user_port *port, void **at)
{
	struct r3_vhost_user_msg *in = (struct r3_vhost_user_msg *)&port->in;

	if (port->got < HEADER) {
		*at = (unsigned char *)&in->header + port->got;
		return HEADER - port->got;
	}
	*at = (unsigned char *)&in->payload + (port->got - HEADER);
	return HEADER + in->header.size - port->got;
}

static int hung_up(const struct r3_vhost_user_port *port)
{
	if (port->got)
		return r3_error_set(EPROTO, "vhost-user: the other side has hung up in the middle "
					    "of a message");
	return r3_error_set(EPIPE, "vhost-user: the other side has hung up");
}

static int failed(const char *doing, int err)
{
	if (err == EPIPE || err == ECONNRESET)
		return r3_error_set(EPIPE, "vhost-user: the other side has hung up");
	return r3_error_set(err, "vhost-user: %s: %s", doing, strerror(err));
}

/** Receive some: 1, 0 nothing is there, or -errno. */
static int receive(struct r3_vhost_user_port *port, void *at, size_t len)
{
	unsigned nfds = R3_VHOST_USER_FDS - port->in.nfds;
	ssize_t n = r3_stream_recv(port->stream, at, len, port->in.fd + port->in.nfds, &nfds);

	if (n == -EAGAIN)
		return 0;
	if (n == 0)
		return hung_up(port);
	if (n < 0)
		return failed("receiving", (int)-n);
	port->got += (size_t)n;
	port->in.nfds += nfds;
	return 1;
}

int r3_vhost_user_port_recv(struct r3_vhost_user_port *port)
{
	for (;;) {
		bool header = port->got < HEADER;
		void *at;
		size_t len = missing(port, &at);
		int rc;

		if (!len)
			return 1;
		rc = receive(port, at, len);
		if (rc <= 0)
			return rc;
		if (header && port->got == HEADER) {
			rc = r3_vhost_user_check_header(&port->in.header);
			if (rc < 0)
				return rc;
		}
	}
}

int r3_vhost_user_port_take(struct r3_vhost_user_port *port, unsigned i)
{
	int fd = port->in.fd[i];

	port->in.fd[i] = -1;
	return fd;
}

void r3_vhost_user_port_done(struct r3_vhost_user_port *port)
{
	for (uint32_t i = 0; i < port->in.nfds; i++)
		if (port->in.fd[i] >= 0)
			r3_stream_close_fds(&port->in.fd[i], 1);
	port->in.nfds = 0;
	port->got = 0;
}

/* ---- send ---- */

int r3_vhost_user_port_flush(struct r3_vhost_user_port *port)
{
	while (port->out_at < port->out_len) {
		const struct iovec iov = {port->out + port->out_at, port->out_len - port->out_at};
		ssize_t n = r3_stream_send(port->stream, &iov, 1, NULL, 0);

		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return failed("sending", (int)-n);
		port->out_at += (size_t)n;
	}
	port->out_len = port->out_at = 0;
	return 1;
}

int r3_vhost_user_port_send(struct r3_vhost_user_port *port, const struct r3_vhost_user_msg *msg)
{
	const struct iovec iov[] = {{(void *)(uintptr_t)&msg->header, HEADER},
				    {(void *)(uintptr_t)&msg->payload, msg->header.size}};
	ssize_t n;
	int rc = r3_vhost_user_port_flush(port);

	if (rc <= 0)
		return rc ? rc : -EAGAIN;
	n = r3_stream_send(port->stream, iov, msg->header.size ? 2 : 1, msg->fd, msg->nfds);
	if (n == -EAGAIN && msg->nfds)
		return -EAGAIN;
	if (n < 0 && n != -EAGAIN)
		return failed("sending", (int)-n);
	memcpy(port->out, &msg->header, HEADER);
	memcpy(port->out + HEADER, &msg->payload, msg->header.size);
	port->out_at = n > 0 ? (size_t)n : 0;
	port->out_len = HEADER + msg->header.size;
	rc = r3_vhost_user_port_flush(port);
	return rc < 0 ? rc : 0;
}
