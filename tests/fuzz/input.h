/* SPDX-License-Identifier: BSD-2-Clause */
/* The input of a fuzz target, which is a program of small steps. */
#ifndef RING3_TESTS_FUZZ_INPUT_H
#define RING3_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** What must be true whatever the other side does. */
#define MUST(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: it must be true that %s\n", __FILE__, __LINE__, \
				#what); \
			__builtin_trap(); \
		} \
	} while (0)

struct input {
	const uint8_t *at;
	size_t left;
};

/** The next byte; 0 when there are no more. */
static inline uint8_t take8(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

/** Two bytes, little-endian. */
static inline uint16_t take16(struct input *in)
{
	uint8_t low = take8(in);

	return (uint16_t)(low | take8(in) << 8);
}

#endif
