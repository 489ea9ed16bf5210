/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: the client's eventfds go to the carrier as they are, so that nobody stands
 * between the device and whoever sleeps on them. A set of MSI or MSI-X vectors is made by the
 * first message that binds some, with or without descriptors, as large as that one asks; one
 * that goes further makes it larger, and all vectors bound before are signalled once, because
 * what the device raised meanwhile is lost.
 */
#include "serve/vfio_user/server.h"
#include "util/eventfd.h"
#include "util/fd.h"
#include "util/kept_text.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Whoever writes 8 bytes there is not to wait, nor to spoil a file. */
static int check_eventfds(const struct r3_serve *serve, const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!r3_is_eventfd(fds[i]))
			return r3_error_set(EINVAL,
					    "%s: descriptor %u for an interrupt is no "
					    "eventfd",
					    serve->dev->info.name, i);
	return 0;
}

/* ---- the set ---- */

static void drop(struct r3_serve *serve, int *fd)
{
	if (*fd >= 0)
		serve->fds--;
	r3_fd_close(fd);
}

int r3_serve_vectors_off(struct r3_serve *serve)
{
	struct r3_device *dev = serve->dev;
	int rc = 0;

	if (serve->irqs.n)
		rc = r3_device_answer(dev, dev->ops->irq_alloc(dev, serve->irqs.type, 0));
	for (unsigned i = 0; i < serve->irqs.n; i++)
		drop(serve, &serve->irqs.fd[i]);
	free(serve->irqs.fd);
	serve->irqs.fd = NULL;
	serve->irqs.n = 0;
	return rc;
}

/* A blocked writer, in whichever process, goes on once there is room again: a client could
 * have filled its own eventfds, and be gone. */
static void unblock(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	eventfd_t count;

	if (flags < 0 || poll(&pfd, 1, 0) < 0 || pfd.revents & POLLOUT)
		return;
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	eventfd_read(fd, &count);
}

void r3_serve_irqs_off(struct r3_serve *serve)
{
	struct r3_device *dev = serve->dev;

	for (unsigned i = 0; i < serve->irqs.n; i++)
		unblock(serve->irqs.fd[i]);
	/* whatever the type, it turns all of them off; of a device that is gone, too, whose
	 * carrier may still hold descriptors */
	if (serve->irqs.n)
		dev->ops->irq_alloc(dev, serve->irqs.type, 0);
}

void r3_serve_irqs_free(struct r3_serve *serve)
{
	for (unsigned i = 0; i < serve->irqs.n; i++)
		drop(serve, &serve->irqs.fd[i]);
	free(serve->irqs.fd);
	serve->irqs.fd = NULL;
	serve->irqs.n = 0;
	drop(serve, &serve->irqs.err);
	drop(serve, &serve->irqs.req);
}

/* MSI counts in powers of two (PCI 3.0, 6.8.1.3): those above @n stay unbound. */
static unsigned whole_set(const struct r3_device *dev, unsigned type, unsigned n)
{
	unsigned whole = 1;

	if (type != R3_IRQ_MSI)
		return n;
	while (whole < n)
		whole *= 2;
	return whole <= dev->info.nirqs[type] ? whole : n;
}

static int grow(struct r3_serve *serve, unsigned type, unsigned n)
{
	struct r3_serve_irqs *irqs = &serve->irqs;
	struct r3_device *dev = serve->dev;
	struct r3_kept_text why;
	unsigned had = irqs->n;
	int rc, *fd;

	n = whole_set(dev, type, n);
	fd = malloc(n * sizeof(*fd));
	if (!fd)
		return r3_error_set(ENOMEM, "%s: no memory for interrupts", dev->info.name);
	for (unsigned i = 0; i < n; i++)
		fd[i] = i < had ? irqs->fd[i] : -1;
	free(irqs->fd);
	irqs->fd = fd;
	irqs->type = type;
	irqs->n = n;
	rc = r3_device_answer(dev, dev->ops->irq_alloc(dev, type, n));
	if (!rc && had)
		rc = r3_device_answer(dev, dev->ops->irq_bind(dev, type, 0, had, fd));
	if (rc) {
		r3_error_keep(&why);
		r3_serve_vectors_off(serve); /* the old set is gone as well */
		r3_error_put_back(&why);
		return rc;
	}
	for (unsigned i = 0; i < had; i++)
		r3_eventfd_signal(fd[i]);
	return 0;
}

static int bind_vectors(struct r3_serve *serve, const struct vfio_irq_set *set, int *fds,
			unsigned nfds)
{
	struct r3_serve_irqs *irqs = &serve->irqs;
	struct r3_device *dev = serve->dev;
	int none[R3_VFIO_USER_FDS];
	int rc = check_eventfds(serve, fds, nfds);

	if (!rc)
		rc = r3_serve_fd_quota(serve, nfds);
	if (!rc && set->start + set->count > irqs->n)
		rc = grow(serve, set->index, set->start + set->count);
	memset(none, 0xff, sizeof(none)); /* -1 */
	for (uint32_t done = 0, n; !rc && done < set->count; done += n) {
		n = set->count - done < R3_VFIO_USER_FDS ? set->count - done : R3_VFIO_USER_FDS;
		rc = r3_device_answer(dev, dev->ops->irq_bind(dev, irqs->type, set->start + done, n,
							      nfds ? fds + done : none));
		/* a bind that failed is none, and those before it are not ours any more */
		for (uint32_t i = 0; !rc && i < n; i++) {
			drop(serve, &irqs->fd[set->start + done + i]);
			if (!nfds)
				continue;
			irqs->fd[set->start + done + i] = fds[done + i];
			fds[done + i] = -1;
			serve->fds++;
		}
	}
	return rc;
}

