/* SPDX-License-Identifier: BSD-2-Clause */
#include "budget/rig.h"

#include "stub/nvme_stub.h"

#include <ring3/driver.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>

struct rig {
	struct r3_bus_ops ops; /* the stub's, with a rw() that tells */
	int (*rw)(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		  uint32_t count, unsigned flags);
	rig_watch *watch; /* NULL: not in a batch */
	rig_watch *watcher;
	struct r3_block *block;
	struct r3_blkq *queue;
	void *data;    /* the device's memory, or */
	void *foreign; /* the program's */
	const char *failure;
	struct r3_blk_req req[RIG_DEPTH];
	struct r3_sg sg[RIG_DEPTH];
};

static struct rig *the_rig; /* rw() finds it here: the stub has no room for it */

static int rig_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		  uint32_t count, unsigned flags)
{
	int rc;

	if (the_rig->watch)
		the_rig->watch(false);
	rc = the_rig->rw(dev, index, off, data, width, count, flags);
	if (the_rig->watch)
		the_rig->watch(true);
	return rc;
}

struct rig *rig_open(rig_watch *watch, bool foreign)
{
	const struct nvme_stub_opts stub_opts = {.null = true};
	const struct r3_block_opts opts = {.size = sizeof(opts)};
	const struct r3_blkq_opts queue_opts = {
		.size = sizeof(queue_opts), .depth = RIG_DEPTH, .mode = R3_BLKQ_POLL};
	struct nvme_stub *stub = nvme_stub_new(&stub_opts, NULL);
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct r3_driver_v1 *driver;
	struct r3_device *dev;

	if (!stub || !rig) {
		fprintf(stderr, "rig: no memory\n");
		return NULL;
	}
	dev = nvme_stub_device(stub);
	rig->ops = *dev->ops;
	rig->rw = rig->ops.rw;
	rig->ops.rw = rig_rw;
	dev->ops = &rig->ops;
	the_rig = rig;
	if (r3_driver_find(dev, NULL, &driver) || driver->attach_block(dev, &opts, &rig->block) ||
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
	rig->watcher = watch;
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
	struct r3_blk_req *reqs[RIG_DEPTH];
	int accepted, rung, reaped;

	for (unsigned i = 0; i < depth; i++)
		reqs[i] = &rig->req[i];
	rig->watch = rig->watcher;
	rig->watch(true);
	accepted = r3_blkq_submit(rig->queue, reqs, depth);
	rung = r3_blkq_kick(rig->queue);
	reaped = r3_blkq_reap(rig->queue, reqs, depth);
	rig->watch(false);
	rig->watch = NULL;

	rig->failure = NULL;
	if (accepted != (int)depth)
		rig->failure = "not all requests were accepted";
	else if (rung)
		rig->failure = "the doorbell was not rung";
	else if (reaped != (int)depth)
		rig->failure = "not all requests were complete";
	for (unsigned i = 0; i < depth && !rig->failure; i++)
		if (reqs[i]->err)
			rig->failure = "a request failed";
	return !rig->failure;
}

const char *rig_failure(const struct rig *rig)
{
	return rig->failure;
}
