/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: the caller's eventfds go to the server, which signals them without us. An INTx
 * that masks itself is unmasked by a message that nobody waits for, since each acknowledge of
 * one sends it.
 */
#include "backend/vfio_user/vfio_user.h"

#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/log.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct set_message {
	struct vfio_user_header header;
	struct vfio_irq_set set;
};

/* The most vectors of each type that there are (PCI 3.0, 6.8.1.3 and 6.8.2.3). */
static const unsigned most[] = {1, 32, 2048};

static void prepare(struct set_message *message, struct r3_vfio_user_call *call, unsigned index,
		    uint32_t flags, unsigned start, unsigned n)
{
	message->set = (struct vfio_irq_set){
		.argsz = sizeof(message->set),
		.flags = flags,
		.index = index,
		.start = start,
		.count = n,
	};
	r3_vfio_user_call_init(call, VFIO_USER_DEVICE_SET_IRQS, message, sizeof(*message), NULL, 0);
}

static int set(struct r3_vfio_user *v, unsigned index, uint32_t flags, unsigned start, unsigned n,
	       const int *fds, unsigned nfds)
{
	struct set_message message;
	struct r3_vfio_user_call call;
	int rc;

	prepare(&message, &call, index, flags, start, n);
	call.send_fds = fds;
	call.nsend_fds = nfds;
	rc = r3_vfio_user_call(v, &call);
	return rc < 0 ? rc : r3_vfio_user_checked(v, r3_vfio_user_got_nothing(&call.msg));
}

/* ---- what there is ---- */

/* Descriptors that one message to the server may carry. */
static unsigned fds_at_once(const struct r3_vfio_user *v)
{
	return v->server.max_msg_fds < R3_VFIO_USER_FDS ? v->server.max_msg_fds : R3_VFIO_USER_FDS;
}

static unsigned vectors(const struct r3_vfio_user *v, unsigned type)
{
	const struct vfio_irq_info *irq = &v->irq[type];
	unsigned n = irq->count < most[type] ? irq->count : most[type];

	/* nobody would signal them */
	if (!(irq->flags & VFIO_IRQ_INFO_EVENTFD))
		return 0;
	/* A set that cannot grow must go into one message. Ours is told its size first. */
	if (irq->flags & VFIO_IRQ_INFO_NORESIZE && !v->server.ring3 && n > fds_at_once(v))
		n = fds_at_once(v);
	return n;
}

/* An eventfd for what concerns the whole device, where the server knows such things. */
static void listen(struct r3_vfio_user *v, unsigned index, int fd)
{
	const uint32_t flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;

	if (v->irq[index].count && v->irq[index].flags & VFIO_IRQ_INFO_EVENTFD &&
	    set(v, index, flags, 0, 1, &fd, 1) < 0)
		r3_log(R3_LOG_INFO, "%s: will not say when it %s", v->name,
		       index == VFIO_PCI_ERR_IRQ_INDEX ? "breaks" : "is wanted back");
}

int r3_vfio_user_find_irqs(struct r3_vfio_user *v, unsigned n)
{
	struct {
		struct vfio_user_header header;
		struct vfio_irq_info info;
	} message[R3_VFIO_USER_IRQ_KINDS];
	struct vfio_irq_info reply[R3_VFIO_USER_IRQ_KINDS];
	struct r3_vfio_user_call calls[R3_VFIO_USER_IRQ_KINDS];
	struct r3_device_info *info = &v->dev.info;
	int rc;

	if (n > R3_VFIO_USER_IRQ_KINDS)
		n = R3_VFIO_USER_IRQ_KINDS;
	for (unsigned i = 0; i < n; i++) {
		message[i].info = (struct vfio_irq_info){.argsz = sizeof(reply[i]), .index = i};
		r3_vfio_user_call_init(&calls[i], VFIO_USER_DEVICE_GET_IRQ_INFO, &message[i],
				       sizeof(message[i]), &reply[i], sizeof(reply[i]));
	}
	rc = n ? r3_vfio_user_link_call(&v->link, calls, n) : 0;
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < n; i++) {
		rc = r3_vfio_user_link_answer(&v->link, &calls[i]);
		if (rc == -EINVAL)
			continue; /* it knows no such interrupt */
		if (rc == 0)
			rc = r3_vfio_user_checked(v, r3_vfio_user_got_irq_info(&calls[i].msg,
									       &message[i].info,
									       &v->irq[i]));
		if (rc < 0)
			return rc;
	}
	for (unsigned type = 0; type < 3; type++)
		info->nirqs[type] = vectors(v, type);

	const struct vfio_irq_info *masked =
		&v->irq[v->irq[R3_IRQ_MSIX].count ? R3_IRQ_MSIX : R3_IRQ_MSI];
	if (masked->count && masked->flags & VFIO_IRQ_INFO_MASKABLE)
		info->caps |= R3_CAP_IRQ_MASK;
	listen(v, VFIO_PCI_ERR_IRQ_INDEX, v->err_fd);
	listen(v, VFIO_PCI_REQ_IRQ_INDEX, v->req_fd);
	return 0;
}