/* ---- the message ---- */

static bool chosen(const unsigned char *bools, uint32_t i)
{
	return !bools || bools[i];
}

static int mask(struct r3_serve *serve, const struct vfio_irq_set *set, const unsigned char *bools)
{
	struct r3_device *dev = serve->dev;
	bool on = set->flags & VFIO_IRQ_SET_ACTION_MASK;
	int rc = 0;

	if (!dev->ops->irq_mask ||
	    (set->index != R3_IRQ_INTX && !(dev->info.caps & R3_CAP_IRQ_MASK)))
		return r3_error_set(ENOTSUP, "%s: its %s interrupts cannot be masked",
				    dev->info.name, r3_irq_type_name(set->index));
	for (uint32_t i = 0; i < set->count && !rc; i++)
		if (chosen(bools, i))
			rc = r3_device_answer(
				dev, dev->ops->irq_mask(dev, set->index, set->start + i, on));
	return rc;
}

/* The vectors of INTx, MSI and MSI-X. */
static int set_vectors(struct r3_serve *serve, const struct vfio_irq_set *set,
		       const unsigned char *bools, int *fds, unsigned nfds)
{
	struct r3_serve_irqs *irqs = &serve->irqs;
	struct r3_device *dev = serve->dev;
	bool trigger = set->flags & VFIO_IRQ_SET_ACTION_TRIGGER;
	bool eventfds = set->flags & VFIO_IRQ_SET_DATA_EVENTFD;

	if (!dev->ops->irq_alloc || !dev->ops->irq_bind ||
	    set->start + set->count > dev->info.nirqs[set->index])
		return r3_error_set(EINVAL, "%s: there are no %s vectors %u..%u", dev->info.name,
				    r3_irq_type_name(set->index), set->start,
				    set->start + set->count - !!set->count);
	if (!set->count)
		return irqs->n && irqs->type == set->index ? r3_serve_vectors_off(serve) : 0;
	if (irqs->n && irqs->type != set->index)
		return r3_error_set(EINVAL, "%s: %s while %s is on: turn that off first",
				    dev->info.name, r3_irq_type_name(set->index),
				    r3_irq_type_name(irqs->type));
	if (eventfds && trigger)
		return bind_vectors(serve, set, fds, nfds);
	if (eventfds)
		return r3_error_set(ENOTSUP, "%s: nobody masks its interrupts by an eventfd",
				    dev->info.name);
	if (set->start + set->count > irqs->n)
		return r3_error_set(EINVAL, "%s: %s vector %u is not on", dev->info.name,
				    r3_irq_type_name(set->index), set->start + set->count - 1);
	if (!trigger)
		return mask(serve, set, bools);
	for (uint32_t i = 0; i < set->count; i++)
		if (chosen(bools, i))
			r3_eventfd_signal(irqs->fd[set->start + i]);
	return 0;
}

/* ERR and REQ, which are the server's own to signal. */
static int set_notice(struct r3_serve *serve, const struct vfio_irq_set *set,
		      const unsigned char *bools, int *fds, unsigned nfds)
{
	int *fd = set->index == VFIO_PCI_ERR_IRQ_INDEX ? &serve->irqs.err : &serve->irqs.req;
	int rc;

	if (set->start + set->count > 1)
		return r3_error_set(EINVAL, "%s: interrupt index %u has one vector",
				    serve->dev->info.name, set->index);
	if (!(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER))
		return r3_error_set(ENOTSUP, "%s: interrupt index %u cannot be masked",
				    serve->dev->info.name, set->index);
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD || !set->count) {
		rc = check_eventfds(serve, fds, nfds);
		if (!rc)
			rc = r3_serve_fd_quota(serve, nfds);
		if (rc)
			return rc;
		drop(serve, fd);
		if (nfds) {
			*fd = fds[0];
			fds[0] = -1;
			serve->fds++;
		}
	} else if (chosen(bools, 0)) {
		r3_eventfd_signal(*fd);
	}
	return 0;
}

int r3_serve_set_irqs(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
		      struct r3_serve_reply *reply)
{
	const unsigned char *bools;
	struct vfio_irq_set set;
	int rc = r3_vfio_user_get_set_irqs(msg, &set, &bools);

	if (rc)
		return rc;
	if (set.index <= VFIO_PCI_MSIX_IRQ_INDEX)
		return set_vectors(serve, &set, bools, fds, msg->nfds);
	if (set.index <= VFIO_PCI_REQ_IRQ_INDEX)
		return set_notice(serve, &set, bools, fds, msg->nfds);
	return r3_error_set(EINVAL, "%s: there are no interrupts of index %u",
			    serve->dev->info.name, set.index);
}
