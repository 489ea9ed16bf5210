/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt sets: which type and how many vectors a device gets, their eventfds, and
 * the two ways to take an interrupt: at once, or after a bounded wait. The whole set
 * is made at once, because MSI-X cannot grow under Linux (VFIO, before 6.5).
 */
#include "bus/ops.h"
#include "irq/take.h"
#include "util/kept_text.h"
#include <ring3/device.h>
#include <ring3/error.h>
#include <ring3/irq.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How long a wait sleeps before it looks again at a device that has events for
 * somebody else: its descriptor stays readable, so that it cannot be slept on. */
#define CROWDED_NS R3_NSEC_PER_MSEC

/* A longer sleep is done in days: time_t may be small. */
#define DAY_NS (86400 * R3_NSEC_PER_SEC)

struct r3_irq_set {
	struct r3_device *dev;
	enum r3_irq_type type;
	unsigned n;
	bool held; /* INTx: masked by r3_irq_mask(), so not re-armed by an ack */
	int fd[];
};

const char *r3_irq_type_name(enum r3_irq_type type)
{
	static const char *const names[] = {
		[R3_IRQ_INTX] = "intx",
		[R3_IRQ_MSI] = "msi",
		[R3_IRQ_MSIX] = "msix",
		[R3_IRQ_BEST] = "best",
	};

	return (unsigned)type < sizeof(names) / sizeof(*names) ? names[type] : "unknown";
}

/* ---- enable and disable ---- */

/* How many vectors of @type to take of at most @max. 0: the device has none. */
static unsigned vectors(const struct r3_device *dev, unsigned type, unsigned max)
{
	static const unsigned most[] = {1, 32, 2048}; /* PCI 3.0, 6.8.1.3 and 6.8.2.3 */
	unsigned n = dev->info.nirqs[type];

	if (n > most[type])
		n = most[type];
	if (n > max)
		n = max;
	if (type == R3_IRQ_MSI && n) /* Multiple Message Enable counts in powers of two */
		n = 1u << (31 - __builtin_clz(n));
	return n;
}

static int choose(const struct r3_device *dev, enum r3_irq_type type, unsigned min, unsigned max,
		  enum r3_irq_type *chosen, unsigned *n)
{
	static const enum r3_irq_type ranked[] = {R3_IRQ_MSIX, R3_IRQ_MSI, R3_IRQ_INTX};
	bool any = false;

	for (unsigned i = 0; i < 3; i++) {
		if (type != R3_IRQ_BEST && type != ranked[i])
			continue;
		*n = vectors(dev, ranked[i], max);
		*chosen = ranked[i];
		if (*n >= min)
			return 0;
		any = any || *n;
	}
	if (!any)
		return r3_error_set(EOPNOTSUPP, "%s: has no interrupts%s%s", dev->info.name,
				    type == R3_IRQ_BEST ? "" : " of type ",
				    type == R3_IRQ_BEST ? "" : r3_irq_type_name(type));
	return r3_error_set(ENOSPC,
			    "%s: has fewer than %u interrupt vectors (%u intx, %u msi, %u msix)",
			    dev->info.name, min, dev->info.nirqs[R3_IRQ_INTX],
			    dev->info.nirqs[R3_IRQ_MSI], dev->info.nirqs[R3_IRQ_MSIX]);
}

static void close_all(struct r3_irq_set *irq)
{
	for (unsigned i = 0; i < irq->n; i++)
		if (irq->fd[i] >= 0)
			close(irq->fd[i]);
}

static int open_all(struct r3_irq_set *irq)
{
	for (unsigned i = 0; i < irq->n; i++)
		irq->fd[i] = -1;
	for (unsigned i = 0; i < irq->n; i++) {
		irq->fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (irq->fd[i] < 0) {
			int rc = r3_error_set(errno, "%s: no eventfd for interrupt vector %u: %m",
					      irq->dev->info.name, i);

			close_all(irq);
			return rc;
		}
	}
	return 0;
}

