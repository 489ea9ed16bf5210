/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `ring3 run --isolate`: the device, its driver and the export as three processes, each a user
 * of its own where root starts them, each in its sandbox. What is between them are two socket
 * pairs: vfio-user from driver to broker, vhost-user from export to driver. None of them can
 * open, connect to or look at anything else.
 */
#ifndef TOOLS_RING3_ISOLATE_H
#define TOOLS_RING3_ISOLATE_H

#include "children.h"
#include "relay.h"
#include "util/tether.h"

#define ISOLATE_REPORT_MAX 8192

struct session;

struct isolation {
	bool on;
	uid_t uid[PARTS]; /* 0: as we are */
	int uid_lock;
	struct r3_tether tether[PARTS];
	struct relay relay;
	int link; /* the export's end of the socket to the driver, until the export has it; -1 */
	int said[PARTS];     /* read ends of their standard output; -1 */
	char *report[PARTS]; /* what they say of themselves, as JSON; NULL: nothing */
};

#define ISOLATION_NONE \
	((struct isolation){ \
		.uid_lock = -1, \
		.relay = RELAY_NONE, \
		.tether = {R3_TETHER_NONE, R3_TETHER_NONE, R3_TETHER_NONE}, \
		.link = -1, \
		.said = {-1, -1, -1}, \
	})

struct isolate_opts {
	/* as typed; all but address and log may be NULL */
	const char *address, *driver, *nsid, *mode, *log;
	bool read_only;
};

/** Start the broker and the driver process in @s, and make what the export needs. Returns 0,
 *  -errno, or the exit code of one of them that could not start, and has said why. */
int isolate_start(struct session *s, const struct isolate_opts *opts);

/** Make the sockets that clients will find, and start the keeper of all that: from here on the
 *  three have a moment to end by themselves when we are killed. */
int isolate_keep(struct session *s);

/** Hear from the driver process once more, now that the export is there: which descriptors it
 *  has. Errors: EIO. */
int isolate_account(struct session *s);

/** Let go of it all; the processes have ended. */
void isolate_close(struct isolation *isolation);

#endif
