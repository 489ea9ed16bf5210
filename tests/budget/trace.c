/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Under callgrind, what the trace filter costs; trace.py runs it and judges.
 *
 *      off        reads of the NVMe driver's, as instructions.c does them
 *      elsewhere  the same, after a traced device was closed, and with one that is open
 *      on         register writes through the filter: nothing but those
 *      filter     the same through a filter that does nothing
 */
#include "budget/rig.h"
#include "bus/filter.h"
#include "fake/fake_device.h"

#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#define TRACED "trace+fake:budget"

static void toggle(bool library)
{
	CALLGRIND_TOGGLE_COLLECT;
}

static struct r3_region *open_behind(const char *filters, struct r3_device **dev)
{
	struct fake_device *fake = fake_device_new(NULL);
	struct r3_address *address;
	struct r3_region *bar;

	if (!fake || r3_address_parse(filters, &address))
		return NULL;
	if (r3_device_wrap(&fake->base, address, dev) ||
	    r3_device_region(*dev, R3_REGION_BAR4, &bar)) {
		fprintf(stderr, "budget_trace: %s\n", r3_error_text());
		return NULL;
	}
	r3_address_free(address);
	for (unsigned i = 0; i < 100; i++)
		r3_write32(bar, 0, i);
	return bar;
}

static int measure_reads(unsigned depth, unsigned batches)
{
	struct rig *rig = rig_open("nvme", toggle, false);

	if (!rig)
		return 1;
	for (unsigned i = 0; i < batches; i++) {
		if (!rig_batch(rig, depth)) {
			fprintf(stderr, "budget_trace: %s\n", rig_failure(rig));
			return 1;
		}
	}
	rig_close(rig);
	return 0;
}

static int measure_elsewhere(unsigned depth, unsigned batches)
{
	struct r3_device *closed, *open;
	int rc;

	if (!open_behind(TRACED, &closed) || !open_behind(TRACED, &open))
		return 1;
	r3_device_close(closed);
	rc = measure_reads(depth, batches);
	r3_device_close(open);
	return rc;
}

static int measure_writes(const char *filters, unsigned depth, unsigned batches)
{
	struct r3_device *dev;
	struct r3_region *bar = open_behind(filters, &dev);

	if (!bar)
		return 1;
	toggle(true);
	for (unsigned i = 0; i < depth * batches; i++)
		r3_write32(bar, 0, i);
	toggle(false);
	r3_device_close(dev);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned depth = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	unsigned batches = argc == 4 ? (unsigned)atoi(argv[3]) : 0;

	if (depth && depth <= RIG_DEPTH && batches) {
		if (!strcmp(argv[1], "off"))
			return measure_reads(depth, batches);
		if (!strcmp(argv[1], "elsewhere"))
			return measure_elsewhere(depth, batches);
		if (!strcmp(argv[1], "on"))
			return measure_writes(TRACED, depth, batches);
		if (!strcmp(argv[1], "filter"))
			return measure_writes("delay+fake:budget", depth, batches);
	}
	fprintf(stderr, "Usage: budget_trace off|elsewhere|on|filter DEPTH BATCHES\n");
	return 2;
}
