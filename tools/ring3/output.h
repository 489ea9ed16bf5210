/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output. What a command prints is a C struct and a table of its fields; text and
 * JSON are both made from that table, so neither can forget what the other says.
 *
 * Quantities are JSON numbers. Identifiers, addresses and register values are
 * strings in hexadecimal, because that is how they are read, and because many
 * readers of JSON round numbers above 2^53.
 */
#ifndef TOOLS_RING3_OUTPUT_H
#define TOOLS_RING3_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum output_format {
	OUTPUT_TEXT,
	OUTPUT_JSON,
};

/** The C type behind each kind. What is absent is null in JSON and "-" in text. */
enum field_kind {
	FIELD_STRING, /* const char *; NULL: absent */
	FIELD_HEX,    /* struct hex */
	FIELD_NUMBER, /* uint64_t */
	FIELD_TIME,   /* uint64_t, in ns; named NAME_ns, in text NAME with a unit that suits */
	FIELD_RATE,   /* uint64_t, bytes a second; named NAME_bytes_per_s, in text NAME in MB/s */
	FIELD_BOOL,   /* bool */
	FIELD_FLAGS,  /* unsigned, with a name for each bit */
	FIELD_BYTES,  /* struct list of bytes: a dump, in JSON a string of hex digits */
	FIELD_OBJECT, /* const void *, of a struct with fields; NULL: absent */
	FIELD_LIST,   /* struct list, of structs with fields: a table */
};

struct hex {
	uint64_t value;
	unsigned digits; /* at least; 0: absent */
};

struct list {
	const void *item;
	size_t n;
};

struct field {
	const char *name; /* snake_case; NULL ends a table of fields */
	enum field_kind kind;
	size_t at;                  /* offsetof() */
	bool json_only;             /* the reader of text has just typed it, or has no room */
	bool bare;                  /* LIST: no headings in text */
	const char *const *flags;   /* FLAGS: name of bit 0, 1, ...; NULL-ended */
	const struct field *fields; /* OBJECT, LIST */
	size_t stride;              /* LIST: sizeof one */
};

/** One entry: the field is named as the member; further initialisers may follow. */
#define FIELD(type, member, of_kind, ...) \
	{ \
		.name = #member, .kind = FIELD_##of_kind, .at = offsetof(type, member), \
		##__VA_ARGS__ \
	}

/** Write @object to standard output; JSON as {"schema":"ring3.@schema","version":1, ...}.
 *  Errors: ENOMEM, and those of write(2): nothing is lost without an exit code. */
int output_object(enum output_format format, const char *schema, const struct field *fields,
		  const void *object);

/** Write @len bytes to standard output. Errors: those of write(2). */
int output_write(const char *text, size_t len);

#endif
