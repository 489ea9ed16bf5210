/* SPDX-License-Identifier: BSD-2-Clause */
/* What a back-end is told, and when; and back-ends that are old, lie, complain or die. */
#include "backend/vhost_user/test_rig.h"

#include <errno.h>
#include <poll.h>
#include <ring3/dma.h>
#include <ring3/driver.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/log.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE (5 * R3_NSEC_PER_SEC)

/* Let the device's fd wake us, and take its events. */
static unsigned wait_for_event(struct rig *rig, struct r3_event *event)
{
	struct pollfd pfd = {.fd = r3_device_fd(rig->dev), .events = POLLIN};
	uint64_t end = r3_clock_now(r3_clock_system()) + PATIENCE;
	int n = 0;

	while (!n && r3_clock_now(r3_clock_system()) < end) {
		poll(&pfd, 1, 100);
		n = r3_device_dispatch(rig->dev, event, 1);
		assert_true(n >= 0);
	}
	return (unsigned)n;
}

/* ---- a whole life ---- */

static void what_it_is_told(void **state)
{
	static const uint32_t greeting[] = {
		VHOST_USER_GET_FEATURES,
		VHOST_USER_GET_PROTOCOL_FEATURES,
		VHOST_USER_SET_PROTOCOL_FEATURES,
		VHOST_USER_SET_OWNER,
		VHOST_USER_GET_QUEUE_NUM,
		VHOST_USER_SET_BACKEND_REQ_FD,
		VHOST_USER_GET_CONFIG,
	};
	const struct r3_driver_v1 *driver;
	struct r3_vhost_user_msg last;
	struct r3_block *block;
	struct rig rig;

	rig_init(&rig);
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	for (unsigned i = 0; i < sizeof(greeting) / sizeof(greeting[0]); i++)
		assert_int_equal(rig.heard[i].request, greeting[i]);
	assert_int_equal(rig.nheard, sizeof(greeting) / sizeof(greeting[0]));
	/* nothing of it that we do not know */
	rig_heard(&rig, VHOST_USER_SET_PROTOCOL_FEATURES, &last);
	assert_int_equal(last.payload.u64,
			 rig.protocol & ~VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_STATUS));

	assert_int_equal(r3_driver_find(rig.dev, NULL, &driver), 0);
	assert_string_equal(driver->name, "virtio-blk");
	assert_int_equal(driver->attach_block(rig.dev, NULL, &block), 0);
	rig_heard(&rig, VHOST_USER_SET_FEATURES, &last);
	assert_int_equal(last.payload.u64, rig.features);
	assert_int_equal(rig_heard(&rig, VHOST_USER_ADD_MEM_REG, &last), 1);
	assert_true(last.payload.single.region.size >= 64 << 20);
	assert_int_equal(rig_heard(&rig, VHOST_USER_SET_VRING_NUM, &last), 2);
	assert_int_equal(last.payload.state.num, 64);
	assert_int_equal(rig_heard(&rig, VHOST_USER_SET_VRING_ADDR, &last), 2);
	assert_true(last.payload.addr.descriptor >= R3_DEVICE_LOWEST_IOVA);
	assert_int_equal(rig_heard(&rig, VHOST_USER_SET_VRING_KICK, NULL), 2);
	assert_int_equal(rig_heard(&rig, VHOST_USER_SET_VRING_CALL, NULL), 2);
	assert_int_equal(rig_heard(&rig, VHOST_USER_SET_VRING_ENABLE, &last), 2);
	assert_int_equal(last.payload.state.num, 1);
	/* it is stopped before its memory is taken back */
	r3_block_close(block);
	rig.dev = NULL;
	rig_close(&rig);
	assert_int_equal(rig_heard(&rig, VHOST_USER_GET_VRING_BASE, NULL), 2);
	assert_int_equal(rig.heard[rig.nheard - 1].request, VHOST_USER_REM_MEM_REG);
}

