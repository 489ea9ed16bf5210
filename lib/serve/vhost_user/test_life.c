/* SPDX-License-Identifier: BSD-2-Clause */
/* Front-ends that come, stop, move, lie and die, with requests in flight and without. */
#include "serve/vhost_user/test_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ring3/log.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Have @n reads in flight, which the block device does not complete. */
static void fly(struct rig *rig, uint16_t n)
{
	rig->provider.done_in_kick = false;
	rig_header(rig, 0, VIRTIO_BLK_T_IN, 0);
	for (uint16_t i = 0; i < n; i++) {
		const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, 4096),
						 rig_seg(16u + i, 1)};

		*(unsigned char *)rig_data(rig, 16u + i) = 0xff;
		rig_push(rig, i, seg, 1, 2);
	}
	assert_int_equal(rig_block_queue(rig, 0)->n, n);
}

static void sleep_until(struct rig *rig, uint64_t ns)
{
	struct pollfd pfd = {.fd = r3_serve_block_fd(rig->serve), .events = POLLIN};
	uint64_t end = r3_clock_now(r3_clock_system()) + ns;

	while (r3_clock_now(r3_clock_system()) < end)
		if (poll(&pfd, 1, 100) > 0)
			rig_pump(rig);
}

/* ---- rings stop and go on ---- */

static void a_stop_waits_for_what_is_in_flight(void **state)
{
	const uint64_t layouts[] = {0, VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)};

	for (unsigned i = 0; i < 2; i++) {
		struct rig rig = {.features = 0};
		struct r3_vhost_user_msg msg;
		uint32_t written;

		rig_open(&rig);
		rig_start(&rig, layouts[i], 2);
		fly(&rig, 3);
		assert_int_equal(rig_state(&rig, VHOST_USER_GET_VRING_BASE, 0, 0), -EINPROGRESS);
		/* what is said after it waits, too */
		r3_vhost_user_begin(&msg, VHOST_USER_GET_QUEUE_NUM, 0, 0);
		rig_send(&rig, &msg);
		assert_int_equal(rig_hear(&rig), 0);
		provider_complete(rig_block_queue(&rig, 0), 0);
		assert_int_equal(rig_hear(&rig), 1);
		assert_int_equal(rig.port.in.header.request, VHOST_USER_GET_VRING_BASE);
		/* packed: three chains of three descriptors, in the first lap */
		assert_int_equal(rig.port.in.payload.state.num, i ? 0x80098009 : 3);
		for (unsigned n = 0; n < 3; n++)
			assert_true(rig_pop(&rig, &written) >= 0);
		assert_int_equal(rig_hear(&rig), 1);
		assert_int_equal(rig.port.in.header.request, VHOST_USER_GET_QUEUE_NUM);

		/* it is stopped: a kick does nothing; and goes on from there */
		rig.provider.done_in_kick = true;
		assert_int_equal(eventfd_write(rig.kick[0], 1), 0);
		rig_pump(&rig);
		assert_null(rig_block_queue(&rig, 0));
		assert_int_equal(rig_start_queue(&rig, 0, i ? 0x80098009 : 3), 0);
		assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
		rig_close(&rig);
	}
}

static void a_stop_does_not_wait_for_ever(void **state)
{
	struct rig rig = {.opts = {.size = sizeof(rig.opts), .drain_ns = 20 * R3_NSEC_PER_MSEC}};
	uint32_t written;
	int ids = 0;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	fly(&rig, 4);
	assert_int_equal(rig_state(&rig, VHOST_USER_GET_VRING_BASE, 0, 0), -EINPROGRESS);
	sleep_until(&rig, 40 * R3_NSEC_PER_MSEC);
	assert_int_equal(rig_hear(&rig), 1);
	assert_int_equal(rig.port.in.payload.state.num, 4);
	/* the driver has them back, as failed, and nobody has its memory any more */
	for (unsigned i = 0; i < 4; i++)
		ids |= 1 << rig_pop(&rig, &written);
	assert_int_equal(ids, 15);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(*(char *)rig_data(&rig, 16 + i), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig.provider.base.queues, 0);
	assert_int_equal(rig_start_queue(&rig, 0, 4), 0);
	rig.provider.done_in_kick = true;
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

static void disabled_rings_rest(void **state)
{
	const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, 4096), rig_seg(16, 1)};
	struct rig rig = {.features = 0};
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	rig_header(&rig, 0, VIRTIO_BLK_T_IN, 0);
	rig_push(&rig, 1, seg, 1, 2);
	assert_int_equal(rig_pop(&rig, &written), -1);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(rig_pop(&rig, &written), 1);
	rig_close(&rig);
}

