/* SPDX-License-Identifier: BSD-2-Clause */
/* Somebody else's memory, as far as its file tells. */
#ifndef RING3_MEM_STRANGER_H
#define RING3_MEM_STRANGER_H

#include <stdbool.h>
#include <stdint.h>

struct r3_mem_file {
	bool sealed;   /* against shrinking */
	uint64_t page; /* bytes of one: what can be mapped is so many of them */
};

/** What the file @fd is. Errors: EINVAL it is neither a memfd nor a file of hugetlbfs: to
 *  read it could block, or it is somebody's data. */
int r3_mem_inspect(int fd, struct r3_mem_file *out);

/** Seal it against shrinking, if its owner left that to others. Returns the flags for
 *  r3_mem_import(): 0, or R3_MEM_UNSEALED, which is for the caller to bear. */
unsigned r3_mem_seal(int fd, const struct r3_mem_file *file);

#endif
