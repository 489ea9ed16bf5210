/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How two sides that share a ring touch it: every field that the other side may be
 * writing is read once, and every index that it polls is written once, in little-endian.
 *
 * Beside the read and the write barrier of region.h a ring needs a full one, because each
 * side stores what it did and then loads what the other side wants to be told. x86, too,
 * moves such a load before the store.
 */
#ifndef RING3_RING_BARRIER_H
#define RING3_RING_BARRIER_H

#include <ring3/region.h>

/* For what every request passes through. Left alone the compiler makes calls of it, at a
 * cost of a dozen instructions each. */
#define R3_RING_HOT static inline __attribute__((always_inline))

/** Stores before it are visible to the other side before loads after it are done. */
static inline void r3_ring_fence(void)
{
#if defined(__aarch64__)
	__asm__ __volatile__("dmb osh" ::: "memory"); /* devices are in the outer domain */
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* The barriers order these. A thread sanitizer knows of no barriers: it has to see the order
 * in the accesses themselves, or it would call every ring a race. */
#if defined(__SANITIZE_THREAD__)
#define R3_RING_SANITIZED 1
#elif defined(__has_feature)
#define R3_RING_SANITIZED __has_feature(thread_sanitizer)
#else
#define R3_RING_SANITIZED 0
#endif
#define R3_RING_LOAD  (R3_RING_SANITIZED ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED)
#define R3_RING_STORE (R3_RING_SANITIZED ? __ATOMIC_RELEASE : __ATOMIC_RELAXED)

static inline uint16_t r3_ring_load16(const uint16_t *at)
{
	return R3_LE16(__atomic_load_n(at, R3_RING_LOAD));
}

static inline uint32_t r3_ring_load32(const uint32_t *at)
{
	return R3_LE32(__atomic_load_n(at, R3_RING_LOAD));
}

static inline void r3_ring_store32(uint32_t *at, uint32_t value)
{
	__atomic_store_n(at, R3_LE32(value), R3_RING_STORE);
}

static inline void r3_ring_store16(uint16_t *at, uint16_t value)
{
	__atomic_store_n(at, R3_LE16(value), R3_RING_STORE);
}

#endif
