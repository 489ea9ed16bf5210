/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers in files. Code of a driver runs from dlopen() on, for it may have constructors: so
 * the file is found before the sandbox, and loaded in it, where this file and the system's
 * libraries are all that can still be opened.
 */
#include "host/host.h"

#include <ring3/error.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a driver that needs more than what is loaded already. */
static const char *const libraries[] = {
	"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
};

int host_driver_find(const char *file, struct host_driver *driver)
{
	unsigned n = 0;

	*driver = (struct host_driver){.path = realpath(file, NULL), .fd = -1};
	if (driver->path)
		driver->fd = open(driver->path, O_RDONLY | O_CLOEXEC);
	if (driver->fd < 0) {
		int err = errno;

		free(driver->path);
		return r3_error_set(err, "the driver %s: %s", file, strerror(err));
	}
	driver->may_read[n++] = driver->path;
	for (unsigned i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (access(libraries[i], F_OK) == 0)
			driver->may_read[n++] = libraries[i];
	return 0;
}

/** The folders above it may be closed to who we are now. Then by its descriptor: a debugger,
 *  which finds the file by its name, is worse off. */
static void *load(const struct host_driver *driver)
{
	void *handle = dlopen(driver->path, RTLD_NOW | RTLD_LOCAL);
	char path[32];

	if (handle || access(driver->path, R_OK) == 0)
		return handle;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", driver->fd);
	return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

int host_driver_load(struct host_driver *driver, const struct r3_driver_v1 **out)
{
	void *handle = load(driver);
	int rc = 0;

	if (!handle)
		rc = r3_error_set(ENOEXEC, "the driver cannot be loaded: %s", dlerror());
	else if (!(*out = dlsym(handle, "r3_driver")))
		rc = r3_error_set(ENOEXEC,
				  "%s is no driver: it does not export r3_driver "
				  "(R3_DRIVER_OBJECT, ring3/driver.h)",
				  driver->path);
	close(driver->fd);
	free(driver->path);
	return rc;
}
