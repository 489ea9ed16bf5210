/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub's queues, whatever their layout: buffers fetched, executed, kept, given back in
 * order where that was promised, and told of. */
#include "stub/virtio_stub_parts.h"

#include <ring3/irq.h>
#include <stdlib.h>
#include <string.h>

static const struct virtio_stub_layout *layout_of(const struct virtio_stub *stub)
{
	return virtio_stub_has(stub, VIRTIO_F_RING_PACKED) ? &virtio_stub_packed
							   : &virtio_stub_split;
}

/* ---- buffers ---- */

bool virtio_stub_add(struct virtio_stub *stub, struct virtio_stub_buf *buf, uint64_t addr,
		     uint32_t len, bool write)
{
	if (buf->nseg == VIRTIO_STUB_SEGS) {
		virtio_stub_broken(stub, "a buffer has more pieces than the device takes");
		return false;
	}
	if (!len)
		virtio_stub_mistake(stub, "a descriptor is empty");
	if (!write && buf->nout != buf->nseg) {
		virtio_stub_broken(stub, "something to read after something to write");
		return false;
	}
	buf->seg[buf->nseg].addr = addr;
	buf->seg[buf->nseg++].len = len;
	buf->nout += !write;
	return true;
}

/* An id names one buffer at a time. */
static void mark(struct virtio_stub *stub, struct virtio_stub_queue *q, uint16_t id)
{
	if (q->busy[id / 8] & 1u << id % 8)
		virtio_stub_mistake(stub, "a buffer has the id of one in flight");
	q->busy[id / 8] |= (uint8_t)(1u << id % 8);
}

static void unmark(struct virtio_stub_queue *q, uint16_t id)
{
	q->busy[id / 8] &= (uint8_t) ~(1u << id % 8);
}

/* ---- giving back ---- */

static void put(struct virtio_stub *stub, struct virtio_stub_queue *q,
		const struct virtio_stub_used *used, uint16_t slots)
{
	for (unsigned i = 0; i < used->copies; i++)
		layout_of(stub)->put(stub, q, used, slots);
}

/* Those at the head of the queue, as far as they are done: each by an element of its own,
 * or several by that of the last (2.7.9, 2.8.4). */
static void put_in_order(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	while (q->nturns && q->turn[q->first].done) {
		const struct virtio_stub_turn *turn = &q->turn[q->first];
		uint16_t slots = turn->slots;
		unsigned n = 1;

		for (; n < stub->opts.batch && n < q->nturns && turn->whole; n++) {
			const struct virtio_stub_turn *next = &q->turn[(q->first + n) % q->size];

			if (!next->done || next->used.jump || next->used.flags ||
			    next->used.copies != 1)
				break;
			turn = next;
			slots = (uint16_t)(slots + turn->slots);
		}
		for (unsigned i = 0; i < n; i++)
			unmark(q, q->turn[(q->first + i) % q->size].id);
		put(stub, q, &turn->used, slots);
		stub->batches += n - 1;
		q->first = (q->first + n) % q->size;
		q->nturns -= n;
	}
}

static void queue_turn(struct virtio_stub *stub, struct virtio_stub_queue *q,
		       const struct virtio_stub_buf *buf)
{
	if (!q->turn)
		return;
	if (q->nturns == q->size) {
		virtio_stub_broken(stub, "more buffers than the queue has entries");
		return;
	}
	q->turn[(q->first + q->nturns++) % q->size] =
		(struct virtio_stub_turn){.id = buf->id, .slots = buf->slots};
}

static void give_back(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
		      const struct virtio_stub_used *used, bool honest)
{
	struct virtio_stub_queue *q = &stub->queue[buf->queue];

	if (!q->turn) {
		unmark(q, buf->id);
		put(stub, q, used, buf->slots);
		return;
	}
	for (unsigned i = 0; i < q->nturns; i++) {
		struct virtio_stub_turn *turn = &q->turn[(q->first + i) % q->size];

		if (turn->id != buf->id || turn->done)
			continue;
		turn->done = true;
		turn->whole = honest && !used->status;
		turn->used = *used;
		return;
	}
}

static void write_status(struct virtio_stub *stub, const struct virtio_stub_buf *buf,
			 uint8_t status)
{
	uint8_t *at;

	if (buf->nseg == buf->nout || !buf->seg[buf->nseg - 1].len)
		return; /* nothing to write it to, which was counted */
	at = virtio_stub_reach(stub, buf->seg[buf->nseg - 1].addr + buf->seg[buf->nseg - 1].len - 1,
			       1, R3_DMA_DEVICE_WRITE);
	if (at)
		*at = status;
}

static void execute(struct virtio_stub *stub, const struct virtio_stub_buf *buf)
{
	struct virtio_stub_used used = {.id = buf->id, .copies = 1}, honest;

	virtio_stub_blk(stub, buf, &used);
	honest = used;
	if (stub->hooks && stub->hooks->complete && !stub->hooks->complete(stub, buf, &used))
		return;
	write_status(stub, buf, used.status);
	give_back(stub, buf, &used, memcmp(&honest, &used, sizeof(used)) == 0);
}

void virtio_stub_interrupt(struct virtio_stub *stub, uint16_t vector, uint8_t isr)
{
	struct fake_device *fake = stub->fake;

	if (fake->irq_type == R3_IRQ_MSIX && fake->nirqs) {
		if (vector == VIRTIO_MSI_NO_VECTOR)
			return;
		if (vector >= fake->nirqs)
			virtio_stub_mistake(stub, "an interrupt at a vector that is not enabled");
		stub->interrupts++;
		fake_device_raise(fake, R3_IRQ_MSIX, vector);
		return;
	}
	stub->isr |= isr;
	if (fake->intx_up)
		return;
	stub->interrupts++;
	fake_device_raise(fake, R3_IRQ_INTX, 0);
}

