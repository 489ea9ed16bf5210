/* SPDX-License-Identifier: BSD-2-Clause */
/* An object and its table of fields as JSON. */
#include "output_formats.h"
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the UTF-8 sequence at @s, 0 when it is none (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

/* JSON is UTF-8; a file's name need not be. */
static struct json_object *json_string(const char *text)
{
	char *valid = malloc(strlen(text) + 1), *to = valid;
	struct json_object *json;

	if (!valid)
		return NULL;
	while (*text) {
		size_t len = utf8_length((const unsigned char *)text);

		if (len > 0) {
			memcpy(to, text, len);
			to += len;
			text += len;
		} else {
			*to++ = '?';
			text++;
		}
	}
	json = json_object_new_string_len(valid, (int)(to - valid));
	free(valid);
	return json;
}

static struct json_object *json_hex(const struct hex *hex)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%0*" PRIx64, (int)hex->digits, hex->value);
	return json_object_new_string(text);
}

static struct json_object *json_flags(const char *const *names, unsigned flags)
{
	struct json_object *array = json_object_new_array();

	for (unsigned bit = 0; array && names[bit]; bit++) {
		if (flags & 1u << bit)
			json_object_array_add(array, json_object_new_string(names[bit]));
	}
	return array;
}

static struct json_object *json_bytes(const struct list *bytes)
{
	const unsigned char *byte = bytes->item;
	char *text = malloc(2 * bytes->n + 1);
	struct json_object *json;

	if (!text)
		return NULL;
	for (size_t i = 0; i < bytes->n; i++)
		snprintf(text + 2 * i, 3, "%02x", byte[i]);
	json = json_object_new_string_len(text, (int)(2 * bytes->n));
	free(text);
	return json;
}

static void add_fields(struct json_object *json, const struct field *fields, const void *object);

static struct json_object *json_list(const struct field *field, const struct list *list)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < list->n; i++) {
		struct json_object *one = json_object_new_object();

		if (one)
			add_fields(one, field->fields, list_at(field, list, i));
		json_object_array_add(array, one);
	}
	return array;
}

static struct json_object *json_field(const struct field *field, const void *object)
{
	const void *at = field_at(field, object);
	const void *pointer;
	struct json_object *json = NULL; /* null: absent */

	switch (field->kind) {
	case FIELD_STRING:
		memcpy(&pointer, at, sizeof(pointer));
		return pointer ? json_string(pointer) : NULL;
	case FIELD_HEX:
		return ((const struct hex *)at)->digits ? json_hex(at) : NULL;
	case FIELD_NUMBER:
	case FIELD_TIME:
	case FIELD_RATE:
		return json_object_new_uint64(*(const uint64_t *)at);
	case FIELD_BOOL:
		return json_object_new_boolean(*(const bool *)at);
	case FIELD_FLAGS:
		return json_flags(field->flags, *(const unsigned *)at);
	case FIELD_BYTES:
		return ((const struct list *)at)->item ? json_bytes(at) : NULL;
	case FIELD_LIST:
		return ((const struct list *)at)->item ? json_list(field, at) : NULL;
	case FIELD_OBJECT:
		memcpy(&pointer, at, sizeof(pointer));
		if (pointer)
			json = json_object_new_object();
		if (json)
			add_fields(json, field->fields, pointer);
		return json;
	}
	return NULL;
}

static void add_fields(struct json_object *json, const struct field *fields, const void *object)
{
	for (const struct field *f = fields; f->name; f++)
		json_object_object_add(json, f->name, json_field(f, object));
}

int output_json(const char *schema, const struct field *fields, const void *object, char **text,
		size_t *len)
{
	struct json_object *root = json_object_new_object();
	const char *json = NULL;
	char name[64];

	snprintf(name, sizeof(name), "ring3.%s", schema);
	if (root) {
		json_object_object_add(root, "schema", json_object_new_string(name));
		json_object_object_add(root, "version", json_object_new_int(1));
		add_fields(root, fields, object);
		json = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
								    JSON_C_TO_STRING_SPACED |
								    JSON_C_TO_STRING_NOSLASHESCAPE);
	}
	if (!json || asprintf(text, "%s\n", json) < 0)
		*text = NULL;
	else
		*len = strlen(*text);
	json_object_put(root);
	return *text ? 0 : r3_error_set(ENOMEM, "%s: out of memory for the output", schema);
}
