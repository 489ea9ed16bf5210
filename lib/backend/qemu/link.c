/* SPDX-License-Identifier: BSD-2-Clause */
/* The qtest socket: see link.h. */
#include "backend/qemu/link.h"

#include "bus/ops.h"
#include "util/item.h"

#include <ring3/error.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Replies that may be owed: QEMU blocks when they fill its socket buffer. */
#define OWED_MAX 128

/* Items of one access whose commands are sent together. */
#define BATCH 32

void r3_qemu_link_open(struct r3_qemu_link *link, int fd, unsigned timeout_ms)
{
	link->fd = fd;
	link->timeout_ms = timeout_ms;
	link->owed = 0;
	link->lost = false;
	link->in = (struct r3_qtest_stream){.begin = 0};
	pthread_mutex_init(&link->lock, NULL);
}

void r3_qemu_link_close(struct r3_qemu_link *link)
{
	if (link->fd < 0)
		return;
	close(link->fd);
	link->fd = -1;
	pthread_mutex_destroy(&link->lock);
}

/* The stream is out of step after any failure: nothing can be sent any more. */
static int lose(struct r3_qemu_link *link, int err, const char *why)
{
	link->lost = true;
	return r3_error_set(err, "QEMU %s", why);
}

static uint64_t now_ms(void)
{
	return r3_clock_now(r3_clock_system()) / R3_NSEC_PER_MSEC;
}

/* QEMU is another process: its time is real time, whatever clock the device has. */
static int wait_for(struct r3_qemu_link *link, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = link->fd, .events = events};
		uint64_t now = now_ms();
		int rc = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0);

		if (rc > 0)
			return 0;
		if (rc == 0)
			return lose(link, ETIMEDOUT,
				    "does not answer (stopped, or its disk hangs?)");
		if (errno != EINTR)
			return lose(link, ENODEV, strerror(errno));
	}
}