static int program(struct r3_irq_set *irq)
{
	struct r3_device *dev = irq->dev;
	struct r3_kept_text why;
	int rc = r3_device_alive(dev);

	if (rc)
		return rc;
	irq->held = false;
	rc = r3_device_answer(dev, dev->ops->irq_alloc(dev, irq->type, irq->n));
	if (rc)
		return rc;
	rc = r3_device_answer(dev, dev->ops->irq_bind(dev, irq->type, 0, irq->n, irq->fd));
	if (rc) {
		r3_error_keep(&why);
		dev->ops->irq_alloc(dev, irq->type, 0);
		r3_error_put_back(&why);
	}
	return rc;
}

int r3_irq_enable(struct r3_device *dev, enum r3_irq_type type, unsigned min, unsigned max,
		  struct r3_irq_set **out)
{
	struct r3_irq_set *irq;
	unsigned n = 0;
	int rc;

	if ((unsigned)type > R3_IRQ_BEST || min == 0 || max < min)
		return r3_error_set(EINVAL, "%s: between %u and %u interrupt vectors of type %s",
				    dev->info.name, min, max, r3_irq_type_name(type));
	if (dev->irq)
		return r3_error_set(EBUSY, "%s: interrupts are enabled already (%u of type %s)",
				    dev->info.name, dev->irq->n, r3_irq_type_name(dev->irq->type));
	if (r3_device_gone(dev))
		return r3_device_alive(dev);
	if (dev->ops->irq_alloc == NULL || dev->ops->irq_bind == NULL)
		return r3_error_set(EOPNOTSUPP, "%s: its carrier delivers no interrupts",
				    dev->info.name);
	rc = choose(dev, type, min, max, &type, &n);
	if (rc)
		return rc;
	irq = calloc(1, sizeof(*irq) + n * sizeof(irq->fd[0]));
	if (irq == NULL)
		return r3_error_set(ENOMEM, "%s: no memory for interrupts", dev->info.name);
	irq->dev = dev;
	irq->type = type;
	irq->n = n;
	rc = open_all(irq);
	if (rc)
		goto free;
	rc = program(irq);
	if (rc)
		goto close;
	dev->irq = irq;
	*out = irq;
	return 0;
close:
	close_all(irq);
free:
	free(irq);
	return rc;
}

void r3_irq_disable(struct r3_irq_set *irq)
{
	struct r3_kept_text why; /* they are disabled: often, that something failed */

	if (irq == NULL)
		return;
	r3_error_keep(&why);
	/* even if the device is gone: its carrier must forget the descriptors */
	irq->dev->ops->irq_alloc(irq->dev, irq->type, 0);
	irq->dev->irq = NULL;
	close_all(irq);
	free(irq);
	r3_error_put_back(&why);
}

int r3_irq_restore(struct r3_irq_set *irq)
{
	return program(irq);
}

enum r3_irq_type r3_irq_get_type(const struct r3_irq_set *irq)
{
	return irq->type;
}

unsigned r3_irq_count(const struct r3_irq_set *irq)
{
	return irq->n;
}

int r3_irq_fd(const struct r3_irq_set *irq, unsigned vector)
{
	return vector < irq->n ? irq->fd[vector] : -1;
}

/* ---- mask, acknowledge, wait ---- */

static int check(const struct r3_irq_set *irq, unsigned vector)
{
	if (vector < irq->n)
		return 0;
	return r3_error_set(EINVAL, "%s: there is no interrupt vector %u: %u are enabled",
			    irq->dev->info.name, vector, irq->n);
}

int r3_irq_mask(struct r3_irq_set *irq, unsigned vector, bool mask)
{
	struct r3_device *dev = irq->dev;
	int rc = check(irq, vector);

	if (rc)
		return rc;
	if (r3_device_gone(dev))
		return r3_device_alive(dev);
	if (dev->ops->irq_mask == NULL ||
	    (irq->type != R3_IRQ_INTX && !(dev->info.caps & R3_CAP_IRQ_MASK)))
		return r3_error_set(EOPNOTSUPP, "%s: its %s interrupts cannot be masked",
				    dev->info.name, r3_irq_type_name(irq->type));
	rc = r3_device_answer(dev, dev->ops->irq_mask(dev, irq->type, vector, mask));
	if (rc == 0)
		irq->held = mask;
	return rc;
}

