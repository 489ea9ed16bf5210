/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An object and its table of fields as text: scalars as lines "label  value", lists as
 * tables, bytes as a dump.
 */
#include "output_formats.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDENT 2

struct page {
	FILE *out;
	bool begun; /* something has been printed */
};

static bool is_block(const struct field *field)
{
	return field->kind == FIELD_LIST || field->kind == FIELD_OBJECT ||
	       field->kind == FIELD_BYTES;
}

static const char *string_of(const struct field *field, const void *object)
{
	const char *string;

	memcpy(&string, field_at(field, object), sizeof(string));
	return string;
}

static char *flags_text(const char *const *names, unsigned flags)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const char *between = "";

	if (!out)
		return NULL;
	for (unsigned bit = 0; names[bit]; bit++) {
		if (flags & 1u << bit) {
			fprintf(out, "%s%s", between, names[bit]);
			between = " ";
		}
	}
	if (!*between)
		fputc('-', out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int time_text(uint64_t ns, char **text)
{
	static const char *const units[] = {"us", "ms", "s"};
	double value = (double)ns / 1e3;
	unsigned unit = 0;

	if (ns < 1000)
		return asprintf(text, "%" PRIu64 " ns", ns);
	for (; value >= 999.95 && unit < 2; unit++)
		value /= 1e3;
	return asprintf(text, "%.*f %s", value < 9.995 ? 2 : 1, value, units[unit]);
}

/* The value as text, an allocation; NULL: out of memory. */
static char *cell(const struct field *field, const void *object)
{
	const void *at = field_at(field, object);
	const struct hex *hex;
	char *text = NULL;
	int rc = -1;

	switch (field->kind) {
	case FIELD_STRING:
		text = strdup(string_of(field, object) ? string_of(field, object) : "-");
		rc = 0;
		break;
	case FIELD_HEX:
		hex = at;
		rc = hex->digits ? asprintf(&text, "0x%0*" PRIx64, (int)hex->digits, hex->value)
				 : asprintf(&text, "-");
		break;
	case FIELD_NUMBER:
		rc = asprintf(&text, "%" PRIu64, *(const uint64_t *)at);
		break;
	case FIELD_TIME:
		rc = time_text(*(const uint64_t *)at, &text);
		break;
	case FIELD_RATE:
		rc = asprintf(&text, "%.1f MB/s", (double)*(const uint64_t *)at / 1e6);
		break;
	case FIELD_BOOL:
		rc = asprintf(&text, "%s", *(const bool *)at ? "yes" : "no");
		break;
	case FIELD_FLAGS:
		text = flags_text(field->flags, *(const unsigned *)at);
		rc = 0;
		break;
	case FIELD_BYTES:
	case FIELD_OBJECT:
	case FIELD_LIST:
		break; /* not in a cell */
	}
	if (rc < 0)
		return NULL;
	for (char *c = text; c && *c; c++) {
		if (iscntrl((unsigned char)*c))
			*c = '?'; /* the terminal obeys us, not the device */
	}
	return text;
}

/* How much of a field's name text shows: not its unit, which the value has. */
static int name_length(const struct field *field)
{
	const char *unit = field->kind == FIELD_TIME   ? "_ns"
			   : field->kind == FIELD_RATE ? "_bytes_per_s"
						       : "";

	return (int)(strlen(field->name) - strlen(unit));
}

/* A field's name as a label or as the heading of a column. */
static int print_name(FILE *out, const struct field *field, bool heading)
{
	const char *name = field->name;
	int n = name_length(field);

	for (int i = 0; i < n; i++)
		fputc(heading          ? toupper((unsigned char)name[i])
		      : name[i] == '_' ? ' '
				       : name[i],
		      out);
	return n;
}

static void pad(FILE *out, int from, int to)
{
	for (; from < to; from++)
		fputc(' ', out);
}

/* A block has a title, except where it is all there is. Returns its indentation. */
static int begin_block(struct page *page, const struct field *field, int indent)
{
	if (!page->begun)
		return indent;
	fputc('\n', page->out);
	pad(page->out, 0, indent);
	print_name(page->out, field, false);
	fputs(":\n", page->out);
	return indent + INDENT;
}

static void print_row(FILE *out, const struct field *fields, char **row, const int *width,
		      int indent)
{
	int owed = indent; /* blanks, paid only when something follows */

	for (int i = 0; fields[i].name; i++) {
		int n;

		if (fields[i].json_only)
			continue;
		pad(out, 0, owed);
		if (row)
			n = fprintf(out, "%s", row[i]);
		else
			n = print_name(out, &fields[i], true);
		owed = width[i] - n + INDENT;
	}
	fputc('\n', out);
}

static int print_list(struct page *page, const struct field *field, const struct list *list,
		      int indent)
{
	const struct field *fields = field->fields;
	int columns = 0, rc = 0;
	int *width = NULL;
	char **cells = NULL;
	size_t n = 0;

	if (list->n == 0)
		return 0;
	while (fields[columns].name)
		columns++;
	cells = calloc(list->n, (size_t)columns * sizeof(*cells));
	width = calloc((size_t)columns, sizeof(*width));
	if (!cells || !width) {
		rc = -ENOMEM;
		goto out;
	}
	for (int i = 0; i < columns && !field->bare; i++)
		width[i] = name_length(&fields[i]);
	for (; n < list->n * (size_t)columns; n++) {
		size_t column = n % (size_t)columns;

		cells[n] = cell(&fields[column], list_at(field, list, n / (size_t)columns));
		if (!cells[n]) {
			rc = -ENOMEM;
			goto out;
		}
		if (width[column] < (int)strlen(cells[n]))
			width[column] = (int)strlen(cells[n]);
	}
	indent = begin_block(page, field, indent);
	if (!field->bare)
		print_row(page->out, fields, NULL, width, indent);
	for (size_t i = 0; i < list->n; i++)
		print_row(page->out, fields, cells + i * (size_t)columns, width, indent);
	page->begun = true;
out:
	while (n > 0)
		free(cells[--n]);
	free(cells);
	free(width);
	return rc;
}

#define DUMP_LINE 16

/* Lines equal to the one before are one "*", as in hexdump(1). */
static void print_bytes(struct page *page, const struct field *field, const struct list *bytes,
			int indent)
{
	const unsigned char *byte = bytes->item;
	bool starred = false;

	if (!byte)
		return;
	indent = begin_block(page, field, indent);
	for (size_t at = 0; at < bytes->n; at += DUMP_LINE) {
		size_t len = bytes->n - at < DUMP_LINE ? bytes->n - at : DUMP_LINE;

		if (at > 0 && len == DUMP_LINE &&
		    !memcmp(byte + at, byte + at - DUMP_LINE, DUMP_LINE)) {
			if (!starred) {
				pad(page->out, 0, indent);
				fputs("*\n", page->out);
			}
			starred = true;
			continue;
		}
		starred = false;
		pad(page->out, 0, indent);
		fprintf(page->out, "%03zx:", at);
		for (size_t i = 0; i < len; i++)
			fprintf(page->out, " %02x", byte[at + i]);
		fputc('\n', page->out);
	}
	if (starred) { /* where the repetition ends */
		pad(page->out, 0, indent);
		fprintf(page->out, "%03zx\n", bytes->n);
	}
	page->begun = true;
}

static int print_fields(struct page *page, const struct field *fields, const void *object,
			int indent)
{
	int width = 0, rc = 0;

	for (const struct field *f = fields; f->name; f++) {
		if (!is_block(f) && !f->json_only && name_length(f) > width)
			width = name_length(f);
	}
	for (const struct field *f = fields; f->name && rc == 0; f++) {
		const void *at = field_at(f, object);
		char *text;

		if (f->json_only)
			continue;
		if (f->kind == FIELD_LIST) {
			rc = print_list(page, f, at, indent);
		} else if (f->kind == FIELD_BYTES) {
			print_bytes(page, f, at, indent);
		} else if (f->kind == FIELD_OBJECT) {
			const void *inner;

			memcpy(&inner, at, sizeof(inner));
			if (inner)
				rc = print_fields(page, f->fields, inner,
						  begin_block(page, f, indent));
		} else {
			text = cell(f, object);
			if (!text)
				return -ENOMEM;
			pad(page->out, 0, indent);
			pad(page->out, print_name(page->out, f, false), width + INDENT);
			fprintf(page->out, "%s\n", text);
			free(text);
			page->begun = true;
		}
	}
	return rc;
}

int output_text(const struct field *fields, const void *object, char **text, size_t *len)
{
	struct page page = {.out = open_memstream(text, len)};
	int rc;

	if (!page.out)
		return r3_error_set(ENOMEM, "out of memory for the output");
	rc = print_fields(&page, fields, object, 0);
	if (fclose(page.out) != 0 || rc < 0)
		return r3_error_set(ENOMEM, "out of memory for the output");
	return 0;
}
