/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that grows, shrinks and turns its cache on and off under the requests of several
 * threads, which check them against the limits while dispatch changes those: what is for
 * a thread sanitizer to see. What the threads find wrong they leave as a line number.
 */
#include "unit.h"

#include "driver.h"
#include "stub/virtio_stub.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 2
#define BLOCK   4096u
#define MOST    64u /* blocks of the disk */
#define CHANGES 150

struct worker {
	pthread_t thread;
	struct r3_blkq *queue;
	unsigned char *mem;
	uint64_t random;
	atomic_bool *stop;
	unsigned done, refused;
	atomic_uint turns;
	int wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	for (; !atomic_load(w->stop) && !w->wrong; atomic_fetch_add(&w->turns, 1)) {
		struct r3_sg sg = {w->mem, BLOCK};
		struct r3_blk_req req = {
			.op = (uint8_t)(test_random_below(&w->random, 3)),
			.off = (uint64_t)test_random_below(&w->random, MOST) * BLOCK,
			.len = BLOCK,
		};
		struct r3_blk_req *list = &req;
		int rc;

		if (req.op == R3_BLK_FLUSH) {
			req.op = R3_BLK_WRITE_ZEROES;
			req.flags = R3_BLK_MAY_UNMAP;
		} else {
			req.sg = &sg;
			req.nsg = 1;
		}
		if (req.op != R3_BLK_READ && test_random_below(&w->random, 2))
			req.flags |= R3_BLK_FUA;
		rc = r3_blkq_submit(w->queue, &list, 1);
		w->refused += rc == -EINVAL;
		if (rc == -EINVAL)
			continue;
		if (rc != 1 || r3_blkq_kick(w->queue)) {
			w->wrong = __LINE__;
			break;
		}
		while (!r3_blkq_reap(w->queue, &list, 1))
			;
		/* it passed by the old size, and the device has the new one */
		w->done += !req.err;
		w->refused += req.err == -EIO;
		if (req.err && req.err != -EIO)
			w->wrong = __LINE__;
	}
	return NULL;
}

static void change(struct virtio_stub *stub, uint64_t *random, uint64_t size)
{
	pthread_mutex_lock(&stub->fake->lock);
	stub->writeback = (uint8_t)test_random_below(random, 2);
	virtio_stub_resize(stub, size / VIRTIO_BLK_SECTOR_SIZE);
	pthread_mutex_unlock(&stub->fake->lock);
}

static void test_under_threads(void **state)
{
	const struct virtio_stub_opts stub_opts = {.vectors = 4, .size = MOST * BLOCK};
	const struct r3_blkq_opts poll = {.size = sizeof(poll), .depth = 4, .mode = R3_BLKQ_POLL};
	struct virtio_stub *stub = virtio_stub_new(&stub_opts, NULL);
	struct worker worker[THREADS] = {0};
	uint64_t random = test_seed(), size = MOST * BLOCK;
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), 60 * R3_NSEC_PER_SEC);
	unsigned turns = 0;
	atomic_bool stop = false;
	struct r3_block *block;

	assert_int_equal(r3_driver_virtio_blk.attach_block(virtio_stub_device(stub), NULL, &block),
			 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *mem;

		assert_int_equal(r3_block_alloc(block, BLOCK, &mem), 0);
		assert_int_equal(r3_blkq_open(block, &poll, &worker[i].queue), 0);
		worker[i].mem = mem;
		worker[i].random = test_random(&random);
		worker[i].stop = &stop;
		assert_int_equal(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (unsigned i = 0; i < CHANGES; i++) {
		size = (uint64_t)(1 + test_random_below(&random, MOST)) * BLOCK;
		change(stub, &random, size);
		assert_true(r3_block_dispatch(block, NULL, 0) >= 0);
		while (atomic_load(&worker[i % THREADS].turns) == turns && !worker[0].wrong)
			assert_true(r3_wait_left(&wait) > 0);
		turns = atomic_load(&worker[i % THREADS].turns);
	}
	while (r3_block_get_limits(block)->size != size) {
		assert_true(r3_block_dispatch(block, NULL, 0) >= 0);
		assert_true(r3_wait_left(&wait) > 0);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(worker[i].thread, NULL), 0);
		assert_int_equal(worker[i].wrong, 0);
		assert_true(worker[i].done);
		r3_blkq_close(worker[i].queue);
		r3_block_free(block, worker[i].mem);
	}
	r3_block_close(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_under_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
