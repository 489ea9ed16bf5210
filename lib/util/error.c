/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of each thread's last failure. A fixed buffer, so that running out of memory
 * can be told as well. */
#include "util/kept_text.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX R3_ERROR_TEXT_MAX

static _Thread_local char error_text[TEXT_MAX];

const char *r3_error_text(void)
{
	return error_text;
}

/* Texts are built aside, because r3_error_text() may be among the arguments. */
static void keep(const char *text)
{
	memcpy(error_text, text, strnlen(text, TEXT_MAX - 1) + 1);
}

void r3_error_keep(struct r3_kept_text *kept)
{
	memcpy(kept->text, error_text, TEXT_MAX);
}

void r3_error_put_back(const struct r3_kept_text *kept)
{
	memcpy(error_text, kept->text, TEXT_MAX);
}

int r3_error_set(int err, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	keep(text);
	return -err;
}

int r3_error_prefix(int rc, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);

	strncat(text, ": ", sizeof(text) - 1 - strlen(text));
	strncat(text, error_text, sizeof(text) - 1 - strlen(text));
	keep(text);
	return rc;
}
