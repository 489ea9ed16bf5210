/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts are descriptors: one eventfd per vector, so that they fit any event
 * loop. A device has at most one set of vectors, of one type, enabled at once.
 *
 * MSI and MSI-X are edges: read the eventfd (or r3_irq_ack()) to take the count.
 * INTx is a level: it is masked when it is delivered, and r3_irq_ack() re-arms it
 * after the driver has quietened its device; a line that is still up then is
 * delivered again, so nothing storms and nothing is lost. Where the device says
 * R3_CAP_IRQ_DISPATCH, INTx arrives only while somebody polls r3_device_fd() and
 * calls r3_device_dispatch().
 */
#ifndef RING3_IRQ_H
#define RING3_IRQ_H

#include <ring3/api.h>

R3_BEGIN

struct r3_device;
struct r3_irq_set;

/** As VFIO_PCI_*_IRQ_INDEX. */
enum r3_irq_type {
	R3_IRQ_INTX,
	R3_IRQ_MSI,
	R3_IRQ_MSIX,
	R3_IRQ_BEST, /* MSI-X, else MSI, else INTx */
};

/** Enable between @min and @max vectors of @type: as many as the device has. For
 *  MSI the number is rounded down to a power of two. All are unmasked.
 *  Errors: EINVAL @min is 0 or above @max; EBUSY a set is enabled already; ENOSPC the
 *  device has fewer than @min; EOPNOTSUPP it has none of that type; EMFILE; ENODEV. */
R3_API int r3_irq_enable(struct r3_device *dev, enum r3_irq_type type, unsigned min, unsigned max,
			 struct r3_irq_set **out);

/** Disable the vectors and close their eventfds. NULL is allowed. */
R3_API void r3_irq_disable(struct r3_irq_set *irq);

/** Program the vectors again after r3_device_reset(), which turned them off. The
 *  eventfds and what they have counted stay the same; all vectors are unmasked. */
R3_API int r3_irq_restore(struct r3_irq_set *irq);

R3_API enum r3_irq_type r3_irq_get_type(const struct r3_irq_set *irq); /* never R3_IRQ_BEST */
R3_API unsigned r3_irq_count(const struct r3_irq_set *irq);

/** The eventfd of @vector (non-blocking); -1 where there is no such vector. */
R3_API int r3_irq_fd(const struct r3_irq_set *irq, unsigned vector);

/** How many interrupts came since the last call (0: none), and re-arm a level.
 *  Does not block. Returns the count, or -EINVAL, -ENODEV. */
R3_API int64_t r3_irq_ack(struct r3_irq_set *irq, unsigned vector);

/** Wait at most @timeout_ns for @vector, then acknowledge it. Dispatches the device
 *  where its interrupts need that; its events stay for r3_device_dispatch().
 *  Returns the count (at least 1), or -ETIMEDOUT, -EINVAL, -ENODEV, -EINTR. */
R3_API int64_t r3_irq_wait(struct r3_irq_set *irq, unsigned vector, uint64_t timeout_ns);

/** Mask or unmask one vector. Errors: EOPNOTSUPP without R3_CAP_IRQ_MASK. */
R3_API int r3_irq_mask(struct r3_irq_set *irq, unsigned vector, bool mask);

R3_API const char *r3_irq_type_name(enum r3_irq_type type); /* "intx", "msi", "msix" */

R3_END
#endif
