/* SPDX-License-Identifier: BSD-2-Clause */
/* The server where vfio-user is not built in: the calls are there, for programs that are
 * linked against them, and opening says what is missing. */
#include <ring3/error.h>
#include <ring3/serve.h>

#include <errno.h>

int r3_serve_open(struct r3_device *dev, const char *where, const struct r3_serve_opts *opts,
		  struct r3_serve **out)
{
	return r3_error_set(EOPNOTSUPP,
			    "%s: it cannot be served at %s, because vfio-user is not built in",
			    r3_device_get_info(dev)->name, where);
}

/* nobody has a server to call these with */

void r3_serve_close(struct r3_serve *serve)
{
}

int r3_serve_fd(const struct r3_serve *serve)
{
	return -1;
}

int r3_serve_dispatch(struct r3_serve *serve)
{
	return -EOPNOTSUPP;
}

const char *r3_serve_where(const struct r3_serve *serve)
{
	return "";
}

const char *r3_serve_dead(const struct r3_serve *serve)
{
	return NULL;
}
