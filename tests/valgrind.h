/* SPDX-License-Identifier: BSD-2-Clause */
/* What valgrind and qemu-user cannot do, and tests leave out under them. */
#ifndef RING3_TESTS_VALGRIND_H
#define RING3_TESTS_VALGRIND_H

#include "config.h"
#include "unit.h"

#ifndef R3_EMULATED
#define R3_EMULATED 0
#endif

#if R3_WITH_VALGRIND
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/** Skip a test that goes on after a fault: valgrind goes on with old registers, and qemu-user
 *  not at all. */
static inline void test_skip_after_fault(void)
{
	if (RUNNING_ON_VALGRIND || R3_EMULATED)
		skip();
}

/** Skip a test in which the kernel runs into a limit of descriptors: valgrind keeps the soft limit
 *  to itself, for the calls that it knows to make one. */
static inline void test_skip_fd_limit(void)
{
	if (RUNNING_ON_VALGRIND)
		skip();
}

/** Skip a test that passes descriptors on: qemu-user forgets which of them are eventfds, whose
 *  counts it has to swap, and what there was no room for. */
static inline void test_skip_passed_fds(void)
{
	if (R3_EMULATED)
		skip();
}

#endif
