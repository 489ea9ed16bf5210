/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No wake-up is lost: every order in which two threads can run the ring's own code, and in
 * which their stores can reach memory, tried one after the other.
 *
 * The race: one side publishes and asks whether the other wants to be told; the other
 * wants to sleep, says so, looks once more and sleeps. The code under test is the one that
 * is shipped, split.h, packed.h, device.c and fetch.c, on a memory of ours in place of
 * barrier.h. That memory is weaker than TSO: a store waits in its thread's buffer for as
 * long as it likes, stores to different places overtake each other unless a write barrier
 * is between them, and only a full fence waits for them. Loads are done in order, for
 * which the read barriers see. A thread's step from one load to the next is not divided:
 * nothing in between can be seen by the other.
 *
 * A state that was met before is not searched again. What a thread does next follows from
 * what it has loaded, so its loads, its buffer and the memory are the state.
 *
 * What is fetched or popped must be what was published, too: not what lay in the ring before.
 *
 * And the search can find something: without either fence, or without the second look, it
 * ends with a side asleep for ever; without the write barriers, with a chain that was not
 * sent.
 */
#define RING3_RING_BARRIER_H /* the memory below in its place */
#include <ring3/region.h>

#define R3_RING_HOT static inline

static uint16_t r3_ring_load16(const uint16_t *at);
static uint32_t r3_ring_load32(const uint32_t *at);
static void r3_ring_store32(uint32_t *at, uint32_t value);
static void r3_ring_store16(uint16_t *at, uint16_t value);
static void r3_ring_fence(void);
static void write_barrier(void);

#define r3_barrier_write  write_barrier
#define r3_barrier_read() ((void)0)
#include "ring/device.c"
#include "ring/fetch.c"
#include "ring/test_rig.h"
#include "ring/virtq.c"

#include <ucontext.h>

enum { PUBLISHER, SLEEPER, THREADS, BUFFER = 8, STACK = 1 << 16, DEEPEST = 400, STATES = 1 << 14 };

/* ---- a memory with store buffers, and two threads on it ---- */

struct store {
	uint16_t *at;
	uint16_t value; /* as it lies in memory */
	unsigned epoch; /* write barriers before it */
};

struct thread {
	ucontext_t context;
	char stack[STACK];
	struct store buffer[BUFFER];
	unsigned nbuffer, epoch;
	uint64_t past; /* hash of all that it loaded */
	bool done, fencing, asleep, signalled;
};

/* What is left out. */
enum mistake {
	NONE,
	NO_FENCE_IN_PUBLISH,
	NO_FENCE_IN_ARM,
	NO_SECOND_LOOK,
	NO_WRITE_BARRIER,
	MISTAKES
};

static struct thread threads[THREADS];
static struct thread *running; /* NULL: neither, and memory is plain */
static ucontext_t scheduler;
static enum mistake mistake;

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static void yield(void)
{
	running->past = mix(running->past, UINT32_MAX);
	swapcontext(&running->context, &scheduler);
}

static uint16_t r3_ring_load16(const uint16_t *at)
{
	uint16_t value;

	if (!running)
		return R3_LE16(*at);
	yield();
	value = *at;
	for (unsigned i = 0; i < running->nbuffer; i++) /* its own, the latest one */
		if (running->buffer[i].at == at)
			value = running->buffer[i].value;
	running->past = mix(running->past, value + 1u);
	return R3_LE16(value);
}

/* Ids and lengths are small here: the upper half, which comes second, stays 0. */
static uint32_t r3_ring_load32(const uint32_t *at)
{
	return r3_ring_load16((const uint16_t *)at);
}

static void r3_ring_store32(uint32_t *at, uint32_t value)
{
	r3_ring_store16((uint16_t *)at, (uint16_t)value);
}

static void r3_ring_store16(uint16_t *at, uint16_t value)
{
	if (!running) {
		*at = R3_LE16(value);
		return;
	}
	assert_true(running->nbuffer < BUFFER);
	running->buffer[running->nbuffer++] = (struct store){at, R3_LE16(value), running->epoch};
}

static void write_barrier(void)
{
	if (running && mistake != NO_WRITE_BARRIER)
		running->epoch++;
}

static void r3_ring_fence(void)
{
	if (!running ||
	    mistake == (running == &threads[PUBLISHER] ? NO_FENCE_IN_PUBLISH : NO_FENCE_IN_ARM))
		return;
	running->fencing = true;
	while (running->nbuffer)
		yield();
	running->fencing = false;
}

