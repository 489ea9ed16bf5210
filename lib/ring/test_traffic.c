/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random traffic through a virtqueue, in one thread, where every step's outcome is known,
 * and in two, where a wake-up lost would be the end of it.
 */
#include "ring/test_rig.h"

#include <pthread.h>
#include <semaphore.h>

enum { SG = 2 * RIG_PIECES, BATCH = 32 };

/* ---- what the driver sends, and what must come back ---- */

struct sent {
	uint32_t serial;
	uint32_t writable;
	unsigned nout, nin;
	bool in_flight;
};

static unsigned char pattern(uint32_t serial, uint64_t i)
{
	return (unsigned char)(serial * 37 + i * 11 + 5);
}

/** Push a random chain under @id: every byte to be read has its pattern. */
static int send_random(struct rig *rig, uint64_t *seed, uint16_t id, uint32_t serial,
		       struct sent *sent)
{
	unsigned n =
		1 + test_random_below(seed, rig->q.size < RIG_PIECES ? rig->q.size : RIG_PIECES);
	unsigned nout = test_random_below(seed, n + 1);
	uint32_t len = 1 + test_random_below(seed, RIG_PIECE);
	bool table = rig->q.indirect && test_random_below(seed, 2);
	int rc = rig_push(rig, id, nout, n - nout, len, table);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < n; i++)
		for (uint32_t j = 0; j < len; j++)
			rig_piece(rig, id, i)[j] =
				i < nout ? pattern(serial, i * (uint64_t)len + j) : 0;
	*sent = (struct sent){serial, (n - nout) * len, nout, n - nout, true};
	return 0;
}

/* The device answers with what it read last, so that the driver can tell whose it is. */
static uint32_t answer(uint64_t *seed, const struct r3_virtqd_chain *chain, const struct r3_sg *sg,
		       bool whole)
{
	uint32_t written = (uint32_t)chain->in_len, left;
	uint64_t at = 0;
	unsigned char first = chain->nout ? *(unsigned char *)sg[0].addr : 0;

	for (unsigned i = 0; i < chain->nout; i++)
		for (size_t j = 0; j < sg[i].len; j++, at++)
			assert_int_equal(((unsigned char *)sg[i].addr)[j],
					 (unsigned char)(first + at * 11));
	assert_int_equal(at, chain->out_len);
	if (!whole)
		written = test_random_below(seed, written + 1);
	left = written;
	for (unsigned i = chain->nout; i < chain->nout + chain->nin; i++)
		for (size_t j = 0; j < sg[i].len && left; j++, left--)
			((unsigned char *)sg[i].addr)[j] = (unsigned char)(first + 1);
	assert_int_equal(left, 0);
	return written;
}

static void check_answer(const struct rig *rig, uint16_t id, uint32_t len, struct sent *sent)
{
	assert_true(sent->in_flight);
	assert_in_range(len, 0, sent->writable);
	if (sent->nin && len)
		assert_int_equal(*rig_piece(rig, id, sent->nout),
				 sent->nout ? (unsigned char)(pattern(sent->serial, 0) + 1) : 1);
	sent->in_flight = false;
}

/* ---- one thread ---- */

struct held {
	struct r3_virtqd_chain chain;
	struct r3_sg sg[SG];
};

/** Random steps of both sides. `told` is that a side was woken, `sleeps` that it waits for
 *  it; a side that sleeps untold while there is something for it has lost a wake-up. */
static void random_steps(uint64_t *seed, uint32_t size, uint64_t features, unsigned steps)
{
	struct sent sent[64] = {{0}};
	struct held held[64];
	bool driver_sleeps = false, device_sleeps = false;
	uint32_t serial = 0, popped = 0, oldest = 0, nheld = 0, len;
	unsigned ids = size < 64 ? size : 64;
	uint16_t id;
	struct rig rig;
	int rc;

	rig_open(&rig, size, features);
	if (test_random_below(seed, 2))
		rig.border = 1 + test_random_below(seed, 200);
	for (unsigned step = 0; step < steps; step++) {
		switch (test_random_below(seed, 8)) {
		case 0:
		case 1:
			id = (uint16_t)test_random_below(seed, ids);
			if (sent[id].in_flight)
				break;
			rc = send_random(&rig, seed, id, serial, &sent[id]);
			assert_true(rc == 0 || rc == -EAGAIN);
			serial += rc == 0;
			break;
		case 2:
			if (r3_virtq_publish(&rig.q))
				device_sleeps = false;
			break;
		case 3:
			if (nheld == 64)
				break;
			rc = r3_virtqd_fetch(&rig.d, &held[nheld].chain, held[nheld].sg,
					     rig.border ? SG : RIG_PIECES);
			if (rc == -EPROTO && rig.border)
				goto out; /* cut into more pieces than there was room for */
			assert_in_range(rc, 0, 1);
			nheld += (unsigned)rc;
			break;
		case 4:
			if (nheld) {
				bool order = features & RIG_ORDER;
				uint32_t i = order ? 0 : test_random_below(seed, nheld);

				len = answer(seed, &held[i].chain, held[i].sg,
					     test_random_below(seed, 2));
				r3_virtqd_complete(&rig.d, &held[i].chain, len);
				nheld--;
				memmove(&held[i], &held[i + 1], (nheld - i) * sizeof(*held));
			}
			break;
		case 5:
			if (r3_virtqd_publish(&rig.d))
				driver_sleeps = false;
			break;
		case 6:
			rc = r3_virtq_pop(&rig.q, &id, &len);
			assert_in_range(rc, 0, 1);
			if (rc) {
				if (features & RIG_ORDER)
					assert_int_equal(sent[id].serial, oldest++);
				check_answer(&rig, id, len, &sent[id]);
				popped++;
			}
			break;
		case 7:
			switch (test_random_below(seed, 4)) {
			case 0:
				driver_sleeps = !r3_virtq_arm(&rig.q);
				break;
			case 1:
				device_sleeps = !r3_virtqd_arm(&rig.d);
				break;
			case 2:
				r3_virtq_disarm(&rig.q);
				driver_sleeps = false;
				break;
			case 3:
				r3_virtqd_disarm(&rig.d);
				device_sleeps = false;
				break;
			}
		}
		assert_false(driver_sleeps && rig.d.published != popped);
		assert_false(device_sleeps && rig.q.published != rig.d.fetched);
		assert_int_equal(r3_virtq_in_flight(&rig.q), serial - popped);
	}
	assert_true(popped > 0);
out:
	rig_close(&rig);
}

