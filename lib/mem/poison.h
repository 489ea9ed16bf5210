/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tells ASan and valgrind who owns the bytes of an arena. Both watch malloc() by
 * themselves and know nothing of ours. Shared memory can be filled by a device that
 * neither sees, so a live piece counts as initialised.
 */
#ifndef R3_MEM_POISON_H
#define R3_MEM_POISON_H

#include "config.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define R3_WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define R3_WITH_ASAN 1
#endif
#endif

#ifdef R3_WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if R3_WITH_VALGRIND
#include <valgrind/memcheck.h>
#endif

/** Is anybody looking? Redzones cost memory otherwise. */
static inline bool r3_poison_watched(void)
{
#ifdef R3_WITH_ASAN
	return true;
#elif R3_WITH_VALGRIND
	return RUNNING_ON_VALGRIND;
#else
	return false;
#endif
}

/** Nobody's: every access is an error. */
static inline void r3_poison(void *at, size_t len)
{
#ifdef R3_WITH_ASAN
	__asan_poison_memory_region(at, len);
#endif
#if R3_WITH_VALGRIND
	(void)VALGRIND_MAKE_MEM_NOACCESS(at, len);
#endif
	(void)at;
	(void)len;
}

/** Somebody's, and initialised. */
static inline void r3_unpoison(void *at, size_t len)
{
#ifdef R3_WITH_ASAN
	__asan_unpoison_memory_region(at, len);
#endif
#if R3_WITH_VALGRIND
	(void)VALGRIND_MAKE_MEM_DEFINED(at, len);
#endif
	(void)at;
	(void)len;
}

/** A device has filled it, or may have. */
static inline void r3_filled(void *at, size_t len)
{
#if R3_WITH_VALGRIND
	(void)VALGRIND_MAKE_MEM_DEFINED(at, len);
#endif
	(void)at;
	(void)len;
}

#endif
