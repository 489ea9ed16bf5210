/* SPDX-License-Identifier: BSD-2-Clause */
/* From messages to what they do: who may say what when, and the reply. */
#include "serve/vfio_user/server.h"
#include "util/fd.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <poll.h>
#include <string.h>

/* A client that does everything wrong fills nobody's log. */
#define COMPLAINTS 32

static r3_serve_handler *const handlers[VFIO_USER_COMMANDS] = {
	[VFIO_USER_DMA_MAP] = r3_serve_dma_map,
	[VFIO_USER_DMA_UNMAP] = r3_serve_dma_unmap,
	[VFIO_USER_DEVICE_GET_INFO] = r3_serve_get_device_info,
	[VFIO_USER_DEVICE_GET_REGION_INFO] = r3_serve_get_region_info,
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = r3_serve_get_region_io_fds,
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = r3_serve_get_irq_info,
	[VFIO_USER_DEVICE_SET_IRQS] = r3_serve_set_irqs,
	[VFIO_USER_REGION_READ] = r3_serve_region_read,
	[VFIO_USER_REGION_WRITE] = r3_serve_region_write,
	[VFIO_USER_REGION_WRITE_MULTI] = r3_serve_region_write_multi,
	[VFIO_USER_DEVICE_RESET] = r3_serve_reset,
};

/* ---- VFIO_USER_VERSION ---- */

/* The client may have died already, with this one in its place: the end of its stream is
 * known before its last messages are. None are added, so this ends. */
static void finish_the_dead(struct r3_serve *serve)
{
	struct r3_serve_peer *client = serve->client;
	struct pollfd pfd;

	while (client && serve->client == client) {
		pfd = (struct pollfd){.fd = r3_stream_fd(client->stream), .events = POLLIN};
		if (poll(&pfd, 1, 0) <= 0 || !(pfd.revents & (POLLHUP | POLLERR)))
			return;
		r3_serve_peer_turn(serve, client);
	}
}

static int may_enter(struct r3_serve *serve)
{
	const char *name = serve->dev->info.name;

	if (serve->client)
		finish_the_dead(serve);
	if (serve->dead)
		return r3_error_set(ENOTRECOVERABLE, "%s: dead: %s", name, serve->dead);
	if (r3_device_gone(serve->dev))
		return r3_device_alive(serve->dev);
	if (serve->client)
		return r3_error_set(EBUSY, "%s: client %ju has it", name,
				    (uintmax_t)serve->client->number);
	return 0;
}

/* What the client did not propose is not said: it would not know it. */
static void answer_caps(struct r3_serve *serve, const struct r3_vfio_user_caps *asked,
			struct r3_vfio_user_caps *caps)
{
	struct r3_dma_limits limits;
	bool dma = r3_serve_dma_limits(serve, &limits) == 0;

	r3_vfio_user_caps_default(caps);
	caps->max_msg_fds = R3_VFIO_USER_FDS;
	caps->max_data_xfer_size = R3_VFIO_USER_XFER;
	caps->max_dma_maps = serve->opts.max_maps;
	if (dma)
		caps->pgsizes = limits.page_size;
	caps->write_multiple = asked->write_multiple;
	caps->ring3 = asked->ring3;
	caps->no_dma = caps->ring3 && !dma;
	for (unsigned i = 0; caps->ring3 && dma && i < limits.nwindows; i++) {
		caps->window[i].first = limits.window[i].first;
		caps->window[i].last = limits.window[i].last;
		caps->nwindows = i + 1;
	}
}

