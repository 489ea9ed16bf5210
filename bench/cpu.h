/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program and all processes below it, QEMU for one, have used of the CPUs. */
#ifndef RING3_BENCH_CPU_H
#define RING3_BENCH_CPU_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/** A clock in nanoseconds; 0: it is of a process that is gone. */
uint64_t bench_clock_ns(clockid_t clock);

/** CPU time so far of @pid and all below it; *n grows by their number. */
uint64_t bench_cpu_ns(pid_t pid, unsigned *n);

#endif
