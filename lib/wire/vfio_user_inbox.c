/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages out of a stream: see vfio_user_inbox.h. */
#include "wire/vfio_user_inbox.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

void r3_vfio_user_inbox_init(struct r3_vfio_user_inbox *inbox, void *buf, uint32_t size)
{
	*inbox = (struct r3_vfio_user_inbox){.buf = buf, .size = size};
}

bool r3_vfio_user_inbox_partial(const struct r3_vfio_user_inbox *inbox)
{
	return inbox->begin < inbox->end;
}

void r3_vfio_user_inbox_empty(struct r3_vfio_user_inbox *inbox)
{
	r3_stream_close_fds(inbox->fds, inbox->came[0].n + inbox->came[1].n);
	inbox->came[0].n = inbox->came[1].n = 0;
	inbox->begin = inbox->end = 0;
}

/* Bytes of the message begun go to the front, where it has room to become whole. */
static void compact(struct r3_vfio_user_inbox *inbox)
{
	if (!inbox->begin)
		return;
	memmove(inbox->buf, inbox->buf + inbox->begin, inbox->end - inbox->begin);
	for (unsigned i = 0; i < 2; i++)
		inbox->came[i].at -= inbox->came[i].n ? inbox->begin : 0;
	inbox->end -= inbox->begin;
	inbox->begin = 0;
}

static int too_many(unsigned n)
{
	return r3_error_set(EPROTO, "%u descriptors with one message: at most %u are possible", n,
			    R3_VFIO_USER_FDS);
}

int r3_vfio_user_inbox_fill(struct r3_vfio_user_inbox *inbox, struct r3_stream *stream)
{
	unsigned had, n;
	ssize_t got;

	compact(inbox);
	/* Nothing is left but the message begun, so all there are belong to it. */
	had = inbox->came[0].n + inbox->came[1].n;
	if (had > R3_VFIO_USER_FDS)
		return too_many(had);
	inbox->came[0].at = 0;
	inbox->came[0].n = had;
	inbox->came[1].n = 0;
	n = R3_VFIO_USER_FDS;
	got = r3_stream_recv(stream, inbox->buf + inbox->end, inbox->size - inbox->end,
			     inbox->fds + had, &n);
	if (got == -EMFILE)
		return r3_error_set(EMFILE,
				    "more than %u descriptors at once, or more than this "
				    "process may have",
				    R3_VFIO_USER_FDS);
	if (got < 0 && got != -EAGAIN)
		return r3_error_set((int)-got, "cannot receive: %s", strerror((int)-got));
	if (got <= 0)
		return (int)got;
	inbox->end += (uint32_t)got;
	inbox->came[1].at = inbox->end - 1;
	inbox->came[1].n = n;
	return (int)got;
}

/* Hands the descriptors of a message that ends at @end over. */
static int take_fds(struct r3_vfio_user_inbox *inbox, uint32_t end, int *fds, unsigned *n)
{
	unsigned total = inbox->came[0].n + inbox->came[1].n, count = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (!inbox->came[i].n)
			continue;
		if (inbox->came[i].at >= end)
			break;
		count += inbox->came[i].n;
		inbox->came[i].n = 0;
	}
	if (count > R3_VFIO_USER_FDS) {
		r3_stream_close_fds(inbox->fds, count);
	} else {
		memcpy(fds, inbox->fds, count * sizeof(*fds));
		*n = count;
	}
	memmove(inbox->fds, inbox->fds + count, (total - count) * sizeof(*fds));
	return count > R3_VFIO_USER_FDS ? too_many(count) : 0;
}

int r3_vfio_user_inbox_next(struct r3_vfio_user_inbox *inbox, struct r3_vfio_user_msg *msg,
			    int fds[R3_VFIO_USER_FDS])
{
	uint32_t there = inbox->end - inbox->begin;
	int rc;

	if (there < sizeof(msg->header))
		return 0;
	memcpy(&msg->header, inbox->buf + inbox->begin, sizeof(msg->header));
	rc = r3_vfio_user_check_header(&msg->header, inbox->size);
	if (rc)
		return rc;
	if (there < msg->header.msg_size)
		return 0;
	msg->payload = inbox->buf + inbox->begin + sizeof(msg->header);
	msg->len = msg->header.msg_size - (uint32_t)sizeof(msg->header);
	rc = take_fds(inbox, inbox->begin + msg->header.msg_size, fds, &msg->nfds);
	if (rc)
		return rc;
	inbox->begin += msg->header.msg_size;
	if (inbox->begin == inbox->end)
		inbox->begin = inbox->end = 0;
	return 1;
}
