/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is named when those that serve have fallen down, one after the other. */
#include "children.h"
#include "unit.h"

#include <signal.h>
#include <string.h>

#define ENDED(code) ((code) << 8) /* as waitpid(2) has them */
#define KILLED(sig) (sig)
#define ALIVE       (-1)

static void test_cause(void **state)
{
	static const struct {
		const char *what;
		int status[PARTS];
		unsigned round[PARTS];
		const char *named; /* NULL: nobody */
	} rows[] = {
		{"all are alive", {ALIVE, ALIVE, ALIVE}, {0}, NULL},
		{"one is killed, and seen last",
		 {ENDED(0), KILLED(SIGKILL), ENDED(1)},
		 {1, 3, 2},
		 "the driver process"},
		{"the device goes", {ENDED(1), ENDED(1), ENDED(0)}, {2, 1, 1}, "the broker"},
		{"the driver fails", {ENDED(0), ENDED(1), ENDED(0)}, {2, 1, 2}, "the driver"},
		{"the same, seen at once", {ENDED(0), ENDED(1), ENDED(0)}, {1, 1, 1}, "the driver"},
		{"the broker was told to end",
		 {ENDED(0), ENDED(1), ENDED(0)},
		 {1, 2, 3},
		 "the broker"},
		{"the export was", {ENDED(0), ENDED(0), ENDED(0)}, {3, 2, 1}, "nbdkit"},
		{"the same, seen at once", {ENDED(0), ENDED(0), ENDED(0)}, {1, 1, 1}, "nbdkit"},
		{"the driver was", {ENDED(0), ENDED(0), ALIVE}, {2, 1, 0}, "the driver"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct children c = {0};
		char text[128] = "";

		for (unsigned part = 0; part < PARTS; part++) {
			if (rows[i].status[part] != ALIVE)
				c.part[part] = (struct server_process){
					.was = 12,
					.status = rows[i].status[part],
					.round = rows[i].round[part],
				};
		}
		bool found = children_cause(&c, text, sizeof(text));
		if (found != !!rows[i].named ||
		    (found && strncmp(text, rows[i].named, strlen(rows[i].named)) != 0))
			fail_msg("%s: '%s'", rows[i].what, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