static int greet(struct r3_serve *serve, struct r3_serve_peer *peer,
		 const struct r3_vfio_user_msg *msg, struct r3_serve_reply *reply)
{
	struct vfio_user_version version;
	struct r3_vfio_user_caps asked, caps;
	const char *text;
	uint16_t minor;
	size_t len;
	int rc = r3_vfio_user_get_version(msg, &version, &text, &len);

	if (!rc)
		rc = r3_vfio_user_version_agree(&version, &minor);
	if (!rc)
		rc = r3_vfio_user_caps_decode(text, len, &asked);
	if (!rc)
		rc = may_enter(serve);
	if (rc)
		return rc;
	version.minor = minor;
	memcpy(reply->payload, &version, sizeof(version));
	answer_caps(serve, &asked, &caps);
	reply->len = sizeof(version) +
		     r3_vfio_user_caps_encode(&caps, (char *)reply->payload + sizeof(version));
	serve->client = peer;
	serve->caps = asked;
	serve->news = 0;
	serve->maps_told = 0;
	peer->deadline = 0;
	r3_serve_tell(serve, &(struct r3_serve_event){.type = R3_SERVE_CONNECTED}, "%s",
		      asked.ring3 ? "a client of ring3's" : "a client of vfio-user");
	return 0;
}

/* ---- any message ---- */

static int handle(struct r3_serve *serve, struct r3_serve_peer *peer,
		  const struct r3_vfio_user_msg *msg, int *fds, struct r3_serve_reply *reply)
{
	unsigned cmd = msg->header.cmd;

	if (peer != serve->client)
		return greet(serve, peer, msg, reply);
	if (cmd == VFIO_USER_VERSION)
		return r3_error_set(EINVAL, "%s for the second time", r3_vfio_user_name(cmd));
	if (cmd >= VFIO_USER_COMMANDS || !handlers[cmd])
		return r3_vfio_user_get_unsupported(msg);
	if (r3_device_gone(serve->dev))
		return -ENODEV; /* which was told */
	return handlers[cmd](serve, msg, fds, reply);
}

static void complain(const struct r3_serve *serve, struct r3_serve_peer *peer, unsigned cmd)
{
	if (++peer->complaints > COMPLAINTS)
		return;
	r3_log(R3_LOG_WARN, "%s: client %ju: %s: %s%s", serve->dev->info.name,
	       (uintmax_t)peer->number, r3_vfio_user_name(cmd), r3_error_text(),
	       peer->complaints == COMPLAINTS ? " (further ones are not logged)" : "");
}

int r3_serve_message(struct r3_serve *serve, struct r3_serve_peer *peer,
		     const struct r3_vfio_user_msg *msg, int *fds)
{
	struct vfio_user_header header;
	struct r3_serve_reply reply = {.payload = peer->out + sizeof(header), .fd = -1};
	bool greeted = peer == serve->client, silent;
	int rc;

	if (r3_vfio_user_is_reply(&msg->header))
		return r3_error_set(EPROTO, "a reply (%s) to nothing that was asked",
				    r3_vfio_user_name(msg->header.cmd));
	if (!greeted && msg->header.cmd != VFIO_USER_VERSION)
		return r3_error_set(EPROTO, "%s before VFIO_USER_VERSION",
				    r3_vfio_user_name(msg->header.cmd));
	rc = handle(serve, peer, msg, fds, &reply);
	silent = msg->header.flags & VFIO_USER_F_NO_REPLY;
	if (rc && greeted)
		complain(serve, peer, msg->header.cmd);
	if (rc && !greeted) {
		peer->leaving = true;
		r3_serve_tell(serve,
			      &(struct r3_serve_event){.type = R3_SERVE_REFUSED,
						       .err = rc,
						       .client = peer->number,
						       .pid = peer->pid},
			      "%s", r3_error_text());
	}
	r3_serve_check_gone(serve);
	if (silent) {
		if (reply.close_fd)
			r3_fd_close(&reply.fd);
		return 0;
	}
	if (rc)
		r3_vfio_user_error(&header, &msg->header, -rc);
	else
		r3_vfio_user_reply(&header, &msg->header, reply.len);
	memcpy(peer->out, &header, sizeof(header));
	peer->out_begin = 0;
	peer->out_end = header.msg_size;
	peer->out_fd = reply.fd;
	peer->out_fd_close = reply.close_fd;
	return 0;
}