/* Read once into the stream. Returns the number of bytes, 0 when there are none yet. */
static int fill(struct r3_qemu_link *link)
{
	size_t room;
	char *to = r3_qtest_stream_room(&link->in, &room);
	ssize_t n;

	do
		n = recv(link->fd, to, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return lose(link, ENODEV, "has ended");
	r3_qtest_stream_add(&link->in, (size_t)n);
	return (int)n;
}

/* Take the next reply out of the stream. Returns 1, 0 when there is none yet. */
static int next_reply(struct r3_qemu_link *link, struct r3_qtest_line *line)
{
	int rc;

	while ((rc = r3_qtest_stream_next(&link->in, line)) > 0) {
		if (line->kind == R3_QTEST_IRQ) {
			if (link->irq)
				link->irq(link->irq_ctx, line->line, line->raised);
			continue;
		}
		if (link->owed == 0)
			return lose(link, ENODEV, "answers what was not asked");
		link->owed--;
		return 1;
	}
	return rc < 0 ? lose(link, ENODEV, "does not speak qtest") : 0;
}

static int wait_reply(struct r3_qemu_link *link, struct r3_qtest_line *line, uint64_t deadline)
{
	for (;;) {
		int rc = next_reply(link, line);
		if (rc)
			return rc < 0 ? rc : 0;
		rc = fill(link);
		if (rc == 0)
			rc = wait_for(link, POLLIN, deadline);
		if (rc < 0)
			return rc;
	}
}

/* Nobody waits for the word on a posted write: a device that misses one is of no use. */
static int check_write(struct r3_qemu_link *link, const struct r3_qtest_line *line)
{
	return line->kind == R3_QTEST_FAILED ? lose(link, ENODEV, "refuses a write") : 0;
}

/* Collect replies, which are of posted writes, until only @owed are missing. */
static int collect(struct r3_qemu_link *link, unsigned owed, uint64_t deadline)
{
	struct r3_qtest_line line;
	int rc = 0;

	while (link->owed > owed && rc == 0) {
		rc = wait_reply(link, &line, deadline);
		if (rc == 0)
			rc = check_write(link, &line);
	}
	return rc;
}

static int drain(struct r3_qemu_link *link)
{
	struct r3_qtest_line line;
	int rc;

	do {
		while ((rc = next_reply(link, &line)) > 0)
			if ((rc = check_write(link, &line)) < 0)
				return rc;
		if (rc == 0)
			rc = fill(link);
	} while (rc > 0);
	return rc;
}

static int send_all(struct r3_qemu_link *link, const char *text, size_t len, uint64_t deadline)
{
	while (len > 0) {
		ssize_t n = send(link->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int rc = 0;

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			/* it may be waiting for us to read */
			rc = drain(link);
			if (rc == 0)
				rc = wait_for(link, POLLIN | POLLOUT, deadline);
		} else if (errno != EINTR) {
			rc = lose(link, ENODEV, "has ended");
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Encode up to BATCH accesses; returns the length, 0 where one is impossible. */
static size_t encode(char *out, enum r3_qtest_space space, uint64_t address,
		     const unsigned char *data, unsigned width, uint32_t n, unsigned flags)
{
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++, address += width) {
		size_t one = flags & R3_RW_WRITE
				     ? r3_qtest_encode_write(out + len, space, address, width,
							     r3_item_get(data + i * width, width))
				     : r3_qtest_encode_read(out + len, space, address, width);
		if (one == 0)
			return 0;
		len += one;
	}
	return len;
}

static int access_batch(struct r3_qemu_link *link, enum r3_qtest_space space, uint64_t address,
			unsigned char *data, unsigned width, uint32_t n, unsigned flags,
			uint64_t deadline)
{
	char text[BATCH * R3_QTEST_COMMAND_MAX];
	size_t len = encode(text, space, address, data, width, n, flags);
	struct r3_qtest_line line;
	int rc = 0;

	if (len == 0)
		return r3_error_set(EINVAL, "QEMU has no access of %u bytes at %#llx", width,
				    (unsigned long long)address);
	if (link->owed + n > OWED_MAX)
		rc = drain(link);
	if (rc == 0 && link->owed + n > OWED_MAX)
		rc = collect(link, OWED_MAX / 2, deadline);
	if (rc == 0)
		rc = send_all(link, text, len, deadline);
	if (rc < 0)
		return rc;
	link->owed += n;
	if (flags & R3_RW_WRITE)
		return flags & R3_RW_POSTED ? 0 : collect(link, 0, deadline);

	rc = collect(link, n, deadline);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		rc = wait_reply(link, &line, deadline);
		if (rc == 0 && !line.has_value)
			rc = lose(link, ENODEV, "answers a read without a value");
		if (rc == 0)
			r3_item_put(data + i * width, width, line.value);
	}
	return rc;
}

static int lock_alive(struct r3_qemu_link *link)
{
	pthread_mutex_lock(&link->lock);
	if (!link->lost)
		return 0;
	pthread_mutex_unlock(&link->lock);
	return r3_error_set(ENODEV, "QEMU is lost");
}

int r3_qemu_link_rw(struct r3_qemu_link *link, enum r3_qtest_space space, uint64_t address,
		    void *data, unsigned width, uint32_t count, unsigned flags)
{
	uint64_t deadline = 0;
	unsigned char *at = data;
	int rc = lock_alive(link);

	if (rc < 0)
		return rc;
	deadline = now_ms() + link->timeout_ms;
	while (count > 0 && rc == 0) {
		uint32_t n = count < BATCH ? count : BATCH;

		rc = access_batch(link, space, address, at, width, n, flags, deadline);
		address += (uint64_t)n * width;
		at += (size_t)n * width;
		count -= n;
	}
	pthread_mutex_unlock(&link->lock);
	return rc;
}

int r3_qemu_link_command(struct r3_qemu_link *link, const char *text)
{
	struct r3_qtest_line line;
	uint64_t deadline = now_ms() + link->timeout_ms;
	int rc = lock_alive(link);

	if (rc < 0)
		return rc;
	rc = collect(link, 0, deadline);
	if (rc == 0)
		rc = send_all(link, text, strlen(text), deadline);
	if (rc == 0) {
		link->owed++;
		rc = wait_reply(link, &line, deadline);
	}
	if (rc == 0 && line.kind != R3_QTEST_OK)
		rc = r3_error_set(EPROTO, "QEMU refuses: %.*s", (int)strcspn(text, "\n"), text);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

int r3_qemu_link_settle(struct r3_qemu_link *link)
{
	int rc = lock_alive(link);

	if (rc < 0)
		return rc;
	rc = collect(link, 0, now_ms() + link->timeout_ms);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

int r3_qemu_link_drain(struct r3_qemu_link *link)
{
	int rc;

	if (pthread_mutex_trylock(&link->lock))
		return 0;
	rc = link->lost ? r3_error_set(ENODEV, "QEMU is lost") : drain(link);
	pthread_mutex_unlock(&link->lock);
	return rc;
}
