/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of the trace filter: a ring of records, the oldest overwritten first.
 *
 * Any thread puts records at any time, without a lock or a system call: it takes the
 * next number, and with it a slot. A slot's state says whose record is in it and whether it
 * is whole, so a reader, who locks nothing either, knows what it got. When threads meet in
 * one slot, because one was interrupted while others went once round the ring, the
 * record that comes late is dropped, and counts as lost like one that was overwritten.
 */
#ifndef RING3_BUS_TRACE_RING_H
#define RING3_BUS_TRACE_RING_H

#include <stdint.h>

enum r3_trace_op {
	/* arg: offset, value */
	R3_TRACE_READ,
	R3_TRACE_WRITE,
	R3_TRACE_WRITE_FAILED,
	/* arg: as trace_write.c names them */
	R3_TRACE_IRQ_ALLOC,
	R3_TRACE_IRQ_BIND,
	R3_TRACE_IRQ_MASK,
	R3_TRACE_IRQ_UNMASK,
	R3_TRACE_IRQ_TAKEN,
	R3_TRACE_DMA_MEMORY,
	R3_TRACE_DMA_MAP,
	R3_TRACE_DMA_UNMAP,
	R3_TRACE_DMA_SYNC,
	R3_TRACE_RESET,
	R3_TRACE_QUIESCE,
	R3_TRACE_EVENT,
	R3_TRACE_OPS
};

struct r3_trace_record {
	uint64_t ts_ns;
	uint64_t arg[3];
	uint32_t thread;
	uint32_t err; /* errno; 0: it succeeded, or nobody knows yet */
	uint8_t op;   /* enum r3_trace_op */
	uint8_t region;
	uint8_t width; /* bytes */
	uint8_t unused[13];
};

struct r3_trace_ring;

/** A ring that uses about @bytes, at most. Errors: ENOMEM, without a text. */
int r3_trace_ring_create(uint64_t bytes, struct r3_trace_ring **out);
void r3_trace_ring_free(struct r3_trace_ring *ring); /* NULL is allowed */

void r3_trace_ring_put(struct r3_trace_ring *ring, const struct r3_trace_record *record);

/** Numbers of records: those in [first, end) may still be there. */
struct r3_trace_span {
	uint64_t first, end;
};
struct r3_trace_span r3_trace_ring_span(const struct r3_trace_ring *ring);

enum r3_trace_got {
	R3_TRACE_GOT,
	R3_TRACE_PENDING, /* its thread is still putting it */
	R3_TRACE_LOST,
};
enum r3_trace_got r3_trace_ring_get(const struct r3_trace_ring *ring, uint64_t number,
				    struct r3_trace_record *record);

#endif
