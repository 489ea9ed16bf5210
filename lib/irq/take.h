/* SPDX-License-Identifier: BSD-2-Clause */
/* For those who wait for an eventfd of an interrupt set in their own way: every interrupt is
 * taken here, so that a filter can see it. */
#ifndef RING3_IRQ_TAKE_H
#define RING3_IRQ_TAKE_H

#include "util/kit.h"

#include <ring3/irq.h>

/** Empty the eventfd of @vector, which there is. As r3_irq_ack(), but a level stays masked.
 *  Returns the count (0: none). Any thread. */
R3_KIT int64_t r3_irq_take(const struct r3_irq_set *irq, unsigned vector);

#endif
