/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything a driver may do, in an order that no driver would: each step works, whatever came
 * before it. */
#include "contract.h"

#include <errno.h>
#include <string.h>

#define STEPS  150
#define PIECES 16

struct walk {
	struct r3_device *dev;
	uint64_t *random;
	struct r3_irq_set *irq;
	unsigned char *piece[PIECES];
	size_t len[PIECES];
};

static void step_irq(struct walk *w)
{
	unsigned type = test_random_below(w->random, 4);
	int rc;

	if (w->irq) {
		assert_ok(r3_irq_ack(w->irq, test_random_below(w->random, r3_irq_count(w->irq))));
		if (test_random_below(w->random, 2)) {
			r3_irq_disable(w->irq);
			w->irq = NULL;
		}
		return;
	}
	rc = r3_irq_enable(w->dev, type, 1, 1 + test_random_below(w->random, 40), &w->irq);
	if (rc) {
		assert_int_equal(rc, -EOPNOTSUPP);
		w->irq = NULL;
	}
}

static void step_memory(struct walk *w)
{
	unsigned i = test_random_below(w->random, PIECES);
	struct r3_arena *arena;
	uint64_t iova, left;
	void *ptr;

	if (!(w->dev->info.caps & R3_CAP_DMA))
		return;
	assert_ok(r3_device_arena(w->dev, &arena));
	if (w->piece[i]) {
		for (size_t n = 0; n < w->len[i]; n++)
			assert_int_equal(w->piece[i][n], i);
		assert_ok(r3_arena_free(arena, w->piece[i]));
		w->piece[i] = NULL;
		return;
	}
	w->len[i] = 1 + test_random_below(w->random, 20000);
	assert_ok(r3_arena_alloc(arena, w->len[i], 0, &ptr));
	w->piece[i] = memset(ptr, (int)i, w->len[i]);
	assert_true(r3_device_iova(w->dev, ptr, &iova, &left));
}

static void step_reset(struct walk *w)
{
	unsigned reset = R3_CAP_FLR | R3_CAP_BUS_RESET;
	int rc = r3_device_reset(w->dev, R3_RESET_ANY);

	assert_int_equal(rc, w->dev->info.caps & reset ? 0 : -EOPNOTSUPP);
	if (w->irq)
		assert_ok(r3_irq_restore(w->irq));
}

static void step_command(struct walk *w)
{
	unsigned set = test_random_below(w->random, 8), proved;

	if (w->dev->info.caps & R3_CAP_PCI)
		assert_ok(r3_pci_enable(w->dev, set & (R3_PCI_MEMORY | R3_PCI_MASTER),
					~set & (R3_PCI_MEMORY | R3_PCI_MASTER)));
	if (!test_random_below(w->random, 4))
		assert_ok(r3_device_quiesce(w->dev, R3_QUIESCE_DMA, &proved));
}

static void step_read(struct walk *w)
{
	struct r3_region *region;
	uint64_t data;
	int rc = r3_device_region(w->dev, test_random_below(w->random, R3_REGION_MAX), &region);

	if (rc) {
		assert_int_equal(rc, -ENOENT);
		return;
	}
	/* a carrier may refuse while decoding is off; the answer is all ones then */
	if (r3_region_read(region, 0, 4, &data, 1))
		assert_int_equal((uint32_t)data, UINT32_MAX);
}

static void step_dispatch(struct walk *w)
{
	struct r3_event events[2];

	assert_int_equal(r3_device_dispatch(w->dev, events, 2), 0);
}

static void any_order_will_do(void **state)
{
	static void (*const steps[])(struct walk *) = {step_irq,      step_memory, step_command,
						       step_dispatch, step_read,   step_reset};
	struct contract *c = *state;
	struct walk w = {.dev = c->dev, .random = &c->random};

	for (unsigned i = 0; i < STEPS; i++) {
		unsigned n = test_random_below(&c->random, 16); /* few resets: they take time */

		steps[n < 15 ? n % 5 : 5](&w);
		assert_false(r3_device_gone(c->dev));
	}
	r3_irq_disable(w.irq);
}

const struct CMUnitTest contract_walk[] = {CONTRACT_TEST(any_order_will_do)};
const size_t contract_nwalk = sizeof(contract_walk) / sizeof(contract_walk[0]);
