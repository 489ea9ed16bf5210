/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens to the device by itself. The server signals an eventfd when something is wrong
 * with it, and another one when somebody wants it back; its own end is that of the socket. All
 * of them are in one descriptor, so whoever sleeps on it hears of each at once.
 */
#include "backend/vfio_user/vfio_user.h"

#include <ring3/error.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static const uint32_t types[] = {R3_EVENT_REMOVE_REQUEST, R3_EVENT_ERROR, R3_EVENT_REMOVED,
				 R3_EVENT_SERVER_LOST};

void r3_vfio_user_raise(struct r3_vfio_user *v, unsigned news)
{
	unsigned end = news & (R3_VFIO_USER_REMOVED | R3_VFIO_USER_LOST);

	/* an end is told once: nothing can come after it */
	if (end && atomic_exchange(&v->ended, true))
		news &= ~end;
	else if (end)
		r3_device_set_gone(&v->dev);
	if (news & ~atomic_fetch_or(&v->news, news))
		eventfd_write(v->wake, 1);
}

static int watch(struct r3_vfio_user *v, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	/* a stream of a test's may have none */
	if (fd >= 0 && epoll_ctl(v->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return r3_error_set(errno, "%s: cannot watch it: %s", v->name, strerror(errno));
	return 0;
}

int r3_vfio_user_watch(struct r3_vfio_user *v)
{
	int rc = watch(v, v->wake);

	if (rc == 0)
		rc = watch(v, v->err_fd);
	if (rc == 0)
		rc = watch(v, v->req_fd);
	if (rc == 0)
		rc = watch(v, r3_stream_fd(v->link.main.stream));
	if (rc == 0 && v->link.twin.stream)
		rc = watch(v, r3_stream_fd(v->link.twin.stream));
	return rc;
}

static void unwatch(struct r3_vfio_user *v, const struct r3_vfio_user_side *side)
{
	int fd = side->stream ? r3_stream_fd(side->stream) : -1;

	if (fd >= 0)
		epoll_ctl(v->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* A socket whose other end is closed polls readable for ever: there is nothing more to hear. */
void r3_vfio_user_gone(void *ctx)
{
	struct r3_vfio_user *v = ctx;

	unwatch(v, &v->link.main);
	unwatch(v, &v->link.twin);
	r3_vfio_user_raise(v, R3_VFIO_USER_LOST);
}

/* An error, or the worst of them: that the device is gone. A call that is answered by ENODEV
 * raises that, and a bus where nobody answers says all ones. */
static void find_out(struct r3_vfio_user *v)
{
	struct vfio_user_device_info info;
	uint16_t vendor = 0;
	int rc;

	if (v->dev.info.caps & R3_CAP_PCI)
		rc = r3_vfio_user_rw(&v->dev, R3_REGION_CONFIG, PCI_VENDOR_ID, &vendor, 2, 1, 0);
	else
		rc = r3_vfio_user_ask_info(v, &info);
	if (rc == 0 && vendor == UINT16_MAX)
		r3_vfio_user_raise(v, R3_VFIO_USER_REMOVED);
	else if (rc != -ENODEV)
		r3_vfio_user_raise(v, R3_VFIO_USER_ERROR);
}

int r3_vfio_user_fd(struct r3_device *dev)
{
	return r3_vfio_user_of(dev)->epoll;
}

static unsigned take(struct r3_vfio_user *v, struct r3_event *events, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]) && n < max; i++) {
		unsigned bit = 1u << i;

		if (!(atomic_fetch_and(&v->news, ~bit) & bit))
			continue;
		events[n++] = (struct r3_event){
			.type = types[i],
			.code = types[i] == R3_EVENT_ERROR ? EIO : 0,
		};
	}
	return n;
}

int r3_vfio_user_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	eventfd_t count;
	unsigned n;

	/* before looking, so that what is raised meanwhile wakes again */
	eventfd_read(v->wake, &count);
	/* its failure is news, and has been raised */
	if (!v->link.lost)
		r3_vfio_user_link_drain(&v->link);
	if (eventfd_read(v->req_fd, &count) == 0)
		r3_vfio_user_raise(v, R3_VFIO_USER_REMOVE_REQUEST);
	if (eventfd_read(v->err_fd, &count) == 0 && !r3_device_gone(dev))
		find_out(v);
	n = take(v, events, max);
	if (atomic_load(&v->news))
		eventfd_write(v->wake, 1);
	return (int)n;
}
