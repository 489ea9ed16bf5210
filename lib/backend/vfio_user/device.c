/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that another process serves as bus operations, and the scheme "vfio-user:". */
#include "backend/vfio_user/backend.h"
#include "backend/vfio_user/vfio_user.h"
#include "util/fd.h"
#include "util/kept_text.h"
#include "util/socket.h"

#include <ring3/error.h>
#include <ring3/irq.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- calls ---- */

static int answer(struct r3_vfio_user *v, const struct r3_vfio_user_call *call)
{
	int rc = r3_vfio_user_link_answer(&v->link, call);

	if (rc == -ENODEV) /* the server's word, unless it is lost, which is known already */
		r3_vfio_user_raise(v, R3_VFIO_USER_REMOVED);
	if (rc < 0)
		r3_stream_close_fds(call->fds, call->msg.nfds);
	return rc;
}

int r3_vfio_user_calls(struct r3_vfio_user *v, struct r3_vfio_user_call *calls, unsigned n)
{
	int rc = r3_vfio_user_link_call(&v->link, calls, n);

	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = answer(v, &calls[i]);
	return rc;
}

int r3_vfio_user_call(struct r3_vfio_user *v, struct r3_vfio_user_call *call)
{
	return r3_vfio_user_calls(v, call, 1);
}

int r3_vfio_user_checked(struct r3_vfio_user *v, int rc)
{
	return rc == -EPROTO ? r3_vfio_user_link_lose(&v->link) : rc;
}

/* ---- life ---- */

static void destroy(struct r3_vfio_user *v)
{
	r3_vfio_user_link_close(&v->link);
	r3_vfio_user_free_kicks(v);
	r3_vfio_user_free_maps(v);
	r3_fd_close(&v->req_fd);
	r3_fd_close(&v->err_fd);
	r3_fd_close(&v->wake);
	r3_fd_close(&v->epoll);
	free(v);
}

static void close_device(struct r3_device *dev)
{
	destroy(r3_vfio_user_of(dev));
}

const struct r3_bus_ops r3_vfio_user_ops = {
	.size = sizeof(struct r3_bus_ops),
	.close = close_device,
	.region_info = r3_vfio_user_region_info,
	.rw = r3_vfio_user_rw,
	.irq_alloc = r3_vfio_user_irq_alloc,
	.irq_bind = r3_vfio_user_irq_bind,
	.irq_mask = r3_vfio_user_irq_mask,
	.dma_limits = r3_vfio_user_dma_limits,
	.dma_map = r3_vfio_user_dma_map,
	.dma_unmap = r3_vfio_user_dma_unmap,
	.reset = r3_vfio_user_reset,
	.quiesce = r3_vfio_user_quiesce,
	.fd = r3_vfio_user_fd,
	.dispatch = r3_vfio_user_dispatch,
};

/* @stream is taken in any case. */
static int create(struct r3_stream *stream, const char *name, unsigned timeout_ms,
		  const struct r3_open_opts *opts, struct r3_vfio_user **out)
{
	struct r3_vfio_user *v = calloc(1, sizeof(*v));
	int rc;

	if (!v) {
		r3_stream_close(stream);
		return r3_error_set(ENOMEM, "%s: out of memory", name);
	}
	r3_device_init(&v->dev, &r3_vfio_user_ops, opts);
	snprintf(v->name, sizeof(v->name), "%s", name);
	v->dev.info.name = v->name;
	v->irq_type = R3_IRQ_BEST;
	v->epoll = epoll_create1(EPOLL_CLOEXEC);
	v->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	v->err_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	v->req_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = r3_vfio_user_link_open(&v->link, stream, timeout_ms);
	if (rc == 0 && (v->epoll < 0 || v->wake < 0 || v->err_fd < 0 || v->req_fd < 0))
		rc = r3_error_set(EMFILE, "cannot make its descriptors");
	if (rc < 0) {
		destroy(v);
		return r3_error_prefix(rc, "%s", name);
	}
	v->link.dma_read = r3_vfio_user_dma_read;
	v->link.dma_write = r3_vfio_user_dma_write;
	v->link.gone = r3_vfio_user_gone;
	v->link.ctx = v;
	*out = v;
	return 0;
}

