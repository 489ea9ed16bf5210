/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A controller: what is below block devices whose queues are rings in memory, and all
 * that their drivers have in common but the rings and the registers. Time and ticks,
 * events of the device, interrupt vectors, time-outs, and recovery by reset.
 *
 * Two kinds of thread meet in a driver. The control thread is the one of the block
 * handles: it runs everything but the data path. A queue's thread runs submit, kick,
 * reap and arm, inside the queue's gate. The control thread touches what belongs to a
 * queue's thread only while it keeps that gate closed.
 *
 * A driver embeds struct r3_ctrl first in its own, and struct r3_hwq first in its queues.
 */
#ifndef RING3_CLASS_CTRL_H
#define RING3_CLASS_CTRL_H

#include "class/slot.h"
#include "irq/take.h"
#include "util/gate.h"
#include "util/kit.h"

#include <ring3/driver.h>
#include <ring3/irq.h>
#include <ring3/log.h>

#include <errno.h>
#include <unistd.h>

struct r3_ctrl;

/** A queue of the device. */
struct r3_hwq {
	struct r3_blkq blkq;
	struct r3_gate gate;
	struct r3_ctrl *ctrl;
	struct r3_slots slots;
	const struct r3_dma_tag *data_tag;
	uint64_t completed; /* requests; says whether the device gets anywhere */
	uint32_t index;     /* in ctrl->queue */
	uint16_t vector;    /* 0: shared, the control thread forwards it */
	bool pin;           /* and it is to be unmasked when the queue's thread sleeps */
	bool gone;          /* nothing is accepted any more */
	bool failed;        /* and nothing is in flight any more */
	bool closing;       /* not to be made again by a recovery */
};

/** What a driver implements; all are called by the control thread. */
struct r3_ctrl_ops {
	/** Stop the device: afterwards it touches no memory. */
	int (*disable)(struct r3_ctrl *ctrl);
	/** Bring it up again after that, with what it granted the first time, and with all
	 *  open queues (r3_ctrl_next()), whose rings are to be empty. */
	int (*restart)(struct r3_ctrl *ctrl);

	/* With the queue's gate closed: */
	/** Move what has completed to the done slots; @alive: the device is at work, and is
	 *  to be told of it. Returns whether there was anything. */
	bool (*collect)(struct r3_hwq *q, bool alive);
	/** Tell the device of requests that it has not been told of; forget that there are
	 *  any when the controller is gone. */
	void (*ring)(struct r3_hwq *q);
	/** Put a slot's request, with data @where, into the empty rings once more. Errors: it
	 *  does not fit. */
	int (*again)(struct r3_hwq *q, struct r3_slot *slot, uint64_t where);
	/** Ask the device to give an overdue request back. False: ask again by the next
	 *  tick. NULL: it cannot, only a reset can. */
	bool (*cancel)(struct r3_hwq *q, struct r3_slot *slot);

	/** Errors: ENODEV its registers are all ones; EIO it says that it failed. */
	int (*health)(struct r3_ctrl *ctrl);
	/** Tell all block devices. GONE is told more than once. */
	void (*tell)(struct r3_ctrl *ctrl, enum r3_block_event_type type, uint32_t detail);
	/** In each dispatch: whatever the device has to say. @came: it has interrupted by
	 *  vector 0. Interrupts get lost, so a cheap look is worth it in any case. */
	void (*poll)(struct r3_ctrl *ctrl, bool came);
	/** Each tick, after the look for what is overdue. NULL: nothing. */
	void (*tick)(struct r3_ctrl *ctrl);
	/** Keep the pin of an interrupt from being asserted, and no longer. */
	void (*pin)(struct r3_ctrl *ctrl, bool mask);
};

struct r3_ctrl {
	const struct r3_ctrl_ops *ops;
	struct r3_device *dev;
	struct r3_clock *clock;
	const char *name; /* the device's, for messages */

	/* set by the driver, before r3_ctrl_open() */
	struct r3_irq_set *irq; /* vector 0 is the controller's, the next those of queues */
	unsigned nqueues;

	struct r3_hwq **queue; /* nqueues, NULL where none is open */

	int epoll, timer;
	uint64_t tick_ns, ticked; /* length of a tick; when the last one was */
	uint32_t tick;            /* read by the queues' threads */
	uint32_t io_ticks;        /* ticks until a request is overdue */
	uint32_t log_budget;      /* what a lying device can make us say until the next tick */

	bool read_only;     /* asked for by whoever opened it */
	bool starting;      /* a recovery inside this would be one too many */
	bool gone;          /* for good */
	bool reset_wanted;  /* a recovery that had to be put off */
	uint64_t recovered; /* when the last recovery began */
	uint64_t progress;  /* completions until then */
	unsigned in_vain;   /* recoveries without progress between them */
};

/** Whether it interrupts by a pin, which has to be masked while a queue is not reaped. */
static inline bool r3_ctrl_has_pin(const struct r3_ctrl *ctrl)
{
	return r3_irq_get_type(ctrl->irq) == R3_IRQ_INTX;
}

/* ctrl.c: life, time, what happens by itself */

/** The first thing of an open. The controller counts as starting until r3_ctrl_open(). */
R3_KIT void r3_ctrl_init(struct r3_ctrl *ctrl, const struct r3_ctrl_ops *ops, struct r3_device *dev,
			 const struct r3_block_opts *opts);
