/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs to give a device behind an IOMMU memory that it has not had, and to take it
 * back: of a file that QEMU has to be given first, of one that it has, and while the device
 * has no right to the bus, when no transfer has to be awaited.
 */
#include "options.h"
#include "result.h"

#include <ring3/ring3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ADDRESS "qemu:edu,iommu=on"
#define LEN     (UINT64_C(1) << 20)
#define TURNS   8 /* of a subject in a round */
#define CROWD   127

enum { NEW, KNOWN, QUIET, CROWDED, NSUBJECTS };

static const struct {
	const char *map, *unmap;
} names[NSUBJECTS] = {
	[NEW] = {"map_new_file", "unmap_last_of_file"},
	[KNOWN] = {"map", "unmap"},
	[QUIET] = {"map_quiet", "unmap_quiet"},
	[CROWDED] = {"map_128th_file", "unmap_128th_file"},
};

struct run {
	struct r3_device *dev;
	struct r3_dma_tag *tag;
	struct r3_dma_map *map, *crowd[CROWD + 1]; /* the first holds the known file */
	struct r3_mem *fresh, *known, *others[CROWD];
	struct bench_rounds to[NSUBJECTS], from[NSUBJECTS];
};

static const char usage[] = "Usage: iommu [-r ROUNDS] [-f] [-o FORM]\n"
			    "Measure mapping and unmapping memory of 1 MiB behind QEMU's IOMMU.\n"
			    "\n"
			    "  -r ROUNDS  5 to 99 (9)\n"
			    "  -f         measure even while the host is busy\n"
			    "  -o FORM    text, or json: an object a line\n"
			    "\n"
			    "Exit status: 0 measured; 1 something failed; 2 usage; 77 the host is "
			    "too busy.\n";

static int load(struct r3_dma_map *map, struct r3_mem *mem)
{
	int rc = r3_dma_load_mem(map, mem, 0, LEN, R3_DMA_TO_DEVICE | R3_DMA_FROM_DEVICE, NULL);

	if (rc == 0 && r3_dma_bounced(map)) {
		fprintf(stderr, "iommu: the memory was copied instead of mapped\n");
		rc = 1;
	}
	return rc;
}

static int turn(struct run *run, struct r3_mem *mem, struct bench_rounds *to,
		struct bench_rounds *from)
{
	uint64_t begin = r3_clock_now(r3_clock_system()), middle;
	int rc = load(run->map, mem);

	if (rc)
		return rc;
	middle = r3_clock_now(r3_clock_system());
	r3_dma_unload(run->map);
	bench_rounds_add(to, (double)(middle - begin) / 1e3);
	bench_rounds_add(from, (double)(r3_clock_now(r3_clock_system()) - middle) / 1e3);
	return 0;
}

static int gather(struct run *run, bool crowded)
{
	int rc = 0;

	for (unsigned i = 0; i < CROWD && rc == 0; i++) {
		if (crowded)
			rc = load(run->crowd[i + 1], run->others[i]);
		else
			r3_dma_unload(run->crowd[i + 1]);
	}
	return rc;
}

static int measure(void *user, unsigned subject)
{
	struct run *run = user;
	struct bench_rounds to = {0}, from = {0};
	bool quiet = subject == QUIET;
	struct r3_mem *mem = subject == KNOWN || quiet ? run->known : run->fresh;
	int rc = r3_pci_enable(run->dev, quiet ? 0 : R3_PCI_MASTER, quiet ? R3_PCI_MASTER : 0);

	if (rc == 0 && subject == CROWDED)
		rc = gather(run, true);
	/* the first turn after a change of the rights still has to wait */
	for (unsigned i = 0; rc == 0 && i <= TURNS; i++) {
		rc = turn(run, mem, &to, &from);
		if (i == 0)
			to.n = from.n = 0;
	}
	if (subject == CROWDED)
		gather(run, false);
	if (rc) {
		fprintf(stderr, "iommu: %s\n", r3_error_text());
		return 1;
	}
	bench_rounds_add(&run->to[subject], bench_median(&to));
	bench_rounds_add(&run->from[subject], bench_median(&from));
	return 0;
}

static int prepare(struct run *run)
{
	const struct r3_dma_constraints any = {.size = sizeof(any)};
	int rc = r3_device_open(ADDRESS, NULL, &run->dev);

	if (rc == 0)
		rc = r3_dma_tag_create(run->dev, NULL, &any, &run->tag);
	if (rc == 0)
		rc = r3_dma_map_create(run->tag, 0, &run->map);
	for (unsigned i = 0; i <= CROWD && rc == 0; i++)
		rc = r3_dma_map_create(run->tag, 0, &run->crowd[i]);
	for (unsigned i = 0; i < CROWD && rc == 0; i++)
		rc = r3_mem_create("other", LEN, 0, &run->others[i]);
	if (rc == 0)
		rc = r3_mem_create("fresh", LEN, 0, &run->fresh);
	if (rc == 0)
		rc = r3_mem_create("known", LEN, 0, &run->known);
	return rc ? rc : load(run->crowd[0], run->known);
}

static void finish(struct run *run)
{
	for (unsigned i = 0; i <= CROWD && run->crowd[i]; i++) {
		r3_dma_unload(run->crowd[i]);
		r3_dma_map_destroy(run->crowd[i]);
	}
	for (unsigned i = 0; i < CROWD; i++)
		r3_mem_unref(run->others[i]);
	r3_mem_unref(run->fresh);
	r3_mem_unref(run->known);
	r3_dma_map_destroy(run->map);
	r3_dma_tag_unref(run->tag);
	r3_device_close(run->dev);
}

int main(int argc, char **argv)
{
	static struct run run;
	struct bench_plan plan = {
		.rounds = 9, .subjects = NSUBJECTS, .measure = measure, .user = &run};
	int rc = bench_options(argc, argv, NULL, NULL, &plan, usage);

	if (rc >= 0)
		return rc;
	rc = prepare(&run);
	if (rc)
		fprintf(stderr, "iommu: %s\n", r3_error_text());
	else
		rc = bench_interleave(&plan);
	finish(&run);
	for (unsigned i = 0; rc == 0 && i < NSUBJECTS; i++) {
		struct bench_result to = bench_result_of(names[i].map, "us", &run.to[i]);
		struct bench_result from = bench_result_of(names[i].unmap, "us", &run.from[i]);

		bench_print(&to);
		bench_print(&from);
	}
	return rc == BENCH_BUSY ? rc : rc != 0;
}