static void one_thread(void **state)
{
	static const uint32_t split[] = {1, 4, 64, 256}, packed[] = {1, 3, 7, 100};
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < 16; i++)
		for (unsigned j = 0; j < 4; j++)
			random_steps(&seed, rig_features(i) & RIG_PACKED ? packed[j] : split[j],
				     rig_features(i), 8000);
}

/* ---- two threads ---- */

struct duet {
	struct rig rig;
	sem_t kick, interrupt;
	unsigned todo; /* chains */
	bool lost;     /* the device slept too long */
};

/* Long after any wake-up. */
static bool wait_for(sem_t *sem)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 20;
	return sem_timedwait(sem, &end) == 0;
}

static void *device_thread(void *arg)
{
	struct duet *duet = arg;
	struct r3_virtqd *d = &duet->rig.d;
	struct r3_virtqd_chain chain;
	struct r3_sg sg[SG];

	for (unsigned done = 0; done < duet->todo;) {
		unsigned before = done;

		r3_virtqd_disarm(d);
		while (r3_virtqd_fetch(d, &chain, sg, SG) == 1) {
			unsigned char first = *(unsigned char *)sg[0].addr;

			memset(sg[1].addr, first + 1, sg[1].len);
			r3_virtqd_complete(d, &chain, (uint32_t)sg[1].len);
			done++;
			if (done % 3 == 0 && r3_virtqd_publish(d))
				sem_post(&duet->interrupt);
		}
		if (r3_virtqd_publish(d))
			sem_post(&duet->interrupt);
		if (done == before && !r3_virtqd_arm(d) && !wait_for(&duet->kick)) {
			duet->lost = true;
			return NULL;
		}
	}
	return NULL;
}

static void two_threads_with(uint32_t size, uint64_t features, unsigned todo)
{
	struct duet *duet = calloc(1, sizeof(*duet));
	unsigned sent = 0, got = 0, depth = size / 2 < BATCH ? size / 2 : BATCH;
	uint16_t unused[BATCH], nunused = 0;
	struct rig *rig = &duet->rig;
	pthread_t thread;

	assert_non_null(duet);
	rig_open(rig, size, features);
	duet->todo = todo;
	sem_init(&duet->kick, 0, 0);
	sem_init(&duet->interrupt, 0, 0);
	for (unsigned i = 0; i < depth; i++)
		unused[nunused++] = (uint16_t)i;
	assert_int_equal(pthread_create(&thread, NULL, device_thread, duet), 0);
	while (got < todo) {
		unsigned before = got + sent;
		uint16_t id;
		uint32_t len;
		int rc;

		r3_virtq_disarm(&rig->q);
		while (nunused && sent < todo) {
			id = unused[--nunused];
			*rig_piece(rig, id, 0) = (unsigned char)sent;
			*rig_piece(rig, id, 1) = (unsigned char)sent;
			assert_int_equal(rig_push(rig, id, 1, 1, 8, rig->q.indirect && sent & 1),
					 0);
			sent++;
			if (sent % 5 == 0)
				break;
		}
		if (r3_virtq_publish(&rig->q))
			sem_post(&duet->kick);
		while ((rc = r3_virtq_pop(&rig->q, &id, &len)) == 1) {
			assert_int_equal(len, 8);
			assert_int_equal(*rig_piece(rig, id, 1),
					 (unsigned char)(*rig_piece(rig, id, 0) + 1));
			unused[nunused++] = id;
			got++;
		}
		assert_int_equal(rc, 0);
		if (got + sent == before && !r3_virtq_arm(&rig->q) && !wait_for(&duet->interrupt)) {
			fail_msg("the driver slept with %u of %u popped", got, todo);
		}
	}
	pthread_join(thread, NULL);
	assert_false(duet->lost);
	sem_destroy(&duet->kick);
	sem_destroy(&duet->interrupt);
	rig_close(rig);
	free(duet);
}

static void two_threads(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		uint64_t features = rig_features(i);

		two_threads_with(features & RIG_PACKED ? 5 : 4, features, 2000);
		two_threads_with(features & RIG_PACKED ? 99 : 128, features, 2000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread),
		cmocka_unit_test(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
