/* SPDX-License-Identifier: BSD-2-Clause */
/* See confine.h. nbdkit could change its user itself, but only before it knows how it went. */
#include "confine.h"

#include "host/sandbox/sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <json-c/json.h>
#include <malloc.h>
#include <ring3/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define MAX_THREADS 8192 /* 64 for each connection */
#define ARENAS      8

static bool wanted;
static struct sandbox box = {
	.profile = SANDBOX_EXPORT,
	.uid = SANDBOX_SAME_ID,
	.gid = SANDBOX_SAME_ID,
	.max_procs = MAX_THREADS,
	.max_fds = 4096,
	.max_file = UINT64_C(1) << 40, /* memory is a file, too */
};

int confine_config(const char *key, const char *value)
{
	int on;

	if (strcmp(key, "sandbox") == 0) {
		on = nbdkit_parse_bool(value);
		wanted = on > 0;
		return on < 0 ? -1 : 1;
	}
	if (strcmp(key, "uid") == 0)
		return nbdkit_parse_uint32_t("uid", value, &box.uid) ? -1 : 1;
	if (strcmp(key, "gid") == 0)
		return nbdkit_parse_uint32_t("gid", value, &box.gid) ? -1 : 1;
	return 0;
}

int confine_enter(char *text, size_t size)
{
	struct sandbox_report report;
	struct json_object *json;
	int rc;

	*text = 0;
	if (!wanted)
		return 0;
	/* With this many threads malloc asks a file how many CPUs there are. */
	mallopt(M_ARENA_MAX, ARENAS);
	/* libc opens it when the first thread is cancelled, and aborts if it cannot */
	if (!dlopen("libgcc_s.so.1", RTLD_NOW))
		return r3_error_set(ENOENT, "%s", dlerror());
	if (box.uid == SANDBOX_SAME_ID)
		box.max_procs = UINT32_MAX; /* it is the user's processes that would be counted */
	rc = sandbox_enter(&box, &report);
	if (rc)
		return r3_error_prefix(rc, "entering the sandbox");
	json = sandbox_report_json(&box, &report);
	if (json)
		snprintf(text, size, "%s",
			 json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	json_object_put(json);
	return 0;
}
