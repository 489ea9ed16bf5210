/* SPDX-License-Identifier: BSD-2-Clause */
/* Opened and closed, again and again: everything is given back. */
#include "suite.h"

#include <errno.h>
#include <string.h>

/* Mappings of files, which no leak checker of the heap sees. */
static unsigned count_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:") != NULL || strstr(line, "/dev/") != NULL;
	fclose(maps);
	return n;
}

static void use(void)
{
	const uint32_t block = suite.limits->block_size;
	struct r3_blkq *queue = suite_queue(0);
	unsigned char *buf = calloc(1, block);

	assert_non_null(buf);
	suite_do(queue, R3_BLK_READ, 0, 0, buf, block);
	free(buf);
	r3_blkq_close(queue);
}

void test_life(void **state)
{
	const uint32_t block = suite.limits->block_size;
	const uint64_t last = suite.limits->size - block;
	unsigned char *wrote = malloc(block), *read = calloc(1, block);
	unsigned fds = 0, maps = 0;

	assert_non_null(wrote);
	assert_non_null(read);
	suite_fill(wrote, block, test_random(&suite.random));
	struct r3_blkq *queue = suite_queue(0);
	suite_do(queue, R3_BLK_WRITE, 0, last, wrote, block);
	r3_blkq_close(queue);

	/* Queues: as many as there may be (or 16), and one after the other. */
	for (unsigned round = 0; round < suite_rounds(8); round++) {
		struct r3_blkq *queues[16];
		unsigned n = suite.limits->max_queues < 16 ? suite.limits->max_queues : 16;
		for (unsigned i = 0; i < n; i++)
			queues[i] = suite_queue(1 + i % suite.limits->max_depth);
		if (n == suite.limits->max_queues) {
			struct r3_blkq *beyond = NULL;
			suite_expect(r3_blkq_open(suite.block, NULL, &beyond), -ENOSPC,
				     "one queue more than max_queues");
		}
		for (unsigned i = 0; i < n; i++)
			suite_do(queues[i], R3_BLK_READ, 0, last, read, block);
		for (unsigned i = 0; i < n; i++)
			r3_blkq_close(queues[(i + round) % n]);
		if (round == 0)
			fds = test_count_fds();
		assert_int_equal(test_count_fds(), fds);
	}
	suite_close();

	for (unsigned round = 0; round < suite_rounds(5) + 1; round++) {
		suite_open();
		use();
		use();
		if (round % 2)
			r3_blkq_close(suite_queue(1));
		suite_close();
		/* the first one may have opened what stays */
		if (round == 0) {
			fds = test_count_fds();
			maps = count_maps();
		}
		assert_int_equal(test_count_fds(), fds);
		assert_int_equal(count_maps(), maps);
	}

	suite_open();
	if (suite.persistent) {
		queue = suite_queue(1);
		suite_do(queue, R3_BLK_READ, 0, last, read, block);
		assert_memory_equal(read, wrote, block);
		r3_blkq_close(queue);
	}
	free(wrote);
	free(read);
}
