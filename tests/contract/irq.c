/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt sets, made and unmade in any order, and delivered where the device is one that can
 * be asked to interrupt. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>

#define TIMEOUT (10 * R3_NSEC_PER_SEC)

static unsigned rounded(unsigned type, unsigned n)
{
	return type == R3_IRQ_MSI && n ? 1u << (31 - __builtin_clz(n)) : n;
}

static void check_set(struct r3_irq_set *irq, unsigned type, unsigned n)
{
	assert_int_equal(r3_irq_get_type(irq), type);
	assert_int_equal(r3_irq_count(irq), n);
	assert_int_equal(r3_irq_fd(irq, n), -1);
	for (unsigned i = 0; i < n; i++) {
		assert_true(r3_irq_fd(irq, i) >= 0);
		assert_true(fcntl(r3_irq_fd(irq, i), F_GETFL) & O_NONBLOCK);
		assert_int_equal(r3_irq_ack(irq, i), 0);
	}
	assert_int_equal(r3_irq_ack(irq, n), -EINVAL);
	assert_int_equal(r3_irq_wait(irq, n - 1, R3_NSEC_PER_MSEC), -ETIMEDOUT);
}

static void sets_come_and_go(void **state)
{
	struct contract *c = *state;
	unsigned fds;

	/* a carrier may keep something of each type's first set */
	for (unsigned type = 0; type < 3; type++) {
		struct r3_irq_set *irq;

		if (r3_irq_enable(c->dev, type, 1, UINT32_MAX, &irq) == 0)
			r3_irq_disable(irq);
	}
	fds = test_count_fds();
	for (unsigned i = 0; i < 20; i++) {
		unsigned type = test_random_below(&c->random, 3), have = c->dev->info.nirqs[type];
		unsigned max = 1 + test_random_below(&c->random, have ? have : 1);
		struct r3_irq_set *irq, *second;

		if (!have) {
			assert_int_equal(r3_irq_enable(c->dev, type, 1, 4, &irq), -EOPNOTSUPP);
			continue;
		}
		assert_ok(r3_irq_enable(c->dev, type, 1, max, &irq));
		assert_int_equal(r3_irq_enable(c->dev, R3_IRQ_BEST, 1, 1, &second), -EBUSY);
		check_set(irq, type, rounded(type, max));
		assert_ok(r3_irq_restore(irq));
		assert_true(test_count_fds() >= fds + rounded(type, max));
		r3_irq_disable(irq);
		assert_int_equal(test_count_fds(), fds);
	}
}

static void too_many_are_refused(void **state)
{
	struct contract *c = *state;
	struct r3_irq_set *irq;

	for (unsigned type = 0; type < 3; type++) {
		unsigned have = c->dev->info.nirqs[type];

		if (!have)
			continue;
		assert_int_equal(r3_irq_enable(c->dev, type, have + 1, have + 10, &irq), -ENOSPC);
		assert_ok(r3_irq_enable(c->dev, type, 1, UINT32_MAX, &irq));
		assert_int_equal(r3_irq_count(irq), rounded(type, have));
		r3_irq_disable(irq);
	}
}

static void all_of_them_can_be_masked(void **state)
{
	struct contract *c = *state;

	for (unsigned type = 0; type < 3; type++) {
		int want = type == R3_IRQ_INTX || c->dev->info.caps & R3_CAP_IRQ_MASK ? 0
										      : -EOPNOTSUPP;
		struct r3_irq_set *irq;

		if (!c->dev->info.nirqs[type])
			continue;
		assert_ok(r3_irq_enable(c->dev, type, 1, UINT32_MAX, &irq));
		/* not every device has mask bits in its MSI capability (PCI 3.0, 6.8.1.9) */
		if (type == R3_IRQ_MSI && r3_irq_mask(irq, 0, false) == -EOPNOTSUPP)
			want = -EOPNOTSUPP;
		for (unsigned i = 0; i < r3_irq_count(irq); i++) {
			assert_int_equal(r3_irq_mask(irq, i, true), want);
			assert_int_equal(r3_irq_mask(irq, i, false), want);
			assert_int_equal(r3_irq_ack(irq, i), 0);
		}
		r3_irq_disable(irq);
	}
}

/* ---- delivery ---- */

