/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing regions: an access of the device is a message, because whoever serves
 * cannot tell two registers from one of twice the width. Those of one call go together, and
 * posted writes want no reply: the socket's room is what bounds them.
 */
#include "backend/vfio_user/vfio_user.h"
#include "util/item.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

/* Writes of one VFIO_USER_REGION_WRITE_MULTI, and how much a server has to take for that. */
#define MULTI_MAX  64
#define MULTI_XFER 4096

struct access_message {
	struct vfio_user_header header;
	struct vfio_user_region_access access;
	unsigned char data[8]; /* little-endian, as a region's bytes are */
};

#define READ_LEN offsetof(struct access_message, data)

static void prepare(struct access_message *message, unsigned index, uint64_t off, unsigned width)
{
	message->access = (struct vfio_user_region_access){off, index, width};
}

/* Read up to R3_VFIO_USER_LINK_BATCH items. */
static int read_items(struct r3_vfio_user *v, unsigned index, uint64_t off, unsigned char *to,
		      unsigned width, unsigned n)
{
	struct r3_vfio_user_call calls[R3_VFIO_USER_LINK_BATCH];
	struct access_message message[R3_VFIO_USER_LINK_BATCH], reply[R3_VFIO_USER_LINK_BATCH];
	const unsigned char *data;
	int rc;

	for (unsigned i = 0; i < n; i++) {
		prepare(&message[i], index, off + i * width, width);
		r3_vfio_user_call_init(&calls[i], VFIO_USER_REGION_READ, &message[i], READ_LEN,
				       &reply[i].access,
				       sizeof(reply[i].access) + sizeof(reply[i].data));
	}
	rc = r3_vfio_user_calls(v, calls, n);
	for (unsigned i = 0; i < n && rc == 0; i++, to += width) {
		rc = r3_vfio_user_checked(
			v, r3_vfio_user_got_region_read(&calls[i].msg, &message[i].access, &data));
		if (rc == 0)
			r3_item_put(to, width, r3_item_get_le(data, width));
	}
	return rc;
}

/* Write as many, with or without a reply. */
static int write_items(struct r3_vfio_user *v, unsigned index, uint64_t off,
		       const unsigned char *from, unsigned width, unsigned n, bool posted)
{
	struct r3_vfio_user_call calls[R3_VFIO_USER_LINK_BATCH];
	struct access_message message[R3_VFIO_USER_LINK_BATCH];
	struct vfio_user_region_access reply[R3_VFIO_USER_LINK_BATCH];
	int rc;

	for (unsigned i = 0; i < n; i++, from += width) {
		prepare(&message[i], index, off + i * width, width);
		r3_item_put_le(message[i].data, width, r3_item_get(from, width));
		r3_vfio_user_call_init(&calls[i], VFIO_USER_REGION_WRITE, &message[i],
				       READ_LEN + width, &reply[i], sizeof(reply[i]));
	}
	if (posted)
		return r3_vfio_user_link_post(&v->link, calls, n);
	rc = r3_vfio_user_calls(v, calls, n);
	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = r3_vfio_user_checked(
			v, r3_vfio_user_got_region_write(&calls[i].msg, &message[i].access));
	return rc;
}

/* Up to MULTI_MAX in one message. */
static int write_multiple(struct r3_vfio_user *v, unsigned index, uint64_t off,
			  const unsigned char *from, unsigned width, unsigned n, bool posted)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_write_multi multi;
		struct vfio_user_write_single write[MULTI_MAX];
	} message;
	struct vfio_user_write_multi reply;
	struct r3_vfio_user_call call;
	int rc;

	message.multi.wr_cnt = n;
	for (unsigned i = 0; i < n; i++, from += width) {
		message.write[i] = (struct vfio_user_write_single){
			.offset = off + i * width, .region = index, .count = width};
		r3_item_put_le(message.write[i].data, width, r3_item_get(from, width));
	}
	r3_vfio_user_call_init(&call, VFIO_USER_REGION_WRITE_MULTI, &message,
			       offsetof(typeof(message), write) + n * sizeof(message.write[0]),
			       &reply, sizeof(reply));
	if (posted)
		return r3_vfio_user_link_post(&v->link, &call, 1);
	rc = r3_vfio_user_call(v, &call);
	return rc < 0 ? rc : r3_vfio_user_checked(v, r3_vfio_user_got_write_multi(&call.msg, n));
}

int r3_vfio_user_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		    uint32_t count, unsigned flags)
{
	struct r3_vfio_user *v = r3_vfio_user_of(dev);
	bool write = flags & R3_RW_WRITE, posted = flags & R3_RW_POSTED;
	unsigned char *at = data;
	int rc = 0;

	if (write && count == 1 && r3_vfio_user_kick(v, index, off, width, r3_item_get(at, width)))
		return 0;
	while (count && rc == 0) {
		bool multi = write && count > 1 && v->server.write_multiple &&
			     v->server.max_data_xfer_size >= MULTI_XFER;
		unsigned n = multi ? MULTI_MAX : R3_VFIO_USER_LINK_BATCH;

		if (n > count)
			n = count;
		if (multi)
			rc = write_multiple(v, index, off, at, width, n, posted);
		else if (write)
			rc = write_items(v, index, off, at, width, n, posted);
		else
			rc = read_items(v, index, off, at, width, n);
		off += (uint64_t)n * width;
		at += (size_t)n * width;
		count -= n;
	}
	return rc;
}
