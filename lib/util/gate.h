/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A gate between the one thread that runs a queue and the thread that controls the
 * device. The queue's thread passes it on each call of the data path, for the cost of
 * two stores and a load; the control thread pays for closing it.
 *
 * Each side stores its own word and then loads the other's, so each needs a full
 * barrier between the two, or both could go ahead. membarrier(2) lets the control
 * thread execute that barrier for both. Where the kernel lacks it, the queue's thread
 * executes a fence of its own.
 */
#ifndef R3_UTIL_GATE_H
#define R3_UTIL_GATE_H

#include <ring3/clock.h>

struct r3_gate {
	uint32_t inside; /* stored by the queue's thread only */
	uint32_t closed; /* stored by the control thread only */
	bool fence;      /* no membarrier: enter has to fence; fixed at init */
};

/** An open gate. @fence forces the way without membarrier (for tests). */
void r3_gate_init(struct r3_gate *gate, bool fence);

/** Close: afterwards enter fails, and nobody is inside. Called by the queue's own
 *  thread (outside) it never waits. Errors: ETIMEDOUT somebody is still inside; the
 *  gate stays closed. */
int r3_gate_close(struct r3_gate *gate, struct r3_clock *clock, uint64_t timeout_ns);

/** Open: what was stored before is visible to whoever enters. */
void r3_gate_open(struct r3_gate *gate);

static inline void r3_gate_leave(struct r3_gate *gate)
{
	__atomic_store_n(&gate->inside, 0, __ATOMIC_RELEASE);
}

/** Go inside; not recursive. Returns false when the gate is closed. */
static inline bool r3_gate_enter(struct r3_gate *gate)
{
	__atomic_store_n(&gate->inside, 1, __ATOMIC_RELAXED);
	if (__builtin_expect(gate->fence, 0))
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__builtin_expect(!__atomic_load_n(&gate->closed, __ATOMIC_ACQUIRE), 1))
		return true;
	r3_gate_leave(gate);
	return false;
}

#endif
