/* SPDX-License-Identifier: BSD-2-Clause */
/* ring3 serve where what it needs was not there when ring3 was built. */
#include "serve.h"

#include <errno.h>
#include <ring3/error.h>

int serve_run(const struct args *args)
{
	return r3_error_set(EOPNOTSUPP, "serve is not built in: install libsystemd-dev, "
					"libseccomp-dev and libcap-ng-dev, and build again");
}
