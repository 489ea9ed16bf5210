/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that is after something else. R3_HOSTILE names one attempt of escapes.c, which is
 * made when the driver is loaded (R3_HOSTILE_WHEN=load: as soon as code of it runs) or when it
 * gets its device (attach). What comes of it is told on standard error, for whoever lives to
 * tell.
 */
#include "host/escapes.h"

#include <ring3/driver.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct escape_aims aims;

static void say(const char *what, const char *how)
{
	char line[128];
	int len = snprintf(line, sizeof(line), "hostile: %s%s\n", what, how);

	(void)!write(STDERR_FILENO, line, (size_t)len);
}

static void attempt(const char *when)
{
	const char *name = getenv("R3_HOSTILE"), *asked = getenv("R3_HOSTILE_WHEN");

	if (!name || !asked || strcmp(asked, when) != 0)
		return;
	say("begins", "");
	for (const struct escape *e = escapes; e->name; e++) {
		if (strcmp(e->name, name) != 0)
			continue;
		say(e->name, e->attempt(&aims) ? ": refused" : ": worked");
	}
}

static __attribute__((constructor)) void load(void)
{
	const char *neighbour = getenv("R3_HOSTILE_NEIGHBOUR");
	const char *folder = getenv("R3_HOSTILE_FOLDER");

	aims.neighbour = neighbour ? atoi(neighbour) : 0;
	snprintf(aims.secret, sizeof(aims.secret), "/etc/passwd");
	snprintf(aims.folder, sizeof(aims.folder), "%s", folder ? folder : "/tmp");
	aims.anywhere = &aims;
	attempt("load");
}

static int attach(struct r3_device *dev, const struct r3_block_opts *opts, struct r3_block **out)
{
	attempt("attach");
	return r3_error_set(ENODEV, "hostile: it drives nothing");
}

static const struct r3_driver_v1 hostile = {
	.size = sizeof(hostile),
	.abi = R3_DRIVER_ABI,
	.name = "hostile",
	.summary = "tries to get out",
	.class_id = R3_CLASS_BLOCK,
	.attach_block = attach,
};

R3_DRIVER_OBJECT(hostile);