/* A front-end that never kicks, and says so. */
static void polled_rings(void **state)
{
	const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, 4096), rig_seg(16, 1)};
	struct rig rig = {.features = 0};
	struct pollfd pfd;
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	pfd = (struct pollfd){.fd = r3_serve_block_fd(rig.serve), .events = POLLIN};
	rig_pump(&rig);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(rig_fd(&rig, VHOST_USER_SET_VRING_KICK, 0 | VHOST_USER_VRING_NOFD, -1), 0);
	rig_pump(&rig);
	assert_int_equal(poll(&pfd, 1, 0), 1); /* there may always be work */
	rig_header(&rig, 0, VIRTIO_BLK_T_IN, 0);
	assert_int_equal(r3_virtq_push(&rig.q[0], 1, seg, 1, 2), 0);
	(void)r3_virtq_publish(&rig.q[0]);
	rig_pump(&rig);
	assert_int_equal(rig_pop(&rig, &written), 1);
	rig_close(&rig);
}

/* Kicks cost no more than one look each, however many they are. */
static void kick_storms(void **state)
{
	struct rig rig = {.features = 0};
	struct pollfd pfd;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	pfd = (struct pollfd){.fd = r3_serve_block_fd(rig.serve), .events = POLLIN};
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(eventfd_write(rig.kick[0], 1), 0);
	rig_pump(&rig);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

/* ---- memory moves ---- */

static void memory_goes_when_nothing_is_in_flight(void **state)
{
	struct r3_vhost_user_msg msg;
	struct rig rig = {.features = 0};
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 2);
	fly(&rig, 2);
	assert_int_equal(rig_set_memory(&rig), -EINPROGRESS);
	provider_complete(rig_block_queue(&rig, 0), 0);
	assert_int_equal(rig_hear(&rig), 1);
	assert_int_equal(rig.port.in.payload.u64, 0);
	assert_int_equal(rig_pop(&rig, &written), 0);
	assert_int_equal(rig_pop(&rig, &written), 1);
	rig.provider.done_in_kick = true;
	/* the rings go on in the memory as it is mapped now */
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);

	/* a region more, and away again; the rings stay */
	r3_vhost_user_begin(&msg, VHOST_USER_ADD_MEM_REG, 0, sizeof(msg.payload.single));
	msg.payload.single.region = (struct vhost_user_memory_region){
		RIG_GUEST + RIG_SIZE, RIG_SIZE, RIG_USER + RIG_SIZE, 0};
	msg.nfds = 1;
	msg.fd[0] = r3_mem_fd(rig.mem);
	assert_int_equal(rig_ask(&rig, &msg), 0);
	assert_int_equal(rig.serve->memory.n, 2);
	r3_vhost_user_begin(&msg, VHOST_USER_REM_MEM_REG, 0, sizeof(msg.payload.single));
	msg.payload.single.region = (struct vhost_user_memory_region){
		RIG_GUEST + RIG_SIZE, RIG_SIZE, RIG_USER + RIG_SIZE, 0};
	assert_int_equal(rig_ask(&rig, &msg), 0);
	assert_int_equal(rig.serve->memory.n, 1);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);

	/* without memory there are no rings */
	msg.payload.single.region =
		(struct vhost_user_memory_region){RIG_GUEST, RIG_SIZE, RIG_USER, 0};
	msg.header.flags = VHOST_USER_VERSION;
	msg.header.request = VHOST_USER_REM_MEM_REG;
	msg.header.size = sizeof(msg.payload.single);
	assert_int_equal(rig_ask(&rig, &msg), 0);
	assert_true(rig_signalled(rig.err[0]));
	assert_true(rig_signalled(rig.err[1]));
	rig_kick(&rig, 0);
	rig_close(&rig);
}