/* An interrupt or a notification: it arrives, and is kept if nobody sleeps yet. */
static void signal_sleeper(void)
{
	threads[SLEEPER].signalled = true;
}

static void sleep_until_signalled(void)
{
	running->asleep = true;
	while (!running->signalled)
		yield();
	running->asleep = running->signalled = false;
	running->past = mix(running->past, UINT64_MAX);
}

/** May the store at @i of a thread's buffer reach memory now? */
static bool may_land(const struct thread *t, unsigned i)
{
	if (t->buffer[i].epoch != t->buffer[0].epoch)
		return false;
	for (unsigned j = 0; j < i; j++)
		if (t->buffer[j].at == t->buffer[i].at)
			return false;
	return true;
}

static void land(struct thread *t, unsigned i)
{
	*t->buffer[i].at = t->buffer[i].value;
	t->nbuffer--;
	memmove(&t->buffer[i], &t->buffer[i + 1], (t->nbuffer - i) * sizeof(*t->buffer));
}

/* ---- what the two threads do ---- */

static struct rig rig;
static unsigned todo; /* chains, each published on its own */
static struct r3_virtqd_chain chains[2];
static bool garbled; /* somebody read what was not there yet */

static void device_publishes(void)
{
	for (unsigned i = 0; i < todo; i++) {
		/* the other way round, so that no id is what lay there before */
		r3_virtqd_complete(&rig.d, &chains[todo - 1 - i], 0);
		if (r3_virtqd_publish(&rig.d))
			signal_sleeper();
	}
}

static void driver_sleeps(void)
{
	unsigned got = 0;

	for (;;) {
		uint32_t len;
		uint16_t id;
		int rc;

		while ((rc = r3_virtq_pop(&rig.q, &id, &len)) == 1)
			garbled |= id != todo - ++got;
		garbled |= rc < 0;
		if (got == todo || garbled)
			return;
		if (!r3_virtq_arm(&rig.q) || mistake == NO_SECOND_LOOK)
			sleep_until_signalled();
		r3_virtq_disarm(&rig.q);
	}
}

/* Packed, of two descriptors each: the second must not come after the first. */
static void driver_publishes(void)
{
	for (unsigned i = 0; i < todo; i++) {
		assert_int_equal(rig_push(&rig, (uint16_t)i, rig.q.packed ? 2 : 1, 0, 4, false), 0);
		if (r3_virtq_publish(&rig.q))
			signal_sleeper();
	}
}

static void device_sleeps(void)
{
	struct r3_virtqd_chain chain;
	struct r3_sg sg[2];
	unsigned got = 0;
	int rc;

	for (;;) {
		while ((rc = r3_virtqd_fetch(&rig.d, &chain, sg, 2)) == 1)
			garbled |= chain.id != got++;
		garbled |= rc < 0;
		if (got == todo || garbled)
			return;
		if (!r3_virtqd_arm(&rig.d) || mistake == NO_SECOND_LOOK)
			sleep_until_signalled();
		r3_virtqd_disarm(&rig.d);
	}
}

/* ---- every order ---- */

static bool driver_is_publisher;

static void body(void)
{
	if (driver_is_publisher)
		running == &threads[PUBLISHER] ? driver_publishes() : device_sleeps();
	else
		running == &threads[PUBLISHER] ? device_publishes() : driver_sleeps();
	running->done = true;
	for (;;)
		yield();
}

static void set_up(void)
{
	struct r3_sg sg[2];

	assert_int_equal(r3_virtq_init(&rig.q, &rig.config), 0);
	rig_start_device(&rig);
	r3_virtqd_disarm(&rig.d);
	if (!driver_is_publisher) {
		for (unsigned i = 0; i < todo; i++)
			assert_int_equal(rig_push(&rig, (uint16_t)i, 1, 0, 4, false), 0);
		r3_virtq_publish(&rig.q);
		for (unsigned i = 0; i < todo; i++)
			assert_int_equal(r3_virtqd_fetch(&rig.d, &chains[i], sg, 2), 1);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		struct thread *t = &threads[i];

		t->nbuffer = t->epoch = 0;
		t->past = 0;
		t->done = t->fencing = t->asleep = t->signalled = false;
		getcontext(&t->context);
		t->context.uc_stack.ss_sp = t->stack;
		t->context.uc_stack.ss_size = STACK;
		makecontext(&t->context, body, 0);
	}
}

