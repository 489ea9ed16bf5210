/* SPDX-License-Identifier: BSD-2-Clause */
/* Seeded mistakes. If a sanitizer or valgrind run of this program stays green, then the
 * green of all other tests means nothing. */
#include <ring3/mem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile unsigned char sink;

static struct r3_arena *make_arena(void)
{
	struct r3_mem *mem;
	struct r3_arena *arena;
	if (r3_mem_create("red", 1 << 20, 0, &mem) < 0 ||
	    r3_arena_create(mem, 0, 1 << 20, &arena) < 0)
		exit(0); /* green, so the test fails */
	r3_mem_unref(mem);
	return arena;
}

static void *make_piece(struct r3_arena *arena, size_t size)
{
	void *piece;
	if (r3_arena_alloc(arena, size, 0, &piece) < 0)
		exit(0);
	return piece;
}

int main(int argc, char **argv)
{
	const char *mistake = argc > 1 ? argv[1] : "";

	if (strcmp(mistake, "none") == 0) {
		struct r3_arena *arena = make_arena();
		void *piece = make_piece(arena, 100);
		memset(piece, 1, 100);
		r3_arena_free(arena, piece);
		r3_arena_unref(arena);
	} else if (strcmp(mistake, "leak") == 0) {
		/* written over, so that no stack slot keeps the pointer */
		void *volatile lost = malloc(100);
		lost = NULL;
		(void)lost;
	} else if (strcmp(mistake, "overflow") == 0) {
		unsigned char *volatile heap = malloc(100);
		heap[100] = 1;
		free(heap);
	} else if (strcmp(mistake, "use-after-free") == 0) {
		unsigned char *volatile heap = malloc(100);
		free(heap);
		sink = heap[5];
	} else if (strcmp(mistake, "arena-overflow") == 0) {
		unsigned char *volatile piece = make_piece(make_arena(), 128);
		piece[128] = 1;
	} else if (strcmp(mistake, "arena-use-after-free") == 0) {
		struct r3_arena *arena = make_arena();
		unsigned char *volatile piece = make_piece(arena, 128);
		r3_arena_free(arena, piece);
		sink = piece[5];
	} else {
		fprintf(stderr, "usage: red MISTAKE\n");
		return 0;
	}
	return 0;
}
