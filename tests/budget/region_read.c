/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * region_read: what a register read through a server may cost. The client sends once, waits
 * once and receives once, the server receives once and sends once, and nobody allocates; beside
 * that the server may ask once who is there. Both are here, the server in a thread of its own,
 * and calls are counted for each where the linker puts us between the library and libc. That
 * each of these would be noticed is shown by making one.
 */
#include "fake/fake_variant.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <ring3/error.h>
#include <ring3/serve.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define READS    2000u
#define REGISTER 0x800u /* of BAR 4, which is never mapped */

enum call { SEND, RECV, ALLOC, OTHER, CALLS };

static struct side {
	unsigned calls[CALLS];
} client, server;

static _Thread_local struct side *watched; /* whose thread this is; NULL: not counted */

static void count(enum call call)
{
	if (watched)
		watched->calls[call]++;
}

#define WRAP(call, type, name, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		count(call); \
		return __real_##name args; \
	}

WRAP(ALLOC, void *, malloc, (size_t n), (n))
WRAP(ALLOC, void *, calloc, (size_t n, size_t size), (n, size))
WRAP(ALLOC, void *, realloc, (void *ptr, size_t n), (ptr, n))
WRAP(ALLOC, void *, aligned_alloc, (size_t align, size_t n), (align, n))
WRAP(ALLOC, int, posix_memalign, (void **ptr, size_t align, size_t n), (ptr, align, n))
WRAP(ALLOC, void, free, (void *ptr), (ptr))
WRAP(SEND, ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
WRAP(SEND, ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP(SEND, ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))
WRAP(RECV, ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
WRAP(RECV, ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP(RECV, ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
WRAP(OTHER, int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
WRAP(OTHER, int, epoll_wait, (int fd, struct epoll_event *events, int n, int ms),
     (fd, events, n, ms))
WRAP(OTHER, int, epoll_ctl, (int fd, int op, int of, struct epoll_event *event),
     (fd, op, of, event))
WRAP(OTHER, int, timerfd_settime,
     (int fd, int flags, const struct itimerspec *at, struct itimerspec *was), (fd, flags, at, was))

/* ---- the two sides ---- */

static struct {
	struct r3_serve *serve;
	struct r3_device *served, *dev;
	struct r3_region *bar;
	pthread_t thread;
	atomic_bool watching;
} bed;

static void *serve(void *arg)
{
	struct pollfd pfd = {.fd = r3_serve_fd(bed.serve), .events = POLLIN};

	do {
		watched = NULL;
		(void)poll(&pfd, 1, -1); /* the loop's, not the server's */
		watched = bed.watching ? &server : NULL;
	} while (r3_serve_dispatch(bed.serve) == 1); /* until the client has gone */
	return NULL;
}

static int setup(void **state)
{
	const struct r3_serve_opts opts = {.size = sizeof(opts)};
	struct r3_address *address;
	char text[64];
	int fds[2];

	assert_int_equal(r3_address_parse("fake:full", &address), 0);
	assert_int_equal(fake_variant_open(address, NULL, &bed.served), 0);
	r3_address_free(address);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	snprintf(text, sizeof(text), "fd:%d", fds[0]);
	assert_int_equal(r3_serve_open(bed.served, text, &opts, &bed.serve), 0);
	close(fds[0]);
	assert_int_equal(pthread_create(&bed.thread, NULL, serve, NULL), 0);
	snprintf(text, sizeof(text), "vfio-user:fd:%d", fds[1]);
	if (r3_device_open(text, NULL, &bed.dev))
		fail_msg("%s", r3_error_text());
	close(fds[1]);
	assert_int_equal(r3_device_region(bed.dev, R3_REGION_BAR4, &bed.bar), 0);
	return 0;
}

static int teardown(void **state)
{
	r3_device_close(bed.dev);
	pthread_join(bed.thread, NULL);
	r3_serve_close(bed.serve);
	r3_device_close(bed.served);
	return 0;
}

static void read_registers(unsigned n)
{
	(void)r3_read32(bed.bar, REGISTER); /* what was posted before is done */
	client = server = (struct side){0};
	bed.watching = true;
	watched = &client;
	for (unsigned i = 0; i < n; i++)
		(void)r3_read32(bed.bar, REGISTER);
	watched = NULL;
	bed.watching = false;
	assert_false(r3_device_gone(bed.dev));
}

static void show(const char *name, const struct side *side)
{
	printf("%s, of %u reads: %u sends, %u receives, %u other calls, %u allocations\n", name,
	       READS, side->calls[SEND], side->calls[RECV], side->calls[OTHER], side->calls[ALLOC]);
}

static void one_send_and_one_receive(void **state)
{
	read_registers(READS);
	show("client", &client);
	show("server", &server);
	assert_int_equal(client.calls[SEND], READS);
	assert_int_equal(client.calls[RECV], READS);
	assert_int_equal(client.calls[OTHER], READS);
	assert_int_equal(client.calls[ALLOC], 0);
	/* it was not watched yet at the first, or it is no more at the last */
	assert_in_range(server.calls[SEND], READS - 1, READS + 1);
	assert_in_range(server.calls[RECV], READS - 1, READS + 1);
	assert_in_range(server.calls[OTHER], 0, READS + 1);
	assert_int_equal(server.calls[ALLOC], 0);
}

static void each_would_be_noticed(void **state)
{
	char byte = 0;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	client = (struct side){0};
	watched = &client;
	void *volatile kept = malloc(1); /* or the compiler leaves it out */
	free(kept);
	(void)send(fds[0], &byte, 1, 0);
	(void)recv(fds[1], &byte, 1, 0);
	(void)poll(NULL, 0, 0);
	watched = NULL;
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(client.calls[ALLOC], 2);
	assert_int_equal(client.calls[SEND], 1);
	assert_int_equal(client.calls[RECV], 1);
	assert_int_equal(client.calls[OTHER], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_send_and_one_receive),
		cmocka_unit_test(each_would_be_noticed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