struct option {
	struct thread *thread;
	unsigned store; /* that lands; BUFFER: the thread goes on to its next load */
};

static unsigned find_options(struct option *option)
{
	unsigned n = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		struct thread *t = &threads[i];

		if (!t->done && !(t->fencing && t->nbuffer) && !(t->asleep && !t->signalled))
			option[n++] = (struct option){t, BUFFER};
		for (unsigned j = 0; j < t->nbuffer; j++)
			if (may_land(t, j))
				option[n++] = (struct option){t, j};
	}
	return n;
}

static uint64_t states[STATES];
static unsigned nstates;

/** Was everything as it is now once before? */
static bool met_before(void)
{
	uint64_t hash = 1;
	unsigned at;

	for (unsigned i = 0; i < THREADS; i++) {
		const struct thread *t = &threads[i];

		hash = mix(hash, t->past);
		hash = mix(hash, (unsigned)t->done | (unsigned)t->fencing << 1 |
					 (unsigned)t->asleep << 2 | (unsigned)t->signalled << 3 |
					 t->nbuffer << 4 | 1u << 31);
		for (unsigned j = 0; j < t->nbuffer; j++) {
			hash = mix(hash, (uintptr_t)t->buffer[j].at);
			hash = mix(hash, t->buffer[j].value | t->buffer[j].epoch << 16);
		}
	}
	for (size_t i = 0; i + 4 <= rig.layout.len; i += 4) {
		uint32_t word;

		memcpy(&word, (unsigned char *)rig.mem + i, sizeof(word));
		hash = mix(hash, word);
	}
	for (at = hash % STATES; states[at]; at = (at + 1) % STATES)
		if (states[at] == hash)
			return true;
	states[at] = hash;
	assert_true(++nstates < STATES / 2);
	return false;
}

/** Try every order, up to states met before. Says whether a wake-up was lost in one, or
 *  something read too early. */
static unsigned search(bool *lost)
{
	unsigned char pick[DEEPEST] = {0}, most[DEEPEST];
	unsigned orders = 0, depth, known = 0;

	memset(states, 0, sizeof(states));
	nstates = 0;
	*lost = garbled = false;
	do {
		bool cut = false;
		struct option option[THREADS * (1 + BUFFER)];
		unsigned n;

		set_up();
		for (depth = 0; (n = find_options(option)); depth++) {
			const struct option *o = &option[pick[depth]];

			/* up to here it goes as the last time */
			cut = depth >= known && met_before();
			if (cut)
				break;
			assert_true(depth < DEEPEST - 1);
			most[depth] = (unsigned char)n;
			if (o->store < BUFFER) {
				land(o->thread, o->store);
				continue;
			}
			running = o->thread;
			swapcontext(&scheduler, &running->context);
			running = NULL;
		}
		orders++;
		if (garbled || (!cut && (!threads[PUBLISHER].done || !threads[SLEEPER].done))) {
			*lost = true;
			break; /* one is enough */
		}
		/* the next order: the last pick that has another after it */
		while (depth && pick[depth - 1] + 1 == most[depth - 1])
			pick[--depth] = 0;
		if (depth)
			pick[depth - 1]++;
		known = depth;
	} while (depth);
	return orders;
}

static void try_all(enum mistake which, unsigned n)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t features = (i & 1 ? RIG_PACKED : 0) | (i & 2 ? RIG_EVENT : 0);
		unsigned orders;
		bool lost;

		rig_open(&rig, i & 1 ? 4 : 2, features);
		driver_is_publisher = i & 4;
		mistake = which;
		todo = n;
		orders = search(&lost);
		fprintf(stderr, "%s%s, %s publishes %u, mistake %d: %u orders, %u states, %s\n",
			i & 1 ? "packed" : "split", i & 2 ? " with event index" : "",
			i & 4 ? "driver" : "device", n, which, orders, nstates,
			lost ? "WRONG" : "all well");
		assert_int_equal(lost, which != NONE);
		assert_true(lost || nstates > 20);
		rig_close(&rig);
	}
}

static void no_wakeup_is_lost(void **state)
{
	for (unsigned n = 1; n <= 2; n++) /* 2: round the ring */
		try_all(NONE, n);
}

static void every_mistake_is_found(void **state)
{
	for (enum mistake which = NONE + 1; which < MISTAKES; which++)
		try_all(which, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wakeup_is_lost),
		cmocka_unit_test(every_mistake_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
