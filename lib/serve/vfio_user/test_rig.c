/* SPDX-License-Identifier: BSD-2-Clause */
/* A server and its scripted clients: see test_rig.h. */
#include "serve/vfio_user/test_rig.h"
#include "util/fd.h"
#include "util/socket.h"
#include "util/stream.h"

#include <poll.h>
#include <sys/socket.h>

static void note(void *ctx, const struct r3_serve_event *event)
{
	struct rig *rig = ctx;

	assert_true(rig->nevents < RIG_EVENTS);
	assert_non_null(event->text);
	snprintf(rig->text[rig->nevents], sizeof(rig->text[0]), "%s", event->text);
	rig->event[rig->nevents] = *event;
	rig->event[rig->nevents].text = rig->text[rig->nevents];
	rig->nevents++;
}

struct rig *rig_new(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->fds = test_count_fds();
	rig->clock = fake_clock(1000);
	strcpy(rig->dir, "/tmp/ring3-serve-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	snprintf(rig->where, sizeof(rig->where), "unix:%s/s", rig->dir);
	rig->fake = fake_device_new(NULL);
	assert_non_null(rig->fake);
	rig->dev = &rig->fake->base;
	rig->opts = (struct r3_serve_opts){
		.size = sizeof(rig->opts), .clock = &rig->clock.base, .event = note, .ctx = rig};
	return rig;
}

void rig_serve(struct rig *rig)
{
	if (!rig->fake->base.address)
		assert_int_equal(fake_device_adopt(rig->fake), 0);
	assert_int_equal(r3_serve_open(rig->dev, rig->where, &rig->opts, &rig->serve), 0);
}

void rig_free(struct rig *rig)
{
	r3_stream_close_fds(rig->fd, rig->nfds);
	r3_serve_close(rig->serve);
	r3_device_close(rig->dev);
	assert_int_equal(rmdir(rig->dir), 0);
	assert_int_equal(test_count_fds(), rig->fds);
	free(rig);
}

int rig_setup(void **state)
{
	*state = rig_new();
	rig_serve(*state);
	return 0;
}

int rig_teardown(void **state)
{
	rig_free(*state);
	return 0;
}

int rig_run(struct rig *rig)
{
	struct pollfd pfd = {.fd = r3_serve_fd(rig->serve), .events = POLLIN};
	int rc = r3_serve_dispatch(rig->serve);

	/* it settles: nothing stays readable that nobody takes */
	for (unsigned i = 0; rc >= 0 && poll(&pfd, 1, 0) > 0; i++) {
		assert_true(i < 1000);
		rc = r3_serve_dispatch(rig->serve);
	}
	assert_true(rc >= 0);
	return rc;
}

/* ---- clients ---- */

int rig_connect(struct rig *rig)
{
	int sock;

	assert_int_equal(r3_socket_connect(rig->where, &sock), 0);
	rig_run(rig);
	return sock;
}

void rig_send(struct rig *rig, int sock, const void *bytes, size_t len, const int *fds,
	      unsigned nfds)
{
	char control[CMSG_SPACE(sizeof(int) * 64)] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * nfds);
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			return; /* seen by rig_receive() */
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			rig_run(rig);
			continue;
		}
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
}

void rig_request(struct rig *rig, int sock, unsigned cmd, const void *payload, size_t len,
		 const int *fds, unsigned nfds)
{
	static uint16_t id = 77;
	unsigned char *bytes = malloc(sizeof(struct vfio_user_header) + len);
	struct vfio_user_header header;

	assert_non_null(bytes);
	r3_vfio_user_request(&header, id++, cmd, len);
	memcpy(bytes, &header, sizeof(header));
	if (len)
		memcpy(bytes + sizeof(header), payload, len);
	rig_send(rig, sock, bytes, sizeof(header) + len, fds, nfds);
	free(bytes);
}

/* All @len bytes; the first come with descriptors, if any. */
static int receive(struct rig *rig, int sock, void *to, size_t len)
{
	char control[CMSG_SPACE(sizeof(rig->fd))];

	while (len) {
		struct iovec iov = {.iov_base = to, .iov_len = len};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EAGAIN) {
			rig_run(rig);
			n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		}
		if (n <= 0)
			return n < 0 && errno == EAGAIN ? -EAGAIN : -EPIPE;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			rig->nfds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(rig->fd, CMSG_DATA(c), rig->nfds * sizeof(int));
		}
		to = (char *)to + n;
		len -= (size_t)n;
	}
	return 0;
}

int rig_receive(struct rig *rig, int sock)
{
	int rc;

	r3_stream_close_fds(rig->fd, rig->nfds);
	rig->nfds = 0;
	rc = receive(rig, sock, &rig->header, sizeof(rig->header));
	if (rc)
		return rc;
	assert_int_equal(rig->header.flags & VFIO_USER_F_TYPE_MASK, VFIO_USER_F_TYPE_REPLY);
	assert_in_range(rig->header.msg_size, sizeof(rig->header),
			sizeof(rig->header) + sizeof(rig->payload));
	rc = receive(rig, sock, rig->payload, rig->header.msg_size - sizeof(rig->header));
	if (rc)
		return rc;
	if (!(rig->header.flags & VFIO_USER_F_ERROR))
		return 0;
	assert_int_equal(rig->header.msg_size, sizeof(rig->header));
	assert_int_equal(rig->nfds, 0);
	return -(int)rig->header.error_no;
}

