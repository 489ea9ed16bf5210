/* SPDX-License-Identifier: BSD-2-Clause */
/* The two formats of output.h. Each makes one allocation, the caller's to free. */
#ifndef TOOLS_RING3_OUTPUT_FORMATS_H
#define TOOLS_RING3_OUTPUT_FORMATS_H

#include "output.h"

int output_text(const struct field *fields, const void *object, char **text, size_t *len);
int output_json(const char *schema, const struct field *fields, const void *object, char **text,
		size_t *len);

/** The member of @object that @field describes. */
static inline const void *field_at(const struct field *field, const void *object)
{
	return (const char *)object + field->at;
}

/** The @i-th struct of a FIELD_LIST. */
static inline const void *list_at(const struct field *field, const struct list *list, size_t i)
{
	return (const char *)list->item + i * field->stride;
}

#endif