/* A request may lie across regions: each piece is in one. */
static void data_across_regions(void **state)
{
	struct rig rig = {.features = 0};
	struct r3_vhost_user_msg msg;
	uint64_t border = RIG_SIZE - RIG_DATA; /* in the data */
	const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(border - 4096, 8192),
					 rig_seg(16, 1)};
	const struct r3_blk_req *req;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	r3_vhost_user_begin(&msg, VHOST_USER_ADD_MEM_REG, 0, sizeof(msg.payload.single));
	msg.payload.single.region =
		(struct vhost_user_memory_region){RIG_GUEST + RIG_SIZE, 8192, 4096, 65536};
	msg.nfds = 1;
	msg.fd[0] = r3_mem_fd(rig.mem);
	assert_int_equal(rig_ask(&rig, &msg), 0);
	rig.provider.done_in_kick = false;
	rig_header(&rig, 0, VIRTIO_BLK_T_OUT, 0);
	rig_push(&rig, 1, seg, 2, 1);
	req = rig_block_queue(&rig, 0)->req[0];
	assert_int_equal(req->nsg, 2);
	*(char *)rig_data(&rig, 0) = 0x3c;
	assert_int_equal(*(char *)req->sg[1].addr, 0x3c); /* which begins at 64 KiB of the file */
	rig_close(&rig);
}

/* ---- lies in rings ---- */

struct lie {
	const char *what;
	struct r3_dma_seg seg[3];
	unsigned nout, nin;
};

static void descriptors_outside_of_memory(void **state)
{
	const struct lie lies[] = {
		{"below", {{.addr = {RIG_GUEST - 16}, .len = 16}, rig_seg(16, 1)}, 1, 1},
		{"above", {rig_seg(0, 16), {.addr = {RIG_GUEST + RIG_SIZE}, .len = 1}}, 1, 1},
		{"out of it", {rig_seg(RIG_SIZE - RIG_DATA - 15, 16), rig_seg(16, 1)}, 1, 1},
		{"a user address", {{.addr = {RIG_USER}, .len = 16}, rig_seg(16, 1)}, 1, 1},
		{"0", {{.addr = {0}, .len = 16}, rig_seg(16, 1)}, 1, 1},
		{"the end", {{.addr = {UINT64_MAX - 8}, .len = 16}, rig_seg(16, 1)}, 1, 1},
	};
	struct rig rig = {.features = 0};
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 2);
	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		print_message("%s\n", lies[i].what);
		rig_push(&rig, 1, lies[i].seg, lies[i].nout, lies[i].nin);
		assert_int_equal(rig_pop(&rig, &written), -1);
		assert_true(rig_signalled(rig.err[0]));
		assert_false(rig_signalled(rig.err[1]));
		assert_int_equal(rig.provider.submitted, i);
		/* the front-end makes the ring anew */
		assert_int_equal(rig_state(&rig, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
		r3_virtq_reset(&rig.q[0]);
		(void)r3_virtq_arm(&rig.q[0]);
		assert_int_equal(rig_start_queue(&rig, 0, 0), 0);
		assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	}
	rig_close(&rig);
}

static void rings_that_cannot_be(void **state)
{
	struct rig rig = {.features = 0};
	struct r3_vhost_user_msg msg;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_NUM, 1, 0), -EREMOTEIO);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_NUM, 1, 65536), -EREMOTEIO);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_NUM, 2, 16), -EREMOTEIO);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_NUM, 0, 8), -EREMOTEIO); /* in use */
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_BASE, 0, 0), -EREMOTEIO);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_BASE, 1, 0x10002), -EREMOTEIO);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_ENABLE, 64, 1), -EREMOTEIO);
	/* no size, no address yet; then an address outside, and one that is not aligned */
	assert_int_equal(rig_fd(&rig, VHOST_USER_SET_VRING_KICK, 1, rig.kick[1]), -EREMOTEIO);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_NUM, 1, 24), 0);
	assert_int_equal(rig_set_addr(&rig, 1), 0);
	assert_int_equal(rig_fd(&rig, VHOST_USER_SET_VRING_KICK, 1, rig.kick[1]), -EREMOTEIO);
	assert_int_equal(rig_state(&rig, VHOST_USER_SET_VRING_NUM, 1, 16), 0);
	for (unsigned i = 0; i < 3; i++) {
		static const uint64_t at[] = {RIG_USER + RIG_SIZE - 128, RIG_USER - 256,
					      RIG_USER + 0x4008};

		r3_vhost_user_begin(&msg, VHOST_USER_SET_VRING_ADDR, 0, sizeof(msg.payload.addr));
		msg.payload.addr = (struct vhost_user_vring_addr){
			.index = 1, .descriptor = at[i], .used = at[i], .available = at[i]};
		assert_int_equal(rig_ask(&rig, &msg), 0);
		assert_int_equal(rig_fd(&rig, VHOST_USER_SET_VRING_KICK, 1, rig.kick[1]),
				 -EREMOTEIO);
	}
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

/* ---- front-ends die ---- */

