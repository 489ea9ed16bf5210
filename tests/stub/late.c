/* SPDX-License-Identifier: BSD-2-Clause */
#include "stub/late.h"

#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define POSTED 256 /* most */

struct op {
	bool mask; /* else a write */
	unsigned index;
	uint64_t off;
	uint64_t value;
	uint8_t width;
	unsigned flags;
};

static struct late {
	struct r3_bus_ops ops; /* the device's, with ours in front */
	const struct r3_bus_ops *below;
	struct r3_device *dev;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t posted_more, done_more;
	struct op op[POSTED];
	unsigned posted, done; /* run freely */
	bool ends;
	uint64_t random;
} late = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.posted_more = PTHREAD_COND_INITIALIZER,
	.done_more = PTHREAD_COND_INITIALIZER,
};

void late_pause(uint64_t *random)
{
	unsigned dice = test_random_below(random, 32);
	struct timespec ts = {.tv_nsec = (long)test_random_below(random, 80000)};
	volatile unsigned spins = test_random_below(random, 2000);

	if (dice < 8)
		while (spins)
			spins--;
	else if (dice < 12)
		sched_yield();
	else if (dice < 15)
		nanosleep(&ts, NULL);
}

static void post(struct op op)
{
	pthread_mutex_lock(&late.lock);
	while (late.posted - late.done == POSTED)
		pthread_cond_wait(&late.done_more, &late.lock);
	late.op[late.posted++ % POSTED] = op;
	pthread_cond_signal(&late.posted_more);
	pthread_mutex_unlock(&late.lock);
}

static void drain(void)
{
	pthread_mutex_lock(&late.lock);
	for (unsigned upto = late.posted; (int)(upto - late.done) > 0;)
		pthread_cond_wait(&late.done_more, &late.lock);
	pthread_mutex_unlock(&late.lock);
}

static int late_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		   uint32_t count, unsigned flags)
{
	struct op op = {.index = index, .off = off, .width = width, .flags = flags};

	if (!(flags & R3_RW_WRITE) || count != 1) {
		drain();
		return late.below->rw(dev, index, off, data, width, count, flags);
	}
	memcpy(&op.value, data, width);
	post(op);
	return 0;
}

/* By the device's thread as well: the fake does not expect two. */
static int late_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask)
{
	post((struct op){.mask = true, .index = type, .off = vector, .value = mask});
	drain();
	return 0;
}

static void pause_of(struct fake_device *fake)
{
	late_pause(&late.random);
}

static void *work(void *arg)
{
	pthread_mutex_lock(&late.lock);
	for (;;) {
		while (late.posted == late.done && !late.ends)
			pthread_cond_wait(&late.posted_more, &late.lock);
		if (late.posted == late.done)
			break;

		struct op op = late.op[late.done % POSTED];

		pthread_mutex_unlock(&late.lock);
		late_pause(&late.random);
		if (op.mask)
			(void)late.below->irq_mask(late.dev, op.index, (unsigned)op.off, op.value);
		else
			(void)late.below->rw(late.dev, op.index, op.off, &op.value, op.width, 1,
					     op.flags);
		pthread_mutex_lock(&late.lock);
		late.done++;
		pthread_cond_broadcast(&late.done_more);
	}
	pthread_mutex_unlock(&late.lock);
	return NULL;
}

void late_begin(struct r3_device *dev, uint64_t random)
{
	struct fake_device *fake = (struct fake_device *)dev;

	late.dev = dev;
	late.random = random;
	late.ends = false;
	late.below = dev->ops;
	late.ops = *dev->ops;
	late.ops.rw = late_rw;
	late.ops.irq_mask = late_irq_mask;
	if (pthread_create(&late.thread, NULL, work, NULL))
		abort();
	dev->ops = &late.ops;
	fake->raising = fake->between = pause_of;
}

void late_end(void)
{
	struct fake_device *fake = (struct fake_device *)late.dev;

	pthread_mutex_lock(&late.lock);
	late.ends = true;
	pthread_cond_signal(&late.posted_more);
	pthread_mutex_unlock(&late.lock);
	pthread_join(late.thread, NULL);
	late.dev->ops = late.below;
	fake->raising = fake->between = NULL;
}
