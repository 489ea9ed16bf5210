/* SPDX-License-Identifier: BSD-2-Clause */
/* A piece of memory in a scatter-gather list. */
#ifndef RING3_SG_H
#define RING3_SG_H

#include <ring3/api.h>

struct r3_sg {
	void *addr;
	size_t len; /* bytes */
};

#endif
