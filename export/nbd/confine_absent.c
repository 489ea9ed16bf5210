/* SPDX-License-Identifier: BSD-2-Clause */
/* See confine.h: where there was no libseccomp to build it with. */
#include "confine.h"

#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

int confine_config(const char *key, const char *value)
{
	if (strcmp(key, "sandbox") && strcmp(key, "uid") && strcmp(key, "gid"))
		return 0;
	nbdkit_error("%s=%s: built without a sandbox: install libseccomp-dev and libcap-ng-dev, "
		     "and build again",
		     key, value);
	return -1;
}

int confine_enter(char *report, size_t size)
{
	*report = 0;
	return 0;
}