/* ---- the operations ---- */

static int turn_off(struct r3_vfio_user *v, unsigned type)
{
	return set(v, type, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL, 0);
}

int r3_vfio_user_forget_irqs(struct r3_vfio_user *v)
{
	unsigned type = v->irq_type;

	v->irq_type = R3_IRQ_BEST;
	v->nirqs = 0;
	return type == R3_IRQ_BEST ? 0 : turn_off(v, type);
}

/* Signal @n vectors by none, or by as many descriptors, in as many messages as that takes. */
static int bind(struct r3_vfio_user *v, unsigned type, unsigned first, unsigned n, const int *fds)
{
	const uint32_t flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	unsigned room = fds ? fds_at_once(v) : n;
	int rc = 0;

	for (unsigned done = 0; done < n && rc == 0; done += room) {
		unsigned now = n - done < room ? n - done : room;

		rc = set(v, type, flags, first + done, now, fds ? fds + done : NULL, fds ? now : 0);
	}
	return rc;
}

int r3_vfio_user_irq_alloc(struct r3_device *dev, unsigned type, unsigned n)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	int rc = 0;

	if (n == 0 && type != v->irq_type)
		return 0;
	if (r3_device_gone(dev)) {
		v->irq_type = R3_IRQ_BEST;
		return 0;
	}
	rc = r3_vfio_user_forget_irqs(v);
	/* Vectors without a descriptor: of a set that cannot grow, this is its size. Strangers
	 * make the set of the first descriptors that they get. */
	if (rc == 0 && n && v->server.ring3)
		rc = bind(v, type, 0, n, NULL);
	if (rc < 0)
		return r3_error_prefix(rc, "%s", dev->info.name);
	if (n) {
		v->irq_type = type;
		v->nirqs = n;
	}
	return 0;
}

int r3_vfio_user_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
			  const int *fds)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	int rc = 0;

	if (type != v->irq_type || first > v->nirqs || n > v->nirqs - first)
		return r3_error_set(EINVAL, "%s: no such vectors are enabled", dev->info.name);
	/* those with a descriptor and those without one take turns */
	for (unsigned i = 0, run; i < n && rc == 0; i += run) {
		for (run = 1; i + run < n && (fds[i + run] < 0) == (fds[i] < 0);)
			run++;
		rc = bind(v, type, first + i, run, fds[i] < 0 ? NULL : fds + i);
	}
	return rc < 0 ? r3_error_prefix(rc, "%s", dev->info.name) : 0;
}

int r3_vfio_user_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask)
{
	const uint32_t action = mask ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK;
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	struct r3_vfio_user_call call;
	struct set_message message;
	int rc;

	if (type != v->irq_type || vector >= v->nirqs)
		return r3_error_set(EINVAL, "%s: no such vector is enabled", dev->info.name);
	if (!(v->irq[type].flags & (VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED)))
		/* one that does not mask itself needs no unmasking */
		return mask || type != R3_IRQ_INTX
			       ? r3_error_set(EOPNOTSUPP, "%s: its server cannot mask %s",
					      dev->info.name, r3_irq_type_name(type))
			       : 0;
	if (type == R3_IRQ_INTX && !mask) {
		prepare(&message, &call, type, VFIO_IRQ_SET_DATA_NONE | action, vector, 1);
		return r3_vfio_user_link_post(&v->link, &call, 1);
	}
	rc = set(v, type, VFIO_IRQ_SET_DATA_NONE | action, vector, 1, NULL, 0);
	return rc < 0 ? r3_error_prefix(rc, "%s", dev->info.name) : 0;
}