/* No queue of many, no acknowledgements, no channel, no memory piece by piece. */
static void an_old_back_end(void **state)
{
	const struct r3_driver_v1 *driver;
	struct r3_vhost_user_msg last;
	struct r3_block *block;
	struct rig rig;

	rig_init(&rig);
	rig.protocol = VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG);
	rig.config_most = 36;
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	assert_int_equal(r3_driver_find(rig.dev, NULL, &driver), 0);
	assert_int_equal(driver->attach_block(rig.dev, NULL, &block), 0);
	assert_int_equal(r3_block_get_limits(block)->max_queues, 1);
	r3_block_close(block);
	rig.dev = NULL;
	rig_close(&rig);
	assert_int_equal(rig_heard(&rig, VHOST_USER_SET_MEM_TABLE, &last), 2);
	assert_int_equal(last.payload.memory.nregions, 0);
	assert_int_equal(rig_heard(&rig, VHOST_USER_GET_CONFIG, NULL), 3);
	assert_int_equal(rig_heard(&rig, VHOST_USER_ADD_MEM_REG, NULL), 0);
}

static void no_block_device(void **state)
{
	struct rig rig;

	rig_init(&rig);
	rig.features &= ~VIRTIO_FEATURE(VHOST_USER_F_PROTOCOL_FEATURES);
	assert_int_equal(rig_open(&rig, PATIENCE), -EOPNOTSUPP);
	rig_close(&rig);
	rig_init(&rig);
	rig.protocol &= ~VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG);
	assert_int_equal(rig_open(&rig, PATIENCE), -EOPNOTSUPP);
	assert_non_null(strstr(r3_error_text(), "no vhost-user-blk device"));
	rig_close(&rig);
	rig_init(&rig);
	rig.queues = 0;
	assert_int_equal(rig_open(&rig, PATIENCE), -EIO);
	rig_close(&rig);
	rig_init(&rig);
	rig.queues = UINT64_MAX;
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	assert_int_equal(rig.vuf->nqueues, 16);
	rig_close(&rig);
}

/* ---- lies ---- */

/* Each lie about each message of the way from nothing to a block device: it does not come
 * about, or in spite of it; but it does not hang, and nothing is left. */
static void every_lie(void **state)
{
	static const uint32_t about[] = {
		VHOST_USER_GET_FEATURES,     VHOST_USER_GET_PROTOCOL_FEATURES,
		VHOST_USER_SET_OWNER,        VHOST_USER_GET_QUEUE_NUM,
		VHOST_USER_GET_CONFIG,       VHOST_USER_SET_BACKEND_REQ_FD,
		VHOST_USER_SET_FEATURES,     VHOST_USER_ADD_MEM_REG,
		VHOST_USER_SET_VRING_NUM,    VHOST_USER_SET_VRING_BASE,
		VHOST_USER_SET_VRING_ADDR,   VHOST_USER_SET_VRING_KICK,
		VHOST_USER_SET_VRING_CALL,   VHOST_USER_SET_VRING_ERR,
		VHOST_USER_SET_VRING_ENABLE,
	};

	for (unsigned i = 0; i < sizeof(about) / sizeof(about[0]); i++) {
		for (enum lie lie = REFUSE; lie < NLIES; lie++) {
			const struct r3_driver_v1 *driver;
			struct r3_block *block = NULL;
			struct rig rig;
			int rc;

			rig_init(&rig);
			rig.lie_about = about[i];
			rig.lie = lie;
			rc = rig_open(&rig, 10 * R3_NSEC_PER_MSEC);
			if (rc == 0) {
				assert_int_equal(r3_driver_find(rig.dev, "virtio-blk", &driver), 0);
				rc = driver->attach_block(rig.dev, NULL, &block);
			}
			if (rc == 0) {
				r3_block_close(block);
				rig.dev = NULL;
			}
			/* an answer too many is met when the next one is waited for; a yes that is
			 * longer or shorter may be a no */
			assert_true(rc < 0 || (lie == TWICE && i == 14) ||
				    (lie == REFUSE && i < 5) || lie == EMPTY);
			rig_close(&rig);
		}
	}
}

/* ---- it speaks unasked ---- */

