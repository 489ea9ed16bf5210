/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory. An r3_mem is a piece of memory that a process can hand to another one
 * and to a device: a memfd sealed against shrinking and growing, mapped here.
 * An r3_arena allocates from an r3_mem; it keeps its books in ordinary memory,
 * where no device can write.
 *
 * Both are reference-counted and may be shared by threads.
 */
#ifndef RING3_MEM_H
#define RING3_MEM_H

#include <ring3/api.h>

R3_BEGIN

struct r3_mem;
struct r3_arena;

enum r3_mem_flags {
	R3_MEM_HUGE = 1 << 0,     /* use huge pages if the host has free ones; else small ones */
	R3_MEM_UNSEALED = 1 << 1, /* import: accept a file that its owner can still shrink */
};

/** Create memory: a new memfd of @size bytes (rounded up to pages), zeroed,
 *  sealed with F_SEAL_SHRINK|GROW|SEAL, mapped shared, not inherited on exec.
 *  @name is for /proc/PID/maps.
 *  Errors: EINVAL size 0 or beyond SIZE_MAX/2; ENOMEM; EMFILE. */
R3_API int r3_mem_create(const char *name, uint64_t size, unsigned flags, struct r3_mem **out);

/** Map @len bytes at @off of somebody else's file. The fd is duplicated; the
 *  caller keeps its own. @off and @len are multiples of the page size (of
 *  the file's, where those are huge).
 *  Errors: EINVAL misaligned or beyond the file's end; EPERM the file can still
 *  shrink (no F_SEAL_SHRINK), which would let its owner kill us by SIGBUS, and
 *  R3_MEM_UNSEALED is not among the @flags; ENOMEM; EMFILE. */
R3_API int r3_mem_import(int fd, uint64_t off, uint64_t len, unsigned flags, struct r3_mem **out);

/** For programs that import memory with R3_MEM_UNSEALED: survive its owner's shrinking it.
 *  Installs a handler of SIGBUS for the whole process, once. A fault in memory imported so
 *  after this call puts a page of zeroes where the file has none any more, in this process
 *  alone, and the access goes on; every other fault goes to the handler that was there
 *  before. Threads need not know.
 *  Errors: those of sigaction(). */
R3_API int r3_sigbus_enable(void);

R3_API struct r3_mem *r3_mem_ref(struct r3_mem *mem);
R3_API void r3_mem_unref(struct r3_mem *mem); /* NULL is allowed */

R3_API void *r3_mem_addr(const struct r3_mem *mem);
R3_API uint64_t r3_mem_size(const struct r3_mem *mem);
/** The fd, and where in it this memory begins. The fd stays the memory's. */
R3_API int r3_mem_fd(const struct r3_mem *mem);
R3_API uint64_t r3_mem_fd_offset(const struct r3_mem *mem);

/** An allocator over bytes [@off, @off+@len) of @mem (which it references).
 *  Errors: EINVAL range outside the memory or misaligned to the page size; ENOMEM. */
R3_API int r3_arena_create(struct r3_mem *mem, uint64_t off, uint64_t len, struct r3_arena **out);
R3_API struct r3_arena *r3_arena_ref(struct r3_arena *arena);
R3_API void r3_arena_unref(struct r3_arena *arena); /* NULL is allowed */

R3_API struct r3_mem *r3_arena_mem(const struct r3_arena *arena);

/** Allocate @size zeroed bytes aligned to @align (a power of two; 0 means 64).
 *  The piece is contiguous in the memory, so contiguous for the device where the
 *  memory is. Above the page size, @align counts from the arena's first byte. Does not
 *  block; takes a lock: not for a data path.
 *  Errors: EINVAL align not a power of two or size 0; ENOMEM no piece that large
 *  is free (the text says how much is). */
R3_API int r3_arena_alloc(struct r3_arena *arena, uint64_t size, uint64_t align, void **out);

/** As r3_arena_alloc(), and no piece crosses a multiple of @boundary (a power of
 *  two, at least @size; 0 means no boundary), counted like @align. */
R3_API int r3_arena_alloc_within(struct r3_arena *arena, uint64_t size, uint64_t align,
				 uint64_t boundary, void **out);

/** Give a piece back. NULL is allowed. Errors: EINVAL @ptr is no live piece of
 *  this arena (freed twice, or never allocated): nothing is changed. */
R3_API int r3_arena_free(struct r3_arena *arena, void *ptr);

/** Bytes in use and bytes in the largest free piece. Either pointer may be NULL. */
R3_API void r3_arena_usage(const struct r3_arena *arena, uint64_t *used, uint64_t *largest);

R3_END
#endif
