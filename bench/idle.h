/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a block device costs that is attached and idle: of this process and all below it,
 * QEMU for one, while the program sleeps on the descriptors as it should.
 */
#ifndef RING3_BENCH_IDLE_H
#define RING3_BENCH_IDLE_H

#include <ring3/block.h>

struct bench_idle {
	double share; /* of one CPU */
	unsigned processes;
	unsigned woken; /* times that a descriptor was readable */
};

/** Be idle for @ns. Nothing may be in flight. False: something completed all the same,
 *  the block failed, or a process came or went meanwhile. */
bool bench_idle(struct r3_block *block, struct r3_blkq *queue, uint64_t ns, struct bench_idle *out);

#endif
