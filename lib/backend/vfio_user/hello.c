/* SPDX-License-Identifier: BSD-2-Clause */
/* What both sides can do (VFIO_USER_VERSION): the first words of a connection. */
#include "backend/vfio_user/vfio_user.h"
#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <unistd.h>

struct hello {
	struct vfio_user_header header;
	struct vfio_user_version version;
	char text[R3_VFIO_USER_CAPS_MAX];
};

static size_t prepare(struct hello *hello)
{
	struct r3_vfio_user_caps caps;

	r3_vfio_user_caps_default(&caps);
	caps.max_msg_fds = R3_VFIO_USER_FDS;
	caps.max_data_xfer_size = R3_VFIO_USER_LINK_XFER;
	caps.pgsizes = (uint64_t)sysconf(_SC_PAGESIZE);
	caps.twin_socket = true;
	caps.write_multiple = true;
	caps.ring3 = true;
	hello->version =
		(struct vfio_user_version){.major = VFIO_USER_MAJOR, .minor = VFIO_USER_MINOR};
	return offsetof(struct hello, text) + r3_vfio_user_caps_encode(&caps, hello->text);
}

static int read_reply(struct r3_vfio_user *v, const struct r3_vfio_user_msg *msg)
{
	struct vfio_user_version version;
	const char *text;
	size_t len;
	int rc = r3_vfio_user_get_version(msg, &version, &text, &len);

	if (rc < 0)
		return -EPROTO; /* not our argument that is invalid */
	if (version.major != VFIO_USER_MAJOR || version.minor > VFIO_USER_MINOR)
		return r3_error_set(EPROTO, "it speaks version %u.%u of vfio-user, not %u.%u",
				    version.major, version.minor, VFIO_USER_MAJOR, VFIO_USER_MINOR);
	rc = r3_vfio_user_caps_decode(text, len, &v->server);
	if (rc < 0)
		return rc == -EINVAL ? -EPROTO : rc;
	if (v->server.twin_socket && (unsigned)v->server.twin_fd >= msg->nfds)
		return r3_error_set(EPROTO, "it has a twin socket, and does not send it");
	return 0;
}

static int add_twin(struct r3_vfio_user *v, int *fd)
{
	struct r3_stream *twin;
	int rc = r3_stream_open(*fd, &twin);

	if (rc < 0)
		return rc;
	*fd = -1;
	return r3_vfio_user_link_add_twin(&v->link, twin);
}

int r3_vfio_user_hello(struct r3_vfio_user *v)
{
	unsigned char reply[sizeof(struct vfio_user_version) + R3_VFIO_USER_CAPS_MAX];
	struct r3_vfio_user_call call;
	struct hello hello;
	int rc;

	r3_vfio_user_call_init(&call, VFIO_USER_VERSION, &hello, prepare(&hello), reply,
			       sizeof(reply));
	call.takes_fds = true;
	rc = r3_vfio_user_call(v, &call);
	if (rc == -EBUSY)
		return r3_error_set(EBUSY, "its server serves another client: end that one first");
	if (rc < 0)
		return rc;
	rc = read_reply(v, &call.msg);
	if (rc == 0 && v->server.twin_socket)
		rc = add_twin(v, &call.fds[v->server.twin_fd]);
	for (unsigned i = 0; i < call.msg.nfds; i++)
		r3_fd_close(&call.fds[i]);
	/* what is invalid is the server's, not our caller's */
	return rc == -EINVAL ? -EPROTO : rc;
}
