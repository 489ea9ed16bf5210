/* SPDX-License-Identifier: BSD-2-Clause */
/* What a register costs that is not mapped: a read is one send and one receive, a posted write
 * a send, and neither allocates anything. */
#include "backend/vfio_user/backend.h"
#include "backend/vfio_user/test_rig.h"

static unsigned sends, receives, allocations;

/* ---- a stream that counts what is done to the one below ---- */

struct counted {
	struct r3_stream stream;
	struct r3_stream *below;
};

static ssize_t count_send(struct r3_stream *stream, const struct iovec *iov, unsigned niov,
			  const int *fds, unsigned nfds)
{
	sends++;
	return r3_stream_send(((struct counted *)stream)->below, iov, niov, fds, nfds);
}

static ssize_t count_recv(struct r3_stream *stream, void *buf, size_t len, int *fds, unsigned *nfds)
{
	receives++;
	return r3_stream_recv(((struct counted *)stream)->below, buf, len, fds, nfds);
}

static int below_fd(const struct r3_stream *stream)
{
	return r3_stream_fd(((const struct counted *)stream)->below);
}

static void close_both(struct r3_stream *stream)
{
	r3_stream_close(((struct counted *)stream)->below);
}

static const struct r3_stream_ops counted_ops = {
	.send = count_send,
	.recv = count_recv,
	.fd = below_fd,
	.close = close_both,
};

/* ---- and an allocator that does ---- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

/* The server's thread has its own way. */
static __thread bool counting;

void *__wrap_malloc(size_t size)
{
	allocations += counting;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	allocations += counting;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *at, size_t size)
{
	allocations += counting;
	return __real_realloc(at, size);
}

/* ---- the test ---- */

#define ROUNDS 200

static void a_register_costs_little(void **state)
{
	static struct counted counted = {.stream = {.ops = &counted_ops}};
	void *volatile piece;
	struct r3_region *bar;

	assert_int_equal(r3_stream_open(fake_server_start(&rig.server), &counted.below), 0);
	assert_int_equal(r3_vfio_user_open_stream(&counted.stream, "test", 1000, NULL, &rig.dev),
			 0);
	assert_int_equal(r3_device_adopt(rig.dev, "vfio-user:test"), 0);
	bar = rig_region(0);

	counting = true;
	piece = malloc(1); /* they are counted */
	free(piece);
	assert_int_equal(allocations, 1);
	sends = receives = allocations = 0;
	for (unsigned i = 0; i < ROUNDS; i++)
		r3_write32(bar, 0, i);
	assert_int_equal(sends, ROUNDS);
	assert_int_equal(receives, 0);
	sends = 0;
	for (unsigned i = 0; i < ROUNDS; i++)
		assert_int_equal(r3_read32(bar, 0), ROUNDS - 1);
	counting = false;
	assert_int_equal(sends, ROUNDS);
	assert_int_equal(receives, ROUNDS);
	assert_int_equal(allocations, 0);
	r3_device_close(rig.dev);
	rig.dev = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {RIG_TEST(a_register_costs_little)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
