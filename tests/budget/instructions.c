/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Under callgrind with --collect-atstart=no this collects what the library executes for
 * BATCHES times DEPTH reads of 4 KiB, and nothing of the device; instructions.py divides.
 */
#include "budget/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

static void toggle(bool library)
{
	CALLGRIND_TOGGLE_COLLECT;
}

int main(int argc, char **argv)
{
	unsigned depth = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	unsigned batches = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
	struct rig *rig;

	if (!depth || depth > RIG_DEPTH || !batches) {
		fprintf(stderr, "Usage: budget_instructions DEVICE DEPTH BATCHES\n");
		return 2;
	}
	rig = rig_open(argv[1], toggle, false);
	if (!rig)
		return 1;
	for (unsigned i = 0; i < batches; i++) {
		if (!rig_batch(rig, depth)) {
			fprintf(stderr, "budget_instructions: %s\n", rig_failure(rig));
			return 1;
		}
	}
	rig_close(rig);
	return 0;
}
