/* SPDX-License-Identifier: BSD-2-Clause */
/* QMP: see qmp.h. */
#include "backend/qemu/qmp.h"

#include <ring3/clock.h>
#include <ring3/error.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The longest line: query-qmp-schema has 200 KiB. */
#define LINE_MAX_BYTES (4u << 20)

struct r3_qmp {
	int fd;
	unsigned timeout_ms;
	r3_qmp_event_fn *fn;
	void *ctx;
	int64_t last_id;
	char *bytes;
	size_t len, room;
	bool lost;
};

static int lose(struct r3_qmp *qmp, int err, const char *why)
{
	qmp->lost = true;
	return r3_error_set(err, "QEMU's control socket %s", why);
}

/* Read once. Returns bytes, or 0 when there are none yet. */
static int fill(struct r3_qmp *qmp)
{
	ssize_t n;

	if (qmp->len == qmp->room) {
		size_t room = qmp->room ? 2 * qmp->room : 4096;
		char *bytes = room > LINE_MAX_BYTES ? NULL : realloc(qmp->bytes, room);
		if (!bytes)
			return lose(qmp, ENOMEM, "sends a line without an end");
		qmp->bytes = bytes;
		qmp->room = room;
	}
	do
		n = recv(qmp->fd, qmp->bytes + qmp->len, qmp->room - qmp->len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return lose(qmp, ENODEV, "was closed: QEMU has ended");
	qmp->len += (size_t)n;
	return (int)n;
}

/* Take a line out of what was read. Returns 1, 0 for none yet. */
static int next_object(struct r3_qmp *qmp, struct json_object **out)
{
	char *newline = qmp->len ? memchr(qmp->bytes, '\n', qmp->len) : NULL;
	size_t len;

	if (!newline)
		return 0;
	*newline = '\0';
	*out = json_tokener_parse(qmp->bytes);
	len = (size_t)(newline - qmp->bytes) + 1;
	memmove(qmp->bytes, qmp->bytes + len, qmp->len - len);
	qmp->len -= len;
	if (json_object_is_type(*out, json_type_object))
		return 1;
	json_object_put(*out);
	return lose(qmp, EPROTO, "does not speak QMP");
}

/* Hand an event on. Returns whether it was one. */
static bool take_event(struct r3_qmp *qmp, struct json_object *object)
{
	struct json_object *event, *data = NULL;

	if (!json_object_object_get_ex(object, "event", &event))
		return false;
	json_object_object_get_ex(object, "data", &data);
	if (qmp->fn && json_object_is_type(event, json_type_string))
		qmp->fn(qmp->ctx, json_object_get_string(event), data);
	return true;
}

/* The next object that is no event. */
static int wait_object(struct r3_qmp *qmp, struct json_object **out)
{
	uint64_t end = r3_clock_now(r3_clock_system()) + qmp->timeout_ms * R3_NSEC_PER_MSEC;

	for (;;) {
		int rc = next_object(qmp, out);
		if (rc > 0 && !take_event(qmp, *out))
			return 0;
		if (rc > 0) {
			json_object_put(*out);
			continue;
		}
		if (rc == 0)
			rc = fill(qmp);
		if (rc < 0)
			return rc;
		if (rc > 0)
			continue;
		uint64_t now = r3_clock_now(r3_clock_system());
		struct pollfd p = {.fd = qmp->fd, .events = POLLIN};
		if (now >= end)
			return lose(qmp, ETIMEDOUT, "does not answer");
		if (poll(&p, 1, (int)((end - now) / R3_NSEC_PER_MSEC) + 1) < 0 && errno != EINTR)
			return lose(qmp, ENODEV, strerror(errno));
	}
}

/* Send as much as there is room for, with @fd unless -1. */
static ssize_t send_part(struct r3_qmp *qmp, const char *text, size_t len, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec part = {(void *)(uintptr_t)text, len};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *c;

		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(qmp->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_object(struct r3_qmp *qmp, struct json_object *object, int fd)
{
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
	size_t len = text ? strlen(text) : 0;

	while (len > 0) {
		ssize_t n = send_part(qmp, text, len, fd);
		struct pollfd p = {.fd = qmp->fd, .events = POLLOUT};

		if (n > 0) {
			fd = -1; /* it went with the first byte */
			text += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EAGAIN) {
			if (poll(&p, 1, (int)qmp->timeout_ms) == 0)
				return lose(qmp, ETIMEDOUT, "takes nothing");
		} else if (errno != EINTR) {
			return lose(qmp, ENODEV, "was closed: QEMU has ended");
		}
	}
	return text ? 0 : r3_error_set(ENOMEM, "out of memory");
}

/* Whether @object answers command @id; an error goes into the text. */
static int answer(struct json_object *object, int64_t id, const char *command,
		  struct json_object **reply)
{
	struct json_object *field, *desc;

	if (!json_object_object_get_ex(object, "id", &field) || json_object_get_int64(field) != id)
		return -EAGAIN;
	if (json_object_object_get_ex(object, "error", &field)) {
		const char *why = json_object_object_get_ex(field, "desc", &desc)
					  ? json_object_get_string(desc)
					  : "no reason given";
		return r3_error_set(EIO, "QEMU refuses %s: %s", command, why);
	}
	if (reply)
		*reply = json_object_object_get_ex(object, "return", &field)
				 ? json_object_get(field)
				 : NULL;
	return 0;
}

int r3_qmp_execute_fd(struct r3_qmp *qmp, const char *command, struct json_object *arguments,
		      int fd, struct json_object **reply)
{
	struct json_object *request = json_object_new_object(), *object;
	int64_t id = ++qmp->last_id;
	int rc;

	if (!request) {
		json_object_put(arguments);
		return r3_error_set(ENOMEM, "out of memory");
	}
	json_object_object_add(request, "execute", json_object_new_string(command));
	if (arguments)
		json_object_object_add(request, "arguments", arguments);
	json_object_object_add(request, "id", json_object_new_int64(id));
	rc = qmp->lost ? r3_error_set(ENODEV, "QEMU is lost") : send_object(qmp, request, fd);
	json_object_put(request);

	if (rc == 0)
		rc = -EAGAIN;
	while (rc == -EAGAIN) {
		rc = wait_object(qmp, &object);
		if (rc < 0)
			break;
		/* an answer to a command that timed out is not ours */
		rc = answer(object, id, command, reply);
		json_object_put(object);
	}
	return rc;
}

int r3_qmp_execute(struct r3_qmp *qmp, const char *command, struct json_object *arguments,
		   struct json_object **reply)
{
	return r3_qmp_execute_fd(qmp, command, arguments, -1, reply);
}

int r3_qmp_drain(struct r3_qmp *qmp)
{
	struct json_object *object;
	int rc;

	if (qmp->lost)
		return r3_error_set(ENODEV, "QEMU is lost");
	do {
		while ((rc = next_object(qmp, &object)) > 0) {
			take_event(qmp, object);
			json_object_put(object);
		}
		if (rc == 0)
			rc = fill(qmp);
	} while (rc > 0);
	return rc;
}

int r3_qmp_open(int fd, unsigned timeout_ms, r3_qmp_event_fn *fn, void *ctx, struct r3_qmp **out)
{
	struct r3_qmp *qmp = calloc(1, sizeof(*qmp));
	struct json_object *greeting;
	int rc;

	if (!qmp)
		return r3_error_set(ENOMEM, "out of memory");
	*qmp = (struct r3_qmp){.fd = fd, .timeout_ms = timeout_ms, .fn = fn, .ctx = ctx};
	rc = wait_object(qmp, &greeting);
	if (rc == 0) {
		if (!json_object_object_get_ex(greeting, "QMP", NULL))
			rc = lose(qmp, EPROTO, "does not speak QMP");
		json_object_put(greeting);
	}
	if (rc == 0)
		rc = r3_qmp_execute(qmp, "qmp_capabilities", NULL, NULL);
	if (rc < 0) {
		qmp->fd = -1;
		r3_qmp_close(qmp);
		return rc;
	}
	*out = qmp;
	return 0;
}

void r3_qmp_close(struct r3_qmp *qmp)
{
	if (!qmp)
		return;
	if (qmp->fd >= 0)
		close(qmp->fd);
	free(qmp->bytes);
	free(qmp);
}

int r3_qmp_fd(const struct r3_qmp *qmp)
{
	return qmp->fd;
}

void r3_qmp_set_timeout(struct r3_qmp *qmp, unsigned timeout_ms)
{
	qmp->timeout_ms = timeout_ms;
}