static void deliver(struct contract *c, const struct contract_model *model, unsigned type)
{
	struct r3_irq_set *irq;
	unsigned n;

	assert_ok(r3_irq_enable(c->dev, type, 1, UINT32_MAX, &irq));
	n = r3_irq_count(irq);
	for (unsigned i = 0; i < 3 * n; i++) {
		unsigned vector = i < n ? i : test_random_below(&c->random, n);

		model->raise(c->dev, type, vector);
		assert_ok(r3_irq_wait(irq, vector, TIMEOUT));
		model->lower(c->dev);
		r3_irq_ack(irq, vector); /* a level that was still up came again */
		for (unsigned other = 0; other < n; other++)
			assert_int_equal(r3_irq_ack(irq, other), 0);
	}
	if (r3_irq_mask(irq, 0, true) == 0) {
		model->raise(c->dev, type, 0);
		assert_int_equal(r3_irq_wait(irq, 0, 20 * R3_NSEC_PER_MSEC), -ETIMEDOUT);
		assert_ok(r3_irq_mask(irq, 0, false));
		assert_ok(r3_irq_wait(irq, 0, TIMEOUT)); /* nothing is lost */
		model->lower(c->dev);
	}
	r3_irq_disable(irq);
}

static void each_vector_arrives(void **state)
{
	struct contract *c = *state;
	const struct contract_model *model = contract_model(c->dev);

	if (!model)
		skip();
	for (unsigned type = 0; type < 3; type++)
		if (c->dev->info.nirqs[type])
			deliver(c, model, type);
}

/* INTx: what stays up is delivered again after each acknowledgement, and does not storm. */
static void a_level_stays(void **state)
{
	struct contract *c = *state;
	const struct contract_model *model = contract_model(c->dev);
	struct r3_irq_set *irq;

	if (!model || !c->dev->info.nirqs[R3_IRQ_INTX])
		skip();
	assert_ok(r3_irq_enable(c->dev, R3_IRQ_INTX, 1, 1, &irq));
	model->raise(c->dev, R3_IRQ_INTX, 0);
	model->raise(c->dev, R3_IRQ_INTX, 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(r3_irq_wait(irq, 0, TIMEOUT), 1);
	model->lower(c->dev);
	/* the one that was delivered before it went down, and no other */
	r3_irq_wait(irq, 0, 20 * R3_NSEC_PER_MSEC);
	assert_int_equal(r3_irq_wait(irq, 0, 20 * R3_NSEC_PER_MSEC), -ETIMEDOUT);
	r3_irq_disable(irq);
}

static void reset_silences_and_restore_revives(void **state)
{
	struct contract *c = *state;
	const struct contract_model *model = contract_model(c->dev);
	struct r3_irq_set *irq;

	contract_need(c, R3_CAP_PCI);
	if (!model || !(c->dev->info.caps & (R3_CAP_FLR | R3_CAP_BUS_RESET)))
		skip();
	for (unsigned type = 0; type < 3; type++) {
		if (!c->dev->info.nirqs[type])
			continue;
		assert_ok(r3_irq_enable(c->dev, type, 1, UINT32_MAX, &irq));
		assert_ok(r3_device_reset(c->dev, R3_RESET_ANY));
		model->raise(c->dev, type, 0);
		assert_int_equal(r3_irq_wait(irq, 0, 20 * R3_NSEC_PER_MSEC), -ETIMEDOUT);
		model->lower(c->dev);
		assert_ok(r3_irq_restore(irq));
		model->raise(c->dev, type, r3_irq_count(irq) - 1);
		assert_ok(r3_irq_wait(irq, r3_irq_count(irq) - 1, TIMEOUT));
		model->lower(c->dev);
		r3_irq_disable(irq);
	}
}

const struct CMUnitTest contract_irq[] = {
	CONTRACT_TEST(sets_come_and_go),
	CONTRACT_TEST(too_many_are_refused),
	CONTRACT_TEST(all_of_them_can_be_masked),
	CONTRACT_TEST(each_vector_arrives),
	CONTRACT_TEST(a_level_stays),
	CONTRACT_TEST(reset_silences_and_restore_revives),
};
const size_t contract_nirq = sizeof(contract_irq) / sizeof(contract_irq[0]);
