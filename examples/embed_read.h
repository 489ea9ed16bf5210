/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two embedding examples do with a disk: read it in order, several pieces at once,
 * and keep a checksum. The waiting is left to the program's event loop. */
#ifndef EMBED_READ_H
#define EMBED_READ_H

#include <ring3/ring3.h>

#define READ_DEPTH 8
#define READ_PIECE (UINT32_C(128) << 10)

struct reading {
	struct r3_block *block;
	struct r3_blkq *queue;
	unsigned char *memory;  /* READ_DEPTH pieces that the device reaches */
	uint64_t piece;         /* bytes of one, */
	uint64_t size;          /* of all, */
	uint64_t asked, summed; /* and how far we are: asked for in order, summed up in order */
	uint32_t a, b;          /* Adler-32 */
	struct r3_blk_req req[READ_DEPTH];
	struct r3_sg sg[READ_DEPTH];
	bool arrived[READ_DEPTH];
};

/** Open what argv names: ADDRESS [BYTES [MODE]]. Close it in any case. */
int reading_open(struct reading *r, int argc, char **argv);

/** Take what has arrived and ask for more. Never blocks. */
int reading_step(struct reading *r);

static inline bool reading_is_done(const struct reading *r)
{
	return r->summed == r->size;
}

/** Tell what happened to the block device: whenever its fd polls readable. */
void reading_dispatch(struct reading *r);

/** Say how far it is. */
void reading_progress(const struct reading *r);

/** Print the checksum, or why there is none, and close. Returns the exit status. */
int reading_close(struct reading *r, int rc);

#endif