/** Make room for queues, and the fd that says when to dispatch. Errors: ENOMEM; EMFILE. */
R3_KIT int r3_ctrl_open(struct r3_ctrl *ctrl);
/** Also where that failed, or was never called. */
R3_KIT void r3_ctrl_close(struct r3_ctrl *ctrl);
R3_KIT void r3_ctrl_dispatch(struct r3_ctrl *ctrl);
/** As in struct r3_block_ops: memory of the device's arena. */
R3_KIT int r3_ctrl_alloc(struct r3_ctrl *ctrl, size_t len, void **out);
R3_KIT void r3_ctrl_free(struct r3_ctrl *ctrl, void *ptr);
/** Say, not too often, that the device did something that it must not do. */
R3_KIT void r3_ctrl_lie(struct r3_ctrl *ctrl, const char *fmt, ...) R3_PRINTF(2, 3);

/* hwq.c: queues and their vectors */

struct r3_hwq_tags {
	struct r3_dma_tag *table, *data;
	uint32_t table_len;
};

/** Make the class's part of a queue, its slots and its fd. The rest is the driver's, who
 *  then puts it into ctrl->queue. Errors: ENOMEM, EMFILE. */
R3_KIT int r3_hwq_open(struct r3_hwq *q, struct r3_ctrl *ctrl, uint32_t index,
		       const struct r3_blkq_opts *opts, const struct r3_hwq_tags *tags);
/** Also where that failed. The device does not have the queue any more: requests not
 *  reaped are cancelled. */
R3_KIT void r3_hwq_close(struct r3_hwq *q);
/** An index without a queue. Errors: ENODEV gone; ENOSPC. */
R3_KIT int r3_hwq_find_room(const struct r3_ctrl *ctrl, uint32_t *index);
/** Wake the queue's thread. Any thread. */
void r3_hwq_signal(const struct r3_hwq *q);
/** Refuse what is submitted from now on. What the device has completes as usual. */
R3_KIT void r3_hwq_refuse(struct r3_hwq *q);

/* recover.c */

/** Reset the device and submit again what was in flight. When that fails it is gone.
 *  Errors: ENODEV it is; EBUSY a queue's thread could not be kept out: the next tick
 *  tries again. */
R3_KIT int r3_ctrl_recover(struct r3_ctrl *ctrl, const char *why);
/** The same where memory is freed next, so that it cannot be put off: a thread that does
 *  not leave for seconds costs the device. As it is asked for, it is no sign that resets
 *  are in vain, and none against the requests of other queues. */
R3_KIT void r3_ctrl_recover_now(struct r3_ctrl *ctrl, const char *why);
/** Everything in flight completes with -ENODEV, and so does all that follows. Called
 *  again it does what it could not do before, because a thread was in the way. */
void r3_ctrl_give_up(struct r3_ctrl *ctrl, const char *why);
/** Look for what is overdue: cancel it, or reset the device. */
void r3_ctrl_look(struct r3_ctrl *ctrl);
/** All queues but those that are being closed: loop until NULL. */
R3_KIT struct r3_hwq *r3_ctrl_next(const struct r3_ctrl *ctrl, const struct r3_hwq *last);

/* ---- the data path ---- */

/** Put a slot's request into the rings. Its data is at device address @where, which may
 *  also be R3_SLOT_MAPPED or R3_SLOT_NO_DATA. */
typedef int r3_hwq_push(struct r3_hwq *q, struct r3_slot *slot, const struct r3_blk_req *req,
			uint64_t where);

/** Take requests: load each and push it; @push is inlined. */
static inline __attribute__((always_inline)) int r3_hwq_submit(struct r3_hwq *q,
							       struct r3_blk_req *const *reqs,
							       unsigned n, r3_hwq_push *push)
{
	uint32_t tick = __atomic_load_n(&q->ctrl->tick, __ATOMIC_RELAXED);
	const struct r3_dma_tag *tag = q->data_tag;
	struct r3_slots *slots = &q->slots;
	struct r3_slot **top = slots->free + slots->nfree;
	unsigned i = 0;
	int rc = 0;

	if (!r3_gate_enter(&q->gate))
		return -EAGAIN;
	if (__builtin_expect(__atomic_load_n(&q->gone, __ATOMIC_RELAXED), 0)) {
		rc = -ENODEV;
		goto leave;
	}
	if (n > slots->nfree)
		n = slots->nfree;
	for (; i < n; i++) {
		struct r3_slot *slot = top[-1];
		struct r3_blk_req *req = reqs[i];
		uint64_t where = R3_SLOT_NO_DATA;

		/* before it is in flight, for which the control thread looks at the tag */
		slot->req = req;
		__atomic_store_n(&slot->tick, tick, __ATOMIC_RELAXED);
		if (__builtin_expect(r3_blk_has_data(req), 1))
			rc = r3_slot_load(tag, slot, req, &where);
		if (__builtin_expect(rc == 0, 1))
			rc = push(q, slot, req, where);
		if (__builtin_expect(rc < 0, 0)) {
			r3_slot_settle(slot);
			break;
		}
		top--;
	}
	slots->nfree -= i;
	/* Memory to bounce with comes back with the requests that have it. */
	if (__builtin_expect(rc == -ENOMEM, 0) && slots->nfree < slots->depth)
		rc = -EAGAIN;
leave:
	r3_gate_leave(&q->gate);
	return i ? (int)i : rc;
}

/** The first of arm: empty the eventfd, and only then look. What comes in between signals
 *  again. */
static inline void r3_hwq_drain(const struct r3_hwq *q)
{
	uint64_t count;

	if (q->vector)
		(void)r3_irq_take(q->ctrl->irq, q->vector);
	else if (q->blkq.fd >= 0)
		(void)!read(q->blkq.fd, &count, sizeof(count));
}

#endif