int rig_call(struct rig *rig, int sock, unsigned cmd, const void *payload, size_t len,
	     const int *fds, unsigned nfds)
{
	int rc;

	rig_request(rig, sock, cmd, payload, len, fds, nfds);
	rig_run(rig);
	rc = rig_receive(rig, sock);
	if (rc != -EPIPE && rc != -EAGAIN)
		assert_int_equal(rig->header.cmd, cmd);
	return rc;
}

int rig_version(struct rig *rig, int sock, const char *json)
{
	char bytes[512] = {0};
	const struct vfio_user_version version = {.major = 0, .minor = 1};

	memcpy(bytes, &version, sizeof(version));
	strcpy(bytes + sizeof(version), json);
	return rig_call(rig, sock, VFIO_USER_VERSION, bytes, sizeof(version) + strlen(json) + 1,
			NULL, 0);
}

int rig_client(struct rig *rig)
{
	int sock = rig_connect(rig);

	assert_int_equal(rig_version(rig, sock, "{\"capabilities\":{\"max_msg_fds\":8}}"), 0);
	return sock;
}

int rig_ring3(struct rig *rig)
{
	int sock = rig_connect(rig);

	assert_int_equal(
		rig_version(rig, sock, "{\"capabilities\":{\"write_multiple\":true,\"ring3\":{}}}"),
		0);
	return sock;
}

int rig_read(struct rig *rig, int sock, unsigned region, uint64_t off, uint32_t count)
{
	const struct vfio_user_region_access access = {off, region, count};

	return rig_call(rig, sock, VFIO_USER_REGION_READ, &access, sizeof(access), NULL, 0);
}

int rig_write(struct rig *rig, int sock, unsigned region, uint64_t off, const void *data,
	      uint32_t count)
{
	const struct vfio_user_region_access access = {off, region, count};
	unsigned char bytes[sizeof(access) + 8192];

	assert_in_range(count, 0, 8192);
	memcpy(bytes, &access, sizeof(access));
	memcpy(bytes + sizeof(access), data, count);
	return rig_call(rig, sock, VFIO_USER_REGION_WRITE, bytes, sizeof(access) + count, NULL, 0);
}

bool rig_post(int sock, unsigned region, uint64_t off, uint32_t value)
{
	const struct {
		struct vfio_user_header header;
		struct vfio_user_region_access access;
		uint32_t value;
	} post = {{.cmd = VFIO_USER_REGION_WRITE, .msg_size = 36, .flags = VFIO_USER_F_NO_REPLY},
		  {off, region, 4},
		  R3_LE32(value)};

	return send(sock, &post, 36, MSG_DONTWAIT | MSG_NOSIGNAL) == 36;
}

int rig_map(struct rig *rig, int sock, int fd, uint64_t off, uint64_t iova, uint64_t len)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE,
		.offset = off,
		.addr = iova,
		.size = len,
	};

	return rig_call(rig, sock, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, fd >= 0);
}

int rig_unmap(struct rig *rig, int sock, uint64_t iova, uint64_t len)
{
	const struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap), .addr = iova, .size = len};

	return rig_call(rig, sock, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0);
}

int rig_irqs(struct rig *rig, int sock, unsigned flags, unsigned index, unsigned start,
	     unsigned count, const int *fds, unsigned nfds)
{
	const struct vfio_irq_set set = {.argsz = sizeof(set),
					 .flags = flags,
					 .index = index,
					 .start = start,
					 .count = count};

	return rig_call(rig, sock, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set), fds, nfds);
}

void rig_bind(struct rig *rig, int sock, int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(fds[i] >= 0);
	}
	assert_int_equal(rig_irqs(rig, sock,
				  VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				  VFIO_PCI_MSIX_IRQ_INDEX, 0, n, fds, n),
			 0);
}

int rig_memfd(uint64_t size, unsigned seals)
{
	int fd = memfd_create("client", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* ---- what was told ---- */

unsigned rig_told(const struct rig *rig, unsigned type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->nevents; i++)
		n += rig->event[i].type == type;
	return n;
}

const struct r3_serve_event *rig_last(const struct rig *rig, unsigned type)
{
	for (unsigned i = rig->nevents; i-- > 0;)
		if (rig->event[i].type == type)
			return &rig->event[i];
	fail_msg("\"%s\" was not told", r3_serve_event_name(type));
	return NULL;
}

void rig_expect(const struct rig *rig, unsigned from, const unsigned *types)
{
	unsigned i = from;

	for (; *types; types++, i++) {
		if (i == rig->nevents)
			fail_msg("\"%s\" was not told", r3_serve_event_name(*types));
		if (rig->event[i].type != *types)
			fail_msg("\"%s\" was told (%s) instead of \"%s\"",
				 r3_serve_event_name(rig->event[i].type), rig->text[i],
				 r3_serve_event_name(*types));
	}
	assert_int_equal(i, rig->nevents);
}