int64_t r3_irq_take(const struct r3_irq_set *irq, unsigned vector)
{
	struct r3_device *dev = irq->dev;
	uint64_t count;
	ssize_t n;

	do {
		n = read(irq->fd[vector], &count, sizeof(count));
	} while (n < 0 && errno == EINTR); /* it does not block, so this ends */
	if (n != (ssize_t)sizeof(count))
		return 0;
	if (dev->ops->irq_taken)
		dev->ops->irq_taken(dev, irq->type, vector, count);
	return count > INT64_MAX ? INT64_MAX : (int64_t)count;
}

/* A level masked itself when it was delivered. Also called without a count, because
 * the program may have read the eventfd itself. */
static void rearm(struct r3_irq_set *irq)
{
	struct r3_device *dev = irq->dev;

	if (irq->type == R3_IRQ_INTX && !irq->held && dev->ops->irq_mask && !r3_device_gone(dev))
		r3_device_answer(dev, dev->ops->irq_mask(dev, R3_IRQ_INTX, 0, false));
}

int64_t r3_irq_ack(struct r3_irq_set *irq, unsigned vector)
{
	int rc = check(irq, vector);
	int64_t count;

	if (rc)
		return rc;
	count = r3_irq_take(irq, vector);
	rearm(irq);
	if (count == 0 && r3_device_gone(irq->dev))
		return r3_device_alive(irq->dev);
	return count;
}

/* Sleep until the vector or, unless it is crowded, the device has something.
 * Returns whether it is the device, or -EINTR. */
static int sleep_on(struct r3_irq_set *irq, unsigned vector, bool crowded, uint64_t ns)
{
	struct pollfd pfd[2] = {
		{.fd = irq->fd[vector], .events = POLLIN},
		{.fd = crowded ? -1 : r3_device_fd(irq->dev), .events = POLLIN},
	};
	struct timespec ts;

	if (crowded && ns > CROWDED_NS)
		ns = CROWDED_NS;
	if (ns > DAY_NS)
		ns = DAY_NS;
	ts.tv_sec = (time_t)(ns / R3_NSEC_PER_SEC);
	ts.tv_nsec = (long)(ns % R3_NSEC_PER_SEC);
	if (ppoll(pfd, 2, &ts, NULL) < 0)
		return r3_error_set(errno, "%s: waiting for an interrupt: %m", irq->dev->info.name);
	return crowded || pfd[1].revents;
}

/* Let the device deliver. *crowded: it has events, which are not for us. */
static int dispatch(struct r3_device *dev, bool *crowded)
{
	struct pollfd pfd = {.fd = r3_device_fd(dev), .events = POLLIN};
	int rc = r3_device_answer(dev, r3_device_dispatch(dev, NULL, 0));

	*crowded = pfd.fd >= 0 && poll(&pfd, 1, 0) > 0;
	return rc < 0 && rc != -ENODEV ? rc : 0;
}

int64_t r3_irq_wait(struct r3_irq_set *irq, unsigned vector, uint64_t timeout_ns)
{
	struct r3_device *dev = irq->dev;
	bool real = dev->clock == r3_clock_system(), crowded = false, last = false;
	struct r3_wait wait;
	int64_t count;
	int rc = check(irq, vector);

	if (rc)
		return rc;
	wait = r3_wait_begin(dev->clock, timeout_ns);
	for (;;) {
		count = r3_irq_take(irq, vector);
		if (count) {
			rearm(irq);
			return count;
		}
		if (r3_device_gone(dev))
			return r3_device_alive(dev);
		if (last)
			return r3_error_set(ETIMEDOUT,
					    "%s: no %s interrupt on vector %u within %ju ms",
					    dev->info.name, r3_irq_type_name(irq->type), vector,
					    (uintmax_t)(timeout_ns / R3_NSEC_PER_MSEC));
		/* another clock passes in its own sleep(), not in poll() */
		rc = sleep_on(irq, vector, crowded, real ? r3_wait_left(&wait) : 0);
		if (rc > 0)
			rc = dispatch(dev, &crowded);
		if (rc < 0)
			return rc;
		last = real ? r3_wait_left(&wait) == 0 : !r3_wait_step(&wait);
	}
}