static void tell_change(struct rig *rig, uint32_t flags)
{
	const struct vhost_user_header header = {VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
						 VHOST_USER_VERSION | flags, 0};

	pthread_mutex_lock(&rig->lock);
	assert_int_equal(send(rig->channel, &header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
	pthread_mutex_unlock(&rig->lock);
}

static void a_change_of_the_configuration(void **state)
{
	struct r3_block_event event = {0};
	const struct r3_driver_v1 *driver;
	struct r3_block *block;
	struct pollfd pfd = {.events = POLLIN};
	struct rig rig;

	rig_init(&rig);
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	assert_int_equal(r3_driver_find(rig.dev, NULL, &driver), 0);
	assert_int_equal(driver->attach_block(rig.dev, NULL, &block), 0);
	rig.config.capacity = R3_LE64(4096);
	tell_change(&rig, VHOST_USER_FLAG_NEED_REPLY);
	pfd.fd = r3_block_fd(block);
	for (unsigned i = 0; i < 100 && event.type != R3_BLOCK_EVENT_GEOMETRY; i++) {
		poll(&pfd, 1, 100);
		(void)r3_block_dispatch(block, &event, 1);
	}
	assert_int_equal(event.type, R3_BLOCK_EVENT_GEOMETRY);
	assert_int_equal(r3_block_get_limits(block)->size, 4096 * 512);
	/* a flood of them is asked about one after the other */
	for (unsigned i = 0; i < 50; i++)
		tell_change(&rig, 0);
	for (unsigned i = 0; i < 20; i++) {
		poll(&pfd, 1, 10);
		(void)r3_block_dispatch(block, &event, 1);
	}
	assert_false(r3_device_gone(rig.dev));
	r3_block_close(block);
	rig.dev = NULL;
	rig_close(&rig);
}

static void a_complaint(void **state)
{
	struct r3_event event = {0};
	struct r3_region *bar;
	struct rig rig;

	rig_init(&rig);
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	assert_int_equal(r3_device_region(rig.dev, 0, &bar), 0);
	assert_int_equal(eventfd_write(rig.vuf->err, 1), 0);
	assert_int_equal(wait_for_event(&rig, &event), 1);
	assert_int_equal(event.type, R3_EVENT_ERROR);
	assert_int_equal(r3_read8(bar, VIRTIO_PCI_COMMON(device_status)),
			 VIRTIO_STATUS_DEVICE_NEEDS_RESET);
	assert_int_equal(r3_device_dispatch(rig.dev, &event, 1), 0);
	/* and once more, later */
	assert_int_equal(eventfd_write(rig.vuf->err, 1), 0);
	assert_int_equal(wait_for_event(&rig, &event), 1);
	rig_close(&rig);
}

static void answers_that_nobody_asked_for(void **state)
{
	const struct vhost_user_header header = {VHOST_USER_GET_FEATURES,
						 VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, 8};
	struct r3_event event = {0};
	struct rig rig;

	rig_init(&rig);
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	assert_int_equal(send(rig.sock[0], &header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
	assert_int_equal(send(rig.sock[0], "01234567", 8, MSG_NOSIGNAL), 8);
	assert_int_equal(wait_for_event(&rig, &event), 1);
	assert_int_equal(event.type, R3_EVENT_SERVER_LOST);
	rig_close(&rig);

	rig_init(&rig);
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	assert_int_equal(send(rig.channel, "nonsense nonsense", 17, MSG_NOSIGNAL), 17);
	assert_int_equal(wait_for_event(&rig, &event), 1);
	assert_int_equal(event.type, R3_EVENT_SERVER_LOST);
	rig_close(&rig);
}

/* ---- it dies ---- */

static void a_back_end_that_dies(void **state)
{
	const struct r3_driver_v1 *driver;
	struct r3_blk_req req[8], *list[8], *done[8];
	struct r3_block_event event = {0};
	struct r3_block *block;
	struct r3_blkq *queue;
	uint64_t before;
	unsigned n = 0;
	struct rig rig;
	void *data;

	rig_init(&rig);
	assert_int_equal(rig_open(&rig, PATIENCE), 0);
	assert_int_equal(r3_driver_find(rig.dev, NULL, &driver), 0);
	assert_int_equal(driver->attach_block(rig.dev, NULL, &block), 0);
	assert_int_equal(r3_blkq_open(block, NULL, &queue), 0);
	assert_int_equal(r3_block_alloc(block, 4096, &data), 0);
	const struct r3_sg sg = {data, 4096};
	for (unsigned i = 0; i < 8; i++) {
		req[i] = (struct r3_blk_req){.op = R3_BLK_READ, .nsg = 1, .len = 4096, .sg = &sg};
		list[i] = &req[i];
	}
	assert_int_equal(r3_blkq_submit(queue, list, 8), 8);
	assert_int_equal(r3_blkq_kick(queue), 0);
	rig_die(&rig);
	before = r3_clock_now(r3_clock_system());
	while (n < 8 && r3_clock_now(r3_clock_system()) - before < PATIENCE) {
		(void)r3_blkq_wait(queue, 100 * R3_NSEC_PER_MSEC);
		n += (unsigned)r3_blkq_reap(queue, done + n, 8 - n);
	}
	print_message("known after %u us\n",
		      (unsigned)((r3_clock_now(r3_clock_system()) - before) / 1000));
	assert_int_equal(n, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(req[i].err, -ENODEV);
	assert_int_equal(r3_blkq_submit(queue, list, 1), -ENODEV);
	while (event.type != R3_BLOCK_EVENT_GONE)
		assert_true(r3_block_dispatch(block, &event, 1) >= 0);
	assert_true(r3_device_gone(rig.dev));
	r3_blkq_close(queue);
	r3_block_free(block, data);
	r3_block_close(block);
	rig.dev = NULL;
	rig_close(&rig);
}

/* ---- memory ---- */

static void memory_comes_and_goes(void **state)
{
	for (unsigned old = 0; old < 2; old++) {
		struct r3_vhost_user_msg last;
		struct r3_mem *mem[40];
		unsigned most;
		struct rig rig;
		unsigned n = 1;

		rig_init(&rig);
		if (old)
			rig.protocol &= ~VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
		most = old ? VHOST_USER_MEM_REGIONS : VUF_REGIONS;
		assert_int_equal(rig_open(&rig, PATIENCE), 0);
		for (unsigned i = 0; i < 40; i++) {
			struct r3_dma_extent extent = {.iova = (1 + i) << 20};

			assert_int_equal(r3_mem_create("piece", 8192, 0, &mem[i]), 0);
			assert_int_equal(
				rig.dev->ops->dma_map(rig.dev, mem[i], 4096, 4096, 3, &extent, &n),
				i < most ? 0 : -ENOSPC);
		}
		if (old) {
			assert_int_equal(rig_heard(&rig, VHOST_USER_SET_MEM_TABLE, &last), most);
			assert_int_equal(last.payload.memory.nregions, most);
			assert_int_equal(last.payload.memory.region[0].mmap_offset, 4096);
		}
		assert_int_equal(rig.dev->ops->dma_unmap(rig.dev, 1 << 20, 8192), -ENOENT);
		for (unsigned i = 0; i < most; i++)
			assert_int_equal(rig.dev->ops->dma_unmap(rig.dev, (1 + i) << 20, 4096), 0);
		for (unsigned i = 0; i < 40; i++)
			r3_mem_unref(mem[i]);
		rig_close(&rig);
	}
}

static void quiet(void *ctx, enum r3_log_level level, const char *text)
{
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_is_told),
		cmocka_unit_test(an_old_back_end),
		cmocka_unit_test(no_block_device),
		cmocka_unit_test(every_lie),
		cmocka_unit_test(a_change_of_the_configuration),
		cmocka_unit_test(a_complaint),
		cmocka_unit_test(answers_that_nobody_asked_for),
		cmocka_unit_test(a_back_end_that_dies),
		cmocka_unit_test(memory_comes_and_goes),
	};

	r3_log_sink(R3_LOG_ERROR, quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
