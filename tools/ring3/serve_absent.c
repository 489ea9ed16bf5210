/* SPDX-License-Identifier: BSD-2-Clause */
/* ring3 serve where what it needs was not there when ring3 was built. */
#include "command.h"
#include <errno.h>
#include <ring3/error.h>

static int run(const struct args *args)
{
	return r3_error_set(EOPNOTSUPP, "serve is not built in: install libsystemd-dev, "
					"libseccomp-dev and libcap-ng-dev, and build again");
}

static const struct command_example examples[] = {
	{"ring3 serve qemu:nvme,size=1G --listen unix:./nvme.sock", "not in this build"},
	{0},
};

const struct command command_serve = {
	.name = "serve",
	.summary = "lend a device to drivers in other processes (not built in)",
	.usage = "ADDRESS --listen unix:PATH|fd:N",
	.max_words = UINT32_MAX,
	.examples = examples,
	.run = run,
};
