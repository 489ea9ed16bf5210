/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring of the trace: order, what is overwritten, and threads that meet in it. */
#include "bus/trace_ring.h"
#include "unit.h"

#include <pthread.h>
#include <stdbool.h>

#define SLOTS 64u

/* A record whose parts belong together. */
static struct r3_trace_record record(uint64_t n)
{
	return (struct r3_trace_record){
		.ts_ns = n,
		.arg = {~n, n * 3, n ^ 0x5555},
		.thread = (uint32_t)n,
		.err = (uint32_t)(n >> 3),
		.op = (uint8_t)n,
		.region = (uint8_t)(n >> 8),
		.width = (uint8_t)(n >> 16),
	};
}

static bool is_whole(const struct r3_trace_record *got)
{
	const struct r3_trace_record want = record(got->ts_ns);

	return got->arg[0] == want.arg[0] && got->arg[1] == want.arg[1] &&
	       got->arg[2] == want.arg[2] && got->thread == want.thread && got->err == want.err &&
	       got->op == want.op && got->region == want.region && got->width == want.width;
}

static struct r3_trace_ring *ring_of(uint64_t bytes)
{
	struct r3_trace_ring *ring;

	assert_int_equal(r3_trace_ring_create(bytes, &ring), 0);
	return ring;
}

static void put(struct r3_trace_ring *ring, uint64_t n)
{
	const struct r3_trace_record r = record(n);

	r3_trace_ring_put(ring, &r);
}

static void in_order(void **state)
{
	struct r3_trace_ring *ring = ring_of(SLOTS * 64);
	struct r3_trace_record got;

	assert_int_equal(r3_trace_ring_span(ring).end, 0);
	assert_int_equal(r3_trace_ring_get(ring, 0, &got), R3_TRACE_PENDING);
	for (unsigned i = 0; i < SLOTS; i++)
		put(ring, i);
	assert_int_equal(r3_trace_ring_span(ring).first, 0);
	assert_int_equal(r3_trace_ring_span(ring).end, SLOTS);
	for (unsigned i = 0; i < SLOTS; i++) {
		assert_int_equal(r3_trace_ring_get(ring, i, &got), R3_TRACE_GOT);
		assert_int_equal(got.ts_ns, i);
		assert_true(is_whole(&got));
	}
	r3_trace_ring_free(ring);
}

static void the_oldest_are_overwritten(void **state)
{
	struct r3_trace_ring *ring = ring_of(SLOTS * 64);
	struct r3_trace_record got;
	struct r3_trace_span span;

	for (unsigned i = 0; i < 3 * SLOTS + 5; i++)
		put(ring, i);
	span = r3_trace_ring_span(ring);
	assert_int_equal(span.first, 2 * SLOTS + 5);
	assert_int_equal(span.end, 3 * SLOTS + 5);
	for (uint64_t i = 0; i < span.first; i++)
		assert_int_equal(r3_trace_ring_get(ring, i, &got), R3_TRACE_LOST);
	for (uint64_t i = span.first; i < span.end; i++) {
		assert_int_equal(r3_trace_ring_get(ring, i, &got), R3_TRACE_GOT);
		assert_int_equal(got.ts_ns, i);
	}
	r3_trace_ring_free(ring);
}

/* As many slots as fit, never more, and always one. */
static void size(void **state)
{
	static const struct {
		uint64_t bytes, slots;
	} cases[] = {{0, 1}, {64, 1}, {127, 1}, {128, 2}, {4096, 64}, {8191, 64}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct r3_trace_ring *ring = ring_of(cases[i].bytes);

		for (unsigned n = 0; n < 200; n++)
			put(ring, n);
		assert_int_equal(r3_trace_ring_span(ring).first, 200 - cases[i].slots);
		r3_trace_ring_free(ring);
	}
}

/* ---- threads ---- */

#define WRITERS 4u
#define PUTS    20000u

struct writer {
	struct r3_trace_ring *ring;
	uint64_t from;
};

static void *write_many(void *arg)
{
	struct writer *writer = arg;

	for (uint64_t i = 0; i < PUTS; i++)
		put(writer->ring, writer->from + i);
	return NULL;
}

/* Whatever is got is whole, and of one thread in the order in which it was put. */
static void check(struct r3_trace_ring *ring, uint64_t *got_n, uint64_t *lost_n)
{
	const struct r3_trace_span span = r3_trace_ring_span(ring);
	uint64_t last[WRITERS] = {0};
	struct r3_trace_record got;

	for (uint64_t i = span.first; i < span.end; i++) {
		if (r3_trace_ring_get(ring, i, &got) != R3_TRACE_GOT) {
			++*lost_n;
			continue;
		}
		++*got_n;
		assert_true(is_whole(&got));

		uint64_t who = got.ts_ns >> 32, n = (got.ts_ns & UINT32_MAX) + 1;
		assert_true(who < WRITERS);
		assert_true(n > last[who]);
		last[who] = n;
	}
}

static void threads_with(uint64_t slots)
{
	struct r3_trace_ring *ring = ring_of(slots * 64);
	struct writer writer[WRITERS];
	uint64_t got = 0, lost = 0;
	pthread_t thread[WRITERS];

	for (unsigned i = 0; i < WRITERS; i++) {
		writer[i] = (struct writer){.ring = ring, .from = (uint64_t)i << 32};
		assert_int_equal(pthread_create(&thread[i], NULL, write_many, &writer[i]), 0);
	}
	while (r3_trace_ring_span(ring).end < WRITERS * PUTS)
		check(ring, &got, &lost);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	got = lost = 0;
	check(ring, &got, &lost);
	assert_int_equal(r3_trace_ring_span(ring).end, WRITERS * PUTS);
	assert_int_equal(got + lost, slots);
	/* a record is lost only where one thread slept while others went round */
	assert_true(slots < 64 || got >= slots - WRITERS);
	r3_trace_ring_free(ring);
}

static void threads(void **state)
{
	threads_with(1024);
	threads_with(131072 / 2); /* never goes round twice */
	threads_with(64);
	threads_with(2); /* nearly all of them meet */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(the_oldest_are_overwritten),
		cmocka_unit_test(size),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
