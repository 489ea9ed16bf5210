/* SPDX-License-Identifier: BSD-2-Clause */
/* Standard output: everything is written here, and what could not be is an error. */
#include "output.h"
#include "output_formats.h"
#include <errno.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int output_write(const char *text, size_t len)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	int err = 0;

	/* A reader that went away is an error with a text, not a silent death; and only
	 * here, because a program that we start inherits what is ignored. */
	sigaction(SIGPIPE, &ignore, &before);
	while (len > 0 && !err) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno != EINTR) {
			err = errno;
		}
	}
	sigaction(SIGPIPE, &before, NULL);
	if (!err)
		return 0;
	/* whatever it was, the command failed: EIO, so that no EPERM or ENXIO of the output's
	 * file is taken for one of the device */
	return r3_error_set(EIO, "cannot write to standard output: %s: give it a reader and room",
			    strerror(err));
}

int output_object(enum output_format format, const char *schema, const struct field *fields,
		  const void *object)
{
	char *text = NULL;
	size_t len = 0;
	int rc;

	if (format == OUTPUT_JSON)
		rc = output_json(schema, fields, object, &text, &len);
	else
		rc = output_text(fields, object, &text, &len);
	if (rc == 0)
		rc = output_write(text, len);
	free(text);
	return rc;
}
