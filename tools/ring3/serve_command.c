/* SPDX-License-Identifier: BSD-2-Clause */
/* ring3 serve on the command line. It is there in every build: what it needs may not be. */
#include "command.h"
#include "serve.h"

static const struct command_option options[] = {
	{"listen", 0, "WHERE", "serve there: unix:PATH, or fd:N, an inherited socket"},
	{"on-disconnect", 0, "WHAT", "reset the device after each client (default), or retain it"},
	{"events", 0, "WHERE", "write what happens as lines of JSON to a file, or to fd:N"},
	{"max-maps", 0, "N", "pieces of memory that a client may map at once (256)"},
	{"max-bytes", 0, "SIZE", "memory that a client may map at once (64G)"},
	{"max-fds", 0, "N", "descriptors that a client may leave here (512)"},
	{"uid", 0, "N", "as root: become this user, once everything is open"},
	{"gid", 0, "N", "and this group; without it, the one of the same number"},
	{"no-sandbox", 0, NULL, "stay as we are: for debuggers, and devices that need threads"},
	{"owner", 0, "fd:N", "end when the other end of this pipe or socket is closed"},
	{0},
};

static const struct command_example examples[] = {
	{"ring3 serve qemu:nvme,size=1G --listen unix:./nvme.sock",
	 "lend an NVMe controller in QEMU to vfio-user:unix:./nvme.sock"},
	{"ring3 serve trace+qemu:edu --listen unix:./edu.sock --events /dev/stderr",
	 "watch clients come and go"},
	{0},
};

const struct command command_serve = {
	.name = "serve",
	.summary = "lend a device to drivers in other processes",
	.usage = "ADDRESS --listen unix:PATH|fd:N",
	.min_words = 1,
	.max_words = 1,
	.description =
		"Opens the device, and serves it on a vfio-user socket, to one client at a time; "
		"whoever opens vfio-user:unix:PATH has it. When a client goes, by whatever death, "
		"the device is made harmless and reset before the next one gets it. Prints one "
		"line when it serves, and serves until SIGINT, SIGTERM, SIGHUP or SIGQUIT, or, "
		"where --listen is a connected socket, until that client goes. What it is not "
		"going to need it gives up before it hears anybody.",
	.options = options,
	.examples = examples,
	.run = serve_run,
};
