/* SPDX-License-Identifier: BSD-2-Clause */
/* What valgrind cannot do, and tests leave out under it. */
#ifndef RING3_TESTS_VALGRIND_H
#define RING3_TESTS_VALGRIND_H

#include "config.h"
#include "unit.h"

#if R3_WITH_VALGRIND
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/** Skip a test that goes on after a fault: valgrind goes on with old registers. */
static inline void test_skip_under_valgrind(void)
{
	if (RUNNING_ON_VALGRIND)
		skip();
}

#endif
