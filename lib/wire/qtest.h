/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The qtest protocol of QEMU (docs/devel/qtest.rst): lines of text, one command, one
 * reply, with interrupt lines in between. Encoding and decoding alone: no socket.
 *
 * QEMU aborts on a command that it cannot parse, so nothing here encodes one.
 */
#ifndef RING3_WIRE_QTEST_H
#define RING3_WIRE_QTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum r3_qtest_space {
	R3_QTEST_MEMORY, /* physical addresses; widths 1, 2, 4, 8 */
	R3_QTEST_PORT,   /* I/O ports 0 .. 0xffff; widths 1, 2, 4 */
};

#define R3_QTEST_COMMAND_MAX 64

/** Encode a read, or a write of @value, with its newline. Returns the length, or 0
 *  where QEMU has no such access (width, or an address outside the space). */
size_t r3_qtest_encode_read(char out[R3_QTEST_COMMAND_MAX], enum r3_qtest_space space,
			    uint64_t address, unsigned width);
size_t r3_qtest_encode_write(char out[R3_QTEST_COMMAND_MAX], enum r3_qtest_space space,
			     uint64_t address, unsigned width, uint64_t value);

/** Send the changes of the I/O APIC's input lines here instead of to the guest. */
#define R3_QTEST_INTERCEPT_IOAPIC "irq_intercept_in ioapic\n"

enum r3_qtest_kind {
	R3_QTEST_OK,     /* reply; value is valid where has_value */
	R3_QTEST_FAILED, /* reply: the command was refused */
	R3_QTEST_IRQ,    /* no reply: line went up or down */
};

struct r3_qtest_line {
	enum r3_qtest_kind kind;
	bool has_value, raised;
	unsigned line;
	uint64_t value;
};

/** Decode one line without its newline. Errors: EPROTO not a line of the protocol. */
int r3_qtest_decode(const char *text, size_t len, struct r3_qtest_line *out);

/** Cuts a stream of bytes into lines. Zeroed: empty. */
struct r3_qtest_stream {
	char bytes[4096];
	size_t begin, end;
};

/** Where to put bytes received, and how many fit (at least 1 after all complete lines
 *  have been taken); then r3_qtest_stream_add() with how many came. */
char *r3_qtest_stream_room(struct r3_qtest_stream *stream, size_t *room);
void r3_qtest_stream_add(struct r3_qtest_stream *stream, size_t n);

/** Take the next complete line. Returns 1, 0 when there is none yet, or
 *  -EPROTO: not the protocol, or a line without an end. */
int r3_qtest_stream_next(struct r3_qtest_stream *stream, struct r3_qtest_line *out);

#endif
