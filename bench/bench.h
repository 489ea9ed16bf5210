/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is measured: subjects that read 4 KiB blocks in random order from the device
 * at an address, with so many reads in flight, by polling. Each does the same work on
 * the same kind of device in the same way: take what is complete, ring the completion
 * doorbell once, submit as many again, ring the submission doorbell once.
 */
#ifndef RING3_BENCH_H
#define RING3_BENCH_H

#include <stdint.h>

#define BENCH_LEN       4096u /* bytes of a read */
#define BENCH_DEPTH_MAX 32u
#define BENCH_ENTRIES   64u /* of a queue */

struct subject {
	const char *name;
	int (*open)(const char *address, void **out);
	/** Read for @ns with @depth in flight; *ios completed in *took ns. */
	int (*run)(void *self, unsigned depth, uint64_t ns, uint64_t *ios, uint64_t *took);
	void (*close)(void *self);
};

extern const struct subject bench_floor_nvme;   /* floor_nvme.c: registers and a bare loop */
extern const struct subject bench_floor_virtio; /* floor_virtio.c: the same on a virtqueue */
/* driver.c: r3_block and r3_blkq */
extern const struct subject bench_driver;   /* by polling, as the floors do */
extern const struct subject bench_adaptive; /* as an event loop does on an adaptive queue */

/** The next offset below @blocks blocks of BENCH_LEN, as a number of such blocks. */
static inline uint64_t bench_next(uint64_t *state, uint64_t blocks)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint64_t)(((unsigned __int128)*state * blocks) >> 64);
}

#endif
