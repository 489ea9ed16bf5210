/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes that are eventfds (VFIO_USER_DEVICE_GET_REGION_IO_FDS): the server wakes by the
 * descriptor instead of a message, which is what doorbells are for. Like a mapped register, it
 * is not ordered with messages.
 */
#include "backend/vfio_user/vfio_user.h"
#include "util/eventfd.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Found once for a region and not changed: any thread may look. */
struct r3_vfio_user_kicks {
	unsigned n, nfds;
	int fd[R3_VFIO_USER_FDS];
	struct kick {
		uint64_t off, datamatch;
		unsigned width; /* 0: any */
		bool match;
		int fd;
	} kick[];
};

/* And one that does not wait where it is full. */
static bool is_eventfd(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return r3_is_eventfd(fd) && flags >= 0 &&
	       (flags & O_NONBLOCK || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

static bool usable(const struct vfio_user_sub_region *sub, uint64_t size)
{
	const uint32_t known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO;

	return sub->type == VFIO_USER_IO_FD_TYPE_IOEVENTFD && !(sub->flags & ~known) &&
	       sub->size <= 8 && sub->offset < size;
}

static int take(struct r3_vfio_user *v, unsigned index, uint64_t size,
		const struct r3_vfio_user_call *call, const struct vfio_user_region_io_fds *said)
{
	struct r3_vfio_user_kicks *kicks =
		calloc(1, sizeof(*kicks) + said->count * sizeof(kicks->kick[0]));
	bool good[R3_VFIO_USER_FDS];

	if (!kicks)
		return r3_error_set(ENOMEM, "%s: out of memory", v->name);
	for (unsigned i = 0; i < call->msg.nfds; i++)
		good[i] = is_eventfd(call->fds[i]);
	for (uint32_t i = 0; i < said->count; i++) {
		struct vfio_user_sub_region sub;
		int rc = r3_vfio_user_got_sub_region(&call->msg, said, i, &sub);

		if (rc < 0) {
			free(kicks);
			return r3_vfio_user_checked(v, rc);
		}
		if (!usable(&sub, size) || !good[sub.fd_index])
			continue;
		kicks->kick[kicks->n++] = (struct kick){
			.off = sub.offset,
			.datamatch = sub.datamatch,
			.width = (unsigned)sub.size,
			.match = sub.flags & KVM_IOEVENTFD_FLAG_DATAMATCH,
			.fd = call->fds[sub.fd_index],
		};
	}
	if (kicks->n < said->count)
		r3_log(R3_LOG_INFO, "%s: %u of the %u descriptors for region %u are of no use",
		       v->name, said->count - kicks->n, said->count, index);
	memcpy(kicks->fd, call->fds, sizeof(kicks->fd));
	kicks->nfds = call->msg.nfds;
	atomic_store(&v->kicks[index], kicks);
	return 0;
}

int r3_vfio_user_find_kicks(struct r3_vfio_user *v, unsigned index, uint64_t size)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_region_io_fds fds;
	} message = {.fds = {.argsz = R3_VFIO_USER_ARGSZ_MAX, .index = index}};
	unsigned char reply[R3_VFIO_USER_ARGSZ_MAX];
	struct vfio_user_region_io_fds said;
	struct r3_vfio_user_call call;
	int rc;

	if (v->kicks_asked & 1u << index)
		return 0;
	v->kicks_asked |= 1u << index;
	r3_vfio_user_call_init(&call, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &message, sizeof(message),
			       reply, sizeof(reply));
	call.takes_fds = true;
	rc = r3_vfio_user_call(v, &call);
	if (rc < 0) /* many servers have none of this */
		return rc == -ENODEV ? rc : 0;
	rc = r3_vfio_user_checked(v,
				  r3_vfio_user_got_region_io_fds(&call.msg, &message.fds, &said));
	if (rc == 0 && said.argsz <= sizeof(reply) && said.count)
		rc = take(v, index, size, &call, &said);
	if (!atomic_load(&v->kicks[index]))
		r3_stream_close_fds(call.fds, call.msg.nfds);
	return rc;
}

bool r3_vfio_user_kick(struct r3_vfio_user *v, unsigned index, uint64_t off, unsigned width,
		       uint64_t value)
{
	const struct r3_vfio_user_kicks *kicks = atomic_load(&v->kicks[index]);

	for (unsigned i = 0; kicks && i < kicks->n; i++) {
		const struct kick *kick = &kicks->kick[i];

		if (kick->off != off || (kick->width && kick->width != width) ||
		    (kick->match && kick->datamatch != value))
			continue;
		r3_eventfd_signal(kick->fd);
		return true;
	}
	return false;
}

void r3_vfio_user_free_kicks(struct r3_vfio_user *v)
{
	for (unsigned i = 0; i < R3_REGION_MAX; i++) {
		struct r3_vfio_user_kicks *kicks = atomic_load(&v->kicks[i]);

		if (kicks)
			r3_stream_close_fds(kicks->fd, kicks->nfds);
		free(kicks);
	}
}
