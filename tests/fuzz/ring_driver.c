/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a virtqueue against a driver that lies: between the device's steps
 * the driver may write what it likes, ring, tables and data. Whatever it does, a chain's
 * pieces lie in memory that may be touched, and are as long together as was said.
 */
#include "ring.h"

enum { MOST_HELD = MOST_SIZE };

struct device {
	struct r3_virtqd_chain held[MOST_HELD];
	unsigned nheld;
	bool broken;
};

static unsigned char sink;

static void fetch(struct ring *ring, struct device *device, unsigned max)
{
	struct r3_sg *sg = malloc(max * sizeof(*sg) + 1);
	struct r3_virtqd_chain chain = {0};
	uint64_t out = 0, in = 0;
	int rc;

	MUST(sg);
	rc = r3_virtqd_fetch(&ring->d, &chain, sg, max);
	MUST(rc == 0 || rc == 1 || rc == -EPROTO);
	MUST(!device->broken || rc == -EPROTO);
	device->broken = rc == -EPROTO;
	if (rc == 1) {
		MUST(chain.nout + chain.nin >= 1 && chain.nout + chain.nin <= max);
		MUST(chain.n >= 1 && chain.n <= ring->config.size);
		for (unsigned i = 0; i < chain.nout; i++) {
			sink ^= ((unsigned char *)sg[i].addr)[0];
			sink ^= ((unsigned char *)sg[i].addr)[sg[i].len - 1];
			out += sg[i].len;
		}
		for (unsigned i = chain.nout; i < chain.nout + chain.nin; i++) {
			memset(sg[i].addr, 0x5a, sg[i].len);
			in += sg[i].len;
		}
		MUST(out == chain.out_len && in == chain.in_len);
		/* A driver can have no more with us than the ring has room for. */
		MUST(device->nheld < MOST_HELD);
		device->held[device->nheld++] = chain;
		MUST(r3_virtqd_in_flight(&ring->d) == device->nheld);
		MUST(device->nheld <= ring->config.size);
	}
	free(sg);
}

static void complete(struct ring *ring, struct device *device, uint8_t which)
{
	unsigned i = ring->d.in_order || !device->nheld ? 0 : which % device->nheld;

	if (!device->nheld)
		return;
	r3_virtqd_complete(&ring->d, &device->held[i],
			   which & 1 ? (uint32_t)device->held[i].in_len : 0);
	device->nheld--;
	memmove(&device->held[i], &device->held[i + 1],
		(device->nheld - i) * sizeof(*device->held));
}

/** A descriptor that looks like one, in the ring or in a table. */
static void forge(struct ring *ring, struct input *in)
{
	uint8_t where = take8(in), len = take8(in), next = take8(in);
	uint64_t addr = POOL_BASE + take16(in) % (POOL + 32);
	uint16_t flags = take16(in);
	struct virtq_desc split = {R3_LE64(addr), R3_LE32((uint32_t)len), R3_LE16(flags),
				   R3_LE16((uint16_t)next)};
	struct pvirtq_desc packed = {R3_LE64(addr), R3_LE32((uint32_t)len), R3_LE16((uint16_t)next),
				     R3_LE16(flags)};
	unsigned char *to = where & 0x80 ? ring->pool + (where & 0x3f) * 16u
					 : ring->mem + where % ring->config.size * 16u;

	memcpy(to, ring->q.packed ? (void *)&packed : (void *)&split, 16);
}

static void bump(struct ring *ring, struct input *in)
{
	uint8_t by = take8(in);
	uint16_t *idx = &ring->q.avail->idx;

	if (ring->q.packed)
		ring->q.pdesc[by % ring->config.size].flags ^= R3_LE16(R3_VIRTQ_AVAIL_USED);
	else
		*idx = R3_LE16((uint16_t)(R3_LE16(*idx) + by % 40));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct device device = {.nheld = 0};
	struct input in = {data, len};
	struct ring ring;
	uint16_t id = 0;

	open_ring(&ring, &in);
	while (in.left) {
		uint8_t op = take8(&in);

		switch (op % 8) {
		case 0:
			/* Never popped, so that the driver's side pushes into what is in flight
			 * whenever it is reset. */
			if (push_some(&ring, &in, id) > 0)
				id = (uint16_t)((id + 1) % ring.config.size);
			break;
		case 1:
			r3_virtq_publish(&ring.q);
			break;
		case 2:
			fetch(&ring, &device, op & 8 ? MOST_PIECES : op >> 4);
			break;
		case 3:
			complete(&ring, &device, take8(&in));
			if (op & 8)
				r3_virtqd_publish(&ring.d);
			break;
		case 4:
			scribble(&ring, &in);
			break;
		case 5:
			bump(&ring, &in);
			break;
		case 6:
			forge(&ring, &in);
			break;
		case 7:
			if (op & 8)
				MUST(r3_virtqd_arm(&ring.d) || !device.broken);
			else if (op & 16)
				r3_virtqd_disarm(&ring.d);
			else
				r3_virtq_reset(&ring.q);
			if (op == 7) {
				start_device(&ring);
				device = (struct device){.nheld = 0};
			}
			break;
		}
	}
	close_ring(&ring);
	return 0;
}