int r3_vfio_user_ask_info(struct r3_vfio_user *v, struct vfio_user_device_info *out)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_device_info info;
	} message = {.info = {.argsz = sizeof(message.info)}};
	struct vfio_user_device_info reply;
	struct r3_vfio_user_call call;
	int rc;

	r3_vfio_user_call_init(&call, VFIO_USER_DEVICE_GET_INFO, &message, sizeof(message), &reply,
			       sizeof(reply));
	rc = r3_vfio_user_call(v, &call);
	return rc < 0 ? rc : r3_vfio_user_checked(v, r3_vfio_user_got_device_info(&call.msg, out));
}

static int find_device(struct r3_vfio_user *v)
{
	struct r3_device_info *info = &v->dev.info;
	struct vfio_user_device_info said;
	int rc = r3_vfio_user_ask_info(v, &said);

	if (rc < 0)
		return rc;
	info->nregions = said.num_regions < R3_REGION_MAX ? said.num_regions : R3_REGION_MAX;
	info->caps = v->server.no_dma ? 0 : R3_CAP_DMA;
	if (said.flags & VFIO_DEVICE_FLAGS_RESET)
		info->caps |= R3_CAP_FLR;
	if (said.flags & VFIO_DEVICE_FLAGS_PCI) {
		if (info->nregions <= R3_REGION_CONFIG)
			return r3_error_set(EPROTO,
					    "it has a PCI device without a configuration space");
		info->caps |= R3_CAP_PCI;
		rc = r3_vfio_user_find_bars(v);
	}
	return rc < 0 ? rc : r3_vfio_user_find_irqs(v, said.num_irqs);
}

int r3_vfio_user_open_stream(struct r3_stream *stream, const char *name, unsigned timeout_ms,
			     const struct r3_open_opts *opts, struct r3_device **out)
{
	struct r3_vfio_user *v = NULL;
	struct r3_kept_text text;
	int rc;

	/* what a server does not have is asked for, too */
	r3_error_keep(&text);
	rc = create(stream, name, timeout_ms, opts, &v);
	if (rc < 0)
		return rc;
	rc = r3_vfio_user_hello(v);
	if (rc == -ENODEV && v->link.err == EPIPE)
		rc = r3_error_set(v->link.err = EBUSY,
				  "the server hung up at once: it serves another client, or "
				  "something else than vfio-user");
	if (rc == 0)
		rc = find_device(v);
	if (rc == 0)
		rc = r3_vfio_user_watch(v);
	if (rc < 0) {
		if (v->link.lost && (v->link.err == ETIMEDOUT || v->link.err == EBUSY))
			rc = -v->link.err;
		destroy(v);
		/* whoever talks nonsense, or hangs up, has no device for us */
		return r3_error_prefix(rc == -EPROTO || rc == -EPIPE ? -ENODEV : rc, "%s", name);
	}
	r3_error_put_back(&text);
	*out = &v->dev;
	return 0;
}

/* ---- vfio-user: ---- */

static int no_server(int rc, const char *where)
{
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return r3_error_set(ENODEV,
				    "nobody serves at %s; start `ring3 serve ADDRESS --listen %s`",
				    where, where);
	if (rc == -EAGAIN)
		return r3_error_set(EBUSY, "%s: too many wait for that server already", where);
	return rc;
}

static int open_served(const struct r3_address *address, const struct r3_open_opts *opts,
		       struct r3_device **out)
{
	static const char *const keys[] = {"timeout", NULL};
	const struct r3_params *params = &address->rest;
	uint64_t timeout = R3_VFIO_USER_TIMEOUT_MS * R3_NSEC_PER_MSEC;
	struct r3_stream *stream;
	char name[80];
	int fd, rc = r3_params_check(params, "vfio-user", keys);

	if (rc == 0)
		rc = r3_params_time(params, "timeout", R3_NSEC_PER_MSEC, 3600 * R3_NSEC_PER_SEC,
				    &timeout);
	if (rc < 0)
		return rc;
	rc = r3_socket_connect(params->head, &fd);
	if (rc < 0)
		return r3_error_prefix(no_server(rc, params->head), "vfio-user");
	rc = r3_stream_open(fd, &stream);
	if (rc < 0) {
		close(fd);
		return r3_error_prefix(rc, "vfio-user");
	}
	snprintf(name, sizeof(name), "vfio-user:%s", params->head);
	return r3_vfio_user_open_stream(stream, name, (unsigned)(timeout / R3_NSEC_PER_MSEC), opts,
					out);
}

const struct r3_backend r3_vfio_user_backend = {
	.scheme = "vfio-user",
	.summary = "a device served on a socket",
	.open = open_served,
};
