/* SPDX-License-Identifier: BSD-2-Clause */
/* The same in an event loop that sleeps when it likes, sd-event's: embed_sd_event ADDRESS. It arms
 * at the end of each callback; if something is there, a deferred source calls before a sleep. */
#include <errno.h>
#include <inttypes.h>
#include <ring3/ring3.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#define DEPTH 8u
#define PIECE (UINT64_C(128) << 10)

struct reading {
	struct r3_block *block;
	struct r3_blkq *queue;
	void *memory; /* DEPTH pieces that the device reaches */
	uint64_t piece, size, asked, arrived, sum;
	struct r3_blk_req req[DEPTH], *idle[DEPTH];
	struct r3_sg sg[DEPTH];
	unsigned nidle;
	sd_event *loop;
	sd_event_source *again;
};

static int start(struct reading *r, const char *address)
{
	const struct r3_blkq_opts opts = {.size = sizeof(opts), .mode = R3_BLKQ_ADAPTIVE};
	int rc = r3_block_open(address, NULL, &r->block);

	if (rc < 0 || (rc = r3_blkq_open(r->block, &opts, &r->queue)) < 0 ||
	    (rc = r3_block_alloc(r->block, DEPTH * PIECE, &r->memory)) < 0)
		return rc;
	r->size = r3_block_get_limits(r->block)->size;
	r->piece = r3_block_get_limits(r->block)->max_len;
	r->piece = r->piece < PIECE ? r->piece : PIECE;
	for (; r->nidle < DEPTH; r->nidle++) {
		r->sg[r->nidle].addr = (char *)r->memory + r->nidle * PIECE;
		r->idle[r->nidle] = &r->req[r->nidle];
	}
	return 0;
}

/* Take what has arrived, ask for more. Never blocks. */
static int step(struct reading *r)
{
	struct r3_blk_req *reqs[DEPTH];
	int n = r3_blkq_reap(r->queue, reqs, DEPTH), rc;

	for (int i = 0; i < n; i++) {
		uint64_t place = reqs[i]->off;

		if (reqs[i]->err)
			return r3_error_set(-reqs[i]->err, "cannot read at %" PRIu64, reqs[i]->off);
		for (const uint8_t *at = reqs[i]->sg->addr, *end = at + reqs[i]->len; at < end;)
			r->sum += *at++ * ++place;
		r->arrived += reqs[i]->len;
		r->idle[r->nidle++] = reqs[i];
	}
	while (r->nidle && r->asked < r->size) {
		struct r3_blk_req *req = r->idle[r->nidle - 1];
		struct r3_sg *sg = &r->sg[req - r->req];
		uint64_t left = r->size - r->asked;

		sg->len = left < r->piece ? left : r->piece;
		*req = (struct r3_blk_req){
			.op = R3_BLK_READ, .nsg = 1, .off = r->asked, .len = sg->len, .sg = sg};
		rc = r3_blkq_submit(r->queue, &req, 1);
		if (rc < 0) /* or there will be room when the next one arrives */
			return rc == -EAGAIN ? r3_blkq_kick(r->queue) : rc;
		r->asked += sg->len;
		r->nidle--;
	}
	return r3_blkq_kick(r->queue);
}

static int go_on(sd_event_source *source, void *user)
{
	struct reading *r = user;
	int rc = step(r);

	if (rc < 0 || r->arrived == r->size)
		return sd_event_exit(r->loop, rc);
	rc = r3_blkq_arm(r->queue) ? SD_EVENT_ONESHOT : SD_EVENT_OFF;
	return sd_event_source_set_enabled(r->again, rc);
}

static int disk_is_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct r3_block *block = ((struct reading *)user)->block;
	struct r3_block_event news[8];

	return fd == r3_block_fd(block) ? r3_block_dispatch(block, news, 8) : go_on(source, user);
}

static int watch(struct reading *r, int fd)
{
	return fd < 0 ? 0 : sd_event_add_io(r->loop, NULL, fd, EPOLLIN, disk_is_ready, r);
}

int main(int argc, char **argv)
{
	struct reading r = {.nidle = 0};
	int rc = start(&r, argc > 1 ? argv[1] : "qemu:nvme,size=64M");

	if (rc == 0 &&
	    (sd_event_new(&r.loop) < 0 || sd_event_add_defer(r.loop, &r.again, go_on, &r) < 0 ||
	     watch(&r, r3_blkq_fd(r.queue)) < 0 || watch(&r, r3_block_fd(r.block)) < 0))
		rc = r3_error_set(EIO, "sd-event does not take the disk");
	if (rc < 0 || (rc = sd_event_loop(r.loop)) < 0)
		fprintf(stderr, "embed_sd_event: %s\n", r3_error_text());
	else
		printf("%016" PRIx64 " %" PRIu64 " bytes\n", r.sum, r.size);
	sd_event_source_unref(r.again);
	sd_event_unref(r.loop);
	r3_blkq_close(r.queue);
	r3_block_free(r.block, r.memory);
	r3_block_close(r.block);
	return rc < 0;
}
