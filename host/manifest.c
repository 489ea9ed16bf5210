/* SPDX-License-Identifier: BSD-2-Clause */
/* See manifest.h. */
#include "host/manifest.h"
#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFL) >= 0;
}

int manifest_open(struct manifest *manifest, const int *keep, unsigned n)
{
	memset(manifest, 0, sizeof(*manifest));
	manifest->object = json_object_new_object();
	if (!manifest->object)
		return r3_error_set(ENOMEM, "no memory");
	json_object_object_add(manifest->object, "schema",
			       json_object_new_string("ring3.host.manifest"));
	json_object_object_add(manifest->object, "version", json_object_new_int(1));
	r3_fd_close_others(keep, n, sysconf(_SC_OPEN_MAX));
	manifest_name(manifest, STDIN_FILENO, "standard input");
	manifest_name(manifest, STDOUT_FILENO, "standard output");
	manifest_name(manifest, STDERR_FILENO, "standard error");
	return 0;
}

void manifest_close(struct manifest *manifest)
{
	json_object_put(manifest->object);
}

void manifest_name(struct manifest *manifest, int fd, const char *purpose)
{
	if (fd >= 0 && fd < MANIFEST_FDS)
		manifest->purpose[fd] = purpose;
}

void manifest_enter(struct manifest *manifest, const char *purpose)
{
	for (int fd = 0; fd < MANIFEST_FDS; fd++)
		if (!is_open(fd))
			manifest->purpose[fd] = NULL;
		else if (!manifest->purpose[fd])
			manifest->purpose[fd] = purpose;
}

static int write_all(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return r3_error_set(EIO, "standard output: %s", strerror(errno));
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/** {"purpose":...,"fd":[...]} of what has the same purpose as @first, if that is the first. */
static struct json_object *group(const struct manifest *manifest, int first)
{
	const char *purpose = manifest->purpose[first];
	struct json_object *object, *fds;

	for (int fd = 0; fd < first; fd++)
		if (manifest->purpose[fd] && strcmp(manifest->purpose[fd], purpose) == 0)
			return NULL;
	object = json_object_new_object();
	fds = json_object_new_array();
	for (int fd = first; fd < MANIFEST_FDS; fd++)
		if (manifest->purpose[fd] && strcmp(manifest->purpose[fd], purpose) == 0)
			json_object_array_add(fds, json_object_new_int(fd));
	json_object_object_add(object, "purpose", json_object_new_string(purpose));
	json_object_object_add(object, "fd", fds);
	return object;
}

int manifest_print(struct manifest *manifest, const struct sandbox *box,
		   const struct sandbox_report *report)
{
	struct json_object *groups = json_object_new_array();
	const char *text;

	for (int fd = 0; fd < MANIFEST_FDS; fd++) {
		struct json_object *one = manifest->purpose[fd] ? group(manifest, fd) : NULL;

		if (one)
			json_object_array_add(groups, one);
	}
	json_object_object_add(manifest->object, "fds", groups);
	json_object_object_add(manifest->object, "sandbox", sandbox_report_json(box, report));
	text = json_object_to_json_string_ext(manifest->object, JSON_C_TO_STRING_PLAIN);
	if (!text)
		return r3_error_set(ENOMEM, "no memory for the manifest");
	int rc = write_all(text, strlen(text));
	return rc < 0 ? rc : write_all("\n", 1);
}
