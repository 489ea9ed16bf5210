/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device-specific configuration (2.5, 4.1.4.6). It can change while it is read: a
 * generation counter, the same before and after, says that it did not (2.5.1).
 */
#include "virtio/internal.h"

#include <ring3/error.h>

#include <errno.h>
#include <inttypes.h>

#define STEADY_TIMEOUT (100 * R3_NSEC_PER_MSEC)
#define STEADY_LOOKS   4u /* at least: one can take all of that time, behind a slow link */

static int check_field(struct r3_virtio *v, struct r3_virtio_field field)
{
	unsigned width = field.width, align = width < 4 ? width : 4;

	if (!width || width > 8 || width & (width - 1) || field.off % align)
		return r3_error_set(EINVAL, "%s: no configuration field has %u bytes at 0x%x",
				    v->name, width, field.off);
	if (field.off + (uint64_t)width > v->config.len)
		return r3_error_set(EIO,
				    "%s: a field of %u bytes at 0x%x lies beyond the device "
				    "configuration of %" PRIu64 " bytes",
				    v->name, width, field.off, v->config.len);
	return 0;
}

/* 4.1.3.1: the field's width, and 32 bits for the halves of 64. */
static uint64_t read_field(struct r3_virtio *v, struct r3_virtio_field field)
{
	struct r3_region *region = v->config.region;
	uint64_t off = v->config.off + field.off, low;

	switch (field.width) {
	case 1:
		return r3_read8(region, off);
	case 2:
		return r3_read16(region, off);
	case 4:
		return r3_read32(region, off);
	default:
		low = r3_read32(region, off);
		return low | (uint64_t)r3_read32(region, off + 4) << 32;
	}
}

int r3_virtio_config_read(struct r3_virtio *v, const struct r3_virtio_field *fields, unsigned n,
			  uint64_t *values)
{
	struct r3_wait wait = r3_wait_begin(v->clock, STEADY_TIMEOUT);
	unsigned looks = 0;
	uint8_t before, after;
	int rc;

	for (unsigned i = 0; i < n; i++) {
		rc = check_field(v, fields[i]);
		if (rc < 0)
			return rc;
	}
	for (;;) {
		before = r3_virtio_get(v, 8, config_generation);
		for (unsigned i = 0; i < n; i++)
			values[i] = read_field(v, fields[i]);
		after = r3_virtio_get(v, 8, config_generation);
		rc = r3_virtio_alive(v);
		if (rc < 0)
			return rc;
		if (before == after)
			break;
		if (++looks >= STEADY_LOOKS && !r3_wait_step(&wait))
			return r3_error_set(EIO,
					    "%s: the device configuration does not stop changing: "
					    "it was never the same for the time of a look",
					    v->name);
	}
	v->generation = after;
	return 0;
}

bool r3_virtio_config_changed(struct r3_virtio *v)
{
	return r3_virtio_get(v, 8, config_generation) != v->generation;
}

int r3_virtio_config_write(struct r3_virtio *v, struct r3_virtio_field field, uint64_t value)
{
	struct r3_region *region = v->config.region;
	uint64_t off = v->config.off + field.off;
	int rc = check_field(v, field);

	if (rc < 0)
		return rc;
	switch (field.width) {
	case 1:
		r3_write8(region, off, (uint8_t)value);
		break;
	case 2:
		r3_write16(region, off, (uint16_t)value);
		break;
	case 4:
		r3_write32(region, off, (uint32_t)value);
		break;
	default:
		r3_write32(region, off, (uint32_t)value);
		r3_write32(region, off + 4, (uint32_t)(value >> 32));
	}
	return r3_virtio_alive(v);
}