static void memory_of_the_dead(void **state)
{
	struct rig rig = {.features = 0};

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	fly(&rig, 5);
	r3_vhost_user_port_close(&rig.port);
	rig_pump(&rig);
	assert_int_equal(rig.event[R3_SERVE_BLOCK_DISCONNECTED], 1);
	assert_int_equal(rig.code[R3_SERVE_BLOCK_DISCONNECTED], 0);
	/* the block device still has requests of it, and it its memory */
	assert_int_equal(rig.serve->memory.n, 1);
	assert_false(rig.over);
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	assert_int_equal(rig.serve->memory.n, 0);
	assert_int_equal(rig.provider.base.queues, 0);
	assert_true(rig.over); /* there was one guest only */
	assert_int_equal(rig.event[R3_SERVE_BLOCK_CANCELLED], 0);
	rig_close(&rig);
}

static void requests_of_the_dead(void **state)
{
	struct rig rig = {.opts = {.size = sizeof(rig.opts), .drain_ns = 10 * R3_NSEC_PER_MSEC}};

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	fly(&rig, 5);
	r3_vhost_user_port_close(&rig.port);
	rig_pump(&rig);
	sleep_until(&rig, 30 * R3_NSEC_PER_MSEC);
	assert_int_equal(rig.event[R3_SERVE_BLOCK_CANCELLED], 1);
	assert_int_equal(rig.serve->memory.n, 0);
	assert_true(rig.over);
	rig_close(&rig);

	/* while a message waits for what is in flight */
	rig = (struct rig){.features = 0};
	rig_open(&rig);
	rig_start(&rig, 0, 1);
	fly(&rig, 1);
	assert_int_equal(rig_set_memory(&rig), -EINPROGRESS);
	r3_vhost_user_port_close(&rig.port);
	rig_pump(&rig);
	assert_int_equal(rig.event[R3_SERVE_BLOCK_DISCONNECTED], 1);
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	assert_true(rig.over);
	rig_close(&rig);

	/* the server is closed under it */
	rig = (struct rig){.features = 0};
	rig_open(&rig);
	rig_start(&rig, 0, 1);
	fly(&rig, 5);
	rig_close(&rig);
}

/* ---- one after the other ---- */

static int connect_to(const char *where)
{
	int sock = -1;

	assert_int_equal(r3_socket_connect(where, &sock), 0);
	return sock;
}

static bool is_hung_up(int sock)
{
	struct pollfd pfd = {.fd = sock, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) > 0;
}

static void one_at_a_time(void **state)
{
	struct r3_serve_block *serve;
	struct provider provider;
	char where[64];
	int first, second, dir;

	snprintf(where, sizeof(where), "unix:%s/ring3-block-XXXXXX", P_tmpdir);
	dir = mkstemp(where + 5);
	assert_true(dir >= 0);
	close(dir);
	unlink(where + 5);
	provider_init(&provider);
	assert_int_equal(r3_serve_block_open(&provider.base, "nowhere", NULL, &serve), -EINVAL);
	assert_int_equal(r3_serve_block_open(&provider.base, where, NULL, &serve), 0);
	first = connect_to(where);
	assert_int_equal(r3_serve_block_dispatch(serve), 1);
	second = connect_to(where);
	assert_int_equal(r3_serve_block_dispatch(serve), 1);
	assert_true(is_hung_up(second));
	assert_false(is_hung_up(first));
	close(second);
	/* the next one comes in the moment that the first one goes */
	close(first);
	second = connect_to(where);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(r3_serve_block_dispatch(serve), 1);
	assert_false(is_hung_up(second));
	assert_non_null(serve->port.stream);
	r3_serve_block_close(serve);
	assert_true(is_hung_up(second));
	close(second);
	assert_int_equal(access(where + 5, F_OK), -1);
	r3_block_close(&provider.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stop_waits_for_what_is_in_flight),
		cmocka_unit_test(a_stop_does_not_wait_for_ever),
		cmocka_unit_test(disabled_rings_rest),
		cmocka_unit_test(polled_rings),
		cmocka_unit_test(kick_storms),
		cmocka_unit_test(memory_goes_when_nothing_is_in_flight),
		cmocka_unit_test(data_across_regions),
		cmocka_unit_test(descriptors_outside_of_memory),
		cmocka_unit_test(rings_that_cannot_be),
		cmocka_unit_test(memory_of_the_dead),
		cmocka_unit_test(requests_of_the_dead),
		cmocka_unit_test(one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
