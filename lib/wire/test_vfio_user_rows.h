/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables of messages, good and bad: a row takes the good message of its command, changes some
 * of it and says what must come of that. Each command of the specification's header must have
 * rows: a new one without any fails.
 */
#ifndef RING3_WIRE_TEST_VFIO_USER_ROWS_H
#define RING3_WIRE_TEST_VFIO_USER_ROWS_H

#include "unit.h"
#include "wire/vfio_user.h"

#include <errno.h>
#include <string.h>

#define ROW_BYTES 8192

/* A row leaves out what it does not change. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct row {
	unsigned cmd;
	const char *what;
	int want;
	int longer; /* bytes more than the good message has; fewer where negative */
	unsigned nfds;
	struct {
		unsigned at, width; /* of the payload; width 0: no change */
		uint64_t value;
	} set[4];
};

/* The good message of a command: its payload, and how long that is. */
typedef unsigned row_good_fn(unsigned cmd, unsigned char payload[ROW_BYTES]);
typedef int row_check_fn(const struct r3_vfio_user_msg *msg);

/* A payload whose end is the end of its memory, for the sanitizers. */
static void run_row(const struct row *row, row_good_fn *good, row_check_fn *check)
{
	unsigned char room[ROW_BYTES] = {0}, *payload;
	unsigned len = good(row->cmd, room) + (unsigned)row->longer;
	struct r3_vfio_user_msg msg = {.len = len, .nfds = row->nfds};
	int rc;

	for (unsigned i = 0; i < 4; i++) {
		/* little-endian hosts and big ones */
		uint64_t value = row->set[i].value;
		uint32_t value32 = (uint32_t)value;

		if (row->set[i].width == 8)
			memcpy(room + row->set[i].at, &value, 8);
		else if (row->set[i].width == 4)
			memcpy(room + row->set[i].at, &value32, 4);
		else if (row->set[i].width)
			room[row->set[i].at] = (unsigned char)value;
	}
	payload = malloc(len ? len : 1);
	assert_non_null(payload);
	memcpy(payload, room, len);
	r3_vfio_user_request(&msg.header, 7, row->cmd, len);
	msg.payload = payload;
	rc = check(&msg);
	free(payload);
	if (rc != row->want)
		fail_msg("%s %s: %d instead of %d", r3_vfio_user_name(row->cmd), row->what, rc,
			 row->want);
}

/* Every command of the header that @takes it has a row that must pass (or must be refused
 * as unsupported) and two that must not. */
static void count_rows(const struct row *rows, size_t n, bool (*takes)(unsigned cmd))
{
	for (unsigned cmd = 1; cmd < VFIO_USER_COMMANDS; cmd++) {
		unsigned good = 0, bad = 0;

		if (!takes(cmd))
			continue;
		for (size_t i = 0; i < n; i++)
			if (rows[i].cmd == cmd && !rows[i].longer && !rows[i].set[0].width &&
			    (!rows[i].want || rows[i].want == -ENOTSUP))
				good++;
			else if (rows[i].cmd == cmd && rows[i].want)
				bad++;
		if (!good || bad < 2)
			fail_msg("%s (%u) has %u good rows and %u bad ones", r3_vfio_user_name(cmd),
				 cmd, good, bad);
	}
}

#endif
