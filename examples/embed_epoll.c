/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in a program's own epoll loop: embed_epoll ADDRESS reads it, several pieces
 * at once, and prints a checksum. Before each sleep the loop arms the queue; a yes to "is
 * something there already?" means a look at the other descriptors without sleeping. So the
 * same loop serves every mode, and an adaptive queue sleeps by itself when it is idle.
 */
#include <errno.h>
#include <inttypes.h>
#include <ring3/ring3.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

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

static int loop(struct reading *r, int epoll)
{
	/* and all of the program's */
	const int fds[] = {r3_blkq_fd(r->queue), r3_block_fd(r->block)};
	struct epoll_event event[8];
	struct r3_block_event news[8];
	int rc, n;

	for (int i = 0; i < 2; i++) {
		event[0] = (struct epoll_event){.events = EPOLLIN, .data.fd = fds[i]};
		if (fds[i] >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event[0]) < 0)
			return r3_error_set(errno, "epoll does not take the disk");
	}
	while ((rc = step(r)) == 0 && r->arrived < r->size) {
		n = epoll_wait(epoll, event, 8, r3_blkq_arm(r->queue) ? 0 : -1);
		for (int i = 0; i < n; i++)
			if (event[i].data.fd == fds[1])
				(void)r3_block_dispatch(r->block, news, 8);
		/* the queue's descriptor says no more than that the next step finds something */
	}
	return rc;
}

int main(int argc, char **argv)
{
	struct reading r = {.nidle = 0};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int rc = start(&r, argc > 1 ? argv[1] : "qemu:nvme,size=64M");

	if (rc == 0)
		rc = loop(&r, epoll);
	if (rc < 0)
		fprintf(stderr, "embed_epoll: %s\n", r3_error_text());
	else
		printf("%016" PRIx64 " %" PRIu64 " bytes\n", r.sum, r.size);
	r3_blkq_close(r.queue);
	r3_block_free(r.block, r.memory);
	r3_block_close(r.block);
	close(epoll);
	return rc < 0;
}
