/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A regression on purpose: linked with -Wl,--wrap=r3_blkq_submit, every request that is
 * submitted costs a tenth more than it should, and a budget that stays green is none.
 */
#include <ring3/block.h>

#define TURNS 7u /* of three instructions: some 10 % of a 4 KiB read */

int __real_r3_blkq_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n);
int __wrap_r3_blkq_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n);

int __wrap_r3_blkq_submit(struct r3_blkq *queue, struct r3_blk_req *const *reqs, unsigned n)
{
	for (unsigned i = 0; i < n * TURNS; i++)
		__asm__ __volatile__("" : : "r"(i)); /* or the compiler leaves it out */
	return __real_r3_blkq_submit(queue, reqs, n);
}
