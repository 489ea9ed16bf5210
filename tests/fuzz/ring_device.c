/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a virtqueue against a device that lies: after each step of the
 * driver's the device may write what it likes wherever it can. Whatever it does, what is
 * popped was in flight, once, and no longer than it could be; a broken queue stays broken.
 */
#include "ring.h"

struct flight {
	bool in_flight;
	uint32_t writable;
};

static void pop_all(struct ring *ring, struct flight *flight, bool *broken)
{
	uint32_t len = 0;
	uint16_t id = 0;
	int rc;

	/* No more can be popped than was pushed: more is an endless loop. */
	for (uint32_t i = 0; (rc = r3_virtq_pop(&ring->q, &id, &len)) == 1; i++) {
		MUST(!*broken);
		MUST(i < ring->config.size);
		MUST(id < ring->config.size && flight[id].in_flight);
		MUST(len <= flight[id].writable);
		flight[id].in_flight = false;
	}
	MUST(rc == 0 || rc == -EPROTO);
	MUST(!*broken || rc == -EPROTO);
	*broken = rc == -EPROTO;
}

/** Something plausible, which is what gets far: a report with a wrong id, length or count
 *  of descriptors. */
static void half_truth(struct ring *ring, struct input *in)
{
	uint8_t what = take8(in), value = take8(in);
	struct r3_sg sg[MOST_PIECES];
	struct r3_virtqd_chain chain;
	uint32_t written;

	if (r3_virtqd_fetch(&ring->d, &chain, sg, MOST_PIECES) != 1)
		return;
	written = (uint32_t)chain.in_len;
	if (what & 1)
		chain.id ^= value;
	if (what & 2)
		written += value;
	if (what & 4)
		written = value;
	if (what & 8)
		chain.in_len = written; /* so that an in-order device takes it for complete */
	r3_virtqd_complete(&ring->d, &chain, written);
	if (!(what & 16))
		r3_virtqd_publish(&ring->d);
}

static void bump(struct ring *ring, struct input *in)
{
	uint8_t by = take8(in);

	if (ring->q.packed)
		ring->q.pdesc[by % ring->config.size].flags ^= R3_LE16(R3_VIRTQ_AVAIL_USED);
	else
		ring->q.used->idx = R3_LE16((uint16_t)(R3_LE16(ring->q.used->idx) + by % 40));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct flight flight[MOST_SIZE] = {{0}};
	struct input in = {data, len};
	bool broken = false;
	struct ring ring;

	open_ring(&ring, &in);
	while (in.left) {
		uint8_t op = take8(&in);
		uint16_t id = (uint16_t)(take8(&in) % ring.config.size);
		int rc;

		switch (op % 8) {
		case 0:
			if (flight[id].in_flight)
				break;
			rc = push_some(&ring, &in, id);
			MUST(rc > 0 || rc == -EAGAIN || rc == -EINVAL || rc == -EPROTO);
			MUST(!broken || rc < 0);
			if (rc > 0)
				flight[id] = (struct flight){true, (uint32_t)rc};
			break;
		case 1:
			MUST(!r3_virtq_publish(&ring.q) || !broken);
			break;
		case 2:
			pop_all(&ring, flight, &broken);
			break;
		case 3:
			half_truth(&ring, &in);
			break;
		case 4:
			scribble(&ring, &in);
			break;
		case 5:
			bump(&ring, &in);
			break;
		case 6:
			MUST(r3_virtq_arm(&ring.q) || !broken);
			if (id & 1)
				r3_virtq_disarm(&ring.q);
			break;
		case 7:
			if (id)
				break;
			r3_virtq_reset(&ring.q);
			start_device(&ring);
			memset(flight, 0, sizeof(flight));
			broken = false;
			break;
		}
	}
	pop_all(&ring, flight, &broken);
	close_ring(&ring);
	return 0;
}
