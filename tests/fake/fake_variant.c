/* SPDX-License-Identifier: BSD-2-Clause */
/* Variants of the fake device, and the registers by which they are told what to do. */
#include "fake/fake_variant.h"
#include "util/item.h"

#include <ring3/error.h>
#include <ring3/irq.h>

#include <errno.h>
#include <string.h>

/* ---- registers ---- */

static uint64_t copy(struct fake_device *fake, uint64_t len)
{
	const uint8_t *bar = r3_mem_addr(fake->bar[4].mem);
	const void *source = fake_device_reach(fake, r3_item_get_le(bar + FAKE_REG_FROM, 8), len,
					       R3_DMA_DEVICE_READ);
	void *target = fake_device_reach(fake, r3_item_get_le(bar + FAKE_REG_TO, 8), len,
					 R3_DMA_DEVICE_WRITE);

	if (!source || !target)
		return 0;
	memmove(target, source, len);
	return len;
}

static bool control(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
		    uint64_t *value, bool write)
{
	if (index != R3_REGION_BAR4 || width != 4 || !write)
		return false;
	pthread_mutex_lock(&fake->lock);
	if (off == FAKE_REG_RAISE)
		fake_device_raise(fake, (unsigned)(*value >> 16), *value & 0xffff);
	else if (off == FAKE_REG_LOWER)
		fake_device_lower(fake);
	else if (off == FAKE_REG_COPY)
		*value = copy(fake, *value);
	pthread_mutex_unlock(&fake->lock);
	return false; /* and it is memory */
}

/* ---- variants ---- */

static void full(struct fake_device *fake)
{
}

static void assigned(struct fake_device *fake)
{
	fake->base.info.caps |= R3_CAP_DMA_ASSIGNED;
	fake->extent_len = 5 << 20;
}

static void own_mem(struct fake_device *fake)
{
	fake->base.info.caps |= R3_CAP_DMA_ASSIGNED | R3_CAP_OWN_MEM;
}

static void bare(struct fake_device *fake)
{
	fake->base.info.caps = R3_CAP_PCI;
	memset(fake->base.info.nirqs, 0, sizeof(fake->base.info.nirqs));
}

static void dispatch(struct fake_device *fake)
{
	fake->base.info.caps |= R3_CAP_IRQ_DISPATCH;
	fake->base.info.nirqs[R3_IRQ_MSI] = 0;
	fake->base.info.nirqs[R3_IRQ_MSIX] = 1;
}

static const struct {
	const char *name;
	void (*make)(struct fake_device *fake);
} variants[] = {
	{"full", full}, {"assigned", assigned}, {"own-mem", own_mem},
	{"bare", bare}, {"dispatch", dispatch},
};

struct fake_device *fake_variant(const char *variant, const struct r3_open_opts *opts)
{
	for (unsigned i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		struct fake_device *fake;

		if (strcmp(variants[i].name, variant) != 0)
			continue;
		fake = fake_device_new(opts);
		if (fake) {
			fake->access = control;
			variants[i].make(fake);
		}
		return fake;
	}
	r3_error_set(EINVAL, "fake:%s: there is no such variant", variant);
	return NULL;
}

int fake_variant_open(const struct r3_address *address, const struct r3_open_opts *opts,
		      struct r3_device **out)
{
	struct fake_device *fake = fake_variant(address->rest.head, opts);

	return fake ? r3_device_wrap(&fake->base, address, out) : -EINVAL;
}
