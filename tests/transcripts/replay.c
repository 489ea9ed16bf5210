/* SPDX-License-Identifier: BSD-2-Clause */
/* replay SESSION...: each session whole, in single bytes, and in pieces of an odd size. */
#include "replay.h"

#include "unit.h"

int main(int argc, char **argv)
{
	static const size_t pieces[] = {SCRIPT_BYTES, 1, 13};
	static struct script script;

	for (int i = 1; i < argc; i++)
		for (unsigned p = 0; p < sizeof(pieces) / sizeof(*pieces); p++) {
			unsigned before = test_count_fds();

			script_read(&script, argv[i]);
			if (script.for_server)
				replay_server(&script, pieces[p]);
			else
				replay_client(&script, pieces[p]);
			script_free(&script);
			if (test_count_fds() != before) {
				fprintf(stderr, "%s: descriptors are left over\n", argv[i]);
				return 1;
			}
		}
	printf("%d sessions\n", argc - 1);
	return argc > 1 ? 0 : 2;
}
