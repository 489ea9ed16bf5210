/* SPDX-License-Identifier: BSD-2-Clause */
#include "budget/rig.h"

#include "stub/nvme_stub.h"
#include "stub/virtio_stub.h"

#include <ring3/driver.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig {
	struct r3_clock clock; /* whoever waits lets the device work */
	const struct kind *kind;
	void *stub;
	struct r3_device *dev;
	rig_watch *watch;
	struct r3_block *block;
	struct r3_blkq *queue;
	void *data;    /* the device's memory, or */
	void *foreign; /* the program's */
	const char *failure;
	struct r3_blk_req req[RIG_DEPTH];
	struct r3_sg sg[RIG_DEPTH];
};

static uint64_t now(struct r3_clock *clock)
{
	return r3_clock_now(r3_clock_system());
}

/* ---- the devices ---- */

static void open_nvme(struct rig *rig)
{
	const struct nvme_stub_opts opts = {.null = true, .mapped = true, .vectors = 16};

	rig->stub = nvme_stub_new(&opts, &rig->clock);
	rig->dev = nvme_stub_device(rig->stub);
}

static void run_nvme(void *stub)
{
	nvme_stub_run(stub);
}

static void open_virtio(struct rig *rig, uint64_t features)
{
	const struct virtio_stub_opts opts = {.features = VIRTIO_STUB_FEATURES | features,
					      .null = true,
					      .mapped = true,
					      .vectors = 16};

	rig->stub = virtio_stub_new(&opts, &rig->clock);
	rig->dev = virtio_stub_device(rig->stub);
}

static void open_split(struct rig *rig)
{
	open_virtio(rig, 0);
}

static void open_packed(struct rig *rig)
{
	open_virtio(rig, VIRTIO_FEATURE(VIRTIO_F_RING_PACKED));
}

static void run_virtio(void *stub)
{
	virtio_stub_run(stub);
}

static const struct kind {
	const char *name;
	void (*open)(struct rig *rig);
	void (*run)(void *stub); /* do what was asked for by mapped doorbells */
} kinds[] = {
	{"nvme", open_nvme, run_nvme},
	{"virtio-blk-split", open_split, run_virtio},
	{"virtio-blk-packed", open_packed, run_virtio},
};

/* ---- life ---- */

static void let_it_work(struct r3_clock *clock, uint64_t ns)
{
	struct rig *rig = (struct rig *)clock;

	rig->kind->run(rig->stub);
}

static bool open_device(struct rig *rig, const char *device)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, device) != 0)
			continue;
		rig->kind = &kinds[i];
		rig->kind->open(rig);
		return true;
	}
	fprintf(stderr, "rig: there is no device \"%s\"\n", device);
	return false;
}

struct rig *rig_open(const char *device, rig_watch *watch, bool foreign)
{
	const struct r3_block_opts opts = {.size = sizeof(opts)};
	const struct r3_blkq_opts queue_opts = {
		.size = sizeof(queue_opts), .depth = RIG_DEPTH, .mode = R3_BLKQ_POLL};
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct r3_driver_v1 *driver;

	if (!rig) {
		fprintf(stderr, "rig: no memory\n");
		return NULL;
	}
	rig->clock = (struct r3_clock){now, let_it_work};
	if (!open_device(rig, device))
		return NULL;
	if (r3_driver_find(rig->dev, NULL, &driver) ||
	    driver->attach_block(rig->dev, &opts, &rig->block) ||
	    (!foreign && r3_block_alloc(rig->block, RIG_DEPTH * RIG_LEN, &rig->data)) ||
	    r3_blkq_open(rig->block, &queue_opts, &rig->queue)) {
		fprintf(stderr, "rig: %s\n", r3_error_text());
		return NULL;
	}
	if (foreign && !(rig->foreign = calloc(RIG_DEPTH, RIG_LEN))) {
		fprintf(stderr, "rig: no memory\n");
		return NULL;
	}
	for (unsigned i = 0; i < RIG_DEPTH; i++) {
		char *data = foreign ? rig->foreign : rig->data;

		rig->sg[i] = (struct r3_sg){data + i * RIG_LEN, RIG_LEN};
		rig->req[i] = (struct r3_blk_req){.op = R3_BLK_READ,
						  .nsg = 1,
						  .off = i * RIG_LEN,
						  .len = RIG_LEN,
						  .sg = &rig->sg[i]};
	}
	rig->watch = watch;
	return rig;
}

void rig_close(struct rig *rig)
{
	r3_blkq_close(rig->queue);
	r3_block_free(rig->block, rig->data);
	free(rig->foreign);
	r3_block_close(rig->block);
	free(rig);
}

bool rig_batch(struct rig *rig, unsigned depth)
{
	const struct fake_device *fake = (struct fake_device *)rig->dev;
	unsigned messages = fake->reads + fake->writes;
	struct r3_blk_req *reqs[RIG_DEPTH];
	int accepted, rung, reaped;

	for (unsigned i = 0; i < depth; i++)
		reqs[i] = &rig->req[i];
	rig->watch(true);
	accepted = r3_blkq_submit(rig->queue, reqs, depth);
	rung = r3_blkq_kick(rig->queue);
	rig->watch(false);
	rig->kind->run(rig->stub);
	rig->watch(true);
	reaped = r3_blkq_reap(rig->queue, reqs, depth);
	rig->watch(false);

	rig->failure = NULL;
	if (accepted != (int)depth)
		rig->failure = "not all requests were accepted";
	else if (rung)
		rig->failure = "the doorbell was not rung";
	else if (reaped != (int)depth)
		rig->failure = "not all requests were complete";
	else if (fake->reads + fake->writes != messages)
		rig->failure = "a register was accessed that is not memory";
	for (unsigned i = 0; i < depth && !rig->failure; i++)
		if (reqs[i]->err)
			rig->failure = "a request failed";
	return !rig->failure;
}

const char *rig_failure(const struct rig *rig)
{
	return rig->failure;
}