static void linger(struct virtio_stub *stub)
{
	if (stub->fake->between)
		stub->fake->between(stub->fake);
}

/* Give back what may be given back by now, and tell once. */
static void finish(struct virtio_stub *stub, struct virtio_stub_queue *q)
{
	if (q->turn)
		put_in_order(stub, q);
	if (!q->since)
		return;
	linger(stub);
	/* what was used is seen before we look whether the driver sleeps; it says that it
	 * does, and looks again what was used */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (layout_of(stub)->wanted(stub, q))
		virtio_stub_interrupt(stub, q->vector, VIRTIO_PCI_ISR_QUEUE);
	q->since = 0;
}

/* ---- fetching ---- */

static void hold(struct virtio_stub *stub, const struct virtio_stub_buf *buf)
{
	for (unsigned i = 0; i < VIRTIO_STUB_HELD; i++) {
		if (stub->held[i].used)
			continue;
		stub->held[i].used = true;
		stub->held[i].buf = *buf;
		return;
	}
	virtio_stub_mistake(stub, "the test keeps more buffers than there is room for");
}

static bool works(const struct virtio_stub *stub, const struct virtio_stub_queue *q)
{
	return q->enabled && stub->status & VIRTIO_STATUS_DRIVER_OK &&
	       !(stub->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET);
}

static bool fetch(struct virtio_stub *stub, unsigned queue)
{
	struct virtio_stub_queue *q = &stub->queue[queue];
	struct virtio_stub_buf buf; /* large: its pieces are not cleared */

	buf.queue = (uint16_t)queue;
	buf.nout = buf.nseg = 0;
	if (!works(stub, q) || !layout_of(stub)->fetch(stub, q, &buf))
		return false;
	stub->requests++;
	mark(stub, q, buf.id);
	queue_turn(stub, q, &buf);
	if (stub->hooks && stub->hooks->fetch && !stub->hooks->fetch(stub, &buf))
		hold(stub, &buf);
	else
		execute(stub, &buf);
	return true;
}

void virtio_stub_serve(struct virtio_stub *stub, unsigned queue)
{
	struct virtio_stub_queue *q = &stub->queue[queue];

	do {
		while (fetch(stub, queue))
			;
		if (!works(stub, q))
			break;
		linger(stub);
		layout_of(stub)->want(stub, q);
		/* our wish is seen before we look once more; the driver makes available,
		 * then looks what we wish */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (fetch(stub, queue));
	if (works(stub, q))
		finish(stub, q);
}

/* ---- for tests ---- */

unsigned virtio_stub_held(struct virtio_stub *stub)
{
	unsigned n = 0;

	for (unsigned i = 0; i < VIRTIO_STUB_HELD; i++)
		n += stub->held[i].used;
	return n;
}

void virtio_stub_release(struct virtio_stub *stub, unsigned n)
{
	pthread_mutex_lock(&stub->fake->lock);
	for (unsigned i = 0; i < VIRTIO_STUB_HELD; i++) {
		struct virtio_stub_queue *q = &stub->queue[stub->held[i].buf.queue];

		if (!stub->held[i].used || n--)
			continue;
		stub->held[i].used = false;
		execute(stub, &stub->held[i].buf);
		if (works(stub, q))
			finish(stub, q);
		break;
	}
	pthread_mutex_unlock(&stub->fake->lock);
}

void virtio_stub_quiet(struct virtio_stub *stub, unsigned queue, bool quiet)
{
	struct virtio_stub_queue *q = &stub->queue[queue];

	pthread_mutex_lock(&stub->fake->lock);
	q->quiet = quiet;
	if (works(stub, q))
		layout_of(stub)->want(stub, q);
	pthread_mutex_unlock(&stub->fake->lock);
}

void virtio_stub_post(struct virtio_stub *stub, unsigned queue, struct virtio_stub_used used)
{
	struct virtio_stub_queue *q = &stub->queue[queue];

	pthread_mutex_lock(&stub->fake->lock);
	used.copies = 1;
	if (works(stub, q)) {
		put(stub, q, &used, 1);
		finish(stub, q);
	}
	pthread_mutex_unlock(&stub->fake->lock);
}

/* ---- life of a queue ---- */

void virtio_stub_queue_stop(struct virtio_stub *stub, unsigned queue)
{
	struct virtio_stub_queue *q = &stub->queue[queue];

	for (unsigned i = 0; i < VIRTIO_STUB_HELD; i++)
		if (stub->held[i].buf.queue == queue)
			stub->held[i].used = false;
	free(q->turn);
	*q = (struct virtio_stub_queue){.size = (uint16_t)stub->opts.qsize,
					.vector = VIRTIO_MSI_NO_VECTOR};
}

void virtio_stub_queue_start(struct virtio_stub *stub, unsigned queue)
{
	struct virtio_stub_queue *q = &stub->queue[queue];

	if (!layout_of(stub)->check(stub, q))
		return;
	if (virtio_stub_has(stub, VIRTIO_F_IN_ORDER)) {
		q->turn = calloc(q->size, sizeof(*q->turn));
		if (!q->turn)
			abort();
	}
	/* 2.8.1: the wrap counters of both sides begin with 1 */
	q->avail_wrap = q->used_wrap = true;
	q->enabled = true;
	layout_of(stub)->want(stub, q);
}
