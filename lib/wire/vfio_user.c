/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers of vfio-user messages, and who sends which: see vfio_user.h. */
#include "wire/vfio_user.h"

#include <ring3/error.h>

#include <errno.h>

enum side { NOBODY, CLIENT, SERVER };

/* "Commands": their names, and who receives them as requests. */
static const struct {
	const char *name;
	enum side receiver;
} commands[VFIO_USER_COMMANDS] = {
	[VFIO_USER_VERSION] = {"VFIO_USER_VERSION", SERVER},
	[VFIO_USER_DMA_MAP] = {"VFIO_USER_DMA_MAP", SERVER},
	[VFIO_USER_DMA_UNMAP] = {"VFIO_USER_DMA_UNMAP", SERVER},
	[VFIO_USER_DEVICE_GET_INFO] = {"VFIO_USER_DEVICE_GET_INFO", SERVER},
	[VFIO_USER_DEVICE_GET_REGION_INFO] = {"VFIO_USER_DEVICE_GET_REGION_INFO", SERVER},
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = {"VFIO_USER_DEVICE_GET_REGION_IO_FDS", SERVER},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = {"VFIO_USER_DEVICE_GET_IRQ_INFO", SERVER},
	[VFIO_USER_DEVICE_SET_IRQS] = {"VFIO_USER_DEVICE_SET_IRQS", SERVER},
	[VFIO_USER_REGION_READ] = {"VFIO_USER_REGION_READ", SERVER},
	[VFIO_USER_REGION_WRITE] = {"VFIO_USER_REGION_WRITE", SERVER},
	[VFIO_USER_DMA_READ] = {"VFIO_USER_DMA_READ", CLIENT},
	[VFIO_USER_DMA_WRITE] = {"VFIO_USER_DMA_WRITE", CLIENT},
	[VFIO_USER_DEVICE_RESET] = {"VFIO_USER_DEVICE_RESET", SERVER},
	[VFIO_USER_DIRTY_PAGES] = {"VFIO_USER_DIRTY_PAGES", SERVER},
	[VFIO_USER_REGION_WRITE_MULTI] = {"VFIO_USER_REGION_WRITE_MULTI", SERVER},
	[VFIO_USER_DEVICE_FEATURE] = {"VFIO_USER_DEVICE_FEATURE", SERVER},
	[VFIO_USER_MIG_DATA_READ] = {"VFIO_USER_MIG_DATA_READ", SERVER},
	[VFIO_USER_MIG_DATA_WRITE] = {"VFIO_USER_MIG_DATA_WRITE", SERVER},
};

#define LARGEST_ERRNO 4095 /* the kernel's MAX_ERRNO */

const char *r3_vfio_user_name(unsigned cmd)
{
	const char *name = cmd < VFIO_USER_COMMANDS ? commands[cmd].name : NULL;

	return name ? name : "unknown command";
}

bool r3_vfio_user_for_server(unsigned cmd)
{
	return cmd < VFIO_USER_COMMANDS && commands[cmd].receiver == SERVER;
}

bool r3_vfio_user_for_client(unsigned cmd)
{
	return cmd < VFIO_USER_COMMANDS && commands[cmd].receiver == CLIENT;
}

void r3_vfio_user_request(struct vfio_user_header *out, uint16_t id, unsigned cmd, size_t payload)
{
	*out = (struct vfio_user_header){.msg_id = id,
					 .cmd = (uint16_t)cmd,
					 .msg_size = (uint32_t)(sizeof(*out) + payload),
					 .flags = VFIO_USER_F_TYPE_COMMAND};
}

void r3_vfio_user_reply(struct vfio_user_header *out, const struct vfio_user_header *request,
			size_t payload)
{
	r3_vfio_user_request(out, request->msg_id, request->cmd, payload);
	out->flags = VFIO_USER_F_TYPE_REPLY;
}

void r3_vfio_user_error(struct vfio_user_header *out, const struct vfio_user_header *request,
			int err)
{
	r3_vfio_user_reply(out, request, 0);
	out->flags |= VFIO_USER_F_ERROR;
	out->error_no = (uint32_t)err;
}

int r3_vfio_user_check_header(const struct vfio_user_header *header, size_t max)
{
	uint32_t type = header->flags & VFIO_USER_F_TYPE_MASK;

	if (header->msg_size < sizeof(*header) || header->msg_size > max)
		return r3_error_set(EPROTO,
				    "a message %u of %u bytes: between %zu and %zu are possible",
				    header->cmd, header->msg_size, sizeof(*header), max);
	if (type != VFIO_USER_F_TYPE_COMMAND && type != VFIO_USER_F_TYPE_REPLY)
		return r3_error_set(EPROTO,
				    "a message %u that is neither command nor reply (flags 0x%x)",
				    header->cmd, header->flags);
	return 0;
}

int r3_vfio_user_check_reply(const struct r3_vfio_user_msg *msg,
			     const struct vfio_user_header *request, int *err)
{
	const struct vfio_user_header *header = &msg->header;

	if (!r3_vfio_user_is_reply(header) || header->msg_id != request->msg_id ||
	    header->cmd != request->cmd)
		return r3_error_set(EPROTO, "message %u of %s is no reply to message %u of %s",
				    header->msg_id, r3_vfio_user_name(header->cmd), request->msg_id,
				    r3_vfio_user_name(request->cmd));
	if (!(header->flags & VFIO_USER_F_ERROR))
		return 0;
	/* 0 is allowed ("Header"), and anything is possible */
	*err = header->error_no > 0 && header->error_no <= LARGEST_ERRNO ? (int)header->error_no
									 : EIO;
	return -EREMOTEIO;
}
